//! EmitStream: receipts in order, refusals one by one, a bounded queue, and an
//! emitter that learns from where to send again.

use std::sync::Arc;
use std::time::Duration;

use auditgate::filter::TypeSet;
use auditgate::log::{
    Append, Appended, Bounds, BoxFuture, Error, Extent, HoldReport, Identity, MemoryLog,
    ReadFuture, ReadHint, RetentionHold, Sequencer, State, Store, TailKind,
};
use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::event::Payload;
use auditgate::record::{Draft, Sequence};
use auditgate::server::{Config, Gateway};
use auditgate::time::Time;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::support::WAIT_MAX;

fn config() -> Config {
    Config { listen: "127.0.0.1:0".parse().expect("an address"), ..Config::default() }
}

async fn connect(gateway: &Gateway) -> AuditServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address())).expect("a URL");
    // Small windows, so that an emitter that reads nothing is soon noticed.
    let endpoint =
        endpoint.initial_stream_window_size(64 * 1024).initial_connection_window_size(1024 * 1024);
    AuditServiceClient::new(endpoint.connect().await.expect("it listens"))
}

async fn open(
    client: &mut AuditServiceClient<Channel>,
    queue: usize,
) -> (mpsc::Sender<pb::EmitStreamRequest>, Streaming<pb::EmitStreamResponse>) {
    let (sender, requests) = mpsc::channel(queue);
    let responses =
        client.emit_stream(ReceiverStream::new(requests)).await.expect("open").into_inner();
    (sender, responses)
}

fn event(id: &str) -> pb::Event {
    pb::Event {
        id: (!id.is_empty()).then(|| id.to_owned()),
        payload: Some(Payload::Resize(pb::Resize::default())),
        ..Default::default()
    }
}

fn request(events: Vec<pb::Event>) -> pb::EmitStreamRequest {
    pb::EmitStreamRequest { events, validate_only: false }
}

async fn next(
    responses: &mut Streaming<pb::EmitStreamResponse>,
) -> Result<Option<pb::EmitStreamResponse>, Status> {
    tokio::time::timeout(WAIT_MAX, responses.message()).await.expect("an answer in time")
}

/// All answers until `answered` events have one.
async fn answers(
    responses: &mut Streaming<pb::EmitStreamResponse>,
    answered: u64,
) -> pb::EmitStreamResponse {
    let mut all = pb::EmitStreamResponse::default();
    while all.answered < answered {
        let response =
            next(responses).await.expect("the stream goes on").expect("the stream is open");
        all.receipts.extend(response.receipts);
        all.refusals.extend(response.refusals);
        all.answered = response.answered;
    }
    all
}

#[tokio::test]
async fn receipts_come_in_order_as_ranges() {
    let gateway = Gateway::start(config()).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 64).await;
    for number in 0..50 {
        let events = (0..64).map(|other| event(&format!("{number}-{other}"))).collect();
        sender.send(request(events)).await.expect("the stream is open");
    }
    drop(sender);
    let all = answers(&mut responses, 3_200).await;
    assert!(all.refusals.is_empty());
    let mut expected = 0;
    for range in &all.receipts {
        assert_eq!((range.first_event, range.first_sequence), (expected, expected + 1));
        assert!(range.accept_time.is_some() && range.ids.is_empty() && !range.duplicate);
        expected += range.event_count;
    }
    assert_eq!(expected, 3_200);
    assert!(all.receipts.len() <= 50, "a range for each request at most");
    assert!(next(&mut responses).await.expect("the stream ends in order").is_none());
    let record = client
        .get_record(pb::GetRecordRequest {
            key: Some(pb::get_record_request::Key::Id("7-3".into())),
        })
        .await
        .expect("readable")
        .into_inner();
    assert_eq!(record.record.map(|record| record.sequence), Some(7 * 64 + 3 + 1));
}

