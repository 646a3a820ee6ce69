//! Look-ups in a sidecar: each reads a few blocks of it.

use std::ops::Range;

use super::{
    FRAME_BYTES, Fields, ID_BYTES, LIST_BYTES, Located, NEAR_BYTES, Section, Sidecar, Summary,
    TIME_BYTES, row,
};
use crate::filter::Selection;
use crate::log::disk::blocks::Fault;
use crate::log::disk::format::Entry;
use crate::record::Columns;
use crate::time::Time;

fn located(row: &[u8; FRAME_BYTES]) -> Option<Located> {
    let mut fields = Fields(row);
    let offset = fields.u32()?;
    let entry = Entry { len: fields.u32()?, checksum: fields.u32()? };
    (offset != 0).then_some(Located { offset, entry })
}

/// Lists of one field: where in the table of positions those of each wanted key
/// lie.
pub struct Lists {
    /// How many positions they name, together.
    pub len: u64,
    /// Which list it is, if one key is wanted.
    pub listed: Option<Listed>,
    lists: Vec<Range<u32>>,
}

/// Names a list of a segment: its field and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listed {
    section: u8,
    key: u32,
}

impl Listed {
    /// The lists of which each names all records of a segment that a selection
    /// leaves.
    pub fn any_of(selection: &Selection) -> impl Iterator<Item = Self> {
        wanted_keys(selection).into_iter().filter_map(|(section, keys)| Self::only(section, &keys))
    }

    fn only(section: Section, keys: &[u32]) -> Option<Self> {
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
    pub fn frames(&self, positions: &[u32]) -> Result<Vec<Option<Located>>, Fault> {
        self.rows(Section::Frames, positions, located)
    }

    /// The same, for all positions.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn all_frames(&self) -> Result<Vec<Option<Located>>, Fault> {
        let bytes = self.section(Section::Frames)?;
        let (rows, _) = bytes.as_chunks();
        Ok(rows.iter().map(located).collect())
    }

    /// The columns of these positions, ascending.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn columns(&self, positions: &[u32]) -> Result<Vec<Columns>, Fault> {
        self.rows(Section::Columns, positions, row::columns)
    }

    /// The first position that was accepted at `time` or later; the number of
    /// records, if none was.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn accepted_since(&self, time: Time) -> Result<u32, Fault> {
        let bytes = self.section(Section::Accepted)?;
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
        summary: &Summary,
    ) -> Result<Option<Lists>, Fault> {
        let mut fewest: Option<Lists> = None;
        for (section, keys) in wanted_keys(selection) {
            let lists = match section {
                Section::TypeLists => lists_of_types(summary, &keys),
                _ => self.lists(section, &keys)?,
            };
            let len = lists.iter().map(|list| u64::from(list.end - list.start)).sum();
            if fewest.as_ref().is_none_or(|before| len < before.len) {
                fewest = Some(Lists { len, listed: Listed::only(section, &keys), lists });
            }
        }
        Ok(fewest.filter(|fewest| fewest.len <= u64::from(self.records / 2)))
    }

    /// The positions in lists, ascending.
    ///
    /// # Errors
    /// As `Blocks::read`.
    pub fn positions(&self, Lists { len, lists, .. }: &Lists) -> Result<Vec<u32>, Fault> {
        let mut positions = Vec::with_capacity(*len as usize);
        for list in lists {
            let at = self.range(Section::Positions, list.start as usize * 2, list.len() * 2)?;
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
    pub fn find_id(&self, key: u32) -> Result<Vec<u32>, Fault> {
        let key_of =
            |row: &[u8; ID_BYTES]| row.first_chunk().map_or(0, |key| u32::from_le_bytes(*key));
        let table = self.sorted(Section::Ids, key, key_of)?;
        let (rows, _) = table.as_chunks::<ID_BYTES>();
        let own = rows.iter().filter(|row| key_of(row) == key);
        let positions = own.filter_map(|row| row.last_chunk().copied().map(u16::from_le_bytes));
        Ok(positions.map(u32::from).collect())
    }

    /// Where the positions of each of these keys lie among all positions. Keys
    /// that do not occur are left out.
    fn lists(&self, section: Section, keys: &[u32]) -> Result<Vec<Range<u32>>, Fault> {
        let mut found = Vec::new();
        let mut take = |rows: &[u8], wanted: &[u32]| {
            let (rows, _) = rows.as_chunks::<LIST_BYTES>();
            for row in rows {
                let mut fields = Fields(row);
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
        if matches!(section, Section::ResultLists) || keys.len() > FEW_KEYS {
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
        section: Section,
        key: u32,
        key_of: impl Fn(&[u8; N]) -> u32,
    ) -> Result<Vec<u8>, Fault> {
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
        section: Section,
        positions: &[u32],
        row: impl Fn(&[u8; N]) -> T,
    ) -> Result<Vec<T>, Fault> {
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
        if read.len() == positions.len() { Ok(read) } else { Err(Fault::Damaged) }
    }

    pub(super) fn section(&self, section: Section) -> Result<Vec<u8>, Fault> {
        self.blocks.read(self.range(section, 0, self.len(section))?)
    }

    fn len(&self, section: Section) -> usize {
        self.sections.get(section as usize).map_or(0, |range| range.len())
    }

    /// Where in the content a part of a section lies.
    fn range(&self, section: Section, start: usize, len: usize) -> Result<Range<usize>, Fault> {
        let whole = self.sections.get(section as usize).ok_or(Fault::Damaged)?;
        let start = whole.start as usize + start;
        let end = start + len;
        if end <= whole.end as usize { Ok(start..end) } else { Err(Fault::Damaged) }
    }
}

/// The lists of types: they are the first ones, so that the numbers of records by
/// type, which are in memory, tell where they lie.
fn lists_of_types(summary: &Summary, numbers: &[u32]) -> Vec<Range<u32>> {
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
fn wanted_keys(selection: &Selection) -> Vec<(Section, Vec<u32>)> {
    let types = selection.types.as_ref().map(|types| {
        let mut numbers: Vec<u32> = types.iter().map(|id| id.get().number).collect();
        numbers.sort_unstable();
        (Section::TypeLists, numbers)
    });
    let results = selection.results.as_ref().map(|results| {
        // Shifted, since 0 stands for an absent value.
        (Section::ResultLists, results.iter().map(|result| u32::from(*result) + 1).collect())
    });
    let keys = |section, keys: &Option<Vec<u32>>| keys.clone().map(|keys| (section, keys));
    let all = [
        types,
        results,
        keys(Section::UserLists, &selection.users),
        keys(Section::SessionLists, &selection.sessions),
        keys(Section::ServerLists, &selection.servers),
    ];
    all.into_iter().flatten().collect()
}
