//! The interface by which a status gets the server's connections, files and reloads.

use crate::proto::pb;

/// A source of the server's state for the status.
pub trait OperationsReport: Send + Sync {
    /// The present state.
    fn report(&self) -> Operations;
}

/// The server's state around the service, for a caller who may see all of it.
#[derive(Debug, Default)]
pub struct Operations {
    /// The number of refused calls of all methods, by the name of the reason.
    pub refused_calls: Vec<(&'static str, u64)>,
    /// Connections.
    pub connections: pb::ConnectionStatus,
    /// The newest disconnects, the newest first.
    pub disconnects: Vec<pb::Disconnect>,
    /// The last reload.
    pub last_reload: Option<pb::ReloadStatus>,
    /// When certificates end.
    pub certificates: Vec<pb::CertificateStatus>,
    /// The free and the total bytes of the log's file system.
    pub space: Option<(u64, u64)>,
    /// Whether the signing key is in the data directory.
    pub key_beside_log: bool,
}

impl Operations {
    /// The part that `principal` may see without the right to see other clients.
    pub fn seen_by(mut self, principal: &str) -> Self {
        self.disconnects.retain(|one| one.principal == principal);
        self.last_reload.iter_mut().for_each(|reload| reload.error.clear());
        self.certificates.iter_mut().for_each(|one| one.file.clear());
        self
    }
}
