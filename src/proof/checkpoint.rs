//! Checkpoints: the signed size and root hash of a tree (C2SP tlog-checkpoint).

use signed_note::{Note, VerifierList};
use tlog_tiles::Hash;

use super::key::{SignatureKind, SigningKey, VerifierKey};

/// The largest signed checkpoint that is read, in bytes.
pub const SIGNED_BYTES_MAX: usize = 64 * 1024;

/// The content of a checkpoint: the first `size` records of the log have this root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checkpoint {
    /// The number of records, which is the sequence of the last one.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// A checkpoint with its signatures: a signed note.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedCheckpoint {
    text: String,
    origin: String,
    checkpoint: Checkpoint,
}

/// A witness's signature on a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// Name of the witness.
    pub name: String,
    /// When it signed, in seconds since 1970.
    pub time: u64,
}

/// Why a text is not a valid checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is too large.
    #[error("{bytes} bytes are more than a checkpoint has, limit {SIGNED_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not a note.
    #[error("not a signed note as C2SP signed-note has it")]
    NotNote,
    /// It is not a checkpoint.
    #[error("not a checkpoint as C2SP tlog-checkpoint has it: origin, size and root hash")]
    NotCheckpoint,
    /// It belongs to another log.
    #[error("it is of the log {found:?}, and the key is that of {wanted:?}")]
    Origin {
        /// The origin that it names.
        found: String,
        /// The name of the key.
        wanted: String,
    },
    /// The key did not sign it.
    #[error("it carries no signature by the key {key}")]
    Unsigned {
        /// The key.
        key: String,
    },
    /// The signature is wrong.
    #[error("the signature that it carries in the name of {name} is not valid")]
    BadSignature {
        /// The name of the signer.
        name: String,
    },
    /// It cannot be signed.
    #[error("it cannot be signed: {0}")]
    Sign(String),
}

impl SignedCheckpoint {
    /// Signs a checkpoint with the log's key, whose name is the origin.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn sign(checkpoint: Checkpoint, key: &SigningKey) -> Result<Self, Error> {
        let Checkpoint { size, root } = checkpoint;
        let text = tlog_tiles::Checkpoint::new(key.name(), size, root, "")
            .map_err(|error| Error::Sign(error.to_string()))?
            .to_bytes();
        let mut note = Note::new(&text, &[]).map_err(|error| Error::Sign(error.to_string()))?;
        note.add_sigs(&[&key.at(0)]).map_err(|error| Error::Sign(error.to_string()))?;
        let text = String::from_utf8(note.to_bytes()).expect("a note is made of strings");
        Ok(Self { text, origin: key.name().to_owned(), checkpoint })
    }

    /// Reads a signed checkpoint and verifies the log's signature on it.
    ///
    /// # Errors
    /// If it is not of the log whose key this is, or not signed by it.
    pub fn verify(text: &str, key: &VerifierKey) -> Result<Self, Error> {
        let (note, parsed) = parse(text)?;
        if parsed.origin() != key.name() {
            let (found, wanted) = (parsed.origin().to_owned(), key.name().to_owned());
            return Err(Error::Origin { found, wanted });
        }
        check_signature(&note, key)?;
        Ok(Self {
            text: text.to_owned(),
            origin: parsed.origin().to_owned(),
            checkpoint: Checkpoint { size: parsed.size(), root: *parsed.hash() },
        })
    }

    /// Its content.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The number of records that it covers.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The origin of its log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The note: text and signatures.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The checkpoint with the signature of a witness, which has checked that it is consistent with
    /// all checkpoints that it signed before. The time is in seconds since 1970. An earlier
    /// signature of the same witness is replaced.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn cosign(&self, key: &SigningKey, time: u64) -> Result<Self, Error> {
        let (mut note, _) = parse(&self.text)?;
        note.add_sigs(&[&key.at(time)]).map_err(|error| Error::Sign(error.to_string()))?;
        let text = String::from_utf8(note.to_bytes()).expect("a note is made of strings");
        Ok(Self { text, ..self.clone() })
    }

    /// The signature of a witness.
    ///
    /// # Errors
    /// If the checkpoint lacks it, or it is not valid.
    pub fn cosignature(&self, key: &VerifierKey) -> Result<Cosignature, Error> {
        let (note, _) = parse(&self.text)?;
        let signature = check_signature(&note, key)?;
        let time = VerifierKey::cosigned_at(signature.signature())
            .filter(|_| key.kind() == SignatureKind::Cosignature)
            .ok_or_else(|| Error::Unsigned { key: key.to_string() })?;
        Ok(Cosignature { name: key.name().to_owned(), time })
    }
}

