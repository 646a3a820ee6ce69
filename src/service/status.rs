//! Converts errors to `Status`; no other module makes one. The matches are exhaustive, so each
//! error has a code, a reason and its fields.

mod bounds;
mod deliveries;
mod logs;

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::access;
use crate::event;
use crate::filter;
use crate::hub::{SubscribeError, count, search};
use crate::proof::{prover, tree};
use crate::proto::pb::{self, ErrorReason};
use crate::service::Error;
use crate::text::truncated;
use crate::wire::WireFault;

pub use bounds::VIOLATIONS_MAX;
use bounds::{MESSAGE_BYTES_MAX, violations};
use logs::{append_shape, read_shape};

/// Domain of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "auditgate";
/// The retry delay if the gateway is at fault.
const RETRY_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

/// The parts of a status beside its message.
struct Parts {
    code: Code,
    reason: ErrorReason,
    /// Fields to blame, each with a sentence.
    fields: Vec<(String, String)>,
    /// Whether a retry may succeed.
    retry: bool,
}

impl Parts {
    fn new(code: Code, reason: ErrorReason) -> Self {
        Self { code, reason, fields: Vec::new(), retry: false }
    }

    /// A status after which a retry may succeed.
    fn unavailable(reason: ErrorReason) -> Self {
        Self { retry: true, ..Self::new(Code::Unavailable, reason) }
    }

    fn invalid(reason: ErrorReason, field: impl Into<String>, what: impl ToString) -> Self {
        Self {
            fields: vec![(field.into(), what.to_string())],
            ..Self::new(Code::InvalidArgument, reason)
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let error = match error {
            // A layer below the service has added the details.
            Error::Broken(status) if !status.details().is_empty() => return status,
            other => other,
        };
        let message = truncated(error.to_string(), MESSAGE_BYTES_MAX);
        let parts = parts(&error);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason_name(parts.reason), DOMAIN, metadata(&error));
        if !parts.fields.is_empty() {
            details.set_bad_request(violations(parts.fields));
        }
        let retry = error.retry_delay().or(parts.retry.then_some(RETRY_DELAY));
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        Status::with_error_details(parts.code, message, details)
    }
}

/// Metadata of a refusal for programs: the position of a fault in an expression, and
/// suggestions.
fn metadata(error: &Error) -> HashMap<String, String> {
    let Error::Filter(error) = error else { return HashMap::new() };
    let place = error.position().into_iter().flat_map(|at| {
        [("line", at.line), ("column", at.column), ("length", at.length)]
            .map(|(name, number)| (name.to_owned(), number.to_string()))
    });
    let nearest = error.nearest().join(", ");
    let nearest = (!nearest.is_empty()).then(|| ("nearest".to_owned(), nearest));
    place.chain(nearest).collect()
}

/// The content of the status of an error, for a stream that continues.
pub fn refusal(error: &Error, event: u64) -> pb::Refusal {
    let parts = parts(error);
    pb::Refusal {
        event,
        code: parts.code.into(),
        message: truncated(error.to_string(), MESSAGE_BYTES_MAX),
        reason: parts.reason.into(),
        field: parts.fields.into_iter().next().map(|(field, _)| field).unwrap_or_default(),
    }
}

/// The reason of an error.
pub fn error_reason(error: &Error) -> ErrorReason {
    parts(error).reason
}

/// The name of the reason of an error, as in statuses.
pub fn reason(error: &Error) -> &'static str {
    reason_name(error_reason(error))
}

