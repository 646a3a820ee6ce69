//! The file `log`: which log a directory holds, and what must be known of it
//! before its segments are read. Its form is described in `docs/FORMAT.md`.

use uuid::Uuid;

use crate::log::disk::format::{VERSION, checksum};
use crate::record::Sequence;
use crate::time::Time;

/// The name of the file in the data directory.
pub const IDENTITY: &str = "log";
/// The most epochs of which the file tells where they began. Of older ones it
/// is known only that they ended before the oldest of these began.
pub const EPOCHS_MAX: usize = 1_000;

const MAGIC: [u8; 8] = *b"AGLOG\0\0\0";
/// Flag: see [`IdentityFile::unsynced`].
const UNSYNCED: u32 = 1;
/// Flag: see [`IdentityFile::is_copy`].
const COPY: u32 = 2;
const FIXED_BYTES: usize = 72;
const EPOCH_BYTES: usize = 16;

/// The content of the file `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFile {
    /// Unique to the log, for its whole life.
    pub log_id: Uuid,
    /// When the log was created.
    pub created: Time,
    /// The minimum index: the oldest record kept. What is before was removed by
    /// retention, though a crash may have left its files.
    pub first: Sequence,
    /// When the newest record that was removed had been accepted; `None` before
    /// the first removal.
    pub removed_until: Option<Time>,
    /// The log is open, or was not closed, in a mode in which readers see
    /// records before they are synced.
    pub unsynced: bool,
    /// The directory is a gateway's copy of a shared log: nothing is appended to it but
    /// what the stream says.
    pub is_copy: bool,
    /// The epochs, ascending; the last one is the current one.
    pub epochs: Vec<EpochEntry>,
}

/// A period in which the log lost no record that a reader had seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// Its number.
    pub number: u64,
    /// The first sequence that was given out in it: what a cursor of an older
    /// epoch says of this one and later ones was lost.
    pub first: Sequence,
}

/// Why a file is not a valid identity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// The file is not a segment file.
    #[error("is not an auditgate log")]
    Foreign,
    /// A newer version wrote it.
    #[error("has format version {0}, which is newer than {VERSION}: use a newer auditgate")]
    Newer(u32),
    /// Its checksum is wrong.
    #[error("is damaged")]
    Damaged,
}

impl IdentityFile {
    /// The identity of a new log.
    pub fn new(log_id: Uuid, created: Time) -> Self {
        Self {
            log_id,
            created,
            first: Sequence::FIRST,
            removed_until: None,
            unsynced: false,
            is_copy: false,
            epochs: vec![EpochEntry { number: 1, first: Sequence::FIRST }],
        }
    }

    /// The current epoch.
    pub fn epoch(&self) -> u64 {
        self.epochs.last().map_or(1, |epoch| epoch.number)
    }

    /// Begins an epoch whose first record is to be `first`.
    pub fn raise_epoch(&mut self, first: Sequence) {
        self.begin_epoch(EpochEntry { number: self.epoch() + 1, first });
    }

    /// Begins an epoch. Returns whether it had not begun.
    pub fn begin_epoch(&mut self, epoch: EpochEntry) -> bool {
        let is_new = epoch.number > self.epoch();
        if is_new {
            self.epochs.push(epoch);
            let surplus = self.epochs.len().saturating_sub(EPOCHS_MAX);
            self.epochs.drain(..surplus);
        }
        is_new
    }

