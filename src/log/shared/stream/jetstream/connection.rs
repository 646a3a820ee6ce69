//! A connection to NATS that tells at once when it was lost, or when the servers refuse what was
//! asked: that is not answered then, and waiting for it would only take time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use async_nats::{
    Client, Event, ReconnectToServer, RequestError, RequestErrorKind, Server, ServerError,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::REQUEST_TIME_MAX;
use crate::log::shared::stream::StreamError;

/// So many refusals are remembered, of at most so many bytes each.
const REFUSALS_MAX: usize = 8;
const REFUSAL_BYTES_MAX: usize = 256;

/// What happened to a connection.
#[derive(Debug, Clone)]
pub struct ConnectionEvents(Arc<Events>);

#[derive(Debug)]
struct Events {
    /// How often it was lost.
    losses: watch::Sender<u64>,
    /// How often the servers refused something.
    refused: watch::Sender<u64>,
    /// What they refuse since the connection was made.
    refusals: Mutex<BTreeSet<String>>,
    /// The server was left: which one comes next is not up to the client library, which would
    /// take it again, since it has not failed.
    is_moving: AtomicBool,
    /// So often one was left.
    moves: AtomicUsize,
}

impl ConnectionEvents {
    pub fn new() -> Self {
        Self(Arc::new(Events {
            losses: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            refusals: Mutex::default(),
            is_moving: AtomicBool::new(false),
            moves: AtomicUsize::new(0),
        }))
    }

    /// Notes an event.
    pub fn see(&self, event: &Event) {
        match event {
            Event::Disconnected | Event::Closed => {
                self.0.losses.send_modify(|count| *count += 1);
            }
            Event::Connected => self.0.refusals.lock().clear(),
            Event::ServerError(ServerError::Other(why)) if is_violation(why) => {
                let shown = crate::text::prefix(why, REFUSAL_BYTES_MAX).chars();
                let why = shown.map(|letter| if letter.is_control() { '?' } else { letter });
                let why: String = why.collect();
                let mut refusals = self.0.refusals.lock();
                if refusals.len() < REFUSALS_MAX {
                    refusals.insert(why);
                }
                drop(refusals);
                self.0.refused.send_modify(|count| *count += 1);
            }
            _ => {}
        }
    }

    /// Where to connect after a server was left: to each of the servers in turn. `None` leaves it
    /// to the client library.
    pub fn next_server(&self, servers: &[Server]) -> Option<ReconnectToServer> {
        if !self.0.is_moving.swap(false, Relaxed) {
            return None;
        }
        let turn = self.0.moves.fetch_add(1, Relaxed).checked_rem(servers.len())?;
        let addr = servers.get(turn)?.addr.clone();
        Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) })
    }

    /// What the servers refuse, in sentences.
    fn refusals(&self) -> Vec<String> {
        let refusals = self.0.refusals.lock();
        let told = |why: &String| {
            format!(
                "NATS refuses its user what is needed here ({why}): a gateway needs the permissions in nats-permissions.conf, which `auditgate cluster init` writes; making a stream needs more"
            )
        };
        refusals.iter().map(told).collect()
    }
}

/// Whether an error of the server is about what the user may do.
fn is_violation(why: &str) -> bool {
    why.to_ascii_lowercase().starts_with("permissions violation")
}

/// A client, and what happened to its connection.
pub struct NatsConnection {
    pub client: Client,
    events: ConnectionEvents,
}

impl NatsConnection {
    pub fn new(client: Client, events: ConnectionEvents) -> Self {
        Self { client, events }
    }

