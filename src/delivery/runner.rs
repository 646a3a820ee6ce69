//! Runs one delivery: reads the log as a subscription, fills batches, sends them, and moves the
//! cursor after the acknowledged records.

mod filling;
mod orders;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::delivery::control::DeliveryOrder;
use crate::delivery::dead_letters::DeadLetters;
use crate::delivery::format::Format;
use crate::delivery::shipper::Shipper;
use crate::delivery::state::{DeliveryPhase, DeliveryState};
use crate::delivery::state_file::{SavedState, StateFile};
use crate::delivery::window::{FlightId, FlightWindow};
use crate::delivery::{DeliveryConfig, DeliveryStart};
use crate::filter::Filter;
use crate::hub::{Hub, SubscriberState, Subscription, SubscriptionStart};
use crate::log::ScanQuery;
use crate::log::cursor::Cursor;
use crate::record::{GATEWAY_PRINCIPAL, Sequence};
use crate::time::Time;
use filling::Filling;

/// The wait after the log could not be read, or the cursor not be written.
const FAULT_WAIT: Duration = Duration::from_secs(1);
/// How often the end of the log is checked while the gateway stops.
const LAST_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// When a delivery is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Not yet.
    Run,
    /// When the batches in flight have arrived, or at this time.
    Settle(Instant),
    /// When all records of the log have arrived, or at this time.
    Drain(Instant),
}

/// One delivery.
pub struct Runner {
    pub(super) config: DeliveryConfig,
    pub(super) filter: Arc<Filter>,
    pub(super) hub: Arc<Hub>,
    pub(super) state: Arc<DeliveryState>,
    pub(super) file: StateFile,
    /// The state on disk.
    pub(super) saved: SavedState,
    /// Whether the state file exists.
    pub(super) is_saved: bool,
    pub(super) letters: Arc<Mutex<DeadLetters>>,
    pub(super) commands: mpsc::Receiver<DeliveryOrder>,
    pub(super) stop: watch::Receiver<StopRequest>,
    /// Wakes retention, which waits for the delivery.
    pub(super) progress: watch::Sender<()>,
}

/// A batch in flight.
type Flight = Pin<Box<dyn Future<Output = FlightId> + Send>>;
/// A running replay of dead letters.
type Replaying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One pass along the log from a start position.
struct FollowSession {
    subscription: Subscription,
    filling: Filling,
    window: FlightWindow,
    flights: FuturesUnordered<Flight>,
    /// Notes about the batches in flight, the oldest first.
    flying: Vec<FlightNote>,
    shipper: Arc<Shipper>,
    replaying: Option<Replaying>,
    /// When the end of the log is checked again, while the gateway stops.
    look_again: Option<Instant>,
    /// Whether the log could not be read.
    read_failed: bool,
}

/// Notes about a batch in flight.
struct FlightNote {
    id: FlightId,
    /// Memory that it holds, in bytes.
    bytes: usize,
    /// When its oldest record was accepted.
    accepted: Option<Time>,
}

/// How a session ends.
enum SessionEnd {
    /// Another one begins at the saved cursor.
    Restart,
    /// The delivery ends.
    Stop,
}

impl Runner {
    /// Runs until the delivery is to end.
    pub async fn run(mut self) {
        if self.await_decision().await.is_break() {
            return;
        }
        let format = self.config.format.format();
        loop {
            let mut session = match self.begin().await {
                Ok(session) => session,
                Err(why) => {
                    self.state.fail(DeliveryPhase::Retrying, why);
                    sleep(FAULT_WAIT).await;
                    if *self.stop.borrow() != StopRequest::Run {
                        break;
                    }
                    continue;
                }
            };
            let end = self.follow(&mut session, &*format).await;
            session.shipper.close().await;
            if matches!(end, SessionEnd::Stop) {
                break;
            }
        }
        self.state.fail(DeliveryPhase::Ended, "it was stopped".to_owned());
    }

