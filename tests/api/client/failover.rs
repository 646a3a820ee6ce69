//! Several gateways: where one is lost, the client goes on at the next, exactly.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::client::{Proxy, free_port, login, url};
use crate::support::shared::{self, MemoryStream, SharedGateway};
use crate::support::{soon, start};
use auditgate::client::{Client, Error, Item, Options, Start};
use auditgate::proto::pb;
use auditgate::server::Config;

/// Gateways on one log, each behind a proxy that can be cut.
async fn cluster(count: usize) -> (Vec<SharedGateway>, Vec<Proxy>) {
    let stream = MemoryStream::new();
    let (mut gateways, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let listen = "127.0.0.1:0".parse().unwrap();
        let gateway = shared::start(&stream, Config { listen, ..Config::default() }).await;
        proxies.push(Proxy::to(gateway.gateway.address()).await);
        gateways.push(gateway);
    }
    (gateways, proxies)
}

fn list(proxies: &[Proxy]) -> String {
    let urls: Vec<_> = proxies.iter().map(|proxy| url(proxy.address)).collect();
    urls.join(",")
}

/// What the client tells.
fn notices(client: &Client) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    client.on_notice(move |notice| heard.lock().unwrap().push(notice.to_string()));
    told
}

async fn until(told: &Mutex<Vec<String>>, part: &str) {
    soon(async {
        while !told.lock().unwrap().iter().any(|notice| notice.contains(part)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn all_records(client: &Client) -> Vec<pb::Record> {
    let request = pb::SearchRequest { order: pb::Order::OldestFirst.into(), ..Default::default() };
    let mut results = client.search(request);
    let mut records = Vec::new();
    while let Some(record) = soon(results.next()).await.expect("a search") {
        records.push(record);
    }
    records
}

/// Gateways die under load, two of three: each event is stored once, and a subscriber gets
/// exactly those that match.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_where_gateways_die() {
    const EVENTS: usize = 900;
    let (gateways, mut proxies) = cluster(3).await;
    let servers = list(&proxies);
    let reader = Client::connect(&servers).await.expect("one listens");
    let told = notices(&reader);
    let filter = pb::Filter { users: vec!["alice".into()], ..Default::default() };
    let mut subscriber = reader.subscribe(filter, Start::Earliest);
    let (seen, progress) = tokio::sync::watch::channel(0);
    let reading = tokio::spawn(async move {
        let (mut sequences, mut lost) = (Vec::new(), 0);
        while sequences.len() < EVENTS / 3 {
            match soon(subscriber.next()).await.expect("it goes on") {
                Item::Record(record) => sequences.push(record.sequence),
                Item::Gap(gap) => panic!("{gap:?}"),
                Item::Lost { next, .. } => lost += usize::from(next.is_some()),
                _ => {}
            }
            seen.send_replace(sequences.len());
        }
        (sequences, lost)
    });
    // Emitters begin at different gateways.
    let emitters: Vec<_> = (0..3)
        .map(|first: usize| {
            let mut urls: Vec<_> = servers.split(',').collect();
            urls.rotate_left(first);
            let servers = urls.join(",");
            tokio::spawn(async move {
                let client = Client::connect(&servers).await.expect("one listens");
                let options = Options { batch_events: 5, queue_bytes: 4_000, ..Options::default() };
                let emitter = client.emitter(options);
                let mut pending = Vec::new();
                for number in 0..EVENTS / 3 {
                    let user = ["alice", "bob", "carol"][number % 3];
                    pending.push(emitter.send(login(user)).await.expect("it is open"));
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                let mut receipts = Vec::new();
                for receipt in pending {
                    receipts.push(soon(receipt).await.expect("it is accepted"));
                }
                soon(emitter.close()).await;
                receipts
            })
        })
        .collect();
    let mut progress = progress;
    for (dead, wanted) in [(0, EVENTS / 12), (1, EVENTS / 6)] {
        soon(progress.wait_for(|seen| *seen >= wanted)).await.expect("it reads");
        proxies[dead].cut().await;
    }
    let mut receipts = Vec::new();
    for emitter in emitters {
        receipts.extend(soon(emitter).await.expect("no panic"));
    }
    let (sequences, lost) = soon(reading).await.expect("no panic");
    let direct = Client::connect(&url(gateways[2].gateway.address())).await.expect("it listens");
    let records = all_records(&direct).await;
    assert_eq!(records.len(), EVENTS, "0 lost, 0 doubled");
    let by_id: HashSet<_> = receipts.iter().map(|receipt| receipt.id.as_str()).collect();
    assert_eq!(by_id.len(), EVENTS);
    for receipt in &receipts {
        let record = &records[receipt.sequence as usize - 1];
        assert_eq!(record.event.as_ref().expect("an event").id(), receipt.id);
    }
    let of_alice = |record: &&pb::Record| {
        record.event.as_ref().and_then(|event| event.user.as_ref()).expect("a user").name()
            == "alice"
    };
    let expected: Vec<_> = records.iter().filter(of_alice).map(|record| record.sequence).collect();
    assert_eq!(sequences, expected, "exactly filter(log)");
    assert!(lost >= 2, "{lost}");
    let told = told.lock().unwrap();
    let (first, second) = (url(proxies[0].address), url(proxies[1].address));
    assert!(told[0].starts_with(&format!("lost {first}: ")), "{told:?}");
    assert!(told[0].ends_with(&format!("; continuing at {second}")), "{told:?}");
    assert!(told.iter().any(|notice| *notice == format!("connected to {second}")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_goes_on_at_its_page_and_a_call_under_its_id() {
    let (_gateways, mut proxies) = cluster(2).await;
    let client = Client::connect(&list(&proxies)).await.expect("one listens");
    let emitter = client.emitter(Options::default());
    for number in 0..50 {
        drop(emitter.send(login(&number.to_string())).await.expect("it is open"));
    }
    soon(emitter.close()).await;
    let mut results = client.search(pb::SearchRequest { page_size: 10, ..Default::default() });
    let mut sequences = Vec::new();
    while let Some(record) = soon(results.next()).await.expect("a page") {
        sequences.push(record.sequence);
        if sequences.len() == 15 {
            proxies[0].cut().await;
        }
    }
    assert_eq!(sequences, (1..=50).rev().collect::<Vec<_>>());
    let own = pb::Event { id: Some("mine".into()), ..login("alice") };
    let first = soon(client.emit(own.clone())).await.expect("it is accepted");
    proxies[0].restore().await;
    proxies[1].cut().await;
    let again = soon(client.emit(own)).await.expect("it is accepted");
    assert_eq!((again.sequence, again.duplicate), (first.sequence, true));
    assert_eq!(client.server(), url(proxies[0].address));
}

/// Gateways of separate logs are no replacement for each other: a cursor of one is not sent
/// to the other, and an event is not stored in both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_another_log_is_refused() {
    let (one, other) = (start().await, start().await);
    let mut proxy = Proxy::to(one.address()).await;
    let servers = format!("{},{}", url(proxy.address), url(other.address()));
    let connect = async || Client::connect(&servers).await.expect("both listen");
    let client = connect().await;
    for number in 0..30 {
        soon(client.emit(login(&number.to_string()))).await.expect("it is accepted");
    }
    let mut subscriber = connect().await.subscribe(pb::Filter::default(), Start::Earliest);
    let mut records = 0;
    while records < 30 {
        if let Item::Record(_) = soon(subscriber.next()).await.expect("it goes on") {
            records += 1;
        }
    }
    let searching = connect().await;
    let mut results = searching.search(pb::SearchRequest { page_size: 10, ..Default::default() });
    for _ in 0..10 {
        soon(results.next()).await.expect("a page");
    }
    let told = notices(&searching);
    let emitting = connect().await;
    // It knows the log by its first call.
    soon(emitting.get_status()).await.expect("a status");
    proxy.cut().await;
    let refused = loop {
        match soon(subscriber.next()).await {
            Ok(Item::Gap(gap)) => panic!("{gap:?}"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let sentence = format!("{} has another log than {}", url(other.address()), url(proxy.address));
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains(&sentence), "{refused}");
    let searched = tokio::spawn(async move {
        let mut sequences = Vec::new();
        while let Some(record) = results.next().await.expect("a page") {
            sequences.push(record.sequence);
        }
        sequences
    });
    let emitted = tokio::spawn(async move { emitting.emit(login("late")).await });
    until(&told, "has another log than").await;
    proxy.restore().await;
    let sequences = soon(searched).await.expect("no panic");
    assert_eq!(sequences, (1..=20).rev().collect::<Vec<_>>(), "all of one log");
    assert_eq!(soon(emitted).await.expect("no panic").expect("it is accepted").sequence, 31);
    let direct = Client::connect(&url(other.address())).await.expect("it listens");
    assert_eq!(all_records(&direct).await, [], "the other log has nothing of it");
}

#[tokio::test]
async fn the_first_that_answers_is_used_and_errors_name_each() {
    let gateway = start().await;
    let (dead, live) = (url(free_port().await), url(gateway.address()));
    let client = Client::connect(&format!("{dead},{live}")).await.expect("one listens");
    assert_eq!(client.server(), live);
    let told = notices(&client);
    let told = told.lock().unwrap().clone();
    let [notice] = told.as_slice() else { panic!("{told:?}") };
    assert!(notice.starts_with(&format!("lost {dead}: ")), "{notice}");
    assert!(notice.ends_with(&format!("continuing at {live}")), "{notice}");
    let other = url(free_port().await);
    let none = Client::connect(&format!("{dead}, {other}")).await.expect_err("nobody listens");
    let said = none.to_string();
    assert!(matches!(none, Error::NoServer { .. }), "{none:?}");
    assert!(said.contains(&format!("{dead}: ")) && said.contains(&format!("{other}: ")), "{said}");
    let twice = Client::connect(&format!("{live},{live}")).await.expect_err("it is refused");
    assert!(twice.to_string().contains("given twice"), "{twice}");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_end_names_each_server() {
    let servers = [url(free_port().await), url(free_port().await), url(free_port().await)];
    let client = Client::connect_lazy(&servers.join(",")).expect("URLs");
    let begun = tokio::time::Instant::now();
    let error = client.get_status().await.expect_err("nobody listens");
    let Error::GaveUp { attempts, last } = &error else { panic!("{error:?}") };
    assert!((30..150).contains(attempts), "{attempts}");
    assert!(begun.elapsed() <= Duration::from_secs(61), "{:?}", begun.elapsed());
    for server in &servers {
        assert!(last.message.contains(server.as_str()), "{last}");
    }
    let emitter = client.emitter(Options::default());
    let pending = emitter.send(login("alice")).await.expect("it is open");
    let error = pending.await.expect_err("nobody listens");
    assert!(servers.iter().all(|server| error.to_string().contains(server.as_str())), "{error}");
}

/// A gateway that cannot reach the stream lets clients go to one that can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_behind_is_left() {
    let (gateways, proxies) = cluster(2).await;
    let ahead = Client::connect(&url(proxies[1].address)).await.expect("it listens");
    gateways[0].link.hold(true);
    let receipt = soon(ahead.emit(login("alice"))).await.expect("it is accepted");
    let client = Client::connect(&list(&proxies)).await.expect("one listens");
    let key = pb::get_record_request::Key::Sequence(receipt.sequence);
    let record = soon(client.get_record(key)).await.expect("the other one has it");
    assert_eq!(record.sequence, receipt.sequence);
    assert_eq!(client.server(), url(proxies[1].address));
}
