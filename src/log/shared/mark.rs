//! The file `follower`: how far a directory has followed the stream of a shared log.
//!
//! ```text
//!  0 magic "AGFOLW\0\2"    8 log id [16]
//! 24 position u64   32 count u64   40 time i64   48 digest u64    the state there
//! 56 timestamp i64  64 CRC-32C u32                                 of the message there
//! 68 joined u64                                                    where it joined
//! 76 epoch u64   84 epoch_at u64   92 pending u64                   see `FollowerMark`
//! 100 CRC-32C of all before
//! ```

use uuid::Uuid;

use crate::log::shared::message::Basis;
use crate::time::Time;

/// The name of the file.
pub const FOLLOWER: &str = "follower";

const MAGIC: [u8; 8] = *b"AGFOLW\0\x02";

/// The state of a directory's copy of a shared log. All of it is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerMark {
    /// The log.
    pub log_id: Uuid,
    /// The state after the last message that was applied.
    pub state: Basis,
    /// The stream's timestamp of that message.
    pub timestamp: Time,
    /// The CRC-32C of that message.
    pub checksum: u32,
    /// The position behind which this gateway knows the stream; 0 if it knows all of it.
    pub joined: u64,
    /// The position of the message with which the present epoch began; 0 if it is the first
    /// one, or that message is not known.
    pub epoch_at: u64,
    /// The position of the epoch's beginning with which this copy goes on when it is opened,
    /// since it has records that are lost; 0 without one.
    pub pending: u64,
}

impl FollowerMark {
    /// That of a gateway that has applied nothing.
    pub fn new(log_id: Uuid) -> Self {
        let state = Basis::default();
        let (timestamp, checksum) = (state.time, 0);
        Self { log_id, state, timestamp, checksum, joined: 0, epoch_at: 0, pending: 0 }
    }

    /// That of a gateway which goes on with an epoch, in the place of this one.
    pub fn of_epoch(&self, state: Basis, timestamp: Time, message: &[u8]) -> Self {
        // What this gateway did not know before, it knows no better now.
        let joined = if self.joined > 0 { state.position } else { 0 };
        let (checksum, epoch_at) = (crc32c::crc32c(message), state.position);
        Self { log_id: self.log_id, state, timestamp, checksum, joined, epoch_at, pending: 0 }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(104);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(self.log_id.as_bytes());
        bytes.extend_from_slice(&self.state.position.to_le_bytes());
        bytes.extend_from_slice(&self.state.count.to_le_bytes());
        bytes.extend_from_slice(&self.state.time.0.to_le_bytes());
        bytes.extend_from_slice(&self.state.digest.to_le_bytes());
        bytes.extend_from_slice(&self.timestamp.0.to_le_bytes());
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes.extend_from_slice(&self.joined.to_le_bytes());
        bytes.extend_from_slice(&u64::from(self.state.epoch).to_le_bytes());
        bytes.extend_from_slice(&self.epoch_at.to_le_bytes());
        bytes.extend_from_slice(&self.pending.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the file; `None` if it is damaged or another one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (magic, rest) = body.split_first_chunk()?;
        let (log_id, rest) = rest.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (joined, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (epoch_at, rest) = rest.split_first_chunk()?;
        let (pending, rest) = rest.split_first_chunk()?;
        let state = Basis {
            position: u64::from_le_bytes(*position),
            count: u64::from_le_bytes(*count),
            time: Time(i64::from_le_bytes(*time)),
            digest: u64::from_le_bytes(*digest),
            epoch: u16::try_from(u64::from_le_bytes(*epoch)).ok()?,
        };
        (*magic == MAGIC && rest.is_empty()).then_some(Self {
            log_id: Uuid::from_bytes(*log_id),
            state,
            timestamp: Time(i64::from_le_bytes(*timestamp)),
            checksum: u32::from_le_bytes(*checksum),
            joined: u64::from_le_bytes(*joined),
            epoch_at: u64::from_le_bytes(*epoch_at),
            pending: u64::from_le_bytes(*pending),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written_and_every_flipped_bit_is_noticed() {
        let state = Basis { position: 5, count: 4, time: Time(-3), digest: 2, epoch: 3 };
        let (log_id, timestamp) = (Uuid::from_u128(9), Time(77));
        let mark = FollowerMark {
            log_id,
            state,
            timestamp,
            checksum: 8,
            joined: 1,
            epoch_at: 4,
            pending: 6,
        };
        let bytes = mark.encode();
        assert_eq!(FollowerMark::decode(&bytes), Some(mark));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FollowerMark::decode(&damaged), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(FollowerMark::decode(&bytes[..len]), None, "{len} bytes");
        }
    }
}
