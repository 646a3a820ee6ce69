//! Emitting: batches, order, retries under the same id, and refusals.

use std::time::Duration;

use crate::support::client::{Proxy, free_port, login, url};
use crate::support::{soon, start, start_at};
use auditgate::client::{Client, Error, Options};
use auditgate::proto::pb;

/// An emitter that sends only what it must: when a batch is full or flushed.
fn patient() -> Options {
    Options { linger: Duration::from_secs(3_600), ..Options::default() }
}

async fn all_records(client: &Client) -> Vec<pb::Record> {
    let request = pb::SearchRequest { order: pb::Order::OldestFirst.into(), ..Default::default() };
    let mut results = client.search(request);
    let mut records = Vec::new();
    while let Some(record) = results.next().await.expect("a search") {
        records.push(record);
    }
    records
}

fn users(records: &[pb::Record]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record.event.as_ref()?.user.as_ref())
        .map(pb::User::name)
        .collect()
}

#[tokio::test]
async fn an_event_gets_an_id_and_a_time() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let receipt = client.emit(login("alice")).await.expect("it is accepted");
    assert_eq!(receipt.sequence, 1);
    let records = all_records(&client).await;
    let event = records[0].event.as_ref().expect("a record has an event");
    assert_eq!(event.id(), receipt.id);
    assert_eq!(event.id().parse::<uuid::Uuid>().expect("a UUID").get_version_num(), 7);
    assert!(event.time.is_some());
    assert_eq!(records[0].client_bytes, None, "the gateway had nothing to append");

    let own = pb::Event { id: Some("mine".into()), ..login("bob") };
    assert_eq!(client.emit(own).await.expect("it is accepted").id, "mine");
}

#[tokio::test]
async fn events_are_stored_in_order_in_full_batches() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let emitter = client.emitter(Options { batch_events: 10, ..patient() });
    let mut pending = Vec::new();
    for number in 0..25 {
        pending.push(emitter.send(login(&number.to_string())).await.expect("it is open"));
    }
    let last = pending.split_off(20);
    for (number, receipt) in pending.into_iter().enumerate() {
        let receipt = soon(receipt).await.expect("it is accepted");
        assert_eq!(receipt.sequence, number as u64 + 1);
    }
    // The third batch is not full.
    assert_eq!(all_records(&client).await.len(), 20);
    soon(emitter.flush()).await;
    assert_eq!(all_records(&client).await.len(), 25);
    soon(emitter.close()).await;
    for receipt in last {
        assert!(receipt.await.expect("it was settled").sequence > 20);
    }
    let expected: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    assert_eq!(users(&all_records(&client).await), expected);
}

#[tokio::test]
async fn a_batch_is_bounded_by_bytes_and_sent_after_a_while() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let emitter = client.emitter(Options { batch_bytes: 3_000, ..patient() });
    let first = emitter.send(login(&"a".repeat(2_000))).await.expect("it is open");
    let second = emitter.send(login(&"b".repeat(2_000))).await.expect("it is open");
    assert_eq!(soon(first).await.expect("it is accepted").sequence, 1);
    assert_eq!(all_records(&client).await.len(), 1);
    soon(emitter.flush()).await;
    assert_eq!(soon(second).await.expect("it is accepted").sequence, 2);

    let emitter = client.emitter(Options::default());
    let pending = emitter.send(login("carol")).await.expect("it is open");
    assert!(soon(pending).await.is_ok(), "without a flush");
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let emitter = client.emitter(Options { queue_bytes: 8_000, ..patient() });
    let first = emitter.send(login(&"a".repeat(5_000))).await.expect("it is open");
    let second = emitter.send(login(&"b".repeat(5_000)));
    let mut second = Box::pin(second);
    tokio::select! {
        biased;
        _ = &mut second => panic!("there is no room"),
        () = tokio::task::yield_now() => {}
    }
    soon(emitter.flush()).await;
    assert!(first.await.is_ok());
    soon(second).await.expect("now there is room");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_waited_for() {
    let address = free_port().await;
    let client = Client::connect_lazy(&url(address)).expect("it is a URL");
    let emitter = client.emitter(Options::default());
    let pending = emitter.send(login("alice")).await.expect("it is open");
    let flushed = tokio::spawn(async move { emitter.flush().await });
    let away = Client::connect(&url(address)).await;
    assert!(matches!(away, Err(Error::Connect { .. })), "{away:?}");
    let _gateway = start_at(address).await;
    let receipt = soon(pending).await.expect("it is accepted");
    assert_eq!((receipt.sequence, receipt.duplicate), (1, false));
    soon(flushed).await.expect("it ends");
}

