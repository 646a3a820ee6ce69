//! Starts, replaces, reports, controls and ends the deliveries of a gateway.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::delivery::DeliveryConfig;
use crate::delivery::control::{ControlAction, ControlError, DeliveryOrder};
use crate::delivery::dead_letters::DeadLetters;
use crate::delivery::hold::DeliveryHold;
use crate::delivery::runner::{Runner, StopRequest};
use crate::delivery::state::DeliveryState;
use crate::delivery::state_file::{SavedState, StateError, StateFile};
use crate::filter::{self, Filter};
use crate::hub::Hub;
use crate::log::disk::directory_lock::{DirectoryLock, writable_by_others};
use crate::log::disk::storage::DIRECTORY_MODE;
use crate::text;

pub use report::DeliveryReport;

mod report;

/// Time limit for batches in flight when a delivery is changed or removed.
const SETTLE_TIME: Duration = Duration::from_secs(5);
/// Additional time that a delivery may take to end.
const END_GRACE: Duration = Duration::from_secs(3);
/// The most requests of operators that wait for a runner.
const COMMANDS_MAX: usize = 16;

/// The deliveries of a gateway.
pub struct Deliveries {
    hub: Arc<Hub>,
    path: Option<PathBuf>,
    /// The lock on the directory of cursors and dead letters; `None` until there is a delivery.
    directory: Mutex<Option<DirectoryLock>>,
    running: Mutex<BTreeMap<String, RunningDelivery>>,
    /// Deliveries that other gateways of a shared log run.
    elsewhere: Mutex<BTreeMap<String, DeliveryConfig>>,
}

struct RunningDelivery {
    config: DeliveryConfig,
    state: Arc<DeliveryState>,
    commands: mpsc::Sender<DeliveryOrder>,
    stop: watch::Sender<StopRequest>,
    task: JoinHandle<()>,
}

/// Why deliveries cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no directory.
    #[error("deliveries need a directory for their cursors: set delivery_dir or data_dir")]
    NoDirectory,
    /// The directory cannot be used.
    #[error("the directory of deliveries {}: {error}", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// Others may write the directory.
    #[error("users other than its owner may write {}, mode {mode:04o}: run chmod 700", path.display())]
    Exposed {
        /// Its path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another gateway uses the directory.
    #[error(
        "another gateway uses the directory of deliveries {}: stop it, or give each its own delivery_dir",
        path.display()
    )]
    InUse {
        /// Its path.
        path: PathBuf,
    },
    /// The state of a delivery cannot be read.
    #[error("delivery {name}: {error}")]
    State {
        /// The delivery.
        name: String,
        /// Why.
        error: StateError,
    },
    /// The dead letters of a delivery cannot be used.
    #[error("delivery {name}: its dead letters: {error}")]
    DeadLetters {
        /// The delivery.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// The filter of a delivery is not valid.
    #[error("delivery {name}: filter.{error}")]
    Filter {
        /// The delivery.
        name: String,
        /// Why.
        error: filter::Error,
    },
}

