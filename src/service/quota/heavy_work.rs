//! Limits concurrent CPU-bound work: decompressing and compressing messages, compiling expressions,
//! redacting large events.

use std::num::NonZero;

use super::Quota;
use super::fair::{Member, Pool};

/// A kind of CPU-bound work. Small messages have their own turns, so that they do not wait for
/// large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeavyWork {
    /// Decompressing a message up to the size of a small one.
    UnpackSmall,
    /// Decompressing a large message.
    UnpackLarge,
    /// Compressing a small message.
    PackSmall,
    /// Compressing a large message, such as a page.
    PackLarge,
    /// Compiling an expression.
    Compile,
    /// Redacting a large event.
    Redact,
}

/// The turns of all clients: one a processor for each kind of work, and at least two, so that one
/// client leaves a turn to others.
#[derive(Debug)]
pub(super) struct HeavyWorkSlots([Pool; 6]);

/// The turns of one client: one for every two processors for each kind of work.
#[derive(Debug)]
pub(super) struct OwnTurns([Member; 6]);

/// Runs work of some milliseconds on a blocking thread, in a turn of its client; without a turn if
/// the call did not come through a listener.
pub async fn in_turn<T: Send + 'static>(
    quota: Option<&Quota>,
    kind: HeavyWork,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let turn = match quota {
        Some(quota) => Some(quota.turn(kind).await),
        None => None,
    };
    // The turn is returned at the end of the work, even if the caller is gone.
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    working.await.expect("heavy work does not panic, and is not cancelled")
}

impl HeavyWorkSlots {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get).max(2);
        Self(std::array::from_fn(|_| Pool::new(processors, processors / 2)))
    }

    pub(super) fn of_one(&self) -> OwnTurns {
        OwnTurns(self.0.each_ref().map(Pool::member))
    }
}

impl OwnTurns {
    pub(super) fn at(&self, work: HeavyWork) -> &Member {
        let Self([unpack_small, unpack_large, pack_small, pack_large, compile, redact]) = self;
        match work {
            HeavyWork::UnpackSmall => unpack_small,
            HeavyWork::UnpackLarge => unpack_large,
            HeavyWork::PackSmall => pack_small,
            HeavyWork::PackLarge => pack_large,
            HeavyWork::Compile => compile,
            HeavyWork::Redact => redact,
        }
    }
}
