//! Search: pages of stored records that match a query.

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::hub::{Gap, GapReason, Hub, LogPosition, Reach, TimeSlices};
use crate::log::cursor::{Cursor, PageToken, QUERY_DIGEST_BYTES};
use crate::log::{
    self, ReadHint, ReadResult, ScanEnd, ScanOrder, ScanQuery, ScanStats, SegmentView, State,
};
use crate::proto::pb;
use crate::record::Sequence;

/// The most bytes of records in one page, except for a single larger record. gRPC clients accept 4
/// MiB by default.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;
/// The most gaps in one page.
const PAGE_GAPS_MAX: usize = 1_000;
/// The time limit of a page.
const PAGE_TIME_MAX: Duration = Duration::from_millis(500);
/// The initial capacity of a page, in records: the usual page size.
const PAGE_RECORDS_ALLOCATED: usize = 64;
/// The initial capacity for each record, in bytes: a little more than the size of most records.
const RECORD_BYTES: usize = 400;

/// Records of any sequence.
pub const ALL_SEQUENCES: RangeInclusive<Sequence> = Sequence::ZERO..=Sequence(u64::MAX);

/// One page of a search.
pub struct SearchRequest {
    /// What to find.
    pub query: ScanQuery,
    /// Only records with these sequences.
    pub sequences: RangeInclusive<Sequence>,
    /// The order of the results.
    pub order: ScanOrder,
    /// The maximum number of records.
    pub page_size: usize,
    /// Digest of the search: see [`query_digest`].
    pub digest: [u8; QUERY_DIGEST_BYTES],
    /// The position where the previous page ended.
    pub token: Option<PageToken>,
}

/// The result of a search.
pub struct SearchPage {
    /// Frames of the records, in the requested order.
    pub frames: Vec<u8>,
    /// The token of the next page; `None` after the last one.
    pub next: Option<PageToken>,
    /// The newest record of the search at the time of the first page.
    pub cursor: Cursor,
    /// Records that were evicted between the pages, or are damaged.
    pub gaps: Vec<Gap>,
    /// The work that was done.
    pub stats: ScanStats,
}

