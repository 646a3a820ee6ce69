//! The writing side of the ring, under the log's mutex.
//!
//! A log in memory appends: the ring replaces a full head by itself, and written records
//! are readable at once. A log on disk stages: it begins each head itself, and publishes
//! the staged records when they are on disk.

mod draft_outcomes;
mod frames;
mod outcome;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::filter::TypeSet;
use crate::log::id_table::IdTable;
use crate::log::index::SegmentIndex;
use crate::log::ring::duplicate_check::DuplicateCheck;
use crate::log::ring::{BYTES_MIN, Bounds, RingReader, RingStart, SegmentSizes};
use crate::log::segment::{self, COLUMNS_BYTES, Segment, SegmentBuffers};
use crate::log::{Append, Holds, RetentionHold};
use crate::record::{Acceptance, Draft, Record, Sequence, key};
use crate::time::Time;
use draft_outcomes::refused;

pub use frames::FramedRecord;
pub use outcome::{AppendAttempt, ConflictCandidate, SpaceNeed, StageOutcome, size_max};

/// A record is at least this large, frame and columns, in bytes: bounds the id
/// table where the byte bound is met before the record bound.
const RECORD_BYTES_MIN: usize = 64;

/// The writing side of the ring; there is one.
pub struct RingWriter {
    bounds: Bounds,
    sizes: SegmentSizes,
    /// Full segments, oldest first.
    full: VecDeque<Arc<Segment>>,
    head: segment::SegmentWriter,
    ids: IdTable,
    /// Buffers of a segment that was evicted.
    spare: Option<SegmentBuffers>,
    /// The newest record.
    last: Sequence,
    /// Its accept time.
    last_accepted: Time,
    /// What the full segments take, each at its most until its index is built.
    full_bytes: usize,
}

impl RingWriter {
    /// An empty ring of segments of these sizes.
    ///
    /// # Panics
    /// If a bound is below its minimum.
    pub fn new(bounds: Bounds, sizes: SegmentSizes, start: RingStart) -> Self {
        assert!(bounds.records >= 1, "a ring keeps at least one record");
        assert!(bounds.bytes >= BYTES_MIN, "a ring has at least {BYTES_MIN} bytes");
        let capacity = bounds.records.min(bounds.bytes / RECORD_BYTES_MIN);
        Self {
            bounds,
            sizes,
            full: VecDeque::new(),
            head: Segment::create(start.last.next(), sizes.bytes, sizes.records),
            ids: IdTable::with_capacity(capacity),
            spare: None,
            last: start.last,
            last_accepted: start.accepted,
            full_bytes: 0,
        }
    }

