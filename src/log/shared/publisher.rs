//! Publishing: collects units into messages, and repeats a message until it was applied.
//! It is pure: it is told what happened and when, and says what to publish.

mod gathering;
mod in_flight;
#[cfg(test)]
mod tests;
mod unit_group;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::machine::{Applied, Placement};
use super::message::group::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX, MessageGroup};
use super::message::{Basis, ClusterKeys, MessageContent, SharedMessage};
use super::stream::StreamError;
use crate::time::Time;
use gathering::{Gathering, Load};
use in_flight::{GroupSize, InFlight};

pub use gathering::IN_FLIGHT_MAX;
pub use unit_group::{SealedGroup, StagedUnit, UnitGroup};

/// A message that took so many times as long as others do is published again,
const REPEAT_TRIPS: u32 = 8;
/// but not sooner than after so long.
const REPEAT_TIME_MIN: Duration = Duration::from_millis(250);

/// How long a publisher waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimes {
    /// Until a message that was not applied is published again, at the latest: at first it depends
    /// on how long others took.
    pub repeat: Duration,
    /// Until a message that the stream did not take is published again: twice as long each time,
    /// up to `repeat`.
    pub retry: Duration,
    /// Until it is given up.
    pub give_up: Duration,
}

impl Default for PublishTimes {
    fn default() -> Self {
        Self {
            repeat: Duration::from_secs(1),
            retry: Duration::from_millis(100),
            give_up: Duration::from_secs(10),
        }
    }
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitOutcome {
    /// Each record was placed by the machine: what is not stored is looked up again.
    Placed {
        /// The placement of each record.
        placements: Vec<Placement>,
        /// When those that are stored were accepted.
        accept_time: Time,
    },
    /// The stream did not take it: nothing is stored.
    Refused(StreamError),
    /// It is open whether it is stored.
    Unknown(String),
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Which of the publisher's messages it is.
    pub counter: u64,
    /// The message.
    pub bytes: Bytes,
}

/// Units that ended.
pub type Ended<W> = Vec<(W, UnitOutcome)>;

/// The messages of one gateway.
#[derive(Debug)]
pub struct Publisher<W> {
    sender: u64,
    keys: ClusterKeys,
    times: PublishTimes,
    counter: u64,
    /// Units that wait; of a call that has several, its number.
    pending: VecDeque<(Option<u64>, StagedUnit<W>)>,
    /// How many calls had several units.
    calls: u64,
    /// What is pending.
    pending_size: GroupSize,
    gathering: Gathering,
    in_flight: HashMap<u64, InFlight<W>>,
    /// How long messages take of late until they are applied.
    trip: Option<Duration>,
    /// Messages that were published again.
    repeats: u64,
}

impl<W> Publisher<W> {
    /// A publisher with nothing to do. `sender` is a random number.
    pub fn new(sender: u64, keys: ClusterKeys, times: PublishTimes) -> Self {
        Self {
            sender,
            keys,
            times,
            counter: 0,
            pending: VecDeque::new(),
            calls: 0,
            pending_size: GroupSize::default(),
            gathering: Gathering::default(),
            in_flight: HashMap::new(),
            trip: None,
            repeats: 0,
        }
    }

    /// The number in its messages.
    pub fn sender(&self) -> u64 {
        self.sender
    }

    /// How many messages are on their way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many units wait for a message.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many messages were published again.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Takes the units of a call. They keep their order: one that follows in another message is
    /// published after the stream has that of the one before. Returns whether
    /// [`next_group`](Self::next_group) should be called: of many units, only some make a
    /// difference.
    pub fn stage(&mut self, units: impl ExactSizeIterator<Item = StagedUnit<W>>) -> bool {
        let is_first = self.pending.is_empty();
        if units.len() > 1 {
            self.calls += 1;
        }
        let call = (units.len() > 1).then_some(self.calls);
        for unit in units {
            self.pending_size = self.pending_size.with(GroupSize::of(&unit.unit));
            self.pending.push_back((call, unit));
        }
        let load = self.load();
        load.messages < IN_FLIGHT_MAX && (is_first || self.gathering.is_worth_a_message(load))
    }

    /// What waits, and what is on its way.
    fn load(&self) -> Load {
        let messages = self.in_flight.values();
        Load {
            calls: self.pending.len(),
            pending: self.pending_size,
            messages: self.in_flight.len(),
            in_flight: messages.fold(GroupSize::default(), |all, one| all.with(one.size)),
        }
    }

