//! How much work the secrets of one event may make.

use std::cell::Cell;

use crate::content::Abandoned;

/// What is left of the work for one event.
///
/// Each byte of a text is looked at a bounded number of times, but where every few bytes announce a secret,
/// that is dozens of times as much work as for ordinary text. Such texts are nobody's: they are masked from
/// where the budget is spent to their end.
#[derive(Debug)]
pub(crate) struct MaskBudget {
    /// Names of secrets and values.
    secrets: Cell<usize>,
    /// Those that were counted since a text was last looked through again.
    counted: Cell<usize>,
    /// Bytes that may be looked through again.
    again: Cell<usize>,
    /// Bytes that may be read ahead, to find where something ends.
    ahead: Cell<usize>,
    /// Work until it is looked whether the caller still waits.
    until_look: Cell<usize>,
    abandoned: Option<Abandoned>,
}

/// As much work as 1,024 steps, which take some 100 us: a step counts as this many bytes that are read ahead.
const LOOK_BYTES: usize = 1_024 * STEP_BYTES;
const STEP_BYTES: usize = 64;

impl MaskBudget {
    /// For an event of so many bytes.
    pub(crate) fn new(event_bytes: usize, abandoned: Option<Abandoned>) -> Self {
        /// However small the event is.
        const SECRETS_MIN: usize = 128;
        /// Bytes for each name or value beyond that: `token=a1b2c3d4` has one of each in 14.
        const SECRET_BYTES: usize = 8;
        /// Ordinary texts with secrets are shorter.
        const AGAIN_BYTES: usize = 2 * 1024;
        /// However small the event is.
        const AHEAD_BYTES_MIN: usize = 64 * 1024;
        /// What is read ahead is mostly passed at once. Texts that make something be read again and again do not get
        /// beyond this.
        const AHEAD_FACTOR: usize = 8;
        Self {
            secrets: Cell::new(SECRETS_MIN + event_bytes / SECRET_BYTES),
            counted: Cell::new(0),
            again: Cell::new(AGAIN_BYTES),
            ahead: Cell::new(AHEAD_BYTES_MIN + event_bytes * AHEAD_FACTOR),
            until_look: Cell::new(LOOK_BYTES),
            abandoned,
        }
    }

    /// Counts a name or a value.
    pub(super) fn spend(&self) {
        self.secrets.update(|left| left.saturating_sub(1));
        self.counted.update(|counted| counted + 1);
    }

    /// Counts a step.
    pub(super) fn step(&self) {
        self.work(STEP_BYTES);
    }

    /// Counts bytes that were read ahead.
    pub(super) fn read(&self, bytes: usize) {
        match self.ahead.get().checked_sub(bytes) {
            Some(left) => self.ahead.set(left),
            None => {
                self.ahead.set(0);
                self.secrets.set(0);
            }
        }
        self.work(bytes);
    }

    /// Counts as much work as reading so many bytes. Once the event is abandoned, the budget is spent.
    pub(super) fn work(&self, bytes: usize) {
        match self.until_look.get().checked_sub(bytes) {
            Some(left) => self.until_look.set(left),
            None => {
                self.until_look.set(LOOK_BYTES);
                if self.is_abandoned() {
                    self.secrets.set(0);
                }
            }
        }
    }

    /// Whether nobody waits for the event any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.as_ref().is_some_and(Abandoned::is_set)
    }

    /// Whether no more may be looked for.
    pub(super) fn is_spent(&self) -> bool {
        self.secrets.get() == 0
    }

    /// Whether more was read ahead than an event may make be read.
    #[cfg(test)]
    pub(super) fn is_read_up(&self) -> bool {
        self.ahead.get() == 0
    }

    /// Whether so many bytes, in which names and values were counted, may be looked through once more. Counts them.
    pub(super) fn take_again(&self, bytes: usize) -> bool {
        /// A name or a value is as much work as so many bytes of other text.
        const SECRET_BYTES: usize = 16;
        let work = bytes + self.counted.take() * SECRET_BYTES;
        let Some(rest) = self.again.get().checked_sub(work) else { return false };
        self.again.set(rest);
        !self.is_spent()
    }
}
