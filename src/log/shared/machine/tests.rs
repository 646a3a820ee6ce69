//! Random histories: several gateways publish to one stream, late, twice and out of
//! order. Whoever applies it, from wherever, comes to the same log.

mod bounds;
mod epochs;
mod key_window;

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use super::*;
use crate::log::shared::message::group::EncodedUnit;
use epochs::{epoch_after, epoch_at};

/// One gateway: its machine, and its copy of the log.
#[derive(Clone)]
struct Replica {
    machine: Machine,
    /// Of each record: key, accept time, head.
    log: BTreeMap<u64, (EventKey, Time, Vec<u8>)>,
    kept: HashMap<EventKey, u64>,
    applied: Vec<Applied>,
}

struct History {
    limits: WindowLimits,
    /// Timestamp and message; `None` for one that is skipped.
    stream: Vec<(Time, Option<SharedMessage>)>,
}

impl Replica {
    fn new(machine: Machine) -> Self {
        Self { machine, log: BTreeMap::new(), kept: HashMap::new(), applied: Vec::new() }
    }

    /// Applies the next message of the stream, if there is one.
    fn step(&mut self, history: &History) -> bool {
        let position = self.machine.state().position + 1;
        let Some((timestamp, message)) = history.stream.get(position as usize - 1) else {
            return false;
        };
        let Some(message) = message else {
            self.machine.skip(position).unwrap();
            return true;
        };
        if let MessageContent::Epoch(change) = &message.content {
            if self.machine.is_next_epoch(position, change) {
                let state = self.machine.state();
                assert_eq!((state.count, state.digest), (change.count, change.digest));
                self.machine = Machine::of_epoch(history.limits, change);
            } else {
                self.machine.skip(position).unwrap();
            }
            return true;
        }
        let (log, mut new) = (&mut self.log, Vec::new());
        let applied = self.machine.apply(position, *timestamp, message, |record| {
            new.push(record.sequence.0);
            assert_eq!(record.accept_time, record.timestamp.max(record.accept_time));
            let content = (EventKey([0; 16]), record.accept_time, record.head.to_vec());
            log.insert(record.sequence.0, content);
            crc32c::crc32c(&[record.head, &record.sequence.0.to_le_bytes()].concat())
        });
        let applied = applied.unwrap_or_else(|error| panic!("{error}"));
        let keys = match &message.content {
            MessageContent::Group(group) => group.records(),
            _ => &[],
        };
        let stored = keys.iter().zip(&applied.placements).filter_map(|(record, placement)| {
            let Placement::Stored(sequence) = placement else { return None };
            Some((record.key, sequence.0))
        });
        for ((key, sequence), expected) in stored.zip(&new) {
            assert_eq!(sequence, *expected);
            self.log.get_mut(&sequence).unwrap().0 = key;
            let before = self.kept.insert(key, sequence);
            assert_eq!(before, None, "nothing is stored twice");
        }
        assert_eq!(applied.disagreement, None);
        self.applied.push(applied);
        true
    }

    fn catch_up(&mut self, history: &History) {
        while self.step(history) {}
    }
}

fn key(number: u8) -> EventKey {
    EventKey([number; 16])
}

/// The message of a gateway that has looked up some of so many ids.
fn emit(replica: &Replica, sender: u64, counter: u64, ids: u8, rng: &mut Rng) -> SharedMessage {
    let basis = replica.machine.state();
    let mut units = Vec::new();
    for _ in 0..rng.u8(0..4) {
        let mut unit = EncodedUnit::with_capacity(rng.bool(), 0);
        for _ in 0..rng.u8(0..4) {
            let key = key(rng.u8(0..ids));
            if !replica.kept.contains_key(&key) {
                let head = [sender as u8, counter as u8, rng.u8(..)];
                assert!(unit.add(key, rng.bool(), &head, b"event"));
            }
        }
        units.push(unit);
    }
    let content = match rng.u8(0..10) {
        0 => MessageContent::Checkpoint("checkpoint".to_owned()),
        _ => MessageContent::Group(MessageGroup::of(&units)),
    };
    SharedMessage { sender, counter, basis, content }
}

