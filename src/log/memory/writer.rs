//! The writing side of the ring, under the log's mutex.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::ids::Ids;
use crate::log::index::Index;
use crate::log::memory::known::Known;
use crate::log::memory::{Bounds, Shared};
use crate::log::segment::{self, Buffers, COLUMNS_BYTES, Segment};
use crate::log::{Conflict, Placed};
use crate::record::{Draft, Record, Sequence, key};
use crate::time::Time;

/// A record is at least this large, frame and columns, in bytes: bounds the id
/// table where the byte bound is met before the record bound.
const RECORD_BYTES_MIN: usize = 64;

/// The most that the record of a draft takes in memory, in bytes.
pub fn size_max(draft: &Draft) -> usize {
    draft.frame_len_max() + COLUMNS_BYTES + Index::RECORD_BYTES_MAX
}

/// Outcome of one pass under the mutex.
pub enum Attempt {
    /// All drafts that do not conflict have their place.
    Done {
        /// Their places, or why they have none.
        placed: Vec<Result<Placed, Conflict>>,
        /// Segments that became full and want an index.
        sealed: Vec<Arc<Segment>>,
    },
    /// Nothing was stored: these must be compared by meaning first.
    Compare(Vec<Pair>),
    /// Nothing was stored: the records before this one must go first, and the
    /// keeper has not done with them.
    Wait(Sequence),
}

/// A draft and the record that has its key, with other bytes.
pub struct Pair {
    /// Position of the draft.
    pub position: usize,
    /// The record.
    pub sequence: Sequence,
    /// What its client sent.
    pub kept: Vec<u8>,
}

/// What becomes of a draft.
enum Place {
    /// It cannot be stored: see [`Known::conflict`].
    Refused,
    /// It is stored already.
    Kept(Placed),
    /// It repeats an earlier draft of the same call.
    AsDraft(usize),
    /// It is stored now.
    New,
}

/// The ring, as its one writer sees it.
pub struct Writer {
    bounds: Bounds,
    /// Full segments, oldest first.
    full: VecDeque<Arc<Segment>>,
    head: segment::Writer,
    ids: Ids,
    /// Buffers of a segment that was evicted.
    spare: Option<Buffers>,
    /// The newest record.
    last: Sequence,
    last_accepted: Time,
    /// What the full segments take, each at its most until its index is built.
    full_bytes: usize,
}

impl Writer {
    pub fn new(bounds: Bounds) -> Self {
        let capacity = bounds.records.min(bounds.bytes / RECORD_BYTES_MIN);
        Self {
            bounds,
            full: VecDeque::new(),
            head: Segment::create(
                Sequence::FIRST,
                bounds.segment_bytes(),
                bounds.segment_records(),
            ),
            ids: Ids::with_capacity(capacity),
            spare: None,
            last: Sequence::ZERO,
            last_accepted: Time::MIN,
            full_bytes: 0,
        }
    }

