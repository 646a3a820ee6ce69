//! Errors of opening a log on disk.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::log::DamagedRange;
use crate::log::disk::{format, identity};
use crate::record::Sequence;

/// Why a log cannot be opened. Each names the file to look at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("{} is in use by another gateway: stop that one first", .0.display())]
    InUse(PathBuf),
    /// The system refuses.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others than its owner may change a directory.
    #[error(
        "others than its owner may write {0}, mode {mode:04o}: chmod 700 {0}", path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The identity file cannot be used.
    #[error("{} {fault}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: identity::IdentityFault,
    },
    /// The directory is a copy of a shared log, or of none.
    #[error("{} {}", path.display(), copy_sentence(*.is_copy))]
    Copy {
        /// The identity file.
        path: PathBuf,
        /// It is a copy.
        is_copy: bool,
    },
    /// There are segments without an identity.
    #[error("{} is missing, but there are segment files: restore it from a copy of the directory", .0.display())]
    IdentityMissing(PathBuf),
    /// A segment file cannot be used.
    #[error("{} {fault}", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: format::HeaderFault,
    },
    /// A segment file is another log's.
    #[error("{} belongs to log {found}, not to log {wanted}: take it out of the directory", path.display())]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// Its log.
        found: Uuid,
        /// The log that is opened.
        wanted: Uuid,
    },
    /// A segment file was renamed.
    #[error("{} begins with record {found}: rename it accordingly", path.display())]
    Renamed {
        /// The file.
        path: PathBuf,
        /// Its base.
        found: Sequence,
    },
    /// Records are damaged, and none may be.
    #[error("{}", damage_sentence(.0))]
    Damaged(Vec<DamagedRange>),
}

/// Says which records are damaged, the first ranges of them.
pub fn damage_sentence(damage: &[DamagedRange]) -> String {
    const RANGES_MAX: usize = 10;
    let ranges = damage.iter().take(RANGES_MAX).map(|DamagedRange { first, last }| {
        if first == last { format!("{first}") } else { format!("{first} to {last}") }
    });
    let ranges = ranges.collect::<Vec<_>>().join(", ");
    let more = match damage.len().saturating_sub(RANGES_MAX) {
        0 => String::new(),
        1 => " and 1 more range".to_owned(),
        more => format!(" and {more} more ranges"),
    };
    match damage {
        [DamagedRange { first, last }] if first == last => {
            format!("record {first} is damaged on disk and cannot be read")
        }
        _ => format!("records {ranges}{more} are damaged on disk and cannot be read"),
    }
}

/// Adds to an error what was tried, and with which file.
pub trait IoContext<T> {
    /// The result, or the error with what was tried.
    fn failed(self, what: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn failed(self, what: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { what, path: path.to_owned(), error })
    }
}

/// What is wrong with a directory that is a copy, or is none.
fn copy_sentence(is_copy: bool) -> &'static str {
    if is_copy {
        "is a copy of a shared log: start the gateway with the stream of that log"
    } else {
        "is a log of its own, which cannot become a copy of a shared log: take another directory"
    }
}
