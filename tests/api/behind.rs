//! Positions that one gateway of a shared log gave out, at another one that does not have
//! their records yet.

use std::time::{Duration, Instant};

use crate::support::shared::{MemoryStream, SharedGateway, start};
use crate::support::{
    self, Client, Tail, after, earliest, emit, emit_all, gap, login, numbered, pb, search,
    sequences, soon,
};
use auditgate::log::cursor::{Cursor, PageToken};
use auditgate::proof::SigningKey;
use auditgate::proof::key::SignatureKind;
use auditgate::record::Sequence;
use auditgate::server::Config;
use pb::get_record_request::Key;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A gateway that has accepted ten events, and one whose copy has five of them.
struct Scene {
    ahead: SharedGateway,
    behind: SharedGateway,
    at_ahead: Client,
    at_behind: Client,
}

async fn scene() -> Scene {
    let stream = MemoryStream::new();
    let key = SigningKey::generate("test.example/log", SignatureKind::Log).unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        signing_key: Some(key),
        ..Config::default()
    };
    let ahead = start(&stream, config.clone()).await;
    let behind = start(&stream, config).await;
    let mut at_ahead = support::connect(&ahead.gateway).await;
    let mut at_behind = support::connect(&behind.gateway).await;
    emit_all(&mut at_ahead, numbered(1..=5)).await;
    let (mut tail, _) = Tail::begin(&mut at_behind, earliest()).await;
    tail.records(5).await;
    behind.link.hold(true);
    emit_all(&mut at_ahead, numbered(6..=10)).await;
    Scene { ahead, behind, at_ahead, at_behind }
}

fn record(sequence: u64) -> pb::GetRecordRequest {
    pb::GetRecordRequest { key: Some(Key::Sequence(sequence)) }
}

