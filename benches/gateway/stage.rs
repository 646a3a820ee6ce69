//! Where a measure takes place: a runtime for the servers, another one for the
//! clients, and sockets on the loopback between them.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auditgate::log::{Bounds, Log};
use auditgate::server::{Config, Gateway};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::HeaderValue;
use http::uri::PathAndQuery;
use http_body_util::Full;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tower::{Service, ServiceExt as _};

use crate::Result;

/// Path of Emit.
pub const EMIT: &str = "/auditgate.v1.AuditService/Emit";
/// Path of EmitBatch.
pub const EMIT_BATCH: &str = "/auditgate.v1.AuditService/EmitBatch";
/// Path of EmitStream.
pub const EMIT_STREAM: &str = "/auditgate.v1.AuditService/EmitStream";
/// Path of Subscribe.
pub const SUBSCRIBE: &str = "/auditgate.v1.AuditService/Subscribe";

/// Threads of the servers and, apart from them, of the clients.
const THREADS: usize = 2;
/// The largest frame that clients take, in bytes: as that of the library's own.
const FRAME_BYTES_MAX: u32 = 256 * 1024;
/// A round that takes longer has failed.
const ROUND_TIME_MAX: Duration = Duration::from_secs(300);

/// Two runtimes.
pub struct Stage {
    servers: Runtime,
    clients: Runtime,
}

/// A gateway that runs on a stage.
pub struct Served {
    /// The gateway.
    pub gateway: Gateway,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Stage {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn new() -> Result<Self> {
        let runtime = |name| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name(name)
                .enable_all()
                .build()
        };
        Ok(Self { servers: runtime("servers")?, clients: runtime("clients")? })
    }

    /// Runs something on the clients' side.
    ///
    /// # Errors
    /// What it says, or that it took too long.
    pub fn run<T>(&self, round: impl Future<Output = Result<T>>) -> Result<T> {
        self.clients.block_on(async {
            tokio::time::timeout(ROUND_TIME_MAX, round)
                .await
                .map_err(|_| format!("a round took more than {} s", ROUND_TIME_MAX.as_secs()))?
        })
    }

    /// Runs something on the servers' side.
    pub fn serve<T>(&self, work: impl Future<Output = T>) -> T {
        self.servers.block_on(work)
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// If it does not start.
    pub fn gateway(&self, ring: Bounds) -> Result<Served> {
        let config = Config { ring, ..config() };
        let gateway = self.serve(Gateway::start(config))?;
        Ok(Served { address: gateway.address(), gateway })
    }

    /// Starts a gateway on this log.
    ///
    /// # Errors
    /// If it does not start.
    pub fn gateway_on(&self, log: Arc<dyn Log>) -> Result<Served> {
        let gateway = self.serve(Gateway::start_on(config(), log))?;
        Ok(Served { address: gateway.address(), gateway })
    }

    /// Starts a bare tonic server.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn bare<S>(&self, service: S) -> Result<SocketAddr>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        self.serve(async {
            let incoming = TcpIncoming::bind(loopback())?.with_nodelay(Some(true));
            let address = incoming.local_addr()?;
            let router = tonic::transport::Server::builder().add_service(service);
            tokio::spawn(router.serve_with_incoming(incoming));
            Ok(address)
        })
    }
}

/// What measures have in common: all clients of a measure have one address, and
/// there are more of them than one address may have connections by default.
fn config() -> Config {
    let mut config = Config { listen: loopback(), ..Config::default() };
    config.admission.connections_per_peer = config.admission.connections;
    config
}

/// Any port of this machine alone.
pub fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Where a client connects, and what it shows.
#[derive(Clone)]
pub struct Door {
    endpoint: Endpoint,
    bearer: Option<MetadataValue<Ascii>>,
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        Self { endpoint: endpoint.expect("an address makes a URL"), bearer: None }
    }
}

impl Door {
    /// From one of the addresses of loopback: each stands for a client of its own.
    ///
    /// # Errors
    /// If the address of the gateway makes no URL.
    pub fn from_client(address: SocketAddr, client: u8) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let own = Ipv4Addr::new(127, 0, 1, client);
        Ok(Self { endpoint: endpoint.local_address(Some(own.into())), bearer: None })
    }

    /// TLS by this certificate, and a token unless it is empty.
    ///
    /// # Errors
    /// If either is not acceptable.
    pub fn secured(address: SocketAddr, pem: &str, token: &str) -> Result<Self> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?;
        let bearer = (!token.is_empty()).then(|| format!("Bearer {token}").parse()).transpose()?;
        Ok(Self { endpoint, bearer })
    }
}

/// A connection of its own.
///
/// # Errors
/// If there is none.
pub async fn connect(door: impl Into<Door>) -> Result<Client> {
    let Door { endpoint, bearer } = door.into();
    let endpoint = endpoint.tcp_nodelay(true).max_frame_size(FRAME_BYTES_MAX);
    let channel = endpoint.connect().await?;
    Ok(Client { grpc: tonic::client::Grpc::new(channel.clone()), channel, bearer })
}

/// A client that sends and gets bytes, so that it costs the machine little and
/// the same on both sides.
#[derive(Clone)]
pub struct Client {
    grpc: tonic::client::Grpc<Channel>,
    channel: Channel,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Calls a unary method.
    ///
    /// # Errors
    /// What the server says.
    pub async fn unary(&mut self, path: &'static str, request: Bytes) -> Result<Bytes> {
        self.grpc.ready().await?;
        let path = PathAndQuery::from_static(path);
        let request = self.request(request);
        Ok(self.grpc.unary(request, path, Plain).await?.into_inner())
    }

    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }

    /// Opens a stream of these requests, which are sent as fast as the server takes
    /// them, and of responses.
    ///
    /// # Errors
    /// What the server says.
    pub async fn duplex(
        &mut self,
        path: &'static str,
        requests: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>> {
        self.grpc.ready().await?;
        let path = PathAndQuery::from_static(path);
        Ok(self.grpc.streaming(Request::new(requests), path, Plain).await?.into_inner())
    }

    /// Opens a stream of responses, and gives the body as it comes.
    ///
    /// # Errors
    /// What the server says.
    pub async fn body(&mut self, path: &'static str, request: &[u8]) -> Result<Body> {
        let mut framed = vec![0];
        framed.extend((request.len() as u32).to_be_bytes());
        framed.extend(request);
        let body = Body::new(Full::new(Bytes::from(framed)));
        let mut request = http::Request::post(path).body(body)?;
        let headers = request.headers_mut();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        if let Some(bearer) = &self.bearer {
            headers.insert("authorization", bearer.to_str()?.parse()?);
        }
        let response = self.channel.ready().await?.call(request).await?;
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status.into()),
            None => Ok(response.into_body()),
        }
    }

    /// Opens a stream of responses.
    ///
    /// # Errors
    /// What the server says.
    pub async fn stream(&mut self, path: &'static str, request: Bytes) -> Result<Streaming<Bytes>> {
        self.grpc.ready().await?;
        let path = PathAndQuery::from_static(path);
        let request = self.request(request);
        Ok(self.grpc.server_streaming(request, path, Plain).await?.into_inner())
    }
}

/// Messages are bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        out.reserve(item.len());
        out.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(body.copy_to_bytes(body.remaining())))
    }
}
