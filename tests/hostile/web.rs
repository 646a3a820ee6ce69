//! Peers of the page's listener that hold on to what they have, or send what no browser does.

use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::TURN;
use crate::scene::{BAD_ADDRESS, Bad, Scene, WAIT_MAX};
use crate::support::earliest;
use crate::support::http1::{call, request};

/// Open connections of one address.
const PER_ADDRESS: &str = "250";
const FLAGS: &[&str] = &["--web-connections-per-address", PER_ADDRESS];

async fn bad(scene: &Scene) -> Bad {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((BAD_ADDRESS, 0).into()).unwrap();
    Bad { stream: socket.connect(scene.web).await.unwrap() }
}

/// Waits until so many connections were closed for this reason.
async fn until_cut(scene: &Scene, reason: &str, count: usize) -> Duration {
    let started = Instant::now();
    let name = format!("auditgate_web_connections_cut_total{{reason=\"{reason}\"}}");
    while scene.metric(&name).await < count as f64 {
        let so_far = scene.metric(&name).await;
        assert!(started.elapsed() < WAIT_MAX, "{so_far} of {count} for {reason}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    started.elapsed()
}

/// Half of them send their first request bit by bit, the others their second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_trickle_are_cut_off() {
    const PEERS: usize = 200;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(FLAGS, None).await;
    let mut peers = Vec::new();
    for number in 0..PEERS {
        let mut peer = bad(&scene).await;
        if number % 2 == 0 {
            let host = format!("GET /session.json HTTP/1.1\r\nhost: {}\r\n\r\n", scene.web);
            assert!(peer.send(host.as_bytes()).await);
            assert!(peer.read_some(4096).await > 0);
        }
        assert!(peer.send(b"GET / HTTP/1.1\r\n").await);
        peers.push(peer);
    }
    let growth = scene.growth();
    let started = Instant::now();
    let trickle = tokio::spawn(async move {
        loop {
            for peer in &mut peers {
                peer.send(b"x").await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    until_cut(&scene, "silent", PEERS / 2).await;
    until_cut(&scene, "unfinished", PEERS / 2).await;
    trickle.abort();
    scene.close("200 x HTTP/1.1 heads that trickle", Some(started.elapsed()), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_trickle_are_refused() {
    const PEERS: usize = 100;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(FLAGS, None).await;
    let host = scene.web.to_string();
    let head = format!(
        "POST /auditgate.v1.AuditService/Search HTTP/1.1\r\nhost: {host}\r\n\
         content-type: application/grpc-web+proto\r\ncontent-length: 100000\r\n\r\n"
    );
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = bad(&scene).await;
        assert!(peer.send(&[head.as_bytes(), &[0, 0, 1, 0, 0]].concat()).await);
        peers.push(peer);
    }
    let started = Instant::now();
    let slow = "auditgate_refusals_total{reason=\"REQUEST_TOO_SLOW\"}";
    while scene.metric(slow).await < PEERS as f64 {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(slow).await);
        for peer in &mut peers {
            peer.send(&[0]).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let cut = started.elapsed();
    let growth = scene.growth();
    // Nothing more is read on such a connection: it is over.
    for peer in &mut peers {
        peer.until_cut().await;
    }
    scene.close("100 x HTTP/1.1 bodies that trickle", Some(cut), growth).await;
}

/// They subscribe to 20 MiB, or ask for the page again and again, and read nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stall_are_cut_off() {
    const PEERS: usize = 50;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(FLAGS, None).await;
    scene.fill(20, 100_000).await;
    let before = scene.growth();
    let host = scene.web.to_string();
    let subscribe = call("Subscribe", &host, &[], &earliest());
    let file = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").repeat(200);
    let mut peers = Vec::new();
    for number in 0..PEERS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind((BAD_ADDRESS, 0).into()).unwrap();
        let mut peer = Bad { stream: socket.connect(scene.web).await.unwrap() };
        if number % 2 == 0 {
            assert!(peer.send(&subscribe).await);
        } else {
            // More than the system holds for it.
            for _ in 0..40 {
                let sent = peer.send(file.as_bytes());
                if tokio::time::timeout(Duration::from_millis(50), sent).await.is_err() {
                    break;
                }
            }
        }
        peers.push(peer);
    }
    let started = Instant::now();
    let cut = "auditgate_web_connections_cut_total{reason=\"not_reading\"}";
    let mut peak = 0;
    while scene.metric(cut).await < PEERS as f64 {
        let so_far = scene.metric(cut).await;
        assert!(started.elapsed() < WAIT_MAX, "{so_far} so far");
        peak = peak.max(scene.growth());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = started.elapsed();
    let growth = peak.saturating_sub(before);
    scene.close("50 x HTTP/1.1 readers that stall", Some(took), growth).await;
}

/// Browsers have connections of their own: they take none from the clients of gRPC, and one address
/// none from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_browsers_are_counted_by_themselves() {
    let _turn = TURN.lock().await;
    let flags = ["--web-connections-per-address", "20", "--limits-unfinished-timeout", "60s"];
    let scene = Scene::open_with(&flags, None).await;
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(bad(&scene).await);
    }
    let refused = "auditgate_web_connections_refused_total{reason=\"address\"}";
    let started = Instant::now();
    while scene.metric(refused).await < 80.0 {
        assert!(started.elapsed() < WAIT_MAX, "{} refused", scene.metric(refused).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.metric("auditgate_web_connections ").await, 20.0);
    // Another address is served, and so is the same one on the gRPC port.
    let host = scene.web.to_string();
    let asked = request("GET", "/", &[("host", host.as_str())], &[]);
    let answer = crate::support::http1::ask(scene.web, &asked).await;
    assert_eq!(answer.status, 200);
    let mut other = scene.bad().await;
    assert!(other.send(&crate::frames::hello()).await);
    assert!(other.read_some(9).await > 0);
    let growth = scene.growth();
    scene.close("100 connections of browsers from one address", None, growth).await;
}

/// What a proxy and the gateway could understand in two ways is refused, or is the last request of its
/// connection: no second request is answered that a first one hid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_smuggled_in_another() {
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(FLAGS, None).await;
    let host = scene.web.to_string();
    let hidden = format!("GET /session.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let head = format!(
        "POST /auditgate.v1.AuditService/GetStatus HTTP/1.1\r\nhost: {host}\r\n\
         content-type: application/grpc-web+proto\r\n"
    );
    let chunked = format!("0\r\n\r\n{hidden}");
    let long = chunked.len();
    for (name, framing, body) in [
        ("both", format!("content-length: {long}\r\ntransfer-encoding: chunked\r\n"), &chunked),
        (
            "both, the other way",
            format!("transfer-encoding: chunked\r\ncontent-length: {long}\r\n"),
            &chunked,
        ),
        ("two lengths", format!("content-length: 0\r\ncontent-length: {long}\r\n"), &hidden),
        ("a list of lengths", format!("content-length: 0, {long}\r\n"), &hidden),
        ("a signed length", "content-length: +0\r\n".to_owned(), &hidden),
        ("a hexadecimal length", "content-length: 0x0\r\n".to_owned(), &hidden),
        ("an unknown coding", "transfer-encoding: xchunked\r\n".to_owned(), &chunked),
        ("chunked, then identity", "transfer-encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("a space before the colon", "transfer-encoding : chunked\r\n".to_owned(), &chunked),
        ("a folded header", "transfer-encoding:\r\n chunked\r\n".to_owned(), &chunked),
        ("a tab in a name", "transfer-\tencoding: chunked\r\n".to_owned(), &chunked),
        (
            "a bare line feed",
            "x: y\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n".to_owned(),
            &chunked,
        ),
        ("a null", "x: a\0b\r\ncontent-length: 0\r\n".to_owned(), &hidden),
        (
            "a chunk that is too long",
            "transfer-encoding: chunked\r\n".to_owned(),
            &format!("fffffffffffffffff\r\n{hidden}"),
        ),
        (
            "a chunk of a negative size",
            "transfer-encoding: chunked\r\n".to_owned(),
            &format!("-1\r\n{hidden}"),
        ),
        (
            "a chunk without its end",
            "transfer-encoding: chunked\r\n".to_owned(),
            &format!("1\r\nab\r\n0\r\n\r\n{hidden}"),
        ),
    ] {
        let mut peer = bad(&scene).await;
        assert!(peer.send(format!("{head}{framing}\r\n{body}").as_bytes()).await, "{name}");
        let all = peer.until_cut().await;
        let text = String::from_utf8_lossy(&all);
        let answers = text.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{name}: {answers} answers\n{text}");
        assert!(!text.contains("\"authentication\""), "{name}: the hidden request was answered");
    }
    let growth = scene.growth();
    scene.close("requests in requests", None, growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_bounded() {
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(FLAGS, None).await;
    let host = scene.web.to_string();
    let get =
        |more: &str| format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n");
    let many: String = (0..300).map(|number| format!("x-{number}: y\r\n")).collect();
    let target = format!("GET /{} HTTP/1.1\r\nhost: {host}\r\n\r\n", "a".repeat(1 << 20));
    for (name, asked, expected) in [
        ("a header of 15 KiB", get(&format!("x: {}\r\n", "a".repeat(15 * 1024))), "200"),
        ("a header of 17 KiB", get(&format!("x: {}\r\n", "a".repeat(17 * 1024))), "431"),
        ("a header of 4 MiB", get(&format!("x: {}\r\n", "a".repeat(4 << 20))), "431"),
        ("300 headers", get(&many), "431"),
        ("a target of 1 MiB", target, "4"),
        ("HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "4"),
        ("TLS where there is none", "\x16\x03\x01\x02\0\x01\0".to_owned(), "400"),
        ("no HTTP", "hello\r\n\r\n".to_owned(), "400"),
    ] {
        let mut peer = bad(&scene).await;
        // The gateway may have hung up before the end.
        peer.send(asked.as_bytes()).await;
        let all = peer.until_cut().await;
        let text = String::from_utf8_lossy(&all);
        let status = text.strip_prefix("HTTP/1.1 ").unwrap_or("reset");
        let is_expected = status.starts_with(expected) || (expected == "4" && status == "reset");
        assert!(is_expected, "{name}: {}", &text[..text.len().min(200)]);
    }
    let growth = scene.growth();
    scene.close("heads beyond the bounds", None, growth).await;
}
