//! Makes a sidecar: from a segment file, or from what is in memory of a segment
//! that has just become full. What is gathered of the records is the same, and so is
//! what is made of it.

use std::borrow::Cow;
use std::ops::Range;

use super::{
    BloomField, FixedFields, FrameLocation, HEADER_BYTES, ID_BYTES, LIST_BYTES, MAGIC, RANGE_BYTES,
    SECTIONS, SegmentRef, SidecarSection, TIME_BYTES, TYPE_BYTES, VERSION, key_hash, row,
};
use crate::catalog::TypeId;
use crate::log::Segment;
use crate::log::disk::bloom::SegmentBloom;
use crate::log::disk::format::{FileHeader, FrameEntry};
use crate::log::disk::walk::{CommitGroup, SegmentWalk};
use crate::log::index::{IndexedField, Positions, SegmentIndex, sort_by_key};
use crate::log::segment::SegmentView;
use crate::record::{Record, RecordColumns, Sequence, key};
use crate::time::Time;

/// Bits of the filter of ids for each record, at least: false answers are below
/// one in 100,000, for each segment.
const ID_BITS: usize = 32;
/// Bits of the filter of keys for each key, at least.
const KEY_BITS: usize = 16;

const _: () = assert!(TIME_BYTES == size_of::<i64>());
/// Records whose times of acceptance are read at once, where they are the same.
const TIMES_AT_ONCE: usize = 16;

/// What is at the beginning of a sidecar.
pub struct SidecarHeader {
    pub of: SegmentRef,
    pub probe: u64,
    pub accepted: Option<(Time, Time)>,
    pub times: (Time, Time),
    pub results: u32,
    pub data_len: u64,
    pub sections: [Range<u32>; SECTIONS],
}

impl SidecarHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.of.covers.to_le_bytes());
        bytes.extend_from_slice(self.of.log_id.as_bytes());
        bytes.extend_from_slice(&self.of.base.0.to_le_bytes());
        bytes.extend_from_slice(&self.of.salt.to_le_bytes());
        bytes.extend_from_slice(&self.probe.to_le_bytes());
        let (first, last) = self.accepted.unwrap_or((Time::MAX, Time::MIN));
        for time in [first, last, self.times.0, self.times.1] {
            bytes.extend_from_slice(&time.0.to_le_bytes());
        }
        bytes.extend_from_slice(&self.data_len.to_le_bytes());
        bytes.extend_from_slice(&self.results.to_le_bytes());
        bytes.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
        for section in &self.sections {
            bytes.extend_from_slice(&section.start.to_le_bytes());
            bytes.extend_from_slice(&section.end.to_le_bytes());
        }
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    pub(super) fn decode(fields: &mut FixedFields<'_>) -> Option<Self> {
        let known = fields.take() == Some(MAGIC) && fields.u32() == Some(VERSION);
        known.then_some(())?;
        let covers = fields.u32()?;
        let log_id = uuid::Uuid::from_bytes(fields.take()?);
        let of = SegmentRef { log_id, base: Sequence(fields.u64()?), covers, salt: fields.u64()? };
        let probe = fields.u64()?;
        let (first, last) = (fields.time()?, fields.time()?);
        let accepted = (first <= last).then_some((first, last));
        let times = (fields.time()?, fields.time()?);
        let data_len = fields.u64()?;
        let results = fields.u32()?;
        (fields.u32()? as usize == SECTIONS).then_some(())?;
        let mut sections = [const { 0..0 }; SECTIONS];
        for section in &mut sections {
            *section = fields.u32()?..fields.u32()?;
        }
        Some(Self { of, probe, accepted, times, results, data_len, sections })
    }
}

/// What is gathered of the records, position by position.
#[derive(Default)]
struct RecordTable<'a> {
    frames: Vec<u8>,
    /// Of the records that are whole.
    columns: Cow<'a, [RecordColumns]>,
    /// Built of `columns`, where it is known.
    index: Option<&'a SegmentIndex>,
    accepted: Vec<Time>,
    /// Positions of the records that are whole.
    whole: Vec<u16>,
    damage: Vec<(u32, u32)>,
    data_len: u64,
}

