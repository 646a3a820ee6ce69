//! Serves how a browser has to authenticate. The page requests this before its first call, because
//! a refused call would leave a record.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::access::AcceptedCredentials;

/// The path.
pub const PATH: &str = "/session.json";

/// The answer on a connection with or without a client certificate. A browser on the same machine
/// gets the gRPC address for the commands that the page shows; for other machines, that address may
/// not be reachable.
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