    /// The answer, unless the connection is lost or the servers refuse something before it comes.
    pub async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, StreamError>>,
    ) -> Result<T, StreamError> {
        let mut losses = self.events.0.losses.subscribe();
        let mut refused = self.events.0.refused.subscribe();
        tokio::select! {
            answer = asked => answer,
            _ = losses.changed() => {
                Err(StreamError::Unknown("the connection to the server was lost".to_owned()))
            }
            _ = refused.changed() => {
                let why = self.events.refusals().pop();
                Err(StreamError::Unknown(why.unwrap_or_else(|| "NATS refuses it".to_owned())))
            }
        }
    }

    /// How often it was lost.
    pub fn losses(&self) -> u64 {
        *self.events.0.losses.borrow()
    }

    /// Leaves the server, and connects to the next one.
    pub async fn move_on(&self) {
        self.events.0.is_moving.store(true, Relaxed);
        // It fails if the client has ended.
        let _ = self.client.force_reconnect().await;
    }

    /// What the servers refuse since the connection was made, in sentences.
    pub fn refusals(&self) -> Vec<String> {
        self.events.refusals()
    }

    /// The server to which it is connected; empty while it is not.
    pub fn server_name(&self) -> String {
        match self.client.connection_state() {
            async_nats::connection::State::Connected => self.client.server_info().server_name,
            async_nats::connection::State::Pending
            | async_nats::connection::State::Disconnected => String::new(),
        }
    }
}

/// A server that finds no leader for so long may be cut off from the others: elections are shorter.
const LEADERLESS_TIME_MAX: Duration = Duration::from_secs(12);

/// Since when the server knows no leader of the stream.
#[derive(Debug, Default)]
pub struct LeaderWatch(Option<Instant>);

impl LeaderWatch {
    /// Notes whether there is a leader. Returns whether another server should be asked: a
    /// connection to a server that the others do not reach stays open, and nothing comes of it.
    pub fn is_lost(&mut self, is_led: bool, now: Instant) -> bool {
        if is_led {
            self.0 = None;
            return false;
        }
        let is_lost = now >= *self.0.get_or_insert(now) + LEADERLESS_TIME_MAX;
        if is_lost {
            // The next one has as much time.
            self.0 = Some(now);
        }
        is_lost
    }
}

/// Why a request about a stream has no answer, in words.
pub fn unanswered(error: &RequestError) -> String {
    match error.kind() {
        RequestErrorKind::NoResponders => {
            "no server answers for the stream: a majority of its servers must run, with JetStream enabled"
                .to_owned()
        }
        RequestErrorKind::TimedOut => {
            format!("no answer within {} s", REQUEST_TIME_MAX.as_secs())
        }
        RequestErrorKind::InvalidSubject
        | RequestErrorKind::MaxPayloadExceeded
        | RequestErrorKind::Other => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_leader_is_left_after_a_while() {
        let begun = Instant::now();
        let mut watch = LeaderWatch::default();
        let mut is_lost =
            |is_led, seconds| watch.is_lost(is_led, begun + Duration::from_secs(seconds));
        assert!(!is_lost(false, 0) && !is_lost(false, 11), "an election");
        assert!(!is_lost(true, 12) && !is_lost(false, 13) && !is_lost(false, 24));
        assert!(is_lost(false, 25));
        assert!(!is_lost(false, 26) && is_lost(false, 37), "the next one, too");
    }

    #[test]
    fn what_the_servers_refuse_is_told_and_bounded() {
        let events = ConnectionEvents::new();
        let refuse = |why: String| events.see(&Event::ServerError(ServerError::Other(why)));
        refuse("Stale Connection".into());
        assert!(events.refusals().is_empty());
        refuse("Permissions Violation for Publish to \"a\u{1b}\"".into());
        let [told] = &events.refusals()[..] else { panic!("one refusal") };
        assert!(told.contains("Publish to") && !told.contains('\u{1b}'), "{told}");
        for number in 0..100 {
            refuse(format!("permissions violation {number} {}", "x".repeat(10_000)));
        }
        let all = events.refusals();
        assert!(all.len() == REFUSALS_MAX && all.iter().all(|told| told.len() < 600));
        events.see(&Event::Disconnected);
        assert_eq!((*events.0.losses.borrow(), *events.0.refused.borrow()), (1, 101));
        events.see(&Event::Connected);
        assert!(events.refusals().is_empty());
    }
}
