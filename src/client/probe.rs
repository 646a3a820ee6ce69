//! Checks whether a gateway answers. A connection may be made and break at its first use, for
//! example if only one side uses TLS, or if the gateway rejects the client's certificate.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::connect_error;
use super::{CONNECT_TIME_MAX, Transport};
use crate::backoff::Backoff;

/// The method that is called: usually everyone may call it, and any answer will do. An empty
/// message asks about the whole gateway.
const METHOD: &str = "/grpc.health.v1.Health/Check";
/// The number of attempts if connections break without an error: a later one may show the
/// cause.
const ATTEMPTS_MAX: u32 = 6;
/// The error text of h2 for a stream that the other side has reset.
const RESET: &str = "stream error received";
/// The time limit for an answer to plain text.
const GREETING_TIME_MAX: Duration = Duration::from_secs(1);
/// The connection preface of HTTP/2 (RFC 9113, section 3.4) with empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A request of HTTP/1.1.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
/// The number of bytes that distinguish protocols: `HTTP/1`.
const GREETING_BYTES: usize = 6;
/// Type of the first frame of an HTTP/2 server.
const SETTINGS: u8 = 4;
/// Type of a TLS record that is an alert, and the first byte of its version.
const TLS_ALERT: [u8; 2] = [21, 3];

/// Returns once the gateway at the other end of `transport`, which is that at `uri`, has answered
/// something, or has broken several connections without a known cause. Then it may be starting or
/// full, and calls retry.
///
/// # Errors
/// The likely cause if it is permanent, or that no answer came in time.
pub(super) async fn probe(transport: &Transport, uri: &Uri) -> Result<(), String> {
    let mut backoff = Backoff::new();
    for attempt in 1..=ATTEMPTS_MAX {
        let Ok(answer) = timeout(CONNECT_TIME_MAX, ask(transport.clone())).await else {
            return Err(format!("no answer within {} s", CONNECT_TIME_MAX.as_secs()));
        };
        let Err(status) = answer else { return Ok(()) };
        // A status without a source is an answer.
        let Some(source) = std::error::Error::source(&status) else { return Ok(()) };
        if let Some(told) = connect_error::tls_error(source) {
            return Err(told);
        }
        // So is the status of a proxy without a health service.
        if connect_error::root(source).starts_with(RESET) {
            return Ok(());
        }
        if attempt == 1
            && uri.scheme_str() == Some("http")
            && let Some(told) = other_protocol(uri).await
        {
            return Err(told.to_owned());
        }
        if attempt < ATTEMPTS_MAX {
            sleep(backoff.wait(None)).await;
        }
    }
    Ok(())
}

async fn ask(transport: Transport) -> Result<(), Status> {
    let mut grpc = Grpc::new(transport);
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let codec = ProstCodec::<(), ()>::default();
    grpc.unary(Request::new(()), PathAndQuery::from_static(METHOD), codec).await?;
    Ok(())
}

/// The likely mistake, if the server speaks another protocol than HTTP/2 without TLS.
async fn other_protocol(uri: &Uri) -> Option<&'static str> {
    let mut answer = greeting(uri, HELLO).await;
    if answer.is_empty() {
        // Some HTTP/1.1 servers close the connection when they read HELLO.
        answer = greeting(uri, REQUEST).await;
    }
    if answer.starts_with(&TLS_ALERT) {
        Some(
            "the server uses TLS: use https://, and pass its CA with --cacert unless the system \
             trusts it",
        )
    } else if answer.starts_with(b"HTTP/1") {
        Some(
            "the server speaks HTTP/1.1, not gRPC: this may be the admin listener of a gateway \
             (metrics and probes), or a web server; use the port of gRPC (`listen`, 50051 unless \
             set)",
        )
    } else if answer.is_empty() || answer.get(3) == Some(&SETTINGS) {
        None
    } else {
        Some("the server does not speak gRPC: check host and port")
    }
}

/// The first bytes that the server answers to `hello`.
async fn greeting(uri: &Uri, hello: &[u8]) -> Vec<u8> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut greeting = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
        stream.write_all(hello).await?;
        while greeting.len() < GREETING_BYTES {
            if stream.read_buf(&mut greeting).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // After a timeout, the bytes received so far are used.
    let _ = timeout(GREETING_TIME_MAX, exchange).await;
    greeting
}