/// What gateways do to a stream, and the log that comes of it.
fn history(seed: u64) -> (History, Replica) {
    let mut rng = Rng::with_seed(seed);
    let messages = rng.u64(1..=12);
    let keys = if rng.bool() { usize::MAX } else { rng.usize(1..40) };
    let limits = WindowLimits { messages, keys };
    let mut history = History { limits, stream: Vec::new() };
    let mut gateways: Vec<_> =
        (0..rng.usize(1..=4)).map(|_| Replica::new(Machine::new(limits))).collect();
    let ids = rng.u8(1..=120);
    let mut on_their_way: Vec<SharedMessage> = Vec::new();
    let mut receipts = HashMap::new();
    let mut operator = Replica::new(Machine::new(limits));
    let mut clock = 1_000;
    for counter in 0..rng.u64(1..120) {
        let sender = rng.usize(0..gateways.len());
        on_their_way.push(emit(&gateways[sender], sender as u64, counter, ids, &mut rng));
        while !on_their_way.is_empty() && rng.u8(0..3) > 0 {
            let place = rng.usize(0..on_their_way.len());
            // It may stay there, to come again.
            let message = match rng.u8(0..5) {
                0 => on_their_way[place].clone(),
                _ => on_their_way.swap_remove(place),
            };
            // The clock of another leader may be behind.
            clock += rng.i64(-20..40);
            let is_forged = rng.u8(0..20) == 0;
            history.stream.push((Time(clock), (!is_forged).then_some(message)));
        }
        if rng.u8(0..40) == 0 {
            operator.catch_up(&history);
            let epoch = epoch_after(operator.machine.state());
            // Elsewhere, or again, it says nothing.
            history.stream.push((Time(clock), Some(epoch.clone())));
            on_their_way.push(epoch);
        }
        for gateway in &mut gateways {
            for _ in 0..rng.u8(0..4) {
                gateway.step(&history);
            }
        }
    }
    for gateway in &mut gateways {
        gateway.catch_up(&history);
    }
    let first = gateways.swap_remove(0);
    for gateway in &gateways {
        assert_eq!(gateway.machine.state(), first.machine.state());
        assert_eq!(gateway.log, first.log);
        assert_eq!(gateway.applied, first.applied);
    }
    check_receipts(&history, &first, &mut receipts);
    (history, first)
}

/// The first copy of a message decides, later ones store nothing, and what is said to be
/// stored is in the log as it was sent.
fn check_receipts(
    history: &History,
    replica: &Replica,
    receipts: &mut HashMap<(u64, u64), Vec<Placement>>,
) {
    let messages = history.stream.iter().filter_map(|(_, message)| message.as_ref());
    let messages = messages.filter(|message| !matches!(message.content, MessageContent::Epoch(_)));
    for (message, applied) in messages.zip(&replica.applied) {
        let MessageContent::Group(group) = &message.content else { continue };
        let is_stored = |placement: &Placement| matches!(placement, Placement::Stored(_));
        if receipts.contains_key(&(message.sender, message.counter)) {
            assert!(!applied.placements.iter().any(is_stored), "a copy stores nothing");
            continue;
        }
        receipts.insert((message.sender, message.counter), applied.placements.clone());
        for (record, placement) in group.records().iter().zip(&applied.placements) {
            if let Placement::Stored(sequence) = placement {
                let head = group.parts(record).0.to_vec();
                assert_eq!(replica.log[&sequence.0], (record.key, applied.accept_time, head));
            }
        }
        let mut placed = applied.placements.iter();
        for unit in group.units().iter() {
            let count = group.records_of(unit).len();
            let stored = placed.by_ref().take(count).filter(|placement| is_stored(placement));
            let stored = stored.count();
            assert!(!unit.is_all_or_none || stored == 0 || stored == count, "all or none");
        }
    }
    assert!(replica.log.values().map(|(_, time, _)| *time).is_sorted());
    assert!(replica.log.keys().copied().eq(1..=replica.log.len() as u64), "no holes");
}

