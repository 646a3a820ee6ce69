//! Decides where a gateway without a copy joins a stream whose beginning was removed.
//!
//! The stream's oldest message is `first`. A message with a basis before `first - 1` cannot
//! be judged, since keys behind its basis are not known. Let `y` be the newest of these
//! that is not stale in any case. The basis of a later message gives count, time and
//! digest, and where that basis is neither before `y` nor before `first - 1`, all that
//! follows can be judged.

use crate::log::shared::message::{Basis, EpochChange};

/// Looks for the state to join with in the messages of a stream, from the oldest on.
#[derive(Debug)]
pub struct JoinSearch {
    first: u64,
    window: u64,
    /// The newest message that cannot be judged.
    unjudged: u64,
    /// The first state at or behind that.
    state: Option<Basis>,
    /// The newest epoch of a message.
    epoch: Option<u16>,
    /// The position of the newest beginning of an epoch in the messages so far; 0 without one.
    epoch_at: u64,
}

impl JoinSearch {
    /// A search in a stream whose oldest message is `first`, with such a window.
    pub fn new(first: u64, window: u64) -> Self {
        Self { first, window, unjudged: 0, state: None, epoch: None, epoch_at: 0 }
    }

    /// The next message, with its basis; `None` if no gateway applies it. Returns whether
    /// later ones change nothing if there is a state by now.
    pub fn see(&mut self, position: u64, basis: Option<Basis>) -> bool {
        if let Some(basis) = basis {
            self.epoch = self.epoch.max(Some(basis.epoch));
        }
        // What was sent before an epoch is stale in it.
        let fresh = |basis: &Basis| (self.epoch_at..position).contains(&basis.position);
        if let Some(basis) = basis.filter(fresh) {
            let is_judged = basis.position + 1 >= self.first;
            if !is_judged && position - basis.position <= self.window {
                self.unjudged = position;
                self.state = None;
            }
            if is_judged && basis.position >= self.unjudged {
                self.state = self.state.or(Some(basis));
            }
        }
        position + 1 >= self.first + self.window && self.state.is_some()
    }

    /// A message that the log's key signed begins an epoch, unless it is void. It is the next
    /// to see.
    pub fn begin_epoch(&mut self, position: u64, change: &EpochChange) {
        let is_next = self.epoch.is_none_or(|epoch| epoch.checked_add(1) == Some(change.number));
        if change.position == position && is_next {
            (self.first, self.unjudged, self.epoch_at) = (position + 1, 0, position);
            (self.state, self.epoch) = (Some(change.state()), Some(change.number));
        }
    }

    /// The position of the newest beginning of an epoch in the messages so far; 0 without one.
    pub fn epoch_at(&self) -> u64 {
        self.epoch_at
    }

    /// The state to join with; `None` if no message so far has one.
    pub fn state(&self) -> Option<Basis> {
        self.state
    }
}
