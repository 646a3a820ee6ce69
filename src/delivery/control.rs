//! Control requests of operators to a delivery.

use tokio::sync::oneshot;

use crate::record::Sequence;

/// A request of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAction {
    /// Stop sending until the delivery is resumed, also after a restart.
    Pause,
    /// Resume at the cursor, or at this record.
    Resume {
        /// The record that comes next.
        from: Option<Sequence>,
    },
    /// Send the dead letters again.
    Replay,
    /// Skip all records up to this one.
    Skip {
        /// The last skipped record.
        to: Sequence,
    },
}

/// A request to a runner, with the channel for its answer.
#[derive(Debug)]
pub struct DeliveryOrder {
    /// The request.
    pub action: ControlAction,
    /// The answer.
    pub reply: oneshot::Sender<Result<(), ControlError>>,
}

/// Why a delivery refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such delivery.
    #[error("there is no delivery {name:?}{}", nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    Unknown {
        /// The beginning of the name.
        name: String,
        /// A similar name.
        nearest: Option<String>,
    },
    /// Another gateway runs it.
    #[error("the delivery {name} runs on the gateway {gateway}: ask that one")]
    Elsewhere {
        /// The delivery.
        name: String,
        /// The gateway.
        gateway: String,
    },
    /// The request must say where to begin.
    #[error(
        "the delivery has another destination than its cursor: say where to begin, by resume with a sequence"
    )]
    Undecided,
    /// The log does not have the record.
    #[error("sequence {sequence} is not kept: the next record can be {first} to {next}")]
    NotKept {
        /// The record.
        sequence: Sequence,
        /// The oldest record kept.
        first: Sequence,
        /// The record that comes next.
        next: Sequence,
    },
    /// The records are delivered already.
    #[error("sequence {sequence} is not ahead of the delivery, which has reached {position}")]
    BehindCursor {
        /// The record.
        sequence: Sequence,
        /// The position of the delivery.
        position: Sequence,
    },
    /// The dead letters are being sent again already.
    #[error("the dead letters are being sent again already")]
    ReplayRuns,
    /// There are no dead letters.
    #[error("the delivery has no dead letters")]
    NoDeadLetters,
    /// The dead letters cannot be read.
    #[error("the dead letters cannot be read: {0}")]
    Replay(String),
    /// The gateway stops.
    #[error("the delivery has ended")]
    Ended,
}
