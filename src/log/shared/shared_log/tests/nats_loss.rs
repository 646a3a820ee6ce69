//! A stream of a real server that is deleted under running gateways.

use super::epochs::{accept, epoch, receipts, reopen};
use super::faults::{closed, failure, try_open};
use super::*;
use crate::log::shared::stream::jetstream::test_server::{self, TestServer, program_or_skip};
use crate::log::shared::stream::jetstream::{JetStream, StreamPlan, Subjects};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_on_after_its_stream_was_deleted() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "max_payload: 8MB\njetstream { STORE }");
    let stream = Arc::new(server.stream("loss").await);
    let log_id = stream.settings().log_id;
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let folder = folder();
        let log = open(&folder, RING, Arc::clone(&stream) as _).await;
        gateways.push(Gateway { log, folder });
    }
    receipts(&gateways[0].log, 0..20).await;
    let all = frames(&gateways[0].log).await;
    assert!(frames(&gateways[1].log).await == all);
    test_server::delete(&stream).await;
    let why = failure(&gateways[0].log).await;
    assert!(why.contains("deleted"), "{why}");
    assert_eq!(gateways[0].log.extent().last, Sequence(20), "history is served");
    let (one, two) = (gateways.remove(0), gateways.remove(0));
    let (one, two) = (closed(one).await, closed(two).await);
    // For the same log, as accept-loss makes it.
    let subjects = Subjects::of_log("loss").unwrap();
    let plan = StreamPlan { replicas: 1, age_max: None, bytes_max: None };
    let anew = JetStream::create(&server.connection(), &subjects, plan, log_id).await.unwrap();
    let anew = Arc::new(anew);
    let why = try_open(&one, &anew).await.map(|_| ()).unwrap_err();
    assert!(why.contains("accept-loss"), "{why}");
    let accepted = accept(one.path(), &anew).await.unwrap();
    assert_eq!((accepted.position, accepted.records), (1, 20));
    let (one, two) = (reopen(one, &anew).await, reopen(two, &anew).await);
    receipts(&two.log, 15..30).await;
    let now = frames(&one.log).await;
    assert!(frames(&two.log).await == now && now.len() == 30 && now.starts_with(&all));
    assert_eq!((epoch(&one.log), epoch(&two.log)), (2, 2));
    // The stream has removed nothing, though it begins after most records.
    assert_eq!(anew.report().kept_since, None);
    one.log.close().await;
    two.log.close().await;
}
