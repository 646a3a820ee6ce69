//! Connecting to NATS servers.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};

/// A server that was stopped keeps its sockets: so often the client asks whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// A server is given so long to accept the connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Messages that wait for a subscriber: more are dropped, and read later. The library's
/// default holds gigabytes.
const SUBSCRIPTION_MESSAGES_MAX: usize = 1_024;
/// The oldest version of the server that has batched direct get.
const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 11, 0);

/// How a gateway reaches NATS.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NatsServers {
    /// The servers: `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub addresses: Vec<String>,
    /// A file with the certificates of the authorities to trust; the system's without.
    pub ca: Option<PathBuf>,
    /// Files with the gateway's certificate and its key; none without.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why a stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot have that name.
    #[error("{0:?} is no name of a log: it has 1 to 100 letters, digits, - and _")]
    Name(String),
    /// The address of a server is malformed.
    #[error("{server:?} is no address of a NATS server, as nats://HOST:4222: {why}")]
    Address {
        /// The address.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no connection.
    #[error("cannot connect to NATS at {servers}: {why}")]
    Connect {
        /// The servers.
        servers: String,
        /// Why.
        why: String,
    },
    /// The server is too old.
    #[error("NATS server {name} has version {version}: a shared log needs 2.11 or later")]
    Old {
        /// The server.
        name: String,
        /// Its version.
        version: String,
    },
    /// JetStream does not answer.
    #[error("JetStream does not answer: {0}; is it enabled, and may the user publish $JS.API.> ?")]
    NoAnswer(String),
    /// JetStream refuses.
    #[error("JetStream refuses: {0}")]
    Refused(String),
    /// There is no such stream.
    #[error("there is no stream {0}")]
    NoStream(String),
    /// The stream is not one of a shared log.
    #[error("stream {0} {1}")]
    Unfit(String, String),
}

/// Connects to one of the servers.
///
/// # Errors
/// If none of them accepts the connection, or it is too old.
pub async fn connect(servers: &NatsServers) -> Result<Client, Error> {
    let mut addresses = Vec::new();
    for server in &servers.addresses {
        let address: Result<async_nats::ServerAddr, _> = server.parse();
        addresses.push(
            address.map_err(|error| Error::Address {
                server: server.clone(),
                why: error.to_string(),
            })?,
        );
    }
    let mut options = ConnectOptions::new()
        .name("auditgate")
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIME_MAX)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX);
    if let Some(path) = &servers.ca {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &servers.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let failed = |why: String| Error::Connect { servers: servers.addresses.join(","), why };
    let client = options.connect(addresses).await.map_err(|error| failed(error.to_string()))?;
    // Only then is it known what the server takes.
    client.flush().await.map_err(|error| failed(error.to_string()))?;
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        let info = client.server_info();
        return Err(Error::Old { name: info.server_name, version: info.version });
    }
    Ok(client)
}
