//! Sets the tree of a data directory aside, so that a new key can sign a new one: after records
//! were lost of which the former key had signed a checkpoint, that key signs nothing any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{CHECKPOINT, CONFLICT, MINIMUM};
use crate::log::disk::directory_lock::DirectoryLock;
use crate::log::disk::identity::{IDENTITY, IdentityFile};
use crate::log::disk::storage::{Storage as _, SystemStorage};
use crate::proof::tile;

/// The folder of the data directory with the trees that were set aside, by number.
pub const RETIRED: &str = "retired";
/// What belongs to a tree. The checkpoint goes last: until then, the tree is not set aside.
const PARTS: [&str; 4] = [tile::FOLDER, MINIMUM, CONFLICT, CHECKPOINT];

/// Why a tree was not set aside.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// A file cannot be read or moved.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A gateway runs.
    #[error("{} is in use by a gateway: stop it first", .0.display())]
    InUse(PathBuf),
    /// There is no log.
    #[error("{} has no log", .0.display())]
    NoLog(PathBuf),
    /// Nothing was signed.
    #[error("{} has no checkpoint of a former key: it can be started with any key", .0.display())]
    NoTree(PathBuf),
    /// A new tree would lack its first leaves.
    #[error(
        "the oldest record in {} is {first}: a new tree needs all records from 1 on. Go on without proofs: start the gateways without a signing key and a verifier key", path.display()
    )]
    Trimmed {
        /// The directory.
        path: PathBuf,
        /// The oldest record.
        first: u64,
    },
}

/// Moves what belongs to the tree of a data directory to a new folder in it, which is returned.
/// The records stay, and a gateway that starts there begins a new tree of all of them.
///
/// # Errors
/// If a gateway uses the directory, or no new tree can be made there. Nothing is moved then,
/// unless a file cannot be moved: trying again moves the rest.
pub fn set_aside(folder: &Path) -> Result<PathBuf, RetireError> {
    let failed = |path: &Path, error: io::Error| RetireError::Io { path: path.to_owned(), error };
    let identity = match fs::read(folder.join(IDENTITY)) {
        Ok(bytes) => IdentityFile::decode(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(folder, error)),
    };
    let identity = identity.ok_or_else(|| RetireError::NoLog(folder.to_owned()))?;
    let lock = DirectoryLock::acquire(folder).map_err(|error| failed(folder, error))?;
    let _lock = lock.ok_or_else(|| RetireError::InUse(folder.to_owned()))?;
    let there: Vec<_> = PARTS.into_iter().filter(|part| folder.join(part).exists()).collect();
    if there.is_empty() {
        return Err(RetireError::NoTree(folder.to_owned()));
    }
    if identity.first.0 > 1 {
        return Err(RetireError::Trimmed { path: folder.to_owned(), first: identity.first.0 });
    }
    let retired = folder.join(RETIRED);
    let target = (1..u32::MAX).map(|number| retired.join(number.to_string()));
    let target = target.into_iter().find(|target| !target.exists()).unwrap_or(retired.clone());
    fs::create_dir_all(&target).map_err(|error| failed(&target, error))?;
    for part in there {
        let from = folder.join(part);
        fs::rename(&from, target.join(part)).map_err(|error| failed(&from, error))?;
    }
    for changed in [&target, &retired, folder] {
        SystemStorage.sync_directory(changed).map_err(|error| failed(changed, error))?;
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::{self, DiskLog};

    #[tokio::test]
    async fn a_tree_is_set_aside_once_and_only_of_a_stopped_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(folder.path(), private).unwrap();
        assert!(matches!(set_aside(folder.path()), Err(RetireError::NoLog(_))));
        let (log, _) = DiskLog::open(folder.path(), disk::Config::default()).unwrap();
        assert!(matches!(set_aside(folder.path()), Err(RetireError::InUse(_))));
        crate::log::Sequencer::close(&log).await;
        drop(log);
        assert!(matches!(set_aside(folder.path()), Err(RetireError::NoTree(_))));
        for round in 1..3 {
            fs::create_dir(folder.path().join("tile")).unwrap();
            fs::write(folder.path().join("tile/0"), format!("{round}")).unwrap();
            fs::write(folder.path().join(CHECKPOINT), "signed").unwrap();
            fs::write(folder.path().join(CONFLICT), "other").unwrap();
            let aside = set_aside(folder.path()).unwrap();
            assert_eq!(aside, folder.path().join(format!("retired/{round}")));
            assert_eq!(fs::read(aside.join("tile/0")).unwrap(), round.to_string().as_bytes());
            assert!(aside.join(CHECKPOINT).exists() && aside.join(CONFLICT).exists());
            assert!(PARTS.iter().all(|part| !folder.path().join(part).exists()));
        }
        assert!(folder.path().join("segments").exists(), "the records stay");
        // Without its first records, no tree can be made.
        let bytes = fs::read(folder.path().join("log")).unwrap();
        let trimmed = IdentityFile {
            first: crate::record::Sequence(7),
            ..IdentityFile::decode(&bytes).unwrap()
        };
        fs::write(folder.path().join("log"), trimmed.encode()).unwrap();
        fs::write(folder.path().join(CHECKPOINT), "signed").unwrap();
        let refused = set_aside(folder.path()).unwrap_err();
        assert!(matches!(refused, RetireError::Trimmed { first: 7, .. }), "{refused}");
        assert!(folder.path().join(CHECKPOINT).exists());
    }
}