    /// The units of the next message, if there are some that are worth one and few messages are on
    /// their way: to be [sealed](UnitGroup::seal) and [published](Self::publish).
    /// Units whose basis `is_old` are not published: they are added to `ended`, to be looked up
    /// again.
    pub fn next_group(
        &mut self,
        is_old: impl Fn(u64) -> bool,
        now: Instant,
        ended: &mut Ended<W>,
    ) -> Option<UnitGroup<W>> {
        let load = self.load();
        if load.messages >= IN_FLIGHT_MAX || self.gathering.waits(load, self.trip, now) {
            return None;
        }
        let (mut units, mut calls) = (Vec::new(), Vec::new());
        let (mut size, mut basis): (_, Option<Basis>) = (GroupSize::default(), None);
        // Units that must follow those of a message of which it is not known that it is stored.
        let mut held = VecDeque::new();
        while let Some((call, next)) = self.pending.pop_front() {
            let own = GroupSize::of(&next.unit);
            if is_old(next.basis.position) {
                self.pending_size = self.pending_size.without(own);
                let placements = vec![Placement::Stale; next.unit.records()];
                let outcome = UnitOutcome::Placed { placements, accept_time: Time::MIN };
                ended.push((next.waiter, outcome));
                continue;
            }
            if call.is_some_and(|call| self.is_on_its_way(call)) {
                held.push_front((call, next));
                continue;
            }
            let with_next = size.with(own);
            let is_full =
                with_next.records > GROUP_RECORDS_MAX || with_next.bytes > GROUP_BYTES_MAX;
            // One that is larger than a group goes alone.
            if is_full && !units.is_empty() {
                self.pending.push_front((call, next));
                break;
            }
            size = with_next;
            self.pending_size = self.pending_size.without(own);
            // All of them were looked up at the oldest basis or later.
            basis = Some(match basis {
                Some(basis) if basis.position <= next.basis.position => basis,
                _ => next.basis,
            });
            if let Some(call) = call.filter(|call| calls.last() != Some(call)) {
                calls.push(call);
            }
            units.push(next);
        }
        held.into_iter().for_each(|unit| self.pending.push_front(unit));
        let basis = basis?;
        self.counter += 1;
        let (sender, counter) = (self.sender, self.counter);
        Some(UnitGroup { sender, counter, basis, size, calls, units })
    }

    /// Whether a message has units of this call, and may have to be published again.
    fn is_on_its_way(&self, call: u64) -> bool {
        let mut open = self.in_flight.values().filter(|message| !message.is_stored);
        open.any(|message| message.calls.contains(&call))
    }

    /// The stream says that it has a message.
    pub fn stored(&mut self, counter: u64) {
        if let Some(message) = self.in_flight.get_mut(&counter) {
            message.is_stored = true;
        }
    }

    /// A message without records: it shows whether messages are taken, and leaves a basis
    /// in the stream.
    pub fn probe(&mut self, basis: Basis, now: Instant) -> Publication {
        self.announce(MessageContent::Group(MessageGroup::of([])), basis, now)
    }

    /// A message for which nobody waits.
    pub fn announce(&mut self, content: MessageContent, basis: Basis, now: Instant) -> Publication {
        self.counter += 1;
        let (sender, counter) = (self.sender, self.counter);
        let message = SharedMessage { sender, counter, basis, content };
        let bytes = message.encode(&self.keys).into();
        self.publish(SealedGroup::without_units(counter, basis, bytes), now)
    }

    /// Publishes a message.
    pub fn publish(&mut self, group: SealedGroup<W>, now: Instant) -> Publication {
        let SealedGroup { counter, basis, content, bytes, size, calls, units } = group;
        let pause = self.first_pause();
        let message = InFlight {
            bytes: bytes.clone(),
            // One large unit is not worth the memory.
            group: (!units.is_empty() && content.len() <= 2 * GROUP_BYTES_MAX)
                .then_some((basis, content)),
            size,
            calls,
            is_stored: false,
            units,
            begun: now,
            pause,
            retry: self.times.retry,
            repeat_at: now + pause,
            attempts: 1,
            failure: None,
        };
        self.in_flight.insert(counter, message);
        Publication { counter, bytes }
    }

    /// After how long a message is published again for the first time. One that went down with a
    /// server is not answered at all.
    fn first_pause(&self) -> Duration {
        let usual = self.trip.map_or(self.times.repeat, |trip| trip * REPEAT_TRIPS);
        usual.max(REPEAT_TIME_MIN).min(self.times.repeat)
    }