fn parse(text: &str) -> Result<(Note, tlog_tiles::Checkpoint), Error> {
    if text.len() > SIGNED_BYTES_MAX {
        return Err(Error::TooLarge { bytes: text.len() });
    }
    let note = Note::from_bytes(text.as_bytes()).map_err(|_| Error::NotNote)?;
    let parsed =
        tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|_| Error::NotCheckpoint)?;
    Ok((note, parsed))
}

/// The signature of `key` on a note.
pub(super) fn check_signature(
    note: &Note,
    key: &VerifierKey,
) -> Result<signed_note::Signature, Error> {
    let known = VerifierList::new(vec![Box::new(key.clone())]);
    match note.verify(&known) {
        Ok((verified, _)) => verified.into_iter().next(),
        Err(signed_note::NoteError::InvalidSignature { name, .. }) => {
            return Err(Error::BadSignature { name });
        }
        Err(_) => None,
    }
    .ok_or_else(|| Error::Unsigned { key: key.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP tlog-checkpoint and tlog-cosignature.
    const EXAMPLE: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
";

    fn checkpoint() -> Checkpoint {
        let root = Hash::parse_hash("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=").unwrap();
        Checkpoint { size: 20_852_163, root }
    }

    #[test]
    fn a_checkpoint_has_the_form_of_the_specification() {
        let key = SigningKey::generate("example.com/behind-the-sofa", SignatureKind::Log).unwrap();
        let signed = SignedCheckpoint::sign(checkpoint(), &key).unwrap();
        let shown = |text: &str| text.rsplit_once(' ').unwrap().0.to_owned();
        assert_eq!(shown(signed.text()), shown(EXAMPLE));
        let again = SignedCheckpoint::verify(signed.text(), &key.verifier()).unwrap();
        assert_eq!(again, signed);
        assert_eq!(*again.checkpoint(), checkpoint());
        // The example's key is not ours.
        assert!(matches!(
            SignedCheckpoint::verify(EXAMPLE, &key.verifier()),
            Err(Error::Unsigned { .. })
        ));
    }

    #[test]
    fn no_character_of_a_signed_checkpoint_can_change() {
        let key = SigningKey::generate("a.example/log", SignatureKind::Log).unwrap();
        let signed = SignedCheckpoint::sign(checkpoint(), &key).unwrap();
        let public = key.verifier();
        for position in 0..signed.text().len() {
            for bit in 0..7 {
                let mut bytes = signed.text().as_bytes().to_vec();
                bytes[position] ^= 1 << bit;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                let refused = SignedCheckpoint::verify(&text, &public).unwrap_err();
                let is_of_verifying = !matches!(refused, Error::TooLarge { .. } | Error::Sign(_));
                assert!(is_of_verifying, "bit {bit} of byte {position}: {refused:?} of {text}");
            }
        }
    }

    #[test]
    fn witnesses_sign_beside_the_log() {
        let key = SigningKey::generate("a.example/log", SignatureKind::Log).unwrap();
        let witness = SigningKey::generate("w.example", SignatureKind::Cosignature).unwrap();
        let other = SigningKey::generate("w.example", SignatureKind::Cosignature).unwrap();
        let signed = SignedCheckpoint::sign(checkpoint(), &key).unwrap();
        let cosigned = signed.cosign(&witness, 1_700_000_000).unwrap();
        let cosigned = cosigned.cosign(&witness, 1_700_000_001).unwrap();
        assert_eq!(cosigned.text().lines().count(), signed.text().lines().count() + 1);
        let read = SignedCheckpoint::verify(cosigned.text(), &key.verifier()).unwrap();
        let found = read.cosignature(&witness.verifier()).unwrap();
        assert_eq!(found, Cosignature { name: "w.example".into(), time: 1_700_000_001 });
        for absent in [other.verifier(), key.verifier()] {
            assert!(matches!(read.cosignature(&absent), Err(Error::Unsigned { .. })));
        }
    }
}
