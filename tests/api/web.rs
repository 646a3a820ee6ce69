//! The page's listener: which requests it refuses, with which headers it answers, and that calls of browsers
//! come to the same as those of other clients.

mod calls;
mod listen;

use std::net::SocketAddr;

use crate::support::http1::{Answer, CALL_TYPE, ask, framed, request};
use crate::support::{self, pb};
use auditgate::config::{Web, WebListen};
use auditgate::server::{Config, Gateway};

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A gateway behind a proxy that browsers reach as `https://audit.example.com`.
async fn start() -> (Gateway, SocketAddr) {
    let hosts = vec!["https://audit.example.com".to_owned()];
    let web = Web { listen: Some(WebListen::At(free())), hosts, ..Web::default() };
    let config = Config { listen: free(), admin: Some(free()), web, ..Config::default() };
    let gateway = Gateway::start(config).await.expect("free ports");
    let address = gateway.web_address().expect("a page");
    (gateway, address)
}

/// What every answer has.
fn check_headers(answer: &Answer, what: &str) {
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    let policy = answer.header("content-security-policy").expect(what);
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(directives.contains(&directive), "{what}: {policy}");
    }
    assert_eq!(directives.len(), 10, "{policy}");
    assert_eq!(answer.header("strict-transport-security"), None, "{what}");
    let cors = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
    assert_eq!(cors, None, "{what}");
    assert!(answer.header("cache-control").is_some_and(|value| value.starts_with("no-")), "{what}");
}

const POST: (&str, &str) = ("POST", "/auditgate.v1.AuditService/GetStatus");
const GET: (&str, &str) = ("GET", "/");
const CALL: (&str, &str) = ("content-type", CALL_TYPE);

fn origin(value: &str) -> (&str, &str) {
    ("origin", value)
}

fn site(value: &str) -> (&str, &str) {
    ("sec-fetch-site", value)
}

#[tokio::test]
async fn each_check_refuses_what_it_is_for() {
    let (_gateway, address) = start().await;
    let own = address.to_string();
    let own_origin = format!("http://{address}");
    let host = ("host", own.as_str());
    let https = format!("https://{address}");
    let proxied = ("host", "audit.example.com");
    let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let framed_by_others = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    // Method and path, headers, and the status.
    type Row<'a> = ((&'a str, &'a str), Vec<(&'a str, &'a str)>, u16);
    let rows: Vec<Row<'_>> = vec![
        // What the page itself sends.
        (GET, vec![host], 200),
        (GET, vec![("host", "localhost")], 200),
        (POST, vec![host, CALL], 200),
        (POST, vec![host, CALL, origin(&own_origin), site("same-origin")], 200),
        (GET, vec![proxied], 200),
        (POST, vec![proxied, CALL, origin("https://audit.example.com")], 200),
        // Hosts.
        (GET, vec![("host", "evil.example")], 421),
        (POST, vec![("host", "evil.example"), CALL], 421),
        (
            POST,
            vec![
                ("host", "evil.example"),
                CALL,
                origin("http://evil.example"),
                site("same-origin"),
            ],
            421,
        ),
        (GET, vec![("host", "audit.example.com:8443")], 421),
        (GET, vec![("host", "evil.example"), ("x-forwarded-host", "localhost")], 421),
        (GET, vec![("host", "evil.example"), ("forwarded", "host=localhost")], 421),
        (GET, vec![], 400),
        (GET, vec![host, host], 400),
        (GET, vec![host, ("host", "evil.example")], 400),
        (GET, vec![("host", "localhost@evil.example")], 400),
        // Origins.
        (POST, vec![host, CALL, origin("http://evil.example")], 403),
        (POST, vec![host, CALL, origin("null")], 403),
        (GET, vec![host, origin("null")], 403),
        (POST, vec![host, CALL, origin("http://127.0.0.1:1")], 403),
        (POST, vec![host, CALL, origin(&https)], 403),
        (POST, vec![host, CALL, origin(&own_origin), origin("http://evil.example")], 403),
        (POST, vec![proxied, CALL, origin("http://audit.example.com")], 403),
        (POST, vec![host, CALL, origin("https://audit.example.com")], 403),
        // What the browser says of who asks.
        (POST, vec![host, CALL, site("cross-site")], 403),
        (POST, vec![host, CALL, site("same-site")], 403),
        (GET, vec![host, site("cross-site")], 403),
        (GET, [&[host, site("cross-site")], &navigate[..]].concat(), 200),
        (GET, [&[host, site("cross-site")], &framed_by_others[..]].concat(), 403),
        (POST, [&[host, CALL, site("cross-site")], &navigate[..]].concat(), 403),
        // Methods and content types.
        (
            ("OPTIONS", POST.1),
            vec![host, ("access-control-request-method", "POST"), origin(&own_origin)],
            403,
        ),
        (("OPTIONS", "*"), vec![host], 403),
        (("PUT", "/"), vec![host, CALL], 405),
        (("DELETE", "/"), vec![host], 405),
        (("PATCH", POST.1), vec![host, CALL], 405),
        (POST, vec![host], 415),
        (POST, vec![host, ("content-type", "text/plain")], 415),
        (POST, vec![host, ("content-type", "application/x-www-form-urlencoded")], 415),
        (POST, vec![host, ("content-type", "application/grpc")], 415),
        (POST, vec![host, ("content-type", "application/grpc-web")], 415),
        (POST, vec![host, ("content-type", "application/grpc-web-text+proto")], 415),
        (POST, vec![host, ("content-type", "application/grpc-web+proto; charset=utf-8")], 415),
        (POST, vec![host, CALL, CALL], 415),
        // Files.
        (("HEAD", "/"), vec![host], 200),
        (("GET", "/index.html?x=1"), vec![host], 200),
        (("GET", "/session.json"), vec![host], 200),
        (("GET", POST.1), vec![host, CALL], 404),
        (("GET", "/%2e%2e/Cargo.toml"), vec![host], 404),
        (("GET", "/metrics"), vec![host], 404),
    ];
    let body = framed(&pb::GetStatusRequest {});
    for ((method, path), headers, expected) in rows {
        let what = format!("{method} {path} {headers:?}");
        let body = if method == "POST" { &body[..] } else { &[] };
        let answer = ask(address, &request(method, path, &headers, body)).await;
        assert_eq!(answer.status, expected, "{what}: {:?}", String::from_utf8_lossy(&answer.body));
        check_headers(&answer, &what);
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
        }
        if method == "HEAD" {
            assert!(answer.body.is_empty() && answer.header("content-length") != Some("0"));
        }
    }
}

