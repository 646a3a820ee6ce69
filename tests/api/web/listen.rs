//! Where the page is, and what comes of a port that is taken.

use std::net::SocketAddr;

use super::free;
use auditgate::config::{Web, WebListen};
use auditgate::server::{Config, Gateway};
use tokio::net::TcpListener;

async fn start(listen: SocketAddr, web: Option<WebListen>) -> std::io::Result<Gateway> {
    let web = Web { listen: web, ..Web::default() };
    Gateway::start(Config { listen, web, ..Config::default() }).await
}

/// A socket whose port is so far above another one that is free.
async fn taken_above() -> (TcpListener, SocketAddr) {
    loop {
        let taken = TcpListener::bind(free()).await.unwrap();
        let mut below = taken.local_addr().unwrap();
        below.set_port(below.port() - 1_000);
        if TcpListener::bind(below).await.is_ok() {
            return (taken, below);
        }
    }
}

#[tokio::test]
async fn the_page_is_beside_the_gateway_unless_the_port_is_taken() {
    let (taken, listen) = taken_above().await;
    let gateway = start(listen, None).await.expect("it starts without the page");
    assert_eq!(gateway.address(), listen);
    assert_eq!(gateway.web_address(), None);
    gateway.stop().await;
    let above = taken.local_addr().unwrap();
    drop(taken);
    let gateway = start(listen, None).await.unwrap();
    assert_eq!(gateway.web_address(), Some(above));
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind(free()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let refused = start(free(), Some(WebListen::At(address))).await.err().expect("refused");
    let said = refused.to_string();
    assert!(said.contains("web.listen") && said.contains(&address.to_string()), "{said}");
}

#[tokio::test]
async fn the_page_is_off_where_it_is_told_so_and_beyond_loopback() {
    let gateway = start(free(), Some(WebListen::Off)).await.unwrap();
    assert_eq!(gateway.web_address(), None);
    let gateway = start("0.0.0.0:0".parse().unwrap(), None).await.unwrap();
    assert_eq!(gateway.web_address(), None);
    let gateway = start("0.0.0.0:0".parse().unwrap(), Some(WebListen::At(free()))).await.unwrap();
    assert!(gateway.web_address().is_some_and(|address| address.ip().is_loopback()));
    let gateway = start(free(), None).await.unwrap();
    let (grpc, web) = (gateway.address(), gateway.web_address().unwrap());
    assert!(web.ip().is_loopback() && web.port() != grpc.port());
}
