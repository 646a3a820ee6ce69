//! Connecting to NATS servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::connection::{ConnectionEvents, NatsConnection};
use crate::secret_file;

/// A server that was stopped keeps its sockets: so often the client asks whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A server is given so long to accept the connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Messages that wait for a subscriber: more are dropped, and read later. The library's
/// default holds gigabytes.
const SUBSCRIPTION_MESSAGES_MAX: usize = 1_024;
/// The oldest version of the server that has batched direct get.
const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 11, 0);

/// The largest file with a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// How a gateway reaches NATS.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NatsServers {
    /// The servers: `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub addresses: Vec<String>,
    /// A file with the certificates of the authorities to trust; the system's without.
    pub ca: Option<PathBuf>,
    /// Files with the gateway's certificate and its key; none without.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// As whom.
    pub user: NatsUser,
    /// The name of the gateway's inbox; by default the user's, or [`INBOX`].
    pub inbox: Option<String>,
}

/// The name of the inbox of a gateway whose user has no name that the gateway knows.
pub const INBOX: &str = "gateway";

/// A user of NATS.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum NatsUser {
    /// None, or whom the certificate names.
    #[default]
    Nobody,
    /// By a file with credentials.
    Credentials(PathBuf),
    /// By a name and a file with a password.
    Password {
        /// The name.
        name: String,
        /// The file.
        file: PathBuf,
    },
}

/// Why a stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log, or an inbox, cannot have that name.
    #[error("{0:?} is not a valid name: it has 1 to 100 letters, digits, - and _")]
    Name(String),
    /// The address of a server is malformed.
    #[error("{server:?} is no address of a NATS server, as nats://HOST:4222: {why}")]
    Address {
        /// The address.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file with a secret cannot be used.
    #[error("cannot use {}: {why}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
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
    #[error("JetStream does not answer: {0}")]
    NoAnswer(String),
    /// JetStream refuses.
    #[error("JetStream refuses: {0}")]
    Refused(String),
    /// There is no such stream.
    #[error(
        "there is no stream {0}: `auditgate cluster init` makes it; if gateways have copies of the log that it carried, `auditgate cluster accept-loss --create` does, for the same log"
    )]
    NoStream(String),
    /// There is one already.
    #[error("there is a stream {0} already")]
    Exists(String),
    /// The stream is not one of a shared log.
    #[error("stream {0} {1}")]
    Unfit(String, String),
}

impl NatsServers {
    /// What the subjects begin with to which the servers send their answers. No other user should
    /// be able to subscribe to them: whoever sees the answers can have others sent there.
    pub fn inbox(&self) -> String {
        let name = match (&self.inbox, &self.user) {
            (Some(name), _) => name,
            (None, NatsUser::Password { name, .. }) => name,
            (None, NatsUser::Nobody | NatsUser::Credentials(_)) => INBOX,
        };
        let plain = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' });
        format!("_INBOX.auditgate.{}", plain.collect::<String>())
    }
}

/// Whether a name in a subject may have this letter.
pub fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_".contains(letter)
}

