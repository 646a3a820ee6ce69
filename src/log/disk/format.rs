//! The form of a segment file: its header and its commit groups, encoded and
//! decoded. `docs/FORMAT.md` describes it for readers in other languages.
//!
//! All numbers are little-endian; all checksums are CRC-32C.

use std::ops::Range;

use uuid::Uuid;

use crate::log::disk::fixed_fields::FixedFields;
use crate::record::Sequence;

/// The version of the format that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// A file's groups begin here, in bytes.
pub const HEADER_BYTES: usize = 4_096;
/// The offset of the second copy of the header; the first is at 0.
pub const HEADER_COPY_AT: usize = 2_048;
/// A group begins at a multiple of this, in bytes: so no sector that holds
/// acknowledged records is ever written again.
pub const ALIGNMENT: usize = 512;
/// Length of the header of a group, in bytes.
pub const GROUP_HEADER_BYTES: usize = 64;
/// The length of an entry of the table of a group, in bytes.
pub const ENTRY_BYTES: usize = 8;

const FILE_MAGIC: [u8; 8] = *b"AGSEGMNT";
const GROUP_MAGIC: [u8; 8] = *b"AGGROUP\x01";
/// The length of the header of a file, with its checksum.
const FILE_HEADER_USED: usize = 64;
/// Flag of a group: see [`GroupHeader::follows_synced`].
const FOLLOWS_SYNCED: u32 = 1;

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// `bytes`, rounded up to where the next group may begin.
pub fn align(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The log that the file belongs to.
    pub log_id: Uuid,
    /// Sequence of the first record. The file's name says the same.
    pub base: Sequence,
    /// The preallocated size of the file, in bytes. The file may be shorter: unused space is
    /// released when the segment is full.
    pub capacity: u64,
    /// A secret random number that each group of the file repeats, so that no bytes of an
    /// emitter can look like a group.
    pub salt: u64,
}

/// Why the first bytes of a file are not the header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The file is not a segment file.
    #[error("is not an auditgate segment file")]
    Foreign,
    /// A newer version wrote it.
    #[error("has format version {0}, which is newer than {VERSION}: use a newer auditgate")]
    Newer(u32),
    /// Neither of its two copies is whole.
    #[error("has a damaged header")]
    Damaged,
}

impl FileHeader {
    /// The file's first [`HEADER_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(FILE_HEADER_USED);
        copy.extend_from_slice(&FILE_MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(self.log_id.as_bytes());
        copy.extend_from_slice(&self.base.0.to_le_bytes());
        copy.extend_from_slice(&self.capacity.to_le_bytes());
        copy.extend_from_slice(&self.salt.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&checksum(&copy).to_le_bytes());
        let mut block = copy.clone();
        block.resize(HEADER_COPY_AT, 0);
        block.extend_from_slice(&copy);
        block.resize(HEADER_BYTES, 0);
        block
    }

    /// Reads the header off the file's first [`HEADER_BYTES`], or off as many as
    /// there are.
    ///
    /// # Errors
    /// If neither copy can be read: the fault of the first.
    pub fn decode(block: &[u8]) -> Result<Self, HeaderFault> {
        let copy = |at: usize| Self::decode_copy(block.get(at..).unwrap_or_default());
        match copy(0) {
            Ok(header) => Ok(header),
            Err(HeaderFault::Newer(version)) => Err(HeaderFault::Newer(version)),
            Err(fault) => copy(HEADER_COPY_AT).map_err(|second| match second {
                HeaderFault::Newer(_) => second,
                HeaderFault::Damaged => HeaderFault::Damaged,
                HeaderFault::Foreign => fault,
            }),
        }
    }

    fn decode_copy(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let mut fields = FixedFields(bytes);
        if fields.take() != Some(FILE_MAGIC) {
            return Err(HeaderFault::Foreign);
        }
        let whole = bytes.get(..FILE_HEADER_USED).is_some_and(is_sealed);
        let version = fields.u32().ok_or(HeaderFault::Damaged)?;
        if !whole {
            return Err(HeaderFault::Damaged);
        }
        if version > VERSION {
            return Err(HeaderFault::Newer(version));
        }
        let mut read = || {
            fields.u32()?;
            Some(Self {
                log_id: Uuid::from_bytes(fields.take()?),
                base: Sequence(fields.u64()?),
                capacity: fields.u64()?,
                salt: fields.u64()?,
            })
        };
        read().ok_or(HeaderFault::Damaged)
    }
}

/// The header of a commit group: records that were written and synced at once.
///
/// Behind it lie the table, an [`FrameEntry`] for each frame, and the frames. A group
/// without records says only that all before it is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// That of the file.
    pub salt: u64,
    /// Sequence of the first record.
    pub first: Sequence,
    /// The number of records.
    pub records: u32,
    /// Length of the frames together, in bytes.
    pub data_len: u32,
    /// Checksum of the table, and so, by the checksums in it, of the frames.
    pub table_checksum: u32,
    /// All before this group was on stable storage when it was written: what is
    /// invalid there is damage. What is invalid in and behind the last such
    /// group may never have been acknowledged.
    pub follows_synced: bool,
}

