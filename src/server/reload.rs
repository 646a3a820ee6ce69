//! Reloads keys, certificates, roles and redaction rules while the gateway runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::access::{AccessControl, AccessState};
use crate::audit::{Auditor, ConfigChange};
use crate::config::{self, Settings};
use crate::content::ActivePolicy;
use crate::delivery::DeliveryConfig;
use crate::log::shared::cluster_key::ClusterSecrets;
use crate::server::expiry::WARNING_INTERVAL;
use crate::server::tls::{self, TlsSetup};
use crate::text::truncated;
use crate::time::Time;

/// The interval between checks of the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The parts of the gateway that a reload replaces.
pub struct Reloader {
    access: Arc<AccessControl>,
    tls: Arc<TlsSetup>,
    policy: ActivePolicy,
    current: Mutex<ActiveConfig>,
    outcomes: ReloadCounters,
}

/// Counts reloads by outcome.
#[derive(Debug, Default)]
pub struct ReloadCounters {
    applied: AtomicU64,
    refused: AtomicU64,
    last: Mutex<Option<LastReload>>,
}

/// The outcome of the last reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReload {
    /// When it happened.
    pub time: Time,
    /// Why it was refused, so that the files differ from the running configuration; `None` if it
    /// was applied.
    pub error: Option<String>,
}

impl ReloadCounters {
    /// Counts a reload, which was refused if there is an error.
    pub fn count(&self, error: Option<&str>) {
        /// The most of an error that is kept, in bytes.
        const ERROR_BYTES_MAX: usize = 4 * 1024;
        let total = if error.is_none() { &self.applied } else { &self.refused };
        total.fetch_add(1, Ordering::Relaxed);
        let error = error.map(|error| truncated(error.to_owned(), ERROR_BYTES_MAX));
        *self.last.lock() = Some(LastReload { time: Time::now(), error });
    }

    /// The last reload.
    pub fn last(&self) -> Option<LastReload> {
        self.last.lock().clone()
    }

    /// The number of reloads by result.
    pub fn totals(&self) -> [(&'static str, u64); 2] {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        [("applied", read(&self.applied)), ("refused", read(&self.refused))]
    }

    /// Whether the last reload was applied; true if there was none.
    pub fn last_was_applied(&self) -> bool {
        self.last.lock().as_ref().is_none_or(|last| last.error.is_none())
    }
}

/// The configuration in force.
struct ActiveConfig {
    tls: config::Tls,
    access: config::Access,
    files: FileStamps,
}

/// Files with the modification time and size that show a change.
type FileStamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Reloader {
    /// Reads all files that the configuration names. A reload replaces `policy`.
    ///
    /// # Errors
    /// If a file cannot be read or has invalid content.
    pub fn load(
        tls: config::Tls,
        access: config::Access,
        policy: ActivePolicy,
    ) -> Result<Self, config::Error> {
        // Recorded before reading, so that files that change meanwhile are read again.
        let files = look(&tls, &access);
        Ok(Self {
            access: AccessControl::load(&tls, &access)?,
            tls: Arc::new(TlsSetup::new(&tls)?),
            policy,
            current: Mutex::new(ActiveConfig { tls, access, files }),
            outcomes: ReloadCounters::default(),
        })
    }

    /// Authentication and authorization.
    pub fn access(&self) -> &Arc<AccessControl> {
        &self.access
    }

    /// The TLS setup.
    pub fn tls(&self) -> &Arc<TlsSetup> {
        &self.tls
    }

    /// The outcomes of reloads.
    pub fn outcomes(&self) -> &ReloadCounters {
        &self.outcomes
    }

    /// Replaces the settings, and reloads the files that they name.
    ///
    /// # Errors
    /// If a file cannot be read or has the wrong content; then nothing changes.
    fn replace(&self, tls: &config::Tls, access: &config::Access) -> Result<(), config::Error> {
        let files = look(tls, access);
        let loaded = tls::load(tls)?;
        let state = AccessState::load(tls, access)?;
        let mut current = self.current.lock();
        self.tls.replace(loaded);
        self.access.replace(state);
        *current = ActiveConfig { tls: tls.clone(), access: access.clone(), files };
        Ok(())
    }

    /// Replaces the settings `before` by `after`, and records the change.
    ///
    /// # Errors
    /// If a file cannot be read or has the wrong content; then nothing changes.
    pub async fn follow(
        &self,
        before: &Settings,
        after: &Settings,
        auditor: &Auditor,
    ) -> Result<(), config::Error> {
        let replaced = after.content().and_then(|policy| {
            self.replace(&after.tls, &after.access)?;
            self.policy.replace(policy);
            Ok(())
        });
        let error = replaced.as_ref().err().map(ToString::to_string);
        self.outcomes.count(error.as_deref());
        let change = ConfigChange {
            changed_keys: changed_keys(before, after),
            restart_keys: restart_keys(before, after),
            files: Vec::new(),
            principal: String::new(),
            error,
        };
        auditor.changed(change).await;
        replaced
    }

    /// The settings, if one of their files has changed since the last check.
    fn changed(&self) -> Option<(config::Tls, config::Access, Vec<String>)> {
        let mut current = self.current.lock();
        let files = look(&current.tls, &current.access);
        if files == current.files {
            return None;
        }
        let is_new = |(file, written): &(&PathBuf, _)| current.files.get(*file) != Some(*written);
        let written = files.iter().filter(is_new).map(|(file, _)| file.display().to_string());
        let written = written.collect();
        // A rejected file is not tried again before it changes.
        current.files = files;
        Some((current.tls.clone(), current.access.clone(), written))
    }

    /// Warnings for the operator about the loaded files and roles, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let now = SystemTime::now();
        let expiries = self.tls.expiries();
        let ends = expiries.iter().filter_map(|expiry| expiry.warning(now));
        let current = self.current.lock();
        ends.chain(current.access.unreachable_names(&current.tls)).collect()
    }

