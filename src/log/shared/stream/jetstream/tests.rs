//! The stream on a real server, where one is installed.

use super::test_server::{TestServer, create, program_or_skip};
use super::*;

const PLAN: StreamPlan = StreamPlan { replicas: 1, age_max: None, bytes_max: None };

fn subjects() -> Subjects {
    Subjects::of_log("test").unwrap()
}

fn message(number: usize) -> Bytes {
    Bytes::from(format!("message {number}").into_bytes())
}

/// Retries what a server that has just started may refuse.
async fn created(server: &TestServer, plan: StreamPlan) -> JetStream {
    for _ in 0..50 {
        if let Ok(stream) = create(&server.connection(), &subjects(), plan).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    create(&server.connection(), &subjects(), plan).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_back_as_they_were_appended() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "max_payload: 2MB\njetstream { STORE }");
    let stream = created(&server, PLAN).await;
    assert_eq!(stream.ends().await, Ok(StreamEnds { first: 1, last: 0 }));
    assert_eq!(stream.read(1, false).await, Ok(Vec::new()));
    assert_eq!(stream.read(1, true).await, Ok(Vec::new()));
    let mut live = stream.live().await.unwrap();
    // Over the same connection: from then on, live messages come.
    assert_eq!(stream.read(1, false).await, Ok(Vec::new()));
    for number in 1..=600 {
        assert_eq!(stream.append(message(number)).await, Ok(number as u64));
    }
    assert_eq!(stream.ends().await, Ok(StreamEnds { first: 1, last: 600 }));
    let mut read = Vec::new();
    while read.len() < 600 {
        let entries = stream.read(read.len() as u64 + 1, false).await.unwrap();
        assert!(!entries.is_empty() && entries.len() <= 256);
        read.extend(entries);
    }
    for (place, entry) in read.iter().enumerate() {
        assert_eq!((entry.position, &entry.bytes), (place as u64 + 1, &message(place + 1)));
        // The same to the nanosecond, on each way.
        assert_eq!(live.recv().await.as_ref(), Some(entry));
    }
    assert!(read.is_sorted_by_key(|entry| entry.timestamp));
    assert_eq!(stream.read(570, true).await.unwrap(), read[569..]);
    assert_eq!(stream.read(601, false).await, Ok(Vec::new()));
    // What is large comes in smaller batches, and what is too large is refused.
    let large = Bytes::from(vec![7; 1_500_000]);
    for _ in 0..5 {
        stream.append(large.clone()).await.unwrap();
    }
    let entries = stream.read(601, false).await.unwrap();
    assert!((1..5).contains(&entries.len()), "{}", entries.len());
    let refused = stream.append(vec![7; 3_000_000].into()).await;
    assert!(matches!(refused, Err(StreamError::Refused(_))), "{refused:?}");
    assert_eq!(stream.settings().message_bytes_max, 2 * 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_creator_wins_and_others_read_what_it_agreed_on() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "jetstream { STORE }");
    let missing = JetStream::open(&server.connection(), &subjects()).await;
    assert!(matches!(missing, Err(Error::NoStream(name)) if name == "AUDIT_test"));
    let stream = created(&server, PLAN).await;
    let other = JetStream::create(&server.connection(), &subjects(), PLAN, Uuid::now_v7()).await;
    assert!(matches!(other, Err(Error::Exists(name)) if name == "AUDIT_test"));
    let log_id = stream.settings().log_id;
    let other = JetStream::create(&server.connection(), &subjects(), PLAN, log_id).await.unwrap();
    assert_eq!(other.plan(), PLAN);
    let opened = JetStream::open(&server.connection(), &subjects()).await.unwrap();
    assert_eq!(other.settings(), stream.settings());
    assert_eq!(opened.settings(), stream.settings());
    assert_eq!(stream.settings().window.messages, 1_024);
    for name in ["", "a.b", "a b", "a>", &"x".repeat(101)] {
        assert!(matches!(Subjects::of_log(name), Err(Error::Name(_))), "{name:?}");
    }
    // A stream that is deleted is not taken for one that is empty.
    let nothing = serde_json::Map::new();
    let deleted =
        api::ask::<serde_json::Value>(&stream.connection, "STREAM.DELETE", "AUDIT_test", &nothing)
            .await;
    assert!(deleted.unwrap().is_ok());
    assert!(
        matches!(stream.ends().await, Err(StreamError::Refused(why)) if why.contains("deleted"))
    );
    created(&server, PLAN).await;
    assert!(matches!(stream.ends().await, Err(StreamError::Refused(why)) if why.contains("anew")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_stream_is_read_from_its_oldest_message() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "jetstream { STORE }");
    let stream = created(&server, StreamPlan { bytes_max: Some(20_000), ..PLAN }).await;
    for _ in 0..100 {
        stream.append(vec![7; 1_000].into()).await.unwrap();
    }
    let ends = stream.ends().await.unwrap();
    assert!(ends.first > 50 && ends.last == 100, "{ends:?}");
    let oldest = stream.read(ends.first, true).await.unwrap();
    assert_eq!(stream.report().kept_since, Some(oldest[0].timestamp));
    for from_leader in [false, true] {
        let entries = stream.read(3, from_leader).await.unwrap();
        let positions = entries.iter().map(|entry| entry.position);
        assert!(positions.eq(ends.first..=100), "{from_leader}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_space_is_full_and_one_that_is_gone_is_unknown() {
    let Some(program) = program_or_skip() else { return };
    let limits = "jetstream { STORE, max_file_store: 200KB }";
    let server = TestServer::start(program.clone(), limits);
    let stream = created(&server, PLAN).await;
    let mut answers = Vec::new();
    for _ in 0..300 {
        answers.push(stream.append(vec![7; 1_000].into()).await);
    }
    let full = answers.iter().position(|answer| matches!(answer, Err(StreamError::Full(_))));
    assert!(full.is_some_and(|full| full > 50), "{:?}", answers.last());
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert_eq!(stream.ends().await.unwrap().last, accepted, "nothing is dropped");
    drop(server);
    let gone = tokio::time::timeout(Duration::from_secs(20), stream.append(message(1))).await;
    assert!(matches!(gone, Ok(Err(StreamError::Unknown(_)))), "{gone:?}");
    let nobody =
        NatsServers { addresses: vec!["nats://127.0.0.1:1".into()], ..NatsServers::default() };
    assert!(matches!(JetStream::open(&nobody, &subjects()).await, Err(Error::Connect { .. })));
    let other = NatsServers { addresses: vec!["127 0 0 1".into()], ..NatsServers::default() };
    assert!(matches!(JetStream::open(&other, &subjects()).await, Err(Error::Address { .. })));
}