/// Whose connections break without a word may be back soon: calls wait for it, and it is
/// not asked on and on.
#[tokio::test]
async fn a_gateway_that_has_no_room_is_connected_to() {
    const CONNECTIONS_MAX: usize = 10;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (count, taken) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1_024]).await;
        }
    });
    soon(Client::connect(&url(address))).await.expect("it may be back");
    let taken = *taken.borrow();
    assert!((2..=CONNECTIONS_MAX).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_lost_answer_does_not_store_twice() {
    let gateway = start().await;
    let mut proxy = Proxy::without_answers(gateway.address()).await;
    let client = Client::connect_lazy(&url(proxy.address)).expect("it is a URL");
    let emitter = client.emitter(Options { batch_events: 2, ..patient() });
    let first = emitter.send(login("alice")).await.expect("it is open");
    let second = emitter.send(login("bob")).await.expect("it is open");

    let direct = Client::connect(&url(gateway.address())).await.expect("it listens");
    let stored = async {
        while direct.get_status().await.expect("a status").record_count < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(stored).await;
    proxy.restore().await;
    for (pending, sequence) in [(first, 1), (second, 2)] {
        let receipt = soon(pending).await.expect("it is accepted");
        assert_eq!((receipt.sequence, receipt.duplicate), (sequence, true));
    }
    assert_eq!(users(&all_records(&direct).await), ["alice", "bob"]);
}

#[tokio::test]
async fn a_bad_event_does_not_harm_its_batch() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let emitter = client.emitter(patient());
    let mut pending = Vec::new();
    for number in 0..40 {
        let mut event = login(&number.to_string());
        if number % 2 == 1 {
            event.payload = None;
        }
        if number == 4 {
            event.id = Some("x".repeat(500));
        }
        pending.push(emitter.send(event).await.expect("it is open"));
    }
    soon(emitter.close()).await;
    let mut stored = Vec::new();
    for (number, pending) in pending.into_iter().enumerate() {
        match pending.await {
            Ok(receipt) => stored.push((number, receipt.sequence)),
            Err(Error::Refused(refusal)) => {
                let expected = if number == 4 {
                    ("ID_TOO_LONG", "event.id")
                } else {
                    ("PAYLOAD_MISSING", "event.payload")
                };
                let field = refusal.violations.first().expect("a field is to blame");
                let reason = refusal.reason.as_deref().expect("the gateway says why");
                assert_eq!((reason, field.field.as_str()), expected);
            }
            Err(other) => panic!("{other}"),
        }
    }
    let good = (0..40).filter(|number| number % 2 == 0 && *number != 4);
    assert_eq!(stored, good.zip(1..).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let options = Options { batch_bytes: 16 * 1024 * 1024, ..patient() };
    let emitter = client.emitter(options);
    let mut pending = Vec::new();
    for number in 0..7 {
        // One of them cannot be sent at all.
        let bytes = if number == 3 { 5_000_000 } else { 900_000 };
        pending.push(emitter.send(login(&"x".repeat(bytes))).await.expect("it is open"));
    }
    soon(emitter.close()).await;
    let mut sequences = Vec::new();
    for pending in pending {
        sequences.push(match pending.await {
            Ok(receipt) => receipt.sequence,
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.reason.as_deref(), Some("REQUEST_TOO_LARGE"));
                0
            }
            Err(other) => panic!("{other}"),
        });
    }
    assert_eq!(sequences, [1, 2, 3, 0, 4, 5, 6]);
}

