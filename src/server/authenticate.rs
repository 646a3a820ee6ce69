//! Who calls: known before a handler sees the call.

use http::Request;
use http::header::AUTHORIZATION;

use crate::access::{self, AccessControl, ConnectionIdentity, Denied};

/// Puts who calls into the extensions of a request that came over `channel`.
///
/// # Errors
/// If that is not known, or may not make such a call at all.
pub fn admit<B>(
    access: &AccessControl,
    channel: Option<&ConnectionIdentity>,
    request: &mut Request<B>,
) -> Result<(), Denied> {
    let rule = access::method_rule(request.uri().path());
    let header = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let nothing = ConnectionIdentity::default();
    let caller = access.admit(rule, header, channel.unwrap_or(&nothing))?;
    request.extensions_mut().insert(caller);
    Ok(())
}
