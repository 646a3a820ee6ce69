//! Interprets the answer to a gRPC call.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use http::HeaderValue;
use prost::Message as _;
use std::time::Duration;

use crate::delivery::dead_letters::shown;
use crate::delivery::destination::http_client::HttpAnswer;
use crate::delivery::destination::{Delay, RETRY_AFTER_MAX, Rejection, Reply};
use crate::proto::codec::PREFIX_BYTES;

/// The header of the code.
const STATUS: &str = "grpc-status";
/// The header of the message.
const MESSAGE: &str = "grpc-message";
/// The header of the details.
const DETAILS: &str = "grpc-status-details-bin";
/// The type of the detail with a retry delay.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The encoded response.
///
/// # Errors
/// The reply that stands for a missing response.
pub fn response(answer: &HttpAnswer) -> Result<Vec<u8>, Reply> {
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text(STATUS).and_then(|code| code.parse::<u32>().ok()) else {
        // A proxy answers by itself, or the peer does not speak gRPC.
        return Err(match answer.reply() {
            Reply::Accepted { .. } => Reply::unavailable("the answer has no grpc-status"),
            other => other,
        });
    };
    if code == 0 {
        return message(&answer.body)
            .ok_or_else(|| Reply::unavailable("the answer has no complete gRPC message"));
    }
    let words = text(MESSAGE).unwrap_or_default().to_owned();
    let retry_after = answer.headers.get(DETAILS).and_then(retry_delay);
    Err(reply(code, words, retry_after))
}

/// The names of the codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Interprets a code other than OK.
fn reply(code: u32, words: String, retry_after: Option<Duration>) -> Reply {
    let name = usize::try_from(code).ok().and_then(|code| CODES.get(code));
    let name = name.map_or_else(|| format!("code {code}"), |name| (*name).to_owned());
    let why = format!("answers {name}: {}", shown(&words));
    match name.as_str() {
        "INVALID_ARGUMENT" => Reply::Rejected(Rejection { status: name, words }),
        // Receivers use this code for a message that is too large, and for overload.
        "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE"
            if retry_after.is_none() && words.contains("larger than max") =>
        {
            Reply::Rejected(Rejection { status: name, words })
        }
        "NOT_FOUND" | "PERMISSION_DENIED" | "UNIMPLEMENTED" | "UNAUTHENTICATED" => {
            Reply::Blocked(why)
        }
        _ => Reply::Unavailable(Delay { why, retry_after }),
    }
}

/// The one message of a body.
fn message(body: &[u8]) -> Option<Vec<u8>> {
    let (prefix, message) = body.split_first_chunk::<PREFIX_BYTES>()?;
    let [flag, a, b, c, d] = *prefix;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (flag == 0 && message.len() == len).then(|| message.to_vec())
}

/// The retry delay in the details of a status.
fn retry_delay(details: &HeaderValue) -> Option<Duration> {
    // The padding of binary headers is optional.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    let bytes = engine.decode(details).ok()?;
    let status = tonic_types::pb::Status::decode(bytes.as_slice()).ok()?;
    let detail = status.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let info = tonic_types::pb::RetryInfo::decode(detail.value.as_slice()).ok()?;
    Some(Duration::try_from(info.retry_delay?).unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, HeaderName, StatusCode};

    use super::*;

    fn answer(headers: &[(&'static str, String)], body: &[u8]) -> HttpAnswer {
        let header = |(name, text): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::from_str(text).expect("a value"))
        };
        HttpAnswer {
            status: StatusCode::OK,
            headers: headers.iter().map(header).collect::<HeaderMap>(),
            body: body.to_vec(),
            is_cut: false,
        }
    }

    fn code(code: u32) -> Result<Vec<u8>, Reply> {
        response(&answer(&[(STATUS, code.to_string()), (MESSAGE, "no".into())], &[]))
    }

    #[test]
    fn each_code_has_its_meaning() {
        assert!(matches!(code(3), Err(Reply::Rejected(_))));
        for blocked in [5, 7, 12, 16] {
            assert!(matches!(code(blocked), Err(Reply::Blocked(_))), "{blocked}");
        }
        for later in [1, 2, 4, 6, 8, 9, 10, 11, 13, 14, 15, 17, 4_000_000_000] {
            assert!(matches!(code(later), Err(Reply::Unavailable(_))), "{later}");
        }
        let too_large = "grpc: received message larger than max (5 vs. 4)".to_owned();
        let answer = answer(&[(STATUS, "8".into()), (MESSAGE, too_large)], &[]);
        assert!(matches!(response(&answer), Err(Reply::Rejected(_))));
    }

    #[test]
    fn a_response_is_one_whole_message() {
        let ok = |body: &[u8]| response(&answer(&[(STATUS, "0".into())], body));
        assert_eq!(ok(&[0, 0, 0, 0, 1, 9]), Ok(vec![9]));
        for bad in [&[][..], &[0, 0, 0, 0, 2, 9], &[1, 0, 0, 0, 1, 9], &[0, 0, 0]] {
            assert!(matches!(ok(bad), Err(Reply::Unavailable(_))), "{bad:?}");
        }
        assert!(matches!(response(&answer(&[], &[])), Err(Reply::Unavailable(_))));
    }

    #[test]
    fn retry_info_is_a_wait() {
        let delay = prost_types::Duration { seconds: 3, nanos: 0 };
        let info = tonic_types::pb::RetryInfo { retry_delay: Some(delay) };
        let status = tonic_types::pb::Status {
            code: 14,
            message: "busy".into(),
            details: vec![prost_types::Any {
                type_url: RETRY_INFO.into(),
                value: info.encode_to_vec(),
            }],
        };
        let padded = STANDARD.encode(status.encode_to_vec());
        let unpadded = padded.trim_end_matches('=').to_owned();
        for details in [padded, unpadded] {
            let answer = answer(&[(STATUS, "14".into()), (DETAILS, details)], &[]);
            let Err(Reply::Unavailable(delay)) = response(&answer) else { panic!("unavailable") };
            assert_eq!(delay.retry_after, Some(Duration::from_secs(3)));
        }
    }
}