fn group_of(message: &Option<SharedMessage>) -> Option<&MessageGroup> {
    match message.as_ref().map(|message| &message.content) {
        Some(MessageContent::Group(group)) => Some(group),
        _ => None,
    }
}

/// Goes on at `state` in a stream whose oldest message is `oldest`.
fn resumed(history: &History, state: Basis, oldest: u64) -> Replica {
    let epoch_at = epoch_at(history, state.position);
    let from = Machine::recall_from(history.limits, state.position, oldest).max(epoch_at + 1);
    let mut machine = Machine::resume(history.limits, state, from);
    if epoch_at > 0 && from == epoch_at + 1 {
        machine.knows_all();
    }
    for position in from..=state.position {
        let (_, message) = &history.stream[position as usize - 1];
        machine.recall(position, group_of(message)).unwrap();
    }
    assert_eq!(machine.state(), state);
    Replica::new(machine)
}

const SEEDS: u64 = 400;

#[test]
fn all_gateways_come_to_the_same_log() {
    let (mut stored, mut seen, mut void, mut stale) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let (_, replica) = history(seed);
        for placement in replica.applied.iter().flat_map(|applied| &applied.placements) {
            *match placement {
                Placement::Stored(_) => &mut stored,
                Placement::Seen => &mut seen,
                Placement::Void => &mut void,
                Placement::Stale => &mut stale,
            } += 1;
        }
    }
    println!("{stored} stored, {seen} seen, {void} void, {stale} stale");
    assert!([stored, seen, void, stale].iter().all(|count| *count > SEEDS), "all of it happens");
}

#[test]
fn a_gateway_that_was_stopped_anywhere_goes_on_the_same() {
    for seed in 0..SEEDS / 4 {
        let (history, whole) = history(seed);
        let mut before = Replica::new(Machine::new(history.limits));
        loop {
            let state = before.machine.state();
            let mut after = resumed(&history, state, 1);
            after.catch_up(&history);
            assert_eq!(after.machine.state(), whole.machine.state(), "seed {seed}, {state:?}");
            assert!(after.log.iter().eq(whole.log.range(state.count + 1..)));
            if !before.step(&history) {
                break;
            }
        }
    }
}

#[test]
fn a_gateway_joins_a_stream_that_was_trimmed_anywhere() {
    let (mut joined, mut refused) = (0, 0);
    for seed in 0..SEEDS / 4 {
        let (history, whole) = history(seed);
        let end = history.stream.len() as u64;
        for first in 1..=end {
            let mut search = JoinSearch::new(first, history.limits.messages);
            for position in first..=end {
                let (_, message) = &history.stream[position as usize - 1];
                if let Some(MessageContent::Epoch(change)) = message.as_ref().map(|of| &of.content)
                {
                    search.begin_epoch(position, change);
                }
                if search.see(position, message.as_ref().map(|message| message.basis)) {
                    break;
                }
            }
            let Some(state) = search.state() else {
                refused += 1;
                continue;
            };
            joined += 1;
            let mut after = resumed(&history, state, first);
            after.catch_up(&history);
            assert_eq!(after.machine.state(), whole.machine.state(), "seed {seed}, from {first}");
            assert!(after.log.iter().eq(whole.log.range(state.count + 1..)));
        }
    }
    println!("{joined} joined, {refused} refused");
    assert!(joined > 2_000 && refused > 0, "{joined} joined, {refused} refused");
}

