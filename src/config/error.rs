//! Why a configuration is refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::filter;

/// Why a configuration is refused. Messages name the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {error}", file.display())]
    Malformed {
        /// Its path.
        file: PathBuf,
        /// Where, and what is wrong.
        error: Box<toml::de::Error>,
    },
    /// There is no such key.
    #[error(
        "{} has the key {key}, which does not exist{}",
        file.display(),
        nearest.as_ref().map_or_else(String::new, |nearest| format!("; nearest: {nearest}"))
    )]
    KeyUnknown {
        /// The file.
        file: PathBuf,
        /// Its path within the file.
        key: String,
        /// The key that is most similar, if one is near.
        nearest: Option<String>,
    },
    /// There is no such variable.
    #[error("there is no variable {name}; nearest: {nearest}")]
    VariableUnknown {
        /// Its name.
        name: String,
        /// The variable that is most similar.
        nearest: String,
    },
    /// A value is not acceptable.
    #[error("{key} {}: {what}", of(origin.as_deref()))]
    Value {
        /// The key.
        key: String,
        /// Where its value came from, as far as it is known.
        origin: Option<String>,
        /// What is wrong with it.
        what: String,
    },
    /// A pattern of event types is not acceptable.
    #[error("{0}")]
    Types(filter::Error),
    /// The gateway would be open to a network.
    #[error(
        "listen is {listen}, which is not a loopback address, but there is no {missing}: configure it (`auditgate init` writes an example), listen on 127.0.0.1, or pass --insecure"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
        /// What is not configured.
        missing: &'static str,
    },
}

impl Error {
    /// The value of `key` is not acceptable.
    pub fn value(key: impl Into<String>, what: impl ToString) -> Self {
        Error::Value { key: key.into(), origin: None, what: what.to_string() }
    }

    /// The key to blame, where there is one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Error::KeyUnknown { key, .. } | Error::Value { key, .. } => Some(key),
            Error::Exposed { .. } => Some("listen"),
            Error::Unreadable { .. }
            | Error::Malformed { .. }
            | Error::VariableUnknown { .. }
            | Error::Types(_) => None,
        }
    }
}

fn of(origin: Option<&str>) -> String {
    origin.map_or_else(|| "is not valid".to_owned(), |origin| format!("of {origin}"))
}
