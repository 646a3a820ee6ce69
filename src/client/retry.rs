//! Decides whether and when a call is retried.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::client::servers::{Attempts, Servers};
use crate::client::{CALL_TIME_MAX, Error, Refusal, Transport};

/// The time limit for retries of a call.
pub const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// Attempts a call until it succeeds, is refused for good, or has been tried for
/// [`RETRY_TIME_MAX`]. If a gateway is unavailable, the next one of `servers` is tried.
pub(super) async fn retrying<R, F>(
    servers: &Servers,
    attempt: impl Fn(Transport) -> F,
) -> Result<R, Error>
where
    F: Future<Output = Result<R, Status>>,
{
    let give_up = Instant::now() + RETRY_TIME_MAX;
    let mut pace = Attempts::new();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let server = servers.current();
        let refusal = match servers.check(server).await {
            Ok(()) => {
                let attempt = attempt(servers.transport(server));
                match tokio::time::timeout(CALL_TIME_MAX, attempt).await {
                    Ok(Ok(response)) => {
                        servers.answered(server);
                        return Ok(response);
                    }
                    Ok(Err(status)) => Refusal::from(status),
                    Err(_) => Refusal::timed_out(CALL_TIME_MAX),
                }
            }
            Err(refusal) => refusal,
        };
        let moved = servers.failed(server, &refusal);
        if !(refusal.transient || moved) {
            return Err(Error::Refused(refusal));
        }
        let wait = pace.wait(moved, servers.count(), refusal.retry_after);
        if Instant::now() + wait > give_up {
            return Err(Error::GaveUp { attempts, last: servers.summary(refusal) });
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::transport::Endpoint;

    use super::*;
    use crate::client::Client;

    /// One gateway, which is not called.
    async fn retrying<R, F>(attempt: impl Fn() -> F) -> Result<R, Error>
    where
        F: Future<Output = Result<R, Status>>,
    {
        let client = Client::new(Endpoint::from_static("http://127.0.0.1:1").connect_lazy());
        super::retrying(&client.servers, |_| attempt()).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_yet_succeed_is_repeated() {
        let calls = Cell::new(0);
        let done = retrying(|| async {
            calls.set(calls.get() + 1);
            if calls.get() < 5 { Err(Status::unavailable("restarting")) } else { Ok(()) }
        })
        .await;
        assert!(done.is_ok());
        assert_eq!(calls.get(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn repetition_ends_in_bounded_time() {
        let start = Instant::now();
        let done = retrying(|| async { Err::<(), _>(Status::unavailable("gone")) }).await;
        let Err(Error::GaveUp { attempts, last }) = done else { panic!("{done:?}") };
        assert_eq!(last.message, "gone");
        assert!((12..40).contains(&attempts), "{attempts}");
        assert!(start.elapsed() <= RETRY_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_repeated() {
        let calls = Cell::new(0);
        let done = retrying(|| async {
            calls.set(calls.get() + 1);
            Err::<(), _>(Status::invalid_argument("no"))
        })
        .await;
        assert!(matches!(done, Err(Error::Refused(_))), "{done:?}");
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_ends() {
        let done = retrying(|| async { std::future::pending::<Result<(), Status>>().await }).await;
        let Err(Error::GaveUp { last, .. }) = done else { panic!("{done:?}") };
        assert_eq!(last.message, "no answer within 10 s");
    }
}