impl Deliveries {
    /// Starts deliveries that read the log of `hub` and keep their files in `directory`. Returns
    /// them, and the keys that changed since they last ran.
    ///
    /// # Errors
    /// If the directory, or the file of a delivery, cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        hub: &Arc<Hub>,
        directory: Option<&Path>,
        configs: Vec<DeliveryConfig>,
    ) -> Result<(Arc<Self>, Vec<String>), StartError> {
        let deliveries = Arc::new(Self {
            hub: Arc::clone(hub),
            path: directory.map(Path::to_owned),
            directory: Mutex::default(),
            running: Mutex::default(),
            elsewhere: Mutex::default(),
        });
        let mut changed = Vec::new();
        for config in configs {
            deliveries.add(config, &mut changed)?;
        }
        Ok((deliveries, changed))
    }

    fn add(&self, config: DeliveryConfig, changed: &mut Vec<String>) -> Result<(), StartError> {
        if config.elsewhere.is_some() {
            self.elsewhere.lock().insert(config.name.clone(), config);
            return Ok(());
        }
        let directory = self.locked_directory()?;
        let name = config.name.clone();
        let file = StateFile::of(&directory, &name);
        let found = file.read().map_err(|error| StartError::State { name: name.clone(), error })?;
        let filter = Filter::compile(&config.filter)
            .map_err(|error| StartError::Filter { name: name.clone(), error })?;
        let letters = DeadLetters::open(&directory, &name)
            .map_err(|error| StartError::DeadLetters { name: name.clone(), error })?;
        if self.hub.storage().is_none() {
            tracing::warn!(
                delivery = %name,
                "the log is in memory: it begins with the oldest record kept, and what is not delivered when the gateway ends is lost"
            );
        }
        let is_saved = found.is_some();
        let saved = with_changes(found, &config, changed);
        let state = Arc::new(DeliveryState::new(name.clone(), saved.paused));
        state.set_dead_letters(letters.count(), letters.bytes());
        let progress = watch::Sender::new(());
        if let Some(limits) = config.hold {
            let hold = DeliveryHold::new(&state, &self.hub, limits, progress.subscribe());
            self.hub.hold(Arc::new(hold));
        }
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (stop, stopped) = watch::channel(StopRequest::Run);
        let runner = Runner {
            config: config.clone(),
            filter: Arc::new(filter),
            hub: Arc::clone(&self.hub),
            state: Arc::clone(&state),
            file,
            saved,
            is_saved,
            letters: Arc::new(Mutex::new(letters)),
            commands: asked,
            stop: stopped,
            progress,
        };
        let task = tokio::spawn(runner.run());
        let running = RunningDelivery { config, state, commands, stop, task };
        self.running.lock().insert(name, running);
        Ok(())
    }

    /// Replaces the deliveries. Unchanged ones keep running, changed ones continue at their cursor.
    /// Returns the changed keys.
    ///
    /// # Errors
    /// If the file of a delivery cannot be used; deliveries that were changed before it run.
    pub async fn replace(&self, configs: Vec<DeliveryConfig>) -> Result<Vec<String>, StartError> {
        if configs.iter().any(|config| config.elsewhere.is_none()) {
            self.locked_directory()?;
        }
        let is_kept = |name: &str, running: &RunningDelivery| {
            configs.iter().any(|config| config.name == name && *config == running.config)
        };
        let ending: Vec<RunningDelivery> = {
            let mut running = self.running.lock();
            let names: Vec<String> = running
                .iter()
                .filter(|(name, running)| !is_kept(name, running))
                .map(|(name, _)| name.clone())
                .collect();
            names.iter().filter_map(|name| running.remove(name)).collect()
        };
        let deadline = Instant::now() + SETTLE_TIME;
        end_all(ending, StopRequest::Settle(deadline), deadline).await;
        self.elsewhere.lock().clear();
        let mut changed = Vec::new();
        for config in configs {
            let runs = self.running.lock().contains_key(&config.name);
            if !runs {
                self.add(config, &mut changed)?;
            }
        }
        Ok(changed)
    }

    fn locked_directory(&self) -> Result<PathBuf, StartError> {
        let path = self.path.clone().ok_or(StartError::NoDirectory)?;
        let mut directory = self.directory.lock();
        if directory.is_none() {
            *directory = Some(lock(&path)?);
        }
        Ok(path)
    }

    /// All deliveries, by name.
    pub fn list(&self) -> Vec<DeliveryReport> {
        let last = self.hub.extent().last;
        let running = self.running.lock();
        let own = running.values().map(|one| DeliveryReport::of(&one.config, &one.state, last));
        let mut reports: Vec<DeliveryReport> = own.collect();
        reports.extend(self.elsewhere.lock().values().map(DeliveryReport::elsewhere));
        reports.sort_by(|one, other| one.name.cmp(&other.name));
        reports
    }

    /// Executes a request of an operator. Returns the state of the delivery afterwards.
    ///
    /// # Errors
    /// If there is no such delivery, or it refuses the request.
    pub async fn control(
        &self,
        name: &str,
        action: ControlAction,
    ) -> Result<DeliveryReport, ControlError> {
        let (commands, state, config) = {
            let running = self.running.lock();
            let elsewhere = self.elsewhere.lock();
            let gateway = elsewhere.get(name).and_then(|config| config.elsewhere.clone());
            if let Some(gateway) = gateway {
                return Err(ControlError::Elsewhere { name: name.to_owned(), gateway });
            }
            let Some(found) = running.get(name) else {
                let names = running.keys().chain(elsewhere.keys()).map(String::as_str);
                let nearest = text::nearest_one(name, names).map(str::to_owned);
                return Err(ControlError::Unknown { name: text::excerpt(name), nearest });
            };
            (found.commands.clone(), Arc::clone(&found.state), found.config.clone())
        };
        let (reply, answer) = oneshot::channel();
        commands.send(DeliveryOrder { action, reply }).await.map_err(|_| ControlError::Ended)?;
        answer.await.map_err(|_| ControlError::Ended)??;
        Ok(DeliveryReport::of(&config, &state, self.hub.extent().last))
    }

    /// Ends all deliveries when all records are delivered, or after this time.
    pub async fn stop(&self, within: Duration) {
        let ending: Vec<RunningDelivery> =
            std::mem::take(&mut *self.running.lock()).into_values().collect();
        let deadline = Instant::now() + within;
        end_all(ending, StopRequest::Drain(deadline), deadline).await;
        // Another gateway may now run them.
        *self.directory.lock() = None;
    }
}

/// A dropped gateway delivers nothing more.
impl Drop for RunningDelivery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn end_all(mut ending: Vec<RunningDelivery>, request: StopRequest, deadline: Instant) {
    for one in &ending {
        one.stop.send_replace(request);
    }
    for one in &mut ending {
        let rest = deadline.saturating_duration_since(Instant::now()) + END_GRACE;
        if timeout(rest, &mut one.task).await.is_err() {
            tracing::warn!(delivery = %one.config.name, "the delivery was cut off");
        }
    }
}

/// The state of a delivery under its present configuration; changed keys are added to `changed`.
fn with_changes(
    found: Option<SavedState>,
    config: &DeliveryConfig,
    changed: &mut Vec<String>,
) -> SavedState {
    let digest = Sha256::digest(config.filter.encode_to_vec());
    let filter: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let format = config.format.name().to_owned();
    let Some(saved) = found else {
        return SavedState::new(String::new(), config.destination.identity(), format, filter);
    };
    let keys = [("format", saved.format != format), ("filter", saved.filter != filter)];
    for (key, _) in keys.iter().filter(|(_, differs)| *differs) {
        changed.push(format!("delivery.{}.{key}", config.name));
    }
    SavedState { format, filter, ..saved }
}

/// Creates the directory if necessary, and locks it.
fn lock(path: &Path) -> Result<DirectoryLock, StartError> {
    let failed = |error| StartError::Directory { path: path.to_owned(), error };
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
    if let Some(mode) = writable_by_others(path).map_err(failed)? {
        return Err(StartError::Exposed { path: path.to_owned(), mode });
    }
    let lock = DirectoryLock::acquire(path).map_err(failed)?;
    lock.ok_or_else(|| StartError::InUse { path: path.to_owned() })
}
