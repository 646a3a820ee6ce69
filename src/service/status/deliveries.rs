//! Codes and reasons of refused requests to deliveries.

use tonic::Code;

use super::Parts;
use crate::delivery::ControlError;
use crate::proto::pb::ErrorReason;

/// The code, the reason and the field of a refusal.
pub(super) fn shape(error: &ControlError) -> Parts {
    match error {
        ControlError::Unknown { .. } => Parts::new(Code::NotFound, ErrorReason::DeliveryNotFound),
        ControlError::NotKept { .. } | ControlError::BehindCursor { .. } => {
            Parts::invalid(ErrorReason::SequenceRangeInvalid, "sequence", error)
        }
        ControlError::Undecided
        | ControlError::Elsewhere { .. }
        | ControlError::ReplayRuns
        | ControlError::NoDeadLetters
        | ControlError::Ended => Parts::new(Code::FailedPrecondition, ErrorReason::DeliveryState),
        ControlError::Replay(_) => Parts::new(Code::Internal, ErrorReason::DeliveryState),
    }
}
