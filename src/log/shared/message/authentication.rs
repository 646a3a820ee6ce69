//! Authenticates messages: HMAC-SHA-256 under a cluster key, cut to 16 bytes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::MessageFault;

/// Length of a cluster key, in bytes.
pub const KEY_BYTES: usize = 32;
/// What authentication adds to a message, in bytes.
pub const TRAILER_BYTES: usize = ID_BYTES + TAG_BYTES;

const ID_BYTES: usize = 4;
const TAG_BYTES: usize = 16;

/// One cluster key, for one log.
#[derive(Clone)]
pub struct AuthenticationKey {
    id: [u8; ID_BYTES],
    /// The MAC with the log's id: what is authenticated for one log is not for another.
    mac: Hmac<Sha256>,
}

impl AuthenticationKey {
    /// The key for the messages of this log.
    pub fn new(key: &[u8; KEY_BYTES], log_id: Uuid) -> Self {
        let id = key_id(key);
        let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(log_id.as_bytes());
        Self { id, mac }
    }
}

/// The id of a key, which messages name.
pub fn key_id(key: &[u8; KEY_BYTES]) -> [u8; ID_BYTES] {
    let digest =
        Sha256::new_with_prefix(b"auditgate cluster key id\0").chain_update(key).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

impl std::fmt::Debug for AuthenticationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuthenticationKey({:02x?})", self.id)
    }
}

/// The cluster keys that a gateway knows.
#[derive(Debug, Clone)]
pub struct ClusterKeys {
    /// Authenticates what is published.
    current: AuthenticationKey,
    /// Accepted, too: former keys, and the next one.
    others: Vec<AuthenticationKey>,
}

impl ClusterKeys {
    /// Publishes under `current`, and accepts it and `others`.
    pub fn new(current: AuthenticationKey, others: Vec<AuthenticationKey>) -> Self {
        Self { current, others }
    }

    /// Adds key id and tag to a message.
    pub fn authenticate(&self, message: &mut Vec<u8>) {
        message.extend_from_slice(&self.current.id);
        let tag = self.current.mac.clone().chain_update(&*message).finalize().into_bytes();
        message.extend_from_slice(tag.get(..TAG_BYTES).unwrap_or_default());
    }

    /// The message without key id and tag.
    pub fn authenticated<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], MessageFault> {
        const FAULT: MessageFault = MessageFault::Unauthentic;
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(FAULT)?;
        let (message, id) = signed.split_last_chunk::<ID_BYTES>().ok_or(FAULT)?;
        let keys = std::iter::once(&self.current).chain(&self.others);
        let mut with_id = keys.filter(|key| key.id == *id);
        let is_authentic = |key: &AuthenticationKey| {
            key.mac.clone().chain_update(signed).verify_truncated_left(tag).is_ok()
        };
        if with_id.any(is_authentic) { Ok(message) } else { Err(FAULT) }
    }
}
