//! A gateway with roles, certificates made for the test, and clients with tokens.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use auditgate::access::hash_token;
use auditgate::catalog;
use auditgate::config::{self, Right, Role, Settings, StaticToken};
use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::server::{Config, Gateway};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::soon;

/// Adds a token to each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    pub fn new(token: &str) -> Self {
        Self((!token.is_empty()).then(|| format!("Bearer {token}").parse().unwrap()))
    }
}

pub type Client = AuditServiceClient<InterceptedService<Channel, Bearer>>;

pub fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub fn role(principals: &[&str], emit: &[&str], read: &[&str], allow: &[Right]) -> Role {
    Role {
        name: principals.join("+"),
        principals: strings(principals),
        emit: strings(emit),
        read: strings(read),
        allow: allow.to_vec(),
    }
}

/// Each principal has its name as its token.
pub fn access(principals: &[&str], roles: Vec<Role>) -> config::Access {
    let token =
        |name: &&str| StaticToken { principal: (*name).to_owned(), sha256: hash_token(name) };
    config::Access {
        tokens: principals.iter().map(token).collect(),
        roles,
        // Where a test counts records, only its own are there.
        self_audit: Some(false),
        ..Default::default()
    }
}

pub fn settings(access: config::Access) -> Settings {
    Settings { listen: "127.0.0.1:0".parse().unwrap(), access, ..Settings::default() }
}

pub async fn start(settings: &Settings) -> Gateway {
    Gateway::start(Config::from(settings)).await.expect("it starts")
}

pub fn client_on(channel: Channel, token: &str) -> Client {
    AuditServiceClient::with_interceptor(channel, Bearer::new(token))
}

/// A client on a connection of its own, without TLS.
pub async fn connect(gateway: &Gateway, token: &str) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address())).unwrap();
    client_on(soon(endpoint.connect()).await.expect("it listens"), token)
}

/// A filled event of a type; of a custom one, `custom.NAME`.
pub fn event(type_name: &str, id: &str) -> pb::Event {
    let pool = auditgate::proto::descriptor_pool();
    let descriptor = pool.get_message_by_name("auditgate.v1.Event").unwrap();
    let mut event = DynamicMessage::new(descriptor.clone());
    let field_name = catalog::by_name(type_name).map_or("custom", |id| id.get().field_name);
    let field = descriptor.get_field_by_name(field_name).unwrap();
    let kind = field.kind();
    let mut payload = DynamicMessage::new(kind.as_message().unwrap().clone());
    if let Some(name) = type_name.strip_prefix("custom.") {
        payload.set_field_by_name("name", Value::String(name.to_owned()));
    }
    event.set_field(&field, Value::Message(payload));
    event.set_field_by_name("id", Value::String(id.to_owned()));
    pb::Event::decode(event.encode_to_vec().as_slice()).unwrap()
}

pub fn emit_request(event: pb::Event) -> pb::EmitRequest {
    pb::EmitRequest { event: Some(event), validate_only: false }
}

pub async fn emit(client: &mut Client, event: pb::Event) -> Result<pb::Receipt, Status> {
    let response = soon(client.emit(emit_request(event))).await?;
    Ok(response.into_inner().receipt.unwrap())
}

/// A filter by one name or pattern.
pub fn types(pattern: &str) -> Option<pb::Filter> {
    Some(pb::Filter { types: vec![pattern.to_owned()], ..Default::default() })
}

pub async fn search(
    client: &mut Client,
    filter: Option<pb::Filter>,
) -> Result<Vec<pb::Record>, Status> {
    let request = pb::SearchRequest { filter, page_size: 1_000, ..Default::default() };
    Ok(soon(client.search(request)).await?.into_inner().records)
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, why: &str) -> Status {
    let status = result.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{}", status.message());
    status
}

/// A CA, and what it has issued, in a folder.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, in PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for the gateway.
    pub fn server(&self) -> Issued {
        let ip = SanType::IpAddress("127.0.0.1".parse().unwrap());
        let dns = SanType::DnsName("localhost".try_into().unwrap());
        self.issue(vec![ip, dns], ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// A certificate for a client.
    pub fn client(&self, names: Vec<SanType>) -> Issued {
        self.issue(names, ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    pub fn issue(
        &self,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        adapt: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        adapt(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// Writes a file beside the others; whoever reads it finds it complete.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        let beside = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        // The gateway takes no key that others may read.
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        file
    }

    /// TLS with a certificate of this CA.
    pub fn tls(&self) -> config::Tls {
        let own = self.server();
        config::Tls {
            cert: Some(self.write("server.pem", &own.cert)),
            key: Some(self.write("server.key", &own.key)),
            ..Default::default()
        }
    }

    /// The same, taking certificates of clients by this CA.
    pub fn mutual_tls(&self) -> config::Tls {
        config::Tls { client_ca: Some(self.write("ca.pem", &self.pem)), ..self.tls() }
    }
}

/// What a connection failed with, the causes of the error included.
pub fn cause(opened: Result<Channel, tonic::transport::Error>) -> String {
    format!("{:?}", opened.expect_err("no connection"))
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A connection by TLS that trusts this CA, and maybe shows a certificate.
pub async fn channel(
    gateway: &Gateway,
    ca: &str,
    own: Option<&Issued>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(ca))
        .domain_name("localhost");
    if let Some(own) = own {
        tls = tls.identity(Identity::from_pem(&own.cert, &own.key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", gateway.address())).unwrap();
    soon(endpoint.tls_config(tls).unwrap().connect()).await
}
