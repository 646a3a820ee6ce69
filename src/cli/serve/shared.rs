//! Opening a log that several gateways share.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LogOutput;
use super::proof_key::verifier_keys;
use super::served_log::{ServedLog, retained};
use crate::cli::Error;
use crate::config::{ByteSize, Period, Settings, SharedSettings};
use crate::log::disk;
use crate::log::shared::cluster_key::ClusterSecrets;
use crate::log::shared::message::{EpochKey, MemberReport};
use crate::log::shared::publisher::PublishTimes;
use crate::log::shared::shared_log::{self, SharedLog};
use crate::log::shared::stream::Stream as _;
use crate::log::shared::stream::jetstream::{self, JetStream};
use crate::log::{Sequencer as _, State};

/// After a failed attempt to reach the servers, the next one waits so long.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// The gateway begins to listen after so long, even if its copy has not caught up: it serves
/// what it has, and accepts events when it has caught up.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(5);

/// Opens the shared log, whose copy is in `folder`, and tells how it was found.
pub(super) async fn open(
    settings: &Settings,
    folder: &Path,
    logs: &LogOutput,
) -> Result<ServedLog, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Usage(error.to_string());
    let shared = &settings.shared;
    let file = shared.cluster_key.as_deref().unwrap_or(Path::new(""));
    let secrets = ClusterSecrets::read(file).map_err(|error| failed(&error))?;
    let begun = Instant::now();
    let epoch_keys = verifier_keys(settings).map_err(|error| failed(&error))?;
    let epoch_key = (!epoch_keys.is_empty()).then(|| Arc::new(epoch_keys) as Arc<dyn EpochKey>);
    let (log, notices, stream) = loop {
        let stream = Arc::new(connect(shared, begun, logs).await?);
        let keys = secrets.keys(stream.settings().log_id);
        let mut disk = settings.disk();
        disk.retain = disk::Retention { bytes: None, age: stream.plan().age_max };
        let (times, epoch_key) = (PublishTimes::default(), epoch_key.clone());
        let config = shared_log::Config { disk, keys, times, epoch_key };
        match SharedLog::open(folder, config, Arc::clone(&stream) as _).await {
            Ok((log, notices)) => break (log, notices, stream),
            Err(error) if error.is_passing() => {
                pause(shared, begun, &error.to_string(), logs).await?;
            }
            Err(error) => return Err(failed(&error)),
        }
    };
    stream.watch_servers(shared.monitor.clone());
    let kept = describe(shared, folder, &stream);
    notices.iter().for_each(|notice| logs.notice(notice));
    let mut state = log.state();
    let ready = state.wait_for(|state| *state == State::Ready);
    let _ = tokio::time::timeout(CATCH_UP_TIME_MAX, ready).await;
    log.announce(profile(settings));
    let log = Arc::new(log);
    Ok(ServedLog { log: Arc::clone(&log) as _, kept, shared: Some(log) })
}

/// What this gateway tells the others of itself.
pub(super) fn profile(settings: &Settings) -> MemberReport {
    MemberReport {
        name: settings.gateway_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        is_signer: settings.signing_key.is_some(),
        digests: settings.digests(),
    }
}

/// After a failed attempt: waits for the next one, visibly, for as long as the configuration says.
async fn pause(
    shared: &SharedSettings,
    begun: Instant,
    error: &str,
    logs: &LogOutput,
) -> Result<(), Error> {
    let Period(patience) = shared.connect_timeout;
    if begun.elapsed() + CONNECT_PAUSE >= patience {
        let limit = shared.connect_timeout;
        return Err(Error::Usage(format!(
            "{error}; gave up after {limit}, see --shared-connect-timeout"
        )));
    }
    logs.refuse(&format!("{error}; trying again"));
    tokio::time::sleep(CONNECT_PAUSE).await;
    Ok(())
}

/// Connects to the stream; tries again while that may help.
async fn connect(
    shared: &SharedSettings,
    begun: Instant,
    logs: &LogOutput,
) -> Result<JetStream, Error> {
    let (servers, subjects) = (shared.connection()?, shared.subjects()?);
    let Period(patience) = shared.connect_timeout;
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let opened =
            tokio::time::timeout(left.max(CONNECT_PAUSE), JetStream::open(&servers, &subjects));
        let error = match opened.await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.is_passing() => error.to_string(),
            Ok(Err(error)) => return Err(Error::Usage(error.to_string())),
            Err(_) => jetstream::Error::NoAnswer("it was not reached in time".into()).to_string(),
        };
        pause(shared, begun, &error, logs).await?;
    }
}

/// What the log keeps, and what a receipt means.
fn describe(shared: &SharedSettings, folder: &Path, stream: &JetStream) -> String {
    let plan = stream.plan();
    let receipt = match plan.replicas {
        1 => "durability: on one server before acknowledgement".to_owned(),
        count => {
            let majority = count / 2 + 1;
            format!("durability: on {majority} of {count} servers before acknowledgement")
        }
    };
    let bytes = plan.bytes_max.map(|max| ByteSize(usize::try_from(max).unwrap_or(usize::MAX)));
    let checked = match shared.monitor.is_empty() {
        true => "; set shared.monitor to have that checked",
        false => "",
    };
    format!(
        "shared log: stream {} of {}, connected to {}, {}; {receipt}, on stable storage if they run with sync_interval: always{checked}\nthis gateway's copy of it: {}",
        shared.subjects().map(|subjects| subjects.stream().to_owned()).unwrap_or_default(),
        shared.servers.join(", "),
        stream.server_name(),
        retained(bytes, plan.age_max.map(Period)),
        folder.display(),
    )
}