    /// The last sequence that an epoch gave out and that is not lost since;
    /// `None` for the present one, and those to come.
    pub fn kept_of_epoch(&self, number: u64) -> Option<Sequence> {
        let later = self.epochs.iter().filter(|epoch| epoch.number > number);
        later.map(|epoch| epoch.first.previous()).min()
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.epochs.len() * EPOCH_BYTES + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let unsynced = if self.unsynced { UNSYNCED } else { 0 };
        let copy = if self.is_copy { COPY } else { 0 };
        bytes.extend_from_slice(&(unsynced | copy).to_le_bytes());
        bytes.extend_from_slice(self.log_id.as_bytes());
        bytes.extend_from_slice(&self.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.removed_until.unwrap_or(Time::MIN).0.to_le_bytes());
        bytes.extend_from_slice(&(self.epochs.len() as u64).to_le_bytes());
        bytes.resize(FIXED_BYTES, 0);
        for epoch in &self.epochs {
            bytes.extend_from_slice(&epoch.number.to_le_bytes());
            bytes.extend_from_slice(&epoch.first.0.to_le_bytes());
        }
        bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is not one, of a newer version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, IdentityFault> {
        if !bytes.starts_with(&MAGIC) {
            return Err(IdentityFault::Foreign);
        }
        let (body, sum) = bytes.split_last_chunk().ok_or(IdentityFault::Damaged)?;
        if checksum(body) != u32::from_le_bytes(*sum) {
            return Err(IdentityFault::Damaged);
        }
        let number = |at: usize| -> Result<u64, IdentityFault> {
            let rest = body.get(at..).unwrap_or_default();
            rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(IdentityFault::Damaged)
        };
        let version_and_flags = number(8)?;
        let (version, flags) = (version_and_flags as u32, (version_and_flags >> 32) as u32);
        if version > VERSION {
            return Err(IdentityFault::Newer(version));
        }
        let id = body.get(16..).unwrap_or_default().first_chunk().ok_or(IdentityFault::Damaged)?;
        let removed_until = Time(number(48)? as i64);
        let (epochs, rest) = body.get(FIXED_BYTES..).unwrap_or_default().as_chunks::<EPOCH_BYTES>();
        if epochs.is_empty() || epochs.len() as u64 != number(56)? || !rest.is_empty() {
            return Err(IdentityFault::Damaged);
        }
        let epochs = epochs.iter().enumerate().map(|(place, _)| {
            let at = FIXED_BYTES + place * EPOCH_BYTES;
            Ok(EpochEntry { number: number(at)?, first: Sequence(number(at + 8)?) })
        });
        Ok(Self {
            log_id: Uuid::from_bytes(*id),
            created: Time(number(32)? as i64),
            first: Sequence(number(40)?),
            removed_until: (removed_until != Time::MIN).then_some(removed_until),
            unsynced: flags & UNSYNCED != 0,
            is_copy: flags & COPY != 0,
            epochs: epochs.collect::<Result<_, IdentityFault>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> IdentityFile {
        let mut identity = IdentityFile::new(Uuid::from_u128(9), Time(5_000));
        identity.first = Sequence(70_001);
        identity.removed_until = Some(Time(4_000));
        identity.unsynced = true;
        identity.is_copy = true;
        identity.raise_epoch(Sequence(80_000));
        identity
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        assert_eq!(IdentityFile::decode(&identity().encode()), Ok(identity()));
        let new = IdentityFile::new(Uuid::from_u128(1), Time(0));
        assert_eq!(IdentityFile::decode(&new.encode()), Ok(new));
    }

    #[test]
    fn every_flipped_bit_and_missing_byte_is_noticed() {
        use IdentityFault::{Damaged, Foreign};
        let bytes = identity().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let fault = if bit / 8 < MAGIC.len() { Foreign } else { Damaged };
            assert_eq!(IdentityFile::decode(&damaged), Err(fault), "bit {bit}");
        }
        for len in 0..bytes.len() {
            let fault = if len < MAGIC.len() { Foreign } else { Damaged };
            assert_eq!(IdentityFile::decode(&bytes[..len]), Err(fault), "{len} bytes");
        }
    }

    #[test]
    fn what_was_lost_of_an_epoch_is_known() {
        let mut identity = identity();
        assert_eq!(identity.kept_of_epoch(1), Some(Sequence(79_999)));
        assert_eq!(identity.kept_of_epoch(2), None);
        // The next loss reaches further back.
        identity.raise_epoch(Sequence(75_000));
        assert_eq!(identity.kept_of_epoch(1), Some(Sequence(74_999)));
        for _ in 0..EPOCHS_MAX {
            identity.raise_epoch(Sequence(90_000));
        }
        assert_eq!(identity.epochs.len(), EPOCHS_MAX);
        assert_eq!(identity.epoch(), 3 + EPOCHS_MAX as u64);
        assert_eq!(IdentityFile::decode(&identity.encode()), Ok(identity));
    }
}