/// Without what came later, a gateway cannot know that it joined too late; it notices.
#[test]
fn a_message_that_a_late_gateway_cannot_judge_stops_it() {
    let limits = WindowLimits { messages: 10, keys: usize::MAX };
    let state = Basis { position: 20, count: 7, time: Time(3), digest: 1, epoch: 1 };
    let mut machine = Machine::resume(limits, state, 21);
    assert_eq!(machine.state(), state);
    let unit = {
        let mut unit = EncodedUnit::with_capacity(false, 0);
        assert!(unit.add(key(1), false, b"", b""));
        unit
    };
    let content = MessageContent::Group(MessageGroup::of(&[unit]));
    let early = Basis { position: 19, ..state };
    let mut message = SharedMessage { sender: 1, counter: 1, basis: early, content };
    let error = machine.apply(21, Time(4), &message, |_| 0);
    let undecidable = ApplyError::Undecidable { position: 21, basis: 19, from: 21 };
    assert_eq!(error, Err(undecidable));
    assert_eq!(machine.state(), state, "nothing has changed");
    // One that is stale wherever it is applied does not matter.
    message.basis.position = 10;
    let applied = machine.apply(21, Time(4), &message, |_| 0).unwrap();
    assert_eq!(applied.placements, [Placement::Stale]);
    message.basis = state;
    let applied = machine.apply(22, Time(2), &message, |_| 0).unwrap();
    // The stale message had the key.
    assert_eq!((applied.placements, applied.accept_time), (vec![Placement::Seen], Time(3)));
}

#[test]
fn a_hole_and_another_state_are_noticed() {
    let mut machine = Machine::new(WindowLimits::default());
    assert_eq!(machine.skip(2), Err(ApplyError::Hole { expected: 1, found: 2 }));
    let other = Basis { count: 3, ..Basis::default() };
    let content = MessageContent::Checkpoint(String::new());
    let message = SharedMessage { sender: 5, counter: 6, basis: other, content };
    let applied = machine.apply(1, Time(0), &message, |_| 0).unwrap();
    let own = Basis::default();
    assert_eq!(applied.disagreement, Some(Disagreement { at: 1, own, sender: other }));
    assert_eq!(
        (machine.origin(1), machine.origin(0), machine.origin(2)),
        (Some((5, 6)), None, None)
    );
}

#[test]
fn another_frame_makes_another_state() {
    let mut unit = EncodedUnit::with_capacity(false, 0);
    assert!(unit.add(key(1), false, b"", b"") && unit.add(key(2), false, b"", b""));
    let content = MessageContent::Group(MessageGroup::of(&[unit]));
    let message = SharedMessage { sender: 1, counter: 1, basis: Basis::default(), content };
    let state_of = |frames: [u32; 2]| {
        let mut machine = Machine::new(WindowLimits::default());
        let mut frames = frames.into_iter();
        machine.apply(1, Time(5), &message, |_| frames.next().unwrap()).unwrap();
        machine
    };
    let (mut own, other) = (state_of([1, 2]), state_of([2, 1]).state());
    assert_ne!(own.state().digest, other.digest);
    let told = SharedMessage { basis: other, counter: 2, ..message };
    let applied = own.apply(2, Time(6), &told, |_| 0).unwrap();
    assert_eq!(applied.disagreement.map(|found| (found.at, found.sender)), Some((2, other)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let limits = WindowLimits { messages: 100, keys: 50 };
    let mut machine = Machine::new(limits);
    for position in 1..=500 {
        let mut unit = EncodedUnit::with_capacity(false, 0);
        for number in 0..position % 70 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&u64::to_le_bytes(position * 100 + number));
            assert!(unit.add(EventKey(key), false, b"", b""));
        }
        let content = MessageContent::Group(MessageGroup::of(&[unit]));
        let message =
            SharedMessage { sender: 1, counter: position, basis: machine.state(), content };
        machine.apply(position, Time(0), &message, |_| 0).unwrap();
        assert!(machine.keys_len <= 50 && machine.latest.len() <= 50 && machine.past.len() <= 200);
    }
    assert!(machine.is_old(400) && !machine.is_old(500));
}
