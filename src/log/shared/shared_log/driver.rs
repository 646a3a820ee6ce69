//! The task of a shared log: brings messages of the stream into the copy, and those of
//! this gateway into the stream.

mod announce;
mod apply;
mod condition;
mod epoch;
mod keepalive;
mod mark_schedule;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Core, SharedLogInner, Waiter};
use crate::log::shared::mark::FollowerMark;
use crate::log::shared::members::MEMBER_INTERVAL;
use crate::log::shared::message::{BodyEncoder, SharedMessage};
use crate::log::shared::publisher::{Ended, Publication};
use crate::log::shared::stream::{
    LIVE_ENTRIES_MAX, LiveReceiver, StreamEnds, StreamEntry, StreamError,
};
use crate::log::shared::window_file::WrittenPart;
use crate::log::{Sequencer as _, State, Store as _};
use condition::{Condition, Question};
use keepalive::Keepalive;
use mark_schedule::MarkSchedule;

/// A gateway whose messages are not taken tries again after so long.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// After so long, both ends of the stream are asked for.
const ENDS_INTERVAL: Duration = Duration::from_secs(2);
/// Between two attempts to get live messages.
const LIVE_PAUSE: Duration = Duration::from_millis(500);
/// An answer of the stream is waited for so long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Why the log has failed, in a sentence.
type Failure = String;

/// Drives a shared log until it is closed or fails.
pub struct Driver {
    inner: Arc<SharedLogInner>,
    encoder: BodyEncoder,
    /// What was asked of the stream.
    work: JoinSet<StreamReply>,
    /// So many messages of this gateway are applied, and not readable yet.
    committing: usize,
    live: Option<LiveReceiver>,
    is_live_asked: bool,
    live_at: Instant,
    ends_at: Instant,
    probe_at: Instant,
    /// When this gateway told the others of itself.
    told_at: Option<Instant>,
    condition: Condition,
    keepalive: Keepalive,
    /// The state that the copy has.
    mark: FollowerMark,
    marks: MarkSchedule,
}

/// What the stream has answered.
enum StreamReply {
    Published(u64, Result<u64, StreamError>),
    /// What is at a position where an answer says that a message of this gateway is.
    Looked(u64, Result<Vec<StreamEntry>, StreamError>),
    Read(Option<Vec<StreamEntry>>),
    Live(Result<LiveReceiver, StreamError>),
    Ends(Question, Result<StreamEnds, StreamError>),
    Marked(Option<WrittenPart>),
    Readable,
}

impl Driver {
    pub fn new(inner: Arc<SharedLogInner>, mark: FollowerMark) -> Self {
        let now = Instant::now();
        let age_max = inner.stream.report().age_max;
        let keepalive = Keepalive::new(age_max, super::random(), now);
        Self {
            inner,
            encoder: BodyEncoder::default(),
            work: JoinSet::new(),
            committing: 0,
            live: None,
            is_live_asked: false,
            live_at: now,
            ends_at: now,
            probe_at: now,
            told_at: None,
            condition: Condition::new(mark.joined),
            keepalive,
            mark,
            marks: MarkSchedule::new(now),
        }
    }

    pub async fn run(mut self) {
        let outcome = loop {
            match self.round().await {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(failure) => break Err(failure),
            }
            if let Err(failure) = self.wait().await {
                break Err(failure);
            }
        };
        self.finish(outcome).await;
    }

    /// Does what is due. Returns whether the log is closed and nothing is on its way.
    async fn round(&mut self) -> Result<bool, Failure> {
        loop {
            let entry = self.inner.lock().tail.pop(Instant::now());
            let Some(entry) = entry else { break };
            self.apply(entry).await?;
        }
        let inner = Arc::clone(&self.inner);
        let is_closing = inner.is_closing.load(Ordering::Acquire);
        let now = Instant::now();
        let mut ended = Vec::new();
        let mut publications = self.publish_units(now, &mut ended);
        let read = {
            let mut core = inner.lock();
            let core = &mut *core;
            publications.extend(core.publisher.repeats_due(now));
            if let Some(why) = core.publisher.give_up(now, &mut ended) {
                core.publisher.refuse_pending(&StreamError::Unknown(why.clone()), &mut ended);
                self.condition.is_away(why);
            }
            let is_idle = core.publisher.in_flight() == 0;
            if is_idle && !is_closing && self.condition.wants_probe() && self.probe_at <= now {
                self.probe_at = now + PROBE_INTERVAL;
                publications.push(core.publisher.probe(*inner.applied.borrow(), now));
            }
            let is_quiet = is_idle && !is_closing && !self.condition.wants_probe();
            if is_quiet && publications.is_empty() && self.keepalive.take_due(now) {
                publications.push(core.publisher.probe(*inner.applied.borrow(), now));
            }
            if !is_closing {
                publications.extend(self.announcements(core, now));
            }
            self.condition.is_behind(&core.tail, inner.settings.window.messages / 2);
            core.tail.read_due(now)
        };
        inner.end(ended);
        self.show_condition();
        for publication in publications {
            self.publish(publication);
        }
        if let Some(read) = read {
            let stream = Arc::clone(&inner.stream);
            self.work.spawn(async move {
                StreamReply::Read(in_time(stream.read(read.from, read.from_leader)).await.ok())
            });
        }
        self.ask(now);
        let core = inner.lock();
        let is_done = core.publisher.in_flight() == 0 && core.publisher.pending() == 0;
        Ok(is_closing && is_done && self.committing == 0)
    }

