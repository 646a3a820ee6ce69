//! A gateway that remembers the keys of the last messages goes on, whatever the stream has.

use super::*;

/// How far a gateway comes that goes on with this machine.
fn catch_up(history: &History, machine: Machine) -> Result<Replica, ApplyError> {
    let mut replica = Replica::new(machine);
    loop {
        let position = replica.machine.state().position + 1;
        if let Some((timestamp, Some(message))) = history.stream.get(position as usize - 1)
            && !matches!(message.content, MessageContent::Epoch(_))
        {
            replica.machine.clone().apply(position, *timestamp, message, |_| 0)?;
        }
        if !replica.step(history) {
            return Ok(replica);
        }
    }
}

/// Everything is removed that a gateway has applied when it stops. It decides on what comes
/// later as gateways do that never stopped; what it takes from the stream is not enough.
#[test]
fn a_gateway_goes_on_though_the_stream_has_nothing_of_what_it_applied() {
    let (mut stopped, mut undecidable) = (0, 0);
    for seed in 0..SEEDS / 4 {
        let (history, whole) = history(seed);
        let mut before = Replica::new(Machine::new(history.limits));
        loop {
            let state = before.machine.state();
            let window = before.machine.key_window();
            assert_eq!(window.end(), state.position);
            let machine = Machine::restore(history.limits, state, window.clone()).expect("a state");
            assert_eq!(machine.key_window(), window);
            let after = catch_up(&history, machine).unwrap();
            assert_eq!(after.machine.state(), whole.machine.state(), "seed {seed}, {state:?}");
            assert_eq!(after.machine.key_window(), whole.machine.key_window());
            assert_eq!(after.applied, whole.applied[before.applied.len()..]);
            assert!(after.log.iter().eq(whole.log.range(state.count + 1..)));
            let without = resumed(&history, state, state.position + 1);
            stopped += 1;
            undecidable += u32::from(catch_up(&history, without.machine).is_err());
            if !before.step(&history) {
                break;
            }
        }
    }
    println!("stopped {stopped} times, {undecidable} times the stream alone is not enough");
    assert!(undecidable > 1_000 && stopped > undecidable);
}

#[test]
fn a_window_is_of_one_state() {
    let limits = WindowLimits { messages: 8, keys: usize::MAX };
    let mut machine = Machine::new(limits);
    for position in 1..=20 {
        machine.skip(position).unwrap();
    }
    let (state, window) = (machine.state(), machine.key_window());
    assert_eq!((window.floor, window.end(), window.is_floor_of_start), (12, 20, false));
    for position in [11, 21] {
        let other = Basis { position, ..state };
        assert!(Machine::restore(limits, other, window.clone()).is_none(), "{position}");
    }
    assert_eq!(machine.keys_after(20), Some(vec![]));
    assert_eq!(machine.keys_after(12).map(|keys| keys.len()), Some(8));
    assert_eq!(machine.keys_after(11), None, "it has forgotten them");
    // One that joined knows no more when it goes on.
    let joined = Machine::resume(limits, state, 21).key_window();
    assert!(joined.is_floor_of_start && joined.messages.is_empty());
    let joined = Machine::restore(limits, state, joined).expect("a state");
    assert!(joined.key_window().is_floor_of_start);
}