#[tokio::test]
async fn a_bad_event_is_refused_by_itself_as_emit_would() {
    let gateway = Gateway::start(config()).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let late = pb::Event {
        time: Some(prost_types::Timestamp { seconds: 200_000_000_000, nanos: 0 }),
        ..event("late")
    };
    let other_content = pb::Event { code: Some("X".into()), ..event("a") };
    let (sender, mut responses) = open(&mut client, 8).await;
    let events = vec![
        event("a"),
        late.clone(),
        event(""),
        other_content,
        event("a"),
        pb::Event::default(),
        event("z"),
    ];
    sender.send(request(events)).await.expect("the stream is open");
    sender.send(request(vec![event("b")])).await.expect("the stream is open");
    let all = answers(&mut responses, 8).await;
    let refused: Vec<_> = all
        .refusals
        .iter()
        .map(|refusal| (refusal.event, refusal.code, refusal.reason(), refusal.field.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (1, Code::InvalidArgument as i32, pb::ErrorReason::TimeOutOfRange, "event.time"),
            (3, Code::AlreadyExists as i32, pb::ErrorReason::IdConflict, "event.id"),
            (5, Code::InvalidArgument as i32, pb::ErrorReason::EventMissing, "event"),
        ]
    );
    let status = client.emit(pb::EmitRequest { event: Some(late), ..Default::default() }).await;
    let status = status.expect_err("refused by Emit, too");
    let sentence = |text: &str| text.split(" ahead").next().unwrap_or_default().to_owned();
    assert_eq!(sentence(&all.refusals[0].message), sentence(status.message()));
    let accepted: Vec<_> = all
        .receipts
        .iter()
        .flat_map(|range| {
            let has_ids = !range.ids.is_empty();
            (0..range.event_count).map(move |place| {
                (range.first_event + place, range.first_sequence + place, range.duplicate, has_ids)
            })
        })
        .collect();
    assert_eq!(
        accepted,
        [
            (0, 1, false, false),
            (2, 2, false, true),
            (4, 1, true, false),
            (6, 3, false, false),
            (7, 4, false, false)
        ]
    );
}

#[tokio::test]
async fn events_may_be_checked_only() {
    let gateway = Gateway::start(config()).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 8).await;
    let checked = |events| pb::EmitStreamRequest { events, validate_only: true };
    let other_content = pb::Event { code: Some("X".into()), ..event("a") };
    sender.send(request(vec![event("a")])).await.expect("the stream is open");
    let events = vec![event("b"), event("c"), event("a"), other_content, pb::Event::default()];
    sender.send(checked(events)).await.expect("the stream is open");
    sender.send(request(vec![event("b")])).await.expect("the stream is open");
    let all = answers(&mut responses, 7).await;
    let accepted: Vec<_> = all
        .receipts
        .iter()
        .map(|range| {
            let is_kept = range.accept_time.is_some();
            (range.first_event, range.event_count, range.first_sequence, range.duplicate, is_kept)
        })
        .collect();
    assert_eq!(
        accepted,
        [
            (0, 1, 1, false, true),
            (1, 2, 0, false, false),
            (3, 1, 1, true, true),
            (6, 1, 2, false, true)
        ]
    );
    let refused: Vec<_> =
        all.refusals.iter().map(|refusal| (refusal.event, refusal.reason())).collect();
    assert_eq!(refused, [(4, pb::ErrorReason::IdConflict), (5, pb::ErrorReason::EventMissing)]);
    assert_eq!(gateway.hub().extent().last.0, 2);
}

/// A log takes half of what it keeps at once; on a stream, each event counts.
#[tokio::test]
async fn a_request_that_the_log_does_not_take_at_once_is_taken_in_parts() {
    let ring = Bounds { bytes: 1024 * 1024, records: 100 };
    let gateway = Gateway::start(Config { ring, ..config() }).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 8).await;
    let large = |id: &str| pb::Event { code: Some("x".repeat(300_000)), ..event(id) };
    let mut events: Vec<_> = (0..500).map(|number| event(&format!("small-{number}"))).collect();
    events.extend(["one", "two", "three"].map(large));
    events.push(pb::Event { code: Some("x".repeat(700_000)), ..event("too-large") });
    events.push(event("last"));
    sender.send(request(events)).await.expect("the stream is open");
    let all = answers(&mut responses, 505).await;
    assert_eq!(all.receipts.iter().map(|range| range.event_count).sum::<u64>(), 504);
    let refused: Vec<_> =
        all.refusals.iter().map(|refusal| (refusal.event, refusal.reason())).collect();
    assert_eq!(refused, [(503, pb::ErrorReason::BatchTooLarge)]);
    assert_eq!(gateway.hub().extent().last.0, 504);
}

