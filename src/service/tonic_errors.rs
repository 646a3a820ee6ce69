//! Adds details to the errors that tonic itself returns.
//!
//! tonic refuses messages that are too large, badly compressed or badly framed, with a
//! status without details. A status of the gateway always has details, so a status
//! without them comes from tonic.

use tonic::{Code, Status};

use crate::service::{Error, NAME, ServiceLimits};

/// The maximum length of an unknown path in a refusal, in characters.
const PATH_CHARS_MAX: usize = 256;

/// What to say instead of a bare status that a call of `path` got; `None` where
/// the status is not tonic's.
pub fn explain(bare: &Status, path: &str, limits: ServiceLimits) -> Option<Error> {
    let of_ours = path.strip_prefix('/').is_some_and(|path| path.starts_with(NAME));
    match bare.code() {
        Code::Unimplemented => Some(method_unknown(path)),
        _ if of_ours => explain_message(bare, limits),
        _ => None,
    }
}

/// The refusal of a call to a method that does not exist.
pub fn method_unknown(path: &str) -> Error {
    Error::MethodUnknown(path.chars().take(PATH_CHARS_MAX).collect())
}

/// What to say instead of a bare status that reading a message gave; `None` for
/// those that come with details.
pub fn explain_message(bare: &Status, limits: ServiceLimits) -> Option<Error> {
    if !bare.details().is_empty() {
        return None;
    }
    let message = sentence(bare);
    match bare.code() {
        // Of a message whose length is known beforehand, and of one that turns
        // out to be too large while it is decompressed.
        Code::OutOfRange => Some(Error::RequestTooLarge {
            bytes: first_number(message),
            limit: limits.request_bytes,
        }),
        Code::ResourceExhausted => {
            Some(Error::RequestTooLarge { bytes: None, limit: limits.request_bytes })
        }
        // For a message that is compressed though nothing says how, gRPC asks for
        // INTERNAL. It is the client's fault all the same, and is told as one.
        Code::Internal => Some(Error::Framing(message.to_owned())),
        _ => None,
    }
}

fn sentence(bare: &Status) -> &str {
    bare.message().trim_end_matches('.')
}

fn first_number(text: &str) -> Option<usize> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let digits = text.get(start..)?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}
