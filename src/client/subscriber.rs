//! Follows the log across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use prost_types::Timestamp;
use tokio::time::Instant;
use tonic::Streaming;

use crate::client::servers::Attempts;
use crate::client::{CALL_TIME_MAX, Client, Error, Refusal, rpc};
use crate::proto::pb;
use crate::proto::pb::subscribe_request::Start as Requested;

/// The time after which a silent connection is dropped. A gateway sends a response at least
/// every ten seconds.
pub const SILENCE_TIME_MAX: Duration = Duration::from_secs(30);

/// Where to start.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// After the newest record: only records accepted from now on.
    Latest,
    /// At the oldest stored record.
    Earliest,
    /// At the first record accepted at this time or later.
    Since(Timestamp),
    /// After the records that a cursor covers: [`Item::Checkpoint`], or
    /// [`Results::cursor`](crate::client::Results::cursor).
    Cursor(String),
}

/// An item of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A record that matches.
    Record(Box<pb::Record>),
    /// Records that this subscriber will not get.
    Gap(pb::Gap),
    /// The newest record was reached; later records are live.
    CaughtUp,
    /// This cursor covers all items so far. Store it after you have handled them; a restarted
    /// subscriber resumes after them.
    Checkpoint(String),
    /// The connection is lost. The subscriber reconnects; it misses no record without a gap.
    Lost {
        /// The error.
        reason: Refusal,
        /// The delay before the next attempt.
        retry_in: Duration,
        /// The URL of the gateway that is tried next, if that is another one of several.
        next: Option<String>,
    },
    /// The connection is re-established.
    Regained,
}

/// An endless stream of items. After a lost connection, it resumes where it stopped.
///
/// # Examples
///
/// ```no_run
/// use auditgate::client::{Client, Item, Start};
/// # fn handle(record: &auditgate::proto::pb::Record) {}
///
/// # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let start = match std::fs::read_to_string("cursor") {
///     Ok(cursor) => Start::Cursor(cursor),
///     Err(_) => Start::Earliest,
/// };
/// let mut subscriber = client.subscribe(Default::default(), start);
/// loop {
///     match subscriber.next().await? {
///         Item::Record(record) => handle(&record),
///         Item::Gap(gap) => eprintln!("missed {}..={}", gap.first_sequence, gap.last_sequence),
///         Item::Checkpoint(cursor) => std::fs::write("cursor", cursor)?,
///         Item::Lost { reason, .. } => eprintln!("connection lost: {reason}"),
///         Item::CaughtUp | Item::Regained => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Subscriber {
    client: Client,
    filter: pb::Filter,
    start: Start,
    /// The gateway in use.
    server: usize,
    /// The gateway that returned the cursor.
    given_by: Option<usize>,
    ready: VecDeque<Item>,
    state: StreamState,
    pace: Attempts,
    lost: bool,
}

#[derive(Debug)]
enum StreamState {
    /// Connects at this time.
    Waiting(Instant),
    Open(Box<Streaming<pb::SubscribeResponse>>),
}

impl Subscriber {
    pub(super) fn new(client: Client, filter: pb::Filter, start: Start) -> Self {
        Self {
            server: client.servers.current(),
            client,
            filter,
            start,
            given_by: None,
            ready: VecDeque::new(),
            state: StreamState::Waiting(Instant::now()),
            pace: Attempts::new(),
            lost: false,
        }
    }

