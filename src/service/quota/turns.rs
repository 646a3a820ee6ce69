//! Lets the emit streams of one client take turns on the processors.
//!
//! The runtime polls tasks in the order in which they are woken. A client with a thousand streams that all have
//! events would make each call of another client wait for a thousand polls, several times. So few streams of a
//! client are polled at a time; the others wait in a queue of their client, and the runtime does not see them.

use std::num::NonZero;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// A poll that takes longer makes others wait: its turn lasts until all that waited for a thread at its end was
/// polled, too.
const SHORT_POLL_MAX: Duration = Duration::from_micros(20);

/// The turns of one client: one for each processor, and at least two, because a stream has a task that reads
/// and one that answers.
#[derive(Debug, Clone)]
pub struct PollTurns(Arc<Semaphore>);

impl Default for PollTurns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get).max(2);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

/// Polls a future or a stream only in a turn of its client. What waits for anything has no turn.
pub struct InTurns<T> {
    turns: Option<PollSemaphore>,
    inner: T,
}

impl<T: Unpin> InTurns<T> {
    /// Polls `inner` in these turns; at any time if there are none.
    pub fn new(turns: Option<&PollTurns>, inner: T) -> Self {
        Self { turns: turns.map(|turns| PollSemaphore::new(Arc::clone(&turns.0))), inner }
    }

    fn poll_in_turn<O>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<O>,
    ) -> Poll<O> {
        let inner = Pin::new(&mut self.inner);
        let Some(turns) = &mut self.turns else { return poll(inner, cx) };
        let turn = ready!(turns.poll_acquire(cx));
        let begun = Instant::now();
        let polled = poll(inner, cx);
        if begun.elapsed() > SHORT_POLL_MAX {
            tokio::spawn(end_behind_others(turn));
        }
        polled
    }
}

/// Ends a turn behind all tasks that wait for this thread.
async fn end_behind_others(turn: Option<OwnedSemaphorePermit>) {
    behind_others().await;
    drop(turn);
}

/// Waits until all tasks that wait for this thread were polled. tokio's `yield_now` waits longer: until the thread
/// looks for what has arrived.
async fn behind_others() {
    let mut is_behind = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_behind, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<T: Future + Unpin> Future for InTurns<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        self.poll_in_turn(cx, T::poll)
    }
}

impl<T: Stream + Unpin> Stream for InTurns<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        self.poll_in_turn(cx, T::poll_next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    fn turns(count: usize) -> PollTurns {
        PollTurns(Arc::new(Semaphore::new(count)))
    }

    #[tokio::test]
    async fn tasks_of_others_wait_for_few_turns() {
        const STREAMS: usize = 50;
        let (turns, polls) = (turns(2), Arc::<AtomicUsize>::default());
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            let polls = Arc::clone(&polls);
            let work = Box::pin(async move {
                for _ in 0..5 {
                    polls.fetch_add(1, Relaxed);
                    std::thread::sleep(10 * SHORT_POLL_MAX);
                    tokio::task::yield_now().await;
                }
            });
            streams.spawn(InTurns::new(Some(&turns), work));
        }
        let of_others = Arc::clone(&polls);
        let other = tokio::spawn(async move {
            let mut most = 0;
            while of_others.load(Relaxed) < 2 * STREAMS {
                let before = of_others.load(Relaxed);
                behind_others().await;
                most = most.max(of_others.load(Relaxed) - before);
            }
            most
        });
        let most = other.await.unwrap();
        assert!(most <= 8, "{most} polls between two of another task");
        streams.join_all().await;
        assert_eq!(polls.load(Relaxed), 5 * STREAMS, "each stream goes on to its end");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_are_polled_at_once_than_there_are_turns() {
        let (turns, now, most) = (turns(2), Arc::<AtomicUsize>::default(), Arc::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (now, most) = (Arc::clone(&now), Arc::<AtomicUsize>::clone(&most));
            let work = Box::pin(async move {
                for _ in 0..20 {
                    most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    now.fetch_sub(1, Relaxed);
                    tokio::task::yield_now().await;
                }
            });
            tasks.spawn(InTurns::new(Some(&turns), work));
        }
        tasks.join_all().await;
        assert_eq!(most.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn who_waits_for_something_has_no_turn() {
        let turns = turns(1);
        let waiting = tokio::spawn(InTurns::new(Some(&turns), std::future::pending::<()>()));
        tokio::task::yield_now().await;
        assert_eq!(InTurns::new(Some(&turns), std::future::ready(1)).await, 1);
        assert_eq!(turns.0.available_permits(), 1);
        waiting.abort();
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_turn_with_it() {
        let turns = turns(1);
        let turn = Arc::clone(&turns.0).acquire_owned().await.unwrap();
        let mut gone = InTurns::new(Some(&turns), std::future::ready(1));
        let mut next = InTurns::new(Some(&turns), std::future::ready(2));
        assert!(futures_util::poll!(&mut gone).is_pending());
        assert!(futures_util::poll!(&mut next).is_pending());
        // Its turn comes, and it is gone before it is polled.
        drop(turn);
        drop(gone);
        assert_eq!(next.await, 2);
        assert_eq!(turns.0.available_permits(), 1);
    }
}