    /// The messages with units that wait. Appends go on while they are compressed.
    fn publish_units(&mut self, now: Instant, ended: &mut Ended<Waiter>) -> Vec<Publication> {
        let mut publications = Vec::new();
        loop {
            let group = {
                let machine = self.inner.machine.lock();
                self.inner.lock().publisher.next_group(|basis| machine.is_old(basis), now, ended)
            };
            let Some(group) = group else { return publications };
            let sealed = group.seal(&self.inner.keys, &mut self.encoder);
            publications.push(self.inner.lock().publisher.publish(sealed, now));
        }
    }

    fn publish(&mut self, publication: Publication) {
        let Publication { counter, bytes } = publication;
        let stream = Arc::clone(&self.inner.stream);
        self.work.spawn(async move {
            StreamReply::Published(counter, in_time(stream.append(bytes)).await)
        });
    }

    /// Asks for live messages, the ends of the stream, and for the mark to be written.
    fn ask(&mut self, now: Instant) {
        let inner = &self.inner;
        if self.live.is_none() && !self.is_live_asked && self.live_at <= now {
            self.is_live_asked = true;
            let stream = Arc::clone(&inner.stream);
            self.work.spawn(async move { StreamReply::Live(stream.live().await) });
        }
        if self.ends_at <= now {
            self.ends_at = now + ENDS_INTERVAL;
            let stream = Arc::clone(&inner.stream);
            let question = Question { asked: now, applied: inner.machine.lock().state().position };
            self.work
                .spawn(async move { StreamReply::Ends(question, in_time(stream.ends()).await) });
        }
        if self.marks.due() <= now {
            let synced = inner.disk.extent().synced.0;
            let next = self.marks.take_due(now, synced, &self.mark, &inner.machine.lock());
            if let Some(marking) = next {
                let inner = Arc::clone(inner);
                self.work.spawn_blocking(move || {
                    StreamReply::Marked(marking.write(&*inner.storage, &inner.directory))
                });
            }
        }
    }

