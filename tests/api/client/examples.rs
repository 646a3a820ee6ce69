//! The examples do what they say: nothing is missed when the subscriber is
//! killed, and both go on when the gateway is restarted.

#[path = "../../../examples/embed.rs"]
#[allow(dead_code, reason = "the example's own main is not called")]
mod embed;
#[path = "../../../examples/emit.rs"]
#[allow(dead_code, reason = "the example's own main is not called")]
mod emit;
#[path = "../../../examples/tail.rs"]
#[allow(dead_code, reason = "the example's own main is not called")]
mod tail;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::client::url;
use crate::support::{soon, start, start_at};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The example subscriber as a task, and the sequences that it handles. It dies
/// when it comes to `last`, in the middle of what arrived with it.
fn subscriber(url: &str, file: &Path, last: u64) -> (JoinHandle<()>, mpsc::UnboundedReceiver<u64>) {
    let (handled, sequences) = mpsc::unbounded_channel();
    let (url, file): (String, PathBuf) = (url.to_owned(), file.to_owned());
    let task = tokio::spawn(async move {
        let ended = tail::tail(&url, &file, |record| {
            assert!(record.sequence < last, "killed");
            handled.send(record.sequence).expect("the test listens");
        });
        panic!("{}", ended.await.expect_err("it goes on").to_string());
    });
    (task, sequences)
}

async fn take(sequences: &mut mpsc::UnboundedReceiver<u64>, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(soon(sequences.recv()).await.expect("the subscriber lives"));
    }
    taken
}

#[tokio::test]
async fn a_killed_subscriber_misses_nothing() {
    /// More than one response of a stream has room for, by far.
    const EVENTS: u64 = 2_000;
    const KILLED_AT: u64 = 1_950;
    let gateway = start().await;
    let url = url(gateway.address());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cursor");
    let receipts = emit::emit(&url, EVENTS as usize).await.expect("it emits");
    assert_eq!(receipts.len(), EVENTS as usize);

    let (task, mut sequences) = subscriber(&url, &file, KILLED_AT);
    assert!(soon(task).await.expect_err("it was killed").is_panic());
    let handled = take(&mut sequences, KILLED_AT as usize - 1).await;
    assert_eq!(handled, (1..KILLED_AT).collect::<Vec<_>>());
    let (_task, mut sequences) = subscriber(&url, &file, u64::MAX);
    let resumed = take(&mut sequences, 1).await[0];
    assert!(resumed <= KILLED_AT, "{resumed}: missed");
    assert!(resumed > 1, "what was stored is not repeated");
    let rest = take(&mut sequences, (EVENTS - resumed) as usize).await;
    assert_eq!(rest, (resumed + 1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn both_go_on_when_the_gateway_is_restarted() {
    let gateway = start().await;
    let address = gateway.address();
    let url = url(address);
    let folder = tempfile::tempdir().expect("a folder");
    let (_task, mut sequences) = subscriber(&url, &folder.path().join("cursor"), 100);
    emit::emit(&url, 3).await.expect("it emits");
    assert_eq!(take(&mut sequences, 3).await, [1, 2, 3]);
    tokio::time::timeout(Duration::from_secs(15), gateway.stop()).await.expect("it stops");
    let _gateway = start_at(address).await;
    emit::emit(&url, 2).await.expect("it emits again");
    assert_eq!(take(&mut sequences, 2).await, [1, 2], "of the new log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_can_be_embedded() {
    let records = embed::embed().await.expect("it runs");
    assert_eq!(records.len(), 1);
    assert!(records.iter().all(|record| record.r#type == "user.create"));
}
