//! What a loss of the stream comes to: nothing without an operator, and with one an epoch in
//! which all gateways have the same again.

use std::path::Path;

use sha2::{Digest as _, Sha512};

use super::altered::AlteredStream;
use super::faults::{closed, failure, try_open};
use super::*;
use crate::log::shared::message::{EpochChange, MessageContent};
use crate::log::shared::seed::{SeedError, seed};

/// The operator's key, as far as this module knows of keys.
struct OperatorKey;

impl EpochKey for OperatorKey {
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        signature == Sha512::digest([b"secret".as_slice(), text].concat()).as_slice()
    }
}

fn sign(change: &mut EpochChange, log_id: Uuid) {
    let text = change.signed_text(log_id);
    change.signature = Sha512::digest([b"secret".as_slice(), &text].concat()).to_vec();
}

pub fn epoch_key() -> Option<Arc<dyn EpochKey>> {
    Some(Arc::new(OperatorKey))
}

pub async fn accept(
    directory: &Path,
    stream: &Arc<impl Stream>,
) -> Result<AcceptedLoss, AcceptLossError> {
    let keys = keys_of(stream.settings().log_id);
    let wanted = LossAcceptance {
        directory,
        keys: &keys,
        key: &OperatorKey,
        sign: &sign,
        checkpoint: String::new(),
    };
    accept_loss(wanted, &**stream).await
}

pub async fn receipts(log: &SharedLog, numbers: std::ops::Range<u32>) {
    for number in numbers {
        receipt(log, &number.to_string(), "ls").await;
    }
}

/// Loses the newest messages of the stream.
fn lose(stream: &SimulatedStream, messages: u64) {
    stream.with(|simulation| simulation.roll_back(simulation.ends().last - messages));
}

pub async fn reopen(folder: TempDir, stream: &Arc<impl Stream>) -> Gateway {
    let log = try_open(&folder, stream).await.unwrap_or_else(|error| panic!("{error}"));
    ready(&log).await;
    Gateway { log: Arc::new(log), folder }
}