    /// The next item; waits until there is one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] if the gateway refuses the filter or the start, or, of several
    /// gateways, has another log than the one that gave the cursor. An unreachable
    /// gateway is not an error but [`Item::Lost`], any number of times: the caller decides when
    /// to give up.
    pub async fn next(&mut self) -> Result<Item, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            let met = match &mut self.state {
                StreamState::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    self.open().await
                }
                StreamState::Open(stream) => {
                    receive(stream).await.and_then(|message| self.take(message))
                }
            };
            if let Err(refusal) = met {
                self.lose(refusal)?;
            }
        }
    }

    /// Where the next connection starts.
    fn request(&self) -> pb::SubscribeRequest {
        let start = match &self.start {
            Start::Latest => Requested::Position(pb::Position::Latest.into()),
            Start::Earliest => Requested::Position(pb::Position::Earliest.into()),
            Start::Since(time) => Requested::Since(*time),
            Start::Cursor(cursor) => Requested::Cursor(cursor.clone()),
        };
        pb::SubscribeRequest { filter: Some(self.filter.clone()), start: Some(start) }
    }

    async fn open(&mut self) -> Result<(), Refusal> {
        let servers = &self.client.servers;
        self.server = servers.current();
        servers.check(self.server).await?;
        let mut rpc = rpc(servers.transport(self.server));
        let opened = tokio::time::timeout(CALL_TIME_MAX, rpc.subscribe(self.request())).await;
        let stream = opened.map_err(|_| Refusal::timed_out(CALL_TIME_MAX))??.into_inner();
        self.state = StreamState::Open(Box::new(stream));
        Ok(())
    }

    fn take(&mut self, message: pb::SubscribeResponse) -> Result<(), Refusal> {
        // A gateway that does not return the id of its log reports another log by a gap.
        let other_log = pb::GapReason::OtherLog;
        let is_other = message.gap.as_ref().is_some_and(|gap| gap.reason() == other_log);
        if let Some(given_by) = self.given_by.filter(|by| is_other && *by != self.server) {
            let servers = &self.client.servers;
            return Err(Refusal::other_log(servers.url(self.server), servers.url(given_by)));
        }
        // Only what arrives shows that the connection works.
        self.pace = Attempts::new();
        self.client.servers.answered(self.server);
        if std::mem::take(&mut self.lost) {
            self.ready.push_back(Item::Regained);
        }
        let waits = message.records.is_empty() && message.gap.is_none() && self.is_early();
        self.ready.extend(message.gap.map(Item::Gap));
        self.ready.extend(message.records.into_iter().map(Box::new).map(Item::Record));
        if message.caught_up {
            self.ready.push_back(Item::CaughtUp);
        }
        if waits {
            // A cursor does not contain the start time: a stream that resumes from it would return
            // records accepted before.
            return Ok(());
        }
        self.start = Start::Cursor(message.cursor.clone());
        self.given_by = Some(self.server);
        self.ready.push_back(Item::Checkpoint(message.cursor));
        Ok(())
    }

    /// Whether the start is in the future.
    fn is_early(&self) -> bool {
        let Start::Since(since) = &self.start else { return false };
        let now = prost_types::Timestamp::from(std::time::SystemTime::now());
        (since.seconds, since.nanos) > (now.seconds, now.nanos)
    }

    fn lose(&mut self, reason: Refusal) -> Result<(), Error> {
        let servers = &self.client.servers;
        let moved = servers.failed(self.server, &reason);
        let retry_in = self.pace.wait(moved, servers.count(), reason.retry_after);
        self.state = StreamState::Waiting(Instant::now() + retry_in);
        // Resets the gateway of the cursor.
        let is_resumable = !reason.is_of_other_log() || self.given_by.is_none();
        if !(reason.transient || moved && is_resumable) {
            return Err(Error::Refused(reason));
        }
        self.lost = true;
        let next = moved.then(|| servers.url(servers.current()).to_owned());
        self.ready.push_back(Item::Lost { reason, retry_in, next });
        Ok(())
    }
}

/// The next message of a stream.
async fn receive(
    stream: &mut Streaming<pb::SubscribeResponse>,
) -> Result<pb::SubscribeResponse, Refusal> {
    match tokio::time::timeout(SILENCE_TIME_MAX, stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(Refusal::ended()),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(Refusal::timed_out(SILENCE_TIME_MAX)),
    }
}