/// `ID_TOO_LONG` for `ERROR_REASON_ID_TOO_LONG`.
fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn parts(error: &Error) -> Parts {
    match error {
        Error::Malformed(_) | Error::Framing(_) => {
            Parts::new(Code::InvalidArgument, ErrorReason::RequestMalformed)
        }
        // Usually the client is gone, and nobody reads this; it is not a failure of the gateway.
        Error::RequestCutOff(_) => Parts::new(Code::Cancelled, ErrorReason::RequestMalformed),
        // The code that gRPC defines for a wrong number of requests.
        Error::SeveralMessages => Parts::new(Code::Unimplemented, ErrorReason::RequestMalformed),
        Error::RequestTooLarge { .. } => {
            Parts::new(Code::ResourceExhausted, ErrorReason::RequestTooLarge)
        }
        Error::Compression(_) => {
            Parts::new(Code::Unimplemented, ErrorReason::CompressionUnsupported)
        }
        Error::MethodUnknown(_) | Error::MethodNotForBrowsers(_) => {
            Parts::new(Code::Unimplemented, ErrorReason::MethodUnknown)
        }
        Error::Event(error) => Parts {
            code: event_code(error),
            ..Parts::invalid(event_reason(error), join("event", &event_field(error)), error)
        },
        Error::Events { errors, .. } => events_shape(errors),
        Error::BatchEmpty => Parts::invalid(ErrorReason::BatchEmpty, "events", error),
        Error::BatchTooLarge(_) => Parts::invalid(ErrorReason::BatchTooLarge, "events", error),
        Error::Append { error, batch } => append_shape(error, *batch),
        Error::Read(error) | Error::Subscribe(SubscribeError::Log(error)) => read_shape(error),
        Error::Subscribe(SubscribeError::CursorBeyond { .. }) => {
            Parts::invalid(ErrorReason::CursorInvalid, "cursor", error)
        }
        Error::Filter(error) => Parts {
            code: denied_or_invalid(matches!(error, filter::Error::TypeForbidden { .. })),
            ..Parts::invalid(filter_reason(error), format!("filter.{}", error.field()), error)
        },
        Error::TimeInvalid { field } => {
            Parts::invalid(ErrorReason::TimeRangeInvalid, *field, error)
        }
        Error::TimesContradict { .. } => {
            Parts::invalid(ErrorReason::TimeRangeInvalid, "start_time", error)
        }
        Error::SequencesContradict { .. } => {
            Parts::invalid(ErrorReason::SequenceRangeInvalid, "first_sequence", error)
        }
        Error::Cursor(what) => Parts::invalid(ErrorReason::CursorInvalid, "cursor", what),
        Error::PageToken(what) => Parts::invalid(ErrorReason::PageTokenInvalid, "page_token", what),
        Error::Search(search::Error::OtherLog | search::Error::OtherSearch) => {
            Parts::invalid(ErrorReason::PageTokenMismatch, "page_token", error)
        }
        Error::Search(search::Error::Log(error)) | Error::Count(count::Error::Log(error)) => {
            read_shape(error)
        }
        Error::PageSize(_) => Parts::invalid(ErrorReason::PageSizeInvalid, "page_size", error),
        Error::EnumValue { field, .. } => {
            Parts::invalid(ErrorReason::EnumValueUnknown, *field, error)
        }
        Error::FieldCount(_) => Parts::invalid(ErrorReason::FieldInvalid, "fields", error),
        Error::Field { position, error } => {
            Parts::invalid(ErrorReason::FieldInvalid, format!("fields[{position}]"), error)
        }
        Error::Limit(_) => Parts::invalid(ErrorReason::PageSizeInvalid, "limit", error),
        Error::PrefixTooLong(_) => Parts::invalid(ErrorReason::FilterTooLarge, "prefix", error),
        Error::Bucket => Parts::invalid(ErrorReason::BucketInvalid, "bucket", error),
        Error::TooManyBuckets { .. }
        | Error::CountsTooLarge { .. }
        | Error::Count(count::Error::TooManyBuckets | count::Error::TooLarge) => {
            Parts::invalid(ErrorReason::BucketsTooMany, "bucket", error)
        }
        Error::KeyMissing => Parts::invalid(ErrorReason::KeyMissing, "key", error),
        Error::Access(error) | Error::AccessEnded { error, .. } => access_shape(error),
        Error::IdNotFound { .. } | Error::SequenceNotFound { .. } | Error::SequenceHidden(_) => {
            Parts::new(Code::NotFound, ErrorReason::RecordNotFound)
        }
        Error::Delivery(error) => deliveries::shape(error),
        Error::SequenceMissing | Error::SequenceUnexpected => {
            Parts::invalid(ErrorReason::FieldInvalid, "sequence", error)
        }
        Error::ProofOff => Parts::new(Code::FailedPrecondition, ErrorReason::ProofOff),
        Error::Proof(error) => proof_shape(error),
        Error::AnswersNotRead { .. } => Parts {
            retry: true,
            ..Parts::new(Code::ResourceExhausted, ErrorReason::AnswersNotRead)
        },
        Error::Broken(status) => Parts::new(status.code(), ErrorReason::RequestMalformed),
        Error::TooFast { .. } | Error::ReadsTooFast { .. } => {
            Parts { retry: true, ..Parts::new(Code::ResourceExhausted, ErrorReason::RateLimited) }
        }
        Error::TooMany { .. } => {
            Parts { retry: true, ..Parts::new(Code::ResourceExhausted, ErrorReason::LimitReached) }
        }
        Error::DeadlineExceeded { .. } => {
            Parts::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded)
        }
        Error::RequestTooSlow { .. } => {
            Parts::new(Code::DeadlineExceeded, ErrorReason::RequestTooSlow)
        }
        Error::Stopping { .. } | Error::StoppingCall | Error::StoppingEmit { .. } => {
            Parts::unavailable(ErrorReason::ShuttingDown)
        }
    }
}

