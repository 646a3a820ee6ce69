//! What the tests of the client share: gateways that go and come back, and a proxy
//! before them that breaks.

use std::net::SocketAddr;

use auditgate::log::Bounds;
use auditgate::proto::pb;
use auditgate::server::Gateway;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::start_with;

/// A gateway that keeps few records.
pub async fn start_small(records: usize) -> Gateway {
    start_with(Bounds { records, ..Bounds::default() }).await
}

/// A port on which nobody listens.
pub async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    listener.local_addr().expect("a bound socket has an address")
}

pub fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// A `user.login` to which the client gives an id.
pub fn login(user: &str) -> pb::Event {
    pb::Event { id: None, ..super::login("", user) }
}

/// A proxy whose connections a test can break.
pub struct Proxy {
    pub address: SocketAddr,
    gateway: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before a gateway.
    pub async fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { address, gateway, task: pass(listener, gateway, true) }
    }

    /// A proxy through which calls reach the gateway, but answers are lost.
    pub async fn without_answers(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { address, gateway, task: pass(listener, gateway, false) }
    }

    /// Breaks the connections there are, and takes no new ones until it is restored.
    pub async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.task = tokio::spawn(async {});
    }

    /// Breaks the connections there are; new ones are passed on.
    pub async fn restore(&mut self) {
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
