//! One subscriber's way along the log: from history into what is accepted
//! later, at its own pace.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::hub::subscribers::{Registration, Subscriber};
use crate::hub::{Gap, GapReason, Hub, Turns};
use crate::log::cursor::Cursor;
use crate::log::{Error, Found, Order, Query, Scanned, Segment, Tally, Want};
use crate::record::Sequence;
use crate::time::Time;

/// The most bytes of records in one message; one larger record alone excepted.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// After so long without a message, one tells how far the stream has come: it
/// must reach the subscriber within ten seconds.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(9);
/// How long a stream that is behind goes on at most when the gateway stops: a log in
/// memory is gone afterwards, so who reads gets what was accepted.
pub const LAST_READ_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest record.
    Latest,
    /// At the oldest record kept.
    Earliest,
    /// At the first record accepted at this time or later.
    Since(Time),
    /// Behind what a cursor covers.
    Cursor(Cursor),
}

/// What a subscriber is sent at once.
pub struct Message {
    /// The records that match, as ranges of the bytes of one segment.
    pub records: Option<(Arc<Segment>, Vec<Range<usize>>)>,
    /// Records that the subscriber did not get; they precede those above.
    pub gap: Option<Gap>,
    /// The newest record was reached.
    pub caught_up: bool,
    /// Covers this message and all before it.
    pub cursor: Cursor,
}

/// One subscriber's stream.
pub struct Subscription {
    hub: Arc<Hub>,
    query: Query,
    registration: Registration,
    changes: watch::Receiver<()>,
    /// The next record to look at. Across an await this is all that is held: a
    /// stuck subscriber keeps no segment alive.
    next: Sequence,
    /// To be told with the next message.
    gap: Option<Gap>,
    /// The last message said that the newest record was reached.
    told_caught_up: bool,
    begun: bool,
    last_sent: Instant,
    /// When the stream noticed that the gateway stops.
    stop_noticed: Option<Instant>,
}

impl Hub {
    /// Opens a subscription.
    ///
    /// # Errors
    /// As the log, where it has to be read to find the start.
    pub async fn subscribe(
        self: &Arc<Self>,
        query: Query,
        start: Start,
        subscriber: Subscriber,
    ) -> Result<Subscription, Error> {
        // Before the start is determined: whatever comes later is noticed.
        let changes = self.log.changes();
        let (next, gap) = self.resolve(start).await?;
        let registration = self.subscribers.register(subscriber);
        registration.advance(next.previous(), 0, 0);
        Ok(Subscription {
            hub: Arc::clone(self),
            query,
            registration,
            changes,
            next,
            gap,
            told_caught_up: false,
            begun: false,
            last_sent: Instant::now(),
            stop_noticed: None,
        })
    }

    /// The first record to look at, and what is missing before it.
    async fn resolve(&self, start: Start) -> Result<(Sequence, Option<Gap>), Error> {
        let extent = self.log.extent();
        Ok(match start {
            Start::Latest => (extent.last.next(), None),
            Start::Earliest => (extent.first, None),
            Start::Since(time) => {
                let next = self.log.accepted_since(time).await?;
                // Looked up after that: what was evicted meanwhile counts as lost.
                let extent = self.log.extent();
                // How many of those evicted were accepted since then is not known.
                let lost =
                    next <= extent.first && extent.evicted_until.is_some_and(|until| until >= time);
                let gap = Gap {
                    first: Sequence::ZERO,
                    last: extent.first.previous(),
                    reason: GapReason::Evicted,
                };
                if lost { (extent.first, Some(gap)) } else { (next, None) }
            }
            Start::Cursor(cursor) => {
                let identity = self.log.identity();
                if cursor.log_id != identity.id {
                    let gap = Gap {
                        first: Sequence::ZERO,
                        last: Sequence::ZERO,
                        reason: GapReason::OtherLog,
                    };
                    (extent.first, Some(gap))
                } else if let Some(kept) = self.lost_behind(cursor, extent.last) {
                    let gap = Gap {
                        first: kept.next(),
                        last: cursor.sequence,
                        reason: GapReason::RolledBack,
                    };
                    (kept.next(), Some(gap))
                } else {
                    // What was evicted meanwhile is noticed when it is read.
                    (cursor.sequence.next(), None)
                }
            }
        })
    }

    /// The last record that is left of what a cursor covers, if the newest of it
    /// was lost.
    fn lost_behind(&self, cursor: Cursor, last: Sequence) -> Option<Sequence> {
        let kept = self.log.kept_of_epoch(cursor.epoch).unwrap_or(last).min(last);
        (cursor.sequence > kept).then_some(kept)
    }
}