    /// The segments, oldest first, with the one that is written.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.full.iter().chain([self.head.segment()]).cloned().collect()
    }

    /// What is kept takes at most so many bytes.
    pub fn byte_size(&self) -> usize {
        self.full_bytes + self.head_bytes() + self.ids.byte_size()
    }

    fn head_bytes(&self) -> usize {
        self.head.byte_size() + self.head.len() * Index::RECORD_BYTES_MAX
    }

    /// The newest record with this id, whoever emitted it.
    pub fn find(&self, id: &str) -> Option<Sequence> {
        let mut newest = None;
        let key = key(id);
        self.ids.find(key, self.last, |sequence| {
            if self
                .with_record(sequence, key, |record| record.envelope().id == Some(id))
                .unwrap_or(false)
            {
                newest = newest.max(Some(sequence));
            }
            false
        });
        newest
    }

    /// Gives each draft its place, or says what must be compared first.
    pub fn append(
        &mut self,
        drafts: &[Draft],
        known: &Known,
        commit: bool,
        shared: &Shared,
    ) -> Attempt {
        if drafts.len() > 1 {
            self.ids.touch(drafts.iter().map(Draft::id_key));
        }
        let mut compare = Vec::new();
        let mut places = Vec::with_capacity(drafts.len());
        for (position, draft) in drafts.iter().enumerate() {
            places.push(if known.conflict(position).is_some() {
                Place::Refused
            } else if let Some(placed) = self.find_kept(position, draft, known, &mut compare) {
                Place::Kept(placed)
            } else {
                known.repeated_by(position).map_or(Place::New, Place::AsDraft)
            });
        }
        if !compare.is_empty() {
            return Attempt::Compare(compare);
        }
        let mut sealed = Vec::new();
        if commit {
            let new = drafts.iter().zip(&places).filter(|(_, place)| matches!(place, Place::New));
            let (records, bytes) = new.fold((0, 0), |(records, bytes), (draft, _)| {
                (records + 1, bytes + size_max(draft))
            });
            if records > 0
                && let Err(first) = self.make_room(records, bytes, shared, &mut sealed)
            {
                return Attempt::Wait(first);
            }
        }
        let accepted = Time::now().max(self.last_accepted);
        let mut placed: Vec<Result<Placed, Conflict>> = Vec::with_capacity(drafts.len());
        for ((position, draft), place) in drafts.iter().enumerate().zip(places) {
            placed.push(match place {
                Place::Refused => {
                    Err(known.conflict(position).expect("refused for a conflict").clone())
                }
                Place::Kept(placed) => Ok(placed),
                Place::AsDraft(first) => {
                    let first =
                        placed.get(first).expect("a repeat comes after what it repeats").clone();
                    first.map(|first| Placed { duplicate: true, ..first })
                }
                Place::New if commit => Ok(self.write(draft, accepted, &mut sealed)),
                Place::New => {
                    Ok(Placed { sequence: Sequence::ZERO, accept_time: None, duplicate: false })
                }
            });
        }
        if commit {
            self.publish(shared);
        }
        Attempt::Done { placed, sealed }
    }

    /// The record that the draft repeats, if it is kept.
    fn find_kept(
        &self,
        position: usize,
        draft: &Draft,
        known: &Known,
        compare: &mut Vec<Pair>,
    ) -> Option<Placed> {
        let mut found = None;
        self.ids.find(draft.id_key(), self.last, |sequence| {
            self.with_record(sequence, draft.id_key(), |record| {
                let same_key = record.envelope().id == Some(draft.event().id())
                    && record.principal() == draft.principal();
                if same_key {
                    let accept_time = Some(record.accept_time);
                    found = Some(Placed { sequence, accept_time, duplicate: true });
                    let equal = record.client_bytes() == draft.event().client_bytes()
                        || known.is_equal(position, sequence);
                    if !equal {
                        compare.push(Pair {
                            position,
                            sequence,
                            kept: record.client_bytes().to_vec(),
                        });
                    }
                }
                same_key
            })
            .unwrap_or(false)
        });
        found
    }

    fn write(&mut self, draft: &Draft, accepted: Time, sealed: &mut Vec<Arc<Segment>>) -> Placed {
        if !self.head.fits(draft.frame_len_max()) {
            self.roll(draft.frame_len_max(), sealed);
        }
        let sequence = self.last.next();
        self.head.append(draft, sequence, accepted);
        // Readers stop at the log's newest record, which is published last.
        self.head.publish();
        self.last = sequence;
        self.last_accepted = accepted;
        self.ids.insert(draft.id_key(), sequence);
        Placed { sequence, accept_time: Some(accepted), duplicate: false }
    }

    /// Closes the head and begins another, with room for `frame_len`.
    fn roll(&mut self, frame_len: usize, sealed: &mut Vec<Arc<Segment>>) {
        let bytes = self.bounds.segment_bytes().max(frame_len);
        let records = self.bounds.segment_records();
        let spare = self.spare.take().filter(|spare| spare.are_for(bytes, records));
        let head = match spare {
            Some(spare) => spare.begin(self.last.next()),
            None => Segment::create(self.last.next(), bytes, records),
        };
        self.full_bytes += self.head_bytes();
        let before = std::mem::replace(&mut self.head, head);
        if before.len() == 0 {
            return;
        }
        self.full.push_back(Arc::clone(before.segment()));
        sealed.push(Arc::clone(before.segment()));
    }

    /// Evicts whole segments, oldest first, until so much more fits. Fails where
    /// the keeper needs one, with the sequence before which records must go.
    fn make_room(
        &mut self,
        records: usize,
        bytes: usize,
        shared: &Shared,
        sealed: &mut Vec<Arc<Segment>>,
    ) -> Result<(), Sequence> {
        // Indexes that were built since take less than was set aside for them.
        if !self.fits(records, bytes) {
            self.full_bytes = self.full.iter().map(|segment| segment.byte_size()).sum();
        }
        let mut evicted = None;
        let mut outcome = Ok(());
        while !self.fits(records, bytes) {
            if self.full.is_empty() {
                if self.head.len() == 0 {
                    break;
                }
                self.roll(0, sealed);
            }
            let first = self.full.get(1).unwrap_or(self.head.segment()).base();
            if shared.keeper.get().is_some_and(|keeper| !keeper.release(first)) {
                outcome = Err(first);
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
            self.spare = Buffers::of(oldest).or(self.spare.take());
        }
        outcome
    }

    fn fits(&self, records: usize, bytes: usize) -> bool {
        let first = self.full.front().unwrap_or(self.head.segment()).base();
        let kept = (self.last.0 + 1 - first.0) as usize;
        kept + records <= self.bounds.records && self.byte_size() + bytes <= self.bounds.bytes
    }

    fn forget(&mut self, evicted: &Segment, shared: &Shared) {
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
    fn publish(&mut self, shared: &Shared) {
        let listed = shared.segments.load();
        if !listed.last().is_some_and(|newest| Arc::ptr_eq(newest, self.head.segment())) {
            shared.segments.store(Arc::new(self.segments()));
        }
        shared.bytes.store(self.byte_size(), Ordering::Relaxed);
        shared.last.store(self.last.0, Ordering::Release);
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

/// Looks at a published record.
fn with_view<T>(
    full: &VecDeque<Arc<Segment>>,
    head: &segment::Writer,
    sequence: Sequence,
    look: impl FnOnce(segment::View<'_>, usize) -> T,
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
