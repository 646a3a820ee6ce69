//! What holds at the edges of the window.

use super::*;

const LIMITS: WindowLimits = WindowLimits { messages: 8, keys: 1_000 };

/// A message without records of a sender in this state.
fn empty(basis: Basis) -> SharedMessage {
    let content = MessageContent::Group(MessageGroup::of(&[]));
    SharedMessage { sender: 1, counter: 1, basis, content }
}

/// A machine that has applied so many messages without records.
fn after(count: u64) -> Machine {
    let mut machine = Machine::new(LIMITS);
    for position in 1..=count {
        let message = empty(machine.state());
        machine.apply(position, Time(0), &message, |_| 0).unwrap();
    }
    machine
}

#[test]
fn a_state_as_old_as_the_window_is_still_compared() {
    for behind in 1..=LIMITS.messages {
        let mut machine = after(20);
        let other = Basis { position: 21 - behind, count: 5, ..machine.state() };
        let applied = machine.apply(21, Time(0), &empty(other), |_| 0).unwrap();
        let found = applied.disagreement.expect("it differs");
        assert_eq!((found.at, found.sender.count, found.own.count), (21, 5, 0));
    }
}

#[test]
fn a_basis_is_looked_up_again_when_half_of_the_window_has_passed() {
    let machine = after(20);
    let old = (0..=20).filter(|basis| machine.is_old(*basis));
    assert!(old.eq(0..=16), "a message at 21 is 4 behind a basis of 17");
}

#[test]
fn what_was_recorded_and_is_sent_again_is_not_fresh() {
    let machine = after(20);
    let fresh = (0..30).filter(|basis| machine.is_fresh(20, *basis));
    assert!(fresh.eq(12..20), "neither too old, nor from what comes later");
}

#[test]
fn a_message_from_before_an_epoch_tells_nothing_of_it() {
    let state = Basis { position: 9, count: 3, ..Basis::default() };
    let MessageContent::Epoch(change) = epoch_after(state).content else { panic!() };
    let mut search = JoinSearch::new(3, LIMITS.messages);
    search.begin_epoch(10, &change);
    search.see(10, Some(Basis::default()));
    assert_eq!(search.state(), Some(change.state()));
    search.see(11, Some(Basis { position: 5, ..Basis::default() }));
    assert_eq!((search.state(), search.epoch_at()), (Some(change.state()), 10));
}
