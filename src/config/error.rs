//! Errors of the configuration.

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
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {error}", file.display())]
    Malformed {
        /// Its path.
        file: PathBuf,
        /// The position and the error.
        error: Box<toml::de::Error>,
    },
    /// The key is unknown.
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
        /// The most similar key, if any.
        nearest: Option<String>,
    },
    /// The variable is unknown.
    #[error("there is no variable {name}; nearest: {nearest}")]
    VariableUnknown {
        /// Its name.
        name: String,
        /// The most similar variable.
        nearest: String,
    },
    /// A value is not valid.
    #[error("{key} {}: {what}", of(origin.as_deref()))]
    Value {
        /// The key.
        key: String,
        /// The origin of the value, if known.
        origin: Option<String>,
        /// What is wrong with it.
        what: String,
    },
    /// An event type pattern is not valid.
    #[error("{0}")]
    Types(filter::Error),
    /// The gateway would be open to a network without protection.
    #[error(
        "{key} is {listen}, which is not a loopback address, but there is no {missing}: configure it (`auditgate init` writes an example), listen on 127.0.0.1, or pass --insecure"
    )]
    Exposed {
        /// The key.
        key: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The missing protection.
        missing: &'static str,
    },
}

impl Error {
    /// The value of `key` is not valid.
    pub fn value(key: impl Into<String>, what: impl ToString) -> Self {
        Error::Value { key: key.into(), origin: None, what: what.to_string() }
    }

    /// The key to blame, if any.
    pub fn key(&self) -> Option<&str> {
        match self {
            Error::KeyUnknown { key, .. } | Error::Value { key, .. } => Some(key),
            Error::Exposed { key, .. } => Some(key),
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
