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
const ATTEMPTS_MAX: u32 = 4;
/// What h2 says of a stream that the other side has reset.
const RESET: &str = "stream error received";
/// The time limit for an answer to plain text.
const GREETING_TIME_MAX: Duration = Duration::from_secs(1);
/// What a client of HTTP/2 begins with, RFC 9113, section 3.4, and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
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
        if attempt == 1 && uri.scheme_str() == Some("http") && speaks_tls(uri).await {
            return Err("the server uses TLS: use https://, and pass its CA with --cacert unless the system trusts it"
                .to_owned());
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

/// Whether the server answers plain text with a TLS alert.
async fn speaks_tls(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let greeting = async {
        let mut stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
        stream.write_all(HELLO).await?;
        let mut greeting = [0; TLS_ALERT.len()];
        stream.read_exact(&mut greeting).await?;
        Ok::<_, std::io::Error>(greeting)
    };
    matches!(timeout(GREETING_TIME_MAX, greeting).await, Ok(Ok(TLS_ALERT)))
}
