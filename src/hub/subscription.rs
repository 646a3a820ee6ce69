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
use crate::hub::{Gap, GapReason, Hub, SubscribeMessage, SubscriptionStart, TimeSlices};
use crate::log::cursor::Cursor;
use crate::log::{Error, ReadHint, ReadResult, ScanEnd, ScanOrder, ScanQuery, ScanStats, Segment};
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
    /// As the log, where it has to be read to find the start.
    pub async fn subscribe(
        self: &Arc<Self>,
        query: ScanQuery,
        start: SubscriptionStart,
        subscriber: SubscriberState,
    ) -> Result<Subscription, Error> {
        let (next, gap) = self.resolve(start).await?;
        let waiter = self.notifier.register(&query.filter);
        let group = self.groups.join(&subscriber.filter, query);
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
                return Ok(Some(self.message(None, false)));
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
        self.group = self.hub.groups.join(&self.registration.filter, query);
    }

    /// Covers everything that was sent.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.hub.log.identity(), self.next.previous())
    }

    /// Waits for new records that may match; breaks when it is time to tell the
    /// progress. Skips what does not match in either case.
    async fn wait(&mut self) -> ControlFlow<()> {
        loop {
            tokio::select! {
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
    async fn explore(&mut self, last: Sequence) -> Result<Option<SubscribeMessage>, Error> {
        let hint = ReadHint::matching(self.group.query(), ScanOrder::Ascending);
        Ok(match self.hub.log.read(self.next, hint).await? {
            None => None,
            Some(ReadResult::Records(segment)) => self.read(&segment, last),
            Some(ReadResult::Damaged { first, last }) => Some(self.skip_damaged(first, last)),
        })
    }

    /// Reads on in one segment, up to `last`. `None` if nothing is to be told.
    fn read(&mut self, segment: &Segment, last: Sequence) -> Option<SubscribeMessage> {
        let view = segment.view(last);
        if view.base > self.next {
            // No gap is pending here: it goes with the message that follows it.
            self.gap = Some(Gap {
                first: self.next,
                last: view.base.previous(),
                reason: GapReason::Evicted,
            });
            self.next = view.base;
        }
        let from = self.next;
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        let mut count = 0;
        let mut left = None;
        let mut stats = ScanStats::default();
        let range = view.position(from)..view.len();
        let query = self.group.query();
        let scanned = query.scan(&view, range, ScanOrder::Ascending, &mut stats, |position| {
            let frame = view.frames(position..position + 1);
            if bytes > 0 && bytes + frame.len() > MESSAGE_BYTES_MAX {
                left = Some(position);
                return ControlFlow::Break(());
            }
            bytes += frame.len();
            count += 1;
            match runs.last_mut() {
                Some(run) if run.end == frame.start => run.end = frame.end,
                _ => runs.push(frame),
            }
            ControlFlow::Continue(())
        });
        let next = match (left, scanned) {
            (Some(position), _) => view.sequence(position),
            (None, ScanEnd::Paused(position) | ScanEnd::Enough(position)) => {
                view.sequence(position).next()
            }
            (None, ScanEnd::Whole) => view.end(),
        };
        self.advance(next, count, stats.expression_errors);
        let caught_up = next > last;
        let with_gap = self.gap.is_some();
        let message = if count > 0 {
            Some(self.message(Some(RecordSlices { segment, runs, count }), caught_up))
        } else {
            with_gap.then(|| self.message(None, caught_up))
        };
        if !with_gap {
            self.group.keep(CachedBatch {
                from,
                next,
                is_newest: caught_up,
                expression_errors: stats.expression_errors,
                message: message.clone(),
            });
        }
        message
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

    fn message(&mut self, records: Option<RecordSlices<'_>>, caught_up: bool) -> SubscribeMessage {
        let gap = self.gap.take();
        if let Some(gap) = &gap {
            self.hub.counters.gaps.add(gap.reason);
        }
        self.told(caught_up);
        SubscribeMessage::new(records, gap, caught_up, self.cursor())
    }

    fn told(&mut self, caught_up: bool) {
        self.told_caught_up = caught_up;
        self.last_sent = Instant::now();
    }
}
