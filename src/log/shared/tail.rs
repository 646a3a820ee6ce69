//! Following a stream: live messages as they come, and reads for what is missing. It is
//! pure: it is told what happened and when, and says what to read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::stream::{LIVE_ENTRIES_MAX, READ_BYTES_MAX, StreamEntry};

/// After so long without a message, a read looks whether one was missed.
pub const SILENCE_TIME_MAX: Duration = Duration::from_millis(250);
/// So long a message that must exist is waited for before it is read.
const GRACE_TIME: Duration = Duration::from_millis(20);
/// After a read failed, the next one waits so long.
const FAILED_READ_PAUSE: Duration = Duration::from_millis(100);
/// After so long without progress although there are more messages, a replica is behind.
const STUCK_TIME: Duration = Duration::from_secs(2);
/// Messages that wait for earlier ones take so many bytes at most.
const WAITING_BYTES_MAX: usize = 4 * READ_BYTES_MAX;

/// The order in which messages are applied.
#[derive(Debug)]
pub struct Tail {
    /// The position that comes next.
    next: u64,
    /// The newest position that is known to exist.
    seen: u64,
    waiting: BTreeMap<u64, StreamEntry>,
    waiting_bytes: usize,
    /// The read that is on its way.
    reading: Option<TailRead>,
    /// The next read asks the leader, since a replica lacks what it should have.
    is_leader_asked: bool,
    /// The message that comes next is taken from the leader only.
    is_doubted: bool,
    /// Messages before this position came from the leader.
    leader_end: u64,
    /// The next read is due at the latest.
    read_at: Instant,
    /// When a message came in order.
    progress: Instant,
}

/// The messages that come next were removed from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "message {next} of the stream comes next, but the oldest one that is left is {oldest}: \
     this gateway was away for longer than the stream keeps messages"
)]
pub struct Removed {
    /// The position that comes next.
    pub next: u64,
    /// The oldest that is left.
    pub oldest: u64,
}

/// A read that should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailRead {
    /// From this position on.
    pub from: u64,
    /// Of a replica that is not behind.
    pub from_leader: bool,
}

impl Tail {
    /// Follows a stream from `next` on. The first read is due at once.
    pub fn new(next: u64, now: Instant) -> Self {
        Self {
            next,
            seen: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            reading: None,
            is_leader_asked: false,
            is_doubted: false,
            leader_end: 0,
            read_at: now,
            progress: now,
        }
    }

    /// The position that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The newest position that is known to exist; 0 if none is.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// A live message came.
    pub fn live(&mut self, entry: StreamEntry, now: Instant) {
        let position = entry.position;
        self.add(entry, false);
        self.seen = self.seen.max(position);
        if self.waiting.contains_key(&self.next) {
            self.read_at = now + SILENCE_TIME_MAX;
        } else if position > self.next {
            // What lies between was missed.
            self.read_at = now;
        }
    }

    /// A position is known to exist.
    pub fn told(&mut self, position: u64, now: Instant) {
        if position > self.seen {
            self.seen = position;
            if position >= self.next {
                self.read_at = self.read_at.min(now + GRACE_TIME);
            }
        }
    }

    /// The message that comes next, if it is there. It counts as applied.
    pub fn pop(&mut self, now: Instant) -> Option<StreamEntry> {
        let entry = self.waiting.remove(&self.next)?;
        self.waiting_bytes -= entry.bytes.len();
        self.next += 1;
        self.progress = now;
        if !self.waiting.is_empty() && !self.waiting.contains_key(&self.next) {
            // What lies between was missed.
            self.read_at = now;
        }
        Some(entry)
    }

    /// The message that was popped last does not look right: one replica may have damaged it.
    /// Returns whether it comes again, from the leader; it does not if it came from there.
    pub fn doubt(&mut self, position: u64, now: Instant) -> bool {
        if position < self.leader_end || position + 1 != self.next {
            return false;
        }
        self.next = position;
        self.seen = self.seen.max(position);
        (self.is_doubted, self.is_leader_asked) = (true, true);
        self.read_at = now;
        true
    }

    /// The read that is due, which is then on its way.
    pub fn read_due(&mut self, now: Instant) -> Option<TailRead> {
        if self.reading.is_some() || self.waiting.contains_key(&self.next) || now < self.read_at {
            return None;
        }
        let is_stuck = self.seen >= self.next && now >= self.progress + STUCK_TIME;
        self.is_leader_asked |= is_stuck;
        self.reading = Some(TailRead { from: self.next, from_leader: self.is_leader_asked });
        self.reading
    }

