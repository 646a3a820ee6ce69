//! Reloads the configuration on SIGHUP.

use super::LogOutput;
use crate::cli::settings::ConfigSource;
use crate::config::Settings;
use crate::server::{Gateway, changed_keys, restart_keys};

/// Reads the configuration again; returns the settings that are then in force.
pub(super) async fn reload(
    source: &ConfigSource,
    gateway: &Gateway,
    before: Settings,
    logs: &LogOutput,
) -> Settings {
    let loaded = source.load().map(|loaded| loaded.settings);
    let after = match loaded {
        Ok(after) => after,
        Err(error) => {
            gateway.count_unreadable_reload(&error.to_string());
            logs.refuse(&format!("{error}; keeping the previous configuration"));
            return before;
        }
    };
    if let Err(error) = gateway.reload(&before, &after).await {
        logs.refuse(&format!("{error}; keeping the previous configuration"));
        return before;
    }
    let waiting = restart_keys(&before, &after);
    let mut changed = changed_keys(&before, &after);
    changed.retain(|key| !waiting.contains(key));
    logs.announce(&match changed.as_slice() {
        [] => "SIGHUP: reloaded keys and certificates".to_owned(),
        keys => format!("SIGHUP: now in force: {}", keys.join(", ")),
    });
    if !waiting.is_empty() {
        logs.announce(&format!("restart the gateway to change {}", waiting.join(", ")));
    }
    // Changes that need a restart are reported again at the next reload.
    let Settings { tls, access, redact, oversize, max_skew, delivery, .. } = after;
    Settings { tls, access, redact, oversize, max_skew, delivery, ..before }
}
