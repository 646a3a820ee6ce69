//! How much work the secrets of one event may make.

use std::cell::Cell;

use crate::content::Abandoned;

/// What is left of the work for one event.
///
/// Each byte of a text is looked at a bounded number of times, but where every few bytes announce a secret,
/// that is dozens of times as much work as for ordinary text. Such texts are nobody's: they are masked from
/// where the budget is spent to their end.
///
/// Work is counted in units of one to three nanoseconds of a processor of 2024: it depends on the text.
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
    /// Work that is left beyond that until the next look, ...
    work: Cell<usize>,
    /// ... and until it is looked whether the caller still waits.
    until_look: Cell<usize>,
    all_work: usize,
    abandoned: Option<Abandoned>,
}

/// Work of which it is known how much it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// A byte that is passed.
    Pass,
    /// A place that is looked at closely.
    Step,
    Word,
    Quote,
    Flag,
    /// A name, a value, or the beginning of a token.
    Secret,
    /// A value is read, and each piece of it.
    Value,
    Piece,
    /// What may be the end of a piece.
    Mark,
    Url,
    Login,
}

impl Work {
    /// In units: see [`MaskBudget`].
    fn units(self) -> usize {
        match self {
            Self::Pass => 3,
            Self::Mark => 5,
            Self::Word | Self::Quote => 8,
            Self::Step => 12,
            Self::Piece => 24,
            Self::Flag | Self::Value => 30,
            Self::Login | Self::Secret => 40,
            Self::Url => 100,
        }
    }
}

/// Between two looks whether the caller still waits: some 100 us.
const LOOK_WORK: usize = 100_000;

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
        /// However small the event is.
        const WORK_MIN: usize = 6_000;
        /// For each byte. Ordinary texts need 2 to 12.
        const WORK_FACTOR: usize = 16;
        let all_work = WORK_MIN + event_bytes * WORK_FACTOR;
        let until_look = all_work.min(LOOK_WORK);
        Self {
            secrets: Cell::new(SECRETS_MIN + event_bytes / SECRET_BYTES),
            counted: Cell::new(0),
            again: Cell::new(AGAIN_BYTES),
            ahead: Cell::new(AHEAD_BYTES_MIN + event_bytes * AHEAD_FACTOR),
            work: Cell::new(all_work - until_look),
            until_look: Cell::new(until_look),
            all_work,
            abandoned,
        }
    }

    /// Counts a name or a value.
    pub(super) fn spend(&self) {
        self.secrets.update(|left| left.saturating_sub(1));
        self.counted.update(|counted| counted + 1);
        self.count(Work::Secret);
    }

    /// Counts work.
    #[inline]
    pub(super) fn count(&self, work: Work) {
        self.work(work.units());
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
    #[inline]
    pub(super) fn work(&self, bytes: usize) {
        match self.until_look.get().checked_sub(bytes) {
            Some(left) => self.until_look.set(left),
            None => self.work_beyond(bytes - self.until_look.take()),
        }
    }

    #[cold]
    fn work_beyond(&self, bytes: usize) {
        match self.work.get().checked_sub(bytes) {
            Some(left) if !self.is_abandoned() => {
                let until_look = left.min(LOOK_WORK);
                self.until_look.set(until_look);
                self.work.set(left - until_look);
            }
            _ => {
                self.work.set(0);
                self.secrets.set(0);
            }
        }
    }

    /// The work so far.
    pub(crate) fn worked(&self) -> usize {
        self.all_work - self.work.get() - self.until_look.get()
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

    /// Whether so many bytes, in which names and values were counted, may be looked through once more: where there is
    /// room for twice as much work as the last time, since the texts that are the most work are more than is counted.
    /// Counts them.
    pub(super) fn take_again(&self, bytes: usize, work: usize) -> bool {
        /// A name or a value is as much work as so many bytes of other text.
        const SECRET_BYTES: usize = 16;
        let again = bytes + self.counted.take() * SECRET_BYTES;
        let Some(rest) = self.again.get().checked_sub(again) else { return false };
        self.again.set(rest);
        !self.is_spent() && self.worked() + 2 * work <= self.all_work
    }
}
