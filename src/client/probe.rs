//! Whether a gateway answers at all. A connection may come about, and break as soon as
//! it is used: where one side speaks TLS and the other does not, or where a gateway does
//! not take the certificate of its client.

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

/// What is asked: mostly, everybody may, and any answer will do. An empty message
/// asks for the gateway as a whole.
const METHOD: &str = "/grpc.health.v1.Health/Check";
/// The number of attempts if connections break without an error: a later one may show the
/// cause.
const ATTEMPTS_MAX: u32 = 6;
/// What h2 says of a stream that the other side has reset.
const RESET: &str = "stream error received";
/// The time limit for an answer to plain text.
const GREETING_TIME_MAX: Duration = Duration::from_secs(1);
/// What a client of HTTP/2 begins with, RFC 9113, section 3.4, and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A request of HTTP/1.1.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
/// How many bytes tell protocols apart: `HTTP/1`.
const GREETING_BYTES: usize = 6;
/// Type of the frame with which a server of HTTP/2 begins.
const SETTINGS: u8 = 4;
/// Type of a TLS record that is an alert, and the first byte of its version.
const TLS_ALERT: [u8; 2] = [21, 3];

/// Returns once the gateway at the other end of `transport`, which is that at `uri`, has
/// answered something, or has broken connections again and again and nothing tells why:
/// it may be about to start, or have no room, and calls are tried again.
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
        // So is this, of a proxy that knows no service of health.
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
    // After a timeout, the bytes received so far must do.
    let _ = timeout(GREETING_TIME_MAX, exchange).await;
    greeting
}