impl GroupHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; GROUP_HEADER_BYTES] {
        let flags = if self.follows_synced { FOLLOWS_SYNCED } else { 0 };
        let mut bytes = Vec::with_capacity(GROUP_HEADER_BYTES);
        bytes.extend_from_slice(&GROUP_MAGIC);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.data_len.to_le_bytes());
        bytes.extend_from_slice(&self.table_checksum.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.resize(GROUP_HEADER_BYTES - 4, 0);
        bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields and their padding fill the header")
    }

    /// Reads a header; `None` if there is none in these bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&GROUP_MAGIC) || !is_sealed(bytes.get(..GROUP_HEADER_BYTES)?) {
            return None;
        }
        let mut fields = FixedFields(bytes);
        fields.u64()?;
        let header = Self {
            salt: fields.u64()?,
            first: Sequence(fields.u64()?),
            records: fields.u32()?,
            data_len: fields.u32()?,
            table_checksum: fields.u32()?,
            follows_synced: fields.u32()? & FOLLOWS_SYNCED != 0,
        };
        Some(header)
    }

    /// The range of the table, from the beginning of the group.
    pub fn table(&self) -> Range<usize> {
        GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + self.records as usize * ENTRY_BYTES
    }

    /// The range of the frames, from the beginning of the group.
    pub fn data(&self) -> Range<usize> {
        let start = self.table().end;
        start..start + self.data_len as usize
    }

    /// Length of the group, in bytes; the next one begins behind it, at a
    /// multiple of [`ALIGNMENT`].
    pub fn len(&self) -> usize {
        self.data().end
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Sequence of the record behind the group's last.
    pub fn end(&self) -> Sequence {
        Sequence(self.first.0.saturating_add(u64::from(self.records)))
    }
}

/// An entry of the table of a group, for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    /// Length of the frame, in bytes.
    pub len: u32,
    /// Its checksum.
    pub checksum: u32,
}

impl FrameEntry {
    /// The entry of a frame.
    pub fn of(frame: &[u8]) -> Self {
        let len = u32::try_from(frame.len()).expect("a segment's data is below 4 GiB");
        Self { len, checksum: checksum(frame) }
    }

    /// The entry's bytes.
    pub fn encode(self) -> [u8; ENTRY_BYTES] {
        (u64::from(self.len) | u64::from(self.checksum) << 32).to_le_bytes()
    }

    /// Reads the entries of a table, and with each where its frame lies in the
    /// group's data.
    pub fn decode_all(table: &[u8]) -> impl Iterator<Item = (Self, Range<usize>)> {
        let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
        let mut end = 0_usize;
        entries.iter().map(move |bytes| {
            let both = u64::from_le_bytes(*bytes);
            let entry = Self { len: both as u32, checksum: (both >> 32) as u32 };
            let start = end;
            end = start.saturating_add(entry.len as usize);
            (entry, start..end)
        })
    }
}

/// Whether the last four bytes are the checksum of those before them.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk()
        .is_some_and(|(body, found)| checksum(body) == u32::from_le_bytes(*found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_header() -> FileHeader {
        FileHeader {
            log_id: Uuid::from_u128(0x0123_4567_89ab_cdef),
            base: Sequence(70_001),
            capacity: 24 * 1024 * 1024,
            salt: 0xfeed_beef,
        }
    }

    fn group_header() -> GroupHeader {
        GroupHeader {
            salt: 0xfeed_beef,
            first: Sequence(70_003),
            records: 3,
            data_len: 901,
            table_checksum: 77,
            follows_synced: true,
        }
    }

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        // Its appendix B.4: 32 bytes of zeros, and of ones.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        let block = file_header().encode();
        assert_eq!(block.len(), HEADER_BYTES);
        assert_eq!(FileHeader::decode(&block), Ok(file_header()));
        let bytes = group_header().encode();
        assert_eq!(GroupHeader::decode(&bytes), Some(group_header()));
        let unsynced = GroupHeader { follows_synced: false, ..group_header() };
        assert_eq!(GroupHeader::decode(&unsynced.encode()), Some(unsynced));
    }

    #[test]
    fn every_flipped_bit_of_a_group_header_is_noticed() {
        let bytes = group_header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(GroupHeader::decode(&bytes[..63]), None);
    }

    #[test]
    fn a_file_header_survives_as_long_as_one_copy_does() {
        let block = file_header().encode();
        for at in (0..FILE_HEADER_USED).chain(HEADER_COPY_AT..HEADER_COPY_AT + FILE_HEADER_USED) {
            let mut damaged = block.clone();
            damaged[at] ^= 0x10;
            assert_eq!(FileHeader::decode(&damaged), Ok(file_header()), "byte {at}");
        }
        let mut damaged = block.clone();
        damaged[20] ^= 1;
        damaged[HEADER_COPY_AT + 20] ^= 1;
        assert_eq!(FileHeader::decode(&damaged), Err(HeaderFault::Damaged));
        damaged[0] ^= 1;
        damaged[HEADER_COPY_AT] ^= 1;
        assert_eq!(FileHeader::decode(&damaged), Err(HeaderFault::Foreign));
        assert_eq!(FileHeader::decode(&[]), Err(HeaderFault::Foreign));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let mut block = file_header().encode();
        for at in [0, HEADER_COPY_AT] {
            block[at + 8] = 2;
            let sum = checksum(&block[at..at + FILE_HEADER_USED - 4]);
            block[at + FILE_HEADER_USED - 4..at + FILE_HEADER_USED]
                .copy_from_slice(&sum.to_le_bytes());
        }
        assert_eq!(FileHeader::decode(&block), Err(HeaderFault::Newer(2)));
    }

    #[test]
    fn a_table_says_where_each_frame_lies() {
        let frames: [&[u8]; 3] = [b"one", b"", b"three"];
        let table: Vec<u8> =
            frames.iter().flat_map(|frame| FrameEntry::of(frame).encode()).collect();
        let data = frames.concat();
        let read: Vec<_> = FrameEntry::decode_all(&table).collect();
        assert_eq!(read.len(), 3);
        for ((entry, range), frame) in read.into_iter().zip(frames) {
            assert_eq!(&data[range], frame);
            assert_eq!(entry, FrameEntry::of(frame));
        }
    }
}