    /// A read has ended.
    ///
    /// # Errors
    /// If messages that come next are not in the stream any more.
    pub fn read_done(
        &mut self,
        read: Option<Vec<StreamEntry>>,
        now: Instant,
    ) -> Result<(), Removed> {
        let from_leader = self.reading.take().is_some_and(|read| read.from_leader);
        let Some(entries) = read else {
            self.read_at = now + FAILED_READ_PAUSE;
            return Ok(());
        };
        if let Some(oldest) = entries.first().map(|entry| entry.position)
            && oldest > self.next
        {
            if !from_leader {
                // The replica may have lost messages that others have.
                self.is_leader_asked = true;
                self.read_at = now;
                return Ok(());
            }
            return Err(Removed { next: self.next, oldest });
        }
        let newest = entries.last().map_or(0, |entry| entry.position);
        let has_next = newest >= self.next;
        if from_leader {
            self.is_leader_asked = self.is_doubted && !has_next;
            self.is_doubted &= !has_next;
            self.leader_end = self.leader_end.max(if has_next { newest + 1 } else { 0 });
        }
        self.seen = self.seen.max(newest);
        self.read_at = if has_next || self.is_doubted && !from_leader {
            // There may be more.
            now
        } else if self.seen >= self.next {
            now + FAILED_READ_PAUSE
        } else {
            now + SILENCE_TIME_MAX
        };
        for entry in entries {
            self.add(entry, from_leader);
        }
        Ok(())
    }

    /// When a read is due, if nothing comes before; `None` while there is one.
    pub fn wake_at(&self) -> Option<Instant> {
        self.reading.is_none().then_some(self.read_at)
    }

