//! One subscription: it reads stored records first, then new records, at its own pace.

use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::hub::filter_group::{CachedBatch, FilterGroup};
use crate::hub::message::RecordSlices;
use crate::hub::notifier::Waiter;
use crate::hub::subscribers::{Registration, SubscriberState};
use crate::hub::{
    Gap, GapReason, Hub, SubscribeError, SubscribeMessage, SubscriptionStart, TimeSlices,
};
use crate::log::cursor::Cursor;
use crate::log::{
    Error, ReadHint, ReadResult, SLICE, ScanEnd, ScanOrder, ScanQuery, ScanStats, SegmentView,
};
use crate::record::Sequence;
use crate::time::Time;

/// The most bytes of records in one message; one larger record alone excepted.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// After so long without a message, one tells how far the stream has come: it
/// must reach the subscriber within ten seconds.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(9);
/// How long a stream that is behind goes on at most when the gateway stops: a log in
/// memory is gone afterwards, so who reads gets what was accepted.
pub const LAST_READ_TIME_MAX: Duration = Duration::from_secs(5);

/// One subscriber's stream.
pub struct Subscription {
    hub: Arc<Hub>,
    /// Those who ask for the same.
    group: Arc<FilterGroup>,
    registration: Registration,
    waiter: Arc<Waiter>,
    /// The next record to look at. Across an await this is all that is held: a
    /// stuck subscriber keeps no segment alive.
    next: Sequence,
    /// Records that are accepted before this time are left out.
    since: Option<Time>,
    /// To be told with the next message.
    gap: Option<Gap>,
    /// The last message said that the newest record was reached.
    told_caught_up: bool,
    begun: bool,
    last_sent: Instant,
    /// Ends when progress may have to be told: it is not set anew with each
    /// message, but when it has ended too early.
    progress: Pin<Box<Sleep>>,
    /// When the stream noticed that the gateway stops.
    stop_noticed: Option<Instant>,
}

impl Hub {
    /// Opens a subscription. The filter of `subscriber` is the one that `query`
    /// was compiled from.
    ///
    /// # Errors
    /// If the log never gave out the cursor, or cannot be read to find the start.
    pub async fn subscribe(
        self: &Arc<Self>,
        query: ScanQuery,
        start: SubscriptionStart,
        subscriber: SubscriberState,
    ) -> Result<Subscription, SubscribeError> {
        let (next, gap) = self.resolve(start).await?;
        let waiter = self.notifier.register(&query.filter);
        let group = self.groups.join(&subscriber.filter_digest, query);
        let registration = self.subscribers.register(subscriber, Arc::clone(&waiter));
        registration.advance(next.previous(), 0, 0);
        Ok(Subscription {
            hub: Arc::clone(self),
            group,
            registration,
            waiter,
            next,
            since: match start {
                SubscriptionStart::Since(time) => Some(time),
                _ => None,
            },
            gap,
            told_caught_up: false,
            begun: false,
            last_sent: Instant::now(),
            progress: Box::pin(tokio::time::sleep(PROGRESS_INTERVAL)),
            stop_noticed: None,
        })
    }
}

impl Subscription {
    /// The next message; waits until there is one. `None` when the gateway stops
    /// and what was accepted is told, or the time for that is over:
    /// [`Subscription::cursor`] tells where to resume.
    ///
    /// # Errors
    /// As the log. The subscription may go on.
    pub async fn next(&mut self) -> Result<Option<SubscribeMessage>, Error> {
        if !self.begun {
            self.begun = true;
            let caught_up = self.next > self.hub.log.extent().last;
            return Ok(Some(self.message(None, caught_up)));
        }
        let mut turns = TimeSlices::begin();
        loop {
            // Before the newest record is looked up: what was accepted before the
            // stop is not missed.
            let stopping = self.hub.stopping.is_cancelled();
            let last = self.hub.log.extent().last;
            if stopping && self.is_over(last) {
                return Ok(None);
            }
            if self.next > last {
                if !self.told_caught_up {
                    return Ok(Some(self.message(None, true)));
                }
                if self.wait().await.is_break() {
                    let caught_up = self.next > self.hub.log.extent().last;
                    return Ok(Some(self.message(None, caught_up)));
                }
                continue;
            }
            let is_early = self.skip_early(last).await?;
            if is_early && self.last_sent.elapsed() >= PROGRESS_INTERVAL {
                return Ok(Some(self.message(None, self.next > last)));
            } else if is_early {
                turns.yield_now(&self.hub.turns).await;
                continue;
            }
            let message = match self.group.find(self.next, last) {
                Some(batch) => self.follow(batch),
                None => self.explore(last).await?,
            };
            if message.is_some() {
                return Ok(message);
            }
            if self.last_sent.elapsed() >= PROGRESS_INTERVAL {
                let caught_up = self.next > self.hub.log.extent().last;
                return Ok(Some(self.message(None, caught_up)));
            }
            turns.yield_now(&self.hub.turns).await;
        }
    }

