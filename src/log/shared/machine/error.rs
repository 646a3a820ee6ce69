//! Errors about messages that cannot be applied, and about gateways with different states.

use crate::log::shared::message::Basis;

/// Two gateways came to different states at one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "at position {} of the stream this gateway has {} records and digest {:016x}, the sender of message {at} had {} and {:016x}",
    own.position, own.count, own.digest, sender.count, sender.digest
)]
pub struct Disagreement {
    /// The position of the message that shows it.
    pub at: u64,
    /// The state here.
    pub own: Basis,
    /// The state at its sender.
    pub sender: Basis,
}

/// Why a message cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A message is missing before it.
    #[error("message {found} of the stream came where {expected} should have come")]
    Hole {
        /// The position that comes next.
        expected: u64,
        /// That of the message.
        found: u64,
    },
    /// Its sender has applied the beginning of an epoch that this gateway has not.
    #[error(
        "message {position} of the stream is of epoch {epoch}, but this gateway is at epoch {own}: it has not accepted the operator's epoch message; check that its key of the log is that of the other gateways"
    )]
    LaterEpoch {
        /// The position of the message.
        position: u64,
        /// Its epoch.
        epoch: u16,
        /// That of this gateway.
        own: u16,
    },
    /// This gateway joined too late to judge it.
    #[error(
        "message {position} was made at {basis}, but this gateway knows the stream from {from} on only"
    )]
    Undecidable {
        /// The position of the message.
        position: u64,
        /// Its basis.
        basis: u64,
        /// The first message that is known here.
        from: u64,
    },
}
