//! Authenticates a call before its handler sees it.

use http::Request;
use http::header::AUTHORIZATION;

use crate::access::{self, AccessControl, ConnectionIdentity, Denied};

/// Authenticates a request that came over `channel`, and puts the caller into its extensions.
///
/// # Errors
/// If authentication fails, or no role allows such a call.
pub fn admit<B>(
    access: &AccessControl,
    channel: Option<&ConnectionIdentity>,
    request: &mut Request<B>,
) -> Result<(), Denied> {
    let rule = access::method_rule(request.uri().path());
    let mut headers = request.headers().get_all(AUTHORIZATION).iter().map(|value| value.as_bytes());
    let header = headers.next();
    // With several headers, the gateway and a proxy before it could choose different ones.
    if headers.next().is_some() && !access.is_open() {
        return Err(Denied { principal: None, error: access::Error::SeveralTokens });
    }
    let nothing = ConnectionIdentity::default();
    let caller = access.admit(rule, header, channel.unwrap_or(&nothing))?;
    request.extensions_mut().insert(caller);
    Ok(())
}
