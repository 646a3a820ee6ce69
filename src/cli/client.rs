//! Calls to the gateway.

use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Error;
use crate::client::{self, Client};
use crate::proto::pb::audit_service_client::AuditServiceClient;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait before the first repetition of a call; it doubles from then on.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait before a repetition.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a call is repeated at most.
const RETRY_TOTAL_MAX: Duration = Duration::from_secs(60);

/// Where the gateway is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Server {
    /// URL of the gateway
    #[arg(
        long = "server",
        value_name = "URL",
        env = "AUDITGATE_SERVER",
        default_value = "http://127.0.0.1:50051"
    )]
    url: String,
}

impl Server {
    /// Connects.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.url).await?)
    }

    /// The error where there is no answer in time.
    pub fn late(&self) -> Error {
        Error::Connect { server: self.url.clone(), reason: "no answer in time".to_owned() }
    }

    /// Connects.
    pub async fn connect(&self) -> Result<AuditServiceClient<Channel>, Error> {
        let fail = |error: tonic::transport::Error| Error::Connect {
            server: self.url.clone(),
            reason: causes(&error),
        };
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(fail)?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(fail)?;
        Ok(AuditServiceClient::new(channel))
    }
}

/// Repeats a call while it may yet succeed: for a minute at most, with growing
/// waits in between.
pub async fn retry<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    let give_up = Instant::now() + RETRY_TOTAL_MAX;
    let mut wait = RETRY_WAIT_MIN;
    loop {
        let status = match tokio::time::timeout(CALL_TIMEOUT, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status,
            Err(_) => {
                Status::deadline_exceeded(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))
            }
        };
        let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let pause = asked.map_or(wait, |asked| asked.clamp(wait, RETRY_WAIT_MAX));
        if !may_yet_succeed(&status, asked) || Instant::now() + pause > give_up {
            return Err(status);
        }
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(RETRY_WAIT_MAX);
    }
}

fn may_yet_succeed(status: &Status, asked: Option<Duration>) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => true,
        // Too much at once, unless it is too much at all.
        Code::ResourceExhausted => asked.is_some(),
        _ => false,
    }
}

/// What a status says, with a line for each field that is to blame.
pub fn sentence(status: &Status) -> String {
    let mut said = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    for violation in violations(status) {
        // The gateway's sentence may already name the field.
        if !said.contains(&violation.description) {
            said.push_str(&format!("\n  {}: {}", violation.field, violation.description));
        }
    }
    said
}

/// What an error says, with a line for each field that is to blame.
pub fn told(error: &client::Error) -> String {
    let mut said = error.to_string();
    for violation in error.refusal().into_iter().flat_map(|refusal| &refusal.violations) {
        let client::Violation { field, description } = violation;
        // The gateway's sentence may already say it, and where.
        match (said.contains(description.as_str()), said.contains(field.as_str())) {
            (true, true) => {}
            (true, false) => said.push_str(&format!("\n  at {field}")),
            (false, _) => said.push_str(&format!("\n  {field}: {description}")),
        }
    }
    said
}

/// The fields that a status blames.
pub fn violations(status: &Status) -> Vec<tonic_types::FieldViolation> {
    status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default()
}

/// An error and what caused it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.contains(&next) {
            said.push_str(": ");
            said.push_str(&next);
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    async fn calls_until(statuses: impl Fn(u32) -> Option<Status>) -> (u32, Result<(), Status>) {
        let mut calls = 0;
        let done = retry(async || {
            calls += 1;
            statuses(calls).map_or(Ok(()), Err)
        })
        .await;
        (calls, done)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_yet_succeed_is_repeated_with_bounded_waits() {
        let (calls, done) =
            calls_until(|call| (call < 5).then(|| Status::unavailable("restarting"))).await;
        assert_eq!((calls, done.is_ok()), (5, true));

        let start = Instant::now();
        let (calls, done) = calls_until(|_| Some(Status::unavailable("gone"))).await;
        assert_eq!(done.map_err(|status| status.code()), Err(Code::Unavailable));
        assert!((10..30).contains(&calls), "{calls}");
        assert!(start.elapsed() <= RETRY_TOTAL_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_refuses_is_not_repeated() {
        let (calls, _) = calls_until(|_| Some(Status::invalid_argument("no"))).await;
        assert_eq!(calls, 1);
        let (calls, _) = calls_until(|_| Some(Status::resource_exhausted("too large"))).await;
        assert_eq!(calls, 1);
        let slow_down = |call| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
            (call < 3)
                .then(|| Status::with_error_details(Code::ResourceExhausted, "slow down", details))
        };
        let start = Instant::now();
        let (calls, done) = calls_until(slow_down).await;
        assert_eq!((calls, done.is_ok()), (3, true));
        assert_eq!(start.elapsed(), Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends() {
        let done = retry(async || std::future::pending::<Result<(), Status>>().await).await;
        assert_eq!(done.map_err(|status| status.code()), Err(Code::DeadlineExceeded));
    }

    #[test]
    fn a_status_is_said_with_its_fields() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("filter.types[0]", "no such type");
        let status = Status::with_error_details(Code::InvalidArgument, "bad filter", details);
        assert_eq!(sentence(&status), "bad filter\n  filter.types[0]: no such type");
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("page_size", "page_size is -1");
        let status = Status::with_error_details(Code::InvalidArgument, "page_size is -1", details);
        assert_eq!(sentence(&status), "page_size is -1");
        assert_eq!(sentence(&Status::new(Code::NotFound, "")), Code::NotFound.description());
    }
}