    /// Begins at the saved cursor, or at the start of the configuration.
    async fn begin(&mut self) -> Result<FollowSession, String> {
        let cursor = match self.saved.cursor.as_str() {
            "" => None,
            text => Some(Cursor::parse(text).map_err(|error| format!("the saved cursor {error}"))?),
        };
        let start = match (cursor, self.config.start) {
            (Some(cursor), _) => SubscriptionStart::Cursor(cursor),
            (None, DeliveryStart::Earliest) => SubscriptionStart::Earliest,
            (None, DeliveryStart::Latest) => SubscriptionStart::Latest,
            (None, DeliveryStart::Since(time)) => SubscriptionStart::Since(time),
        };
        let peer = format!("delivery {}", self.config.name);
        let subscriber = SubscriberState::new(peer, &self.config.filter).named(GATEWAY_PRINCIPAL);
        let query = ScanQuery::new(Arc::clone(&self.filter));
        let subscription = self.hub.subscribe(query, start, subscriber).await;
        let subscription = subscription.map_err(|error| format!("cannot read the log: {error}"))?;
        let begun = subscription.cursor();
        // A cursor of another log is kept until the gap that it causes is reported.
        let is_of_this_log = cursor.is_none_or(|cursor| cursor.log_id == begun.log_id);
        if !self.is_saved && is_of_this_log {
            // So that a restart continues here, whatever `start` is then.
            self.save(begun).await;
        }
        self.state.set_position(begun.sequence);
        let shipper = Shipper::new(
            Arc::clone(&self.state),
            self.config.destination.clone(),
            self.config.format.item_kind(),
            Arc::clone(&self.letters),
        );
        Ok(FollowSession {
            subscription,
            filling: Filling::new(self.hub.identity(), cursor, self.saved.complete),
            window: FlightWindow::new(begun.sequence),
            flights: FuturesUnordered::new(),
            flying: Vec::new(),
            shipper: Arc::new(shipper),
            replaying: None,
            look_again: None,
            read_failed: false,
        })
    }

