//! The keys that a machine remembers, so that it can go on after the stream has removed the
//! messages.

use std::sync::Arc;

use super::{Machine, WindowLimits};
use crate::log::shared::message::Basis;
use crate::log::shared::message::group::EventKey;

/// The keys of the records of one message.
pub type MessageKeys = Arc<[EventKey]>;

/// The keys of consecutive messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWindow {
    /// The position of the message before the first of them.
    pub floor: u64,
    /// Whether the gateway began there: it does not know the keys of that message and of
    /// earlier ones, and others may.
    pub is_floor_of_start: bool,
    /// The keys of each message behind `floor`.
    pub messages: Vec<MessageKeys>,
}

impl KeyWindow {
    /// The position of the last message.
    pub fn end(&self) -> u64 {
        self.floor + self.messages.len() as u64
    }

    /// Whether later messages can be judged that cannot be with the messages from `first` on.
    pub fn knows_more_than(&self, first: u64) -> bool {
        self.floor + 1 < first || !self.is_floor_of_start
    }
}

impl Machine {
    /// All keys that it remembers.
    pub fn key_window(&self) -> KeyWindow {
        let messages = self.keys.iter().cloned().collect();
        let Self { floor, is_floor_of_start, .. } = *self;
        KeyWindow { floor, is_floor_of_start, messages }
    }

    /// The keys of the messages after `position`; `None` if it has forgotten some of them.
    pub fn keys_after(&self, position: u64) -> Option<Vec<MessageKeys>> {
        let known = usize::try_from(position.checked_sub(self.floor)?).ok()?;
        Some(self.keys.iter().skip(known).cloned().collect())
    }

    /// A machine that goes on from a state, with the keys that it remembered then; `None` if
    /// they end before.
    pub fn restore(limits: WindowLimits, state: Basis, window: KeyWindow) -> Option<Self> {
        if !(window.floor..=window.end()).contains(&state.position) {
            return None;
        }
        let mut machine = Self::resume(limits, state, window.floor + 1);
        machine.is_floor_of_start = window.is_floor_of_start;
        for (position, keys) in (window.floor + 1..=state.position).zip(window.messages) {
            machine.recall_keys(position, keys);
        }
        Some(machine)
    }
}