impl Subscription {
    /// The next message; waits until there is one. `None` when the gateway stops
    /// and what was accepted is told, or the time for that is over:
    /// [`Subscription::cursor`] tells where to resume.
    ///
    /// # Errors
    /// As the log. The subscription may go on.
    pub async fn next(&mut self) -> Result<Option<Message>, Error> {
        if !self.begun {
            self.begun = true;
            let caught_up = self.next > self.hub.log.extent().last;
            return Ok(Some(self.message(None, caught_up)));
        }
        let mut turns = Turns::new();
        loop {
            self.changes.mark_unchanged();
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
                    return Ok(Some(self.message(None, true)));
                }
                continue;
            }
            let want = Want::matching(&self.query, Order::Ascending);
            let message = match self.hub.log.read(self.next, want).await? {
                None => continue,
                Some(Found::Records(segment)) => self.read(segment, last),
                Some(Found::Damaged { first, last }) => Some(self.skip_damaged(first, last)),
            };
            if message.is_some() {
                return Ok(message);
            }
            if self.last_sent.elapsed() >= PROGRESS_INTERVAL {
                return Ok(Some(self.message(None, false)));
            }
            turns.pass(&self.hub.turns).await;
        }
    }

    /// Whether a gateway that stops keeps this stream no longer.
    fn is_over(&mut self, last: Sequence) -> bool {
        let noticed = *self.stop_noticed.get_or_insert_with(Instant::now);
        self.next > last || noticed.elapsed() >= self.hub.last_read
    }

    /// Covers everything that was sent.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.hub.log.identity(), self.next.previous())
    }

    /// Waits for new records; breaks when it is time to tell the progress.
    async fn wait(&mut self) -> ControlFlow<()> {
        let progress = self.last_sent + PROGRESS_INTERVAL;
        tokio::select! {
            changed = self.changes.changed() => match changed {
                Ok(()) => ControlFlow::Continue(()),
                // The log is gone; the hub is about to be.
                Err(_) => ControlFlow::Break(()),
            },
            () = self.hub.stopping.cancelled() => ControlFlow::Continue(()),
            () = tokio::time::sleep_until(progress) => ControlFlow::Break(()),
        }
    }

    /// Reads on in one segment, up to `last`. `None` if nothing is to be told.
    fn read(&mut self, segment: Arc<Segment>, last: Sequence) -> Option<Message> {
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
        let from = view.position(self.next);
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        let mut records = 0;
        let mut left = None;
        let mut tally = Tally::default();
        let scanned =
            self.query.scan(&view, from..view.len(), Order::Ascending, &mut tally, |position| {
                let frame = view.frames(position..position + 1);
                if bytes > 0 && bytes + frame.len() > MESSAGE_BYTES_MAX {
                    left = Some(position);
                    return ControlFlow::Break(());
                }
                bytes += frame.len();
                records += 1;
                match runs.last_mut() {
                    Some(run) if run.end == frame.start => run.end = frame.end,
                    _ => runs.push(frame),
                }
                ControlFlow::Continue(())
            });
        self.next = match (left, scanned) {
            (Some(position), _) => view.sequence(position),
            (None, Scanned::Paused(position) | Scanned::Enough(position)) => {
                view.sequence(position).next()
            }
            (None, Scanned::Whole) => view.end(),
        };
        self.registration.advance(self.next.previous(), records, tally.expression_errors);
        self.hub.counters.delivered.fetch_add(records, Ordering::Relaxed);
        let caught_up = self.next > self.hub.log.extent().last;
        if records > 0 {
            Some(self.message(Some((segment, runs)), caught_up))
        } else if self.gap.is_some() {
            Some(self.message(None, caught_up))
        } else {
            None
        }
    }

    /// Goes on behind records that cannot be read.
    fn skip_damaged(&mut self, first: Sequence, last: Sequence) -> Message {
        // What precedes the damage was evicted: the damage is met again behind it.
        let (last, reason) = if first > self.next {
            (first.previous(), GapReason::Evicted)
        } else {
            (last, GapReason::Damaged)
        };
        self.gap = Some(Gap { first: self.next, last, reason });
        self.next = last.next();
        self.registration.advance(last, 0, 0);
        let caught_up = self.next > self.hub.log.extent().last;
        self.message(None, caught_up)
    }

    fn message(
        &mut self,
        records: Option<(Arc<Segment>, Vec<Range<usize>>)>,
        caught_up: bool,
    ) -> Message {
        let gap = self.gap.take();
        if gap.is_some() {
            self.hub.counters.gaps.fetch_add(1, Ordering::Relaxed);
        }
        self.told_caught_up = caught_up;
        self.last_sent = Instant::now();
        Message { records, gap, caught_up, cursor: self.cursor() }
    }
}