/// Tells whether this program makes the keys and hashes that the one made which
/// wrote a sidecar.
pub fn probe() -> u64 {
    key_hash(BloomField::Id, key("auditgate"))
}

/// The content of the sidecar of a segment whose file is `file`.
pub fn build(file: &[u8], of: &SegmentRef) -> Vec<u8> {
    let header = FileHeader { log_id: of.log_id, base: of.base, capacity: 0, salt: of.salt };
    let end = Sequence(of.base.0 + u64::from(of.covers));
    let mut gathered = RecordTable::default();
    for group in &SegmentWalk::over(file, &header, Some(end)).groups {
        gathered.take_group(file, group, of.base);
    }
    gathered.pass_over(of.covers);
    gathered.encode(of)
}

/// The same content, made from the segment in memory and from where its frames lie
/// in the file; `None` unless both are known of all of its records.
pub fn build_from_memory(
    segment: &Segment,
    frames: &[FrameLocation],
    of: &SegmentRef,
) -> Option<Vec<u8>> {
    segment.seal();
    let view = segment.view(Sequence(u64::MAX - 1));
    let covers = of.covers as usize;
    if (view.base, view.len(), frames.len()) != (of.base, covers, covers) {
        return None;
    }
    let mut gathered = RecordTable { index: view.index(), ..RecordTable::default() };
    for (located, accepted) in frames.iter().zip(accept_times(&view)) {
        gathered.take(*located, accepted);
    }
    gathered.columns = Cow::Borrowed(view.columns);
    Some(gathered.encode(of))
}

/// When each record was accepted. To read that off each frame takes a miss of the
/// processor's cache; but those of one call have one time, and times never decrease:
/// where the first and the last of some have the same, so have those between.
fn accept_times(view: &SegmentView<'_>) -> Vec<Time> {
    let time = |position| Record::accept_time_of(view.frame(position));
    let mut times = Vec::with_capacity(view.len());
    while times.len() < view.len() {
        let first = times.len();
        let last = (first + TIMES_AT_ONCE).min(view.len()) - 1;
        if time(first) == time(last) {
            times.resize(last + 1, time(first));
        } else {
            times.extend((first..=last).map(time));
        }
    }
    times
}

