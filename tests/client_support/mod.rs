//! What the tests of the client share: gateways that go and come back, and a way
//! to them that breaks.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::net::SocketAddr;
use std::time::Duration;

use auditgate::log::Bounds;
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::server::{Config, Gateway};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long a test waits for what must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A gateway on a free port.
pub async fn start() -> Gateway {
    start_at(([127, 0, 0, 1], 0).into()).await
}

/// A gateway on a port.
pub async fn start_at(listen: SocketAddr) -> Gateway {
    Gateway::start(Config { listen, ..Config::default() }).await.expect("the port is free")
}

/// A gateway that keeps few records.
pub async fn start_small(records: usize) -> Gateway {
    let ring = Bounds { records, ..Bounds::default() };
    let listen = ([127, 0, 0, 1], 0).into();
    Gateway::start(Config { listen, ring, ..Config::default() }).await.expect("a free port")
}

/// A port on which nobody listens.
pub async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    listener.local_addr().expect("a bound socket has an address")
}

pub fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What `work` comes to, in time.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, work).await.expect("it comes in time")
}

pub fn login(user: &str) -> pb::Event {
    pb::Event {
        user: Some(pb::User { name: Some(user.into()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

/// Passes connections on, until it is told to break them.
pub struct Way {
    pub address: SocketAddr,
    gateway: SocketAddr,
    task: JoinHandle<()>,
}

impl Way {
    /// A way to a gateway.
    pub async fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { address, gateway, task: pass(listener, gateway, true) }
    }

    /// A way on which calls reach the gateway, but answers are lost.
    pub async fn without_answers(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { address, gateway, task: pass(listener, gateway, false) }
    }

    /// Breaks the connections there are; new ones are passed on.
    pub async fn mend(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let listener = TcpListener::bind(self.address).await.expect("the port was ours");
        self.task = pass(listener, self.gateway, true);
    }
}

fn pass(listener: TcpListener, gateway: SocketAddr, answers: bool) -> JoinHandle<()> {
    tokio::spawn(async move {
        // Dropped, and so broken, with this task.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let Ok(mut server) = TcpStream::connect(gateway).await else { return };
                if answers {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                } else {
                    let (mut calls, _unanswered) = client.split();
                    let _ = copy(&mut calls, &mut server).await;
                }
            });
        }
    })
}