#[tokio::test]
async fn what_is_refused_and_what_is_answered_is_counted() {
    let (gateway, address) = start().await;
    let own = address.to_string();
    let host = ("host", own.as_str());
    ask(address, &request("GET", "/", &[host], &[])).await;
    ask(address, &request("GET", "/", &[("host", "evil.example")], &[])).await;
    ask(address, &request("POST", POST.1, &[host], b"x")).await;
    ask(address, &request("POST", POST.1, &[host, CALL], &framed(&pb::GetStatusRequest {}))).await;
    let admin = gateway.admin_address().unwrap();
    let page = ask(admin, &request("GET", "/metrics", &[host], &[])).await;
    for line in [
        "auditgate_web_requests_total{kind=\"file\"} 1",
        "auditgate_web_requests_total{kind=\"call\"} 1",
        "auditgate_web_requests_refused_total{check=\"host\"} 1",
        "auditgate_web_requests_refused_total{check=\"content_type\"} 1",
        "auditgate_web_requests_refused_total{check=\"origin\"} 0",
        "auditgate_web_connections_accepted_total 4",
        "auditgate_connections_accepted_total 0",
        "auditgate_web_connections_limit",
    ] {
        assert!(page.text().contains(line), "{line} in\n{}", page.text());
    }
}

/// One connection for several requests, as a browser keeps it.
#[tokio::test]
async fn a_connection_is_kept_and_closed_when_the_gateway_stops() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (gateway, address) = start().await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let asked = format!("GET /session.json HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let grpc = gateway.address();
    let expected =
        format!("{{\"authentication\":\"none\",\"certificate\":false,\"grpc\":\"{grpc}\"}}\n");
    for _ in 0..3 {
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(expected.as_bytes()) {
            let count = support::soon(stream.read_buf(&mut seen)).await.unwrap();
            assert!(count > 0, "{:?}", String::from_utf8_lossy(&seen));
        }
    }
    let started = std::time::Instant::now();
    gateway.stop().await;
    assert!(started.elapsed() < auditgate::server::DRAIN_TIMEOUT);
    let mut rest = Vec::new();
    support::soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}