fn events_shape(errors: &[(usize, event::Error)]) -> Parts {
    let reason =
        errors.first().map_or(ErrorReason::EventMalformed, |(_, error)| event_reason(error));
    let code = errors.first().map_or(Code::InvalidArgument, |(_, error)| event_code(error));
    let fields = errors.iter().map(|(position, error)| {
        (join(&format!("events[{position}]"), &event_field(error)), error.to_string())
    });
    Parts { fields: fields.collect(), ..Parts::new(code, reason) }
}

fn access_shape(error: &access::Error) -> Parts {
    let (code, reason) = match error {
        access::Error::CredentialsMissing => {
            (Code::Unauthenticated, ErrorReason::CredentialsMissing)
        }
        access::Error::Scheme
        | access::Error::SeveralTokens
        | access::Error::TokenUnknown
        | access::Error::Jwt(_)
        | access::Error::Certificate(_) => (Code::Unauthenticated, ErrorReason::CredentialsInvalid),
        access::Error::Expired(_) => (Code::Unauthenticated, ErrorReason::CredentialsExpired),
        access::Error::Forbidden(_) => (Code::PermissionDenied, ErrorReason::CallForbidden),
        access::Error::TypesForbidden => (Code::PermissionDenied, ErrorReason::EventTypeForbidden),
    };
    Parts::new(code, reason)
}

fn proof_shape(error: &prover::Error) -> Parts {
    match error {
        prover::Error::NoCheckpoint(failure) if failure.is_lasting() => {
            Parts::new(Code::DataLoss, ErrorReason::ProofBroken)
        }
        prover::Error::Tree(tree::Error::Damaged { .. } | tree::Error::Missing { .. }) => {
            Parts::new(Code::DataLoss, ErrorReason::ProofBroken)
        }
        prover::Error::NoCheckpoint(_)
        | prover::Error::Late { .. }
        | prover::Error::Tree(tree::Error::Read { .. } | tree::Error::Sizes { .. }) => {
            Parts::unavailable(ErrorReason::ProofUnavailable)
        }
        prover::Error::OldSize { .. } => Parts {
            fields: vec![("old_size".to_owned(), error.to_string())],
            ..Parts::new(Code::OutOfRange, ErrorReason::OldSizeAhead)
        },
        prover::Error::Size { .. } => Parts {
            fields: vec![("size".to_owned(), error.to_string())],
            ..Parts::new(Code::OutOfRange, ErrorReason::OldSizeAhead)
        },
        prover::Error::Pruned { .. } => Parts::new(Code::NotFound, ErrorReason::ProofNotKept),
    }
}

fn event_code(error: &event::Error) -> Code {
    use event::Error::{Forbidden, Reserved};
    denied_or_invalid(matches!(error, Forbidden { .. } | Reserved { .. }))
}

fn denied_or_invalid(denied: bool) -> Code {
    if denied { Code::PermissionDenied } else { Code::InvalidArgument }
}

