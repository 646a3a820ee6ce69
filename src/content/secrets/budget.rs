//! How much work the secrets of one event may make.

use crate::content::Abandoned;

/// What is left of the work for one event.
///
/// Each byte of a text is looked at a bounded number of times, but where every few bytes announce a secret,
/// that is dozens of times as much work as for ordinary text. Such texts are nobody's: they are masked from
/// where the budget is spent to their end.
#[derive(Debug)]
pub(crate) struct MaskBudget {
    /// Names of secrets and values.
    secrets: usize,
    /// Those that were counted since a text was last looked through again.
    counted: usize,
    /// Bytes that may be looked through again.
    again: usize,
    /// Steps until it is looked whether the caller still waits.
    steps: usize,
    abandoned: Option<Abandoned>,
}

/// They take some 100 us.
const STEPS: usize = 1_024;

impl MaskBudget {
    /// For an event of so many bytes.
    pub(crate) fn new(event_bytes: usize, abandoned: Option<Abandoned>) -> Self {
        /// However small the event is.
        const SECRETS_MIN: usize = 128;
        /// Bytes for each name or value beyond that: `token=a1b2c3d4` has one of each in 14.
        const SECRET_BYTES: usize = 8;
        /// Ordinary texts with secrets are shorter.
        const AGAIN_BYTES: usize = 2 * 1024;
        let secrets = SECRETS_MIN + event_bytes / SECRET_BYTES;
        Self { secrets, counted: 0, again: AGAIN_BYTES, steps: STEPS, abandoned }
    }

    /// Counts a name or a value.
    pub(super) fn spend(&mut self) {
        self.secrets = self.secrets.saturating_sub(1);
        self.counted += 1;
    }

    /// Counts a step. Nothing more is looked for once the work is abandoned.
    pub(super) fn step(&mut self) {
        self.steps -= 1;
        if self.steps == 0 {
            self.steps = STEPS;
            if self.abandoned.as_ref().is_some_and(Abandoned::is_set) {
                self.secrets = 0;
            }
        }
    }

    /// Whether no more may be looked for.
    pub(super) fn is_spent(&self) -> bool {
        self.secrets == 0
    }

    /// Whether so many bytes, in which names and values were counted, may be looked through once more. Counts them.
    pub(super) fn take_again(&mut self, bytes: usize) -> bool {
        /// A name or a value is as much work as so many bytes of other text.
        const SECRET_BYTES: usize = 16;
        let work = bytes + std::mem::take(&mut self.counted) * SECRET_BYTES;
        let Some(rest) = self.again.checked_sub(work) else { return false };
        self.again = rest;
        !self.is_spent()
    }
}
