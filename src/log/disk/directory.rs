//! The directory of a log: its file names, its lock, and its identity file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event;
use crate::log::disk::directory_lock::{DirectoryLock, mode, writable_by_others};
use crate::log::disk::error::{Error, IoContext as _};
use crate::log::disk::identity::{IDENTITY, IdentityFile};
use crate::log::disk::notice::Notice;
use crate::log::disk::storage::{self, Storage};
use crate::record::Sequence;

const SEED: &str = "index-seed";
const SEGMENTS: &str = "segments";
/// The newest signed checkpoint, where a tree is kept over the log: its second line is
/// the number of records that it covers.
pub const CHECKPOINT: &str = "checkpoint";
/// The file that is filled with zeros ahead.
const PREPARED: &str = "next.tmp";
const SEGMENT_SUFFIX: &str = ".log";
const SEQUENCE_DIGITS: usize = 20;
/// Permission to read or to search, of the group and of all others.
const READ_BY_OTHERS: u32 = 0o055;

/// The directory of a log, locked by this process.
pub struct Directory {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    _lock: DirectoryLock,
}

impl Directory {
    /// Makes the directory, unless there is one, and locks it. Refuses one that others may
    /// write: they could replace what the log holds.
    pub fn open(path: &Path, storage: Arc<dyn Storage>) -> Result<Self, Error> {
        create(&*storage, path)?;
        check_writers(path)?;
        let lock = DirectoryLock::acquire(path).failed("lock", path)?;
        let lock = lock.ok_or_else(|| Error::InUse(path.to_owned()))?;
        create(&*storage, &path.join(SEGMENTS))?;
        check_writers(&path.join(SEGMENTS))?;
        Ok(Self { path: path.to_owned(), storage, _lock: lock })
    }

    /// A notice for the operator if other users may read the directory.
    pub fn exposure(&self) -> Result<Option<Notice>, Error> {
        let mode = mode(&self.path).failed("look at", &self.path)?;
        Ok((mode & READ_BY_OTHERS != 0).then(|| {
            let path = self.path.display();
            Notice::warning(format!(
                "others than its owner may read {path}, which holds all events, mode {mode:04o}: \
                 chmod 700 {path}"
            ))
        }))
    }

    /// The operations that change it.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The folder of the segment files.
    pub fn segments(&self) -> PathBuf {
        self.path.join(SEGMENTS)
    }

    /// The segment file with this base.
    pub fn segment(&self, base: Sequence) -> PathBuf {
        self.segments().join(format!("{base:0>SEQUENCE_DIGITS$}{SEGMENT_SUFFIX}"))
    }

    /// The base in the name of a segment file; `None` if it is none.
    pub fn base_of(name: &str) -> Option<Sequence> {
        let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
        let all_digits =
            digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        let base = digits.parse().ok().filter(|_| all_digits)?;
        (base > 0).then_some(Sequence(base))
    }

    /// The prepared segment file.
    pub fn prepared(&self) -> PathBuf {
        self.segments().join(PREPARED)
    }

    /// The path of the identity file.
    pub fn identity_path(&self) -> PathBuf {
        self.path.join(IDENTITY)
    }

