//! What the tree costs: EmitStream on a log on disk with it, and without.

use std::net::SocketAddr;
use std::sync::Arc;

use auditgate::log::disk::{self, DiskLog};
use auditgate::proof::SigningKey;
use auditgate::proof::key::SignatureKind;
use auditgate::server::{Config, Gateway};

use crate::durable::folder;
use crate::emit::stream_all;
use crate::rounds::{Better, Duel, Row};
use crate::stage::{self, Stage};
use crate::{Result, Scale, ensure};

/// The measures of this file.
pub const NAMES: &[&str] = &["merkle"];

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
        stage.run(stream_all(durable.address, first..first + count))
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
        let folder = folder()?;
        let (log, _) = DiskLog::open(folder.path(), disk::Config::default())?;
        let key = SigningKey::generate("bench.example/log", SignatureKind::Log)?;
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
