//! The beginning of an epoch, and the digest that it needs.

use super::*;

/// The message by which an operator has a log go on after this state.
pub fn epoch_after(state: Basis) -> SharedMessage {
    let content = MessageContent::Epoch(EpochChange {
        number: state.epoch + 1,
        position: state.position + 1,
        count: state.count,
        time: state.time,
        digest: state.digest,
        checkpoint: String::new(),
        signature: Vec::new(),
    });
    SharedMessage { sender: 99, counter: 1, basis: Basis::default(), content }
}

/// Where the epoch began that is present at this position.
pub fn epoch_at(history: &History, position: u64) -> u64 {
    let (mut epoch, mut at) = (1, 0);
    for (before, (_, message)) in (1..=position).zip(&history.stream) {
        if let Some(MessageContent::Epoch(change)) = message.as_ref().map(|of| &of.content)
            && (change.position, change.number) == (before, epoch + 1)
        {
            (epoch, at) = (change.number, before);
        }
    }
    at
}

/// What is sent before an epoch is stale in it, however young; a gateway that lacks the
/// epoch stops.
#[test]
fn an_epoch_begins_anew() {
    let limits = WindowLimits::default();
    let unit = {
        let mut unit = EncodedUnit::with_capacity(false, 0);
        assert!(unit.add(key(1), false, b"", b""));
        unit
    };
    let group = MessageContent::Group(MessageGroup::of(&[unit]));
    let mut machine = Machine::new(limits);
    let before = machine.state();
    let message = SharedMessage { sender: 1, counter: 1, basis: before, content: group.clone() };
    machine.apply(1, Time(5), &message, |_| 7).unwrap();
    let MessageContent::Epoch(change) = epoch_after(machine.state()).content else { panic!() };
    assert!(machine.is_next_epoch(2, &change));
    assert!(!machine.is_next_epoch(3, &change), "at another position it is void");
    for number in [0, 1, 3] {
        assert!(!machine.is_next_epoch(2, &EpochChange { number, ..change.clone() }));
    }
    let mut begun = Machine::of_epoch(limits, &change);
    assert_eq!(begun.state(), Basis { position: 2, epoch: 2, ..machine.state() });
    assert!(begun.is_old(1) && !begun.is_old(2) && !begun.is_fresh(3, 1) && begun.is_fresh(3, 2));
    let message =
        |basis, counter| SharedMessage { sender: 1, counter, basis, content: group.clone() };
    let late = begun.apply(3, Time(6), &message(before, 2), |_| 7).unwrap();
    assert_eq!(late.placements, [Placement::Stale]);
    // Its sender has looked it up in what is left.
    let new = begun.apply(4, Time(6), &message(change.state(), 3), |_| 7).unwrap();
    assert_eq!(new.placements, [Placement::Seen], "the stale message had the key");
    let basis = begun.state();
    let new = begun.apply(5, Time(6), &message(basis, 4), |_| 7).unwrap();
    assert_eq!(new.placements, [Placement::Stored(Sequence(2))]);
    machine.skip(2).unwrap();
    let error = machine.apply(3, Time(6), &message(basis, 5), |_| 7);
    assert_eq!(error, Err(ApplyError::LaterEpoch { position: 3, epoch: 2, own: 1 }));
}

#[test]
fn a_digest_without_its_last_frame_is_the_one_before() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..1_000 {
        let (digest, frame) = (rng.u64(..), rng.u32(..));
        assert_eq!(unmix(mix(digest, frame), frame), digest);
    }
}