    /// Waits until something happens or is due.
    async fn wait(&mut self) -> Result<(), Failure> {
        let due = {
            let core = self.inner.lock();
            let due = [core.tail.wake_at(), core.publisher.wake_at()];
            let own = [self.ends_at, self.marks.due()].into_iter();
            let live = (self.live.is_none() && !self.is_live_asked).then_some(self.live_at);
            let probe = self.condition.wants_probe().then_some(self.probe_at);
            let keepalive = self.keepalive.wake_at();
            let soon = Instant::now() + LIVE_PAUSE;
            let told = self.told_at.map(|told| (told + MEMBER_INTERVAL).max(soon));
            let later = probe.into_iter().chain(keepalive).chain(told);
            due.into_iter().flatten().chain(own).chain(live).chain(later).min()
        };
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(ENDS_INTERVAL).max(Duration::from_millis(1));
        let live = async {
            match &mut self.live {
                Some(live) => live.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            entry = live => self.take_live(entry),
            Some(answer) = self.work.join_next() => {
                // A task that has panicked has been printed.
                if let Ok(answer) = answer {
                    self.take_answer(answer)?;
                }
            }
            () = self.inner.wake.notified() => {}
            () = tokio::time::sleep(left) => {}
        }
        Ok(())
    }

    fn take_live(&mut self, entry: Option<StreamEntry>) {
        let now = Instant::now();
        let mut core = self.inner.lock();
        let Some(entry) = entry else {
            (self.live, self.live_at) = (None, now + LIVE_PAUSE);
            return;
        };
        core.tail.live(entry, now);
        let Some(live) = &mut self.live else { return };
        for _ in 0..LIVE_ENTRIES_MAX {
            let Some(entry) = live.try_recv() else { break };
            core.tail.live(entry, now);
        }
    }

    fn take_answer(&mut self, answer: StreamReply) -> Result<(), Failure> {
        let now = Instant::now();
        let inner = Arc::clone(&self.inner);
        match answer {
            StreamReply::Published(counter, Ok(position)) => {
                let origin = inner.machine.lock().origin(position);
                let mut core = inner.lock();
                let own = (core.publisher.sender(), counter);
                if origin.is_some_and(|origin| origin != own) {
                    // Whoever may publish can have the answer to a message sent to others.
                    let stream = Arc::clone(&inner.stream);
                    self.work.spawn(async move {
                        StreamReply::Looked(position, in_time(stream.read(position, true)).await)
                    });
                } else {
                    core.publisher.stored(counter);
                    core.tail.told(position, now);
                }
            }
            StreamReply::Looked(position, Ok(entries)) => self.compare_with(position, &entries)?,
            // The message is published again, and the answer tells again.
            StreamReply::Looked(_, Err(_)) => {}
            StreamReply::Published(counter, Err(error)) => {
                if let StreamError::Full(why) = &error {
                    self.condition.is_full(why.clone());
                }
                let ended = inner.lock().publisher.failed(counter, error, now);
                inner.end(ended);
            }
            StreamReply::Read(entries) => {
                let done = inner.lock().tail.read_done(entries, now);
                done.map_err(|removed| removed.to_string())?;
            }
            StreamReply::Live(live) => {
                self.is_live_asked = false;
                self.live_at = now + LIVE_PAUSE;
                self.live = live.ok();
            }
            StreamReply::Ends(question, Ok(ends)) => {
                inner.lock().tail.told(ends.last, now);
                self.condition.ends(ends, question, now)?;
                let report = inner.stream.report();
                self.keepalive.follow(report.age_max, now);
                if let Some(time) = report.kept_since {
                    inner.disk.keep_since(time);
                }
            }
            StreamReply::Ends(_, Err(StreamError::Unfit(why))) => self.condition.is_unfit(why),
            StreamReply::Ends(_, Err(StreamError::Refused(why))) => {
                self.condition.is_refused(why, now)?
            }
            StreamReply::Ends(
                question,
                Err(StreamError::Unknown(why) | StreamError::Full(why)),
            ) => {
                self.condition.is_unanswered(why, question, now);
            }
            StreamReply::Marked(written) => {
                self.marks.wrote(written);
            }
            StreamReply::Readable => self.committing -= 1,
        }
        Ok(())
    }

    /// Compares the message at a position with the one that was applied there.
    fn compare_with(&self, position: u64, entries: &[StreamEntry]) -> Result<(), Failure> {
        let found = entries.first().filter(|entry| entry.position == position);
        let Some(applied) = self.inner.machine.lock().origin(position) else { return Ok(()) };
        let Some(found) = found else { return Ok(()) };
        let message = SharedMessage::decode(&found.bytes, &self.inner.keys);
        match message.is_ok_and(|message| (message.sender, message.counter) == applied) {
            true => Ok(()),
            false => Err(format!(
                "the stream has another message at position {position} than the one that this \
                 gateway has applied: it was rolled back or made anew; nothing is changed until an \
                 operator accepts the loss (auditgate cluster accept-loss)"
            )),
        }
    }

    /// Tells all what the log's state is, if that is news.
    fn show_condition(&self) {
        let state = self.condition.state();
        self.inner.state.send_if_modified(|shown| {
            let is_news = *shown != state;
            if is_news {
                *shown = state;
            }
            is_news
        });
    }

    /// Closes the copy, and notes what it has.
    async fn finish(mut self, outcome: Result<(), Failure>) {
        let inner = Arc::clone(&self.inner);
        let why = match outcome {
            Ok(()) => "the log is closed".to_owned(),
            Err(why) => {
                inner.state.send_replace(State::Failed(why.clone()));
                why
            }
        };
        inner.is_closing.store(true, Ordering::Release);
        let mut ended = Vec::new();
        inner.lock().publisher.end(&StreamError::Refused(why), &mut ended);
        inner.end(ended);
        self.work.shutdown().await;
        inner.disk.close().await;
        let synced = inner.disk.extent().synced.0;
        let last = self.marks.last(synced, &self.mark, &inner.machine.lock());
        if let Some(last) = last {
            let write = move || last.write(&*inner.storage, &inner.directory);
            // What was noted before is still right.
            let _ = tokio::task::spawn_blocking(write).await;
        }
    }
}

/// The answer of the stream, if it comes in time.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    let late = |_| Err(StreamError::Unknown("the stream does not answer".to_owned()));
    tokio::time::timeout(ANSWER_TIME_MAX, answer).await.unwrap_or_else(late)
}
