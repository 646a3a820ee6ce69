//! Reads secrets of destinations from a file or an environment variable. They are never shown.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

use crate::delivery::destination::OpenError;
use crate::secret_file;

/// The most bytes of a secret.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that only its owner may access.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// A secret. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl SecretSource {
    /// The secret, without white space around it.
    ///
    /// # Errors
    /// If it is missing, others may read the file, or it is not one line of visible text.
    pub fn read(&self, key: &'static str) -> Result<Secret, OpenError> {
        let (text, of) = match self {
            Self::File(file) => {
                let of = file.display().to_string();
                let failed = |what: String| OpenError::new(key, format!("{of}: {what}"));
                let opened = secret_file::open(file).map_err(|error| failed(error.to_string()))?;
                let mut text = String::new();
                let read = opened.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text);
                read.map_err(|error| failed(error.to_string()))?;
                (text, of)
            }
            Self::Variable(name) => {
                let text = std::env::var(name).map_err(|_| {
                    OpenError::new(key, format!("the variable {name} is not set, or not text"))
                })?;
                (text, format!("the variable {name}"))
            }
        };
        let secret = text.trim();
        let what = if secret.is_empty() {
            "is empty"
        } else if secret.len() as u64 > SECRET_BYTES_MAX {
            "is longer than 16 KiB"
        } else if !secret.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            "is not one line of visible ASCII characters"
        } else {
            return Ok(Secret(secret.to_owned()));
        };
        Err(OpenError::new(key, format!("{of} {what}")))
    }
}

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_one_visible_line_of_a_file_of_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let source = SecretSource::File(path.clone());
        let error = source.read("token_file").expect_err("there is none").to_string();
        assert!(error.contains("No such file"), "{error}");
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        std::fs::write(&path, "s3cr3t\n").expect("it is written");
        mode(0o644);
        assert!(source.read("token_file").expect_err("others may read it").what.contains("chmod"));
        mode(0o600);
        let secret = source.read("token_file").expect("it is one");
        assert_eq!(secret.reveal(), "s3cr3t");
        assert_eq!(format!("{secret:?}"), "(hidden)");
        for bad in ["", " \n", "two\nlines", "caf\u{e9}", &"x".repeat(20_000)] {
            std::fs::write(&path, bad).expect("it is written");
            let error = source.read("token_file").expect_err("it is none").to_string();
            assert!(!error.contains("lines") || !error.contains("two"), "{error}");
        }
        let variable = SecretSource::Variable("AUDITGATE_NO_SUCH".into());
        let error = variable.read("token_env").expect_err("it is not set").to_string();
        assert!(error.contains("AUDITGATE_NO_SUCH"), "{error}");
    }
}
