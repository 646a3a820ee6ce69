//! Sidecars: the file beside a sealed segment file that makes it searchable.
//!
//! `segments/BASE.idx` holds a summary, where the frames lie, the columns, posting
//! lists and the id table of `segments/BASE.log`. It is a file of `BlockFile`, so
//! that a look-up reads a few of them and trusts none unchecked. It can always be
//! made again from the segment file. `docs/FORMAT.md` describes it.

mod build;
mod check;
mod damage;
mod lookup;
mod row;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::log::Segment;
use crate::log::disk::block_file::{self, BlockFault, BlockFile, BlockSource};
use crate::log::disk::bloom::SegmentBloom;
use crate::log::disk::fixed_fields::FixedFields;
use crate::log::disk::format::FrameEntry;
use crate::log::disk::storage::{self, Storage};
use crate::log::scan::ScanQuery;
use crate::log::segment::SEGMENT_RECORDS_MAX;
use crate::record::Sequence;
use crate::time::Time;

pub use build::{build, build_from_memory};
pub use check::{SidecarFlaw, check};
pub use damage::with_damage;
pub use lookup::ListRef;
#[cfg(test)]
pub use row::columns;

/// Version of the form that this program writes and reads.
pub const VERSION: u32 = 1;
/// How the name of a sidecar ends.
pub const EXTENSION: &str = "idx";
/// Length of what a sidecar says of one frame, in bytes.
pub const FRAME_BYTES: usize = 12;

const MAGIC: [u8; 8] = *b"AGINDEX\0";
const HEADER_BYTES: usize = 256;
const RANGE_BYTES: usize = 8;
const TYPE_BYTES: usize = 8;
const LIST_BYTES: usize = 12;
const ID_BYTES: usize = 6;
const TIME_BYTES: usize = 8;
/// Rows of a table that lie no further apart are read at once, in bytes.
const NEAR_BYTES: usize = 8 * 1024;

/// The sections of a sidecar, in their order.
#[derive(Debug, Clone, Copy)]
enum SidecarSection {
    /// Field number of the payload and number of records, for each type.
    Types,
    /// First and last position of each run of damaged records.
    Damage,
    /// Filter of the keys of users, sessions and servers.
    KeyRows,
    /// Filter of event ids.
    IdRows,
    /// For each record: offset, length and checksum of its frame.
    Frames,
    /// For each record: see `row.rs`.
    Columns,
    /// For each record: when it was accepted.
    Accepted,
    /// For each key of a field: the key, where its positions begin, and how many
    /// there are. Five fields: type, result, user, session, server.
    TypeLists,
    ResultLists,
    UserLists,
    SessionLists,
    ServerLists,
    /// The positions of all lists.
    Positions,
    /// Key of the event id and position, by key.
    Ids,
}

const SECTIONS: usize = SidecarSection::Ids as usize + 1;

/// What is known of a segment without reading more than the beginning of its
/// sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarSummary {
    /// When the first and the last record were accepted; `None` if all are
    /// damaged.
    pub accepted: Option<(Time, Time)>,
    /// The earliest and the latest time of an event.
    pub times: (Time, Time),
    /// How many records there are of each type, by the field number of its
    /// payload, ascending.
    pub types: Vec<(u32, u32)>,
    /// Bit n: a record has the result n.
    pub results: u32,
    /// Length of all frames together, in bytes.
    pub data_len: u64,
    /// First and last position of each run of damaged records.
    pub damage: Vec<(u32, u32)>,
}

/// Where a frame lies in its segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLocation {
    /// From the beginning of the file, in bytes.
    pub offset: u32,
    /// Its length and checksum.
    pub entry: FrameEntry,
}

/// An open sidecar.
pub struct Sidecar {
    blocks: BlockFile,
    records: u32,
    sections: [Range<u32>; SECTIONS],
}

/// What a sidecar's beginning says, for those who keep it in memory.
pub struct SidecarContents {
    /// Reads the rest.
    pub sidecar: Sidecar,
    /// What is in the segment.
    pub summary: SidecarSummary,
}

/// Which segment file a sidecar is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRef {
    /// The log.
    pub log_id: Uuid,
    /// The file's first record.
    pub base: Sequence,
    /// How many records it covers.
    pub covers: u32,
    /// The file's salt.
    pub salt: u64,
}

impl SegmentRef {
    /// The file that begins at `base`, and behind which `end` comes.
    pub fn new(log_id: Uuid, (base, end): (Sequence, Sequence), salt: u64) -> Self {
        // Of a gap between files that is larger, the rest is lost.
        let covers = end.0.saturating_sub(base.0).min(SEGMENT_RECORDS_MAX as u64) as u32;
        Self { log_id, base, covers, salt }
    }
}