fn page(size: i32) -> pb::SearchRequest {
    let order = pb::Order::OldestFirst.into();
    pb::SearchRequest { page_size: size, order, ..pb::SearchRequest::default() }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) -> String {
    let status = answer.expect_err("it is refused");
    let details = status.get_error_details();
    let given = details.error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), given.as_deref()), (code, Some(reason)), "{status:?}");
    let is_later = code == Code::Unavailable;
    assert_eq!(details.retry_info().is_some(), is_later, "{status:?}");
    status.message().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_wait_for_what_another_gateway_gave_out() {
    let Scene { ahead: _ahead, behind, mut at_ahead, at_behind } = scene().await;
    let first = search(&mut at_ahead, page(4)).await;
    let client = || at_behind.clone();
    let readers = [
        tokio::spawn({
            let (mut client, cursor) = (client(), first.cursor.clone());
            async move {
                let (mut tail, message) = Tail::begin(&mut client, after(&cursor)).await;
                assert_eq!((message.gap, message.cursor), (None, cursor));
                assert_eq!(sequences(&tail.records(1).await), [11]);
            }
        }),
        tokio::spawn({
            let (mut client, token) = (client(), first.next_page_token.clone());
            async move {
                let second = pb::SearchRequest { page_token: token, ..page(4) };
                // The size of pages may change, and the token stays the same search's.
                let second = search(&mut client, pb::SearchRequest { page_size: 100, ..second });
                assert_eq!(sequences(&second.await.records), [5, 6, 7, 8, 9, 10]);
            }
        }),
        tokio::spawn({
            let mut client = client();
            async move {
                let found = soon(client.get_record(record(10))).await.expect("found");
                assert_eq!(found.into_inner().record.expect("a record").sequence, 10);
            }
        }),
        tokio::spawn({
            let mut client = client();
            async move {
                let range = pb::SearchRequest { first_sequence: 8, last_sequence: 9, ..page(9) };
                assert_eq!(sequences(&search(&mut client, range).await.records), [8, 9]);
                let range = pb::SearchRequest { first_sequence: 2, last_sequence: 9, ..page(9) };
                assert_eq!(search(&mut client, range).await.records.len(), 8);
            }
        }),
        tokio::spawn({
            let mut client = client();
            async move {
                let key = Some(pb::get_inclusion_proof_request::Key::Sequence(2));
                let asked = pb::GetInclusionProofRequest { key, size: 10 };
                let proof = soon(client.get_inclusion_proof(asked)).await.expect("a proof");
                assert_eq!(proof.into_inner().leaf_index, 1);
            }
        }),
        tokio::spawn({
            let mut client = client();
            async move {
                let asked = pb::GetConsistencyProofRequest { old_size: 10 };
                soon(client.get_consistency_proof(asked)).await.expect("it begins with them");
            }
        }),
    ];
    // While they wait, others are served.
    let mut other = at_behind.clone();
    let began = Instant::now();
    assert_eq!(search(&mut other, page(100)).await.records.len(), 5);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    behind.link.hold(false);
    emit(&mut at_ahead, login("e-11", "alice")).await;
    for reader in readers {
        soon(reader).await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_to_retry() {
    let Scene { ahead: _ahead, behind, mut at_ahead, at_behind } = scene().await;
    let first = search(&mut at_ahead, page(4)).await;
    let began = Instant::now();
    let (mut one, mut two, mut three) = (at_behind.clone(), at_behind.clone(), at_behind.clone());
    // As many as may search at once, and more.
    let token = &first.next_page_token;
    let searches: Vec<_> = (0..12)
        .map(|_| {
            let (mut client, token) = (at_behind.clone(), token.clone());
            let asked = pb::SearchRequest { page_token: token, ..page(4) };
            tokio::spawn(async move { soon(client.search(asked)).await })
        })
        .collect();
    let honest = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        assert_eq!(search(&mut three, page(100)).await.records.len(), 5);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    };
    let (subscribed, found, ()) = tokio::join!(
        soon(one.subscribe(after(&first.cursor))),
        soon(two.get_record(record(10))),
        honest,
    );
    let said = refused(subscribed.map(|_| ()), Code::Unavailable, "GATEWAY_BEHIND");
    assert!(said.contains("record 10 has not reached this gateway"), "{said}");
    refused(found, Code::Unavailable, "GATEWAY_BEHIND");
    for page in searches {
        refused(page.await.expect("no panic"), Code::Unavailable, "GATEWAY_BEHIND");
    }
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(12), "{waited:?}");
    let report = behind.gateway.hub().position_report();
    assert_eq!((report.waiting, report.reached), (0, 0), "{report:?}");
    assert!(report.given_up >= 3 && report.tail_queries <= 4, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_gateway_gave_out_is_refused() {
    let Scene { ahead, behind, mut at_ahead, mut at_behind } = scene().await;
    behind.link.hold(false);
    let first = search(&mut at_ahead, page(4)).await;
    let identity = ahead.gateway.hub().identity();
    assert_eq!(identity, behind.gateway.hub().identity(), "cursors are valid on both");
    for client in [&mut at_ahead, &mut at_behind] {
        let cursor = Cursor::new(identity, Sequence(1_000)).to_string();
        let subscribed = soon(client.subscribe(after(&cursor))).await;
        let said = refused(subscribed.map(|_| ()), Code::InvalidArgument, "CURSOR_INVALID");
        assert!(said.contains("record 1000, which the log never had"), "{said}");
        let mut token = PageToken::parse(&first.next_page_token).expect("a token");
        token.last = Sequence(1_000);
        let asked = pb::SearchRequest { page_token: token.to_string(), ..page(4) };
        refused(soon(client.search(asked)).await, Code::InvalidArgument, "PAGE_TOKEN_MISMATCH");
        refused(soon(client.get_record(record(1_000))).await, Code::NotFound, "RECORD_NOT_FOUND");
        let range = pb::SearchRequest { first_sequence: 1_000, ..page(4) };
        assert_eq!(search(client, range).await.records, []);
        // An epoch before the first one kept nothing.
        let old = Cursor { epoch: 0, ..Cursor::new(identity, Sequence(1_000)) };
        let (_, message) = Tail::begin(client, after(&old.to_string())).await;
        assert_eq!(message.gap, Some(gap(1, 1_000, pb::GapReason::RolledBack)));
    }
}

/// What is here is read, whatever becomes of the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_served_while_the_stream_is_away() {
    let stream = MemoryStream::new();
    let listen = "127.0.0.1:0".parse().unwrap();
    let one = start(&stream, Config { listen, ..Config::default() }).await;
    let mut client = support::connect(&one.gateway).await;
    emit_all(&mut client, numbered(1..=10)).await;
    let first = search(&mut client, page(4)).await;
    stream.set_away(true);
    let began = Instant::now();
    let asked = pb::SearchRequest { page_token: first.next_page_token, ..page(4) };
    assert_eq!(search(&mut client, asked).await.records.len(), 4);
    let (mut tail, _) = Tail::begin(&mut client, after(&first.cursor)).await;
    soon(client.get_record(record(7))).await.expect("it is here");
    assert!(began.elapsed() < Duration::from_secs(2));
    refused(soon(client.get_record(record(11))).await, Code::Unavailable, "GATEWAY_BEHIND");
    stream.set_away(false);
    emit(&mut client, login("e-11", "alice")).await;
    assert_eq!(sequences(&tail.records(1).await), [11]);
}
