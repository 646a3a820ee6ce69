//! Refusals that tonic makes by itself, as ours.
//!
//! tonic answers calls of unknown services and methods, and calls of health and reflection that it cannot
//! read, with a bare status. Ours always carry details.

use tonic::{Code, Status};

use crate::service::Error;

/// The maximum length of an unknown path in a refusal, in characters.
const PATH_CHARS_MAX: usize = 256;

/// What to say instead of a bare status that a call of `path` got; `None` where
/// the status is not one of those that tonic makes for want of a method.
pub fn explain(bare: &Status, path: &str) -> Option<Error> {
    (bare.code() == Code::Unimplemented).then(|| method_unknown(path))
}

/// The refusal of a call to a method that does not exist.
pub fn method_unknown(path: &str) -> Error {
    Error::MethodUnknown(shown(path))
}

/// The refusal of a call that a browser may not make.
pub fn method_not_for_browsers(path: &str) -> Error {
    Error::MethodNotForBrowsers(shown(path))
}

fn shown(path: &str) -> String {
    path.chars().take(PATH_CHARS_MAX).collect()
}