    async fn follow(&mut self, session: &mut FollowSession, format: &dyn Format) -> SessionEnd {
        let mut stop = self.stop.clone();
        loop {
            let request = *stop.borrow_and_update();
            let paused = self.state.control().paused;
            session.filling.fill(&self.config, &self.hub, format).await;
            self.depart(session, paused, request);
            self.show(session);
            if let Some(end) = self.ending(&session.window, request).await {
                return end;
            }
            let reads = !paused
                && session.filling.has_room(&self.config.batch)
                && !matches!(request, StopRequest::Settle(_));
            let due = session.filling.due(&self.config.batch);
            let has_seat = session.window.len() < self.config.in_flight;
            let waits = has_seat && !paused && !session.window.is_empty();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None => return SessionEnd::Stop,
                    Some(command) => {
                        if self.obey(command, session).await.is_break() {
                            return SessionEnd::Restart;
                        }
                    }
                },
                Some(id) = session.flights.next(), if !session.flights.is_empty() => {
                    session.flying.retain(|one| one.id != id);
                    if session.window.acknowledge(id) {
                        let (cursor, covered) = (session.subscription.cursor(), session.window.covered());
                        self.advance(cursor, covered).await;
                    }
                }
                () = ended(&mut session.replaying) => session.replaying = None,
                _ = stop.changed() => {}
                () = at(stop_time(request)) => {}
                () = at(session.look_again) => session.look_again = None,
                () = at(due), if waits => {}
                message = session.subscription.next(), if reads && session.look_again.is_none() => {
                    match message {
                        Ok(Some(message)) => {
                            if std::mem::take(&mut session.read_failed) {
                                self.state.recovered();
                            }
                            session.filling.take(message, &self.state);
                            self.skip(session).await;
                        }
                        Ok(None) => {
                            let end = session.subscription.cursor().sequence;
                            session.filling.reached_end(end);
                            self.skip(session).await;
                            session.look_again = Some(Instant::now() + LAST_LOOK_INTERVAL);
                        }
                        Err(error) => {
                            let why = format!("cannot read the log: {error}");
                            self.state.fail(DeliveryPhase::Retrying, why);
                            session.read_failed = true;
                            session.look_again = Some(Instant::now() + FAULT_WAIT);
                        }
                    }
                }
            }
        }
    }

    /// Sends the batch if it is due and the window has room.
    fn depart(&mut self, session: &mut FollowSession, paused: bool, request: StopRequest) {
        let has_seat = session.window.len() < self.config.in_flight;
        let is_last = matches!(request, StopRequest::Drain(_));
        let is_settling = matches!(request, StopRequest::Settle(_));
        let is_idle = session.window.is_empty();
        if paused
            || is_settling
            || !has_seat
            || !session.filling.is_due(&self.config.batch, is_idle, is_last)
        {
            return;
        }
        let filled = session.filling.finish();
        let id = session.window.depart(filled.through);
        let (shipper, state) = (Arc::clone(&session.shipper), Arc::clone(&self.state));
        let accepted = filled.batch.accepted_since();
        session.flying.push(FlightNote { id, bytes: filled.batch.held_bytes(), accepted });
        session.flights.push(Box::pin(async move {
            shipper.ship(filled.batch, filled.misfits).await;
            if let Some(accepted) = accepted {
                state.record_latency(accepted);
            }
            id
        }));
    }

    /// Moves the cursor over records that the filter excludes.
    async fn skip(&mut self, session: &mut FollowSession) {
        let Some(through) = session.filling.left_out() else { return };
        if session.window.skip(through) {
            self.advance(session.subscription.cursor(), through).await;
        }
    }

    /// Moves the cursor: every record up to `covered` is delivered or excluded.
    async fn advance(&mut self, cursor: Cursor, covered: Sequence) {
        self.save(Cursor { sequence: covered, ..cursor }).await;
        self.state.set_position(covered);
        self.progress.send_replace(());
        if covered >= self.hub.extent().last {
            self.state.set_caught_up();
        }
    }

    /// Writes the cursor, and retries until that succeeds. Otherwise a crash would repeat more than
    /// the batches in flight.
    async fn save(&mut self, cursor: Cursor) {
        self.saved.cursor = cursor.to_string();
        self.saved.complete = false;
        self.write().await;
    }

    async fn write(&mut self) {
        let mut failed = false;
        loop {
            let (file, saved) = (self.file.clone(), self.saved.clone());
            let written = tokio::task::spawn_blocking(move || file.write(&saved)).await;
            let error = match written {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            self.state.fail(DeliveryPhase::Blocked, format!("cannot write its cursor: {error}"));
            failed = true;
            sleep(FAULT_WAIT).await;
        }
        if failed {
            self.state.recovered();
        }
        self.is_saved = true;
    }

    fn show(&self, session: &FollowSession) {
        let flying = session.window.len();
        let bytes = session.flying.iter().map(|one| one.bytes).sum::<usize>();
        self.state.set_held(session.filling.held_bytes() + bytes, flying);
        // The notes are in the order of the log.
        let oldest = session.flying.first().and_then(|one| one.accepted);
        self.state.set_oldest(oldest.or_else(|| session.filling.oldest()));
    }

    /// How the session ends, if it does now.
    async fn ending(&mut self, window: &FlightWindow, request: StopRequest) -> Option<SessionEnd> {
        let deadline = stop_time(request)?;
        let is_idle = window.is_empty();
        let is_done = match request {
            StopRequest::Drain(_) => {
                let last = self.hub.extent().last;
                is_idle && window.covered() >= last
            }
            _ => is_idle,
        };
        // Waiting for an unavailable destination is useless.
        let is_hopeless = self.state.trouble().is_some() || self.state.control().paused;
        if !is_done && !is_hopeless && Instant::now() < deadline {
            return None;
        }
        if is_done && matches!(request, StopRequest::Drain(_)) {
            self.saved.complete = true;
            self.write().await;
        }
        Some(SessionEnd::Stop)
    }
}

/// Waits for the end of a replay.
async fn ended(replaying: &mut Option<Replaying>) {
    match replaying {
        Some(replaying) => replaying.await,
        None => std::future::pending().await,
    }
}

/// Waits until a time; for ever if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn stop_time(request: StopRequest) -> Option<Instant> {
    match request {
        StopRequest::Run => None,
        StopRequest::Settle(time) | StopRequest::Drain(time) => Some(time),
    }
}
