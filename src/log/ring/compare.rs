//! Comparing drafts with what has their keys already: outside of the log's mutex, in
//! slices of time, and within a budget that grows with what was handed in.
//!
//! Equal bytes settle it. Otherwise the canonical form of the kept record is computed,
//! once for all drafts of the call that have its key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::event::{ContentDigest, content_digest, lengths_allow_equality};
use crate::log::ring::{ConflictCandidate, ContentMatch, DuplicateCheck, Outside, RingReader};
use crate::log::{Append, Conflict, ConflictReason, Receipt};
use crate::proto::pb;
use crate::record::{Draft, Record, Sequence};

/// The budget of a call, in bytes of kept records: so many times the events that were
/// handed in, and [`BUDGET_BYTES_MIN`].
const BUDGET_FACTOR: u64 = 4;
/// See [`BUDGET_FACTOR`].
const BUDGET_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// How long a call compares before it lets others run.
const SLICE_TIME_MAX: Duration = Duration::from_millis(2);
/// Longer contents are digested on a thread that may wait, in bytes: a shorter one takes
/// less than a slice.
const DIGEST_INLINE_BYTES_MAX: usize = 64 * 1024;

/// Lets few calls of a log compare at a time: those that need more than a slice.
#[derive(Debug, Clone)]
pub struct Comparer {
    line: Arc<Semaphore>,
}

impl Default for Comparer {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { line: Arc::new(Semaphore::new(processors)) }
    }
}

/// The comparisons of one call.
pub struct CallComparisons<'a> {
    drafts: &'a [Draft],
    line: &'a Arc<Semaphore>,
    /// Since when the call has been comparing without a pause.
    since: Option<Instant>,
    turn: Option<OwnedSemaphorePermit>,
    /// How many bytes of kept records may still be looked at.
    left: u64,
    digests: HashMap<usize, ContentDigest>,
}

/// A kept record with the key of a draft.
struct Kept {
    sequence: Sequence,
    content: Bytes,
    amendments: Vec<pb::Amendment>,
    digest: Option<ContentDigest>,
}

impl Kept {
    fn of(sequence: Sequence, record: Bytes) -> Self {
        let read = Record::read(&record);
        let content = record.slice_ref(read.client_bytes());
        Self { sequence, content, amendments: read.amendments().collect(), digest: None }
    }
}

/// What a look at a record has shown.
enum Look {
    /// It is not kept any more.
    Gone,
    /// It has another id.
    Other,
    /// To look at it exceeds the budget.
    TooMuch,
    /// It has another length than all drafts with its key.
    Different,
    /// It must be compared.
    Compare(Bytes),
}

impl Comparer {
    /// The comparisons of a call that hands in these drafts.
    pub fn begin<'a>(&'a self, drafts: &'a [Draft]) -> CallComparisons<'a> {
        let line = &self.line;
        let (since, turn, digests) = (None, None, HashMap::new());
        let decoded: u64 = drafts.iter().map(|draft| draft.event().bytes.len() as u64).sum();
        let left = BUDGET_FACTOR * decoded + BUDGET_BYTES_MIN;
        CallComparisons { drafts, line, since, turn, left, digests }
    }
}

