//! Decompresses messages, in pieces and under limits.
//!
//! A small message may expand to 4 MiB, and many of them could block all threads. So a message is
//! decompressed in pieces, between which other tasks run, and each client and all clients together
//! have a bounded number of turns: see [`Quota::turn`]. The size of a message shows only while it
//! is decompressed: if it is larger than a piece, decompression stops, and begins again at a turn
//! for large messages, when there is room for the largest.
//!
//! The promise behind it: compressed messages of one client do not delay the calls of others.
//! Delete it when tonic decompresses in pieces, within a limit, on a thread that the caller
//! chooses; the scenes of bombs and of compressed batches in `tests/hostile` show whether it does.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use flate2::bufread::GzDecoder;

use super::encoding::MessageEncoding;
use crate::proto::codec::{PREFIX_BYTES, set_prefix};
use crate::service::quota::fair::Share;
use crate::service::quota::{HeavyWork, MemoryCharge, Quota};
use crate::service::{Cost, Error};

/// The most bytes that are decompressed in one step: some 100 us. Larger messages are large ones.
const PIECE_BYTES: usize = 64 * 1024;
/// The maximum number of compressed bytes to read in one step. They may contain many empty
/// blocks.
const PACKED_PIECE_BYTES: usize = 16 * 1024;
/// The minimum buffer for a piece, in bytes.
const PIECE_BYTES_MIN: usize = 1024;

/// A compressed message, without its prefix.
pub struct Packed {
    /// Its compression.
    pub encoding: MessageEncoding,
    /// The message.
    pub message: Bytes,
    /// The charge of the message on the account of its client, if there is no room for it yet.
    pub held: MemoryCharge,
    /// Room for the message and the work on it, if it was acquired already.
    pub room: Option<Share>,
}

/// A message that was decompressed.
pub struct DecompressedBody {
    /// The message in its frame.
    pub frame: Vec<u8>,
    /// Room for it and for the work on it.
    pub room: Share,
}

/// Decompresses a message to at most `limit` bytes, when there is room and a turn for it.
pub async fn unpack(
    packed: Packed,
    limit: usize,
    cost: Cost,
    quota: Arc<Quota>,
) -> Result<DecompressedBody, Error> {
    let Packed { encoding, message, held, room } = packed;
    let room_for = async |bytes: usize| {
        let units = quota.room_units(PREFIX_BYTES + bytes + cost.of_request(bytes));
        quota.account().room().acquire(units).await
    };
    if message.len() <= PACKED_PIECE_BYTES && room.is_none() {
        let room = room_for(PIECE_BYTES.min(limit)).await;
        let _turn = quota.turn(HeavyWork::UnpackSmall).await;
        let mut unpacking = Decompression::new(encoding, message.clone(), limit)?;
        if unpacking.piece()? {
            return Ok(DecompressedBody { frame: unpacking.frame(), room });
        }
    }
    let room = match room {
        Some(room) => room,
        None => room_for(limit).await,
    };
    let _turn = quota.turn(HeavyWork::UnpackLarge).await;
    let mut unpacking = Decompression::new(encoding, message, limit)?;
    while !unpacking.piece()? {
        tokio::task::yield_now().await;
    }
    drop(held);
    Ok(DecompressedBody { frame: unpacking.frame(), room })
}

/// A message that is being decompressed.
struct Decompression {
    reader: Box<dyn Read + Send>,
    limit: usize,
    /// Space for the prefix, the decompressed bytes, and spare capacity.
    frame: Vec<u8>,
    filled: usize,
}

impl Decompression {
    fn new(encoding: MessageEncoding, packed: Bytes, limit: usize) -> Result<Self, Error> {
        let source = CompressedMessage { packed, allowed: PACKED_PIECE_BYTES };
        let reader = reader(encoding, source).map_err(compression_error)?;
        Ok(Self { reader, limit, frame: vec![0; PREFIX_BYTES], filled: PREFIX_BYTES })
    }

    /// Decompresses a piece; returns whether it was the last.
    fn piece(&mut self) -> Result<bool, Error> {
        let end = self.filled + PIECE_BYTES;
        while self.filled < end {
            if self.filled == self.frame.len() {
                self.frame.resize((2 * self.filled).clamp(PIECE_BYTES_MIN, end), 0);
            }
            let room = self.frame.get_mut(self.filled..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => return Ok(true),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(compression_error(error)),
            }
            if self.filled > PREFIX_BYTES + self.limit {
                return Err(Error::RequestTooLarge { bytes: None, limit: self.limit });
            }
        }
        Ok(false)
    }

    fn frame(mut self) -> Vec<u8> {
        self.frame.truncate(self.filled);
        self.frame.shrink_to_fit();
        set_prefix(&mut self.frame, 0);
        self.frame
    }
}

fn compression_error(error: io::Error) -> Error {
    Error::Framing(format!("it is badly compressed: {error}"))
}

fn reader(
    encoding: MessageEncoding,
    source: CompressedMessage,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match encoding {
        MessageEncoding::Gzip => Box::new(GzDecoder::new(source)),
        MessageEncoding::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
    })
}

/// The compressed source, with the number of bytes that may be read in this step.
struct CompressedMessage {
    packed: Bytes,
    allowed: usize,
}

impl BufRead for CompressedMessage {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let allowed = self.allowed.min(self.packed.len());
        if allowed == 0 && !self.packed.is_empty() {
            // The reader yields before it asks again.
            self.allowed = PACKED_PIECE_BYTES;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.packed.get(..allowed).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.packed.advance(bytes);
        self.allowed -= bytes;
    }
}

impl Read for CompressedMessage {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
