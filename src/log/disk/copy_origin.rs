//! Directories that hold a gateway's copy of a shared log, and those that do not: neither
//! is taken for the other.

use uuid::Uuid;

use crate::log::disk::directory::Directory;
use crate::log::disk::error::Error;
use crate::log::disk::identity::IdentityFile;
use crate::record::Sequence;

/// The shared log of which a directory is to hold a copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOrigin {
    /// The log.
    pub log_id: Uuid,
    /// The first record that the copy will have.
    pub first: Sequence,
    /// The epoch of the log.
    pub epoch: u64,
}

/// Whether the directory may be opened so.
pub fn check_origin(
    directory: &Directory,
    identity: &IdentityFile,
    origin: Option<CopyOrigin>,
) -> Result<(), Error> {
    let (path, is_copy) = (directory.identity_path(), identity.is_copy);
    if is_copy != origin.is_some() {
        return Err(Error::Copy { path, is_copy });
    }
    match origin.map(|origin| origin.log_id).filter(|wanted| *wanted != identity.log_id) {
        Some(wanted) => Err(Error::OtherLog { path, found: identity.log_id, wanted }),
        None => Ok(()),
    }
}
