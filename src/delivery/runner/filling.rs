//! Fills a batch with records of a subscription.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::delivery::DeliveryConfig;
use crate::delivery::batch::{Batch, BatchLimits, Misfit};
use crate::delivery::format::Format;
use crate::delivery::state::{DeliveryState, add};
use crate::hub::{Gap, GapReason, Hub, SubscribeMessage, TimeSlices};
use crate::log::Identity;
use crate::log::cursor::Cursor;
use crate::record::{Record, Sequence};
use crate::time::Time;

/// The batch that is being filled, and the records that wait for it.
pub struct Filling {
    log_id: Arc<str>,
    batch: Batch,
    misfits: Vec<Misfit>,
    /// Bytes of their records.
    misfit_bytes: usize,
    /// Records of the last message that are not in the batch yet; they share its memory.
    waiting: VecDeque<Bytes>,
    /// A gap that precedes them.
    gap: Option<Gap>,
    /// The newest record that the last message covers.
    covered: Sequence,
    /// The newest record that the batch covers.
    through: Sequence,
    caught_up: bool,
    /// When the first record was added to the batch.
    begun: Option<Instant>,
    /// A cursor of another log, whose undelivered records are lost.
    other_log: Option<Cursor>,
}

/// A finished batch.
pub struct Filled {
    /// The items.
    pub batch: Batch,
    /// Records that the format cannot encode.
    pub misfits: Vec<Misfit>,
    /// The newest record that it covers.
    pub through: Sequence,
}

impl Filling {
    /// An empty batch for records of this log after `cursor`. With a cursor of another log,
    /// `is_complete` says that all of its records were delivered, so that there is no gap.
    pub fn new(log: Identity, cursor: Option<Cursor>, is_complete: bool) -> Self {
        let log_id: Arc<str> = log.id.to_string().into();
        Self {
            batch: Batch::new(Arc::clone(&log_id)),
            log_id,
            misfits: Vec::new(),
            misfit_bytes: 0,
            waiting: VecDeque::new(),
            gap: None,
            covered: Sequence::ZERO,
            through: Sequence::ZERO,
            caught_up: false,
            begun: None,
            other_log: cursor.filter(|cursor| cursor.log_id != log.id && !is_complete),
        }
    }

    /// Takes a message, whose records then wait for the batch.
    pub fn take(&mut self, message: SubscribeMessage, state: &DeliveryState) {
        let response = message.response.message();
        let records = message.each_record().map(|record| response.slice_ref(record.bytes));
        self.waiting.extend(records);
        self.covered = message.cursor.sequence;
        self.caught_up = message.caught_up;
        let gap = message.gap.and_then(|gap| self.missing(gap));
        if let Some(gap) = gap {
            add(&state.counters.gaps, 1);
            add(&state.counters.missed, usize::try_from(gap.records()).unwrap_or(usize::MAX));
            tracing::warn!(
                delivery = %state.name(),
                first = gap.first.0,
                last = gap.last.0,
                reason = gap.reason.name(),
                "records are missing; the gap is reported to the destination",
            );
            self.gap = Some(gap);
        }
    }

    /// The gap that is reported to the destination.
    fn missing(&self, gap: Gap) -> Option<Gap> {
        let Gap { first, last, reason } = gap;
        match reason {
            GapReason::OtherLog => {
                let first = self.other_log?.sequence.next();
                Some(Gap { first, last: Sequence::ZERO, reason })
            }
            // The start was a time, and the records accepted since then are unknown.
            GapReason::Evicted if first == Sequence::ZERO => None,
            _ => Some(Gap { first, last, reason }),
        }
    }

    /// Notes that the end of the log was reached by records that the filter excludes.
    pub fn reached_end(&mut self, end: Sequence) {
        self.caught_up = true;
        self.covered = self.covered.max(end);
    }

