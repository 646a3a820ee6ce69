//! HMAC keys, and the format of an HMAC in an event.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret_file;

/// The prefix of a value that replaces another one, before the key's id.
pub const HMAC_PREFIX: &str = "hmac:";
/// Longest id of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 32;
/// Shortest key, in bytes: the output length of SHA-256 (RFC 2104, section 3).
pub const KEY_BYTES_MIN: usize = 32;
/// The most keys of a file.
pub const KEYS_MAX: usize = 100;
/// Largest file of keys, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Keys of HMACs. The first is used for new events. The others recognize retries of events that
/// were accepted with them.
#[derive(Debug, Clone)]
pub struct HmacKeys {
    keys: Vec<HmacKey>,
}

/// A key that is ready for use.
#[derive(Clone)]
pub(super) struct HmacKey {
    id: String,
    mac: Hmac<Sha256>,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HmacKeysError {
    /// The file cannot be opened, or others may use it.
    #[error("{0}")]
    File(#[from] secret_file::Error),
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is too large.
    #[error("file is larger than the limit of {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// A line is not a key.
    #[error(
        "line {line} is not an id, of 1 to {KEY_ID_BYTES_MAX} letters, digits, dashes or underscores, and a key in base64"
    )]
    Malformed {
        /// Its number.
        line: usize,
    },
    /// A key is too short.
    #[error("line {line} has a key of {bytes} bytes, which must be at least {KEY_BYTES_MIN}")]
    TooShort {
        /// Number of its line.
        line: usize,
        /// Its length.
        bytes: usize,
    },
    /// Two keys have one id.
    #[error("line {line} has the id of an earlier key")]
    Repeated {
        /// Number of the second one's line.
        line: usize,
    },
    /// There is no key, or there are too many.
    #[error("file has {count} keys, which must be from 1 to {KEYS_MAX}")]
    Count {
        /// The number of keys.
        count: usize,
    },
}

