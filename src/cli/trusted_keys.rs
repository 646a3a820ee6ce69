//! Arguments for trusted keys, and checkpoints in files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::keygen::read;
use super::{Error, ExitKind, print};
use crate::proof::key::SignatureKind;
use crate::proof::{SignedCheckpoint, VerifierKey};

/// A verifier key, or the name of a file that contains it.
#[derive(Debug, Clone)]
pub struct KeyArg(String);

impl std::str::FromStr for KeyArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl KeyArg {
    /// The key, which must be of this kind.
    pub fn key(&self, kind: SignatureKind) -> Result<VerifierKey, Error> {
        let file = PathBuf::from(&self.0);
        let text = match VerifierKey::parse(&self.0) {
            Ok(_) => self.0.clone(),
            Err(error) if !file.exists() => {
                return Err(Error::Usage(format!(
                    "--verifier-key is neither a file nor a key: {error}"
                )));
            }
            Err(_) => read(&file)?,
        };
        let key = VerifierKey::parse(&text).and_then(|key| key.used_for(kind));
        key.map_err(|error| Error::Usage(format!("--verifier-key {}: {error}", self.0)))
    }
}

/// Arguments of commands that fetch a proof.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct FetchedProof {
    /// Verifier key of the log, or a file that holds it; without it nothing is
    /// verified
    #[arg(id = "verifier-key", long = "verifier-key", value_name = "KEY")]
    key: Option<KeyArg>,
    /// File to write it to; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl FetchedProof {
    /// The key of the log, if one was given.
    pub fn key(&self) -> Result<Option<VerifierKey>, Error> {
        self.key.as_ref().map(|key| key.key(SignatureKind::Log)).transpose()
    }

    /// Writes the fetched proof.
    pub fn write(&self, text: &str) -> Result<ExitKind, Error> {
        match &self.out {
            Some(file) => replace(file, text).map(|()| ExitKind::All),
            None => print(text),
        }
    }
}

/// The checkpoint in a file, with its signature verified.
pub fn read_checkpoint(file: &Path, key: &VerifierKey) -> Result<SignedCheckpoint, Error> {
    let read = SignedCheckpoint::verify(&read(file)?, key);
    read.map_err(|error| Error::Usage(format!("{} is not a valid proof: {error}", file.display())))
}

/// Replaces a file in one step: a reader sees the old text or the new one, also after a crash.
pub fn replace(file: &Path, text: &str) -> Result<(), Error> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = std::fs::File::create(&beside).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&beside, file)?;
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|error| Error::WriteFile { file: file.display().to_string(), error })
}
