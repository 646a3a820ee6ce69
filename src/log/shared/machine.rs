//! The state machine of a shared log: which records of a stream of messages are stored,
//! and at which sequence. It is pure: gateways that apply the same messages come to the
//! same log.
//!
//! A message carries its **basis**: the position up to which its sender had applied the
//! stream when it looked up the ids. A record is stored unless its key occurs in a message
//! behind the basis and before this one, or earlier in this one. So a verdict follows from
//! the last `window` messages alone, and a gateway that begins in the middle comes to the
//! same ones.
//!
//! The keys that occurred in those messages are needed, stored or not: a key makes a later
//! record `Seen` even where its own record became void or stale, since a gateway that begins
//! in the middle cannot tell. So a copy of the log cannot stand in for them. A gateway that
//! stops keeps them in a file ([`KeyWindow`]), since the stream may have removed the messages
//! when it goes on, and decides then as if it had never stopped. Only a gateway that *joins*
//! a stream whose beginning was removed has nothing to look them up in: what it cannot judge
//! is [`ApplyError::Undecidable`], until it has applied `window` messages.
//!
//! Why nothing is stored twice: let a record be stored from message x, and a later message
//! y carry the same key. If x lies behind the basis of y, y is refused by the rule.
//! Otherwise y's sender had applied x and would have found the record.

mod digest;
mod error;
mod join;
mod key_window;

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::log::shared::message::group::{EventKey, GroupRecord, MessageGroup};
use crate::log::shared::message::{Basis, EpochChange, MessageContent, SharedMessage};
use crate::record::Sequence;
use crate::time::Time;

pub use digest::{mix, unmix};
pub use error::{ApplyError, Disagreement};
pub use join::JoinSearch;
pub use key_window::{KeyWindow, MessageKeys};

/// The default of how many messages behind a message its basis may be.
pub const WINDOW_MESSAGES: u64 = 1_024;
/// So many keys at most are remembered: a basis before the oldest of them is stale, too.
/// They take some 64 bytes each.
pub const WINDOW_KEYS_MAX: usize = 1 << 20;

/// Applies messages.
#[derive(Debug, Clone)]
pub struct Machine {
    limits: WindowLimits,
    state: Basis,
    /// The keys of the messages in `(floor, applied]`, stored or not.
    keys: VecDeque<MessageKeys>,
    keys_len: usize,
    floor: u64,
    /// What lies at `floor` and before is not known because the machine began there, not
    /// because it was forgotten.
    is_floor_of_start: bool,
    /// The newest message with a key.
    latest: HashMap<EventKey, u64, RandomState>,
    /// The state after each of the last messages, with who sent it.
    past: VecDeque<PastState>,
}

/// How far back a basis may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// In messages.
    pub messages: u64,
    /// In keys.
    pub keys: usize,
}

#[derive(Debug, Clone, Copy)]
struct PastState {
    state: Basis,
    /// Sender and counter of the message; `None` if it was skipped.
    origin: Option<(u64, u64)>,
}

/// What became of a record of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It is stored, at this sequence.
    Stored(Sequence),
    /// Its key was seen in a message that its sender did not know.
    Seen,
    /// Another record of its unit was, and they are stored together or not at all.
    Void,
    /// The basis is too old.
    Stale,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What became of each record of the group.
    pub placements: Vec<Placement>,
    /// When those that are stored were accepted.
    pub accept_time: Time,
    /// The sender's state at the basis, where it is not this gateway's.
    pub disagreement: Option<Disagreement>,
}

/// A record that is stored now.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Its position in the log.
    pub sequence: Sequence,
    /// When it was accepted.
    pub accept_time: Time,
    /// The stream's timestamp: before `accept_time` where that was raised.
    pub timestamp: Time,
    /// The event has no time of its own.
    pub is_untimed: bool,
    /// The fields of the record between those that the stream decides and the event.
    pub head: &'a [u8],
    /// The event.
    pub event: &'a [u8],
}

impl Machine {
    /// A machine before the first message of a stream.
    pub fn new(limits: WindowLimits) -> Self {
        Self::resume(limits, Basis::default(), 1)
    }

    /// A machine that goes on from a state that was known before. The messages from
    /// `first` up to that state are handed to [`Machine::recall`] before any is applied.
    pub fn resume(limits: WindowLimits, state: Basis, first: u64) -> Self {
        let floor = first.saturating_sub(1);
        let state = Basis { position: floor, ..state };
        Self {
            limits,
            state,
            keys: VecDeque::new(),
            keys_len: 0,
            floor,
            is_floor_of_start: floor > 0,
            latest: HashMap::default(),
            past: VecDeque::from([PastState { state, origin: None }]),
        }
    }

