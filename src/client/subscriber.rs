//! Following the log across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use prost_types::Timestamp;
use tokio::time::Instant;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::client::{CALL_TIME_MAX, Error, Refusal, Transport};
use crate::proto::pb;
use crate::proto::pb::audit_service_client::AuditServiceClient;
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
        /// What happened.
        reason: Refusal,
        /// The delay before the next attempt.
        retry_in: Duration,
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
    rpc: AuditServiceClient<Transport>,
    filter: pb::Filter,
    start: Start,
    ready: VecDeque<Item>,
    state: StreamState,
    backoff: Backoff,
    lost: bool,
}

#[derive(Debug)]
enum StreamState {
    /// To connect at this time.
    Waiting(Instant),
    Open(Box<Streaming<pb::SubscribeResponse>>),
}

impl Subscriber {
    pub(super) fn new(
        rpc: AuditServiceClient<Transport>,
        filter: pb::Filter,
        start: Start,
    ) -> Self {
        Self {
            rpc,
            filter,
            start,
            ready: VecDeque::new(),
            state: StreamState::Waiting(Instant::now()),
            backoff: Backoff::new(),
            lost: false,
        }
    }

    /// The next item; waits until there is one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] if the gateway refuses the filter or the start. An unreachable
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
                    receive(stream).await.map(|message| self.take(message))
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
        let request = self.request();
        let opened = tokio::time::timeout(CALL_TIME_MAX, self.rpc.subscribe(request)).await;
        let stream = opened.map_err(|_| Refusal::timed_out(CALL_TIME_MAX))??.into_inner();
        self.state = StreamState::Open(Box::new(stream));
        Ok(())
    }

    fn take(&mut self, message: pb::SubscribeResponse) {
        // Only what arrives shows that the connection works.
        self.backoff = Backoff::new();
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
            // A cursor does not remember the time: a stream that resumes from it would
            // bring records that are accepted before.
            return;
        }
        self.start = Start::Cursor(message.cursor.clone());
        self.ready.push_back(Item::Checkpoint(message.cursor));
    }

    /// Whether the start is a time to come.
    fn is_early(&self) -> bool {
        let Start::Since(since) = &self.start else { return false };
        let now = prost_types::Timestamp::from(std::time::SystemTime::now());
        (since.seconds, since.nanos) > (now.seconds, now.nanos)
    }

    fn lose(&mut self, reason: Refusal) -> Result<(), Error> {
        let retry_in = self.backoff.wait(reason.retry_after);
        self.state = StreamState::Waiting(Instant::now() + retry_in);
        if !reason.transient {
            return Err(Error::Refused(reason));
        }
        self.lost = true;
        self.ready.push_back(Item::Lost { reason, retry_in });
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
