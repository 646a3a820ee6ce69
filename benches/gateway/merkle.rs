//! What the tree costs: EmitStream on a log on disk with it, and without.

use std::net::SocketAddr;
use std::sync::Arc;

use auditgate::log::disk::{self, DiskLog};
use auditgate::proof::SigningKey;
use auditgate::proof::key::Use;
use auditgate::proto::pb;
use auditgate::server::{Config, Gateway};
use bytes::Bytes;
use prost::Message as _;
use tokio::task::JoinSet;

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::stage::{self, EMIT_STREAM, Stage};
use crate::{Result, Scale, ensure, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["merkle"];

/// Streams, each on a connection of its own.
const STREAMS: u64 = 4;
/// Events of a message.
const MESSAGE: usize = 64;

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(_wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let (with, without) = (Durable::start(&stage, true)?, Durable::start(&stage, false)?);
    let count = scale.pick(512 * 1_024, 4 * 1_024);
    let next = std::cell::Cell::new(0);
    let play = |durable: &Durable| {
        let first = next.get();
        next.set(first + count);
        round(&stage, durable.address, first, count)
    };
    let duel = Duel {
        name: "merkle",
        unit: "events/s",
        better: Better::More,
        peer: "the same log on disk, without the tree",
    };
    let row = duel.run(scale.rounds(), || play(&with), || play(&without))?;
    let prover = with.gateway.prover().map(Arc::clone).ok_or("the gateway keeps a tree")?;
    // Nothing was put off: all that was emitted can be signed for.
    let signed = stage.serve(prover.checkpoint())?;
    ensure(signed.size() > 0, || "nothing was hashed".to_owned())?;
    Ok(vec![row])
}

/// A gateway on a log on disk.
struct Durable {
    gateway: Gateway,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Durable {
    fn start(stage: &Stage, merkle: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (log, _) = DiskLog::open(folder.path(), disk::Config::default())?;
        let key = SigningKey::generate("bench.example/log", Use::Log)?;
        let config = Config {
            listen: stage::loopback(),
            signing_key: merkle.then_some(key),
            tiles: Some(folder.path().to_owned()),
            ..Config::default()
        };
        let gateway = stage.serve(Gateway::start_on(config, Arc::new(log)))?;
        Ok(Self { address: gateway.address(), gateway, _folder: folder })
    }
}

/// Emits events on streams, without waiting for answers before the last one; gives
/// events a second.
fn round(stage: &Stage, address: SocketAddr, first: u64, count: u64) -> Result<Sample> {
    let share = count / STREAMS;
    let shares: Vec<Vec<Bytes>> = (0..STREAMS)
        .map(|place| first + place * share)
        .map(|first| events::batch_requests(first..first + share, MESSAGE))
        .collect();
    stage.run(async move {
        let mut streams = Vec::new();
        for requests in shares {
            streams.push((stage::connect(address).await?, requests));
        }
        let watch = Stopwatch::start();
        let mut workers = JoinSet::new();
        for (mut client, requests) in streams {
            workers.spawn(async move {
                let mut answers = client.both_ways(EMIT_STREAM, requests).await?;
                let mut answered = 0;
                while let Some(answer) = answers.message().await? {
                    answered = pb::EmitStreamResponse::decode(answer)?.answered;
                }
                Result::Ok(answered)
            });
        }
        let mut answered = 0;
        while let Some(ended) = workers.join_next().await {
            answered += ended??;
        }
        let sample = watch.stop().rate(count as f64);
        ensure(answered == count, || format!("{answered} of {count} events were answered"))?;
        Ok(sample)
    })
}
