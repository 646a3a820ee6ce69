//! Browsers: tokens, certificates, and TLS with HTTP/2 and HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use auditgate::config::{ClientCertificates, Right, Settings, Tls};
use auditgate::server::Gateway;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::{Code, Status};

use crate::support::access::{self, Authority, Issued, reason, role};
use crate::support::http1::{Answer, ask, call, exchange, request, unary};
use crate::support::{pb, soon};

fn settings(tls: Tls) -> Settings {
    let roles = vec![role(&["root", "localhost"], &["*"], &["*"], &Right::ALL)];
    Settings { tls, ..access::settings(access::access(&["root"], roles)) }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &request("GET", path, &[("host", "localhost")], &[])).await
}

fn refused(status: &Status, code: Code, why: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, why), "{}", status.message());
}

#[tokio::test]
async fn a_browser_has_the_rights_of_its_token() {
    let mut settings = settings(Tls::default());
    settings.access.self_audit = Some(true);
    let gateway = access::start(&settings).await;
    let web = gateway.web_address().unwrap();
    let session = get(web, "/session.json").await;
    assert!(session.text().starts_with("{\"authentication\":\"token\",\"certificate\":false,"));
    assert_eq!(session.header("cache-control"), Some("no-store"));
    assert_eq!(get(web, "/").await.status, 200);
    let asked = pb::SearchRequest::default();
    let search = async |headers: &[(&str, &str)]| {
        unary::<pb::SearchResponse>(web, "Search", headers, &asked).await
    };
    let root = [("authorization", "Bearer root")];
    // Loading the page leaves no record of a refusal.
    let denied = |found: &pb::SearchResponse| {
        let is_denied = |record: &&pb::Record| record.r#type == "auditgate.denied";
        found.records.iter().filter(is_denied).count()
    };
    assert_eq!(denied(&search(&root).await.unwrap()), 0);
    refused(&search(&[]).await.unwrap_err(), Code::Unauthenticated, "CREDENTIALS_MISSING");
    let wrong = [("authorization", "Bearer nobody")];
    refused(&search(&wrong).await.unwrap_err(), Code::Unauthenticated, "CREDENTIALS_INVALID");
    let recorded = async {
        while denied(&search(&root).await.unwrap()) == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(recorded).await;
}

/// A client by TLS that offers these protocols, and maybe shows a certificate.
async fn connect(
    web: SocketAddr,
    authority: &Authority,
    protocols: &[&[u8]],
    own: Option<&Issued>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(web).await.unwrap();
    let name = "localhost".try_into().unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

#[tokio::test]
async fn by_tls_a_browser_chooses_its_version_of_http() {
    let authority = Authority::new();
    let gateway = access::start(&settings(authority.mutual_tls())).await;
    let web = gateway.web_address().unwrap();
    let host = format!("localhost:{}", web.port());
    let origin = format!("https://{host}");
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = connect(web, &authority, protocols, None).await.unwrap();
        assert_eq!(agreed(&stream), protocols.first().copied());
        let headers = [("authorization", "Bearer root"), ("origin", origin.as_str())];
        let asked = call("GetCaller", &host, &headers, &pb::GetCallerRequest {});
        let (messages, status) = exchange(stream, &asked).await.call();
        assert_eq!((messages.len(), status.code()), (1, Code::Ok), "{}", status.message());
    }
    // The scheme is part of the origin.
    let stream = connect(web, &authority, &[b"http/1.1"], None).await.unwrap();
    let plain = format!("http://{host}");
    let asked = call("GetCaller", &host, &[("origin", &plain)], &pb::GetCallerRequest {});
    assert_eq!(exchange(stream, &asked).await.status, 403);
    // A name that is not of the certificate.
    let stream = connect(web, &authority, &[b"http/1.1"], None).await.unwrap();
    let asked = request("GET", "/", &[("host", "evil.example")], &[]);
    assert_eq!(exchange(stream, &asked).await.status, 421);
    // HTTP/2, as browsers prefer it.
    let stream = connect(web, &authority, &[b"h2", b"http/1.1"], None).await.unwrap();
    assert_eq!(agreed(&stream), Some(&b"h2"[..]));
    assert_eq!(get_by_http2(stream, &host, "/session.json").await, (200, "token".to_owned()));
    let stream = connect(web, &authority, &[b"h2"], None).await.unwrap();
    assert_eq!(get_by_http2(stream, "evil.example", "/").await.0, 421);
    // Without TLS there is nothing.
    let mut plain = TcpStream::connect(web).await.unwrap();
    let asked = request("GET", "/", &[("host", &host)], &[]);
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    plain.write_all(&asked).await.unwrap();
    let mut all = Vec::new();
    let _ = soon(plain.read_to_end(&mut all)).await;
    assert!(!String::from_utf8_lossy(&all).contains("HTTP/1.1 200"));
}

/// The status, and how to authenticate if the answer says so.
async fn get_by_http2(stream: TlsStream<TcpStream>, host: &str, path: &str) -> (u16, String) {
    use http_body_util::{BodyExt as _, Empty};
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let shaken = hyper::client::conn::http2::handshake(executor, io).await;
    let (mut sender, connection) = shaken.unwrap();
    let driving = tokio::spawn(connection);
    let asked = http::Request::get(format!("https://{host}{path}"));
    let asked = asked.body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = soon(sender.send_request(asked)).await.unwrap();
    assert!(answer.headers().contains_key("content-security-policy"));
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    driving.abort();
    let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, parsed["authentication"].as_str().unwrap_or_default().to_owned())
}

async fn session(gateway: &Gateway, authority: &Authority, own: Option<&Issued>) -> (String, bool) {
    let web = gateway.web_address().unwrap();
    let stream = connect(web, authority, &[b"http/1.1"], own).await.unwrap();
    let asked = request("GET", "/session.json", &[("host", "localhost")], &[]);
    let answer = exchange(stream, &asked).await;
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let name = said["authentication"].as_str().unwrap().to_owned();
    (name, said["certificate"].as_bool().unwrap())
}

/// A browser would ask the person in front of it which certificate to show.
#[tokio::test]
async fn a_browser_is_asked_for_a_certificate_only_where_clients_must_have_one() {
    let authority = Authority::new();
    let own = authority.client(vec![access::uri("spiffe://example.org/root")]);
    // Whoever would be asked for one would show it.
    let gateway = access::start(&settings(authority.mutual_tls())).await;
    let shown = session(&gateway, &authority, Some(&own)).await;
    assert_eq!(shown, ("token".to_owned(), false));
    // There is nothing but certificates: the page can say so.
    let mut only = settings(authority.mutual_tls());
    only.access.tokens.clear();
    let gateway = access::start(&only).await;
    let shown = session(&gateway, &authority, None).await;
    assert_eq!(shown, ("certificate".to_owned(), false));
    // Where each client must have one, so must browsers: a token alone is not enough on any port.
    let required = ClientCertificates::Required;
    let tls = Tls { client_certificates: required, ..authority.mutual_tls() };
    let gateway = access::start(&settings(tls)).await;
    let shown = session(&gateway, &authority, Some(&own)).await;
    assert_eq!(shown, ("token".to_owned(), true));
    let web = gateway.web_address().unwrap();
    let refused = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = connect(web, &authority, &[b"http/1.1"], None).await?;
        stream.write_all(&request("GET", "/", &[("host", "localhost")], &[])).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        Ok::<_, std::io::Error>(all)
    };
    let refused = soon(refused).await.map(|all| String::from_utf8_lossy(&all).into_owned());
    assert!(!refused.as_ref().is_ok_and(|text| text.contains("HTTP")), "{refused:?}");
}