    /// A message waits for its turn. One that came before, or too early, is dropped; so is one
    /// that the leader has told, or is to tell.
    fn add(&mut self, entry: StreamEntry, from_leader: bool) {
        let position = entry.position;
        let is_next = position == self.next;
        if !from_leader && (position < self.leader_end || is_next && self.is_doubted) {
            return;
        }
        let has_room = self.waiting.len() < 2 * LIVE_ENTRIES_MAX
            && self.waiting_bytes + entry.bytes.len() <= WAITING_BYTES_MAX;
        if position < self.next || !(is_next || has_room) {
            return;
        }
        self.waiting_bytes += entry.bytes.len();
        if let Some(before) = self.waiting.insert(position, entry) {
            self.waiting_bytes -= before.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::time::Time;

    fn entry(position: u64) -> StreamEntry {
        StreamEntry { position, timestamp: Time(0), bytes: Bytes::from_static(b"message") }
    }

    fn popped(tail: &mut Tail, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| tail.pop(now)).map(|entry| entry.position).collect()
    }

    /// A tail that has read all up to 4.
    fn tail(now: Instant) -> Tail {
        let mut tail = Tail::new(3, now);
        assert_eq!(tail.read_due(now), Some(TailRead { from: 3, from_leader: false }));
        assert_eq!(tail.read_due(now), None, "one at a time");
        tail.read_done(Some(vec![entry(3), entry(4)]), now).unwrap();
        assert_eq!(popped(&mut tail, now), [3, 4]);
        assert!(tail.read_due(now).is_some(), "there may be more");
        tail.read_done(Some(Vec::new()), now).unwrap();
        tail
    }

    #[test]
    fn live_messages_are_applied_in_order_and_once() {
        let now = Instant::now();
        let mut tail = tail(now);
        for position in [5, 4, 3, 6, 6, 8] {
            tail.live(entry(position), now);
        }
        assert_eq!(popped(&mut tail, now), [5, 6]);
        assert_eq!(tail.waiting.len(), 1, "what came before is not kept");
        assert_eq!(tail.read_due(now).map(|read| read.from), Some(7), "it was missed");
        tail.read_done(Some(vec![entry(7), entry(8)]), now).unwrap();
        assert_eq!(popped(&mut tail, now), [7, 8]);
        assert_eq!((tail.next(), tail.seen(), tail.waiting_bytes), (9, 8, 0));
    }

    #[test]
    fn silence_and_what_is_told_make_a_read() {
        let now = Instant::now();
        let mut tail = tail(now);
        assert_eq!(tail.read_due(now + SILENCE_TIME_MAX - GRACE_TIME), None);
        assert_eq!(tail.wake_at(), Some(now + SILENCE_TIME_MAX));
        tail.told(4, now);
        assert_eq!(tail.wake_at(), Some(now + SILENCE_TIME_MAX));
        tail.told(5, now);
        assert_eq!(tail.wake_at(), Some(now + GRACE_TIME));
        assert!(tail.read_due(now + GRACE_TIME).is_some());
        assert_eq!(tail.wake_at(), None);
    }

    #[test]
    fn a_read_that_failed_is_repeated_and_asks_the_leader_when_a_replica_is_behind() {
        let begun = Instant::now();
        let mut tail = tail(begun);
        tail.told(5, begun);
        let mut now = begun + GRACE_TIME;
        let mut from_leader = false;
        for read in [None, Some(Vec::new())].into_iter().cycle() {
            from_leader = tail.read_due(now).expect("it must be there").from_leader;
            tail.read_done(read, now).unwrap();
            assert_eq!(tail.wake_at(), Some(now + FAILED_READ_PAUSE));
            now += FAILED_READ_PAUSE;
            if from_leader {
                break;
            }
        }
        assert!(from_leader && now >= begun + STUCK_TIME && now < begun + 2 * STUCK_TIME);
    }

    #[test]
    fn a_doubted_message_comes_again_from_the_leader() {
        let now = Instant::now();
        let mut tail = tail(now);
        let told = |position, bytes: &'static [u8]| StreamEntry {
            bytes: Bytes::from_static(bytes),
            ..entry(position)
        };
        // A read of a replica is on its way, and does not count.
        assert!(tail.read_due(now + SILENCE_TIME_MAX).is_some());
        tail.live(told(5, b"damaged"), now);
        assert_eq!(popped(&mut tail, now), [5]);
        assert!(tail.doubt(5, now));
        assert!(!tail.doubt(5, now) && !tail.doubt(3, now), "it was not popped again");
        tail.live(told(5, b"damaged"), now);
        tail.read_done(Some(vec![told(5, b"damaged"), told(6, b"damaged")]), now).unwrap();
        assert_eq!(popped(&mut tail, now), [0; 0]);
        let leader = Some(TailRead { from: 5, from_leader: true });
        assert_eq!(tail.read_due(now), leader);
        tail.read_done(None, now).unwrap();
        assert_eq!(tail.read_due(now + FAILED_READ_PAUSE), leader);
        tail.read_done(Some(Vec::new()), now).unwrap();
        assert_eq!(tail.read_due(now + FAILED_READ_PAUSE), leader, "it is asked until it tells");
        tail.read_done(Some(vec![told(5, b"right"), told(6, b"right")]), now).unwrap();
        tail.live(told(6, b"damaged"), now);
        for position in [5, 6] {
            let entry = tail.pop(now).unwrap();
            assert_eq!((entry.position, &*entry.bytes), (position, &b"right"[..]));
            assert!(!tail.doubt(position, now), "the leader says so");
        }
        tail.live(entry(7), now);
        assert_eq!(popped(&mut tail, now), [7]);
        assert!(tail.doubt(7, now));
        assert_eq!(tail.read_due(now), Some(TailRead { from: 7, from_leader: true }));
    }

    #[test]
    fn what_was_removed_is_noticed() {
        let now = Instant::now();
        let mut tail = tail(now);
        assert!(tail.read_due(now + SILENCE_TIME_MAX).is_some());
        assert_eq!(tail.read_done(Some(vec![entry(9)]), now), Ok(()), "one replica says so");
        assert_eq!(tail.read_due(now), Some(TailRead { from: 5, from_leader: true }));
        let removed = tail.read_done(Some(vec![entry(9)]), now);
        assert_eq!(removed, Err(Removed { next: 5, oldest: 9 }));
    }

    #[test]
    fn what_waits_is_bounded_and_the_next_one_always_fits() {
        let now = Instant::now();
        let mut tail = tail(now);
        for position in 6..100_000 {
            tail.live(entry(position), now);
        }
        assert_eq!(tail.waiting.len(), 2 * LIVE_ENTRIES_MAX);
        tail.live(entry(5), now);
        assert_eq!(popped(&mut tail, now).len(), 2 * LIVE_ENTRIES_MAX + 1);
        let large = |position| StreamEntry { bytes: vec![0; 9_000_000].into(), ..entry(position) };
        let next = tail.next();
        for position in [next + 1, next + 2, next + 3, next] {
            tail.live(large(position), now);
        }
        assert_eq!(popped(&mut tail, now), [next, next + 1], "the others are read later");
        assert!(tail.read_due(now + SILENCE_TIME_MAX).is_some());
    }
}