    /// Where the messages begin that a machine must recall to resume at `position`, in a
    /// stream whose oldest message is `oldest`.
    pub fn recall_from(limits: WindowLimits, position: u64, oldest: u64) -> u64 {
        (position + 1).saturating_sub(limits.messages).max(oldest).max(1)
    }

    /// Remembers the keys of a message that was applied before; `None` if it was skipped.
    ///
    /// # Errors
    /// If it is not the next one.
    pub fn recall(
        &mut self,
        position: u64,
        group: Option<&MessageGroup>,
    ) -> Result<(), ApplyError> {
        self.expect(position)?;
        self.recall_keys(position, keys_of(group.map_or(&[], MessageGroup::records)));
        Ok(())
    }

    fn recall_keys(&mut self, position: u64, keys: MessageKeys) {
        for key in keys.iter() {
            self.note(*key, position);
        }
        self.remember(keys);
        self.state.position = position;
        // The state is that of the last one.
        self.past = VecDeque::from([PastState { state: self.state, origin: None }]);
    }

    /// A machine of any gateway that has just applied the beginning of an epoch. What was
    /// sent before is stale: its senders may have looked into what is lost.
    pub fn of_epoch(limits: WindowLimits, change: &EpochChange) -> Self {
        let mut machine = Self::resume(limits, change.state(), change.position + 1);
        machine.knows_all();
        machine
    }

    /// What came before the machine begins is stale for all gateways alike.
    pub fn knows_all(&mut self) {
        self.is_floor_of_start = false;
    }

    /// Whether a message of this basis is one of late: not one that was recorded, and is
    /// sent again later.
    pub fn is_fresh(&self, position: u64, basis: u64) -> bool {
        let is_within = basis < position && position - basis <= self.limits.messages;
        is_within && (basis >= self.floor || self.is_floor_of_start)
    }

    /// Whether a message at this position begins the next epoch, if the log's key signed it.
    pub fn is_next_epoch(&self, position: u64, change: &EpochChange) -> bool {
        change.position == position && self.state.epoch.checked_add(1) == Some(change.number)
    }

    /// The state after the last message.
    pub fn state(&self) -> Basis {
        self.state
    }

    /// Whether a basis is so old that a message with it may become stale on its way.
    pub fn is_old(&self, basis: u64) -> bool {
        let is_half = |behind: u64| behind > self.limits.messages / 2;
        is_half((self.state.position + 1).saturating_sub(basis)) || basis < self.floor
    }

    /// Sender and counter of a message of late; `None` if it is not known any more, or was
    /// skipped.
    pub fn origin(&self, position: u64) -> Option<(u64, u64)> {
        self.past_at(position)?.origin
    }

    /// Passes over a message that no gateway applies.
    ///
    /// # Errors
    /// If it is not the next one.
    pub fn skip(&mut self, position: u64) -> Result<(), ApplyError> {
        self.expect(position)?;
        self.remember(keys_of(&[]));
        self.end(position, None);
        Ok(())
    }

