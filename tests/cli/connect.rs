//! What the program says, and that it says it at once, where the way to the gateway is
//! wrong: TLS on one side only, certificates that are not taken, and who may not.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::access::{Authority, Issued, access, role, settings, start, uri};
use auditgate::config::{ClientCertificates, Right, Settings, Tls};
use auditgate::server::Gateway;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A gateway which knows alice, who may do all, and bob, who may read.
async fn gateway(tls: Tls) -> Gateway {
    let roles = vec![
        role(&["alice"], &["*"], &["*"], &[Right::Status]),
        role(&["bob"], &[], &["user.*"], &[]),
    ];
    start(&Settings { tls, ..settings(access(&["alice", "bob"], roles)) }).await
}

/// A server that does nothing but TLS handshakes with this certificate.
async fn handshakes(own: &Issued) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(own.cert.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

/// What a command says that cannot do what it should.
async fn told(address: impl ToString, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    for name in ["TOKEN_FILE", "CACERT", "CERT", "KEY"] {
        command.env_remove(format!("AUDITGATE_{name}"));
    }
    command.args(arguments).env("AUDITGATE_SERVER", address.to_string()).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = run.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {output:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(!said.contains("gave up"), "{arguments:?}: {said}");
    said
}

fn https(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

async fn says(address: impl ToString, arguments: &[&str], sentence: &str) {
    let said = told(address, arguments).await;
    assert!(said.contains(sentence), "{arguments:?}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_where_it_is_spoken_is_told() {
    let gateway = gateway(Authority::new().tls()).await;
    let sentence = "the server uses TLS: use https://";
    for command in [
        &["status"][..],
        &["tail"],
        &["search"],
        &["count"],
        &["emit", "user.login", "--user", "alice"],
        &["export", "--format", "teleport"],
        &["checkpoint"],
        &["healthcheck"],
    ] {
        says(format!("http://{}", gateway.address()), command, sentence).await;
    }
    says(gateway.address(), &["status"], sentence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_tls_where_none_is_spoken_is_told() {
    let ca = Authority::new();
    let gateway = gateway(Tls::default()).await;
    let file = ca.write("ca.pem", &ca.pem);
    let trusting = ["status", "--cacert", file.to_str().unwrap()];
    for address in [https(gateway.address()), gateway.address().to_string()] {
        says(address, &trusting, "the server does not use TLS: if that is intended, use http://")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_gateways_certificate_is_told() {
    let (ca, other) = (Authority::new(), Authority::new());
    let right = gateway(ca.tls()).await;
    let file = ca.write("ca.pem", &ca.pem);
    let trusting = ["status", "--cacert", file.to_str().unwrap()];
    let file = other.write("ca.pem", &other.pem);
    let distrusting = ["status", "--cacert", file.to_str().unwrap()];
    let sentence = "no trusted CA issued its certificate: pass its CA with --cacert";
    says(https(right.address()), &distrusting, sentence).await;
    says(https(right.address()), &["status"], sentence).await;
    let names = || vec![SanType::DnsName("localhost".try_into().unwrap())];
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    let expired = ca.issue(names(), usage.clone(), |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    // A gateway does not start with it; one that runs may have one that has ended since.
    let sentence = "its certificate has expired, on 2020-01-02T00:00:00Z";
    says(https(handshakes(&expired).await), &trusting, sentence).await;
    let rows = [
        (
            ca.issue(names(), usage.clone(), |params| {
                params.not_before = rcgen::date_time_ymd(2100, 1, 1);
                params.not_after = rcgen::date_time_ymd(2101, 1, 1);
            }),
            "its certificate is not valid before 2100-01-01T00:00:00Z: check the clocks",
        ),
        (
            ca.issue(vec![uri("spiffe://example.org/x")], usage, |_| {}),
            "its certificate is rejected: certificate not valid for name \"localhost\"",
        ),
    ];
    for (own, sentence) in rows {
        let tls = Tls {
            cert: Some(ca.write("server.pem", &own.cert)),
            key: Some(ca.write("server.key", &own.key)),
            ..Tls::default()
        };
        let gateway = gateway(tls).await;
        says(https(gateway.address()), &trusting, sentence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_for_a_certificate_is_told() {
    let ca = Authority::new();
    let file = ca.write("trusted.pem", &ca.pem);
    let cacert = file.to_str().unwrap();
    let tls = Tls { client_certificates: ClientCertificates::Required, ..ca.mutual_tls() };
    let gateway = gateway(tls).await;
    let none = ["status", "--cacert", cacert];
    let sentence = "the gateway requires a client certificate: pass --cert and --key";
    says(https(gateway.address()), &none, sentence).await;
    let other = Authority::new().client(vec![uri("spiffe://example.org/x")]);
    let (cert, key) = (ca.write("own.pem", &other.cert), ca.write("own.key", &other.key));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    for command in [&["status"][..], &["tail"], &["emit", "user.login"]] {
        let with = [command, &["--cacert", cacert, "--cert", cert, "--key", key]].concat();
        let sentence = "the gateway rejects the client certificate: ";
        says(https(gateway.address()), &with, sentence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_or_may_not_is_told() {
    let ca = Authority::new();
    let gateway = gateway(ca.tls()).await;
    let file = ca.write("ca.pem", &ca.pem);
    let cacert = file.to_str().unwrap();
    let status = ["status", "--cacert", cacert];
    says(https(gateway.address()), &status, "authentication is required: pass --token-file FILE")
        .await;
    for (token, command, sentence) in [
        ("mallory", &["status"][..], "the token is unknown"),
        ("bob", &["status"], "may not see the status"),
        ("bob", &["emit", "user.login"], "may not emit"),
        ("bob", &["search", "--type", "exec"], "may not read"),
    ] {
        let token = ca.write("token", token);
        let with = [command, &["--cacert", cacert, "--token-file", token.to_str().unwrap()]];
        says(https(gateway.address()), &with.concat(), sentence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_hold_something_else_are_told() {
    let ca = Authority::new();
    let gateway = gateway(ca.tls()).await;
    let own = ca.client(vec![uri("spiffe://example.org/x")]);
    let (pem, cert, key) = (
        ca.write("ca.pem", &ca.pem),
        ca.write("own.pem", &own.cert),
        ca.write("own.key", &own.key),
    );
    let [pem, cert, key] = [&pem, &cert, &key].map(|file| file.to_str().unwrap());
    for (flags, sentence) in [
        (["--cacert", key, "--cert", cert, "--key", key], "(--cacert) has no PEM certificate"),
        (["--cacert", pem, "--cert", key, "--key", key], "(--cert) is not a PEM certificate"),
        (["--cacert", pem, "--cert", cert, "--key", cert], "(--key) is not a PEM key"),
    ] {
        let command = [&["status"][..], &flags].concat();
        says(https(gateway.address()), &command, sentence).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_leave_the_machine_unencrypted() {
    let ca = Authority::new();
    let gateway = gateway(Tls::default()).await;
    let token = ca.write("token", "alice");
    let token = token.to_str().unwrap();
    // It leads to this machine, but is not a loopback address.
    let address = format!("http://0.0.0.0:{}", gateway.address().port());
    let sentence = "use https://, or allow it with --insecure";
    for command in [
        &["status"][..],
        &["tail"],
        &["search"],
        &["emit", "user.login"],
        &["healthcheck"],
        &["checkpoint"],
    ] {
        let with = [command, &["--token-file", token]].concat();
        says(&address, &with, sentence).await;
    }
    let seen = ["status", "--token-file", token, "--insecure"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    command.args(seen).env("AUDITGATE_SERVER", &address).stdin(Stdio::null());
    let allowed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(allowed.status.success(), "{allowed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_told_at_once() {
    let mut settings = settings(Default::default());
    settings.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let gateway = start(&settings).await;
    let admin = format!("http://{}", gateway.admin_address().unwrap());
    let begun = std::time::Instant::now();
    for command in [&["status"][..], &["tail"], &["emit", "user.login"], &["healthcheck"]] {
        says(&admin, command, "the server speaks HTTP/1.1, not gRPC: this may be the admin").await;
    }
    // A server that greets in its own way.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", other.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        }
    });
    says(&address, &["status"], "does not speak gRPC: check host and port").await;
    let elapsed = begun.elapsed();
    assert!(elapsed < std::time::Duration::from_secs(30), "{elapsed:?} for five commands");
}

/// One exit status and one line, however many events there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_ends_a_command_with_one_line() {
    let ca = Authority::new();
    let gateway = gateway(Tls::default()).await;
    let token = ca.write("token", "mallory");
    let token = token.to_str().unwrap().to_owned();
    let events = ca.write("events", &"{\"user_login\": {}}\n".repeat(20));
    let events = events.to_str().unwrap().to_owned();
    let bob = ca.write("bob", "bob");
    let bob = bob.to_str().unwrap().to_owned();
    for (arguments, token, sentence) in [
        (vec!["emit", "user.login"], &token, "the token is unknown"),
        (vec!["emit", "--file", &events], &token, "the token is unknown"),
        (vec!["status"], &token, "the token is unknown"),
        (vec!["search"], &token, "the token is unknown"),
        (vec!["tail", "--no-follow"], &token, "the token is unknown"),
        (vec!["count"], &token, "the token is unknown"),
        (vec!["export", "--format", "teleport"], &token, "the token is unknown"),
        (vec!["emit", "--file", &events], &bob, "may not emit"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
        command
            .args(&arguments)
            .args(["--token-file", token])
            .env("AUDITGATE_SERVER", format!("http://{}", gateway.address()))
            .stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = run.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(said.matches(sentence).count(), 1, "{arguments:?}: {said}");
    }
}
