//! How a browser has to authenticate, which the page asks before its first call: a call that only tried would
//! leave a record of a refusal.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::access::AcceptedCredentials;

/// The path.
pub const PATH: &str = "/session.json";

/// The answer on a connection that shows a client certificate or not. A person on this machine gets the address
/// of gRPC for the commands that the page shows; elsewhere, that is not the address at which it is reached.
pub fn answer(
    credentials: AcceptedCredentials,
    shows_certificate: bool,
    grpc: SocketAddr,
) -> Response<Bytes> {
    let name = match credentials {
        AcceptedCredentials::None => "none",
        AcceptedCredentials::Token => "token",
        AcceptedCredentials::Certificate => "certificate",
    };
    let local = grpc.ip().is_loopback().then(|| format!(",\"grpc\":\"{grpc}\""));
    let text = format!(
        "{{\"authentication\":\"{name}\",\"certificate\":{shows_certificate}{}}}\n",
        local.unwrap_or_default()
    );
    let mut response = Response::new(Bytes::from(text));
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