impl CallComparisons<'_> {
    /// Finds drafts with the same key, and compares each with the first that has it.
    pub async fn within(&mut self) -> DuplicateCheck {
        let mut known = DuplicateCheck::within(self.drafts);
        for (position, first) in known.repeats() {
            let (Some(draft), Some(other)) = (self.drafts.get(position), self.drafts.get(first))
            else {
                continue;
            };
            self.pause_if_due().await;
            let is_same = draft.repeats_draft_exactly(other)
                || draft.is_cut_like_draft(other)
                    && lengths_allow_equality(draft.event().client_len, other.event().client_len)
                    && self.digest_of_draft(position).await == self.digest_of_draft(first).await;
            if !is_same {
                known.differs(position);
            }
        }
        self.turn = None;
        known
    }

    /// Compares drafts with the records of the ring that have their keys. Ends at the
    /// first that is refused, where that refuses all.
    pub async fn with_ring(
        &mut self,
        known: &mut DuplicateCheck,
        pairs: Vec<ConflictCandidate>,
        shared: &RingReader,
        append: Append,
    ) -> Option<Conflict> {
        for ConflictCandidate { position, sequence } in pairs {
            let positions = known.with_key_of(position);
            let looked = self.look(&positions, sequence, shared);
            let refused = match looked {
                Look::Gone => None,
                Look::Other => {
                    known.settle(position, sequence, ContentMatch::OtherId);
                    None
                }
                Look::TooMuch => {
                    self.refuse_all(known, &positions, sequence, ConflictReason::Unchecked)
                }
                Look::Different => {
                    self.refuse_all(known, &positions, sequence, ConflictReason::Content)
                }
                Look::Compare(bytes) => {
                    let kept = Kept::of(sequence, bytes);
                    self.compare_all(known, &positions, kept, append).await
                }
            };
            if append.is_all_or_nothing() && refused.is_some() {
                self.turn = None;
                return refused;
            }
            self.pause_if_due().await;
        }
        self.turn = None;
        None
    }

    /// Compares a draft, and those that have its key, with a record outside of the ring,
    /// which was read and paid for. Gives the first that is refused, and ends there where
    /// that refuses all.
    pub async fn with_record(
        &mut self,
        known: &mut DuplicateCheck,
        position: usize,
        receipt: Receipt,
        record: Vec<u8>,
        append: Append,
    ) -> Option<Conflict> {
        let sequence = receipt.sequence;
        let positions = known.with_key_of(position);
        let kept = Kept::of(sequence, record.into());
        let refused = self.compare_all(known, &positions, kept, append).await;
        for position in positions {
            match known.verdict(position, sequence) {
                Some(ContentMatch::Same) => known.found(position, Outside::Kept(receipt)),
                Some(ContentMatch::Refused(reason)) => {
                    known.found(position, Outside::Refused(sequence, reason));
                }
                Some(ContentMatch::OtherId) | None => {}
            }
        }
        self.turn = None;
        refused
    }

    /// Refuses a draft, and those that have its key, because of a record outside of the
    /// ring that cannot be compared with them. Gives the first.
    pub fn refuse(
        &self,
        known: &mut DuplicateCheck,
        position: usize,
        sequence: Sequence,
        reason: ConflictReason,
    ) -> Option<Conflict> {
        for position in known.with_key_of(position) {
            known.found(position, Outside::Refused(sequence, reason));
        }
        self.conflict(position, sequence, reason)
    }

    /// How many bytes of kept records may still be read.
    pub fn bytes_left(&self) -> u64 {
        self.left
    }

    /// So many bytes of kept records were read.
    pub fn pay(&mut self, bytes: u64) -> bool {
        let is_enough = bytes <= self.left;
        self.left = self.left.saturating_sub(bytes);
        is_enough
    }

    /// Takes what is needed off a record, without a pause: a reader keeps no segment
    /// while it waits.
    fn look(&mut self, positions: &[usize], sequence: Sequence, shared: &RingReader) -> Look {
        let Some(segment) = shared.segment(sequence) else { return Look::Gone };
        let view = segment.view(sequence);
        if !view.holds(sequence) {
            return Look::Gone;
        }
        let record = view.record(view.position(sequence));
        let Some(first) = positions.first().and_then(|first| self.drafts.get(*first)) else {
            return Look::Gone;
        };
        // Mostly the id is one of few fields, which the mutex was held for already.
        let id = first.event().id_bytes();
        let has_id = match record.has_id(id, HAS_ID_FIELDS_MAX) {
            Some(has_id) => has_id,
            None if !self.pay(record.event.len() as u64) => return Look::TooMuch,
            None => record.has_id(id, usize::MAX).unwrap_or_default(),
        };
        if !has_id {
            return Look::Other;
        }
        let len = record.client_bytes().len();
        let may_be_same = |draft: &Draft| lengths_allow_equality(draft.event().client_len, len);
        let drafts = positions.iter().filter_map(|position| self.drafts.get(*position));
        if !drafts.into_iter().any(may_be_same) {
            return Look::Different;
        }
        if !self.pay(record.bytes.len() as u64) {
            return Look::TooMuch;
        }
        Look::Compare(Bytes::copy_from_slice(record.bytes))
    }

    async fn compare_all(
        &mut self,
        known: &mut DuplicateCheck,
        positions: &[usize],
        mut kept: Kept,
        append: Append,
    ) -> Option<Conflict> {
        let mut refused = None;
        for position in positions {
            self.pause_if_due().await;
            let verdict = self.compare(*position, &mut kept).await;
            known.settle(*position, kept.sequence, verdict);
            if let ContentMatch::Refused(reason) = verdict {
                let conflict = self.conflict(*position, kept.sequence, reason);
                refused = refused.or(conflict);
                if append.is_all_or_nothing() {
                    break;
                }
            }
        }
        refused
    }

    async fn compare(&mut self, position: usize, kept: &mut Kept) -> ContentMatch {
        const DIFFERENT: ContentMatch = ContentMatch::Refused(ConflictReason::Content);
        let Some(draft) = self.drafts.get(position) else { return DIFFERENT };
        if !draft.is_cut_like(&kept.amendments) {
            return DIFFERENT;
        }
        if draft.event().client_bytes() == kept.content {
            return ContentMatch::Same;
        }
        let len = kept.content.len();
        if let Some(redacted) = draft.redacted_like(&kept.amendments)
            && lengths_allow_equality(redacted.len(), len)
            && (redacted == kept.content
                || self.digest(redacted.into()).await == self.digest_of(kept).await)
        {
            return ContentMatch::Same;
        }
        if lengths_allow_equality(draft.event().client_len, len)
            && self.digest_of_draft(position).await == self.digest_of(kept).await
        {
            return ContentMatch::Same;
        }
        DIFFERENT
    }

    fn refuse_all(
        &self,
        known: &mut DuplicateCheck,
        positions: &[usize],
        sequence: Sequence,
        reason: ConflictReason,
    ) -> Option<Conflict> {
        for position in positions {
            known.settle(*position, sequence, ContentMatch::Refused(reason));
        }
        self.conflict(*positions.first()?, sequence, reason)
    }

    fn conflict(
        &self,
        position: usize,
        sequence: Sequence,
        reason: ConflictReason,
    ) -> Option<Conflict> {
        let id = self.drafts.get(position)?.event().id().to_owned();
        Some(Conflict { position, id, sequence: Some(sequence), reason })
    }

    async fn digest_of(&mut self, kept: &mut Kept) -> ContentDigest {
        if let Some(digest) = kept.digest {
            return digest;
        }
        let digest = self.digest(kept.content.clone()).await;
        kept.digest = Some(digest);
        digest
    }

    async fn digest_of_draft(&mut self, position: usize) -> ContentDigest {
        if let Some(digest) = self.digests.get(&position) {
            return *digest;
        }
        let content = self.drafts.get(position).map(Draft::content).unwrap_or_default();
        let digest = self.digest(content).await;
        self.digests.insert(position, digest);
        digest
    }

    async fn digest(&mut self, content: Bytes) -> ContentDigest {
        self.pause_if_due().await;
        if content.len() <= DIGEST_INLINE_BYTES_MAX {
            return content_digest(&content);
        }
        if self.turn.is_none() {
            self.turn = self.next_turn().await;
        }
        let work = content.clone();
        let digested = tokio::task::spawn_blocking(move || content_digest(&work)).await;
        self.since = None;
        // The runtime ends: then nobody waits for the outcome.
        digested.unwrap_or_else(|_| content_digest(&content))
    }

    /// Lets others run when a slice is over, and returns when it is this call's turn.
    async fn pause_if_due(&mut self) {
        let now = Instant::now();
        if now - *self.since.get_or_insert(now) >= SLICE_TIME_MAX {
            self.turn = None;
            tokio::task::yield_now().await;
            self.turn = self.next_turn().await;
            self.since = None;
        }
    }

    async fn next_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.line).acquire_owned().await.ok()
    }
}

/// So many fields of a kept event are looked at under the mutex to find its id.
pub const HAS_ID_FIELDS_MAX: usize = 64;
