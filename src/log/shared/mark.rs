//! The file `follower`: how far a directory has followed the stream of a shared log.
//!
//! ```text
//!  0 magic "AGFOLW\0\1"    8 log id [16]
//! 24 position u64   32 count u64   40 time i64   48 digest u64    the state there
//! 56 timestamp i64  64 CRC-32C u32                                 of the message there
//! 68 joined u64                                                    where it joined
//! 76 CRC-32C of all before
//! ```

use uuid::Uuid;

use crate::log::shared::message::Basis;
use crate::time::Time;

/// The name of the file.
pub const FOLLOWER: &str = "follower";

const MAGIC: [u8; 8] = *b"AGFOLW\0\x01";

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
}

impl FollowerMark {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(self.log_id.as_bytes());
        bytes.extend_from_slice(&self.state.position.to_le_bytes());
        bytes.extend_from_slice(&self.state.count.to_le_bytes());
        bytes.extend_from_slice(&self.state.time.0.to_le_bytes());
        bytes.extend_from_slice(&self.state.digest.to_le_bytes());
        bytes.extend_from_slice(&self.timestamp.0.to_le_bytes());
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes.extend_from_slice(&self.joined.to_le_bytes());
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
        let state = Basis {
            position: u64::from_le_bytes(*position),
            count: u64::from_le_bytes(*count),
            time: Time(i64::from_le_bytes(*time)),
            digest: u64::from_le_bytes(*digest),
        };
        (*magic == MAGIC && rest.is_empty()).then_some(Self {
            log_id: Uuid::from_bytes(*log_id),
            state,
            timestamp: Time(i64::from_le_bytes(*timestamp)),
            checksum: u32::from_le_bytes(*checksum),
            joined: u64::from_le_bytes(*joined),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written_and_every_flipped_bit_is_noticed() {
        let state = Basis { position: 5, count: 4, time: Time(-3), digest: 2 };
        let (log_id, timestamp) = (Uuid::from_u128(9), Time(77));
        let mark = FollowerMark { log_id, state, timestamp, checksum: 8, joined: 1 };
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
