//! The interface by which a status gets the server's connections, files and reloads.

use crate::proto::pb;

/// Knows what goes on around the service.
pub trait OperationsReport: Send + Sync {
    /// What goes on now.
    fn report(&self) -> Operations;
}

/// What goes on around the service, for a caller who may see all of it.
#[derive(Debug, Default)]
pub struct Operations {
    /// How many calls of any method were refused, by the name of the reason.
    pub refused_calls: Vec<(&'static str, u64)>,
    /// Connections.
    pub connections: pb::ConnectionStatus,
    /// What ended lately, the newest first.
    pub disconnects: Vec<pb::Disconnect>,
    /// How the last reload ended.
    pub last_reload: Option<pb::ReloadStatus>,
    /// When certificates end.
    pub certificates: Vec<pb::CertificateStatus>,
    /// Bytes that are free in the file system of the log, and its bytes in all.
    pub space: Option<(u64, u64)>,
    /// The signing key lies in the data directory.
    pub key_beside_log: bool,
}

impl Operations {
    /// The part of it that `principal` may see without the right to see other clients.
    pub fn seen_by(mut self, principal: &str) -> Self {
        self.disconnects.retain(|one| one.principal == principal);
        self.last_reload.iter_mut().for_each(|reload| reload.error.clear());
        self.certificates.iter_mut().for_each(|one| one.file.clear());
        self
    }
}