impl HmacKeys {
    /// Reads keys from a file with the permissions of
    /// [`secret_file::open`](crate::secret_file::open).
    ///
    /// # Errors
    /// If the file cannot be read or others may access it, or the errors of [`HmacKeys::parse`].
    pub fn read(path: &Path) -> Result<Self, HmacKeysError> {
        let file = secret_file::open(path)?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(HmacKeysError::TooLarge);
        }
        Self::parse(&text)
    }

    /// Parses keys: one a line, its id and the key in base64. Empty lines and lines that begin with
    /// `#` are ignored.
    ///
    /// # Errors
    /// The first line that is not a key, or that there is no key.
    pub fn parse(text: &str) -> Result<Self, HmacKeysError> {
        let mut keys: Vec<HmacKey> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let malformed = || HmacKeysError::Malformed { line };
            let (id, key) = text.split_once(char::is_whitespace).ok_or_else(malformed)?;
            let key = BASE64_STANDARD.decode(key.trim()).map_err(|_| malformed())?;
            if !is_id(id) {
                return Err(malformed());
            }
            if key.len() < KEY_BYTES_MIN {
                return Err(HmacKeysError::TooShort { line, bytes: key.len() });
            }
            if keys.iter().any(|known| known.id == id) {
                return Err(HmacKeysError::Repeated { line });
            }
            let mac = Hmac::new_from_slice(&key).expect("an HMAC takes keys of any length");
            keys.push(HmacKey { id: id.to_owned(), mac });
        }
        if (1..=KEYS_MAX).contains(&keys.len()) {
            Ok(Self { keys })
        } else {
            Err(HmacKeysError::Count { count: keys.len() })
        }
    }

    /// The key that is used.
    pub(super) fn active(&self) -> &HmacKey {
        self.keys.first().expect("there is at least one key")
    }

    /// The key with this id.
    pub(super) fn get(&self, id: &str) -> Option<&HmacKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl HmacKey {
    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The replacement of `value`: `hmac:ID:` and the HMAC-SHA-256, whole, in base64url without
    /// padding. Of no use once `is_abandoned`, which is asked again and again.
    pub(super) fn stand_in(&self, value: &str, is_abandoned: impl Fn() -> bool) -> String {
        /// They take some 100 us.
        const SLICE_BYTES: usize = 64 * 1024;
        let mut mac = self.mac.clone();
        for slice in value.as_bytes().chunks(SLICE_BYTES) {
            mac.update(slice);
            if is_abandoned() {
                break;
            }
        }
        let mac = mac.finalize().into_bytes();
        format!("{HMAC_PREFIX}{}:{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(mac))
    }
}

/// Shows the id alone.
impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

fn is_id(text: &str) -> bool {
    (1..=KEY_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn line(id: &str, bytes: usize) -> String {
        format!("{id} {}\n", BASE64_STANDARD.encode(vec![0x0b; bytes]))
    }

    /// As `openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b...` has it.
    #[test]
    fn a_stand_in_is_the_whole_hmac() {
        let keys = HmacKeys::parse(&line("k1", 32)).expect("valid");
        let stand_in = keys.active().stand_in("Hi There", || false);
        assert_eq!(stand_in, "hmac:k1:GYpgfrRL-8aZA6Dxzyu9xboKo_PZrjwcejsWlqC2jPc");
        assert_eq!(
            stand_in,
            keys.active().stand_in("Hi There", || false),
            "equal values are joined by it"
        );
        assert_ne!(stand_in, keys.active().stand_in("Hi there", || false));
    }

    #[test]
    fn a_long_value_is_read_in_slices_until_nobody_waits() {
        let keys = HmacKeys::parse(&line("k1", 32)).expect("valid");
        let value = "long value ".repeat(100_000);
        let whole = keys.active().mac.clone().chain_update(&value).finalize().into_bytes();
        let asked = std::cell::Cell::new(0);
        let ask = |asked_max| {
            asked.set(asked.get() + 1);
            asked.get() > asked_max
        };
        let stand_in = keys.active().stand_in(&value, || ask(usize::MAX));
        assert_eq!(stand_in, format!("hmac:k1:{}", BASE64_URL_SAFE_NO_PAD.encode(whole)));
        assert_eq!(asked.replace(0), value.len().div_ceil(64 * 1024));
        assert_ne!(keys.active().stand_in(&value, || ask(2)), stand_in);
        assert_eq!(asked.get(), 3, "no more is read");
    }

    #[test]
    fn the_first_key_is_used() {
        let text = format!("# keys\n\n{}{}", line("new", 32), line("old", 64));
        let keys = HmacKeys::parse(&text).expect("valid");
        assert_eq!(keys.active().id(), "new");
        assert!(keys.get("old").is_some() && keys.get("none").is_none());
        assert!(!format!("{keys:?}").contains("11"), "{keys:?}");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_line() {
        let long = "x".repeat(KEY_ID_BYTES_MAX + 1);
        for (text, expected) in [
            (String::new(), "file has 0 keys"),
            ("# none\n".into(), "file has 0 keys"),
            (line("k", 31), "line 1 has a key of 31 bytes"),
            (format!("\n{}", line(&long, 32)), "line 2 is not an id"),
            (line("a:b", 32), "line 1 is not an id"),
            ("k1 !!!!".into(), "line 1 is not an id"),
            ("k1".into(), "line 1 is not an id"),
            (line("k", 32) + &line("k", 33), "line 2 has the id of an earlier key"),
        ] {
            let said = HmacKeys::parse(&text).expect_err(&text).to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        std::fs::write(&path, line("k1", 32)).expect("written");
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
        for mode in [0o640, 0o604, 0o610] {
            set(mode).expect("ours");
            let said = HmacKeys::read(&path).expect_err("exposed").to_string();
            assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
        }
        set(0o600).expect("ours");
        assert_eq!(HmacKeys::read(&path).expect("valid").active().id(), "k1");
        // Only root may give it to somebody else.
        if std::os::unix::fs::chown(&path, Some(65_533), None).is_ok() {
            set(0o640).expect("root's");
            assert_eq!(HmacKeys::read(&path).expect("valid").active().id(), "k1");
            set(0o660).expect("root's");
            let exposed = secret_file::Error::Exposed { mode: 0o660 };
            let refused = HmacKeys::read(&path).map(drop).map_err(|error| error.to_string());
            assert_eq!(refused, Err(exposed.to_string()));
            set(0o600).expect("root's");
        }
        std::fs::write(&path, "#".repeat(70_000)).expect("written");
        assert!(matches!(HmacKeys::read(&path), Err(HmacKeysError::TooLarge)));
    }
}