/// Connects to one of the servers.
///
/// # Errors
/// If none of them accepts the connection, or it is too old.
pub async fn connect(servers: &NatsServers) -> Result<NatsConnection, Error> {
    let addresses = servers.addresses.iter().map(|server| parse_address(server));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let events = ConnectionEvents::new();
    let (seeing, moving) = (events.clone(), events.clone());
    let mut options = ConnectOptions::new()
        .name("auditgate")
        .custom_inbox_prefix(servers.inbox())
        .event_callback(move |event| {
            seeing.see(&event);
            std::future::ready(())
        })
        .reconnect_to_server_callback(move |servers, _| {
            std::future::ready(moving.next_server(&servers))
        })
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIME_MAX)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX);
    if let Some(path) = &servers.ca {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &servers.certificate {
        // Only to see that nobody else may.
        read_secret(key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options = match &servers.user {
        NatsUser::Nobody => options,
        NatsUser::Credentials(path) => {
            let text = read_secret(path)?;
            options
                .credentials(&text)
                .map_err(|error| Error::Secret { path: path.clone(), why: error.to_string() })?
        }
        NatsUser::Password { name, file } => {
            let text = read_secret(file)?;
            let password = text.strip_suffix('\n').unwrap_or(&text);
            options.user_and_password(name.clone(), password.to_owned())
        }
    };
    let failed = |why: String| Error::Connect { servers: servers.addresses.join(","), why };
    let connected = options.connect(addresses).await;
    let client = connected.map_err(|error| failed(with_advice(&error.to_string())))?;
    // Only then is it known what the server takes.
    client.flush().await.map_err(|error| failed(error.to_string()))?;
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        let info = client.server_info();
        return Err(Error::Old { name: info.server_name, version: info.version });
    }
    Ok(NatsConnection::new(client, events))
}

/// Why there is no connection, and what to do where that is known.
fn with_advice(why: &str) -> String {
    let lower = why.to_ascii_lowercase();
    let advice = [
        (
            "authorization violation",
            "the servers do not know this user: set shared.credentials, or shared.user and shared.password_file",
        ),
        ("invalidcontenttype", "the server does not use TLS: write nats:// instead of tls://"),
        (
            "unknownissuer",
            "set shared.ca to the certificate of the authority that signed the server's",
        ),
        ("notvalidforname", "the server's certificate does not name the host in shared.servers"),
        (
            "certificaterequired",
            "the server asks for a certificate: set shared.cert and shared.key",
        ),
    ];
    let known = advice.into_iter().find(|(sign, _)| lower.contains(sign));
    known.map_or_else(|| why.to_owned(), |(_, advice)| format!("{why}; {advice}"))
}

impl Error {
    /// Whether it may be over soon: the servers were not reached, or have no leader yet.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::NoAnswer(_))
    }
}

/// Checks the address of a server.
///
/// # Errors
/// [`Error::Address`], if it is none, or has a password in it.
pub fn check_address(server: &str) -> Result<(), Error> {
    parse_address(server).map(drop)
}

fn parse_address(server: &str) -> Result<ServerAddr, Error> {
    // What stands before @ may be a password.
    let shown = server.rsplit_once('@').map_or(server, |(_, host)| host);
    let refused = |why: String| Error::Address { server: shown.to_owned(), why };
    let address: ServerAddr = server.parse().map_err(|error| refused(format!("{error}")))?;
    let named = address.username().is_some() || address.has_user_pass() || server.contains('@');
    if named {
        let why = "a user and password in it are seen by others: set shared.user and shared.password_file, or shared.credentials";
        return Err(refused(why.to_owned()));
    }
    if !matches!(address.scheme(), "nats" | "tls") {
        return Err(refused(format!("{} is neither nats nor tls", address.scheme())));
    }
    if address.host().is_empty() {
        return Err(refused("it names no host".to_owned()));
    }
    Ok(address)
}

/// Reads a file that nobody but its owner may use.
fn read_secret(path: &Path) -> Result<String, Error> {
    secret_file::read(path, SECRET_BYTES_MAX)
        .map_err(|error| Error::Secret { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_an_inbox_of_its_own() {
        let inbox = |user, inbox: Option<&str>| {
            let inbox = inbox.map(str::to_owned);
            NatsServers { user, inbox, ..NatsServers::default() }.inbox()
        };
        let user = |name: &str| NatsUser::Password { name: name.into(), file: PathBuf::new() };
        let credentials = || NatsUser::Credentials(PathBuf::new());
        assert_eq!(inbox(user("gateway-1"), None), "_INBOX.auditgate.gateway-1");
        assert_eq!(inbox(user("a.b >*ü"), None), "_INBOX.auditgate.a_b____");
        assert_eq!(inbox(credentials(), None), "_INBOX.auditgate.gateway");
        assert_eq!(inbox(credentials(), Some("zone-1")), "_INBOX.auditgate.zone-1");
        assert_eq!(inbox(user("gateway-1"), Some("one")), "_INBOX.auditgate.one");
    }
}