#[tokio::test]
async fn what_does_not_decode_ends_the_stream_after_its_answers() {
    let gateway = Gateway::start(config()).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 8).await;
    sender.send(request(vec![event("a")])).await.expect("the stream is open");
    let large = pb::Event { code: Some("x".repeat(5 * 1024 * 1024)), ..event("large") };
    sender.send(request(vec![large])).await.expect("the stream is open");
    assert_eq!(answers(&mut responses, 1).await.receipts.len(), 1);
    let status = next(&mut responses).await.expect_err("the request is too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!(reason.as_deref(), Some("REQUEST_TOO_LARGE"));
}

/// A log that takes its time.
struct SlowLog {
    log: MemoryLog,
    delay: watch::Receiver<Duration>,
}

impl Sequencer for SlowLog {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        Box::pin(async move {
            let delay = *self.delay.borrow();
            tokio::time::sleep(delay).await;
            self.log.append(drafts, append).await
        })
    }

    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.log.tail(tail)
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.log.identity()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.log.state()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.log.close()
    }
}

impl Store for SlowLog {
    fn extent(&self) -> Extent {
        self.log.extent()
    }

    fn read<'a>(&'a self, at: Sequence, want: ReadHint<'a>) -> ReadFuture<'a> {
        self.log.read(at, want)
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.log.accepted_since(time)
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        self.log.find(id, types)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.log.changes()
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.log.hold(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.log.holds()
    }
}

async fn slow_gateway(delay: Duration) -> (Gateway, watch::Sender<Duration>) {
    let (sender, delay) = watch::channel(delay);
    let log = Arc::new(SlowLog { log: MemoryLog::new(Bounds::default()), delay });
    (Gateway::start_on(config(), log).await.expect("it starts"), sender)
}

/// Many small events on many streams of one connection while the log is slow:
/// what makes h2 give up on a connection that is read naively.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_small_events_survive_a_slow_log() {
    const STREAMS: u64 = 32;
    const LOAD_EVENTS_MIN: u64 = 10_000;
    // Three seconds show it; `AUDITGATE_LOAD_SECONDS=60` is the whole of it.
    let seconds = std::env::var("AUDITGATE_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(3));
    let (gateway, delay) = slow_gateway(Duration::from_millis(20)).await;
    let client = connect(&gateway).await;
    assert!(event("0123456789").encoded_len() <= 20);
    let (stop, stopped) = watch::channel(false);
    let tasks: Vec<_> = (0..STREAMS)
        .map(|stream| {
            let (mut client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let (sender, mut responses) = open(&mut client, 16).await;
                let send = tokio::spawn(async move {
                    let mut sent = 0_u64;
                    while !*stopped.borrow() {
                        let one = request(vec![event(&format!("{stream}-{sent}"))]);
                        if sender.send(one).await.is_err() {
                            break;
                        }
                        sent += 1;
                    }
                    sent
                });
                let mut answered = 0;
                while let Some(response) = next(&mut responses).await.expect("no GOAWAY") {
                    answered = response.answered;
                }
                assert_eq!(send.await.expect("no panic"), answered, "each event has its answer");
                answered
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    let enough = async {
        while gateway.hub().extent().last.0 <= LOAD_EVENTS_MIN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, enough).await.expect("the streams go on");
    stop.send_replace(true);
    delay.send_replace(Duration::ZERO);
    let mut answered = 0;
    for task in tasks {
        answered += task.await.expect("no panic");
    }
    assert_eq!(gateway.hub().extent().last.0, answered);
}

/// One by one these would take five minutes.
#[tokio::test]
async fn events_that_wait_are_appended_together() {
    const EVENTS: u64 = 1_000;
    let (gateway, _delay) = slow_gateway(Duration::from_millis(300)).await;
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, EVENTS as usize).await;
    for number in 0..EVENTS {
        sender.send(request(vec![event(&number.to_string())])).await.expect("the stream is open");
    }
    let all = answers(&mut responses, EVENTS).await;
    assert!(all.receipts.iter().all(|range| range.first_sequence == range.first_event + 1));
    assert_eq!(gateway.hub().extent().last.0, EVENTS);
}

/// The clock stands still but where everybody waits: then it jumps.
#[tokio::test(start_paused = true)]
async fn an_emitter_that_reads_no_answers_is_refused_after_a_while() {
    // The connection of such a client is kept, so that its stream is told why it ends.
    let mut config = config();
    config.connections.write_stall = Duration::from_secs(600);
    let gateway = Gateway::start(config).await.expect("it starts");
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 1).await;
    let send = tokio::spawn(async move {
        let mut sent = 0;
        // Refusals do not fit into a range, so answers soon fill their window.
        while sender.send(request(vec![pb::Event::default()])).await.is_ok() {
            sent += 1;
        }
        sent
    });
    // Longer than the gateway waits.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let mut answered = 0;
    let status = loop {
        match responses.message().await {
            Ok(Some(response)) => answered = response.answered,
            Ok(None) => panic!("the stream ends with a status that says why"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!(reason.as_deref(), Some("ANSWERS_NOT_READ"));
    assert!(status.message().contains(&format!("from event {answered}")), "{status:?}");
    assert!(send.await.expect("no panic") >= answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emitter_that_reads_no_answers_is_slowed_and_goes_on_when_it_does() {
    let (gateway, _delay) = slow_gateway(Duration::ZERO).await;
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 1).await;
    let mut sent = 0;
    // Every other event is refused, so that answers do not fit into a range.
    let pair = || request(vec![event(""), pb::Event::default()]);
    loop {
        match tokio::time::timeout(Duration::from_secs(1), sender.send(pair())).await {
            Ok(accepted) => accepted.expect("the stream is open"),
            Err(_) => break,
        }
        sent += 2;
        // The queue holds 8 MiB, and takes an event for at least 512 bytes; the
        // window of the stream holds 256 KiB, and these two take a dozen.
        assert!(sent < 2 * (8 * 1024 * 1024 / 512 + 2 * 256 * 1024 / 12), "it is never slowed");
    }
    // The request whose sending was given up is not sent.
    drop(sender);
    let all = answers(&mut responses, sent).await;
    assert_eq!(all.answered, sent);
    assert_eq!(all.refusals.len() as u64, sent / 2);
    assert!(next(&mut responses).await.expect("the stream ends in order").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_shutdown_the_emitter_learns_from_where_to_send_again() {
    let (gateway, _delay) = slow_gateway(Duration::from_millis(30)).await;
    let mut client = connect(&gateway).await;
    let (sender, mut responses) = open(&mut client, 10_000).await;
    for number in 0..10_000_u64 {
        sender.send(request(vec![event(&number.to_string())])).await.expect("the stream is open");
    }
    let mut answered = answers(&mut responses, 1).await.answered;
    let hub = Arc::clone(gateway.hub());
    let stop = tokio::spawn(gateway.stop());
    let status = loop {
        match next(&mut responses).await {
            Ok(Some(response)) => answered = response.answered,
            Ok(None) => panic!("the stream ends with a status that says why"),
            Err(status) => break status,
        }
    };
    stop.await.expect("no panic");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&format!("from event {answered}")), "{status:?}");
    assert!(answered < 10_000, "it was stopped midway");
    assert_eq!(hub.extent().last.0, answered, "what has no answer was not stored");
}