/// What a gateway has answered when it stops is stored there, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopping_gateway_did_not_answer_is_sent_again() {
    const EVENTS: u64 = 20_000;
    let gateway = start().await;
    let address = gateway.address();
    let client = Client::connect(&url(address)).await.expect("it listens");
    // Few at a time, so that it is stopped midway.
    let options = Options { queue_bytes: 200_000, linger: Duration::ZERO, ..Options::default() };
    let emitter = client.emitter(options);
    let send = tokio::spawn(async move {
        let mut pending = Vec::new();
        for number in 0..EVENTS {
            pending.push(emitter.send(login(&number.to_string())).await.expect("it is open"));
        }
        emitter.close().await;
        pending
    });
    let hub = gateway.hub().clone();
    soon(async {
        while hub.extent().last.0 < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(gateway.stop()).await;
    let next = start_at(address).await;
    let first = hub.extent().last.0;
    let mut expected = (1..=first).chain(1..);
    for pending in soon(send).await.expect("no panic") {
        let receipt = pending.await.expect("it is accepted");
        assert_eq!((Some(receipt.sequence), receipt.duplicate), (expected.next(), false));
    }
    assert!(first < EVENTS, "it was stopped midway");
    assert_eq!(first + next.hub().extent().last.0, EVENTS);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stays_away_is_given_up() {
    let client = Client::connect_lazy(&url(free_port().await)).expect("it is a URL");
    let emitter = client.emitter(Options::default());
    let first = emitter.send(login("alice")).await.expect("it is open");
    let second = emitter.send(login("bob")).await.expect("it is open");
    for pending in [first, second] {
        match pending.await {
            Err(Error::GaveUp { attempts, last }) => {
                assert!((12..40).contains(&attempts), "{attempts}");
                assert!(last.transient, "{last}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Who comes later has a minute of its own.
    let late = emitter.send(login("carol")).await.expect("it is open");
    let waited = tokio::time::timeout(Duration::from_secs(50), late).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn whoever_emits_can_see_that_events_are_sent_again() {
    let address = free_port().await;
    let client = Client::connect_lazy(&url(address)).expect("it is a URL");
    let emitter = client.emitter(Options::default());
    let mut trouble = emitter.outage();
    assert_eq!(*trouble.borrow(), None);
    let pending = emitter.send(login("alice")).await.expect("it is open");
    let seen = soon(trouble.wait_for(Option::is_some)).await.expect("it works").clone();
    assert!(seen.is_some_and(|refusal| refusal.transient));
    let _gateway = start_at(address).await;
    soon(pending).await.expect("it is accepted");
    soon(trouble.wait_for(Option::is_none)).await.expect("it works");
    soon(emitter.close()).await;
    assert!(trouble.changed().await.is_err(), "nothing more comes");
}

#[tokio::test]
async fn events_may_be_checked_only() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let emitter = client.emitter(Options { validate_only: true, ..Options::default() });
    let good = emitter.send(login("alice")).await.expect("it is open");
    let bad = emitter.send(pb::Event::default()).await.expect("it is open");
    assert_eq!(soon(good).await.expect("it would be accepted").sequence, 0);
    assert!(matches!(soon(bad).await, Err(Error::Refused(_))));
    assert!(all_records(&client).await.is_empty());
}

#[tokio::test]
async fn a_url_must_be_one() {
    let wrong = Client::connect("http://a b").await.expect_err("it is none");
    assert!(
        wrong.to_string().starts_with("\"http://a b\" is not the URL of a gateway: "),
        "{wrong}"
    );
    let gateway = start().await;
    assert!(Client::connect(&gateway.address().to_string()).await.is_ok(), "without a scheme");
}