    /// The segments, oldest first, with the one that is written.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.full.iter().chain([self.head.segment()]).cloned().collect()
    }

    /// The newest record, readable or not.
    pub fn last(&self) -> Sequence {
        self.last
    }

    /// The accept time of the newest record, readable or not; [`Time::MIN`] before the
    /// first.
    pub fn last_accepted(&self) -> Time {
        self.last_accepted
    }

    /// The segment that is written.
    pub fn head(&self) -> &segment::SegmentWriter {
        &self.head
    }

    /// What is kept takes at most so many bytes.
    pub fn byte_size(&self) -> usize {
        self.full_bytes + self.head_bytes() + self.ids.byte_size()
    }

    fn head_bytes(&self) -> usize {
        self.head.byte_size() + self.head.len() * SegmentIndex::RECORD_BYTES_MAX
    }

    /// The newest record up to `last` with this id and one of these types, whoever
    /// emitted it.
    pub fn find(&self, id: &str, types: &TypeSet, last: Sequence) -> Option<Sequence> {
        let mut newest = None;
        let key = key(id);
        self.ids.find(key, self.last, |sequence| {
            let is_it = self.with_record(sequence, key, |record| {
                record.envelope().id == Some(id) && types.contains_name(record.type_name)
            });
            if sequence <= last && is_it.unwrap_or(false) {
                newest = newest.max(Some(sequence));
            }
            false
        });
        newest
    }

    /// Gives each draft its sequence, or says what must be compared first.
    pub fn append(
        &mut self,
        drafts: &[Draft],
        known: &DuplicateCheck,
        append: Append,
        shared: &RingReader,
        holds: &Holds,
    ) -> AppendAttempt {
        let outcomes = match self.outcomes(drafts, known) {
            Ok(outcomes) => outcomes,
            Err(pairs) => return AppendAttempt::Compare(pairs),
        };
        if let Some(conflict) = refused(drafts, &outcomes).filter(|_| append.is_all_or_nothing()) {
            return AppendAttempt::Refused(conflict);
        }
        let mut sealed = Vec::new();
        let commit = !append.validate_only();
        if commit {
            let need = SpaceNeed::of(drafts, &outcomes);
            let room = EvictionContext { sealed: &mut sealed, holds };
            if need.records > 0
                && let Err((hold, first)) = self.make_room(need, shared, Some(room))
            {
                return AppendAttempt::Wait(hold, first);
            }
        }
        let appended = self.assign_sequences(drafts, &outcomes, commit, &mut sealed);
        if commit {
            self.publish(shared);
            self.prepare_spare();
        }
        AppendAttempt::Done { appended, sealed }
    }

    /// Gives each draft its sequence and its place in the head without making it readable, if the
    /// head has room for all and `admit` agrees.
    pub fn stage(
        &mut self,
        drafts: &[Draft],
        known: &DuplicateCheck,
        append: Append,
        shared: &RingReader,
        admit: impl FnOnce(SpaceNeed) -> bool,
    ) -> StageOutcome {
        let outcomes = match self.outcomes(drafts, known) {
            Ok(outcomes) => outcomes,
            Err(pairs) => return StageOutcome::Compare(pairs),
        };
        if let Some(conflict) = refused(drafts, &outcomes).filter(|_| append.is_all_or_nothing()) {
            return StageOutcome::Refused(conflict);
        }
        let commit = !append.validate_only();
        let need = if commit { SpaceNeed::of(drafts, &outcomes) } else { SpaceNeed::default() };
        if need.records > 0 {
            if !self.head_takes(need) || !admit(need) {
                return StageOutcome::Full(need);
            }
            let made = self.make_room(need, shared, None);
            assert!(made.is_ok(), "what leaves this ring is on disk: nobody is asked");
        }
        let mut sealed = Vec::new();
        let appended = self.assign_sequences(drafts, &outcomes, commit, &mut sealed);
        assert!(sealed.is_empty(), "the head has room for all");
        shared.note_accepted(self.last_accepted);
        self.prepare_spare();
        StageOutcome::Done(appended)
    }

    /// Adds a record whose place in the order was decided before: whoever calls this has
    /// checked the draft, and made room. Segments that become full are added to `sealed`.
    ///
    /// # Panics
    /// If the sequence does not follow on, or the time is before that of the newest record.
    pub fn push(
        &mut self,
        draft: &Draft,
        sequence: Sequence,
        accepted: Acceptance,
        sealed: &mut Vec<Arc<Segment>>,
    ) {
        assert!(sequence == self.last.next(), "sequences have no holes");
        assert!(accepted.time >= self.last_accepted, "accept times never decrease");
        if !self.head.fits(draft.frame_len_max()) {
            self.roll(draft.frame_len_max(), sealed);
        }
        self.head.append(draft, sequence, accepted);
        // Readers stop at the log's newest record, which is published last.
        self.head.publish();
        self.last = sequence;
        self.last_accepted = accepted.time;
        self.ids.insert(draft.id_key(), sequence);
    }

    /// Closes the head and begins another, with room for `frame_len`.
    fn roll(&mut self, frame_len: usize, sealed: &mut Vec<Arc<Segment>>) {
        let bytes = self.sizes.bytes.max(frame_len);
        sealed.extend(self.begin(SegmentSizes { bytes, ..self.sizes }));
    }

    /// Begins a head of these sizes. Returns the one before, unless it is empty.
    pub fn begin(&mut self, sizes: SegmentSizes) -> Option<Arc<Segment>> {
        let SegmentSizes { bytes, records } = sizes;
        let spare = self.spare.take().filter(|spare| spare.are_for(bytes, records));
        let head = match spare {
            Some(spare) => spare.begin(self.last.next()),
            None => Segment::create(self.last.next(), bytes, records),
        };
        self.full_bytes += self.head_bytes();
        let before = std::mem::replace(&mut self.head, head);
        if before.len() == 0 {
            return None;
        }
        self.full.push_back(Arc::clone(before.segment()));
        Some(Arc::clone(before.segment()))
    }

    /// Once three quarters of the head are used, has the buffers of the next one ready: their
    /// first pages are populated meanwhile. A ring that is full evicts a segment first, and
    /// uses its buffers again.
    fn prepare_spare(&mut self) {
        let (records, frame_bytes) = self.head.room();
        let SegmentSizes { records: records_max, bytes: bytes_max } = self.sizes;
        if self.spare.is_some() || (records >= records_max / 4 && frame_bytes >= bytes_max / 4) {
            return;
        }
        let bytes = frame_bytes + records * (COLUMNS_BYTES + SegmentIndex::RECORD_BYTES_MAX);
        if self.fits(SpaceNeed { records, frame_bytes, bytes }) {
            self.spare = Some(SegmentBuffers::new(bytes_max, records_max));
        }
    }

    /// Whether the head takes so much, and the ring, if all else goes.
    fn head_takes(&self, need: SpaceNeed) -> bool {
        let records = self.head.len() + need.records;
        let bytes = self.head_bytes() + self.ids.byte_size() + need.bytes;
        let (records_room, bytes_room) = self.head.room();
        records_room >= need.records
            && bytes_room >= need.frame_bytes
            && records <= self.bounds.records
            && bytes <= self.bounds.bytes
    }

    /// Evicts whole segments, oldest first, until so much more fits. Where there
    /// is `room`, the head may go, too, and holds are asked: one that needs a segment is
    /// returned, with the sequence before which records must go.
    fn make_room(
        &mut self,
        need: SpaceNeed,
        shared: &RingReader,
        mut room: Option<EvictionContext<'_>>,
    ) -> Result<(), (Arc<dyn RetentionHold>, Sequence)> {
        // Indexes that were built since take less than was set aside for them.
        if !self.fits(need) {
            self.full_bytes = self.full.iter().map(|segment| segment.byte_size()).sum();
        }
        let mut evicted = None;
        let mut outcome = Ok(());
        while !self.fits(need) {
            if self.full.is_empty() {
                if self.head.len() == 0 {
                    break;
                }
                let Some(room) = &mut room else { break };
                self.roll(0, room.sealed);
            }
            let first = self.full.get(1).unwrap_or(self.head.segment()).base();
            let needing = room.as_ref().and_then(|room| room.holds.needing(first, self.last));
            if let Some(hold) = needing {
                outcome = Err((hold, first));
                break;
            }
            let Some(oldest) = self.full.pop_front() else { break };
            self.full_bytes = self.full.iter().map(|segment| segment.byte_size()).sum();
            self.forget(&oldest, shared);
            evicted = Some(oldest);
        }
        if let Some(oldest) = evicted {
            shared.segments.store(Arc::new(self.segments()));
            // Unless a reader is still at it.
            self.spare = SegmentBuffers::of(oldest).or(self.spare.take());
        }
        outcome
    }

    fn fits(&self, need: SpaceNeed) -> bool {
        let first = self.full.front().unwrap_or(self.head.segment()).base();
        let kept = (self.last.0 + 1 - first.0) as usize;
        kept + need.records <= self.bounds.records
            && self.byte_size() + need.bytes <= self.bounds.bytes
    }

    fn forget(&mut self, evicted: &Segment, shared: &RingReader) {
        let view = evicted.view(self.last);
        for (position, row) in view.columns.iter().enumerate() {
            self.ids.remove(row.id, view.sequence(position));
        }
        if let Some(newest) = view.len().checked_sub(1) {
            let accepted = view.record(newest).accept_time;
            shared.evicted_until.store(accepted.0 as u64, Ordering::Relaxed);
        }
    }

    /// Makes readable what was written.
    fn publish(&mut self, shared: &RingReader) {
        self.list(shared);
        shared.publish(self.last);
    }

    /// Tells readers of the head, and how large the ring is.
    pub fn list(&self, shared: &RingReader) {
        let listed = shared.segments.load();
        if !listed.last().is_some_and(|newest| Arc::ptr_eq(newest, self.head.segment())) {
            shared.segments.store(Arc::new(self.segments()));
        }
        shared.bytes.store(self.byte_size(), Ordering::Relaxed);
        shared.note_accepted(self.last_accepted);
    }

    /// Looks at a record, if its id has this key.
    fn with_record<T>(
        &self,
        sequence: Sequence,
        key: u32,
        look: impl FnOnce(Record<'_>) -> T,
    ) -> Option<T> {
        with_view(&self.full, &self.head, sequence, |view, position| {
            let has_key = view.columns.get(position).is_some_and(|row| row.id == key);
            has_key.then(|| look(view.record(position)))
        })
        .flatten()
    }
}

/// How a log that keeps its records in the ring alone makes room.
struct EvictionContext<'a> {
    /// Segments that become full.
    sealed: &'a mut Vec<Arc<Segment>>,
    /// Who is asked before records are evicted.
    holds: &'a Holds,
}

/// Looks at a published record.
fn with_view<T>(
    full: &VecDeque<Arc<Segment>>,
    head: &segment::SegmentWriter,
    sequence: Sequence,
    look: impl FnOnce(segment::SegmentView<'_>, usize) -> T,
) -> Option<T> {
    let holder = if sequence >= head.segment().base() {
        head.segment()
    } else {
        let after = full.partition_point(|segment| segment.base() <= sequence);
        full.get(after.checked_sub(1)?)?
    };
    let view = holder.view(sequence);
    let position = view.position(sequence);
    (position < view.len()).then(|| look(view, position))
}