fn event_reason(error: &event::Error) -> ErrorReason {
    match error {
        event::Error::Missing => ErrorReason::EventMissing,
        event::Error::TooLarge { .. } | event::Error::GrownTooLarge { .. } => {
            ErrorReason::EventTooLarge
        }
        event::Error::Malformed { fault, .. } => fault_reason(*fault),
        event::Error::PayloadMissing => ErrorReason::PayloadMissing,
        event::Error::PayloadUnknown { .. } => ErrorReason::PayloadUnknown,
        event::Error::PayloadAmbiguous { .. } => ErrorReason::PayloadAmbiguous,
        event::Error::CustomName { .. } => ErrorReason::CustomNameInvalid,
        event::Error::Forbidden { .. } => ErrorReason::EventTypeForbidden,
        event::Error::Reserved { .. } => ErrorReason::EventTypeReserved,
        event::Error::IdTooLong { .. } => ErrorReason::IdTooLong,
        event::Error::TimeTooEarly | event::Error::TimeTooLate { .. } => {
            ErrorReason::TimeOutOfRange
        }
    }
}

fn fault_reason(fault: WireFault) -> ErrorReason {
    match fault {
        WireFault::NotUtf8 => ErrorReason::EventNotUtf8,
        WireFault::TooDeep => ErrorReason::EventTooDeep,
        WireFault::TooManyParts => ErrorReason::EventTooManyParts,
        WireFault::Timestamp => ErrorReason::TimeOutOfRange,
        WireFault::Truncated
        | WireFault::VarintTooLong
        | WireFault::FieldNumber(_)
        | WireFault::WireType(_)
        | WireFault::WrongType
        | WireFault::Duration
        | WireFault::NotFinite
        | WireFault::NoKind => ErrorReason::EventMalformed,
    }
}

/// The field to blame within the event; empty for the event itself.
fn event_field(error: &event::Error) -> String {
    match error {
        event::Error::Missing
        | event::Error::TooLarge { .. }
        | event::Error::GrownTooLarge { .. } => String::new(),
        event::Error::Malformed { path, .. } => path.clone(),
        event::Error::PayloadMissing
        | event::Error::PayloadUnknown { .. }
        | event::Error::PayloadAmbiguous { .. }
        | event::Error::Forbidden { .. }
        | event::Error::Reserved { .. } => "payload".to_owned(),
        event::Error::CustomName { .. } => "custom.name".to_owned(),
        event::Error::IdTooLong { .. } => "id".to_owned(),
        event::Error::TimeTooEarly | event::Error::TimeTooLate { .. } => "time".to_owned(),
    }
}

fn join(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}.{inner}") }
}

fn filter_reason(error: &filter::Error) -> ErrorReason {
    match error {
        filter::Error::TypeUnknown { .. } | filter::Error::GlobUnmatched { .. } => {
            ErrorReason::EventTypeUnknown
        }
        filter::Error::TypeForbidden { .. } => ErrorReason::EventTypeForbidden,
        filter::Error::TooManyValues { .. }
        | filter::Error::TooManyLabels { .. }
        | filter::Error::TooLong { .. } => ErrorReason::FilterTooLarge,
        filter::Error::Empty { .. }
        | filter::Error::EnumUnknown { .. }
        | filter::Error::AddressInvalid { .. } => ErrorReason::FilterInvalid,
        filter::Error::ExpressionInvalid { .. } | filter::Error::ExpressionNeverEqual { .. } => {
            ErrorReason::ExpressionInvalid
        }
        filter::Error::ExpressionPathUnknown { .. }
        | filter::Error::ExpressionNameUnknown { .. } => ErrorReason::ExpressionPathUnknown,
        filter::Error::ExpressionTooLong { .. } | filter::Error::ExpressionTooDeep { .. } => {
            ErrorReason::ExpressionTooLarge
        }
        filter::Error::ExpressionNesting { .. }
        | filter::Error::ExpressionTooManyPatterns { .. }
        | filter::Error::ExpressionTooCostly { .. } => ErrorReason::ExpressionTooCostly,
    }
}
