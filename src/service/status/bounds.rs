//! Size limits of a status. A status with its details must fit into the 8 KiB of trailers
//! that grpc-core accepts, although the message is sent twice: with escapes, and in the
//! details, which are sent in base64.

use tonic_types::FieldViolation;

use crate::text::truncated;

/// The maximum number of field violations in a status.
pub const VIOLATIONS_MAX: usize = 10;
/// The maximum length of a status message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// The maximum length of all field violations together, in bytes.
const VIOLATIONS_BYTES_MAX: usize = 2 * 1024;
/// The maximum length of a field path, in bytes. A path is as long as an event is deep.
const FIELD_BYTES_MAX: usize = 256;
/// The maximum length of the description of a violation, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// The first violations that fit; at least one of them does.
pub fn violations(fields: Vec<(String, String)>) -> Vec<FieldViolation> {
    let mut bytes = 0;
    let fields = fields.into_iter().take(VIOLATIONS_MAX).map(|(field, what)| {
        (truncated(field, FIELD_BYTES_MAX), truncated(what, DESCRIPTION_BYTES_MAX))
    });
    let fitting = fields.take_while(|(field, what)| {
        bytes += field.len() + what.len();
        bytes <= VIOLATIONS_BYTES_MAX
    });
    fitting.map(|(field, what)| FieldViolation::new(field, what)).collect()
}