    /// Skips records that were accepted too early. Whether all up to `last` were.
    async fn skip_early(&mut self, last: Sequence) -> Result<bool, Error> {
        let Some(since) = self.since else { return Ok(false) };
        let first = self.hub.log.accepted_since(since).await?;
        if first > self.next {
            self.advance(first, 0, 0);
        }
        let is_early = first > last;
        if !is_early {
            // Those that follow were accepted later.
            self.since = None;
        }
        Ok(is_early)
    }

    /// Whether a gateway that stops keeps this stream no longer.
    fn is_over(&mut self, last: Sequence) -> bool {
        let noticed = *self.stop_noticed.get_or_insert_with(Instant::now);
        self.next > last || noticed.elapsed() >= self.hub.last_read
    }

    /// Goes on with another query, from the record that is next.
    pub fn set_query(&mut self, query: ScanQuery) {
        self.waiter = self.hub.notifier.register(&query.filter);
        self.registration.set_waiter(Arc::clone(&self.waiter));
        self.group = self.hub.groups.join(&self.registration.filter_digest, query);
    }

    /// What it takes in memory, in bytes, about: its filter, what wakes it, and what is
    /// shown of it. Those who ask for the same share the filter; each is charged with it.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.group.query().filter.held_bytes()
            + self.waiter.held_bytes()
            + self.registration.held_bytes()
    }

    /// Covers everything that was sent.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.hub.identity(), self.next.previous())
    }

    /// Waits for new records that may match; breaks when it is time to tell the
    /// progress. Skips what does not match in either case.
    async fn wait(&mut self) -> ControlFlow<()> {
        loop {
            tokio::select! {
                // Records before progress, where both are due.
                biased;
                next = self.waiter.wait(self.next) => {
                    self.advance(next, 0, 0);
                    return ControlFlow::Continue(());
                }
                () = self.progress.as_mut() => {
                    let due = self.last_sent + PROGRESS_INTERVAL;
                    if due <= Instant::now() {
                        self.advance(self.waiter.skip(self.next), 0, 0);
                        return ControlFlow::Break(());
                    }
                    self.progress.as_mut().reset(due);
                }
            }
        }
    }

    /// Everything before `next` is dealt with.
    fn advance(&mut self, next: Sequence, records: u64, expression_errors: u64) {
        self.next = next;
        self.registration.advance(next.previous(), records, expression_errors);
        self.hub.counters.delivered.fetch_add(records, Ordering::Relaxed);
    }

    /// Takes what another one of the group has found.
    fn follow(&mut self, batch: CachedBatch) -> Option<SubscribeMessage> {
        let records = batch.message.as_ref().map_or(0, |message| message.records);
        self.advance(batch.next, records, batch.expression_errors);
        batch.message.inspect(|message| self.told(message.caught_up))
    }

    /// Reads on from the log, up to `last`. `None` if nothing is to be told.
    ///
    /// A message ends where the next record does not fit, at the newest record, before
    /// a gap, or when a time slice is over. It does not end where a run of the log does:
    /// where that is may depend on records that the subscriber may not read.
    async fn explore(&mut self, last: Sequence) -> Result<Option<SubscribeMessage>, Error> {
        // `self` changes behind the last await: whoever drops this future reads again
        // from the same place.
        let began = Instant::now();
        let (mut from, mut next) = (self.next, self.next);
        let mut gap = None;
        let mut records = RecordSlices::default();
        let mut expression_errors = 0;
        loop {
            let hint = ReadHint::matching(self.group.query(), ScanOrder::Ascending);
            let segment = match self.hub.log.read(next, hint).await? {
                None => break,
                Some(ReadResult::Records(segment)) => segment,
                Some(ReadResult::Damaged { .. }) if !records.is_empty() => break,
                Some(ReadResult::Damaged { first, last }) => {
                    return Ok(Some(self.skip_damaged(first, last)));
                }
            };
            let view = segment.view(last);
            if view.base > next {
                if !records.is_empty() {
                    break;
                }
                let last = view.base.previous();
                gap = Some(Gap { first: next, last, reason: GapReason::Evicted });
                (from, next) = (view.base, view.base);
            }
            let read = read(self.group.query(), &view, next, &mut records);
            next = read.next;
            expression_errors += read.expression_errors;
            let is_over = records.is_empty() || read.is_full || next > last;
            if is_over || began.elapsed() >= SLICE {
                break;
            }
        }
        self.gap = gap.or(self.gap.take());
        self.advance(next, records.count, expression_errors);
        let caught_up = next > last;
        let with_gap = self.gap.is_some();
        let message = (!records.is_empty() || with_gap)
            .then(|| self.message(Some(records).filter(|own| !own.is_empty()), caught_up));
        if !with_gap && next > from {
            self.group.keep(CachedBatch {
                from,
                next,
                is_newest: caught_up,
                expression_errors,
                message: message.clone(),
            });
        }
        Ok(message)
    }

    /// Goes on behind records that cannot be read.
    fn skip_damaged(&mut self, first: Sequence, last: Sequence) -> SubscribeMessage {
        // What precedes the damage was evicted: the damage is met again behind it.
        let (last, reason) = if first > self.next {
            (first.previous(), GapReason::Evicted)
        } else {
            (last, GapReason::Damaged)
        };
        self.gap = Some(Gap { first: self.next, last, reason });
        self.advance(last.next(), 0, 0);
        let caught_up = self.next > self.hub.log.extent().last;
        self.message(None, caught_up)
    }

    fn message(&mut self, records: Option<RecordSlices>, caught_up: bool) -> SubscribeMessage {
        let gap = self.gap.take();
        if let Some(gap) = &gap {
            self.hub.counters.gaps.increment(gap.reason);
        }
        self.told(caught_up);
        SubscribeMessage::new(records, gap, caught_up, self.cursor())
    }

    fn told(&mut self, caught_up: bool) {
        self.told_caught_up = caught_up;
        self.last_sent = Instant::now();
    }
}

