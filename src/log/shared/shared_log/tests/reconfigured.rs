//! A stream that somebody changes while gateways use it, and a server whose answers are sent to
//! the wrong gateway.

use bytes::Bytes;

use super::*;
use crate::log::shared::stream::jetstream::test_server::{self, TestServer, program_or_skip};

/// Waits until the log accepts no events; returns why.
async fn away(log: &SharedLog) -> String {
    let mut state = log.state();
    let away = state.wait_for(|state| matches!(state, State::Away(_)));
    let away = tokio::time::timeout(Duration::from_secs(30), away).await;
    match &*away.expect("in time").expect("it runs") {
        State::Away(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_changed_is_away_until_it_is_changed_back() {
    let stream = SimulatedStream::new(51, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipt(&one.log, "a", "ls").await;
    stream.unfit(true);
    assert!(away(&one.log).await.contains("another format"));
    let refused = one.log.append(&[draft("b", "ls")], ALL).await;
    assert!(matches!(refused, Err(Refusal::Away { .. })), "{refused:?}");
    assert_eq!(one.log.extent().last, Sequence(1), "what it has is read");
    stream.unfit(false);
    ready(&one.log).await;
    assert!(!receipt(&one.log, "b", "ls").await.duplicate);
}

/// Whoever may publish can name somebody else's inbox for the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_another_message_stops_nobody() {
    let stream = SimulatedStream::new(52, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipt(&one.log, "a", "ls").await;
    caught_up(&two.log).await;
    let others = two.log.report().position;
    assert_ne!(two.log.inner.machine.lock().origin(others), None);
    stream.answer_falsely(others);
    for number in 0..5 {
        receipt(&two.log, &format!("two {number}"), "ls").await;
    }
    stream.answer_falsely(0);
    receipt(&two.log, "last", "ls").await;
    assert_eq!(*two.log.state().borrow(), State::Ready);
    assert_eq!(frames(&one.log).await, frames(&two.log).await);
}

/// The stream was rolled back, and has grown again before anybody looked: a gateway's own
/// message is where it has applied another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_ours_where_another_one_was_applied_is_a_roll_back() {
    let stream = SimulatedStream::new(53, Faults::default(), settings());
    let one = gateway(&stream).await;
    for number in 0..6 {
        receipt(&one.log, &format!("{number}"), "ls").await;
    }
    let end = one.log.report().position;
    stream.with(|simulation| simulation.roll_back(end - 5));
    // Six messages of nobody: the gateway has applied five others at these positions.
    for _ in 0..6 {
        stream.inject(Bytes::from_static(b"anything"));
    }
    stream.answer_falsely(end - 2);
    let log = Arc::clone(&one.log);
    let appending = tokio::spawn(async move { log.append(&[draft("new", "ls")], ALL).await });
    let mut state = one.log.state();
    let failed = state.wait_for(|state| matches!(state, State::Failed(_)));
    let failed = tokio::time::timeout(Duration::from_secs(8), failed).await;
    let State::Failed(why) = failed.expect("in time").expect("it runs").clone() else { panic!() };
    assert!(why.contains("another message") && why.contains("accept-loss"), "{why}");
    // It may have been applied before that was noticed.
    drop(appending.await.expect("no panic"));
}

/// One format of messages exists. Only an operator raises it, in the stream's metadata: gateways
/// that do not know it say so, and never write there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_is_not_known_is_refused_and_never_changed() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "max_payload: 8MB\njetstream { STORE }");
    let stream = Arc::new(server.stream("format").await);
    let folder = folder();
    let log = open(&folder, RING, Arc::clone(&stream) as _).await;
    receipt(&log, "a", "ls").await;
    let raised = "auditgate.format";
    let set = async |change: fn(&mut serde_json::Value)| test_server::update(&stream, change).await;
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 4] = [
        (|config| config["metadata"]["auditgate.format"] = "2".into(), "use a newer auditgate"),
        (|config| config["metadata"]["auditgate.window"] = "9".into(), "set it back to 1024"),
        (|config| config["republish"] = serde_json::Value::Null, "republish"),
        (|config| config["allow_msg_ttl"] = true.into(), "allow_msg_ttl"),
    ];
    for (change, why) in changes {
        let whole = set(|_| ()).await;
        let changed = set(change).await;
        let told = away(&log).await;
        assert!(told.contains(why) && told.contains("AUDIT_format"), "{told}");
        let other = server.open("format").await.err().expect("refused").to_string();
        assert!(other.contains(why), "{other}");
        assert!(log.append(&[draft("b", "ls")], ALL).await.is_err());
        assert_eq!(set(|_| ()).await["metadata"][raised], changed["metadata"][raised], "as it was");
        if why == "allow_msg_ttl" {
            // NATS does not take that back.
            break;
        }
        test_server::replace(&stream, whole).await;
        ready(&log).await;
        receipt(&log, why, "ls").await;
    }
    assert_eq!(log.extent().last, Sequence(4));
}
