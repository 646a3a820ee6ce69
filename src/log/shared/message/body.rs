//! The body of a message: as it is, or compressed.

use zstd::bulk::Compressor;

use super::{BODY_BYTES_MAX, MessageFault};

/// The encoding of a body as it is.
const RAW: u8 = 0;
/// The encoding of a compressed body.
const ZSTD: u8 = 1;
/// The level of compression: the fastest of the usual ones.
const LEVEL: i32 = 1;
/// Shorter contents are not compressed, in bytes.
const COMPRESSED_BYTES_MIN: usize = 128;

/// Encodes bodies. It keeps the memory that compression takes, some hundred KiB.
pub struct BodyEncoder(Option<Compressor<'static>>);

impl Default for BodyEncoder {
    fn default() -> Self {
        Self(Compressor::new(LEVEL).ok())
    }
}

impl BodyEncoder {
    /// The encoding and the body: compressed where that is shorter.
    pub fn encode(&mut self, content: &[u8]) -> (u8, Vec<u8>) {
        let compressor = self.0.as_mut().filter(|_| content.len() >= COMPRESSED_BYTES_MIN);
        let compressed = compressor
            .and_then(|compressor| compressor.compress(content).ok())
            .filter(|compressed| compressed.len() + size_of::<u32>() < content.len());
        match compressed {
            Some(compressed) => {
                let len = (content.len() as u32).to_le_bytes();
                (ZSTD, [&len, compressed.as_slice()].concat())
            }
            None => (RAW, content.to_vec()),
        }
    }
}

impl std::fmt::Debug for BodyEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyEncoder").finish_non_exhaustive()
    }
}

/// The content of a body; takes no more memory than [`BODY_BYTES_MAX`].
pub fn decode(encoding: u8, body: &[u8]) -> Result<Vec<u8>, MessageFault> {
    const LARGE: MessageFault = MessageFault::Malformed("its body is too large");
    match encoding {
        RAW if body.len() > BODY_BYTES_MAX => Err(LARGE),
        RAW => Ok(body.to_vec()),
        ZSTD => {
            const WRONG: MessageFault = MessageFault::Malformed("its body cannot be decompressed");
            let (len, frame) = body.split_first_chunk().ok_or(WRONG)?;
            let len = u32::from_le_bytes(*len) as usize;
            if len > BODY_BYTES_MAX {
                return Err(LARGE);
            }
            let content = zstd::bulk::decompress(frame, len).map_err(|_| WRONG)?;
            if content.len() == len { Ok(content) } else { Err(WRONG) }
        }
        value => Err(MessageFault::Newer { what: "encoding", value: value.into() }),
    }
}
