//! Retention holds: readers that need records before retention removes them.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::log::BoxFuture;
use crate::record::Sequence;

/// A reader that follows a log and needs each record once before it is removed.
pub trait RetentionHold: Send + Sync {
    /// Its name in the status, such as `proof`.
    fn name(&self) -> &str;

    /// The newest record that the holder no longer needs.
    fn position(&self) -> Sequence;

    /// The most records before the newest one that it may hold; `None` for no bound. Older records
    /// are removed without asking.
    fn records_max(&self) -> Option<u64>;

    /// Whether the holder needs no more records, so that the log forgets it.
    fn is_over(&self) -> bool;

    /// Whether the records before `first` may be removed now. A holder that agrees no longer needs
    /// them. The call may write a file, so a log asks seldom, and where that is allowed.
    fn release(&self, first: Sequence) -> bool;

    /// Waits until it is worth asking again.
    fn released(&self, first: Sequence) -> BoxFuture<'_, ()>;
}

/// The state of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldReport {
    /// Its name.
    pub name: String,
    /// The newest record that it no longer needs.
    pub position: Sequence,
    /// The most records before the newest one that it may hold; `None` for no bound.
    pub records_max: Option<u64>,
}

/// The holds of a log.
#[derive(Default)]
pub struct Holds(Mutex<Vec<Arc<dyn RetentionHold>>>);

impl Holds {
    /// Adds a hold.
    pub fn add(&self, hold: Arc<dyn RetentionHold>) {
        self.lock().push(hold);
    }

    /// The holds that are not over.
    pub fn list(&self) -> Vec<Arc<dyn RetentionHold>> {
        let mut holds = self.lock();
        holds.retain(|hold| !hold.is_over());
        holds.clone()
    }

    /// A hold that needs a record before `first`, in a log whose newest record is `last`. All holds
    /// are asked, so that each can prepare.
    pub fn needing(&self, first: Sequence, last: Sequence) -> Option<Arc<dyn RetentionHold>> {
        let mut needing = None;
        for hold in self.list() {
            let is_bound = |max: u64| last.0.saturating_sub(hold.position().0) > max;
            if hold.records_max().is_none_or(|max| !is_bound(max)) && !hold.release(first) {
                needing = needing.or(Some(hold));
            }
        }
        needing
    }

    /// The state of each hold.
    pub fn report(&self) -> Vec<HoldReport> {
        let report = |hold: &Arc<dyn RetentionHold>| HoldReport {
            name: hold.name().to_owned(),
            position: hold.position(),
            records_max: hold.records_max(),
        };
        self.list().iter().map(report).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn RetentionHold>>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Reader {
        name: &'static str,
        done: AtomicU64,
        records_max: Option<u64>,
    }

    impl RetentionHold for Reader {
        fn name(&self) -> &str {
            self.name
        }

        fn position(&self) -> Sequence {
            Sequence(self.done.load(Ordering::Relaxed))
        }

        fn records_max(&self) -> Option<u64> {
            self.records_max
        }

        fn is_over(&self) -> bool {
            self.position() == Sequence(u64::MAX)
        }

        fn release(&self, first: Sequence) -> bool {
            self.position() >= first.previous()
        }

        fn released(&self, _first: Sequence) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn each_hold_is_asked_up_to_its_bound() {
        let reader =
            |name, records_max| Arc::new(Reader { name, done: AtomicU64::new(10), records_max });
        let (bounded, unbounded) = (reader("bounded", Some(90)), reader("unbounded", None));
        let holds = Holds::default();
        let needing = |first: u64, last: u64| {
            let needing = holds.needing(Sequence(first), Sequence(last));
            needing.map(|hold| hold.name().to_owned())
        };
        assert_eq!(needing(100, 200), None, "nobody holds");
        holds.add(Arc::clone(&bounded) as Arc<dyn RetentionHold>);
        assert_eq!(needing(11, 100), None, "it has done with them");
        assert_eq!(needing(12, 100).as_deref(), Some("bounded"));
        assert_eq!(needing(12, 101), None, "it is too far behind");
        holds.add(Arc::clone(&unbounded) as Arc<dyn RetentionHold>);
        assert_eq!(needing(12, 101).as_deref(), Some("unbounded"));
        let report =
            HoldReport { name: "bounded".into(), position: Sequence(10), records_max: Some(90) };
        assert_eq!(holds.report().first(), Some(&report));
        unbounded.done.store(u64::MAX, Ordering::Relaxed);
        assert_eq!((needing(12, 101), holds.report().len()), (None, 1), "who is over is forgotten");
    }
}
