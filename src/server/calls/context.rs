//! The identifiers of a call in log lines: the request id of the client or of the gateway,
//! and the trace id.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the request id, in requests and refusals.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header of the trace: W3C Trace Context, `00-TRACE-PARENT-FLAGS`.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The maximum length of a request id of a client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Digits of the id of a trace.
const TRACE_ID_DIGITS: usize = 32;

/// The identifiers of a call.
#[derive(Debug, Default)]
pub struct CallContext {
    request_id: Option<HeaderValue>,
    /// The trace id, if the client sent a valid one.
    pub trace_id: Option<String>,
}

impl CallContext {
    /// Reads the identifiers from the headers of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let request_id = headers.get(REQUEST_ID).filter(|id| is_request_id(id));
        // A copy, because it is kept until the call ends, and the header may hold the whole buffer
        // in which it arrived.
        let request_id = request_id.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        let trace_id = headers.get(TRACE_PARENT).and_then(trace_id);
        Self { request_id, trace_id }
    }

    /// The request id; it is generated now if the client sent none.
    pub fn request_id(&mut self) -> &HeaderValue {
        self.request_id.get_or_insert_with(|| {
            let id = format!("{:016x}", fastrand::u64(..));
            HeaderValue::try_from(id).expect("hexadecimal digits can stand in a header")
        })
    }

    /// Whether the client sent a request id.
    pub fn is_named(&self) -> bool {
        self.request_id.is_some()
    }
}

/// Whether an id is safe to copy into log lines and headers.
fn is_request_id(id: &HeaderValue) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(harmless)
}

fn trace_id(parent: &HeaderValue) -> Option<String> {
    let mut parts = parent.to_str().ok()?.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = version.len() == 2
        && version != "ff"
        && is_hex(version)
        && trace.len() == TRACE_ID_DIGITS
        && is_hex(trace)
        && trace.bytes().any(|digit| digit != b'0')
        && parts.next().is_some_and(|parent| parent.len() == TRACE_ID_DIGITS / 2);
    valid.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: HeaderName, value: &str) -> CallContext {
        CallContext::of(&HeaderMap::from_iter([(name, value.parse().unwrap())]))
    }

    #[test]
    fn a_trace_is_taken_if_it_is_one() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parsed = |text: &str| context(TRACE_PARENT, text).trace_id;
        assert_eq!(parsed(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
        assert_eq!(parsed(&format!("01-{trace}-00f067aa0ba902b7-01-x")).as_deref(), Some(trace));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_is_taken_if_it_is_harmless() {
        assert_eq!(context(REQUEST_ID, "a-1/b").request_id(), "a-1/b");
        for bad in ["", "two words", "quote\"", &"x".repeat(129)] {
            let mut context = context(REQUEST_ID, bad);
            assert!(!context.is_named(), "{bad}");
            assert_eq!(context.request_id().len(), 16);
            assert_eq!(context.request_id().clone(), context.request_id(), "it stays");
        }
    }
}