    /// Messages that should be published again.
    pub fn repeats_due(&mut self, now: Instant) -> Vec<Publication> {
        let due = self.in_flight.iter_mut().filter(|(_, message)| message.repeat_at <= now);
        let again = due.map(|(counter, message)| {
            message.pause = (2 * message.pause).min(self.times.repeat);
            message.repeat_at = now + message.pause;
            message.attempts += 1;
            Publication { counter: *counter, bytes: message.bytes.clone() }
        });
        let again: Vec<_> = again.collect();
        self.repeats += again.len() as u64;
        again
    }

    /// Publishing a message has failed.
    pub fn failed(&mut self, counter: u64, error: StreamError, now: Instant) -> Ended<W> {
        let Some(message) = self.in_flight.get_mut(&counter) else { return Vec::new() };
        message.failure = Some(error.to_string());
        message.repeat_at = message.repeat_at.min(now + message.retry);
        // An election takes seconds, a handover less than one.
        message.retry = (2 * message.retry).min(self.times.repeat);
        // An earlier attempt may have been taken.
        if matches!(error, StreamError::Unknown(_)) || message.attempts > 1 {
            return Vec::new();
        }
        let message = self.in_flight.remove(&counter);
        let units = message.into_iter().flat_map(|message| message.units);
        units.map(|(_, waiter)| (waiter, UnitOutcome::Refused(error.clone()))).collect()
    }

    /// A message that came, if it is one of those on their way to the last bit: it need not be
    /// authenticated and decompressed again.
    pub fn own(&mut self, bytes: &[u8]) -> Option<SharedMessage> {
        let mut in_flight = self.in_flight.iter_mut();
        let (counter, message) = in_flight.find(|(_, message)| message.bytes == bytes)?;
        let (basis, content) = message.group.take()?;
        let content = MessageContent::Group(MessageGroup::decode(content).ok()?);
        Some(SharedMessage { sender: self.sender, counter: *counter, basis, content })
    }

    /// A message of this publisher was applied: the first of its copies decides.
    pub fn applied(&mut self, counter: u64, applied: &Applied, now: Instant) -> Ended<W> {
        let Some(message) = self.in_flight.remove(&counter) else { return Vec::new() };
        if message.attempts == 1 {
            // Of others it is not known which of the attempts it was.
            let trip = now.saturating_duration_since(message.begun);
            self.trip = Some(self.trip.map_or(trip, |before| (7 * before + trip) / 8));
        }
        // A call with several units does not call again before all of them have ended.
        let answered = if message.calls.is_empty() { message.units.len() } else { 0 };
        self.gathering.after(message.size.records, answered, self.pending.len(), now);
        let mut placements = applied.placements.iter().copied();
        let outcome = |(records, waiter)| {
            let placements = placements.by_ref().take(records).collect();
            (waiter, UnitOutcome::Placed { placements, accept_time: applied.accept_time })
        };
        message.units.into_iter().map(outcome).collect()
    }

    /// Gives up what was not applied in time; why, if something was.
    pub fn give_up(&mut self, now: Instant, ended: &mut Ended<W>) -> Option<String> {
        let limit = self.times.give_up;
        let late = self.in_flight.extract_if(|_, message| now >= message.begun + limit);
        let mut why = None;
        for (_, message) in late {
            let told = message.failure.unwrap_or_else(|| {
                format!("the stream did not return a message within {} s", limit.as_secs_f32())
            });
            for (_, waiter) in message.units {
                ended.push((waiter, UnitOutcome::Unknown(told.clone())));
            }
            why = Some(told);
        }
        why
    }

    /// Refuses the units that wait for a message.
    pub fn refuse_pending(&mut self, error: &StreamError, ended: &mut Ended<W>) {
        let units = self.pending.drain(..).map(|(_, unit)| unit);
        ended.extend(units.map(|unit| (unit.waiter, UnitOutcome::Refused(error.clone()))));
        (self.pending_size, self.gathering) = (GroupSize::default(), Gathering::default());
    }

    /// Ends all units: those that wait are refused, of others it is open.
    pub fn end(&mut self, error: &StreamError, ended: &mut Ended<W>) {
        self.refuse_pending(error, ended);
        let units = self.in_flight.drain().flat_map(|(_, message)| message.units);
        ended.extend(units.map(|(_, waiter)| (waiter, UnitOutcome::Unknown(error.to_string()))));
    }

    /// When something is due, if nothing happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        let due = |message: &InFlight<W>| message.repeat_at.min(message.begun + self.times.give_up);
        let gathered = self.gathering.until().filter(|_| self.in_flight.len() < IN_FLIGHT_MAX);
        self.in_flight.values().map(due).chain(gathered).min()
    }
}
