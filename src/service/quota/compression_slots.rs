//! Slots for work that keeps a processor busy: compression and decompression.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// How many large messages of one principal are unpacked at once.
const UNPACKED_LARGE_MAX: usize = 8;
/// How many of all principals.
const UNPACKED_LARGE_IN_ALL_MAX: usize = 32;

/// What there are turns for. What is small has turns of its own: it does not wait behind
/// what is large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionWork {
    /// To unpack a message, as far as it is small.
    UnpackSmall,
    /// To unpack a large message. The turn lasts for as long as nobody else has what
    /// came of it on an account: it bounds memory.
    UnpackLarge,
    /// To pack a small message.
    PackSmall,
    /// To pack a large one, such as a page.
    PackLarge,
}

/// The turns that are left.
#[derive(Debug, Clone)]
pub(super) struct CompressionSlots {
    unpack_small: Arc<Semaphore>,
    unpack_large: Arc<Semaphore>,
    pack_small: Arc<Semaphore>,
    pack_large: Arc<Semaphore>,
}

impl CompressionSlots {
    /// Those of one principal: one for each second processor.
    pub(super) fn of_one() -> Self {
        Self::new((processors() / 2).max(1), UNPACKED_LARGE_MAX)
    }

    /// Those of all principals: one for each processor.
    pub(super) fn of_all() -> Self {
        Self::new(processors(), UNPACKED_LARGE_IN_ALL_MAX)
    }

    fn new(turns: usize, unpack_large: usize) -> Self {
        let turns = || Arc::new(Semaphore::new(turns));
        Self {
            unpack_small: turns(),
            unpack_large: Arc::new(Semaphore::new(unpack_large)),
            pack_small: turns(),
            pack_large: turns(),
        }
    }

    pub(super) fn at(&self, work: CompressionWork) -> &Arc<Semaphore> {
        match work {
            CompressionWork::UnpackSmall => &self.unpack_small,
            CompressionWork::UnpackLarge => &self.unpack_large,
            CompressionWork::PackSmall => &self.pack_small,
            CompressionWork::PackLarge => &self.pack_large,
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
