//! The minimum index: the signed number of records that the log may lack.
//!
//! Retention removes the oldest records. The log signs the new minimum index before it
//! removes them, so that nobody else can remove records unnoticed. The minimum index comes
//! from C2SP tlog-tiles. It is a separate note rather than a line in each checkpoint,
//! because witnesses make no statement about such lines.

use signed_note::Note;

use super::checkpoint;
use super::key::{SigningKey, VerifierKey};
use crate::reserved_names::MINIMUM_HEADER;

/// Records with a leaf index below this may be removed; all others must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minimum {
    /// The index of the oldest record's leaf, from 0.
    pub index: u64,
}

/// Why a text is not a minimum index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a note of this form.
    #[error("not a minimum index: {MINIMUM_HEADER}, origin and number")]
    Form,
    /// It belongs to another log.
    #[error("it is of another log than {0:?}")]
    Origin(String),
    /// The signature is missing or not valid.
    #[error("{0}")]
    Signature(checkpoint::Error),
    /// It cannot be signed.
    #[error("it cannot be signed: {0}")]
    Sign(String),
}

impl Minimum {
    /// The note, signed by the log's key.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn sign(self, key: &SigningKey) -> Result<String, Error> {
        let text = format!("{MINIMUM_HEADER}\n{}\n{}\n", key.name(), self.index);
        let failed = |error: signed_note::NoteError| Error::Sign(error.to_string());
        let mut note = Note::new(text.as_bytes(), &[]).map_err(failed)?;
        note.add_sigs(&[&key.at(0)]).map_err(failed)?;
        Ok(String::from_utf8(note.to_bytes()).expect("a note is made of strings"))
    }

    /// Parses a note, which must be signed by the log's key.
    ///
    /// # Errors
    /// If it is not such a note, or not signed by the key.
    pub fn verify(text: &str, key: &VerifierKey) -> Result<Self, Error> {
        let note = Note::from_bytes(text.as_bytes()).map_err(|_| Error::Form)?;
        let body = std::str::from_utf8(note.text()).map_err(|_| Error::Form)?;
        let rest = body.strip_prefix(MINIMUM_HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let (origin, number) =
            rest.and_then(|rest| rest.strip_suffix('\n')?.split_once('\n')).ok_or(Error::Form)?;
        if origin != key.name() {
            return Err(Error::Origin(key.name().to_owned()));
        }
        let index: u64 = number.parse().map_err(|_| Error::Form)?;
        if index.to_string() != number {
            return Err(Error::Form);
        }
        checkpoint::check_signature(&note, key).map_err(Error::Signature)?;
        Ok(Self { index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::key::{self, SignatureKind};
    use crate::proof::{Checkpoint, Hash, SignedCheckpoint};

    #[test]
    fn it_is_read_as_it_is_written_and_no_byte_can_change() {
        let key = SigningKey::generate("a.example/log", SignatureKind::Log).unwrap();
        let public = key.verifier();
        let text = Minimum { index: 4_711 }.sign(&key).unwrap();
        assert_eq!(Minimum::verify(&text, &public), Ok(Minimum { index: 4_711 }));
        for position in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[position] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let refused = Minimum::verify(&changed, &public).unwrap_err();
            let line = text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count();
            let is_right = match (line, text.as_bytes()[position]) {
                (0, b'a'..=b'z') => refused == Error::Form,
                (1, b'a'..=b'z' | b'.') => matches!(refused, Error::Origin(_)),
                (2, b'0'..=b'9') => matches!(refused, Error::Signature(_)),
                _ => !matches!(refused, Error::Sign(_)),
            };
            assert!(is_right, "byte {position}: {refused:?} of {changed}");
        }
        let checkpoint = Checkpoint { size: 1, root: Hash::default() };
        let checkpoint = SignedCheckpoint::sign(checkpoint, &key).unwrap();
        assert_eq!(Minimum::verify(checkpoint.text(), &public), Err(Error::Form));
        let refused = SignedCheckpoint::verify(&text, &public).map(drop).unwrap_err();
        assert!(
            matches!(refused, checkpoint::Error::NotCheckpoint | checkpoint::Error::Origin { .. }),
            "{refused}"
        );
        let refused = SigningKey::generate(MINIMUM_HEADER, SignatureKind::Log).map(drop);
        assert_eq!(refused, Err(key::Error::Name(MINIMUM_HEADER.to_owned())));
    }
}