    /// Reads the identity; `None` if the file does not exist.
    pub fn read_identity(&self) -> Result<Option<IdentityFile>, Error> {
        let path = self.identity_path();
        match storage::read(&path) {
            Ok(bytes) => match IdentityFile::decode(&bytes) {
                Ok(identity) => Ok(Some(identity)),
                Err(fault) => Err(Error::Identity { path, fault }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).failed("read", &path),
        }
    }

    /// Replaces the identity. On return, it is on stable storage.
    pub fn write_identity(&self, identity: &IdentityFile) -> io::Result<()> {
        storage::replace(&*self.storage, &self.identity_path(), &identity.encode())
    }

    /// How many records the newest checkpoint covers: so many there have been, and on
    /// stable storage. Its signature is not looked at: who can forge it can do worse,
    /// and whoever goes on with the tree checks it. `None` without one.
    pub fn signed_size(&self) -> Option<u64> {
        let bytes = storage::read(&self.path.join(CHECKPOINT)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().nth(1)?.parse().ok()
    }

    /// Has the keys of this process made with the seed of the directory, by which its
    /// sidecars were made; a directory without one gets that of the process. Where
    /// either fails, sidecars are made again, which only takes time.
    pub fn settle_seed(&self) {
        let path = self.path.join(SEED);
        let kept = known_seed(&self.path);
        let seed = event::key_seed(kept);
        if kept != Some(seed) {
            let _ = storage::replace(&*self.storage, &path, &seed.to_le_bytes());
        }
    }

    /// The bases of the segment files, ascending, and the names of foreign files.
    pub fn list(&self) -> Result<(Vec<Sequence>, Vec<String>), Error> {
        let folder = self.segments();
        let mut bases = Vec::new();
        let mut foreign = Vec::new();
        for entry in fs::read_dir(&folder).failed("list", &folder)? {
            let name = entry.failed("list", &folder)?.file_name();
            let name = name.to_string_lossy();
            match Self::base_of(&name) {
                Some(base) => bases.push(base),
                None if is_ours(&name) => {}
                None => foreign.push(name.into_owned()),
            }
        }
        bases.sort_unstable();
        Ok((bases, foreign))
    }
}

/// The seed of the keys in the sidecars of the data directory `folder`, if it has one.
pub fn known_seed(folder: &Path) -> Option<u64> {
    let bytes = storage::read(&folder.join(SEED)).ok()?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Whether a file beside the segment files is the log's: the prepared one, or
/// what was made from a segment file and has its name.
fn is_ours(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    name == PREPARED || (stem.len() == SEQUENCE_DIGITS && stem.bytes().all(|b| b.is_ascii_digit()))
}

/// Makes a directory whose parent exists, so that it is there after a crash.
fn create(storage: &dyn Storage, path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    storage.create_directory(path).failed("make", path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    storage.sync_directory(parent.unwrap_or(Path::new("."))).failed("make", path)
}

fn check_writers(path: &Path) -> Result<(), Error> {
    match writable_by_others(path).failed("look at", path)? {
        Some(mode) => Err(Error::Exposed { path: path.to_owned(), mode }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::directory_lock::LOCK;
    use crate::log::disk::storage::SystemStorage;

    #[test]
    fn a_directory_has_the_seed_of_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), Arc::new(SystemStorage)).unwrap();
        let path = folder.path().join(SEED);
        let seed = event::key_seed(None).to_le_bytes();
        for before in [None, Some(seed.to_vec()), Some(vec![7; 8]), Some(vec![7; 3])] {
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
            }
            directory.settle_seed();
            // This process had one before.
            assert_eq!(fs::read(&path).unwrap(), seed);
        }
    }

    #[test]
    fn nobody_else_may_look_into_a_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let directory = Directory::open(&path, Arc::new(SystemStorage)).unwrap();
        let identity = IdentityFile::new(uuid::Uuid::nil(), crate::time::Time(0));
        directory.write_identity(&identity).unwrap();
        directory.settle_seed();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let segments = directory.segments();
        let files = [LOCK, IDENTITY, SEED].map(|name| mode(&path.join(name)));
        assert_eq!((mode(&path), mode(&segments), files), (0o700, 0o700, [0o600; 3]));
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused_and_one_they_may_read_is_told_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        drop(Directory::open(&path, Arc::new(SystemStorage)).unwrap());
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o770, 0o720, 0o702, 0o777, 0o1777, 0o2770] {
            set(&path, mode);
            let error = Directory::open(&path, Arc::new(SystemStorage)).err().unwrap().to_string();
            assert!(error.contains(&format!("mode {mode:04o}: chmod 700")), "{error}");
        }
        for (mode, told) in
            [(0o700, false), (0o750, true), (0o705, true), (0o711, true), (0o2700, false)]
        {
            set(&path, mode);
            let notice =
                Directory::open(&path, Arc::new(SystemStorage)).unwrap().exposure().unwrap();
            assert_eq!(notice.is_some(), told, "{mode:o}");
        }
        set(&path, 0o700);
        set(&path.join(SEGMENTS), 0o775);
        let error = Directory::open(&path, Arc::new(SystemStorage)).err().unwrap().to_string();
        assert!(error.contains("segments"), "{error}");
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = Directory::open(&path, Arc::new(SystemStorage)).unwrap();
        assert!(matches!(Directory::open(&path, Arc::new(SystemStorage)), Err(Error::InUse(_))));
        drop(first);
        Directory::open(&path, Arc::new(SystemStorage)).unwrap();
    }

    #[test]
    fn names_of_segment_files_are_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), Arc::new(SystemStorage)).unwrap();
        assert!(directory.segment(Sequence(70)).ends_with("segments/00000000000000000070.log"));
        let names = [
            "00000000000000000070.log",
            "00000000000000000001.log",
            "next.tmp",
            "00000000000000000001.idx",
            "70.log",
            "00000000000000000000.log.bak",
            "notes.txt",
        ];
        for name in names {
            fs::write(directory.segments().join(name), b"").unwrap();
        }
        let (bases, mut foreign) = directory.list().unwrap();
        foreign.sort();
        assert_eq!(bases, [Sequence(1), Sequence(70)]);
        assert_eq!(foreign, ["70.log", "notes.txt"]);
    }
}
