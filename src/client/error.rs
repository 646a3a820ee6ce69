//! Errors of calls.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::connect_error;

/// Why a request to a gateway failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The URL is not valid.
    #[error("{url:?} is not the URL of a gateway: {reason}")]
    Url {
        /// The given URL.
        url: String,
        /// The error.
        reason: String,
    },
    /// The certificates or the key of [`Credentials`](crate::client::Credentials) are not
    /// valid.
    #[error("{0}")]
    Credentials(String),
    /// The token would be sent unencrypted to another machine.
    #[error(
        "the token would be sent unencrypted to {url}, where anyone on the way can read it: use https://"
    )]
    TokenExposed {
        /// The URL to which it would be sent.
        url: String,
    },
    /// No server answers at the URL, or it rejects this client.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The URL.
        url: String,
        /// The likely cause.
        reason: String,
    },
    /// None of several gateways answers.
    #[error("cannot connect to any server: {}", each(tried))]
    NoServer {
        /// Each URL, with the likely cause.
        tried: Vec<(String, String)>,
    },
    /// The gateway refuses; a retry would not help.
    #[error("{0}")]
    Refused(Refusal),
    /// The gateway was unavailable for so long that the client gave up; with several gateways, all
    /// of them were.
    #[error("gave up after {attempts} attempts: {last}")]
    GaveUp {
        /// The number of attempts.
        attempts: u32,
        /// The result of the last attempt; its message names each of several gateways.
        last: Refusal,
    },
    /// The emitter was closed before.
    #[error("the emitter is closed")]
    Closed,
}

impl Error {
    /// The refusal of the gateway, if it answered.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Error::Refused(refusal) | Error::GaveUp { last: refusal, .. } => Some(refusal),
            Error::Url { .. }
            | Error::Credentials(_)
            | Error::TokenExposed { .. }
            | Error::Connect { .. }
            | Error::NoServer { .. }
            | Error::Closed => None,
        }
    }
}

/// The failure of each gateway.
fn each(tried: &[(String, String)]) -> String {
    let each: Vec<_> = tried.iter().map(|(url, reason)| format!("{url}: {reason}")).collect();
    each.join("; ")
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::Refused(refusal)
    }
}

/// An error status of the gateway, or a failure of the connection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The error message.
    pub message: String,
    /// A name from `auditgate.v1.ErrorReason` without its prefix, such as `ID_CONFLICT`. Absent
    /// if the gateway did not make the status.
    pub reason: Option<String>,
    /// The fields of the request that are to blame.
    pub violations: Vec<Violation>,
    /// The position of the fault in the filter's expression, if it is there.
    pub place: Option<ExpressionPlace>,
    /// The retry delay that the gateway asks for.
    pub retry_after: Option<Duration>,
    /// Whether the same request may succeed later.
    pub transient: bool,
}

/// A position in the expression of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpressionPlace {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The number of characters; 0 at the end of the expression.
    pub length: u32,
}

impl ExpressionPlace {
    /// Reads the metadata of an ErrorInfo.
    fn of(metadata: &HashMap<String, String>) -> Option<Self> {
        let number = |name: &str| metadata.get(name)?.parse().ok();
        let (line, column) = (number("line")?, number("column")?);
        Some(Self { line, column, length: number("length").unwrap_or(0) })
    }
}

/// A field of a request that is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `filter.types[2]`.
    pub field: String,
    /// The error.
    pub description: String,
}

impl Violation {
    /// Position in its batch of the event to blame: 17 of `events[17].time`.
    pub fn event_position(&self) -> Option<usize> {
        self.field.strip_prefix("events[")?.split_once(']')?.0.parse().ok()
    }
}

impl Refusal {
    /// The response violates the protocol.
    pub(super) fn protocol(message: &str) -> Self {
        Self::unanswered(Code::Internal, message.to_owned(), false)
    }

