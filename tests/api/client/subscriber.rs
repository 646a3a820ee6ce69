//! Following the log across broken connections, gaps and restarts; paging.

use crate::support::client::{Proxy, login, start_small, url};
use crate::support::{soon, start, start_at};
use auditgate::client::{Client, Error, Item, Options, Start, Subscriber};
use auditgate::proto::pb;

async fn emit(client: &Client, users: impl IntoIterator<Item = u32>) {
    let emitter = client.emitter(Options::default());
    for user in users {
        drop(emitter.send(login(&user.to_string())).await.expect("it is open"));
    }
    soon(emitter.close()).await;
}

/// The sequences of the next records, and the other items before them.
async fn records(subscriber: &mut Subscriber, count: usize) -> (Vec<u64>, Vec<Item>) {
    let (mut sequences, mut others) = (Vec::new(), Vec::new());
    // All of it in time: a gateway never falls silent, even if nothing comes.
    let met = async {
        while sequences.len() < count {
            match subscriber.next().await.expect("it goes on") {
                Item::Record(record) => sequences.push(record.sequence),
                Item::Checkpoint(_) | Item::CaughtUp => {}
                other => others.push(other),
            }
        }
    };
    soon(met).await;
    (sequences, others)
}

/// Up to the newest record; the last cursor.
async fn until_caught_up(subscriber: &mut Subscriber) -> String {
    while soon(subscriber.next()).await.expect("it goes on") != Item::CaughtUp {}
    match soon(subscriber.next()).await.expect("it goes on") {
        Item::Checkpoint(cursor) => cursor,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broken_connection_is_resumed_without_loss() {
    let gateway = start().await;
    let direct = Client::connect(&url(gateway.address())).await.expect("it listens");
    let mut proxy = Proxy::to(gateway.address()).await;
    let client = Client::connect(&url(proxy.address)).await.expect("it is passed on");
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Latest);
    until_caught_up(&mut subscriber).await;
    emit(&direct, 0..10).await;
    let (sequences, others) = records(&mut subscriber, 10).await;
    assert_eq!(sequences, (1..=10).collect::<Vec<_>>());
    assert_eq!(others, []);

    proxy.restore().await;
    emit(&direct, 10..20).await;
    let (sequences, others) = records(&mut subscriber, 10).await;
    assert_eq!(sequences, (11..=20).collect::<Vec<_>>(), "no loss, no repetition");
    assert!(matches!(others.as_slice(), [Item::Lost { .. }, Item::Regained]), "{others:?}");
}

#[tokio::test]
async fn a_checkpoint_covers_the_items_before_it() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    emit(&client, 0..500).await;
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Earliest);
    let mut handled = 0;
    let cursor = loop {
        match soon(subscriber.next()).await.expect("it goes on") {
            Item::Record(record) => handled = record.sequence,
            Item::Checkpoint(cursor) if handled > 0 => break cursor,
            _ => {}
        }
    };
    drop(subscriber);
    let mut restarted = client.subscribe(pb::Filter::default(), Start::Cursor(cursor));
    let (rest, _) = records(&mut restarted, 500 - handled as usize).await;
    assert_eq!(rest, (handled + 1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_restarted_gateway_shows_as_a_gap() {
    let gateway = start().await;
    let address = gateway.address();
    let client = Client::connect(&url(address)).await.expect("it listens");
    emit(&client, 0..3).await;
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Earliest);
    records(&mut subscriber, 3).await;
    gateway.stop().await;
    let _gateway = start_at(address).await;
    emit(&client, 3..5).await;
    let (sequences, others) = records(&mut subscriber, 2).await;
    assert_eq!(sequences, [1, 2], "of the new log");
    let [Item::Lost { reason, .. }, .., Item::Gap(gap)] = others.as_slice() else {
        panic!("{others:?}")
    };
    assert_eq!(reason.reason.as_deref(), Some("SHUTTING_DOWN"));
    assert_eq!(gap.reason(), pb::GapReason::OtherLog);
    assert!(others.contains(&Item::Regained), "{others:?}");
}

#[tokio::test]
async fn evicted_records_show_as_a_gap() {
    let gateway = start_small(64).await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    emit(&client, 0..1).await;
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Earliest);
    let cursor = until_caught_up(&mut subscriber).await;
    emit(&client, 0..1_000).await;
    let mut late = client.subscribe(pb::Filter::default(), Start::Cursor(cursor));
    let (sequences, others) = records(&mut late, 1).await;
    let [Item::Gap(gap)] = others.as_slice() else { panic!("{others:?}") };
    assert_eq!((gap.first_sequence, gap.last_sequence + 1), (2, sequences[0]));
}

#[tokio::test]
async fn what_is_refused_is_an_error() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Cursor("nonsense".into()));
    let Err(Error::Refused(refusal)) = soon(subscriber.next()).await else { panic!("it is none") };
    assert_eq!(refusal.reason.as_deref(), Some("CURSOR_INVALID"));
}

#[tokio::test]
async fn a_search_turns_its_pages_and_goes_on_live() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    emit(&client, 0..25).await;
    let request = pb::SearchRequest { page_size: 10, ..Default::default() };
    let mut results = client.search(request);
    let mut sequences = Vec::new();
    while let Some(record) = soon(results.next()).await.expect("a page") {
        if sequences.is_empty() {
            emit(&client, 25..30).await;
        }
        sequences.push(record.sequence);
    }
    assert_eq!(sequences, (1..=25).rev().collect::<Vec<_>>(), "as it was when the search began");
    assert_eq!(results.examined(), 25);
    let cursor = results.cursor().expect("there was a page").to_owned();
    let mut subscriber = client.subscribe(pb::Filter::default(), Start::Cursor(cursor));
    let (live, others) = records(&mut subscriber, 5).await;
    assert_eq!(live, [26, 27, 28, 29, 30]);
    assert_eq!(others, []);
}

#[tokio::test]
async fn a_search_outlives_a_broken_connection() {
    let gateway = start().await;
    let direct = Client::connect(&url(gateway.address())).await.expect("it listens");
    emit(&direct, 0..20).await;
    let mut proxy = Proxy::to(gateway.address()).await;
    let client = Client::connect(&url(proxy.address)).await.expect("it is passed on");
    let mut results = client.search(pb::SearchRequest { page_size: 5, ..Default::default() });
    let mut count = 0;
    while soon(results.next()).await.expect("a page").is_some() {
        count += 1;
        if count == 5 {
            proxy.restore().await;
        }
    }
    assert_eq!(count, 20);
}

#[tokio::test]
async fn one_record_and_the_catalog_and_counts_are_a_call_away() {
    let gateway = start().await;
    let client = Client::connect(&url(gateway.address())).await.expect("it listens");
    let receipt = client.emit(login("alice")).await.expect("it is accepted");
    let key = pb::get_record_request::Key::Id(receipt.id);
    assert_eq!(client.get_record(key).await.expect("it is kept").sequence, 1);
    let absent = client.get_record(pb::get_record_request::Key::Sequence(9)).await;
    let Err(Error::Refused(refusal)) = absent else { panic!("{absent:?}") };
    assert_eq!(refusal.reason.as_deref(), Some("RECORD_NOT_FOUND"));
    let counts = client.count_records(&pb::CountRecordsRequest::default()).await.expect("counts");
    assert_eq!(counts.buckets[0].counts["user.login"], 1);
    assert_eq!(client.list_event_types().await.expect("the catalog").len(), 81);
}
