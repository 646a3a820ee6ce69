//! `[admin]` and `[log]`: the admin listener and the log lines.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The admin listener: `/metrics`, `/livez` and `/readyz` over plain HTTP. It serves no events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address of the admin listener, such as 127.0.0.1:9464; port 0 chooses a free port. Without
    /// it, there is no admin listener. It may be the address of a pod: the metrics are not
    /// secret, but there is no TLS and no authentication.
    #[schemars(extend("value_name" = "ADDR"))]
    pub listen: Option<SocketAddr>,
}

/// Log lines on standard error. They never contain the content of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// Log level.
    pub level: LogLevel,
    /// Log format.
    pub format: LogFormat,
}

/// A log level; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Warnings that an operator should look at.
    Warn,
    /// Starts, stops and configuration changes.
    Info,
    /// Every call.
    Debug,
}

/// A log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}
