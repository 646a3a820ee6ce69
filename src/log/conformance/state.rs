//! Conformance tests of the state of a log, and of its end.

use std::sync::Arc;

use super::{EACH, ROOMY, append, draft, read_all};
use crate::log::{Bounds, Error, Log, State, TailKind};
use crate::record::Sequence;

pub async fn a_log_says_what_it_is(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    assert_eq!(log.identity().borrow().epoch, 1);
    assert_eq!(*log.state().borrow(), State::Ready);
    for tail in [TailKind::Fast, TailKind::Consistent] {
        assert_eq!(log.tail(tail).await, Ok(Sequence(1)));
    }
}

pub async fn a_closed_log_is_read_and_accepts_nothing(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    log.close().await;
    log.close().await;
    let late = log.append(&[draft("late", "ls")], EACH).await;
    assert_eq!(late, Err(Error::Closed));
    assert_eq!(read_all(&log).await.len(), 1);
}
