//! Gateways, the calls that they work on, and what happens between them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use uuid::Uuid;

use crate::log::shared::machine::{Machine, Placement, WindowLimits};
use crate::log::shared::message::group::{EncodedUnit, EventKey};
use crate::log::shared::message::{
    AuthenticationKey, Basis, BodyEncoder, ClusterKeys, MessageContent, SharedMessage,
};
use crate::log::shared::publisher::{
    Ended, Publication, PublishTimes, Publisher, StagedUnit, UnitOutcome,
};
use crate::log::shared::stream::simulated::{Faults, Simulation};
use crate::log::shared::stream::{StreamEntry, StreamError};
use crate::log::shared::tail::Tail;

pub const STEP: Duration = Duration::from_millis(2);
pub const LIMITS: WindowLimits = WindowLimits { messages: 24, keys: 200 };

/// What a call wants to be stored.
#[derive(Debug, Clone)]
pub struct Call {
    pub keys: Vec<EventKey>,
    pub is_all_or_none: bool,
    /// The gateway that works on it.
    pub node: Option<usize>,
    pub retry_at: Duration,
    pub is_done: bool,
    /// How often it was staged.
    pub attempts: u16,
}

/// A gateway.
pub struct Node {
    /// What it was told under another one is not for it.
    pub incarnation: u64,
    pub machine: Machine,
    pub tail: Tail,
    pub publisher: Publisher<usize>,
    /// Its copy of the log: of each record the key, and a checksum of all else.
    pub log: BTreeMap<u64, (EventKey, u32)>,
    pub kept: HashMap<EventKey, u64>,
    /// The state that it wrote to disk.
    pub mark: Basis,
}

#[derive(Debug)]
pub enum Happening {
    Store { number: u64, bytes: Bytes },
    Answer { node: usize, incarnation: u64, counter: u64, number: u64, error: Option<StreamError> },
    Live { node: usize, incarnation: u64, entry: StreamEntry },
    Read { node: usize, incarnation: u64, entries: Option<Vec<StreamEntry>> },
}

