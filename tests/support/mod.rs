//! What the test programs share: gateways on free ports, clients on connections of
//! their own, and waits with a limit.
#![allow(dead_code, reason = "each test binary uses its part of this")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

pub mod access;
pub mod cli;
pub mod client;
pub mod http1;
pub mod nats;
pub mod raw;
pub mod shared;

use std::net::SocketAddr;
use std::time::Duration;

use auditgate::log::Bounds;
pub use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::event::Payload;
use auditgate::proto::pb::subscribe_request::Start;
use auditgate::server::{Config, Gateway};
use prost_types::Timestamp;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub type Client = AuditServiceClient<Channel>;

/// The longest that a test waits.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// A gateway with default bounds.
pub async fn start() -> Gateway {
    start_with(Bounds::default()).await
}

/// A gateway with default bounds on this port.
pub async fn start_at(listen: SocketAddr) -> Gateway {
    Gateway::start(Config { listen, ..Config::default() }).await.expect("the port is free")
}

/// A gateway whose ring has these bounds.
pub async fn start_with(ring: Bounds) -> Gateway {
    let listen = "127.0.0.1:0".parse().unwrap();
    Gateway::start(Config { listen, ring, ..Config::default() }).await.expect("a free port")
}

/// A gateway that keeps some 60 small records.
pub async fn start_small() -> Gateway {
    start_with(Bounds { bytes: 16 * 1024 * 1024, records: 64 }).await
}

pub fn endpoint(gateway: &Gateway) -> Endpoint {
    Endpoint::from_shared(format!("http://{}", gateway.address())).unwrap()
}

/// A new connection.
pub async fn channel(gateway: &Gateway) -> Channel {
    endpoint(gateway).connect().await.expect("the gateway listens")
}

/// A client on a new connection.
pub async fn connect(gateway: &Gateway) -> Client {
    Client::new(channel(gateway).await)
}

/// The output of `work`, within [`WAIT_MAX`].
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, work).await.expect("it comes in time")
}

/// A `user.login` by `user`.
pub fn login(id: &str, user: &str) -> pb::Event {
    pb::Event {
        id: Some(id.to_owned()),
        user: Some(pb::User { name: Some(user.to_owned()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

/// An event that takes a little more than `bytes`.
pub fn large(id: &str, bytes: usize) -> pb::Event {
    pb::Event { labels: [("filler".to_owned(), "x".repeat(bytes))].into(), ..login(id, "alice") }
}

/// Events `e-FIRST` to `e-LAST`: in an empty log, the numbers are the sequences.
pub fn numbered(numbers: std::ops::RangeInclusive<u64>) -> Vec<pb::Event> {
    numbers.map(|number| login(&format!("e-{number}"), "alice")).collect()
}

pub async fn emit(client: &mut Client, event: pb::Event) -> pb::Receipt {
    let request = pb::EmitRequest { event: Some(event), validate_only: false };
    let response = soon(client.emit(request)).await.expect("accepted");
    response.into_inner().receipt.expect("a receipt")
}

pub async fn emit_all(client: &mut Client, events: Vec<pb::Event>) -> Vec<pb::Receipt> {
    let request = pb::EmitBatchRequest { events, validate_only: false };
    soon(client.emit_batch(request)).await.expect("accepted").into_inner().receipts
}

pub async fn status(client: &mut Client) -> pb::GetStatusResponse {
    soon(client.get_status(pb::GetStatusRequest {})).await.expect("a status").into_inner()
}

/// Events at these seconds, in this order: the time of an event is its own.
pub async fn emit_at(client: &mut Client, seconds: &[i64]) {
    for (number, seconds) in seconds.iter().enumerate() {
        let time = Some(Timestamp { seconds: *seconds, nanos: 0 });
        let event = login(&format!("at-{number}"), "alice");
        emit(client, pb::Event { time, ..event }).await;
    }
}

pub fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// One page.
pub async fn search(client: &mut Client, request: pb::SearchRequest) -> pb::SearchResponse {
    soon(client.search(request)).await.expect("a page").into_inner()
}

pub fn sequences(records: &[pb::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

pub fn gap(first: u64, last: u64, reason: pb::GapReason) -> pb::Gap {
    pb::Gap { first_sequence: first, last_sequence: last, reason: reason.into() }
}

pub fn latest() -> pb::SubscribeRequest {
    from(Start::Position(pb::Position::Latest.into()))
}

pub fn earliest() -> pb::SubscribeRequest {
    from(Start::Position(pb::Position::Earliest.into()))
}

pub fn after(cursor: &str) -> pb::SubscribeRequest {
    from(Start::Cursor(cursor.to_owned()))
}

pub fn from(start: Start) -> pb::SubscribeRequest {
    pb::SubscribeRequest { filter: None, start: Some(start) }
}

/// A subscription, read with bounded waits.
pub struct Tail {
    stream: Streaming<pb::SubscribeResponse>,
}

impl Tail {
    pub async fn open(client: &mut Client, request: pb::SubscribeRequest) -> Self {
        let stream = soon(client.subscribe(request)).await.expect("subscribed").into_inner();
        Self { stream }
    }

    /// Opened, and its first response taken, which comes at once.
    pub async fn begin(
        client: &mut Client,
        request: pb::SubscribeRequest,
    ) -> (Self, pb::SubscribeResponse) {
        let mut tail = Self::open(client, request).await;
        let first = tail.next().await;
        (tail, first)
    }

    pub async fn next(&mut self) -> pb::SubscribeResponse {
        self.message().await.expect("no refusal").expect("no end")
    }

    /// The next message, the end, or why it ended.
    pub async fn message(&mut self) -> Result<Option<pb::SubscribeResponse>, Status> {
        soon(self.stream.message()).await
    }

    /// Messages until one says that the stream has caught up, that one included.
    pub async fn until_caught_up(&mut self) -> Vec<pb::SubscribeResponse> {
        soon(async {
            let mut messages = vec![self.next().await];
            while messages.last().is_some_and(|message| !message.caught_up) {
                messages.push(self.next().await);
            }
            messages
        })
        .await
    }

    /// The next `count` records, however they are spread over messages. No gap
    /// may come between.
    pub async fn records(&mut self, count: usize) -> Vec<pb::Record> {
        // All of them in time: a stream without records still tells its progress.
        let records = soon(async {
            let mut records = Vec::new();
            while records.len() < count {
                let message = self.next().await;
                assert_eq!(message.gap, None, "after {} records", records.len());
                records.extend(message.records);
            }
            records
        })
        .await;
        assert_eq!(records.len(), count, "{:?}", sequences(&records));
        records
    }
}

/// SplitMix64, for input that is arbitrary and the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len())]
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
