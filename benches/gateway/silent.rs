//! Subscribers who do nothing: what one who waits for something rare takes in
//! memory, and one who does not read; and what the latter cost the emitters.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use auditgate::log::Bounds;
use auditgate::proto::pb;
use auditgate::server::{Config, Gateway};
use bytes::Bytes;
use prost::Message as _;
use tonic::Streaming;

use crate::rounds::{Better, Duel, Row};
use crate::stage::{self, SUBSCRIBE, Stage};
use crate::{Result, Scale, emit, events, memory};

/// The measures of this file.
pub const NAMES: &[&str] = &["emit_stuck", "memory_per_idle", "memory_per_stuck"];

/// How the process that is measured is asked for.
pub const CHILD: &str = "gateway";
/// Subscribers that do not read.
const STUCK: usize = 100;
/// Events of a batch.
const BATCH: usize = 256;
/// Streams of one connection.
const STREAMS: usize = 500;
/// The ring of the process that is measured, small enough to be full soon.
const RING: Bounds = Bounds { bytes: 16 * 1024 * 1024, records: 1_000_000 };

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    wanted
        .iter()
        .copied()
        .map(|name| match name {
            "emit_stuck" => emit_past_stuck(&stage, scale),
            "memory_per_idle" => {
                let [rare, ..] = events::UNUSED_TYPES;
                let rare = pb::Filter { types: vec![rare.into()], ..Default::default() };
                memory_of_each(&stage, name, scale.pick(10_000, 200), &rare, scale)
            }
            _ => memory_of_each(&stage, name, STUCK, &pb::Filter::default(), scale),
        })
        .collect()
}

/// Emitting while a hundred do not read, and while nobody subscribes.
fn emit_past_stuck(stage: &Stage, scale: Scale) -> Result<Row> {
    let watched = stage.gateway(Bounds::default())?;
    let lonely = stage.gateway(Bounds::default())?;
    let _stuck = stage.run(open(watched.address, STUCK, 1, &pb::Filter::default()))?;
    let count = scale.pick(20_000, 500);
    let next = std::cell::Cell::new(0);
    let requests = || {
        let first = next.replace(next.get() + count);
        events::emit_requests(first..first + count)
    };
    // What they take before they are stuck goes ahead.
    stage.run(emit::emit_all(watched.address, requests()))?;
    stage.run(emit::emit_all(lonely.address, requests()))?;
    Duel {
        name: "emit_stuck",
        unit: "events/s",
        better: Better::More,
        peer: "the same without subscribers",
    }
    .run(
        scale.rounds(),
        || stage.run(emit::emit_all(watched.address, requests())),
        || stage.run(emit::emit_all(lonely.address, requests())),
    )
}

/// What each of so many subscribers adds to the memory of a gateway whose ring is
/// full before and afterwards.
fn memory_of_each(
    stage: &Stage,
    name: &'static str,
    subscribers: usize,
    filter: &pb::Filter,
    scale: Scale,
) -> Result<Row> {
    let mut other = Other::start()?;
    let turnover = scale.pick(100_000, 2_000);
    let address = other.address;
    let emit = |first| {
        let requests = events::batch_requests(first..first + turnover, BATCH);
        stage.run(emit_batches(address, requests))
    };
    emit(0)?;
    let before = other.resident_bytes()?;
    let streams = stage.run(open(address, subscribers, STREAMS, filter))?;
    emit(turnover)?;
    let ours = (other.resident_bytes()? - before) / subscribers as f64;
    drop(streams);
    Ok(Row { name, unit: "bytes/subscriber", ours, peer: None })
}

async fn emit_batches(address: SocketAddr, requests: Vec<Bytes>) -> Result<()> {
    let mut client = stage::connect(address).await?;
    for request in requests {
        client.unary(stage::EMIT_BATCH, request).await?;
    }
    Ok(())
}

/// Opens subscriptions, so many on each connection, and reads the first response
/// of each.
async fn open(
    address: SocketAddr,
    subscribers: usize,
    streams: usize,
    filter: &pb::Filter,
) -> Result<Vec<Streaming<Bytes>>> {
    let request = pb::SubscribeRequest { filter: Some(filter.clone()), ..Default::default() };
    let request = Bytes::from(request.encode_to_vec());
    let mut opened = Vec::with_capacity(subscribers);
    while opened.len() < subscribers {
        // What the streams of one client hold has a limit.
        let number = opened.len() / streams.max(1) % 200;
        let door = stage::Door::from_client(address, number as u8 + 1)?;
        let mut client = stage::connect(door).await?;
        for _ in 0..streams.min(subscribers - opened.len()) {
            let mut stream = client.stream(SUBSCRIBE, request.clone()).await?;
            stream.message().await?;
            opened.push(stream);
        }
    }
    Ok(opened)
}

/// A gateway in a process of its own, whose memory is looked at.
struct Other {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Other {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--child", CHILD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = process.stdin.take().ok_or("its input is a pipe")?;
        let mut answers = BufReader::new(process.stdout.take().ok_or("its output is a pipe")?);
        let address = line(&mut answers)?.parse()?;
        Ok(Self { process, ask, answers, address })
    }

    fn resident_bytes(&mut self) -> Result<f64> {
        self.ask.write_all(b"memory\n")?;
        Ok(line(&mut self.answers)?.parse()?)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It has ended if this fails.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn line(from: &mut impl std::io::BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Is the process that is measured: says where it listens, and for each line that
/// it reads, how much memory it has.
///
/// # Errors
/// If it cannot listen.
pub fn child() -> Result<()> {
    let stage = Stage::new()?;
    let mut config = Config { listen: stage::loopback(), ring: RING, ..Config::default() };
    config.quotas.subscribers = usize::MAX;
    let gateway = stage.serve(Gateway::start(config))?;
    println!("{}", gateway.address());
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{}", memory::resident_bytes()?);
    }
    Ok(())
}
