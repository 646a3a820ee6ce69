//! Turns at what keeps a processor busy: to decompress and compress messages, to compile expressions, to redact
//! large events.

use std::num::NonZero;

use super::Quota;
use super::fair::{Member, Pool};

/// What there are turns for. Small messages have turns of their own: they do not wait behind
/// large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeavyWork {
    /// To decompress a message, as far as it is small.
    UnpackSmall,
    /// To decompress a large message.
    UnpackLarge,
    /// To compress a small message.
    PackSmall,
    /// To compress a large one, such as a page.
    PackLarge,
    /// To compile an expression.
    Compile,
    /// To redact a large event.
    Redact,
}

/// The turns of all clients: for each kind of work one for each processor, and two at least, so that one client
/// leaves one to the others.
#[derive(Debug)]
pub(super) struct HeavyWorkSlots([Pool; 6]);

/// The turns of one client: for each kind of work one for each second processor.
#[derive(Debug)]
pub(super) struct OwnTurns([Member; 6]);

/// Runs work of some milliseconds on a blocking thread, in the turn of its client; in no turn
/// where no layer counts that.
pub async fn in_turn<T: Send + 'static>(
    quota: Option<&Quota>,
    kind: HeavyWork,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let turn = match quota {
        Some(quota) => Some(quota.turn(kind).await),
        None => None,
    };
    // The turn is given back with the end of the work, even if the caller is gone.
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