/// How far a look at a run of the log has come.
struct Read {
    /// The next record to look at.
    next: Sequence,
    /// The record there does not fit the message.
    is_full: bool,
    expression_errors: u64,
}

/// Adds the matching records of a view from `next` on, as far as they fit the message.
fn read(
    query: &ScanQuery,
    view: &SegmentView<'_>,
    next: Sequence,
    records: &mut RecordSlices,
) -> Read {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut bytes = records.byte_size();
    let mut left = None;
    let mut stats = ScanStats::default();
    let range = view.position(next)..view.len();
    let scanned = query.scan(view, range, ScanOrder::Ascending, &mut stats, |position| {
        let frames = position..position + 1;
        let len = view.frames(frames.clone()).len();
        if bytes > 0 && bytes + len > MESSAGE_BYTES_MAX {
            left = Some(position);
            return ControlFlow::Break(());
        }
        bytes += len;
        match runs.last_mut() {
            Some(run) if run.end == frames.start => run.end = frames.end,
            _ => runs.push(frames),
        }
        ControlFlow::Continue(())
    });
    records.add(view, &runs);
    let next = match (left, scanned) {
        (Some(position), _) => view.sequence(position),
        (None, ScanEnd::Paused(position) | ScanEnd::Enough(position)) => {
            view.sequence(position).next()
        }
        (None, ScanEnd::Whole) => view.end(),
    };
    Read { next, is_full: left.is_some(), expression_errors: stats.expression_errors }
}
