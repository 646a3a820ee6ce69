//! Control requests of operators to a delivery.

use tokio::sync::oneshot;

use crate::record::Sequence;

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAction {
    /// Send nothing more, until it is resumed, also after a restart.
    Pause,
    /// Go on: at the cursor, or at this record.
    Resume {
        /// The record that comes next.
        from: Option<Sequence>,
    },
    /// Send the dead letters again.
    Replay,
    /// Leave out everything up to this record.
    Skip {
        /// The last record that is left out.
        to: Sequence,
    },
}

/// A request to a runner, and where the answer goes.
#[derive(Debug)]
pub struct DeliveryOrder {
    /// What is asked for.
    pub action: ControlAction,
    /// The answer.
    pub reply: oneshot::Sender<Result<(), ControlError>>,
}

/// Why a delivery does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such delivery.
    #[error("there is no delivery {name:?}{}", nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    Unknown {
        /// The beginning of the name.
        name: String,
        /// A name that is like it.
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
    /// It has to be told where to begin.
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
        /// Where the delivery is.
        position: Sequence,
    },
    /// The dead letters are being sent again already.
    #[error("the dead letters are being sent again already")]
    ReplayRuns,
    /// There is nothing to send again.
    #[error("the delivery has no dead letters")]
    NoDeadLetters,
    /// The dead letters cannot be read.
    #[error("the dead letters cannot be read: {0}")]
    Replay(String),
    /// The gateway stops.
    #[error("the delivery has ended")]
    Ended,
}