    /// Encodes waiting records into the batch, until it is full.
    pub async fn fill(&mut self, config: &DeliveryConfig, hub: &Arc<Hub>, format: &dyn Format) {
        if let Some(gap) = self.gap.take() {
            self.add_gap(gap, config, format);
        }
        if self.is_of_other_log() {
            return;
        }
        let mut slices = TimeSlices::begin();
        while !self.is_full(&config.batch) {
            let Some(record) = self.waiting.pop_front() else { break };
            self.begun.get_or_insert_with(Instant::now);
            self.through = Record::read(&record).sequence;
            let bytes = record.len();
            if let Err(misfit) = self.batch.add_record(record, format) {
                self.misfit_bytes += bytes;
                self.misfits.push(misfit);
            }
            hub.yield_now(&mut slices).await;
        }
        if self.waiting.is_empty() {
            self.through = self.covered;
        }
    }

    /// Whether the batch reports records of another log.
    fn is_of_other_log(&self) -> bool {
        &*self.log_id != self.batch.log_id()
    }

    fn add_gap(&mut self, gap: Gap, config: &DeliveryConfig, format: &dyn Format) {
        if let (GapReason::OtherLog, Some(other)) = (gap.reason, self.other_log.take()) {
            // The records are those of the other log, and so is the id of the gap.
            let mut batch = Batch::new(other.log_id.to_string().into());
            batch.add_gap(gap, &config.name, format);
            self.batch = batch;
        } else {
            self.batch.add_gap(gap, &config.name, format);
        }
        self.begun.get_or_insert_with(Instant::now);
        let before_records = self.waiting.front().map(|record| Record::read(record).sequence);
        self.through = before_records.map_or(self.covered, Sequence::previous);
    }

    /// Whether the batch must be sent before more is added. Records that cannot be encoded count,
    /// too, so that memory stays bounded while the destination is unavailable.
    fn is_full(&self, limits: &BatchLimits) -> bool {
        self.batch.is_full(limits)
            || self.misfits.len() >= limits.records
            || self.misfit_bytes >= limits.bytes
    }

    /// Whether another message may be read.
    pub fn has_room(&self, limits: &BatchLimits) -> bool {
        self.waiting.is_empty() && self.gap.is_none() && !self.is_full(limits)
    }

    /// When the batch is sent even if others are in flight.
    pub fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        self.begun.map(|begun| begun + limits.time)
    }

    /// Whether the batch is sent now. If `is_idle`, no other batch is in flight; if `is_last`, it
    /// is sent even if it is not full.
    pub fn is_due(&self, limits: &BatchLimits, is_idle: bool, is_last: bool) -> bool {
        let is_empty = self.batch.is_empty() && self.misfits.is_empty();
        let is_at_end = self.caught_up && self.waiting.is_empty();
        let is_old = self.due(limits).is_some_and(|due| due <= Instant::now());
        !is_empty
            && (self.is_full(limits)
                || is_old
                || (is_at_end && is_idle)
                || is_last
                || self.is_of_other_log())
    }

    /// The newest record of a message without records for the batch; `None` if the batch has
    /// some.
    pub fn left_out(&self) -> Option<Sequence> {
        let is_empty = self.batch.is_empty() && self.misfits.is_empty();
        (is_empty && self.waiting.is_empty() && self.gap.is_none()).then_some(self.covered)
    }

    /// Takes the batch, and begins another one.
    pub fn finish(&mut self) -> Filled {
        self.begun = (!self.waiting.is_empty()).then(Instant::now);
        let batch = std::mem::replace(&mut self.batch, Batch::new(Arc::clone(&self.log_id)));
        let misfits = std::mem::take(&mut self.misfits);
        self.misfit_bytes = 0;
        Filled { batch, misfits, through: self.through }
    }

    /// When the oldest record in the batch, or waiting for it, was accepted.
    pub fn oldest(&self) -> Option<Time> {
        let waiting = || self.waiting.front().map(|record| Record::read(record).accept_time);
        self.batch.accepted_since().or_else(waiting)
    }

    /// What the batch and the waiting records hold in memory, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.batch.held_bytes()
            + self.misfit_bytes
            + self.waiting.iter().map(Bytes::len).sum::<usize>()
    }
}