    /// Applies a message. `store` is handed each record that is stored, and returns the
    /// CRC-32C of its frame.
    ///
    /// # Errors
    /// If the message cannot be applied. Nothing has changed then.
    pub fn apply(
        &mut self,
        position: u64,
        timestamp: Time,
        message: &SharedMessage,
        store: impl FnMut(NewRecord<'_>) -> u32,
    ) -> Result<Applied, ApplyError> {
        self.expect(position)?;
        let (epoch, own) = (message.basis.epoch, self.state.epoch);
        if epoch > own {
            return Err(ApplyError::LaterEpoch { position, epoch, own });
        }
        let disagreement = self.disagreement(position, message.basis);
        let accept_time = self.state.time.max(timestamp);
        let mut applied = Applied { placements: Vec::new(), accept_time, disagreement };
        if let MessageContent::Group(group) = &message.content {
            let is_stale = self.is_stale(position, message.basis.position)?;
            let basis = (!is_stale).then_some(message.basis.position);
            let rules = PlaceRules { position, basis, accept_time, timestamp };
            applied.placements = self.place(group, rules, store);
            self.remember(keys_of(group.records()));
        } else {
            self.remember(keys_of(&[]));
        }
        self.end(position, Some((message.sender, message.counter)));
        Ok(applied)
    }

    fn expect(&self, position: u64) -> Result<(), ApplyError> {
        let expected = self.state.position + 1;
        if position == expected {
            Ok(())
        } else {
            Err(ApplyError::Hole { expected, found: position })
        }
    }

    fn is_stale(&self, position: u64, basis: u64) -> Result<bool, ApplyError> {
        if basis >= position || position - basis > self.limits.messages {
            return Ok(true);
        }
        if basis < self.floor && self.is_floor_of_start {
            return Err(ApplyError::Undecidable { position, basis, from: self.floor + 1 });
        }
        Ok(basis < self.floor)
    }

    fn disagreement(&self, at: u64, sender: Basis) -> Option<Disagreement> {
        let own = self.past_at(sender.position)?.state;
        (own != sender).then_some(Disagreement { at, own, sender })
    }

    fn past_at(&self, position: u64) -> Option<&PastState> {
        let oldest = self.past.front()?.state.position;
        self.past.get(usize::try_from(position.checked_sub(oldest)?).ok()?)
    }

    fn place(
        &mut self,
        group: &MessageGroup,
        rules: PlaceRules,
        mut store: impl FnMut(NewRecord<'_>) -> u32,
    ) -> Vec<Placement> {
        let mut placements = Vec::with_capacity(group.records().len());
        let mut seen = Vec::new();
        for unit in group.units() {
            let records = group.records_of(unit);
            seen.clear();
            // Twice in one message counts, too: whoever sends it has not looked.
            seen.extend(records.iter().map(|record| {
                let before = self.note(record.key, rules.position);
                rules.basis.is_some_and(|basis| before.is_some_and(|before| before > basis))
            }));
            let is_void = unit.is_all_or_none && seen.contains(&true);
            for (record, is_seen) in records.iter().zip(&seen) {
                placements.push(match (rules.basis, is_void, is_seen) {
                    (None, ..) => Placement::Stale,
                    (_, true, _) => Placement::Void,
                    (_, _, true) => Placement::Seen,
                    _ => self.store(group, record, rules, &mut store),
                });
            }
        }
        placements
    }

    fn store(
        &mut self,
        group: &MessageGroup,
        record: &GroupRecord,
        rules: PlaceRules,
        store: &mut impl FnMut(NewRecord<'_>) -> u32,
    ) -> Placement {
        let PlaceRules { accept_time, timestamp, .. } = rules;
        self.state.count += 1;
        self.state.time = accept_time;
        let sequence = Sequence(self.state.count);
        let (head, event) = group.parts(record);
        let is_untimed = record.is_untimed;
        let new = NewRecord { sequence, accept_time, timestamp, is_untimed, head, event };
        self.state.digest = mix(self.state.digest, store(new));
        Placement::Stored(sequence)
    }

    /// Notes that a key occurs in the message at this position. Returns where it did before.
    fn note(&mut self, key: EventKey, position: u64) -> Option<u64> {
        self.latest.insert(key, position)
    }

    /// Remembers the keys of the next message, which are noted, and forgets what is too old.
    fn remember(&mut self, keys: MessageKeys) {
        self.keys_len += keys.len();
        self.keys.push_back(keys);
        while self.keys.len() as u64 > self.limits.messages || self.keys_len > self.limits.keys {
            let Some(oldest) = self.keys.pop_front() else { break };
            self.floor += 1;
            self.is_floor_of_start = false;
            self.keys_len -= oldest.len();
            for key in oldest.iter() {
                if let Entry::Occupied(latest) = self.latest.entry(*key)
                    && *latest.get() == self.floor
                {
                    latest.remove();
                }
            }
        }
    }

    fn end(&mut self, position: u64, origin: Option<(u64, u64)>) {
        self.state.position = position;
        self.past.push_back(PastState { state: self.state, origin });
        while self.past.len() as u64 > 2 * self.limits.messages {
            self.past.pop_front();
        }
    }
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { messages: WINDOW_MESSAGES, keys: WINDOW_KEYS_MAX }
    }
}

fn keys_of(records: &[GroupRecord]) -> MessageKeys {
    records.iter().map(|record| record.key).collect()
}

/// What the records of one message have in common.
#[derive(Clone, Copy)]
struct PlaceRules {
    position: u64,
    /// Up to where their sender had looked; `None` if that is stale.
    basis: Option<u64>,
    accept_time: Time,
    timestamp: Time,
}
