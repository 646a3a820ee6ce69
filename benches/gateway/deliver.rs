//! Deliveries: how fast records reach a slow receiver, how soon they reach a fast one, and what
//! deliveries cost the emitters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auditgate::delivery::destination::http::{self, BodyForm};
use auditgate::delivery::destination::http_client::Endpoint;
use auditgate::delivery::destination::{self, tls::DestinationTls};
use auditgate::delivery::format::FormatName;
use auditgate::delivery::{BatchLimits, Deliveries, DeliveryConfig, DeliveryStart};
use auditgate::log::Bounds;
use auditgate::proto::pb;
use auditgate::server::{Config, Gateway};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, quantile};
use crate::stage::{self, Stage};
use crate::{Result, Scale, emit, events, latency};

/// The measures of this file.
pub const NAMES: &[&str] = &[
    "delivery_http_25ms",
    "delivery_latency",
    "emit_delivered",
    "emit_delivered_rate",
    "emit_delivered_p99",
];

/// How long the slow receiver takes.
const SLOW: Duration = Duration::from_millis(25);
/// Events of a call that fills the log.
const BATCH: usize = 256;
/// Events a second of a load that the machine can bear.
const STEADY: u32 = 20_000;
/// Room for all records of a measure.
const RING: Bounds = Bounds { bytes: 1024 * 1024 * 1024, records: 4_000_000 };

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    wanted
        .iter()
        .map(|name| match *name {
            "delivery_http_25ms" => slow_receiver(&stage, scale),
            "delivery_latency" => arrival(&stage, scale),
            name => emit_delivered(name, &stage, scale),
        })
        .collect()
}

/// An HTTP receiver that counts lines.
struct Receiver {
    address: SocketAddr,
    lines: Arc<AtomicU64>,
    /// When bodies arrived, and their lines.
    arrivals: mpsc::UnboundedReceiver<(Instant, u64)>,
}

impl Receiver {
    async fn start(delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(stage::loopback()).await?;
        let address = listener.local_addr()?;
        let lines = Arc::new(AtomicU64::new(0));
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let counted = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, arrived) = (Arc::clone(&counted), arrived.clone());
                tokio::spawn(async move {
                    // The gateway ends its connections.
                    _ = receive(stream, delay, &counted, &arrived).await;
                });
            }
        });
        Ok(Self { address, lines, arrivals })
    }
}

async fn receive(
    mut stream: TcpStream,
    delay: Duration,
    lines: &AtomicU64,
    arrived: &mpsc::UnboundedSender<(Instant, u64)>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(64 * 1024);
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).to_lowercase();
        let length = text.split("content-length: ").nth(1).ok_or("a length")?;
        let length: usize = length.split('\r').next().unwrap_or_default().parse()?;
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let body = bytes.get(head..).unwrap_or_default();
        let count = memchr::memchr_iter(b'\n', body).count() as u64;
        bytes.clear();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        lines.fetch_add(count, Ordering::Relaxed);
        // Nobody listens in some measures.
        _ = arrived.send((Instant::now(), count));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}

/// A delivery of all records to an HTTP receiver.
fn delivery(name: &str, address: SocketAddr, records: usize) -> Result<DeliveryConfig> {
    let url = format!("http://{address}/").parse()?;
    let endpoint =
        Endpoint { url, tls: DestinationTls::default(), timeout: Duration::from_secs(30) };
    Ok(DeliveryConfig {
        name: name.to_owned(),
        format: FormatName::Json,
        filter: pb::Filter::default(),
        start: DeliveryStart::Earliest,
        // As it is by default.
        batch: BatchLimits { records, bytes: 2 * 1024 * 1024, time: Duration::from_secs(1) },
        in_flight: 1,
        hold: None,
        elsewhere: None,
        destination: destination::Config::Http(http::Config {
            endpoint,
            body: BodyForm::Lines,
            gzip: false,
            credential: None,
            signing_secret: None,
        }),
    })
}

/// A gateway with deliveries.
fn gateway(stage: &Stage, deliveries: Vec<DeliveryConfig>) -> Result<(Gateway, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let config = Config {
        listen: stage::loopback(),
        ring: RING,
        deliveries,
        delivery_dir: Some(folder.path().to_owned()),
        ..Config::default()
    };
    Ok((stage.serve(Gateway::start(config))?, folder))
}

async fn fill(address: SocketAddr, requests: Vec<Bytes>) -> Result<()> {
    let mut client = stage::connect(address).await?;
    for request in requests {
        client.unary(stage::EMIT_BATCH, request).await?;
    }
    Ok(())
}

