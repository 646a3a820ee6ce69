//! Authentic messages that somebody sends again, or late: all gateways decide alike.

use bytes::Bytes;

use super::epochs::{epoch, inject_epoch, receipts, reopen};
use super::faults::closed;
use super::*;
use crate::log::shared::message::MessageContent;
use crate::log::shared::message::group::{EncodedUnit, EventKey, MessageGroup};

/// A message with a record of this id, by a gateway that was in this state.
fn late(id: &str, basis: Basis) -> Bytes {
    let draft = draft(id, "ls");
    let mut head = Vec::new();
    draft.describe(&mut head);
    let mut unit = EncodedUnit::with_capacity(false, 0);
    let key = EventKey::of(draft.principal(), draft.event().id_bytes());
    assert!(unit.add(key, draft.is_untimed(), &head, &draft.event().bytes));
    let content = MessageContent::Group(MessageGroup::of(&[unit]));
    SharedMessage { sender: 9, counter: 1, basis, content }.encode(&keys()).into()
}

async fn state(log: &SharedLog) -> Basis {
    caught_up(log).await;
    log.inner.machine.lock().state()
}

fn message(stream: &SimulatedStream, position: u64) -> Bytes {
    let message = stream.with(|simulation| simulation.at_once(position, position).next());
    message.expect("it is there").bytes
}

/// Retention leaves a few messages. One gateway stops and goes on, and the other does not:
/// what neither can look up in the stream any more, both remember.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_stopped_decides_on_old_messages_as_the_others_do() {
    let stream = SimulatedStream::new(71, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    let early = state(&one.log).await;
    receipts(&one.log, 0..10).await;
    let recorded: Vec<_> = (1..=stream.with(|simulation| simulation.ends().last))
        .map(|position| message(&stream, position))
        .collect();
    caught_up(&two.log).await;
    let mut two = closed(two).await;
    for round in 0..3 {
        stream.with(|simulation| simulation.trim(simulation.ends().last));
        let gateway = reopen(two, &stream).await;
        for bytes in recorded.iter().cloned() {
            stream.inject(bytes);
        }
        // These come for the first time, long after they were made.
        stream.inject(late(&format!("late {round}"), early));
        stream.inject(late("3", early));
        receipt(&one.log, &format!("new {round}"), "ls").await;
        assert!(frames(&gateway.log).await == frames(&one.log).await, "the same bytes");
        assert_eq!(*gateway.log.state().borrow(), State::Ready);
        assert_eq!(gateway.log.report().disagreements, 0);
        two = closed(gateway).await;
    }
    assert_eq!(one.log.extent().last, Sequence(10 + 3 + 3));
    // Without what it remembers, it cannot tell, and stops instead of guessing.
    stream.with(|simulation| simulation.trim(simulation.ends().last));
    std::fs::remove_file(two.path().join("window")).expect("there is one");
    let gateway = reopen(two, &stream).await;
    stream.inject(late("later", early));
    let why = super::faults::failure(&gateway.log).await;
    assert!(why.contains("knows the stream from"), "{why}");
}

/// A gateway goes on within an epoch: what was sent before the epoch is stale, for it and for
/// those that never stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_an_epoch_is_stale_for_all() {
    let stream = SimulatedStream::new(72, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipts(&one.log, 0..3).await;
    let before = state(&one.log).await;
    inject_epoch(&stream, before, |_| {});
    receipts(&one.log, 3..5).await;
    caught_up(&two.log).await;
    // With the messages of the stream, and with what it remembers.
    let mut two = two;
    for (round, is_trimmed) in [false, true].into_iter().enumerate() {
        let folder = closed(two).await;
        if is_trimmed {
            stream.with(|simulation| simulation.trim(simulation.ends().last));
        }
        two = reopen(folder, &stream).await;
        stream.inject(late(&format!("late {round}"), before));
        receipt(&one.log, &format!("new {round}"), "ls").await;
        assert!(frames(&two.log).await == frames(&one.log).await, "the same bytes");
        assert_eq!((epoch(&one.log), epoch(&two.log)), (2, 2));
    }
    assert_eq!(one.log.extent().last, Sequence(5 + 2));
}

/// A signed checkpoint, or what a gateway told of itself, is no news when it is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_announcement_is_no_news() {
    let window = WindowLimits { messages: 8, ..WindowLimits::default() };
    let settings = StreamSettings { window, ..settings() };
    let stream = SimulatedStream::new(73, Faults::default(), settings);
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    assert!(CheckpointExchange::publish(&*one.log.inner, "a checkpoint".to_owned()));
    one.log.announce(MemberReport { name: "one".into(), ..MemberReport::default() });
    let came = async |log: &SharedLog| {
        caught_up(log).await;
        log.inner.checkpoints.take().into_iter().map(|came| came.text).collect::<Vec<_>>()
    };
    let mut first = Vec::new();
    while first.is_empty() || two.log.report().members.is_empty() {
        first.extend(came(&two.log).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(first, ["a checkpoint"]);
    let end = stream.with(|simulation| simulation.ends().last);
    let recorded: Vec<_> = (1..=end).map(|position| message(&stream, position)).collect();
    receipts(&one.log, 0..10).await;
    caught_up(&two.log).await;
    let members = two.log.report().members;
    // Another process of the same gateway has come since: its name is not listed twice.
    two.log.inner.lock().members = Default::default();
    for bytes in recorded {
        stream.inject(bytes);
    }
    receipts(&one.log, 10..11).await;
    assert_eq!(came(&two.log).await, [""; 0]);
    assert_eq!((members.len(), two.log.report().members), (1, vec![]));
}

/// A sender with another state is reported, and its message still applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_with_other_records_is_counted() {
    let stream = SimulatedStream::new(74, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipts(&one.log, 0..3).await;
    let own = state(&one.log).await;
    for number in 1..=2 {
        let other = Basis { count: own.count + number, ..own };
        stream.inject(late(&format!("other {number}"), other));
        caught_up(&one.log).await;
        let report = one.log.report();
        let found = report.disagreement.expect("it differs");
        assert_eq!((report.disagreements, found.own, found.sender), (number, own, other));
    }
    assert_eq!(one.log.extent().last, Sequence(5));
}
