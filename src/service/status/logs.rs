//! Codes and reasons of errors of the log.

use tonic::Code;

use super::Parts;
use crate::log::{self, ConflictReason};
use crate::proto::pb::ErrorReason;

/// The status of an error of reading.
pub(super) fn read_shape(error: &log::Error) -> Parts {
    match error {
        log::Error::Damaged { .. } => Parts::new(Code::DataLoss, ErrorReason::RecordDamaged),
        log::Error::Behind { .. } => Parts::unavailable(ErrorReason::GatewayBehind),
        log::Error::Unreadable { .. }
        | log::Error::Away { .. }
        | log::Error::Closed
        | log::Error::Failed { .. }
        | log::Error::Full { .. }
        | log::Error::OutcomeUnknown { .. }
        | log::Error::Conflict(_)
        | log::Error::TooManyRecords { .. }
        | log::Error::TooManyBytes { .. } => Parts::unavailable(ErrorReason::LogUnavailable),
    }
}

/// The status of an error of appending.
pub(super) fn append_shape(error: &log::Error, batch: bool) -> Parts {
    match error {
        log::Error::Conflict(conflict) => {
            let field = if batch {
                format!("events[{}].id", conflict.position)
            } else {
                "event.id".to_owned()
            };
            let (code, reason) = match conflict.reason {
                ConflictReason::Content => (Code::AlreadyExists, ErrorReason::IdConflict),
                ConflictReason::Damaged => (Code::AlreadyExists, ErrorReason::RecordDamaged),
                ConflictReason::Unchecked => {
                    (Code::ResourceExhausted, ErrorReason::ComparisonTooLarge)
                }
            };
            Parts { fields: vec![(field, error.to_string())], ..Parts::new(code, reason) }
        }
        log::Error::TooManyRecords { .. } | log::Error::TooManyBytes { .. } => {
            let field = if batch { "events" } else { "event" };
            Parts::invalid(ErrorReason::BatchTooLarge, field, error)
        }
        log::Error::Full { .. } => {
            Parts { retry: true, ..Parts::new(Code::ResourceExhausted, ErrorReason::StorageFull) }
        }
        log::Error::Failed { .. } => Parts::new(Code::Unavailable, ErrorReason::StorageFailed),
        log::Error::Closed => Parts::unavailable(ErrorReason::ShuttingDown),
        log::Error::OutcomeUnknown { .. } => Parts::unavailable(ErrorReason::OutcomeUnknown),
        log::Error::Behind { .. } => Parts::unavailable(ErrorReason::GatewayBehind),
        log::Error::Away { .. } => Parts::unavailable(ErrorReason::LogUnavailable),
        // It is unknown whether the id was accepted before.
        log::Error::Damaged { .. } | log::Error::Unreadable { .. } => {
            Parts::unavailable(ErrorReason::LogUnavailable)
        }
    }
}
