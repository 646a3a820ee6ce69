//! `auditgate healthcheck`: checks whether the gateway is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::client::GatewayArgs;
use super::{Error, ExitKind, interruptible, say, times};
use crate::proto::SERVICE;
use crate::{address, client};

/// The time limit of one attempt.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The maximum length of the response of an admin listener, in bytes.
const ANSWER_BYTES_MAX: u64 = 4_096;
/// The pause between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Check whether the gateway is ready, for containers and CI
///
/// The answer of the gateway goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate healthcheck
  auditgate healthcheck --wait 10s && run-tests
  auditgate healthcheck --admin 127.0.0.1:9464

Exit status: 0 if the gateway serves; 1 if it answers that it does not; 2 if the
arguments are wrong or it cannot be reached; 130 after Ctrl-C.")]
pub struct Args {
    /// Retry until the gateway is ready, for at most this time
    #[arg(long, value_name = "TIME", value_parser = times::parse_duration)]
    wait: Option<SignedDuration>,
    /// Ask the admin listener at this address (`admin.listen`) instead, without TLS and
    /// without a token
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    server: GatewayArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    interruptible(check(&args)).await
}

async fn check(args: &Args) -> Result<ExitKind, Error> {
    let wait = args.wait.map(|wait| wait.unsigned_abs());
    let give_up = Instant::now() + wait.unwrap_or(ANSWER_TIME_MAX);
    loop {
        let attempt = timeout_at(give_up.min(Instant::now() + ANSWER_TIME_MAX), ask(args)).await;
        let answer = attempt.unwrap_or_else(|_| Err(args.server.timed_out()));
        if let Ok(ServingStatus::Serving) = answer {
            say("SERVING");
            return Ok(ExitKind::All);
        }
        if wait.is_none() || Instant::now() + PAUSE >= give_up {
            say(answer?.as_str_name());
            return Ok(ExitKind::Some);
        }
        sleep(PAUSE).await;
    }
}

async fn ask(args: &Args) -> Result<ServingStatus, Error> {
    if let Some(admin) = args.admin {
        let failed = |reason| client::Error::Connect { url: format!("http://{admin}"), reason };
        return ask_admin(admin).await.map_err(|error| failed(error.to_string()).into());
    }
    let mut health = HealthClient::new(args.server.client().await?.transport());
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    match health.check(request).await {
        Ok(response) => Ok(response.into_inner().status()),
        Err(status) => Err(Error::Client(client::Refusal::from(status).into())),
    }
}

/// Requests `/readyz`; only the HTTP status counts.
async fn ask_admin(address: SocketAddr) -> io::Result<ServingStatus> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(ServingStatus::Serving),
        Some("503") => Ok(ServingStatus::NotServing),
        _ => Err(io::Error::other("the server there is not the admin listener of a gateway")),
    }
}