impl RecordTable<'_> {
    fn take_group(&mut self, file: &[u8], group: &CommitGroup, base: Sequence) {
        let bytes = file.get(group.at..).unwrap_or_default();
        let table = bytes.get(group.header.table()).unwrap_or_default();
        let data = bytes.get(group.header.data()).unwrap_or_default();
        let data_at = group.at + group.header.data().start;
        let first = (group.header.first.0 - base.0) as u32;
        for (number, (entry, range)) in (0..).zip(FrameEntry::decode_all(table)) {
            let offset = u32::try_from(data_at + range.start);
            let (Ok(offset), Some(frame)) = (offset, data.get(range)) else { continue };
            if group.damaged.binary_search(&number).is_err() {
                self.pass_over(first + number);
                self.take(FrameLocation { offset, entry }, Record::accept_time_of(frame));
                self.columns.to_mut().push(RecordColumns::of(&Record::read_frame(frame)));
            }
        }
    }

    /// Takes the next record, but for its columns.
    fn take(&mut self, located: FrameLocation, accepted: Time) {
        let position = self.position();
        self.data_len += u64::from(located.entry.len);
        let numbers = [located.offset, located.entry.len, located.entry.checksum];
        self.frames.extend_from_slice(numbers.map(u32::to_le_bytes).as_flattened());
        self.whole.push(position as u16);
        // Damaged records count as accepted with those before them.
        let before = self.accepted.last().copied().unwrap_or(accepted);
        self.accepted.resize(position as usize, before);
        self.accepted.push(accepted);
    }

    /// Position of the next record.
    fn position(&self) -> u32 {
        (self.frames.len() / super::FRAME_BYTES) as u32
    }

    /// The records up to `position` are damaged.
    fn pass_over(&mut self, position: u32) {
        let next = self.position();
        if next >= position {
            return;
        }
        self.frames.resize(position as usize * super::FRAME_BYTES, 0);
        match self.damage.last_mut() {
            Some((_, last)) if *last + 1 == next => *last = position - 1,
            _ => self.damage.push((next, position - 1)),
        }
        if let Some(before) = self.accepted.last().copied() {
            self.accepted.resize(position as usize, before);
        }
    }

    fn encode(self, of: &SegmentRef) -> Vec<u8> {
        let built = self.index.is_none().then(|| SegmentIndex::build(&self.columns));
        let Some(index) = self.index.or(built.as_ref()) else { return Vec::new() };
        let ids = self.ids();
        let types = self.types(index);
        let mut content = vec![0; HEADER_BYTES];
        let mut sections = [const { 0..0 }; SECTIONS];
        let mut put = |section: SidecarSection, bytes: &[u8]| {
            let start = content.len() as u32;
            content.extend_from_slice(bytes);
            if let Some(range) = sections.get_mut(section as usize) {
                *range = start..content.len() as u32;
            }
        };
        let counts = types.iter().map(|(number, positions)| (*number, positions.len() as u32));
        put(SidecarSection::Types, &pairs::<TYPE_BYTES>(counts));
        put(SidecarSection::Damage, &pairs::<RANGE_BYTES>(self.damage.iter().copied()));
        put(SidecarSection::KeyRows, &words(&key_filter(index)));
        put(SidecarSection::IdRows, &words(&id_filter(&ids)));
        put(SidecarSection::Frames, &self.frames);
        put(SidecarSection::Columns, &self.rows(of));
        put(SidecarSection::Accepted, &numbers(&self.accepted, |time| time.0.to_le_bytes()));
        let mut positions = Vec::new();
        put(SidecarSection::TypeLists, &lists(types.into_iter(), &mut positions));
        for (section, field) in [
            // 0 is a result; it stands for itself here, and not for an absent value.
            (SidecarSection::ResultLists, IndexedField::Result),
            (SidecarSection::UserLists, IndexedField::User),
            (SidecarSection::SessionLists, IndexedField::Session),
            (SidecarSection::ServerLists, IndexedField::Server),
        ] {
            put(section, &lists(self.lists(index, field), &mut positions));
        }
        put(SidecarSection::Positions, &numbers(&positions, |position| position.to_le_bytes()));
        let mut table = Vec::with_capacity(ids.len() * ID_BYTES);
        for (key, position) in &ids {
            table.extend_from_slice(&key.to_le_bytes());
            table.extend_from_slice(&position.to_le_bytes());
        }
        put(SidecarSection::Ids, &table);
        let times = self.columns.iter().map(|row| row.time);
        let header = SidecarHeader {
            of: *of,
            probe: probe(),
            accepted: self.accepted.first().copied().zip(self.accepted.last().copied()),
            times: times.clone().min().zip(times.max()).unwrap_or((Time::MAX, Time::MIN)),
            results: self.columns.iter().fold(0, |all, row| all | 1 << row.result.min(31)),
            data_len: self.data_len,
            sections,
        };
        let header = header.encode();
        content.splice(..HEADER_BYTES, header);
        content
    }

    /// The table of columns; zeros for damaged records.
    fn rows(&self, of: &SegmentRef) -> Vec<u8> {
        let mut rows = Vec::with_capacity(of.covers as usize * row::COLUMNS_BYTES);
        for (columns, position) in self.columns.iter().zip(&self.whole) {
            rows.resize(usize::from(*position) * row::COLUMNS_BYTES, 0);
            row::encode(columns, &mut rows);
        }
        rows.resize(of.covers as usize * row::COLUMNS_BYTES, 0);
        rows
    }

    /// Key of the event id and position of each record, by key.
    fn ids(&self) -> Vec<(u32, u16)> {
        let keys = self.columns.iter().map(|row| row.id);
        let mut ids = keys.zip(self.whole.iter().copied()).collect();
        sort_by_key(&mut ids);
        ids
    }

    /// The lists of the types, by the field number of their payload.
    fn types(&self, index: &SegmentIndex) -> Vec<(u32, Vec<u16>)> {
        let lists = self.lists(index, IndexedField::Type);
        // The index has one more than the number of the type.
        let number = |key: u32| TypeId(key.saturating_sub(1) as u16).get().number;
        let mut types: Vec<_> = lists.map(|(key, list)| (number(key), list)).collect();
        types.sort_unstable_by_key(|(number, _)| *number);
        types
    }

    /// The lists of a field, by key.
    fn lists(
        &self,
        index: &SegmentIndex,
        field: IndexedField,
    ) -> impl Iterator<Item = (u32, Vec<u16>)> {
        // Those of the index are positions among the records that are whole.
        index.lists(field).map(move |(key, positions)| match positions {
            Positions::At(places) => {
                let whole = |place: &u16| self.whole.get(usize::from(*place)).copied();
                (key, places.iter().filter_map(whole).collect())
            }
            Positions::Most => {
                let rows = self.columns.iter().zip(&self.whole);
                let with_key = rows.filter(|(row, _)| field.keys(row).contains(&key));
                (key, with_key.map(|(_, position)| *position).collect())
            }
        })
    }
}

