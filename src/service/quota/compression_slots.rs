//! Turns at what keeps a processor busy: to decompress messages, and to compress them.

use std::num::NonZero;

use super::fair::{Member, Pool};

/// What there are turns for. Small messages have turns of their own: they do not wait behind
/// large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionWork {
    /// To decompress a message, as far as it is small.
    UnpackSmall,
    /// To decompress a large message.
    UnpackLarge,
    /// To compress a small message.
    PackSmall,
    /// To compress a large one, such as a page.
    PackLarge,
}

/// The turns of all clients: for each kind of work one for each processor.
#[derive(Debug)]
pub(super) struct CompressionSlots([Pool; 4]);

/// The turns of one client: for each kind of work one for each second processor.
#[derive(Debug)]
pub(super) struct OwnTurns([Member; 4]);

impl CompressionSlots {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(std::array::from_fn(|_| Pool::new(processors, (processors / 2).max(1))))
    }

    pub(super) fn of_one(&self) -> OwnTurns {
        OwnTurns(self.0.each_ref().map(Pool::member))
    }
}

impl OwnTurns {
    pub(super) fn at(&self, work: CompressionWork) -> &Member {
        let Self([unpack_small, unpack_large, pack_small, pack_large]) = self;
        match work {
            CompressionWork::UnpackSmall => unpack_small,
            CompressionWork::UnpackLarge => unpack_large,
            CompressionWork::PackSmall => pack_small,
            CompressionWork::PackLarge => pack_large,
        }
    }
}
