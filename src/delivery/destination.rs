//! Destinations: send batches to other systems, and interpret their answers.
//!
//! A destination is untrusted: its answers are read up to a size and a time limit, redirects are
//! not followed, and its texts are cut and escaped before they are kept.

pub mod elasticsearch;
pub mod file;
pub mod http;
pub mod http_client;
pub mod otlp;
#[cfg(test)]
pub mod scripted;
pub mod secret;
pub mod splunk;
pub mod syslog;
pub mod tls;
pub mod webhook_signature;

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::batch::Batch;
use crate::delivery::format::ItemKind;
use crate::log::BoxFuture;

/// The longest retry delay that a destination can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Sends batches to another system.
pub trait Destination: Send + Sync + 'static {
    /// Sends a batch, and waits for the answer up to its own time limit. If the future is dropped,
    /// the batch may or may not have arrived.
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply>;

    /// Closes the connection in order, if that matters. Nothing is sent afterwards.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The outcome of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The destination has accepted the whole batch.
    Accepted {
        /// The number of items that it had before, if it reports that.
        repeated: u64,
    },
    /// The destination answered for each item.
    ItemByItem(ItemReplies),
    /// The destination refuses the batch without naming an item.
    Rejected(Rejection),
    /// The batch may be sent again later.
    Unavailable(Delay),
    /// Nothing can be delivered before a person changes something.
    Blocked(String),
}

/// Why a batch has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// The error.
    pub why: String,
    /// The retry delay that the destination asks for.
    pub retry_after: Option<Duration>,
}

/// The answer of a destination that refuses a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status, such as `400`.
    pub status: String,
    /// The text, unchanged: `dead_letters` cuts and escapes it.
    pub words: String,
}

/// The answers for the items of a batch; those that are not mentioned are accepted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ItemReplies {
    /// The positions of refused items, ascending.
    pub rejected: Vec<(usize, Rejection)>,
    /// The positions of items that may be sent again later, ascending.
    pub unavailable: Vec<usize>,
    /// Why these items have to wait.
    pub delay: Option<Delay>,
    /// The number of items that the destination had before.
    pub repeated: u64,
}

impl Reply {
    /// The destination has the batch.
    pub const ACCEPTED: Self = Self::Accepted { repeated: 0 };

    /// The batch may be sent again later.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(Delay { why: why.into(), retry_after: None })
    }
}

/// The configuration of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// An HTTP endpoint.
    Http(http::Config),
    /// A receiver of OpenTelemetry logs.
    Otlp(otlp::Config),
    /// Splunk's HTTP Event Collector.
    Splunk(splunk::Config),
    /// The bulk API of Elasticsearch or OpenSearch.
    Elasticsearch(elasticsearch::Config),
    /// A syslog receiver.
    Syslog(syslog::Config),
    /// Files in a directory.
    File(file::Config),
    /// A scripted destination of a test.
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {what}")]
pub struct OpenError {
    /// The key of the configuration to blame, below `destination`.
    pub key: &'static str,
    /// A sentence about it.
    pub what: String,
}

impl OpenError {
    /// The value of `key` cannot be used.
    pub fn new(key: &'static str, what: impl ToString) -> Self {
        Self { key, what: what.to_string() }
    }
}

impl Config {
    /// The identity of the destination, without secrets: `http https://siem.example.com/in`. A
    /// cursor belongs to one identity.
    pub fn identity(&self) -> String {
        match self {
            Self::Http(config) => format!("http {}", config.endpoint.shown()),
            Self::Otlp(config) => format!("otlp {}", config.endpoint.shown()),
            Self::Splunk(config) => {
                let index = config.index.as_deref().map(|index| format!(" index {index}"));
                format!("splunk {}{}", config.endpoint.shown(), index.unwrap_or_default())
            }
            Self::Elasticsearch(config) => {
                format!("elasticsearch {} index {}", config.endpoint.shown(), config.index)
            }
            Self::Syslog(config) => format!("syslog {}", config.address),
            Self::File(config) => format!("file {}", config.directory.display()),
            #[cfg(test)]
            Self::Scripted(scripted) => scripted.name.to_owned(),
        }
    }

    /// Whether the destination accepts items of this kind.
    pub fn takes(&self, kind: ItemKind) -> bool {
        match self {
            Self::Otlp(_) => kind == ItemKind::OtlpLogRecord,
            Self::Elasticsearch(_) => kind == ItemKind::Json,
            Self::Http(config) if config.body == http::BodyForm::Array => kind == ItemKind::Json,
            Self::Http(_) | Self::Splunk(_) | Self::Syslog(_) | Self::File(_) => {
                kind != ItemKind::OtlpLogRecord
            }
            #[cfg(test)]
            Self::Scripted(_) => true,
        }
    }

    /// Whether an acknowledgement means that the destination has the records.
    pub fn acknowledges(&self) -> bool {
        !matches!(self, Self::Syslog(_))
    }

    /// Reads secrets and certificates like [`Config::open`], without changing anything.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn check(&self, kind: ItemKind) -> Result<(), OpenError> {
        match self {
            // Its directory is created when it is needed.
            Self::File(_) => Ok(()),
            _ => self.open(kind).map(drop),
        }
    }

    /// Reads secrets and certificates, and prepares to send items of this kind. It opens no
    /// connection.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn open(&self, kind: ItemKind) -> Result<Arc<dyn Destination>, OpenError> {
        Ok(match self {
            Self::Http(config) => Arc::new(http::HttpDestination::open(config, kind)?),
            Self::Otlp(config) => Arc::new(otlp::OtlpDestination::open(config)?),
            Self::Splunk(config) => Arc::new(splunk::SplunkDestination::open(config, kind)?),
            Self::Elasticsearch(config) => {
                Arc::new(elasticsearch::ElasticsearchDestination::open(config)?)
            }
            Self::Syslog(config) => Arc::new(syslog::SyslogDestination::open(config)?),
            Self::File(config) => Arc::new(file::FileDestination::open(config)?),
            #[cfg(test)]
            Self::Scripted(scripted) => Arc::new(scripted.clone()),
        })
    }
}
