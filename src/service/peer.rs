//! The peer of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Request;

use crate::proto::pb;
use crate::record::EmitterIdentity;

/// The peer of a connection. A listener puts it into the extensions of each request, so that its
/// emitter identity is encoded once for all of them.
#[derive(Debug)]
pub struct Peer {
    address: String,
    /// The emitter identity of the last emitting call.
    emitter: Mutex<Option<EmitterIdentity>>,
}

impl Peer {
    /// The peer at this address.
    pub fn at(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address: address.to_string(), emitter: Mutex::new(None) })
    }

    /// Returns the cached identity if the principal is the same, which is nearly always so.
    fn emitter(&self, principal: &str) -> EmitterIdentity {
        let mut last = self.emitter.lock();
        match &*last {
            Some(emitter) if emitter.principal() == principal => emitter.clone(),
            _ => last.insert(identity(principal, self.address.clone())).clone(),
        }
    }
}

/// The network address of the client; empty if unknown.
pub fn address<T>(request: &Request<T>) -> String {
    match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => peer.address.clone(),
        None => request.remote_addr().map(|address| address.to_string()).unwrap_or_default(),
    }
}

/// The emitter identity of this request, with this principal.
pub fn emitter<T>(principal: &str, request: &Request<T>) -> EmitterIdentity {
    match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => peer.emitter(principal),
        None => identity(principal, address(request)),
    }
}

fn identity(principal: &str, peer: String) -> EmitterIdentity {
    pb::Emitter { principal: principal.to_owned(), peer }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emitter_is_who_calls_now() {
        let mut request = Request::new(());
        request.extensions_mut().insert(Peer::at(([192, 0, 2, 7], 4_711).into()));
        assert_eq!(address(&request), "192.0.2.7:4711");
        let known = Request::new(());
        assert_eq!(address(&known), "");
        for principal in ["alice", "alice", "", "bob", "alice"] {
            let emitter = emitter(principal, &request);
            assert_eq!(emitter.principal(), principal);
            let expected = identity(principal, "192.0.2.7:4711".to_owned());
            assert_eq!(format!("{emitter:?}"), format!("{expected:?}"));
        }
    }
}
