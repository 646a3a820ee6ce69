//! Connecting, to one gateway or to the first of several that answers.

use std::sync::Arc;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::endpoint::{self, endpoint};
use super::servers::{self, Server, ServerNotice, Servers};
use super::{Client, Credentials, Error, Refusal, Transport, connect_error, probe, rpc};
use crate::proto::pb::audit_service_client::AuditServiceClient;

impl Client {
    /// Connects to the gateway at `url`, such as `http://127.0.0.1:50051` or only `host:port`.
    /// A connection that is lost later is re-established automatically.
    ///
    /// Several URLs, separated by commas, are those of gateways with one shared log: at most
    /// [`SERVERS_MAX`](super::SERVERS_MAX). The client uses the first that answers, and changes to
    /// the next if that is unavailable. Events keep their ids, so that each is stored once;
    /// subscriptions continue after their cursor, searches at their page. A gateway with another
    /// log is not used.
    ///
    /// # Errors
    /// [`Error::Url`] if `url` is not valid; [`Error::Connect`] with the likely cause if no
    /// server listens or answers there within five seconds, or if it rejects this client;
    /// [`Error::NoServer`] if that is so for each of several. A
    /// gateway that accepts connections and closes them is not an error: calls retry.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, &Credentials::new()).await
    }

    /// Connects to the gateway at `url`, such as `https://audit.example.org:50051`, with these
    /// credentials, or to the first of several. A `host:port` without a scheme uses TLS if the
    /// credentials have certificates.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Error::Credentials`] if a given certificate or key is not
    /// valid; [`Error::TokenExposed`] if the token would be sent unencrypted to another
    /// machine, see [`Credentials::allow_plaintext`].
    pub async fn connect_with(url: &str, credentials: &Credentials) -> Result<Self, Error> {
        let endpoints = endpoints(url, credentials)?;
        let mut failed = Vec::new();
        for (number, (url, endpoint)) in endpoints.iter().enumerate() {
            match connected(endpoint, credentials).await {
                Ok(transport) => {
                    let first = (number, transport);
                    let servers = servers(&endpoints, credentials, Some(first));
                    for (number, (_, reason)) in failed.into_iter().enumerate() {
                        servers.left(number, Refusal::unreachable(reason));
                    }
                    return Ok(Self { servers: Arc::new(servers) });
                }
                Err(reason) => failed.push((url.clone(), reason)),
            }
        }
        match <[_; 1]>::try_from(failed) {
            Ok([(url, reason)]) => Err(Error::Connect { url, reason }),
            Err(tried) => Err(Error::NoServer { tried }),
        }
    }

    /// A client that connects with its first call.
    ///
    /// # Errors
    /// [`Error::Url`] if `url` is not valid.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy(url: &str) -> Result<Self, Error> {
        Self::connect_lazy_with(url, &Credentials::new())
    }

    /// A client that connects with its first call, with credentials.
    ///
    /// # Errors
    /// [`Error::Url`] if `url` is not valid or does not fit the credentials;
    /// [`Error::TokenExposed`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy_with(url: &str, credentials: &Credentials) -> Result<Self, Error> {
        let endpoints = endpoints(url, credentials)?;
        Ok(Self { servers: Arc::new(servers(&endpoints, credentials, None)) })
    }

    /// A client on an existing channel.
    pub fn new(channel: Channel) -> Self {
        Self::with_bearer(channel, &Credentials::new())
    }

    pub(super) fn with_bearer(channel: Channel, credentials: &Credentials) -> Self {
        let server = Server::new(String::new(), transport(channel, credentials));
        Self { servers: Arc::new(Servers::new(vec![server], 0)) }
    }

    /// The transport, for other services of the same gateway, such as its health service: with
    /// several gateways, that of the current one.
    pub fn transport(&self) -> Transport {
        self.servers.transport(self.servers.current())
    }

    /// The generated client, for calls without a deadline or retries.
    pub fn rpc(&self) -> AuditServiceClient<Transport> {
        rpc(self.transport())
    }

    /// The URL of the current gateway; empty for a client on an existing channel.
    pub fn server(&self) -> &str {
        self.servers.url(self.servers.current())
    }

    /// Calls `tell` whenever the client changes to another gateway, and at once for gateways that
    /// did not answer while connecting. `tell` must return soon.
    pub fn on_notice(&self, tell: impl Fn(&ServerNotice) + Send + Sync + 'static) {
        self.servers.tell(tell);
    }
}

fn endpoints(list: &str, credentials: &Credentials) -> Result<Vec<(String, Endpoint)>, Error> {
    let urls = servers::parse(list)?.into_iter();
    urls.map(|url| endpoint(&url, credentials).map(|endpoint| (url, endpoint))).collect()
}

/// The gateways; one of them may be connected.
fn servers(
    endpoints: &[(String, Endpoint)],
    credentials: &Credentials,
    connected: Option<(usize, Transport)>,
) -> Servers {
    let current = connected.as_ref().map_or(0, |(number, _)| *number);
    let server = |(number, (url, endpoint)): (usize, &(String, Endpoint))| {
        let transport = match &connected {
            Some((at, connected)) if *at == number => connected.clone(),
            _ => transport(endpoint.connect_lazy(), credentials),
        };
        Server::new(url.clone(), transport)
    };
    Servers::new(endpoints.iter().enumerate().map(server).collect(), current)
}

fn transport(channel: Channel, credentials: &Credentials) -> Transport {
    InterceptedService::new(channel, credentials.bearer.clone())
}

/// A connection to a gateway that answers; otherwise the likely cause.
async fn connected(endpoint: &Endpoint, credentials: &Credentials) -> Result<Transport, String> {
    let channel = endpoint.connect().await.map_err(|error| {
        let told = connect_error::describe(&error);
        told + endpoint::missing_port(endpoint.uri())
    })?;
    let transport = transport(channel, credentials);
    probe::probe(&transport, endpoint.uri()).await?;
    Ok(transport)
}
