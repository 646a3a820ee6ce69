//! Replaces statuses that tonic makes itself by statuses with details.
//!
//! tonic answers calls of unknown services and methods, and unreadable calls of health and
//! reflection, with a bare status. The gateway's statuses always have details.

use tonic::{Code, Status};

use crate::service::Error;

/// The maximum length of an unknown path in a refusal, in characters.
const PATH_CHARS_MAX: usize = 256;

/// The error that replaces a bare status of a call of `path`; `None` if tonic does not make this
/// status for an unknown method.
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
