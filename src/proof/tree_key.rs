//! The key of a tree: signs its checkpoints, or verifies those of others.

use signed_note::{Signer as _, Verifier as _};

use super::key::{SigningKey, VerifierKey};
use crate::log::shared::message::{EpochChange, EpochKey};

/// The part of the log's key that a gateway has.
#[derive(Debug, Clone)]
pub enum TreeKey {
    /// The signing key: the gateway signs checkpoints.
    Signs(SigningKey),
    /// The verifier key: other gateways sign checkpoints, and this one verifies and serves them.
    Verifies(VerifierKey),
}

impl TreeKey {
    /// The public key.
    pub fn verifier(&self) -> VerifierKey {
        match self {
            Self::Signs(key) => key.verifier(),
            Self::Verifies(key) => key.clone(),
        }
    }

    /// The signing key, if the gateway has it.
    pub fn signing(&self) -> Option<&SigningKey> {
        match self {
            Self::Signs(key) => Some(key),
            Self::Verifies(_) => None,
        }
    }
}

impl From<SigningKey> for TreeKey {
    fn from(key: SigningKey) -> Self {
        Self::Signs(key)
    }
}

impl From<&SigningKey> for TreeKey {
    fn from(key: &SigningKey) -> Self {
        Self::Signs(key.clone())
    }
}

impl From<VerifierKey> for TreeKey {
    fn from(key: VerifierKey) -> Self {
        Self::Verifies(key)
    }
}

impl EpochKey for VerifierKey {
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.verify(text, signature)
    }
}

/// The present key of a log and its former ones: epochs may have begun under each.
impl EpochKey for Vec<VerifierKey> {
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.iter().any(|key| key.verify(text, signature))
    }
}

/// Signs the beginning of an epoch, with the key of the log.
pub fn sign_epoch(change: &mut EpochChange, log_id: uuid::Uuid, key: &SigningKey) {
    // Signing cannot fail.
    change.signature = key.at(0).sign(&change.signed_text(log_id)).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::key::{self, SignatureKind};
    use crate::proof::{SignedCheckpoint, checkpoint};
    use crate::reserved_names::EPOCH_HEADER;
    use crate::time::Time;

    #[test]
    fn only_the_key_of_the_log_begins_an_epoch() {
        let new = || SigningKey::generate("a.example/log", SignatureKind::Log).unwrap();
        let (key, other) = (new(), new());
        let log_id = uuid::Uuid::from_u128(7);
        let mut change = EpochChange {
            number: 2,
            position: 9,
            count: 77,
            time: Time(5),
            digest: 3,
            checkpoint: String::new(),
            signature: Vec::new(),
        };
        assert!(!change.is_signed(log_id, &key.verifier()));
        sign_epoch(&mut change, log_id, &key);
        assert_eq!(change.signature.len(), 64);
        assert!(change.is_signed(log_id, &key.verifier()));
        assert!(!change.is_signed(log_id, &other.verifier()));
        assert!(!change.is_signed(uuid::Uuid::nil(), &key.verifier()));
        // What it signs is no checkpoint of any log.
        let refused = SigningKey::generate(EPOCH_HEADER, SignatureKind::Log).unwrap_err();
        assert_eq!(refused, key::Error::Name(EPOCH_HEADER.to_owned()));
        let text = String::from_utf8(change.signed_text(log_id)).unwrap();
        let refused = SignedCheckpoint::verify(&text, &key.verifier()).unwrap_err();
        assert_eq!(refused, checkpoint::Error::NotNote);
    }
}
