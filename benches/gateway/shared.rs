//! The shared log on three NATS servers, each of which syncs before it answers: against
//! publishing each record by itself to the same servers, and against the log on disk.

mod append;
mod emit;
mod failover;
mod join;
mod lag;
mod reads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use auditgate::log::disk::{self, DiskLog};
use auditgate::log::shared::message::{AuthenticationKey, ClusterKeys};
use auditgate::log::shared::publisher::PublishTimes;
use auditgate::log::shared::shared_log::{Config, SharedLog};
use auditgate::log::shared::stream::Stream as _;
use auditgate::log::shared::stream::jetstream::{
    self, JetStream, NatsServers, StreamPlan, Subjects,
};
use auditgate::log::{Append, Log, Sequencer as _, State};
use tempfile::TempDir;

use crate::durable::folder;
use crate::jetstream::BrokerStream;
use crate::nats::{self, NatsCluster};
use crate::rounds::Row;
use crate::stage::{Served, Stage};
use crate::{Result, Scale, ensure};

/// The measures of this folder.
pub const NAMES: &[&str] = &[
    "shared_append",
    "shared_append_ahead",
    "shared_alone",
    "shared_emit_unary",
    "shared_emit_unary_three",
    "shared_emit_stream",
    "shared_emit_stream_disk",
    "shared_lag",
    "shared_join",
    "shared_failover_killed",
    "shared_failover_stopped",
    "shared_failover_follower",
    "shared_search",
    "shared_subscribe",
    "shared_fanout_100",
];

/// On how many servers each message is.
const REPLICAS: u32 = 3;
/// Servers that do not make a stream after so long have failed.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// The peer of measures against a log on disk.
const DISK: &str = "log on disk";
/// The peer of measures against the stream without a gateway.
const BROKER: &str = "async-nats, a message each, on the same servers";
/// The key of all gateways.
const CLUSTER_KEY: [u8; 32] = [7; 32];
/// Records of an append do not depend on each other.
const EACH: Append = Append::Each { validate_only: false };

/// Runs the measures of these names; none where there is no NATS server.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let Some(program) = nats::program_or_skip("shared") else { return Ok(Vec::new()) };
    let mut place = Place { stage: Stage::new()?, servers: nats::cluster(&program)? };
    let mut rows = Vec::new();
    for name in wanted {
        rows.push(match *name {
            "shared_append" => append::append(&place, scale)?,
            "shared_append_ahead" => append::append_ahead(&place, scale)?,
            "shared_alone" => append::alone(&place, scale)?,
            "shared_emit_unary" => emit::unary(&place, name, 1, scale)?,
            "shared_emit_unary_three" => emit::unary(&place, name, 3, scale)?,
            "shared_emit_stream" => emit::stream_and_broker(&place, scale)?,
            "shared_emit_stream_disk" => emit::stream_and_disk(&place, scale)?,
            "shared_lag" => lag::lag(&place, scale)?,
            "shared_join" => join::join(&place, scale)?,
            "shared_search" => reads::search(&place, scale)?,
            "shared_subscribe" => reads::subscribe(&place, scale)?,
            "shared_fanout_100" => reads::fan_out_to_100(&place, scale)?,
            _ => failover::failover(&mut place, name, scale)?,
        });
    }
    Ok(rows)
}

/// Where the gateways and the servers are.
struct Place {
    stage: Stage,
    servers: NatsCluster,
}

/// A handle of a shared log, and its copy.
struct Member {
    log: Arc<SharedLog>,
    _folder: TempDir,
}

/// A gateway on a log, and the log's directory.
struct Gateway {
    served: Served,
    _folder: TempDir,
}

impl Place {
    fn connection(&self) -> NatsServers {
        NatsServers { addresses: self.servers.urls(), ..NatsServers::default() }
    }

    /// The stream of a log; the first call makes it.
    fn stream(&self, log: &str) -> Result<JetStream> {
        let subjects = Subjects::of_log(log)?;
        let plan = StreamPlan { replicas: REPLICAS, age_max: None, bytes_max: None };
        let connection = self.connection();
        let begun = Instant::now();
        loop {
            // Servers that have just started refuse for a while.
            let made = JetStream::create(&connection, &subjects, plan, uuid::Uuid::now_v7());
            let made = match self.stage.serve(made) {
                Err(jetstream::Error::Exists(_)) => {
                    self.stage.serve(JetStream::open(&connection, &subjects))
                }
                made => made,
            };
            match made {
                Ok(stream) => return Ok(stream),
                Err(error) => ensure(begun.elapsed() < READY_TIME_MAX, || error.to_string())?,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A stream of this name on the same servers, without a gateway.
    fn broker(&self, name: &'static str) -> Result<BrokerStream> {
        self.stage.run(BrokerStream::create(name, &self.servers.urls(), REPLICAS))
    }

    /// One more handle of the log of this name, which has caught up.
    fn member(&self, log: &str) -> Result<Member> {
        let stream = self.stream(log)?;
        let folder = folder()?;
        let log_id = stream.settings().log_id;
        let config = Config {
            disk: disk::Config::default(),
            keys: ClusterKeys::new(AuthenticationKey::new(&CLUSTER_KEY, log_id), Vec::new()),
            times: PublishTimes::default(),
            epoch_key: None,
        };
        let log = self.stage.serve(async {
            let (log, _) = SharedLog::open(folder.path(), config, Arc::new(stream)).await?;
            let mut state = log.state();
            let ready = state.wait_for(|state| *state == State::Ready);
            tokio::time::timeout(READY_TIME_MAX, ready).await.map_err(|_| "it is not ready")??;
            Result::Ok(log)
        })?;
        Ok(Member { log: Arc::new(log), _folder: folder })
    }

    /// A gateway on one more handle of the log of this name.
    fn gateway(&self, log: &str) -> Result<Gateway> {
        let Member { log, _folder } = self.member(log)?;
        Ok(Gateway { served: self.stage.gateway_on(log)?, _folder })
    }

    /// A gateway with a log of its own on disk.
    fn disk_gateway(&self) -> Result<Gateway> {
        let (log, _folder) = disk_log()?;
        Ok(Gateway { served: self.stage.gateway_on(log)?, _folder })
    }
}

/// A log on disk, and its directory.
fn disk_log() -> Result<(Arc<dyn Log>, TempDir)> {
    let folder = folder()?;
    let (log, _) = DiskLog::open(folder.path(), disk::Config::default())?;
    Ok((Arc::new(log), folder))
}

/// A measure without a peer: the value of each round.
fn row(name: &'static str, unit: &'static str, of_rounds: &[f64], ours: f64) -> Row {
    for (round, value) in of_rounds.iter().enumerate() {
        eprintln!("{name} {}/{}: {value:.4e} {unit}", round + 1, of_rounds.len());
    }
    Row { name, unit, ours, peer: None }
}
