//! Look-ups in a sidecar: each reads a few blocks of it.

use std::ops::Range;

use super::{
    FRAME_BYTES, FixedFields, FrameLocation, ID_BYTES, LIST_BYTES, NEAR_BYTES, Sidecar,
    SidecarSection, SidecarSummary, TIME_BYTES, row,
};
use crate::filter::Selection;
use crate::log::disk::block_file::BlockFault;
use crate::log::disk::format::FrameEntry;
use crate::record::RecordColumns;
use crate::time::Time;

fn located(row: &[u8; FRAME_BYTES]) -> Option<FrameLocation> {
    let mut fields = FixedFields(row);
    let offset = fields.u32()?;
    let entry = FrameEntry { len: fields.u32()?, checksum: fields.u32()? };
    (offset != 0).then_some(FrameLocation { offset, entry })
}

/// Lists of one field: where in the table of positions those of each wanted key
/// lie.
pub struct KeyLists {
    /// How many positions they name, together.
    pub len: u64,
    /// Which list it is, if one key is wanted.
    pub listed: Option<ListRef>,
    lists: Vec<Range<u32>>,
}

/// Names a list of a segment: its field and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListRef {
    section: u8,
    key: u32,
}

impl ListRef {
    /// The lists of which each names all records of a segment that a selection
    /// leaves.
    pub fn any_of(selection: &Selection) -> impl Iterator<Item = Self> {
        wanted_keys(selection).into_iter().filter_map(|(section, keys)| Self::only(section, &keys))
    }

    fn only(section: SidecarSection, keys: &[u32]) -> Option<Self> {
        let [key] = *keys else { return None };
        Some(Self { section: section as u8, key })
    }
}

/// Up to so many keys are looked up one by one; for more, all lists are read.
const FEW_KEYS: usize = 16;