    /// No response in time.
    pub(super) fn timed_out(time: Duration) -> Self {
        let message = format!("no answer within {} s", time.as_secs());
        Self::unanswered(Code::DeadlineExceeded, message, true)
    }

    /// The stream ended without a status.
    pub(super) fn ended() -> Self {
        Self::unanswered(Code::Unavailable, "the gateway ended the stream".to_owned(), true)
    }

    /// No connection could be made.
    pub(super) fn unreachable(reason: String) -> Self {
        Self::unanswered(Code::Unavailable, reason, true)
    }

    pub(super) fn unanswered(code: Code, message: String, transient: bool) -> Self {
        Self {
            code,
            message,
            reason: None,
            violations: Vec::new(),
            place: None,
            retry_after: None,
            transient,
        }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        // A status with a source was made by this client, after a failed connection.
        if let Some(source) = std::error::Error::source(&status) {
            let code = match status.code() {
                Code::DeadlineExceeded => Code::DeadlineExceeded,
                _ => Code::Unavailable,
            };
            let transient = connect_error::refused_by(source).is_none();
            return Self::unanswered(code, connect_error::describe(source), transient);
        }
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let bad_request = status.get_details_bad_request();
        let violations = bad_request.into_iter().flat_map(|found| found.field_violations);
        let violations = violations.map(|violation| Violation {
            field: violation.field,
            description: violation.description,
        });
        let info = status.get_details_error_info();
        Self {
            code: status.code(),
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
            place: info.as_ref().and_then(|info| ExpressionPlace::of(&info.metadata)),
            reason: info.map(|info| info.reason),
            violations: violations.collect(),
            transient: retry_after.is_some()
                || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded),
            retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_carries_what_the_gateway_says() {
        let mut details = ErrorDetails::new();
        details.set_error_info("FILTER_INVALID", "auditgate", []);
        details.add_bad_request_violation("filter.types[0]", "no such type");
        let status = Status::with_error_details(Code::InvalidArgument, "bad filter", details);
        let refusal = Refusal::from(status);
        assert_eq!(refusal.to_string(), "bad filter");
        assert_eq!(refusal.reason.as_deref(), Some("FILTER_INVALID"));
        assert_eq!(refusal.place, None);
        let metadata = [("line", "2"), ("column", "7"), ("length", "3")];
        let metadata = metadata.map(|(name, number)| (name.to_owned(), number.to_owned()));
        let details = ErrorDetails::with_error_info("FILTER_INVALID", "auditgate", metadata);
        let status = Status::with_error_details(Code::InvalidArgument, "bad filter", details);
        let place = ExpressionPlace { line: 2, column: 7, length: 3 };
        assert_eq!(Refusal::from(status).place, Some(place));
        let violation =
            Violation { field: "filter.types[0]".into(), description: "no such type".into() };
        assert_eq!(refusal.violations, [violation]);
        assert!(!refusal.transient);
    }

    #[test]
    fn the_position_of_an_event_is_read_off_the_field() {
        let position = |field: &str| {
            Violation { field: field.to_owned(), description: String::new() }.event_position()
        };
        assert_eq!(position("events[17].time"), Some(17));
        assert_eq!(position("events[0]"), Some(0));
        for other in ["events", "events[]", "events[x].id", "event.time", "filter.events[1]"] {
            assert_eq!(position(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_gateway_asks_to_repeat_is_transient() {
        assert!(Refusal::from(Status::unavailable("restarting")).transient);
        assert!(Refusal::from(Status::deadline_exceeded("slow")).transient);
        let exhausted = Status::resource_exhausted("too large");
        assert!(!Refusal::from(exhausted).transient);
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let later = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        let refusal = Refusal::from(later);
        assert!(refusal.transient);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_broken_connection_is_transient_and_told_by_its_cause() {
        let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer");
        let refusal = Refusal::from(Status::from_error(Box::new(broken)));
        assert_eq!(refusal.code, Code::Unavailable);
        assert_eq!(refusal.message, "reset by peer");
        assert!(refusal.transient);
    }
}