pub fn epoch(log: &SharedLog) -> u64 {
    log.identity().borrow().epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_has_is_not_lost_with_the_stream() {
    let stream = SimulatedStream::new(31, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipts(&one.log, 0..10).await;
    let all = frames(&one.log).await;
    assert!(frames(&two.log).await == all);
    let (one, two) = (closed(one).await, closed(two).await);
    let nothing = accept(one.path(), &stream).await;
    assert!(matches!(nothing, Err(AcceptLossError::NothingLost)), "{nothing:?}");
    lose(&stream, 4);
    let why = try_open(&one, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("accept-loss"), "{why}");
    let accepted = accept(one.path(), &stream).await.unwrap();
    assert_eq!((accepted.epoch, accepted.records), (2, 10));
    let again = accept(two.path(), &stream).await;
    assert!(matches!(again, Err(AcceptLossError::Accepted(2))), "{again:?}");
    let (one, two) = (reopen(one, &stream).await, reopen(two, &stream).await);
    for gateway in [&one, &two] {
        assert!(frames(&gateway.log).await == all);
        assert_eq!(epoch(&gateway.log), 2);
        assert_eq!(gateway.log.kept_of_epoch(1), Some(Sequence(10)));
        assert!(!gateway.folder.path().join("lost").exists());
        // What the stream has lost, too.
        assert!(receipt(&gateway.log, "9", "ls").await.duplicate);
    }
    assert_eq!(receipt(&two.log, "10", "ls").await.sequence, Sequence(11));
    assert!(receipt(&one.log, "10", "ls").await.duplicate);
    // They stop and go on in the new epoch as in any.
    let two = reopen(closed(two).await, &stream).await;
    receipts(&two.log, 11..20).await;
    assert!(frames(&one.log).await == frames(&two.log).await);
    assert_eq!((epoch(&two.log), two.log.report().disagreement), (2, None));
    // A new gateway lacks what the stream lacks, and is seeded.
    let new = folder();
    let log = try_open(&new, &stream).await.unwrap();
    let why = failure(&log).await;
    assert!(why.contains("restart") && why.contains("epoch 2"), "{why}");
    log.close().await;
    drop(log);
    let why = loop {
        match try_open(&new, &stream).await {
            Err(why) if why.contains("in use") => tokio::time::sleep(SYNC_INTERVAL / 20).await,
            opened => break opened.map(|_| ()).unwrap_err(),
        }
    };
    assert!(why.contains("join --from"), "{why}");
    let one = closed(one).await;
    let seeded = folder();
    seed(one.path(), seeded.path(), LOG_ID).unwrap();
    let seeded = reopen(seeded, &stream).await;
    assert!(frames(&seeded.log).await == frames(&two.log).await);
    assert_eq!(seeded.log.extent().first, Sequence(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_chosen_copy_lacks_is_set_aside_everywhere() {
    let stream = SimulatedStream::new(32, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipts(&one.log, 0..6).await;
    caught_up(&two.log).await;
    let two = closed(two).await;
    receipts(&one.log, 6..10).await;
    let all = frames(&one.log).await;
    let one = closed(one).await;
    lose(&stream, 8);
    // The other one is behind what is lost, too, and is chosen.
    let accepted = accept(two.path(), &stream).await.unwrap();
    assert_eq!(accepted.records, 6);
    // As if it had been killed after files were moved.
    let change = stream.with(|simulation| simulation.at_once(1, u64::MAX).last()).unwrap();
    let change = SharedMessage::decode(&change.bytes, &keys()).unwrap().content;
    let MessageContent::Epoch(change) = change else { panic!("{change:?}") };
    let lost = one.path().join("lost").join(format!("epoch-2-after-6-{:016x}", change.digest));
    let first = disk::identity::EpochEntry { number: 2, first: Sequence(7) };
    assert_eq!(disk::set_aside(one.path(), first, &lost).unwrap().len(), 6);
    let (one, two) = (reopen(one, &stream).await, reopen(two, &stream).await);
    for gateway in [&one, &two] {
        assert!(frames(&gateway.log).await == all[..6]);
        assert_eq!((epoch(&gateway.log), gateway.log.kept_of_epoch(1)), (2, Some(Sequence(6))));
    }
    assert_eq!(std::fs::read_dir(&lost).unwrap().count(), 1, "what is lost is still there");
    // Events that are lost are new, and take the sequences of others.
    assert_eq!(receipt(&one.log, "8", "ls").await.sequence, Sequence(7));
    assert!(receipt(&two.log, "5", "ls").await.duplicate);
    assert!(frames(&one.log).await == frames(&two.log).await);
    // It was put in order once.
    let (count, one) = (one.log.extent().last, reopen(closed(one).await, &stream).await);
    assert_eq!((one.log.extent().last, epoch(&one.log)), (count, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_made_anew_goes_on_after_the_copies() {
    let stream = SimulatedStream::new(33, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipts(&one.log, 0..5).await;
    let all = frames(&one.log).await;
    caught_up(&two.log).await;
    let (one, two) = (closed(one).await, closed(two).await);
    let anew = SimulatedStream::new(34, Faults::UNNOTICED, settings());
    let refused = try_open(&one, &anew).await.err().unwrap();
    assert!(refused.contains("rolled back or made anew"), "{refused}");
    let accepted = accept(two.path(), &anew).await.unwrap();
    assert_eq!((accepted.position, accepted.records), (1, 5));
    let (one, two) = (reopen(one, &anew).await, reopen(two, &anew).await);
    assert_eq!(receipt(&one.log, "5", "ls").await.sequence, Sequence(6));
    assert!(receipt(&two.log, "5", "ls").await.duplicate);
    for gateway in [&one, &two] {
        assert!(frames(&gateway.log).await[..5] == all);
    }
    // It may be lost again.
    let (one, two) = (closed(one).await, closed(two).await);
    let last = SimulatedStream::new(35, Faults::default(), settings());
    assert_eq!(accept(one.path(), &last).await.unwrap().epoch, 3);
    let (one, two) = (reopen(one, &last).await, reopen(two, &last).await);
    receipts(&two.log, 6..9).await;
    assert!(frames(&one.log).await == frames(&two.log).await);
    assert_eq!((epoch(&one.log), one.log.kept_of_epoch(1)), (3, Some(Sequence(5))));
}

/// A gateway's copy of six records, in a stream that was rolled back after so many messages.
async fn copy_of_lost(stream: &Arc<SimulatedStream>, last: u64) -> TempDir {
    let gateway = gateway(stream).await;
    receipts(&gateway.log, 0..6).await;
    let copy = closed(gateway).await;
    lose(stream, last);
    copy
}

/// The message that accepts a loss is valid at one position only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_not_accepted_while_gateways_publish() {
    let stream = SimulatedStream::new(39, Faults::default(), settings());
    let one = copy_of_lost(&stream, 3).await;
    let first = Mutex::new(Some(bytes::Bytes::from_static(b"of a gateway")));
    let busy = AlteredStream { stream: Arc::clone(&stream), first, ends_time: Duration::ZERO };
    let busy = Arc::new(busy);
    let refused = accept(one.path(), &busy).await;
    assert!(matches!(refused, Err(AcceptLossError::Busy)), "{refused:?}");
    let why = try_open(&one, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("accept-loss"), "{why}");
    let accepted = accept(one.path(), &busy).await.expect("nobody publishes");
    assert_eq!((accepted.epoch, accepted.records), (2, 6));
    assert_eq!(epoch(&reopen(one, &stream).await.log), 2);
}

/// A gateway that follows a stream which was rolled back goes on, or stops with a sentence
/// and sets its records aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_gateways_apply_an_epoch() {
    let stream = SimulatedStream::new(36, Faults::default(), settings());
    let one = copy_of_lost(&stream, 2).await;
    let (two, three) = (gateway(&stream).await, gateway(&stream).await);
    // What follows the stream is chosen.
    receipt(&two.log, "new", "ls").await;
    receipts(&two.log, 4..8).await;
    caught_up(&three.log).await;
    let two = closed(two).await;
    let nothing = accept(two.path(), &stream).await;
    assert!(matches!(nothing, Err(AcceptLossError::NothingLost)), "{nothing:?}");
    // The first one's records are chosen instead.
    let accepted = accept(one.path(), &stream).await.unwrap();
    assert_eq!(accepted.records, 6);
    let why = failure(&three.log).await;
    assert!(why.contains("restart"), "{why}");
    let three = closed(three).await;
    // Its records 5 and 6 are others.
    let why = try_open(&three, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("does not begin with them"), "{why}");
    let one = reopen(one, &stream).await;
    receipt(&one.log, "more", "ls").await;
    // One that has what the epoch begins with applies it while it runs.
    let four = folder();
    let one = closed(one).await;
    seed(one.path(), four.path(), LOG_ID).unwrap();
    let (one, four) = (reopen(one, &stream).await, reopen(four, &stream).await);
    let one = closed(one).await;
    let state = four.log.inner.machine.lock().state();
    inject_epoch(&stream, state, |_| {});
    let mut identity = four.log.identity();
    let begun = identity.wait_for(|identity| identity.epoch == 3);
    tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap().unwrap();
    assert_eq!(four.log.kept_of_epoch(2), Some(Sequence(7)));
    receipt(&four.log, "last", "ls").await;
    let one = reopen(one, &stream).await;
    assert!(frames(&one.log).await == frames(&four.log).await);
    assert_eq!((epoch(&one.log), one.log.report().disagreement), (3, None));
}

/// Publishes the message by which a log goes on after this state, changed before or after it
/// was signed.
pub fn inject_epoch(stream: &SimulatedStream, state: Basis, change_it: impl Fn(&mut EpochChange)) {
    let mut change = EpochChange {
        number: state.epoch + 1,
        position: state.position + 1,
        count: state.count,
        time: state.time,
        digest: state.digest,
        checkpoint: String::new(),
        signature: Vec::new(),
    };
    sign(&mut change, LOG_ID);
    change_it(&mut change);
    let content = MessageContent::Epoch(change);
    let message = SharedMessage { sender: 1, counter: 1, basis: Basis::default(), content };
    stream.inject(message.encode(&keys()).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_begins_an_epoch_and_once() {
    let stream = SimulatedStream::new(37, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipts(&one.log, 0..3).await;
    let state = async || {
        caught_up(&one.log).await;
        one.log.inner.machine.lock().state()
    };
    // Whoever has the cluster key, but not the operator's.
    inject_epoch(&stream, state().await, |change| change.signature[0] ^= 1);
    inject_epoch(&stream, state().await, |change| change.count = 0);
    inject_epoch(&stream, state().await, |change| change.position += 1);
    // Signed, and meant for another place or time.
    for (number, position) in [(1, 0), (3, 0), (2, 1), (2, -1)] {
        let state = state().await;
        let position = state.position.checked_add_signed(position).unwrap();
        let wrong = Basis { epoch: number - 1, position, ..state };
        inject_epoch(&stream, wrong, |_| {});
    }
    receipt(&two.log, "3", "ls").await;
    assert_eq!((epoch(&one.log), epoch(&two.log)), (1, 1));
    let now = state().await;
    inject_epoch(&stream, now, |_| {});
    let message = stream.with(|simulation| simulation.at_once(1, u64::MAX).last()).unwrap();
    for _ in 0..3 {
        stream.inject(message.bytes.clone());
    }
    receipt(&one.log, "4", "ls").await;
    caught_up(&two.log).await;
    for gateway in [&one, &two] {
        assert_eq!(epoch(&gateway.log), 2);
        assert_eq!(gateway.log.report().invalid, 3);
    }
    assert!(frames(&one.log).await == frames(&two.log).await);
    // One without the key cannot tell, and stops.
    let three = folder();
    let without = Config { epoch_key: None, ..config(RING) };
    let (three, _) =
        SharedLog::open(three.path(), without, Arc::clone(&stream) as _).await.unwrap();
    let why = failure(&three).await;
    assert!(why.contains("no key of the log"), "{why}");
}

#[test]
fn what_is_seeded_is_a_whole_copy_that_nobody_uses() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = SimulatedStream::new(38, Faults::default(), settings());
    runtime.block_on(async {
        let one = gateway(&stream).await;
        receipts(&one.log, 0..3).await;
        let new = folder();
        let to = new.path().join("new");
        let running = seed(one.folder.path(), &to, LOG_ID).unwrap_err();
        assert!(matches!(running, SeedError::InUse(_)), "{running}");
        let one = closed(one).await;
        for name in ["signing-key", "checkpoint", "checkpoint-conflict"] {
            std::fs::write(one.path().join(name), name).unwrap();
        }
        let foreign = seed(one.path(), &to, Uuid::nil()).unwrap_err();
        assert!(matches!(foreign, SeedError::OtherLog { .. }), "{foreign}");
        let none = seed(new.path(), &to, LOG_ID).unwrap_err();
        assert!(matches!(none, SeedError::NoCopy(_)), "{none}");
        let full = seed(one.path(), one.path(), LOG_ID).unwrap_err();
        assert!(matches!(full, SeedError::NotEmpty(_)), "{full}");
        assert!(!to.exists());
        let seeded = seed(one.path(), &to, LOG_ID).unwrap();
        assert!(seeded.files >= 5 && seeded.bytes > 0 && seeded.position > 0);
        assert!(to.join("checkpoint").exists());
        assert!(!to.join("signing-key").exists() && !to.join("checkpoint-conflict").exists());
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("log"))), (0o700, 0o600));
    });
}
