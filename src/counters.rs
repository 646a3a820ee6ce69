//! Counts by kind, such as refusals by reason or events by type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::{EVENT_TYPES, TypeId};
use crate::proto::pb::ErrorReason;

/// An exclusive upper bound of the numbers of error reasons.
const REASONS: usize = 128;
/// Prefix of the names of reasons in the protocol.
const PREFIX: &str = "ERROR_REASON_";

/// A kind of thing to count. Each kind has its own index.
pub trait Countable: Copy {
    /// An exclusive upper bound of the indexes.
    const INDEXES: usize;

    /// The index of this kind.
    fn index(self) -> usize;

    /// The kind with this index.
    fn at(index: usize) -> Option<Self>;
}

/// Counts the values of an enumeration that lists them in `ALL`.
macro_rules! countable {
    ($kind:ty) => {
        impl $crate::counters::Countable for $kind {
            const INDEXES: usize = Self::ALL.len();

            fn index(self) -> usize {
                self as usize
            }

            fn at(index: usize) -> Option<Self> {
                Self::ALL.get(index).copied()
            }
        }
    };
}
pub(crate) use countable;

/// A counter for each kind.
pub struct Counters<K> {
    counts: Box<[AtomicU64]>,
    kind: PhantomData<K>,
}

impl<K: Countable> Default for Counters<K> {
    fn default() -> Self {
        Self { counts: (0..K::INDEXES).map(|_| AtomicU64::new(0)).collect(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Counters<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.counts).finish()
    }
}

impl<K: Countable> Counters<K> {
    /// Counts one of this kind.
    pub fn increment(&self, kind: K) {
        if let Some(count) = self.counts.get(kind.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of this kind.
    pub fn count(&self, kind: K) -> u64 {
        self.counts.get(kind.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The number of each kind, in the order of their indexes.
    pub fn counts(&self) -> impl Iterator<Item = (K, u64)> {
        (0..K::INDEXES).filter_map(K::at).map(|kind| (kind, self.count(kind)))
    }

    /// The number of each kind that occurred.
    pub fn occurred(&self) -> impl Iterator<Item = (K, u64)> {
        self.counts().filter(|(_, count)| *count > 0)
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Counters<ErrorReason> {
    /// Counts a refusal by the name of its reason.
    pub fn increment_named(&self, reason: &str) {
        let reason = ErrorReason::from_str_name(&format!("{PREFIX}{reason}"));
        self.increment(reason.unwrap_or_default());
    }

    /// The name and the number of each reason that occurred.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.occurred().map(|(reason, count)| {
            let name = reason.as_str_name();
            (name.strip_prefix(PREFIX).unwrap_or(name), count)
        })
    }
}

impl Countable for ErrorReason {
    const INDEXES: usize = REASONS;

    fn index(self) -> usize {
        self as usize
    }

    fn at(index: usize) -> Option<Self> {
        Self::try_from(i32::try_from(index).ok()?).ok()
    }
}

/// All `custom` types are one kind.
impl Countable for TypeId {
    const INDEXES: usize = EVENT_TYPES.len();

    fn index(self) -> usize {
        self.0.into()
    }

    fn at(index: usize) -> Option<Self> {
        (index < EVENT_TYPES.len()).then_some(Self(index as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter() {
        let reasons = Counters::default();
        let mut all = 0;
        for number in 0..REASONS as i32 * 2 {
            if let Ok(reason) = ErrorReason::try_from(number) {
                assert!((number as usize) < REASONS, "raise REASONS");
                let name = reason.as_str_name();
                reasons.increment_named(name.strip_prefix(PREFIX).unwrap());
                assert!(reasons.named().any(|(noted, _)| name.ends_with(noted)));
                all += 1;
            }
        }
        assert!(reasons.named().all(|(_, count)| count == 1));
        assert_eq!(reasons.total(), all);
    }

    #[test]
    fn kinds_are_counted_apart() {
        let types = Counters::default();
        assert_eq!((types.counts().count(), types.occurred().count()), (EVENT_TYPES.len(), 0));
        let last = TypeId(EVENT_TYPES.len() as u16 - 1);
        [TypeId(1), last, last].into_iter().for_each(|kind| types.increment(kind));
        assert_eq!(types.occurred().collect::<Vec<_>>(), [(TypeId(1), 1), (last, 2)]);
        assert_eq!((types.count(TypeId(0)), types.count(last), types.total()), (0, 2, 3));
    }
}
