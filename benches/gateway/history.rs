//! A log with a history to search, and searches of it.

use std::sync::Arc;
use std::time::Instant;

use auditgate::filter::Filter;
use auditgate::hub::search::ALL_SEQUENCES;
use auditgate::hub::{Hub, SearchRequest};
use auditgate::log::{Bounds, Log, MemoryLog, ReadHint, ReadResult, ScanOrder, ScanQuery, Segment};
use auditgate::proto::pb;
use auditgate::record::Record;
use auditgate::time::Time;
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::rounds::{Sample, Stopwatch, median};
use crate::{Result, events, fanout, ring};

/// Records of a page.
pub const PAGE: usize = 50;
/// Events that are generated at once.
const CHUNK: u64 = 8_192;
/// More than any history here takes.
const BYTES_MAX: usize = 8 * 1024 * 1024 * 1024;

/// A log that holds the first events, all of them.
pub struct History {
    /// Runs the searches, on the thread that asks.
    pub runtime: Runtime,
    /// Searches the log.
    pub hub: Arc<Hub>,
    log: Arc<dyn Log>,
}

/// What to search for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which records.
    pub filter: pb::Filter,
    /// Events from this time on.
    pub start: Time,
    /// Events before this time.
    pub end: Time,
    /// From which end.
    pub order: ScanOrder,
}

impl History {
    /// Appends the first `count` events.
    ///
    /// # Errors
    /// If one is refused.
    pub fn new(count: u64) -> Result<Self> {
        let bounds = Bounds { bytes: BYTES_MAX, records: 2 * count as usize };
        Self::on(Arc::new(MemoryLog::new(bounds)), count)
    }

    /// Appends the first `count` events to a log that takes no more.
    ///
    /// # Errors
    /// If one is refused.
    pub fn full(count: u64) -> Result<Self> {
        let bounds = Bounds { bytes: BYTES_MAX, records: count as usize };
        Self::on(Arc::new(MemoryLog::new(bounds)), count)
    }

    /// Appends the first `count` events to a log.
    ///
    /// # Errors
    /// If one is refused.
    pub fn on(log: Arc<dyn Log>, count: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for events in chunks(count) {
            runtime.block_on(ring::append(log.as_ref(), events))?;
        }
        let shared = Arc::clone(&log);
        let hub = runtime.block_on(async { Hub::new(shared, CancellationToken::new()) });
        Ok(Self { runtime, hub, log })
    }

    /// The segments, oldest first.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn segments(&self) -> Result<Vec<Arc<Segment>>> {
        let extent = self.log.extent();
        let mut segments = Vec::new();
        let mut next = extent.first;
        let want = ReadHint::all(ScanOrder::Ascending);
        while let Some(ReadResult::Records(segment)) =
            self.runtime.block_on(self.log.read(next, want))?
        {
            next = segment.view(extent.last).end();
            segments.push(segment);
        }
        Ok(segments)
    }

    /// Goes through all records and their frames.
    ///
    /// # Errors
    /// If the log cannot be read, or `take` fails.
    pub fn for_each(&self, mut take: impl FnMut(Record<'_>, &[u8]) -> Result<()>) -> Result<()> {
        let extent = self.log.extent();
        let mut next = extent.first;
        let want = ReadHint::all(ScanOrder::Ascending);
        while let Some(ReadResult::Records(segment)) =
            self.runtime.block_on(self.log.read(next, want))?
        {
            let view = segment.view(extent.last);
            for position in view.position(next)..view.len() {
                take(view.record(position), view.frame(position))?;
            }
            next = view.end();
        }
        Ok(())
    }

    /// The first page: records that match, as encoded frames.
    ///
    /// # Errors
    /// If the filter is refused or the log cannot be read.
    pub async fn page(&self, wanted: &Wanted) -> Result<Vec<u8>> {
        let filter = Arc::new(Filter::compile(&wanted.filter)?);
        let mut search = SearchRequest {
            query: ScanQuery { filter, start: wanted.start, end: wanted.end },
            sequences: ALL_SEQUENCES,
            order: wanted.order,
            page_size: PAGE,
            digest: Default::default(),
            token: None,
        };
        let page = self.hub.search(&search).await?;
        let (mut frames, mut next) = (page.frames, page.next);
        // A page may go out early, after a while: the next one goes on.
        while let Some(token) = next.take() {
            let missing = PAGE - fanout::records(&frames).count();
            if missing == 0 {
                break;
            }
            search.token = Some(token);
            search.page_size = missing;
            let page = self.hub.search(&search).await?;
            frames.extend(page.frames);
            next = page.next;
        }
        Ok(frames)
    }

    /// Searches, one after the other; gives the median time in microseconds.
    ///
    /// # Errors
    /// If a search fails.
    pub fn search_all(&self, wanted: &[Wanted]) -> Result<Sample> {
        self.runtime.block_on(async {
            let watch = Stopwatch::start();
            let mut times = Vec::with_capacity(wanted.len());
            for wanted in wanted {
                let started = Instant::now();
                std::hint::black_box(self.page(wanted).await?);
                times.push(started.elapsed().as_secs_f64() * 1e6);
            }
            Ok(watch.stop().calls(median(&times)))
        })
    }
}

/// The first `count` events, encoded, some thousands at a time.
pub fn chunks(count: u64) -> impl Iterator<Item = Vec<Bytes>> {
    let numbers = move |from: u64| from..(from + CHUNK).min(count);
    (0..count).step_by(CHUNK as usize).map(move |from| events::encoded(numbers(from)).collect())
}

impl Wanted {
    /// At any time.
    pub fn ever(filter: pb::Filter) -> Self {
        Self { filter, start: Time::MIN, end: Time::MAX, order: ScanOrder::Descending }
    }

    /// A type that is rare.
    pub fn rare_type() -> Self {
        Self::ever(pb::Filter { types: vec![events::RARE_TYPE.into()], ..Default::default() })
    }

    /// Some user.
    pub fn user(number: u64) -> Self {
        let user = events::user(number % events::USERS);
        Self::ever(pb::Filter { users: vec![user], ..Default::default() })
    }
}
