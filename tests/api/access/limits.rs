//! Limits are those of a principal, wherever it connects from, and those of an address
//! where there is none; and what an operator sees of TLS.

use std::net::{IpAddr, SocketAddr};

use auditgate::config::{Admin, Settings};
use auditgate::proto::pb;
use auditgate::server::{Config, Gateway};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::support::access::{
    Authority, Client, access, channel, client_on, emit, event, refused, role, settings, start,
};
use crate::support::soon;

/// Far more events than there may be in a second: nothing more is taken for minutes.
const DEBT: usize = 1_000;

/// A gateway that takes few events a second.
async fn slow_gateway(settings: &Settings) -> Gateway {
    let mut config = Config::from(settings);
    config.quotas.events_per_second = 2;
    Gateway::start(config).await.expect("it starts")
}

/// A client that connects from one of the addresses of this machine.
async fn connect_from(gateway: &Gateway, last: u8, token: &str) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address())).unwrap();
    let endpoint = endpoint.local_address(Some(IpAddr::from([127, 0, 0, last])));
    client_on(soon(endpoint.connect()).await.expect("it listens"), token)
}

async fn emit_many(client: &mut Client) {
    let events = (0..DEBT).map(|number| event("exec", &format!("debt-{number}"))).collect();
    let request = pb::EmitBatchRequest { events, validate_only: false };
    soon(client.emit_batch(request)).await.expect("the debt comes after");
}

fn too_fast(result: Result<pb::Receipt, Status>) {
    refused(result, Code::ResourceExhausted, "RATE_LIMITED");
}

#[tokio::test]
async fn a_principal_has_one_rate_wherever_it_connects_from() {
    let roles = vec![role(&["*"], &["*"], &["*"], &[])];
    let gateway = slow_gateway(&settings(access(&["alice", "bob"], roles))).await;
    emit_many(&mut connect_from(&gateway, 1, "alice").await).await;
    too_fast(emit(&mut connect_from(&gateway, 1, "alice").await, event("exec", "a")).await);
    too_fast(emit(&mut connect_from(&gateway, 2, "alice").await, event("exec", "b")).await);
    let bob = emit(&mut connect_from(&gateway, 1, "bob").await, event("exec", "a")).await;
    assert!(bob.is_ok(), "another principal at the same address: {bob:?}");
}

#[tokio::test]
async fn without_authentication_an_address_has_a_rate_of_its_own() {
    let gateway = slow_gateway(&settings(Default::default())).await;
    emit_many(&mut connect_from(&gateway, 1, "").await).await;
    too_fast(emit(&mut connect_from(&gateway, 1, "").await, event("exec", "a")).await);
    let other = emit(&mut connect_from(&gateway, 2, "").await, event("exec", "b")).await;
    assert!(other.is_ok(), "another address: {other:?}");
}

/// A page of the admin listener.
async fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn value(page: &str, begin: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(begin))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn refused_handshakes_are_counted_and_expiries_shown() {
    const EXPIRY: &str = "auditgate_certificate_expiry_timestamp_seconds";
    let ca = Authority::new();
    let issued = ca.issue(
        vec![rcgen::SanType::DnsName("localhost".try_into().unwrap())],
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        |params| params.not_after = rcgen::date_time_ymd(2101, 1, 1),
    );
    let mut tls = ca.mutual_tls();
    tls.cert = Some(ca.write("server.pem", &issued.cert));
    tls.key = Some(ca.write("server.key", &issued.key));
    let free = "127.0.0.1:0".parse().unwrap();
    let roles = vec![role(&["*"], &["*"], &["*"], &[])];
    let settings = Settings {
        tls,
        admin: Admin { listen: Some(free) },
        ..settings(access(&["alice"], roles))
    };
    let gateway = start(&settings).await;
    let admin = gateway.admin_address().expect("it is configured");

    let page = metrics(admin).await;
    // 2101-01-01 00:00:00 UTC.
    let expiry = value(&page, &format!("{EXPIRY}{{key=\"tls.cert\"}}"));
    assert_eq!(expiry, Some(4_133_980_800.0));
    assert!(value(&page, &format!("{EXPIRY}{{key=\"tls.client_ca\"}}")).is_some());
    assert_eq!(value(&page, "auditgate_tls_handshakes_refused_total "), Some(0.0));

    channel(&gateway, &ca.pem, None).await.expect("it trusts the CA");
    channel(&gateway, &Authority::new().pem, None).await.expect_err("another CA");
    let counted = async {
        while value(&metrics(admin).await, "auditgate_tls_handshakes_refused_total ") != Some(1.0) {
            tokio::task::yield_now().await;
        }
    };
    soon(counted).await;
}