pub struct World {
    pub rng: Rng,
    pub keys: ClusterKeys,
    pub begun: Instant,
    pub now: Duration,
    pub stream: Simulation,
    pub nodes: Vec<Node>,
    pub happenings: BTreeMap<(Duration, u64), Happening>,
    pub numbers: u64,
    pub positions: HashMap<u64, u64>,
    pub calls: Vec<Call>,
    pub acknowledged: Vec<(EventKey, u64)>,
    /// Attempts of which it was said that nothing is stored, as their events tell.
    pub refused: HashSet<Vec<u8>>,
    pub times: PublishTimes,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let key = AuthenticationKey::new(&[3; 32], Uuid::nil());
        let faults = if rng.u8(0..4) == 0 { Faults::default() } else { Faults::MANY };
        let mut world = Self {
            keys: ClusterKeys::new(key, Vec::new()),
            begun: Instant::now(),
            now: Duration::ZERO,
            stream: Simulation::new(rng.u64(..), faults),
            nodes: Vec::new(),
            happenings: BTreeMap::new(),
            numbers: 0,
            positions: HashMap::new(),
            calls: Vec::new(),
            acknowledged: Vec::new(),
            refused: HashSet::new(),
            times: PublishTimes::default(),
            rng,
        };
        for _ in 0..world.rng.usize(1..=3) {
            let node = world.node(Machine::new(LIMITS));
            world.nodes.push(node);
        }
        world
    }

    pub fn instant(&self) -> Instant {
        self.begun + self.now
    }

    pub fn node(&mut self, machine: Machine) -> Node {
        self.numbers += 1;
        let state = machine.state();
        Node {
            incarnation: self.numbers,
            tail: Tail::new(state.position + 1, self.instant()),
            publisher: Publisher::new(self.rng.u64(..), self.keys.clone(), self.times),
            log: BTreeMap::new(),
            kept: HashMap::new(),
            mark: state,
            machine,
        }
    }

    pub fn later(&mut self, after: Duration, happening: Happening) {
        self.numbers += 1;
        self.happenings.insert((self.now + after, self.numbers), happening);
    }

    /// Lets all happen that is due.
    pub fn step(&mut self) {
        self.now += STEP;
        while let Some(entry) =
            self.happenings.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let happening = entry.remove();
            self.happen(happening);
        }
        for call in 0..self.calls.len() {
            self.emit(call);
        }
        for node in 0..self.nodes.len() {
            self.run(node);
        }
    }

    pub fn happen(&mut self, happening: Happening) {
        let now = self.instant();
        match happening {
            Happening::Store { number, bytes } => {
                let entry = self.stream.store(bytes);
                self.positions.entry(number).or_insert(entry.position);
                for node in 0..self.nodes.len() {
                    let mut entry = entry.clone();
                    if let Some(after) = self.stream.live(&mut entry) {
                        let incarnation = self.nodes[node].incarnation;
                        self.later(after, Happening::Live { node, incarnation, entry });
                    }
                }
            }
            Happening::Answer { node, incarnation, counter, number, error } => {
                let of = &mut self.nodes[node];
                if of.incarnation != incarnation {
                    return;
                }
                match error {
                    Some(error) => {
                        let ended = of.publisher.failed(counter, error, now);
                        self.end(ended);
                    }
                    None => of.tail.told(self.positions[&number], now),
                }
            }
            Happening::Live { node, incarnation, entry } => {
                let of = &mut self.nodes[node];
                if of.incarnation == incarnation {
                    of.tail.live(entry, now);
                }
            }
            Happening::Read { node, incarnation, entries } => {
                let of = &mut self.nodes[node];
                if of.incarnation == incarnation {
                    of.tail.read_done(entries, now).expect("nothing is trimmed that is needed");
                }
            }
        }
    }

    /// One round of a gateway.
    pub fn run(&mut self, place: usize) {
        let now = self.instant();
        while let Some(entry) = self.nodes[place].tail.pop(now) {
            let ended = self.apply(place, &entry);
            self.end(ended);
        }
        let node = &mut self.nodes[place];
        let incarnation = node.incarnation;
        if let Some(read) = node.tail.read_due(now) {
            let entries = self.stream.read(read.from, read.from_leader).ok();
            let after = Duration::from_millis(self.rng.u64(0..6));
            self.later(after, Happening::Read { node: place, incarnation, entries });
        }
        let mut ended = Vec::new();
        let node = &mut self.nodes[place];
        let mut messages = node.publisher.repeats_due(now);
        while let Some(group) =
            node.publisher.next_group(|basis| node.machine.is_old(basis), now, &mut ended)
        {
            let sealed = group.seal(&self.keys, &mut BodyEncoder::default());
            messages.push(node.publisher.publish(sealed, now));
        }
        if node.publisher.give_up(now, &mut ended).is_some() {
            node.publisher.refuse_pending(&StreamError::Unknown("away".into()), &mut ended);
        }
        self.end(ended);
        for Publication { counter, bytes } in messages {
            let fate = self.stream.append(self.now);
            self.numbers += 1;
            let number = self.numbers;
            let is_stored = !fate.stored.is_empty();
            for after in fate.stored {
                self.later(after, Happening::Store { number, bytes: bytes.clone() });
            }
            if let Some((after, error)) = fate.answer {
                assert!(is_stored || error.is_some());
                let answer = Happening::Answer { node: place, incarnation, counter, number, error };
                self.later(after, answer);
            }
        }
    }

    pub fn apply(&mut self, place: usize, entry: &StreamEntry) -> Ended<usize> {
        let (node, refused) = (&mut self.nodes[place], &self.refused);
        let message = match SharedMessage::decode(&entry.bytes, &self.keys) {
            Ok(message) => message,
            Err(fault) => {
                assert!(fault.is_skipped());
                if node.tail.doubt(entry.position, self.begun + self.now) {
                    return Vec::new();
                }
                node.machine.skip(entry.position).expect("in order");
                return Vec::new();
            }
        };
        let mut new = Vec::new();
        let applied = node.machine.apply(entry.position, entry.timestamp, &message, |record| {
            assert!(!refused.contains(record.event), "what is refused is not stored");
            let parts = [record.head, record.event, &record.accept_time.0.to_le_bytes()].concat();
            let checksum = crc32c::crc32c(&parts);
            new.push((record.sequence.0, checksum));
            checksum
        });
        let applied = applied.expect("in order, and judged");
        assert_eq!(applied.disagreement, None);
        if let MessageContent::Group(group) = &message.content {
            let stored = group.records().iter().zip(&applied.placements);
            let stored = stored.filter(|(_, placement)| matches!(placement, Placement::Stored(_)));
            for ((record, _), (sequence, checksum)) in stored.zip(new) {
                // Records behind the mark are there after a crash.
                let before = node.log.insert(sequence, (record.key, checksum));
                assert!(before.is_none_or(|before| before == (record.key, checksum)));
                let twice = node.kept.insert(record.key, sequence);
                assert!(twice.is_none_or(|twice| twice == sequence), "stored twice");
            }
        }
        if self.rng.u8(0..20) == 0 {
            node.mark = node.machine.state();
        }
        if message.sender == node.publisher.sender() {
            node.publisher.applied(message.counter, &applied, self.begun + self.now)
        } else {
            Vec::new()
        }
    }

    /// Looks up the ids of a call that waits, and stages what is new.
    pub fn emit(&mut self, number: usize) {
        let call = &self.calls[number];
        if call.is_done || call.node.is_some() || call.retry_at > self.now {
            return;
        }
        let place = self.rng.usize(0..self.nodes.len());
        self.look_up(number, place);
    }

    pub fn look_up(&mut self, number: usize, place: usize) {
        let (call, node) = (&mut self.calls[number], &mut self.nodes[place]);
        call.node = Some(place);
        let basis = node.machine.state();
        let mut unit = EncodedUnit::with_capacity(call.is_all_or_none, 0);
        call.attempts += 1;
        let event = attempt(number, call);
        for key in &call.keys {
            if !node.kept.contains_key(key) {
                assert!(unit.add(*key, false, &key.0, &event));
            }
        }
        if unit.records() > 0 {
            let unit = StagedUnit { unit, basis, waiter: number };
            let _ = node.publisher.stage(std::iter::once(unit));
            return;
        }
        call.is_done = true;
        let receipts = call.keys.iter().map(|key| (*key, node.kept[key]));
        self.acknowledged.extend(receipts);
    }

    pub fn end(&mut self, ended: Ended<usize>) {
        for (number, outcome) in ended {
            let place = self.calls[number].node.expect("somebody works on it");
            match outcome {
                // What was stored is found; the rest is staged again.
                UnitOutcome::Placed { .. } => self.look_up(number, place),
                UnitOutcome::Refused(_) => {
                    self.refused.insert(attempt(number, &self.calls[number]));
                    self.give_back(number);
                }
                UnitOutcome::Unknown(_) => self.give_back(number),
            }
        }
    }

    pub fn give_back(&mut self, number: usize) {
        self.calls[number].node = None;
        self.calls[number].retry_at = self.now + Duration::from_millis(self.rng.u64(0..300));
    }

    /// A gateway ends without a word, and comes back with what it has on disk.
    pub fn crash(&mut self, place: usize) {
        let mark = self.nodes[place].mark;
        let from = Machine::recall_from(LIMITS, mark.position, self.stream.ends().first);
        let mut machine = Machine::resume(LIMITS, mark, from);
        for entry in self.stream.at_once(from, mark.position) {
            let message = SharedMessage::decode(&entry.bytes, &self.keys).ok();
            let group = message.as_ref().and_then(|message| match &message.content {
                MessageContent::Group(group) => Some(group),
                _ => None,
            });
            machine.recall(entry.position, group).expect("in order");
        }
        let mut node = self.node(machine);
        let before = &mut self.nodes[place];
        node.log = std::mem::take(&mut before.log);
        node.kept = std::mem::take(&mut before.kept);
        // What was not synced may be lost.
        if self.rng.bool() {
            node.log.split_off(&(mark.count + 1));
            node.kept.retain(|_, sequence| *sequence <= mark.count);
        }
        self.nodes[place] = node;
        for number in 0..self.calls.len() {
            if self.calls[number].node == Some(place) {
                self.give_back(number);
            }
        }
    }

    /// Runs until all calls are done and all gateways have applied all.
    pub fn settle(&mut self) {
        self.stream.faults = Faults::default();
        let limit = self.now + Duration::from_secs(120);
        loop {
            self.step();
            let last = self.stream.ends().last;
            let are_equal = |node: &Node| node.machine.state().position == last;
            if self.calls.iter().all(|call| call.is_done)
                && self.happenings.iter().all(|(_, now)| matches!(now, Happening::Read { .. }))
                && self.nodes.iter().all(are_equal)
            {
                break;
            }
            assert!(self.now < limit, "it does not come to rest");
        }
    }

    pub fn check(&self) {
        let first = &self.nodes[0];
        for node in &self.nodes {
            assert_eq!(node.machine.state(), first.machine.state());
            assert_eq!(node.log, first.log);
        }
        assert!(first.log.keys().copied().eq(1..=first.log.len() as u64), "no holes");
        for (key, sequence) in &self.acknowledged {
            assert_eq!(first.log.get(sequence).map(|(key, _)| key), Some(key), "a receipt is true");
        }
        let mut keys: Vec<_> = first.log.values().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "nothing is stored twice");
    }
}

/// What the events of an attempt say.
fn attempt(number: usize, call: &Call) -> Vec<u8> {
    [(number as u16).to_le_bytes(), call.attempts.to_le_bytes()].concat()
}
