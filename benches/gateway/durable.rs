//! The log on disk: against a bare file by itself, and against the log in memory
//! behind the network.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::log::disk::{Config, DiskLog};
use auditgate::log::{Append, Bounds, Log, MemoryLog, Sequencer as _};
use auditgate::proto::pb;
use auditgate::record::{Draft, EmitterIdentity};
use auditgate::time::Time;
use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::emit::emit_all;
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::stage::{self, EMIT_STREAM, Served, Stage};
use crate::{Result, Scale, ensure, events};

/// The measures of this file.
pub const NAMES: &[&str] = &[
    "durable_append_1",
    "durable_append_100",
    "durable_append_1000",
    "durable_emit_stream",
    "durable_emit_unary",
];

/// Events of a message of the stream.
pub const MESSAGE_EVENTS: usize = 64;
/// Messages in flight on the stream.
pub const MESSAGES_IN_FLIGHT: usize = 256;
/// What a record takes on disk, in bytes.
const RECORD_BYTES: usize = 330;

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    wanted
        .iter()
        .map(|name| match *name {
            "durable_append_1" => append("durable_append_1", 1, scale.pick(2_000, 20), scale),
            "durable_append_100" => append("durable_append_100", 100, scale.pick(500, 5), scale),
            "durable_append_1000" => {
                append("durable_append_1000", 1_000, scale.pick(200, 2), scale)
            }
            "durable_emit_stream" => emit("durable_emit_stream", scale.pick(2_000, 20), scale),
            _ => emit("durable_emit_unary", scale.pick(20_000, 600), scale),
        })
        .collect()
}

/// On the disk where the bench was built: a temporary folder may be in memory.
///
/// # Errors
/// If the system gives none.
pub fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn append(name: &'static str, group: usize, groups: usize, scale: Scale) -> Result<Row> {
    let peer = "bare file, zero-filled ahead, write and fdatasync";
    let duel = Duel { name, unit: "records/s", better: Better::More, peer };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let drafts = drafts(group, groups + 1)?;
    let record = drafts.first().and_then(|group| group.first()).map(Draft::frame_len_max);
    let bytes = vec![7_u8; record.unwrap_or(RECORD_BYTES).min(RECORD_BYTES) * group];
    let ours = || {
        let folder = folder()?;
        let (log, _) = DiskLog::open(folder.path(), Config::default())?;
        let mut drafts = drafts.clone().into_iter();
        let all = async |drafts: &mut dyn Iterator<Item = Vec<Draft>>| {
            for group in drafts {
                log.append(&group, Append::AllOrNothing { validate_only: false }).await?;
            }
            Result::Ok(())
        };
        // With the first one the log's first file is ready, as the peer's is.
        runtime.block_on(all(&mut drafts.by_ref().take(1)))?;
        let watch = Stopwatch::start();
        runtime.block_on(all(&mut drafts))?;
        Ok(watch.stop().rate((group * groups) as f64))
    };
    let bare = || {
        let folder = folder()?;
        let file = zeros(folder.path(), bytes.len() * groups)?;
        let watch = Stopwatch::start();
        for number in 0..groups {
            file.write_all_at(&bytes, (number * bytes.len()) as u64)?;
            file.sync_data()?;
        }
        Ok(watch.stop().rate((group * groups) as f64))
    };
    duel.run(scale.rounds(), ours, bare)
}

fn drafts(group: usize, groups: usize) -> Result<Vec<Vec<Draft>>> {
    let emitter: EmitterIdentity =
        pb::Emitter { principal: String::new(), peer: "127.0.0.1:50000".into() }.into();
    let now = Time::now();
    let mut encoded = events::encoded(0..(group * groups) as u64);
    (0..groups)
        .map(|_| {
            let events = encoded.by_ref().take(group);
            let drafts = events
                .map(|event| Ok(Draft::new(Event::check(event, now, EVENT_BYTES_MAX)?, &emitter)));
            drafts.collect()
        })
        .collect()
}

fn zeros(folder: &Path, bytes: usize) -> Result<File> {
    let file = File::create(folder.join("bare"))?;
    file.write_all_at(&vec![0; bytes], 0)?;
    file.sync_all()?;
    Ok(file)
}

fn emit(name: &'static str, count: usize, scale: Scale) -> Result<Row> {
    let duel = Duel { name, unit: "events/s", better: Better::More, peer: "log in memory" };
    let stage = Stage::new()?;
    let folder = folder()?;
    let (disk, _) = DiskLog::open(folder.path(), Config::default())?;
    let memory = MemoryLog::new(Bounds::default());
    let ours = stage.gateway_on(Arc::new(disk))?;
    let peer = stage.gateway_on(Arc::new(memory) as Arc<dyn Log>)?;
    let next = std::cell::Cell::new(0);
    let play = |served: &Served| {
        let events = if name == "durable_emit_unary" { count } else { count * MESSAGE_EVENTS };
        let numbers = next.get()..next.get() + events as u64;
        next.set(numbers.end);
        let before = crate::emit::accepted(served.gateway.hub());
        let sample = if name == "durable_emit_unary" {
            stage.run(emit_all(served.address, events::emit_requests(numbers)))?
        } else {
            let requests = events::batch_requests(numbers, MESSAGE_EVENTS);
            stage.run(emit_stream(served.address, requests))?
        };
        let kept = crate::emit::accepted(served.gateway.hub()) - before;
        ensure(kept == events as u64, || format!("{kept} of {events} events were accepted"))?;
        Ok(sample)
    };
    duel.run(scale.rounds(), || play(&ours), || play(&peer))
}

/// Sends messages on one stream, [`MESSAGES_IN_FLIGHT`] ahead of their answers;
/// gives events a second.
///
/// # Errors
/// If an event is not accepted.
pub async fn emit_stream(address: SocketAddr, requests: Vec<Bytes>) -> Result<Sample> {
    let events = requests.len() * MESSAGE_EVENTS;
    let mut client = stage::connect(address).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let window = Arc::new(Semaphore::new(MESSAGES_IN_FLIGHT * MESSAGE_EVENTS));
    let watch = Stopwatch::start();
    let room = Arc::clone(&window);
    let sending = tokio::spawn(async move {
        for request in requests {
            let Ok(room) = room.acquire_many(MESSAGE_EVENTS as u32).await else { return };
            room.forget();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    let requests = UnboundedReceiverStream::new(receiver);
    let mut answers = client.duplex(EMIT_STREAM, requests).await?;
    let mut answered = 0;
    while let Some(answer) = answers.message().await? {
        let answer = pb::EmitStreamResponse::decode(answer)?;
        ensure(answer.refusals.is_empty(), || "an event was refused".to_owned())?;
        window.add_permits((answer.answered - answered) as usize);
        answered = answer.answered;
    }
    sending.await?;
    ensure(answered == events as u64, || format!("{answered} of {events} events were answered"))?;
    Ok(watch.stop().rate(events as f64))
}