/// Whether the header of a sidecar begins like those that this program makes.
fn is_current(fields: &mut FixedFields<'_>) -> bool {
    build::SidecarHeader::decode(fields).is_some_and(|header| header.probe == build::probe())
}

/// Hash of a key of [`Columns`](crate::record::RecordColumns), as the filters have it.
pub fn key_hash(field: BloomField, key: u32) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = foldhash::quality::FixedState::with_seed(0).build_hasher();
    hasher.write_u64(((field as u64) << 32) | u64::from(key));
    hasher.finish()
}

/// Fields whose keys the filters have.
#[derive(Debug, Clone, Copy)]
pub enum BloomField {
    /// Event id.
    Id = 0,
    /// User or impersonator.
    User = 1,
    /// Session.
    Session = 2,
    /// Server.
    Server = 3,
}

impl Sidecar {
    /// Opens the sidecar of a segment.
    ///
    /// # Errors
    /// If it is not one, is that of another file, or is damaged at its beginning.
    pub fn open(source: BlockSource, of: &SegmentRef) -> Result<SidecarContents, BlockFault> {
        let blocks = BlockFile::new(source, of.salt);
        let header = blocks.read(0..HEADER_BYTES)?;
        let mut fields = FixedFields(&header);
        let header = build::SidecarHeader::decode(&mut fields).ok_or(BlockFault::Damaged)?;
        if header.of != *of || header.probe != build::probe() {
            return Err(BlockFault::Damaged);
        }
        let sidecar = Self { blocks, records: of.covers, sections: header.sections };
        let pairs = |section| -> Result<Vec<(u32, u32)>, BlockFault> {
            let bytes = sidecar.section(section)?;
            let (pairs, _) = bytes.as_chunks::<RANGE_BYTES>();
            Ok(pairs.iter().map(|pair| split(*pair)).collect())
        };
        let summary = SidecarSummary {
            accepted: header.accepted,
            times: header.times,
            types: pairs(SidecarSection::Types)?,
            results: header.results,
            data_len: header.data_len,
            damage: pairs(SidecarSection::Damage)?,
        };
        Ok(SidecarContents { sidecar, summary })
    }

    /// What it takes in memory, in bytes.
    pub fn memory_size(&self) -> usize {
        self.blocks.memory_size()
    }

    /// The filters of keys and of ids.
    ///
    /// # Errors
    /// As `BlockFile::read`.
    pub fn filters(&self) -> Result<(SegmentBloom, SegmentBloom), BlockFault> {
        let column = |section| {
            let bytes = self.section(section)?;
            let (words, _) = bytes.as_chunks();
            let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            SegmentBloom::from_words(words).ok_or(BlockFault::Damaged)
        };
        Ok((column(SidecarSection::KeyRows)?, column(SidecarSection::IdRows)?))
    }
}

impl SidecarSummary {
    /// Whether a record of the segment may match the query.
    pub fn may_match(&self, query: &ScanQuery) -> bool {
        let selection = query.filter.selection();
        let has_type = |number: u32| self.types.binary_search_by_key(&number, |of| of.0).is_ok();
        let in_time =
            self.times.1 >= query.start && (query.end == Time::MAX || self.times.0 < query.end);
        let of_type = selection
            .types
            .as_ref()
            .is_none_or(|types| types.iter().any(|id| has_type(id.get().number)));
        let of_result = selection.results.as_ref().is_none_or(|results| {
            results.iter().any(|result| self.results >> (*result).min(31) & 1 != 0)
        });
        in_time && of_type && of_result
    }
}

/// Writes a sidecar: beside its place, synced, then renamed. The name lasts once
/// the directory is synced, with the next segment file: until then a crash may
/// take it back, and the sidecar is made again.
///
/// # Errors
/// If the system refuses; nothing is left behind.
pub fn save(storage: &dyn Storage, path: &Path, encoded: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("idx.tmp");
    let write = || {
        let file = storage.create(&beside)?;
        file.write(&[encoded], 0)?;
        file.sync()?;
        storage.rename(&beside, path)
    };
    write().inspect_err(|_| drop(storage.remove(&beside)))
}

/// The sidecar of a segment, made from what is in memory of it or, unless that is
/// all of its records, from its file; encoded.
///
/// # Errors
/// If the file cannot be read.
pub fn make(
    path: &Path,
    of: &SegmentRef,
    in_memory: Option<(&Segment, &[FrameLocation])>,
) -> io::Result<Arc<Vec<u8>>> {
    let made = in_memory.and_then(|(segment, frames)| build_from_memory(segment, frames, of));
    let content = match made {
        Some(content) => content,
        None => build(&storage::read(path)?, of),
    };
    Ok(Arc::new(block_file::encode(&content, of.salt)))
}

fn split(pair: [u8; RANGE_BYTES]) -> (u32, u32) {
    let both = u64::from_le_bytes(pair);
    (both as u32, (both >> 32) as u32)
}
