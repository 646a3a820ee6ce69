//! How a browser has to authenticate, which the page asks before its first call: a call that only tried would
//! leave a record of a refusal.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::access::AcceptedCredentials;

/// The path.
pub const PATH: &str = "/session.json";

/// The answer on a connection that shows a client certificate or not.
pub fn answer(credentials: AcceptedCredentials, shows_certificate: bool) -> Response<Bytes> {
    let name = match credentials {
        AcceptedCredentials::None => "none",
        AcceptedCredentials::Token => "token",
        AcceptedCredentials::Certificate => "certificate",
    };
    let text = format!("{{\"authentication\":\"{name}\",\"certificate\":{shows_certificate}}}\n");
    let mut response = Response::new(Bytes::from(text));
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
