//! When to try again, and after how long.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::client::{CALL_TIME_MAX, Error, Refusal};

/// The longest wait before the first repetition; doubles with each further one.
pub const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait before any repetition.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// The time limit for retries of a call.
pub const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// Exponential backoff with jitter, so that the clients of a lost gateway do not all reconnect
/// at once.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: WAIT_MIN }
    }

    /// The next delay; at least as long as the gateway asks, up to a bound.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(WAIT_MAX);
        let wait = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        wait.max(asked.unwrap_or_default()).min(WAIT_MAX)
    }
}

/// Attempts a call until it succeeds, is refused for good, or has been tried for
/// [`RETRY_TIME_MAX`].
pub(super) async fn retrying<R, F>(attempt: impl Fn() -> F) -> Result<R, Error>
where
    F: Future<Output = Result<R, Status>>,
{
    let give_up = Instant::now() + RETRY_TIME_MAX;
    let mut backoff = Backoff::new();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let refusal = match tokio::time::timeout(CALL_TIME_MAX, attempt()).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(status)) => Refusal::from(status),
            Err(_) => Refusal::timed_out(CALL_TIME_MAX),
        };
        if !refusal.transient {
            return Err(Error::Refused(refusal));
        }
        let wait = backoff.wait(refusal.retry_after);
        if Instant::now() + wait > give_up {
            return Err(Error::GaveUp { attempts, last: refusal });
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

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

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let mut backoff = Backoff::new();
        let mut longest = WAIT_MIN;
        for _ in 0..10 {
            let wait = backoff.wait(None);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
            longest = (longest * 2).min(WAIT_MAX);
        }
        let waits: std::collections::BTreeSet<_> = (0..20).map(|_| backoff.wait(None)).collect();
        assert!(waits.len() > 1, "jitter");
        assert_eq!(Backoff::new().wait(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(Backoff::new().wait(Some(Duration::from_secs(3_600))), WAIT_MAX);
    }
}