async fn until(deliveries: &Deliveries, count: u64) {
    while deliveries.list().iter().any(|one| one.delivered < count) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Records a second to a receiver that answers after 25 ms, and the same with one record a
/// request.
fn slow_receiver(stage: &Stage, scale: Scale) -> Result<Row> {
    let (many, few) = (scale.pick(200_000, 2_000), scale.pick(80, 5));
    let round = |records: usize, count: u64| {
        let receiver = stage.serve(Receiver::start(SLOW))?;
        let (gateway, _folder) = gateway(stage, Vec::new())?;
        stage.run(fill(gateway.address(), events::batch_requests(0..count, BATCH)))?;
        let config = delivery("slow", receiver.address, records)?;
        let watch = Stopwatch::start();
        stage.serve(async {
            gateway.deliveries().replace(vec![config]).await?;
            until(gateway.deliveries(), count).await;
            Result::Ok(())
        })?;
        let took = watch.stop();
        stage.serve(gateway.stop());
        // Not the same work: a round of one record a request would take an hour.
        Ok(Sample { cpu: None, ..took.rate(count as f64) })
    };
    let peer = "one event a POST, as Teleport's handler sends";
    let name = "delivery_http_25ms";
    Duel { name, unit: "events/s", better: Better::More, peer }.run(
        scale.pick(3, 1),
        || round(2_000, many),
        || round(1, few),
    )
}

/// The time from emission to arrival at a receiver on the loopback, p99, at 1,000 events a second.
fn arrival(stage: &Stage, scale: Scale) -> Result<Row> {
    const RATE: u64 = 1_000;
    let mut receiver = stage.serve(Receiver::start(Duration::ZERO))?;
    let (gateway, _folder) = gateway(stage, vec![delivery("fast", receiver.address, 2_000)?])?;
    let count = scale.pick(10 * RATE, 200);
    let address = gateway.address();
    let delays = stage.run(async {
        let mut client = stage::connect(address).await?;
        let mut sent = Vec::new();
        let begun = Instant::now();
        for (number, request) in events::emit_requests(0..count).into_iter().enumerate() {
            let due = Duration::from_micros(number as u64 * 1_000_000 / RATE);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            sent.push(Instant::now());
            client.unary(stage::EMIT, request).await?;
        }
        // Records arrive in order: the n-th that arrives is the n-th that was sent.
        let mut delays = Vec::new();
        while delays.len() < sent.len() {
            let (arrived, lines) = receiver.arrivals.recv().await.ok_or("the receiver ended")?;
            for _ in 0..lines {
                let sent = sent.get(delays.len()).ok_or("more arrived than was sent")?;
                delays.push((arrived - *sent).as_secs_f64() * 1e6);
            }
        }
        Result::Ok(delays)
    })?;
    stage.serve(gateway.stop());
    let ours = quantile(&delays, 0.99);
    Ok(Row { name: "delivery_latency", unit: "us p99", ours, peer: None })
}

/// Emitting at full speed, or [`STEADY`] events a second, beside one healthy, one dead and one
/// slow delivery, and beside none.
fn emit_delivered(name: &str, stage: &Stage, scale: Scale) -> Result<Row> {
    let healthy = stage.serve(Receiver::start(Duration::ZERO))?;
    let slow = stage.serve(Receiver::start(Duration::from_secs(1)))?;
    // Nobody listens there.
    let dead = stage.serve(async { TcpListener::bind(stage::loopback()).await?.local_addr() })?;
    let (busy, _folder) = gateway(
        stage,
        vec![
            delivery("healthy", healthy.address, 2_000)?,
            delivery("dead", dead, 2_000)?,
            delivery("slow", slow.address, 2_000)?,
        ],
    )?;
    let (lonely, _other) = gateway(stage, Vec::new())?;
    let count = scale.pick(60_000, 600);
    let peer = "the same without deliveries";
    let full = Duel { name: "emit_delivered", unit: "events/s", better: Better::More, peer };
    let (duel, round): (Duel, EmitRound) = match name {
        "emit_delivered_rate" => (Duel { name: "emit_delivered_rate", ..full }, steady_rate),
        "emit_delivered_p99" => {
            let (name, unit) = ("emit_delivered_p99", "us p99");
            (Duel { name, unit, better: Better::Less, peer }, steady_p99)
        }
        _ => (full, |stage, address, requests| stage.run(emit::emit_all(address, requests))),
    };
    let next = std::cell::Cell::new(0);
    let requests = || {
        let first = next.replace(next.get() + count);
        events::emit_requests(first..first + count)
    };
    let row = duel.run(
        scale.rounds(),
        || round(stage, busy.address(), requests()),
        || round(stage, lonely.address(), requests()),
    )?;
    for one in busy.deliveries().list() {
        eprintln!(
            "emit_delivered, {}: {}, {} delivered, {} behind, {} bytes held",
            one.name,
            one.phase.name(),
            one.delivered,
            one.lag_records,
            one.held_bytes
        );
    }
    let delivered = healthy.lines.load(Ordering::Relaxed);
    crate::ensure(delivered > 0, || "the healthy delivery delivers nothing".to_owned())?;
    stage.serve(async {
        busy.stop().await;
        lonely.stop().await;
    });
    Ok(row)
}

/// How one round emits its events.
type EmitRound = fn(&Stage, SocketAddr, Vec<Bytes>) -> Result<Sample>;

/// Events a second that are answered, where [`STEADY`] are sent.
fn steady_rate(stage: &Stage, address: SocketAddr, requests: Vec<Bytes>) -> Result<Sample> {
    let (watch, count) = (Stopwatch::start(), requests.len());
    stage.run(latency::emit_steadily(address, STEADY, requests, |_| {}))?;
    Ok(Sample { cpu: None, ..watch.stop().rate(count as f64) })
}

/// The time of a call where [`STEADY`] are made a second, p99 in microseconds.
fn steady_p99(stage: &Stage, address: SocketAddr, requests: Vec<Bytes>) -> Result<Sample> {
    let times = stage.run(latency::emit_steadily(address, STEADY, requests, |_| {}))?;
    Ok(latency::p99(&times))
}
