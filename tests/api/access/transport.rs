//! TLS, certificates of clients, and what comes of those who have none.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use auditgate::config::{ClientCertificates, Period, SanKind, Settings, Tls};
use auditgate::server::Gateway;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tokio::io::AsyncReadExt as _;
use tonic::Code;

use crate::support::access::{
    Authority, access, cause, channel, client_on, connect, emit, event, reason, refused, role,
    search, settings, start, uri,
};
use crate::support::soon;

const SPIFFE: &str = "spiffe://example.org/orders";

/// A gateway with TLS whose roles are for anybody that is known.
async fn gateway(tls: Tls) -> Gateway {
    let roles = vec![role(&["*"], &["*"], &["*"], &[])];
    start(&Settings { tls, ..settings(access(&["alice"], roles)) }).await
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_is_served_and_others_get_nowhere() {
    let ca = Authority::new();
    let gateway = gateway(ca.tls()).await;
    let trusted = channel(&gateway, &ca.pem, None).await.expect("it trusts the CA");
    let receipt = emit(&mut client_on(trusted, "alice"), event("exec", "a")).await;
    assert_eq!(receipt.expect("accepted").sequence, 1);
    let distrusting = channel(&gateway, &Authority::new().pem, None).await;
    // The CAs of this test have one name, so it is the signature that is wrong.
    let why = cause(distrusting);
    assert!(why.contains("BadSignature"), "another CA: {why}");
    let mut plain = connect(&gateway, "alice").await;
    let status = search(&mut plain, None).await.expect_err("no TLS");
    // It is answered by an alert of TLS, which is no frame of HTTP/2.
    let answer = (status.message(), reason(&status));
    assert_eq!(answer, ("h2 protocol error: http2 error", String::new()), "no TLS");
}

#[tokio::test]
async fn a_certificate_names_its_principal() {
    let ca = Authority::new();
    let gateway = gateway(ca.mutual_tls()).await;
    let email = SanType::Rfc822Name("ops@example.org".try_into().unwrap());
    let dns = SanType::DnsName("orders.internal".try_into().unwrap());
    let cases = [
        (vec![dns.clone(), uri(SPIFFE)], "cert:spiffe://example.org/orders"),
        (vec![dns.clone(), email], "cert:ops@example.org"),
        (vec![dns], "cert:orders.internal"),
    ];
    for (number, (names, principal)) in cases.into_iter().enumerate() {
        let own = ca.client(names);
        let mut client =
            client_on(channel(&gateway, &ca.pem, Some(&own)).await.expect("taken"), "");
        emit(&mut client, event("exec", "a")).await.expect("accepted");
        let records = search(&mut client, None).await.expect("a page");
        assert_eq!(records.len(), number + 1, "the id is the principal's own");
        assert_eq!(records[0].emitter.as_ref().expect("an emitter").principal, principal);
    }
}

#[tokio::test]
async fn who_shows_a_token_as_well_is_known_by_that() {
    let ca = Authority::new();
    let gateway = gateway(ca.mutual_tls()).await;
    let own = ca.client(vec![uri(SPIFFE)]);
    let shown = channel(&gateway, &ca.pem, Some(&own)).await.expect("taken");
    let mut client = client_on(shown.clone(), "alice");
    emit(&mut client, event("exec", "a")).await.expect("accepted");
    let records = search(&mut client, None).await.expect("a page");
    assert_eq!(records[0].emitter.as_ref().expect("an emitter").principal, "alice");
    let wrong = search(&mut client_on(shown, "mallory"), None).await;
    refused(wrong, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn kinds_of_names_are_taken_in_the_configured_order() {
    let ca = Authority::new();
    let roles = vec![role(&["*"], &["*"], &["*"], &[])];
    let mut access = access(&[], roles);
    access.certificates.san = vec![SanKind::Dns];
    access.certificates.prefix = String::new();
    let tls = ca.mutual_tls();
    let gateway = start(&Settings { tls, ..settings(access) }).await;
    let dns = SanType::DnsName("orders.internal".try_into().unwrap());
    let own = ca.client(vec![uri(SPIFFE), dns]);
    let mut client = client_on(channel(&gateway, &ca.pem, Some(&own)).await.expect("TLS"), "");
    emit(&mut client, event("exec", "a")).await.expect("accepted");
    let records = search(&mut client, None).await.expect("a page");
    assert_eq!(records[0].emitter.as_ref().expect("an emitter").principal, "orders.internal");
    let own = ca.client(vec![uri(SPIFFE)]);
    let mut client = client_on(channel(&gateway, &ca.pem, Some(&own)).await.expect("TLS"), "");
    refused(search(&mut client, None).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_opens_nothing() {
    let ca = Authority::new();
    let gateway = gateway(ca.mutual_tls()).await;
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let names = || vec![uri(SPIFFE)];
    let bad = [
        ("of another CA", Authority::new().client(names()), "DecryptError"),
        (
            "for servers",
            ca.issue(names(), ExtendedKeyUsagePurpose::ServerAuth, |_| {}),
            "UnsupportedCertificate",
        ),
        (
            "expired",
            ca.issue(names(), usage.clone(), |params| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2020, 1, 2);
            }),
            "CertificateExpired",
        ),
        (
            "not valid yet",
            ca.issue(names(), usage, |params| {
                params.not_before = rcgen::date_time_ymd(2100, 1, 1);
            }),
            "CertificateExpired",
        ),
    ];
    for (what, own, alert) in &bad {
        // With TLS 1.3 the client learns of it with its first call.
        if let Ok(channel) = channel(&gateway, &ca.pem, Some(own)).await {
            let status = search(&mut client_on(channel, "alice"), None).await.expect_err(what);
            let why = format!("{status:?}");
            assert!(why.contains(alert), "{what}: {why}");
        }
    }
}

#[tokio::test]
async fn certificates_can_be_required() {
    let ca = Authority::new();
    let tls = Tls { client_certificates: ClientCertificates::Required, ..ca.mutual_tls() };
    let gateway = gateway(tls).await;
    if let Ok(channel) = channel(&gateway, &ca.pem, None).await {
        let status =
            search(&mut client_on(channel, "alice"), None).await.expect_err("a token alone");
        let why = format!("{status:?}");
        assert!(why.contains("CertificateRequired"), "{why}");
    }
    let own = ca.client(vec![uri(SPIFFE)]);
    let shown = channel(&gateway, &ca.pem, Some(&own)).await.expect("taken");
    assert!(search(&mut client_on(shown, ""), None).await.is_ok());
}

#[tokio::test]
async fn without_a_certificate_or_a_token_a_client_is_nobody() {
    let ca = Authority::new();
    let gateway = gateway(ca.mutual_tls()).await;
    let mut client = client_on(channel(&gateway, &ca.pem, None).await.expect("optional"), "");
    refused(search(&mut client, None).await, Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let ca = Authority::new();
    let tls = Tls { handshake_timeout: Period(Duration::from_secs(1)), ..ca.tls() };
    let gateway = gateway(tls).await;
    let begun = Instant::now();
    let mut silent = tokio::net::TcpStream::connect(gateway.address()).await.expect("it listens");
    let mut rest = Vec::new();
    soon(silent.read_to_end(&mut rest)).await.expect("closed");
    assert!(rest.is_empty() && begun.elapsed() >= Duration::from_millis(900), "{rest:?}");
    // Meanwhile, and afterwards, others are served.
    let served = channel(&gateway, &ca.pem, None).await.expect("TLS");
    assert!(search(&mut client_on(served, "alice"), None).await.is_ok());
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_before_it_listens() {
    let (ca, other) = (Authority::new(), Authority::new());
    let good = ca.tls();
    let empty = ca.write("empty.pem", "");
    let readable = ca.write("readable.key", &ca.client(vec![]).key);
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let cases = [
        (Tls { key: other.tls().key, ..good.clone() }, "tls.key"),
        (Tls { key: Some(readable), ..good.clone() }, "tls.key"),
        (Tls { cert: Some(empty.clone()), ..good.clone() }, "tls.cert"),
        (Tls { key: Some(empty.clone()), ..good.clone() }, "tls.key"),
        (Tls { client_ca: Some(empty), ..good.clone() }, "tls.client_ca"),
        (Tls { cert: Some("/nonexistent".into()), ..good }, "tls.cert"),
    ];
    let mut said = Vec::new();
    for (tls, key) in cases {
        let settings = Settings { tls, ..settings(access(&["alice"], Vec::new())) };
        let error = Gateway::start((&settings).into()).await.err().expect("refused").to_string();
        assert!(error.starts_with(key), "{error}");
        said.push(error);
    }
    assert!(said[0].contains("server.key does not match"), "{}", said[0]);
    assert!(said[1].ends_with("mode 0644: run chmod 600"), "{}", said[1]);
}

#[tokio::test]
async fn a_name_that_could_be_of_another_kind_is_nobodys() {
    let ca = Authority::new();
    let gateway = gateway(ca.mutual_tls()).await;
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let email = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    for name in [
        dns("spiffe://example.org/orders"),
        dns("ops@example.org"),
        dns("*.example.org"),
        email("spiffe://example.org/orders"),
        email("\"a\"@example.org"),
        email("orders.internal"),
        uri("orders.internal"),
        uri("ops@example.org"),
        uri("urn:x:y"),
    ] {
        let own = ca.client(vec![name.clone()]);
        let mut client = client_on(channel(&gateway, &ca.pem, Some(&own)).await.expect("TLS"), "");
        let answer = search(&mut client, None).await;
        refused(answer, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
}
