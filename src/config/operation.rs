//! `[admin]` and `[log]`: what an operator sees of the gateway.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A listener for operators: `/metrics`, `/livez` and `/readyz`, by plain HTTP. It
/// shows no events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address of the listener for metrics and probes, such as 127.0.0.1:9464; port 0
    /// takes a free port. Without it there is none. It may be the address of a pod: what
    /// it shows is not secret, but there is no TLS and no authentication.
    #[schemars(extend("value_name" = "ADDR"))]
    pub listen: Option<SocketAddr>,
}

/// What the gateway says on standard error. It never says what is in an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// How much is said.
    pub level: LogLevel,
    /// How it is said.
    pub format: LogFormat,
}

/// How much is said; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What the gateway fails at.
    Error,
    /// What an operator should look at.
    Warn,
    /// Starts, stops and changes.
    Info,
    /// Every call.
    Debug,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// As text on a terminal, as JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}