/// The table of the lists of one field; their positions go behind `positions`.
fn lists(lists: impl Iterator<Item = (u32, Vec<u16>)>, positions: &mut Vec<u16>) -> Vec<u8> {
    let mut table = Vec::new();
    for (key, list) in lists {
        for number in [key, positions.len() as u32, list.len() as u32] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        positions.extend_from_slice(&list);
    }
    debug_assert!(table.len().is_multiple_of(LIST_BYTES), "rows are of one length");
    table
}

fn id_filter(ids: &[(u32, u16)]) -> SegmentBloom {
    let mut filter = SegmentBloom::new(ids.len(), ID_BITS);
    ids.iter().for_each(|(key, _)| filter.add(key_hash(BloomField::Id, *key)));
    filter
}

fn key_filter(index: &SegmentIndex) -> SegmentBloom {
    let fields = [
        (BloomField::User, IndexedField::User),
        (BloomField::Session, IndexedField::Session),
        (BloomField::Server, IndexedField::Server),
    ];
    let hashes = fields
        .into_iter()
        .flat_map(|(keyed, field)| index.lists(field).map(move |(key, _)| key_hash(keyed, key)));
    let mut hashes: Vec<u64> = hashes.collect();
    hashes.sort_unstable();
    hashes.dedup();
    let mut filter = SegmentBloom::new(hashes.len(), KEY_BITS);
    hashes.iter().for_each(|hash| filter.add(*hash));
    filter
}

pub(super) fn pairs<const N: usize>(pairs: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    const { assert!(N == RANGE_BYTES && N == TYPE_BYTES) };
    pairs.flat_map(|(one, two)| (u64::from(one) | u64::from(two) << 32).to_le_bytes()).collect()
}

fn words(column: &SegmentBloom) -> Vec<u8> {
    numbers(column.words(), |word| word.to_le_bytes())
}

/// Numbers of one width, one behind the other.
fn numbers<T, const N: usize>(all: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    let mut table = Vec::with_capacity(all.len() * N);
    all.iter().for_each(|one| table.extend_from_slice(&bytes(one)));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance::draft;

    #[test]
    fn times_of_acceptance_are_those_of_the_frames() {
        let mut writer = Segment::create(Sequence(1), 1 << 20, 2_000);
        let mut expected = Vec::new();
        // Calls of one record, of a few, and of more than are read at once.
        for call in 0..60 {
            for _ in 0..[1, 3, 16, 50][call % 4] {
                let accepted = Time(1_700_000_000_000_000_000 + call as i64);
                let sequence = Sequence(expected.len() as u64 + 1);
                writer.append(&draft(&sequence.to_string(), "ls"), sequence, accepted);
                expected.push(accepted);
            }
            writer.publish();
            let view = writer.segment().view(Sequence(expected.len() as u64));
            assert_eq!(accept_times(&view), expected);
        }
    }
}
