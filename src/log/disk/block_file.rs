//! Files that are checked block by block, so that any part of one can be read
//! and is known to be what was written.
//!
//! A block is 4,096 bytes: 4,092 of content and a checksum of the file's salt,
//! the number of the block and the content. So neither a changed block nor one
//! from another place or file passes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Length of a block, in bytes.
pub const BLOCK_BYTES: usize = 4_096;
/// How much of a block is content, in bytes.
pub const CONTENT_BYTES: usize = BLOCK_BYTES - CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 4;

/// Why content cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockFault {
    /// The content fails its checksum.
    #[error("is damaged")]
    Damaged,
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The content of a file of blocks.
pub struct BlockFile {
    source: BlockSource,
    salt: u64,
}

/// The storage of the blocks.
pub enum BlockSource {
    /// In a file.
    File(File),
    /// In memory, if they could not be written.
    Memory(Arc<Vec<u8>>),
}

/// The blocks of a file with this content.
pub fn encode(content: &[u8], salt: u64) -> Vec<u8> {
    let count = content.len().div_ceil(CONTENT_BYTES);
    let mut blocks = Vec::with_capacity(count * BLOCK_BYTES);
    for (number, part) in content.chunks(CONTENT_BYTES).enumerate() {
        let start = blocks.len();
        blocks.extend_from_slice(part);
        blocks.resize(start + CONTENT_BYTES, 0);
        let body = blocks.get(start..).unwrap_or_default();
        let sum = checksum(salt, number, body);
        blocks.extend_from_slice(&sum.to_le_bytes());
    }
    blocks
}

/// The content of all blocks of a file, including the padding of the last one.
///
/// # Errors
/// Where the first damaged block begins.
pub fn decode(blocks: &[u8], salt: u64) -> Result<Vec<u8>, usize> {
    let mut content = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.chunks(BLOCK_BYTES).enumerate() {
        content.extend_from_slice(body(block, salt, number).ok_or(number * BLOCK_BYTES)?);
    }
    Ok(content)
}

/// The content of a block, if its checksum is right.
fn body(block: &[u8], salt: u64, number: usize) -> Option<&[u8]> {
    let (body, found) = block.split_last_chunk::<CHECKSUM_BYTES>()?;
    let is_whole = body.len() == CONTENT_BYTES;
    (is_whole && checksum(salt, number, body) == u32::from_le_bytes(*found)).then_some(body)
}

fn checksum(salt: u64, number: usize, content: &[u8]) -> u32 {
    let place = crc32c::crc32c(&(salt ^ (number as u64).rotate_left(32)).to_le_bytes());
    crc32c::crc32c_append(place, content)
}

impl BlockFile {
    /// The content of blocks that were encoded with `salt`.
    pub fn new(source: BlockSource, salt: u64) -> Self {
        Self { source, salt }
    }

    /// The memory that they use, in bytes.
    pub fn memory_size(&self) -> usize {
        match &self.source {
            BlockSource::File(_) => 0,
            BlockSource::Memory(bytes) => bytes.len(),
        }
    }

    /// Reads a range of the content.
    ///
    /// # Errors
    /// If the content is damaged, ends before the range, or cannot be read.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u8>, BlockFault> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let first = range.start / CONTENT_BYTES;
        let count = range.end.div_ceil(CONTENT_BYTES) - first;
        let mut bytes = vec![0; count * BLOCK_BYTES];
        self.read_blocks(first, &mut bytes)?;
        // The content is moved together over the checksums.
        let mut content = Vec::with_capacity(range.len());
        for (place, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let body = body(block, self.salt, first + place).ok_or(BlockFault::Damaged)?;
            let start = (first + place) * CONTENT_BYTES;
            let from = range.start.saturating_sub(start);
            let to = (range.end - start).min(CONTENT_BYTES);
            content.extend_from_slice(body.get(from..to).unwrap_or_default());
        }
        Ok(content)
    }

    fn read_blocks(&self, first: usize, out: &mut [u8]) -> Result<(), BlockFault> {
        let at = first * BLOCK_BYTES;
        match &self.source {
            BlockSource::File(file) => file.read_exact_at(out, at as u64).map_err(|error| {
                // A file that ends too early was truncated.
                let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
                if is_end { BlockFault::Damaged } else { BlockFault::Io(error) }
            }),
            BlockSource::Memory(bytes) => {
                let found = bytes.get(at..at + out.len()).ok_or(BlockFault::Damaged)?;
                out.copy_from_slice(found);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..10_000_u32).map(|number| (number % 251) as u8).collect()
    }

    #[test]
    fn any_range_is_read_as_it_was_written() {
        let blocks = BlockFile::new(BlockSource::Memory(Arc::new(encode(&content(), 7))), 7);
        for (start, end) in
            [(0, 1), (0, 10_000), (4_091, 4_093), (4_092, 8_184), (9_999, 10_000), (5, 5)]
        {
            assert_eq!(blocks.read(start..end).expect("whole"), content()[start..end]);
        }
        assert!(matches!(blocks.read(20_000..20_001), Err(BlockFault::Damaged)));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let encoded = encode(&content(), 7);
        for at in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[at] ^= 0x40;
            let blocks = BlockFile::new(BlockSource::Memory(Arc::new(damaged)), 7);
            assert!(matches!(blocks.read(0..10_000), Err(BlockFault::Damaged)), "byte {at}");
        }
    }

    #[test]
    fn blocks_of_another_place_or_file_do_not_pass() {
        let mut swapped = encode(&content(), 7);
        let (first, rest) = swapped.split_at_mut(BLOCK_BYTES);
        first.swap_with_slice(&mut rest[..BLOCK_BYTES]);
        let blocks = BlockFile::new(BlockSource::Memory(Arc::new(swapped)), 7);
        assert!(matches!(blocks.read(0..1), Err(BlockFault::Damaged)));
        let other = BlockFile::new(BlockSource::Memory(Arc::new(encode(&content(), 8))), 7);
        assert!(matches!(other.read(0..1), Err(BlockFault::Damaged)));
    }
}
