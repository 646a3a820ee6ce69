//! Opens the key with which the gateway signs, and describes it to the operator.

use std::io;
use std::path::Path;

use crate::cli::Error;
use crate::cli::keygen::{read, read_signing_key};
use crate::cli::new_file::{PRIVATE, write_new};
use crate::config::Settings;
use crate::log::Sequencer;
use crate::proof::key::SignatureKind;
use crate::proof::{SigningKey, VerifierKey};

/// The file in the data directory with the generated signing key.
const KEY_FILE: &str = "signing-key";

/// The signing key, if the gateway keeps a tree.
pub struct ProofKey {
    /// The key.
    pub key: Option<SigningKey>,
    /// The verifier key of a shared log, on a gateway without its signing key.
    pub verifier: Option<VerifierKey>,
    /// A description for the operator.
    pub told: Option<String>,
    /// Whether the key is in the data directory.
    pub is_beside_log: bool,
}

impl ProofKey {
    /// Reads the configured key, or generates one: once for a log on disk, at each start for a log
    /// in memory.
    pub fn of(settings: &Settings, log: &dyn Sequencer) -> io::Result<Self> {
        let folder = settings.data_dir.as_deref();
        if !settings.has_tree() {
            return Ok(Self { key: None, verifier: None, told: None, is_beside_log: false });
        }
        if settings.shared.is_on() && settings.signing_key.is_none() {
            let verifier = verifier_key(settings)?;
            let told = verifier.as_ref().map(|key| {
                format!(
                    "serves checkpoints that other gateways sign (docs/PROOF.md) with the key {key}"
                )
            });
            return Ok(Self { key: None, verifier, told, is_beside_log: false });
        }
        let found = match (&settings.signing_key, folder) {
            (Some(file), _) => {
                read_signing_key(file, SignatureKind::Log).map(|key| (key, String::new()))
            }
            (None, Some(folder)) => beside(folder, log),
            (None, None) => generated(log).map(|key| (key, ", which is gone when it stops".into())),
        };
        let (key, origin) = found.map_err(|error| io::Error::other(error.to_string()))?;
        let told = format!("proves it (docs/PROOF.md) with the key {}{origin}", key.verifier());
        let is_beside_log = folder.is_some_and(|folder| match &settings.signing_key {
            Some(file) => is_within(file, folder),
            None => true,
        });
        Ok(Self { key: Some(key), verifier: None, told: Some(told), is_beside_log })
    }
}

/// The verifier key of a shared log, if this gateway has it.
fn verifier_key(settings: &Settings) -> io::Result<Option<VerifierKey>> {
    Ok(verifier_keys(settings)?.into_iter().next())
}

/// The verifier keys of a shared log, as far as this gateway has them: the present one first, and
/// then former ones, under which epochs may have begun.
pub(super) fn verifier_keys(settings: &Settings) -> io::Result<Vec<VerifierKey>> {
    let failed = |error: Error| io::Error::other(error.to_string());
    let mut keys = Vec::new();
    if let Some(file) = &settings.signing_key {
        keys.push(read_signing_key(file, SignatureKind::Log).map_err(failed)?.verifier());
    }
    let Some(file) = &settings.shared.verifier_key else { return Ok(keys) };
    for line in read(file).map_err(failed)?.lines().filter(|line| !line.trim().is_empty()) {
        let key = VerifierKey::parse(line.trim()).and_then(|key| key.used_for(SignatureKind::Log));
        keys.push(key.map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?);
    }
    Ok(keys)
}

/// Whether a file is in a folder or below it.
fn is_within(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

/// Reads the key in the data directory, or generates it there.
fn beside(folder: &Path, log: &dyn Sequencer) -> Result<(SigningKey, String), Error> {
    let file = folder.join(KEY_FILE);
    if !file.exists() {
        write_new(&file, &format!("{}\n", generated(log)?.encoded()), PRIVATE)?;
    }
    let key = read_signing_key(&file, SignatureKind::Log)?;
    let told = format!(
        "\nthe key is in {}: anyone who can change the log can also sign it, unless checkpoints are kept elsewhere; see --signing-key",
        file.display()
    );
    Ok((key, told))
}

/// Generates a key for this log.
fn generated(log: &dyn Sequencer) -> Result<SigningKey, Error> {
    let origin = format!("auditgate/{}", log.identity().borrow().id);
    SigningKey::generate(&origin, SignatureKind::Log)
        .map_err(|error| Error::Usage(error.to_string()))
}
