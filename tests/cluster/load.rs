//! Emitters and subscribers that go to another gateway when theirs fails, and know what
//! they sent and what they were told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::event::Payload;
use auditgate::proto::pb::subscribe_request::Start;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::scene::CALM_TIME_MAX;

/// A call to a gateway that was suspended gets no answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(4);
/// A stream of a gateway that was suspended is silent; a live one tells its progress each
/// 10 s at least.
const STREAM_SILENCE_MAX: Duration = Duration::from_secs(13);
/// Before the next attempt, elsewhere.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The last event of a run: subscribers end with it.
pub const LAST: &str = "last";

/// A gateway, as a client reaches it.
#[derive(Clone)]
pub struct Door(Channel);

impl Door {
    pub fn new(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self(endpoint.connect_timeout(CALL_TIME_MAX).connect_lazy())
    }

    pub fn client(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.0.clone())
    }
}

/// The answer of a gateway, if it comes in time.
pub async fn call_in_time<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded("no answer in time"));
    Ok(tokio::time::timeout(CALL_TIME_MAX, call).await.unwrap_or_else(late)?.into_inner())
}

/// Ids and their sequences, as receipts told them.
pub type Receipts = BTreeMap<String, u64>;

/// Emitters that go on until they are told to end.
pub struct Load {
    doors: Vec<Door>,
    is_over: Arc<AtomicBool>,
    receipts: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Receipts>>,
}

impl Load {
    /// Starts emitters; each sends batches of one to four events, one after the other.
    pub fn start(doors: Vec<Door>, name: &str, emitters: usize) -> Self {
        let mut load =
            Self { doors, is_over: Arc::default(), receipts: Arc::default(), tasks: Vec::new() };
        for number in 0..emitters {
            let (doors, is_over) = (load.doors.clone(), Arc::clone(&load.is_over));
            let (count, name) = (Arc::clone(&load.receipts), format!("{name}-{number}"));
            load.tasks.push(tokio::spawn(async move {
                let mut receipts = Receipts::new();
                let mut door = number;
                for batch in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let ids: Vec<_> =
                        (0..=batch % 4).map(|place| format!("{name}-{batch}-{place}")).collect();
                    receipts.extend(emit(&doors, &mut door, &ids).await);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                receipts
            }));
        }
        load
    }

    /// Waits until so many more batches are acknowledged; how long that took.
    pub async fn progress(&self, batches: usize) -> Duration {
        let wanted = self.receipts.load(Ordering::Relaxed) + batches;
        let begun = Instant::now();
        while self.receipts.load(Ordering::Relaxed) < wanted {
            assert!(begun.elapsed() < CALM_TIME_MAX, "no receipts");
            let failed = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!failed || self.is_over.load(Ordering::Relaxed), "an emitter has failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }

    /// Ends the emitters when each has the receipts of what it sent, then emits
    /// [`LAST`]. All receipts.
    pub async fn end(self) -> Receipts {
        self.is_over.store(true, Ordering::Relaxed);
        let mut receipts = Receipts::new();
        for task in self.tasks {
            receipts.extend(task.await.unwrap());
        }
        receipts.extend(emit(&self.doors, &mut 0, &[LAST.to_owned()]).await);
        receipts
    }
}

/// Emits a batch at one gateway after the other until it is acknowledged.
pub async fn emit(doors: &[Door], door: &mut usize, ids: &[String]) -> Receipts {
    let begun = Instant::now();
    loop {
        let events = ids.iter().map(|id| event(id)).collect();
        let request = pb::EmitBatchRequest { events, validate_only: false };
        let mut client = doors[*door % doors.len()].client();
        match call_in_time(client.emit_batch(request)).await {
            Ok(response) => {
                assert_eq!(response.receipts.len(), ids.len());
                return response.receipts.into_iter().map(|one| (one.id, one.sequence)).collect();
            }
            Err(status) => {
                assert!(may_be_repeated(&status), "{status:?}");
                assert!(begun.elapsed() < CALM_TIME_MAX, "{ids:?} is not acknowledged: {status}");
                *door += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn may_be_repeated(status: &Status) -> bool {
    let passing = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown];
    // A gateway that stops may end a connection as a call begins: the status is the library's then,
    // whatever its code.
    passing.contains(&status.code()) || std::error::Error::source(status).is_some()
}

/// Half of the events are alice's.
pub fn is_alices(id: &str) -> bool {
    id == LAST || id.bytes().map(u32::from).sum::<u32>() % 2 == 0
}

fn event(id: &str) -> pb::Event {
    let user = if is_alices(id) { "alice" } else { "bob" };
    pb::Event {
        id: Some(id.to_owned()),
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        user: Some(pb::User { name: Some(user.into()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

/// What a subscriber was told.
#[derive(Default)]
pub struct Told {
    /// Sequences and ids, in the order in which they came.
    pub records: Vec<(u64, String)>,
    pub gaps: Vec<pb::Gap>,
    /// How often it went to another gateway.
    pub failovers: usize,
}

/// Subscribes at one gateway after the other, by its cursor, until [`LAST`] comes.
pub fn subscribe(doors: Vec<Door>, mut door: usize, only_alices: bool) -> JoinHandle<Told> {
    tokio::spawn(async move {
        let users = if only_alices { vec!["alice".to_owned()] } else { Vec::new() };
        let mut told = Told::default();
        let mut start = Start::Position(pb::Position::Earliest.into());
        loop {
            let filter = Some(pb::Filter { users: users.clone(), ..Default::default() });
            let request = pb::SubscribeRequest { filter, start: Some(start.clone()) };
            let mut client = doors[door % doors.len()].client();
            let ended = match call_in_time(client.subscribe(request)).await {
                Ok(mut stream) => loop {
                    match tokio::time::timeout(STREAM_SILENCE_MAX, stream.message()).await {
                        Ok(Ok(Some(message))) => {
                            if !message.cursor.is_empty() {
                                start = Start::Cursor(message.cursor);
                            }
                            told.gaps.extend(message.gap);
                            for record in message.records {
                                let id = record.event.unwrap().id.unwrap();
                                let is_last = id == LAST;
                                told.records.push((record.sequence, id));
                                if is_last {
                                    return told;
                                }
                            }
                        }
                        Ok(Ok(None)) | Err(_) => break None,
                        Ok(Err(status)) => break Some(status),
                    }
                },
                Err(status) => Some(status),
            };
            if let Some(status) = ended {
                assert!(may_be_repeated(&status), "{status:?}");
            }
            told.failovers += 1;
            door += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    })
}

impl Told {
    /// Compares with the ids of the log: exactly what matches, once and in order.
    pub fn check(&self, log: &[String], only_alices: bool) {
        assert_eq!(self.gaps, [], "no gap");
        let matching = (1..).zip(log).filter(|(_, id)| !only_alices || is_alices(id));
        let expected: Vec<(u64, String)> = matching.map(|(at, id)| (at, id.clone())).collect();
        assert!(self.records == expected, "{}", first_difference(&self.records, &expected));
    }
}

fn first_difference(found: &[(u64, String)], expected: &[(u64, String)]) -> String {
    let place = found.iter().zip(expected).position(|(one, other)| one != other);
    let place = place.unwrap_or(found.len().min(expected.len()));
    format!(
        "at {place}: {:?} instead of {:?}; {} and {} records",
        found.get(place),
        expected.get(place),
        found.len(),
        expected.len()
    )
}