impl Sidecar {
    /// Where the frames of these positions lie, ascending; `None` for damaged
    /// ones.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn frames(&self, positions: &[u32]) -> Result<Vec<Option<FrameLocation>>, BlockFault> {
        self.rows(SidecarSection::Frames, positions, located)
    }

    /// The same, for all positions.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn all_frames(&self) -> Result<Vec<Option<FrameLocation>>, BlockFault> {
        let bytes = self.section(SidecarSection::Frames)?;
        let (rows, _) = bytes.as_chunks();
        Ok(rows.iter().map(located).collect())
    }

    /// The columns of these positions, ascending.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn columns(&self, positions: &[u32]) -> Result<Vec<RecordColumns>, BlockFault> {
        self.rows(SidecarSection::Columns, positions, row::columns)
    }

    /// The first position that was accepted at `time` or later; the number of
    /// records, if none was.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn accepted_since(&self, time: Time) -> Result<u32, BlockFault> {
        let bytes = self.section(SidecarSection::Accepted)?;
        let (times, _) = bytes.as_chunks::<TIME_BYTES>();
        Ok(times.partition_point(|own| i64::from_le_bytes(*own) < time.0) as u32)
    }

    /// The lists of the field by which a selection leaves the fewest positions;
    /// `None` where that is more than half of the records.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn narrowest(
        &self,
        selection: &Selection,
        summary: &SidecarSummary,
    ) -> Result<Option<KeyLists>, BlockFault> {
        let mut fewest: Option<KeyLists> = None;
        for (section, keys) in wanted_keys(selection) {
            let lists = match section {
                SidecarSection::TypeLists => lists_of_types(summary, &keys),
                _ => self.lists(section, &keys)?,
            };
            let len = lists.iter().map(|list| u64::from(list.end - list.start)).sum();
            if fewest.as_ref().is_none_or(|before| len < before.len) {
                fewest = Some(KeyLists { len, listed: ListRef::only(section, &keys), lists });
            }
        }
        Ok(fewest.filter(|fewest| fewest.len <= u64::from(self.records / 2)))
    }

    /// The positions in lists, ascending.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn positions(
        &self,
        KeyLists { len, lists, .. }: &KeyLists,
    ) -> Result<Vec<u32>, BlockFault> {
        let mut positions = Vec::with_capacity(*len as usize);
        for list in lists {
            let at =
                self.range(SidecarSection::Positions, list.start as usize * 2, list.len() * 2)?;
            let bytes = self.blocks.read(at)?;
            let (read, _) = bytes.as_chunks();
            positions.extend(read.iter().map(|own| u32::from(u16::from_le_bytes(*own))));
        }
        if lists.len() > 1 {
            positions.sort_unstable();
            positions.dedup();
        }
        Ok(positions)
    }

    /// The positions of records whose id has this key, ascending.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn find_id(&self, key: u32) -> Result<Vec<u32>, BlockFault> {
        let key_of =
            |row: &[u8; ID_BYTES]| row.first_chunk().map_or(0, |key| u32::from_le_bytes(*key));
        let table = self.sorted(SidecarSection::Ids, key, key_of)?;
        let (rows, _) = table.as_chunks::<ID_BYTES>();
        let own = rows.iter().filter(|row| key_of(row) == key);
        let positions = own.filter_map(|row| row.last_chunk().copied().map(u16::from_le_bytes));
        Ok(positions.map(u32::from).collect())
    }

    /// Where the positions of each of these keys lie among all positions. Keys
    /// that do not occur are left out.
    fn lists(&self, section: SidecarSection, keys: &[u32]) -> Result<Vec<Range<u32>>, BlockFault> {
        let mut found = Vec::new();
        let mut take = |rows: &[u8], wanted: &[u32]| {
            let (rows, _) = rows.as_chunks::<LIST_BYTES>();
            for row in rows {
                let mut fields = FixedFields(row);
                let (Some(key), Some(start), Some(len)) =
                    (fields.u32(), fields.u32(), fields.u32())
                else {
                    continue;
                };
                if wanted.binary_search(&key).is_ok() {
                    found.push(start..start.saturating_add(len));
                }
            }
        };
        if matches!(section, SidecarSection::ResultLists) || keys.len() > FEW_KEYS {
            take(&self.section(section)?, keys);
            return Ok(found);
        }
        let key_of =
            |row: &[u8; LIST_BYTES]| row.first_chunk().map_or(0, |key| u32::from_le_bytes(*key));
        for key in keys {
            let rows = self.sorted(section, *key, key_of)?;
            take(&rows, &[*key]);
        }
        Ok(found)
    }

    /// The rows around those with `key` of a table that is sorted by key; all rows
    /// with the key are among them. Keys are hashes, spread evenly, so the key tells
    /// about where to look.
    fn sorted<const N: usize>(
        &self,
        section: SidecarSection,
        key: u32,
        key_of: impl Fn(&[u8; N]) -> u32,
    ) -> Result<Vec<u8>, BlockFault> {
        let rows = self.len(section) / N;
        let guess = ((u64::from(key) * rows as u64) >> 32) as usize;
        // Three standard deviations and some: mostly, the first look will do.
        let mut reach = (1.5 * (rows as f64).sqrt()) as usize + 8;
        loop {
            let (from, to) = (guess.saturating_sub(reach), (guess + reach).min(rows));
            let from = from.min(to);
            let bytes = self.blocks.read(self.range(section, from * N, (to - from) * N)?)?;
            let (read, _) = bytes.as_chunks::<N>();
            let begins_before = from == 0 || read.first().is_some_and(|row| key_of(row) < key);
            let ends_behind = to == rows || read.last().is_some_and(|row| key_of(row) > key);
            if begins_before && ends_behind {
                return Ok(bytes);
            }
            reach *= 4;
        }
    }

    /// Rows of a table with a row for each position, read by `row`.
    fn rows<const N: usize, T>(
        &self,
        section: SidecarSection,
        positions: &[u32],
        row: impl Fn(&[u8; N]) -> T,
    ) -> Result<Vec<T>, BlockFault> {
        let mut read = Vec::with_capacity(positions.len());
        let near = (NEAR_BYTES / N) as u32;
        for run in positions.chunk_by(|one, next| next - one <= near) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let len = (last - first + 1) as usize * N;
            let bytes = self.blocks.read(self.range(section, *first as usize * N, len)?)?;
            let (rows, _) = bytes.as_chunks::<N>();
            let own = run.iter().filter_map(|position| rows.get((position - first) as usize));
            read.extend(own.map(&row));
        }
        if read.len() == positions.len() { Ok(read) } else { Err(BlockFault::Damaged) }
    }

    pub(super) fn section(&self, section: SidecarSection) -> Result<Vec<u8>, BlockFault> {
        self.blocks.read(self.range(section, 0, self.len(section))?)
    }

    fn len(&self, section: SidecarSection) -> usize {
        self.sections.get(section as usize).map_or(0, |range| range.len())
    }

    /// Where in the content a part of a section lies.
    fn range(
        &self,
        section: SidecarSection,
        start: usize,
        len: usize,
    ) -> Result<Range<usize>, BlockFault> {
        let whole = self.sections.get(section as usize).ok_or(BlockFault::Damaged)?;
        let start = whole.start as usize + start;
        let end = start + len;
        if end <= whole.end as usize { Ok(start..end) } else { Err(BlockFault::Damaged) }
    }
}

/// The lists of types: they are the first ones, so that the numbers of records by
/// type, which are in memory, tell where they lie.
fn lists_of_types(summary: &SidecarSummary, numbers: &[u32]) -> Vec<Range<u32>> {
    let mut start = 0;
    let all = summary.types.iter().map(|(number, count)| {
        let list = start..start + count;
        start = list.end;
        (number, list)
    });
    let own = all.filter(|(number, _)| numbers.binary_search(number).is_ok());
    own.map(|(_, list)| list).collect()
}

/// The lists that a selection asks for: their section and keys, sorted.
fn wanted_keys(selection: &Selection) -> Vec<(SidecarSection, Vec<u32>)> {
    let types = selection.types.as_ref().map(|types| {
        let mut numbers: Vec<u32> = types.iter().map(|id| id.get().number).collect();
        numbers.sort_unstable();
        (SidecarSection::TypeLists, numbers)
    });
    let results = selection.results.as_ref().map(|results| {
        // Shifted, since 0 stands for an absent value.
        (SidecarSection::ResultLists, results.iter().map(|result| u32::from(*result) + 1).collect())
    });
    let keys = |section, keys: &Option<Vec<u32>>| keys.clone().map(|keys| (section, keys));
    let all = [
        types,
        results,
        keys(SidecarSection::UserLists, &selection.users),
        keys(SidecarSection::SessionLists, &selection.sessions),
        keys(SidecarSection::ServerLists, &selection.servers),
    ];
    all.into_iter().flatten().collect()
}
