//! Commands with several servers.

use crate::support::cli::{command, emit, field, finish, login};
use crate::support::client::{Proxy, free_port, url};
use crate::support::shared::{self, MemoryStream};
use crate::support::{soon, start};
use auditgate::server::Config;
use std::io::{BufRead as _, BufReader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_goes_on_where_a_gateway_is_lost() {
    let stream = MemoryStream::new();
    let config = || Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
    let one = shared::start(&stream, config()).await;
    let other = shared::start(&stream, config()).await;
    emit(&one.gateway, (0..5).map(|number| login(number, "alice")).collect()).await;
    let mut proxy = Proxy::to(one.gateway.address()).await;
    let servers = format!("{},{}", url(proxy.address), url(other.gateway.address()));
    let mut tail = command(proxy.address, 80, &["tail", "--from", "earliest", "-o", "ndjson"]);
    let mut tail = tail.env("AUDITGATE_SERVER", &servers).spawn().unwrap();
    let mut out = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(tail.stderr.take().unwrap()).lines();
    let (mut sequences, mut next) =
        (Vec::new(), || field(&out.next().unwrap().unwrap(), "/sequence"));
    for _ in 0..5 {
        sequences.push(next());
    }
    proxy.cut().await;
    let lost = err.next().unwrap().unwrap();
    let going_on = format!("continuing at {}", url(other.gateway.address()));
    assert!(lost.contains(&format!("lost {}: ", url(proxy.address))), "{lost}");
    assert!(lost.ends_with(&going_on), "{lost}");
    emit(&other.gateway, (5..8).map(|number| login(number, "alice")).collect()).await;
    for _ in 0..3 {
        sequences.push(next());
    }
    assert_eq!(sequences, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    let connected = err.next().unwrap().unwrap();
    assert!(connected.ends_with(&format!("connected to {}", url(other.gateway.address()))));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_ends_where_the_other_gateway_has_another_log() {
    let (one, other) = (start().await, start().await);
    emit(&one, vec![login(0, "alice")]).await;
    let mut proxy = Proxy::to(one.address()).await;
    let servers = format!("{},{}", url(proxy.address), url(other.address()));
    let arguments = ["tail", "--from", "earliest", "-o", "ndjson", "--server", &servers];
    let mut tail = command(proxy.address, 80, &arguments).spawn().unwrap();
    let mut out = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert_eq!(field(&out.next().unwrap().unwrap(), "/sequence"), "1");
    proxy.cut().await;
    let ran = soon(tokio::task::spawn_blocking(|| finish(tail))).await.unwrap();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("has another log than"), "{ran:?}");
    assert!(ran.err.contains(&url(other.address())), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_that_does_not_answer_is_named() {
    let gateway = start().await;
    emit(&gateway, vec![login(0, "alice")]).await;
    let (dead, other) = (url(free_port().await), url(free_port().await));
    let live = url(gateway.address());
    let run = |servers: &str| {
        let arguments = ["search", "-o", "ndjson", "--server", servers];
        finish(command(gateway.address(), 80, &arguments).spawn().unwrap())
    };
    let ran = run(&format!("{dead},{live}"));
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");
    assert!(ran.err.contains(&format!("lost {dead}: ")), "{ran:?}");
    assert!(ran.err.trim_end().ends_with(&format!("continuing at {live}")), "{ran:?}");
    let ran = run(&format!("{dead},{other}"));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains(&format!("{dead}: ")) && ran.err.contains(&format!("{other}: ")));
    let ran = run(&format!("{live},"));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("a URL between commas is empty"), "{ran:?}");
}
