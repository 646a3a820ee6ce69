//! The message by which an operator accepts a loss: a new epoch of the log begins.
//!
//! ```text
//!  0 number u16    2 position u64   10 count u64   18 time i64   26 digest u64
//! 34 signature [64]                 98 the newest checkpoint known, as text
//! ```

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Basis, CHECKPOINT_BYTES_MAX, MessageFault};
use crate::reserved_names::EPOCH_HEADER;
use crate::time::Time;

/// Length of a signature, in bytes.
const SIGNATURE_BYTES: usize = 64;

/// Verifies what an operator signed: the public key of the log.
pub trait EpochKey: Send + Sync + 'static {
    /// Whether the log's key signed this text.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool;
}

/// The beginning of an epoch: the log goes on with its first records, whatever else
/// gateways have applied before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochChange {
    /// Its number: one more than that of the epoch before.
    pub number: u16,
    /// The position of this message: at every other one it is void.
    pub position: u64,
    /// So many records stay.
    pub count: u64,
    /// When the last of them was accepted.
    pub time: Time,
    /// The rolling hash of their frames.
    pub digest: u64,
    /// The newest signed checkpoint that the operator knows of, as text; empty without one.
    pub checkpoint: String,
    /// The signature of the log's key over [`EpochChange::signed_text`].
    pub signature: Vec<u8>,
}

impl EpochChange {
    /// The state of the log after it.
    pub fn state(&self) -> Basis {
        let Self { position, count, time, digest, number, .. } = *self;
        Basis { position, count, time, digest, epoch: number }
    }

    /// What the log's key signs.
    pub fn signed_text(&self, log_id: Uuid) -> Vec<u8> {
        let Self { number, position, count, time, digest, checkpoint, .. } = self;
        let checkpoint: String =
            Sha256::digest(checkpoint).iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{EPOCH_HEADER}\n{log_id}\n{number}\n{position}\n{count}\n{}\n{digest:016x}\n{checkpoint}\n",
            time.0
        )
        .into_bytes()
    }

    /// Whether the log's key signed it.
    pub fn is_signed(&self, log_id: Uuid, key: &dyn EpochKey) -> bool {
        key.verifies(&self.signed_text(log_id), &self.signature)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(100 + self.checkpoint.len());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.time.0.to_le_bytes());
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        let mut signature = self.signature.clone();
        signature.resize(SIGNATURE_BYTES, 0);
        bytes.extend_from_slice(&signature);
        bytes.extend_from_slice(self.checkpoint.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageFault> {
        const SHORT: MessageFault = MessageFault::Malformed("its epoch is too short");
        let (number, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
        let (position, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (count, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (time, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (digest, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (signature, checkpoint) = rest.split_first_chunk::<SIGNATURE_BYTES>().ok_or(SHORT)?;
        if checkpoint.len() > CHECKPOINT_BYTES_MAX {
            return Err(MessageFault::Malformed("its checkpoint is too long"));
        }
        let checkpoint = std::str::from_utf8(checkpoint)
            .map_err(|_| MessageFault::Malformed("its checkpoint is no text"))?;
        Ok(Self {
            number: u16::from_le_bytes(*number),
            position: u64::from_le_bytes(*position),
            count: u64::from_le_bytes(*count),
            time: Time(i64::from_le_bytes(*time)),
            digest: u64::from_le_bytes(*digest),
            checkpoint: checkpoint.to_owned(),
            signature: signature.to_vec(),
        })
    }
}