/// Why a page token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It belongs to another log, or was issued before the log lost records.
    #[error("page_token belongs to another log: search again from the first page")]
    OtherLog,
    /// It belongs to another search.
    #[error("page_token belongs to a search with another filter, time range or order")]
    OtherSearch,
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// A digest of the parts of a search that must not change between pages: filter, times and order.
/// It is a truncated SHA-256 of the request without page size and token.
pub fn query_digest(request: &pb::SearchRequest) -> [u8; QUERY_DIGEST_BYTES] {
    let same = pb::SearchRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let digest = Sha256::digest(same.encode_to_vec());
    *digest.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// The range of a search and the position in it.
struct PageScan {
    order: ScanOrder,
    first: Sequence,
    last: Sequence,
    /// The next record to examine; outside of the range at the end.
    next: Sequence,
}

impl Hub {
    /// One page of a search: [`Hub::await_page`], then [`Hub::read_page`].
    ///
    /// # Errors
    /// If the token does not fit, or the log cannot be read.
    pub async fn search(&self, search: &SearchRequest) -> Result<SearchPage, Error> {
        self.await_page(search).await?;
        self.read_page(search).await
    }

    /// Returns once this gateway has the records that a search names, by its page token or its
    /// first sequence, if the log has them. The last sequence is a bound: if the log cannot be
    /// queried, the search ends at the newest record here.
    ///
    /// # Errors
    /// If the token does not fit, or the records do not arrive in time.
    pub async fn await_page(&self, search: &SearchRequest) -> Result<(), Error> {
        if let Some(token) = &search.token {
            let identity = self.identity();
            if token.log_id != identity.id || token.epoch < identity.epoch {
                return Err(Error::OtherLog);
            }
            if token.query != search.digest {
                return Err(Error::OtherSearch);
            }
            let position = LogPosition { epoch: Some(token.epoch), sequence: token.last };
            return match self.reach(position).await? {
                Reach::Here => Ok(()),
                Reach::Beyond(_) => Err(Error::OtherLog),
            };
        }
        let (first, last) = (LogPosition::from(*search.sequences.start()), *search.sequences.end());
        if self.must_wait_for(first) {
            self.reach(first).await?;
        }
        let is_bounded = last != *ALL_SEQUENCES.end();
        if is_bounded && self.must_wait_for(last.into()) && !matches!(self.state(), State::Away(_))
        {
            // The records that are here are served nevertheless.
            let _ = self.reach(last.into()).await;
        }
        Ok(())
    }

    /// One page of a search over the records that this gateway has.
    ///
    /// # Errors
    /// If the token does not fit, or the log cannot be read.
    pub async fn read_page(&self, search: &SearchRequest) -> Result<SearchPage, Error> {
        let identity = self.identity();
        let mut walk = self.walk(search)?;
        let (first, last) = (walk.first, walk.last);
        let mut page = SearchPage {
            frames: Vec::with_capacity(search.page_size.min(PAGE_RECORDS_ALLOCATED) * RECORD_BYTES),
            next: None,
            cursor: Cursor::new(identity, last),
            gaps: Vec::new(),
            stats: ScanStats::default(),
        };
        let mut records = 0;
        let mut turns = TimeSlices::begin();
        while !walk.is_done() {
            let is_full = records >= search.page_size || page.gaps.len() >= PAGE_GAPS_MAX;
            if is_full || turns.elapsed() >= PAGE_TIME_MAX {
                page.next = Some(PageToken {
                    log_id: identity.id,
                    epoch: identity.epoch,
                    query: search.digest,
                    sequence: walk.before_next(),
                    first,
                    last,
                });
                break;
            }
            let hint = ReadHint {
                records: search.page_size - records,
                ..ReadHint::matching(&search.query, search.order)
            };
            let segment = match self.log.read(walk.next, hint).await? {
                None => break,
                Some(ReadResult::Records(segment)) => segment,
                Some(ReadResult::Damaged { first, .. }) if first > walk.next => {
                    page.gaps.push(walk.skip_evicted(first));
                    continue;
                }
                Some(ReadResult::Damaged { first, last }) => {
                    page.gaps.push(walk.skip_damaged(first, last));
                    continue;
                }
            };
            let view = segment.view(last);
            if view.base > walk.next {
                page.gaps.push(walk.skip_evicted(view.base));
                continue;
            }
            let full = walk.read(search, &view, &mut records, &mut page);
            if full {
                records = records.max(search.page_size);
            }
            drop(segment);
            turns.yield_now(&self.turns).await;
        }
        Ok(page)
    }

    fn walk(&self, search: &SearchRequest) -> Result<PageScan, Error> {
        let identity = self.identity();
        let order = search.order;
        let extent = self.log.extent();
        let Some(token) = search.token else {
            let first = extent.first.max(*search.sequences.start());
            let last = extent.last.min(*search.sequences.end());
            let next = match order {
                ScanOrder::Ascending => first,
                ScanOrder::Descending => last,
            };
            return Ok(PageScan { order, first, last, next });
        };
        // A token can be forged: a position beyond the log was not issued by it.
        let is_past = token.last > extent.last || token.sequence > token.last.next();
        if token.log_id != identity.id || token.epoch != identity.epoch || is_past {
            return Err(Error::OtherLog);
        }
        if token.query != search.digest {
            return Err(Error::OtherSearch);
        }
        let next = match order {
            ScanOrder::Ascending => token.sequence.next(),
            ScanOrder::Descending => token.sequence.previous(),
        };
        Ok(PageScan { order, first: token.first, last: token.last, next })
    }
}

impl PageScan {
    fn is_done(&self) -> bool {
        self.next < self.first || self.next > self.last || self.next == Sequence::ZERO
    }

    /// The last examined record.
    fn before_next(&self) -> Sequence {
        match self.order {
            ScanOrder::Ascending => self.next.previous(),
            ScanOrder::Descending => self.next.next(),
        }
    }

    /// Skips the evicted records before `kept`. Returns the gap in this search.
    fn skip_evicted(&mut self, kept: Sequence) -> Gap {
        let reason = GapReason::Evicted;
        match self.order {
            ScanOrder::Ascending => {
                let last = kept.previous().min(self.last);
                let gap = Gap { first: self.next, last, reason };
                self.next = kept;
                gap
            }
            ScanOrder::Descending => {
                let gap = Gap { first: self.first, last: self.next, reason };
                self.next = Sequence::ZERO;
                gap
            }
        }
    }

    /// Skips damaged records. Returns the gap in this search.
    fn skip_damaged(&mut self, first: Sequence, last: Sequence) -> Gap {
        let reason = GapReason::Damaged;
        match self.order {
            ScanOrder::Ascending => {
                let gap = Gap { first: self.next, last: last.min(self.last), reason };
                self.next = last.next();
                gap
            }
            ScanOrder::Descending => {
                let gap = Gap { first: first.max(self.first), last: self.next, reason };
                self.next = first.previous();
                gap
            }
        }
    }

    /// Continues in one segment. Returns whether the page has no room for the next match.
    fn read(
        &mut self,
        search: &SearchRequest,
        view: &SegmentView<'_>,
        records: &mut usize,
        page: &mut SearchPage,
    ) -> bool {
        let range = match self.order {
            ScanOrder::Ascending => view.position(self.next)..view.len(),
            ScanOrder::Descending => view.position(self.first)..view.position(self.next.next()),
        };
        let from = self.next;
        let mut left = None;
        let frames = &mut page.frames;
        let scanned = search.query.scan(view, range, self.order, &mut page.stats, |position| {
            let frame = view.frame(position);
            if !frames.is_empty() && frames.len() + frame.len() > PAGE_BYTES_MAX {
                left = Some(position);
                return ControlFlow::Break(());
            }
            frames.extend_from_slice(frame);
            *records += 1;
            if *records >= search.page_size {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let step = |position: usize| match self.order {
            ScanOrder::Ascending => view.sequence(position).next(),
            ScanOrder::Descending => view.sequence(position).previous(),
        };
        self.next = match (left, scanned, self.order) {
            (Some(position), ..) => view.sequence(position),
            (None, ScanEnd::Paused(position) | ScanEnd::Enough(position), _) => step(position),
            (None, ScanEnd::Whole, ScanOrder::Ascending) => view.end(),
            (None, ScanEnd::Whole, ScanOrder::Descending) => view.base.previous(),
        };
        page.stats.examined += view.left_out(match self.order {
            ScanOrder::Ascending => from..self.next,
            ScanOrder::Descending => self.next.next()..from.next(),
        });
        left.is_some()
    }
}
