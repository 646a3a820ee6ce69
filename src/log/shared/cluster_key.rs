//! The file with the cluster keys: one a line, the first for what is published.
//!
//! ```text
//! auditgate-cluster-key+9f3a01c2+<32 bytes in base64>
//! ```
//!
//! The number in the middle is the key's id, which messages name; it also shows a key that
//! was copied wrongly. Lines that begin with `#` are comments.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::message::ClusterKeys;
use super::message::authentication::{AuthenticationKey, KEY_BYTES, key_id};
use crate::secret_file;

/// How a line begins.
const PREFIX: &str = "auditgate-cluster-key";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The most keys of a file: each message may be tried with all that have its id.
const KEYS_MAX: usize = 16;

/// The secrets of a cluster, which are keys for any of its logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecrets {
    current: [u8; KEY_BYTES],
    others: Vec<[u8; KEY_BYTES]>,
}

/// Why there is no cluster key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used.
    #[error("cannot use the cluster key {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: secret_file::Error,
    },
    /// Its content cannot be used.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: KeyFault,
    },
}

/// What is wrong with a text of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A line is no key.
    #[error(
        "line {0} is not a cluster key: `auditgate cluster init` writes lines that begin with {PREFIX}+"
    )]
    Line(usize),
    /// A key has another id than it says.
    #[error("the key of line {0} is damaged: its id does not match it")]
    Id(usize),
    /// There are no lines.
    #[error("the file has no cluster key")]
    Missing,
    /// There are too many.
    #[error("the file has more than {KEYS_MAX} cluster keys")]
    Many,
}

impl ClusterSecrets {
    /// A new secret.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> io::Result<Self> {
        let mut current = [0; KEY_BYTES];
        getrandom::fill(&mut current).map_err(io::Error::other)?;
        Ok(Self { current, others: Vec::new() })
    }

    /// Reads a file that nobody but its owner may use.
    ///
    /// # Errors
    /// If it cannot be read, others may use it, or it has no keys.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = secret_file::read(path, FILE_BYTES_MAX)
            .map_err(|error| Error::File { path: path.to_owned(), error })?;
        Self::parse(&text).map_err(|fault| Error::Content { path: path.to_owned(), fault })
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(parse_line(line, number + 1)?);
        }
        if keys.len() > KEYS_MAX {
            return Err(KeyFault::Many);
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or(KeyFault::Missing)?;
        Ok(Self { current, others: keys.collect() })
    }

    /// The text of a file with these keys.
    pub fn encoded(&self) -> String {
        let line = |key: &[u8; KEY_BYTES]| {
            format!("{PREFIX}+{}+{}\n", hex(key_id(key)), STANDARD.encode(key))
        };
        std::iter::once(&self.current).chain(&self.others).map(line).collect()
    }

    /// The keys for the messages of a log.
    pub fn keys(&self, log_id: Uuid) -> ClusterKeys {
        let key = |secret| AuthenticationKey::new(secret, log_id);
        ClusterKeys::new(key(&self.current), self.others.iter().map(key).collect())
    }
}

/// Without the secrets.
impl std::fmt::Debug for ClusterSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterSecrets({})", hex(key_id(&self.current)))
    }
}

fn parse_line(line: &str, number: usize) -> Result<[u8; KEY_BYTES], KeyFault> {
    let malformed = || KeyFault::Line(number);
    let mut parts = line.splitn(3, '+');
    let (prefix, id, key) = (parts.next(), parts.next(), parts.next());
    if prefix != Some(PREFIX) {
        return Err(malformed());
    }
    let key = STANDARD.decode(key.ok_or_else(malformed)?).map_err(|_| malformed())?;
    let key = key.try_into().map_err(|_| malformed())?;
    if id != Some(&*hex(key_id(&key))) {
        return Err(KeyFault::Id(number));
    }
    Ok(key)
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::log::shared::message::MessageFault;

    #[test]
    fn keys_are_read_as_they_are_written_and_a_copied_wrong_one_is_noticed() {
        let first = ClusterSecrets::generate().unwrap();
        let second = ClusterSecrets::generate().unwrap();
        assert_ne!(first, second);
        assert_eq!(ClusterSecrets::parse(&first.encoded()), Ok(first.clone()));
        let both = format!("# the next one\n\n{}{}", second.encoded(), first.encoded());
        let both = ClusterSecrets::parse(&both).unwrap();
        assert_eq!((both.current, &*both.others), (second.current, &[first.current][..]));
        assert_eq!(ClusterSecrets::parse(&both.encoded()), Ok(both.clone()));
        // What one gateway publishes, the other one accepts.
        let log_id = Uuid::from_u128(7);
        let mut message = b"message".to_vec();
        first.keys(log_id).authenticate(&mut message);
        assert_eq!(both.keys(log_id).authenticated(&message).unwrap(), b"message");
        let refused = Err(MessageFault::Unauthentic);
        assert_eq!(second.keys(log_id).authenticated(&message), refused);
        assert_eq!(both.keys(Uuid::from_u128(8)).authenticated(&message), refused);
        let line = first.encoded();
        let (prefix, key) = line.trim().rsplit_once('+').unwrap();
        let flipped = if key.starts_with('A') { "B" } else { "A" };
        let wrong = format!("{prefix}+{flipped}{}", &key[1..]);
        assert_eq!(ClusterSecrets::parse(&wrong), Err(KeyFault::Id(1)));
        for (text, fault) in [
            ("", KeyFault::Missing),
            ("# none\n", KeyFault::Missing),
            ("# none\nsecret\n", KeyFault::Line(2)),
            (&line[..line.len() - 10], KeyFault::Line(1)),
            (&line.repeat(KEYS_MAX + 1), KeyFault::Many),
        ] {
            assert_eq!(ClusterSecrets::parse(text), Err(fault), "{text}");
        }
        let shown = format!("{first:?}");
        assert!(!shown.contains(key) && shown.len() < 30, "{shown}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        let secrets = ClusterSecrets::generate().unwrap();
        std::fs::write(&path, secrets.encoded()).unwrap();
        for (mode, is_read) in [(0o600, true), (0o644, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(ClusterSecrets::read(&path).is_ok(), is_read, "{mode:o}");
        }
        let missing = ClusterSecrets::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot use the cluster key /"), "{missing}");
    }
}