    /// Reloads files when they change, and warns of certificates before they end, until
    /// `stopping` is cancelled.
    pub async fn watch(self: Arc<Self>, auditor: Auditor, stopping: CancellationToken) {
        let mut next_warning = Instant::now();
        loop {
            if Instant::now() >= next_warning {
                next_warning = Instant::now() + WARNING_INTERVAL;
                self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let own = Arc::clone(&self);
            let looking = tokio::task::spawn_blocking(move || own.look_again());
            match looking.await {
                Ok(Some(change)) => auditor.changed(change).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot check keys and certificates for changes")
                }
            }
        }
    }

    fn look_again(&self) -> Option<ConfigChange> {
        let (tls, access, files) = self.changed()?;
        let replaced = self.replace(&tls, &access);
        let error = replaced.as_ref().err().map(ToString::to_string);
        self.outcomes.count(error.as_deref());
        match replaced {
            Ok(()) => tracing::info!("reloaded changed keys and certificates"),
            Err(error) => {
                tracing::error!(%error, "cannot load changed keys or certificates: keeping the previous ones");
            }
        }
        Some(ConfigChange { files, error, ..ConfigChange::default() })
    }
}

/// Reads the certificates and keys that the settings name, as a starting gateway would.
/// Returns warnings for the operator, one sentence each.
///
/// # Errors
/// If a file cannot be read or has the wrong content.
pub fn check(settings: &Settings) -> Result<Vec<String>, config::Error> {
    settings.deliveries()?.iter().try_for_each(check_delivery)?;
    if let Some(file) = &settings.shared.cluster_key {
        ClusterSecrets::read(file)
            .map_err(|error| config::Error::value("shared.cluster_key", error))?;
    }
    let (tls, access) = (settings.tls.clone(), settings.access.clone());
    Ok(Reloader::load(tls, access, ActivePolicy::default())?.warnings())
}

/// Reads the secrets and certificates that a delivery names, without a change of anything.
///
/// # Errors
/// If a file or variable cannot be used.
pub fn check_delivery(config: &DeliveryConfig) -> Result<(), config::Error> {
    config.destination.check(config.format.item_kind()).map_err(|error| {
        let key = format!("delivery.{}.destination.{}", config.name, error.key);
        config::Error::value(key, error.what)
    })
}

/// The changed keys that need a restart.
pub fn restart_keys(before: &Settings, after: &Settings) -> Vec<String> {
    let plain = |settings: &Settings| {
        let tls =
            config::Tls { handshake_timeout: settings.tls.handshake_timeout, ..Default::default() };
        let plain = Settings {
            tls,
            access: config::Access::default(),
            redact: config::Redact::default(),
            oversize: config::Oversize::default(),
            max_skew: None,
            delivery: Vec::new(),
            ..settings.clone()
        };
        serde_json::to_value(plain).expect("settings are plain data")
    };
    differing(&plain(before), &plain(after))
}

/// The changed keys; a list counts as one key.
pub fn changed_keys(before: &Settings, after: &Settings) -> Vec<String> {
    let value = |settings| serde_json::to_value(settings).expect("settings are plain data");
    differing(&value(before), &value(after))
}

fn differing(before: &serde_json::Value, after: &serde_json::Value) -> Vec<String> {
    let differs = |key: &&config::ConfigKey| {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        key.kind != config::KeyKind::Table
            && !key.path.contains("[]")
            && before.pointer(&pointer) != after.pointer(&pointer)
    };
    config::keys().iter().filter(differs).map(|key| key.path.clone()).collect()
}

fn look(tls: &config::Tls, access: &config::Access) -> FileStamps {
    let of_tls = [&tls.cert, &tls.key, &tls.client_ca].into_iter().flatten();
    let files = of_tls.chain(access.jwt.iter().map(|jwt| &jwt.jwks));
    files.map(|file| (file.clone(), stamp(file))).collect()
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}
