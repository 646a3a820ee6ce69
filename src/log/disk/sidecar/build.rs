//! Makes a sidecar from a segment file.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{
    Fields, HEADER_BYTES, ID_BYTES, Keyed, LIST_BYTES, Located, MAGIC, Of, RANGE_BYTES, SECTIONS,
    Section, TIME_BYTES, TYPE_BYTES, VERSION, key_hash, row,
};
use crate::log::disk::format::{Entry, FileHeader};
use crate::log::disk::slices::Column;
use crate::log::disk::walk::{Group, Walk};
use crate::record::{Columns, Record, Sequence, key};
use crate::time::Time;

/// Bits of the filter of ids for each record, at least: false answers are below
/// one in 100,000, for each segment.
const ID_BITS: usize = 32;
/// Bits of the filter of keys for each key, at least.
const KEY_BITS: usize = 16;

/// What is at the beginning of a sidecar.
pub struct Header {
    pub of: Of,
    pub probe: u64,
    pub accepted: Option<(Time, Time)>,
    pub times: (Time, Time),
    pub results: u32,
    pub data_len: u64,
    pub sections: [Range<u32>; SECTIONS],
}

impl Header {
    fn encode(&self) -> Vec<u8> {
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

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let known = fields.take() == Some(MAGIC) && fields.u32() == Some(VERSION);
        known.then_some(())?;
        let covers = fields.u32()?;
        let log_id = uuid::Uuid::from_bytes(fields.take()?);
        let of = Of { log_id, base: Sequence(fields.u64()?), covers, salt: fields.u64()? };
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
struct Gathered {
    frames: Vec<u8>,
    columns: Vec<Columns>,
    accepted: Vec<Time>,
    /// See [`pair`].
    ids: Vec<u64>,
    /// Positions of records that are whole: of the others, there are no columns.
    whole: Vec<u16>,
    damage: Vec<(u32, u32)>,
    types: BTreeMap<u32, u32>,
    results: u32,
    times: Option<(Time, Time)>,
    data_len: u64,
}

/// Tells whether this program makes the keys and hashes that the one made which
/// wrote a sidecar.
pub fn probe() -> u64 {
    key_hash(Keyed::Id, key("auditgate"))
}

/// The content of the sidecar of a segment whose file is `file`. The columns of
/// all of its records may be known.
pub fn build(file: &[u8], of: &Of, columns: Option<&[Columns]>) -> Vec<u8> {
    let header = FileHeader { log_id: of.log_id, base: of.base, capacity: 0, salt: of.salt };
    let end = Sequence(of.base.0 + u64::from(of.covers));
    let mut gathered = Gathered::default();
    for group in &Walk::over(file, &header, Some(end)).groups {
        gathered.take_group(file, group, of.base, columns);
    }
    gathered.pass_over(of.covers);
    gathered.encode(of)
}

impl Gathered {
    fn take_group(
        &mut self,
        file: &[u8],
        group: &Group,
        base: Sequence,
        columns: Option<&[Columns]>,
    ) {
        let bytes = file.get(group.at..).unwrap_or_default();
        let table = bytes.get(group.header.table()).unwrap_or_default();
        let data = bytes.get(group.header.data()).unwrap_or_default();
        let data_at = group.at + group.header.data().start;
        let first = (group.header.first.0 - base.0) as u32;
        for (number, (entry, range)) in (0..).zip(Entry::decode_all(table)) {
            let offset = u32::try_from(data_at + range.start);
            let (Ok(offset), Some(frame)) = (offset, data.get(range)) else { continue };
            if group.damaged.binary_search(&number).is_err() {
                self.pass_over(first + number);
                self.take(Located { offset, entry }, frame, columns);
            }
        }
    }

    /// Takes the next record.
    fn take(&mut self, located: Located, frame: &[u8], columns: Option<&[Columns]>) {
        let position = self.position();
        let accepted = Record::accept_time_of(frame);
        let known = columns.and_then(|columns| columns.get(position as usize)).copied();
        let columns = known.unwrap_or_else(|| Columns::of(&Record::read_frame(frame)));
        self.data_len += u64::from(located.entry.len);
        for number in [located.offset, located.entry.len, located.entry.checksum] {
            self.frames.extend_from_slice(&number.to_le_bytes());
        }
        self.ids.push(pair(columns.id, position as u16));
        self.whole.push(position as u16);
        *self.types.entry(columns.type_id.get().number).or_default() += 1;
        self.results |= 1 << columns.result.min(31);
        let (first, last) = self.times.unwrap_or((columns.time, columns.time));
        self.times = Some((first.min(columns.time), last.max(columns.time)));
        // Damaged records count as accepted with those before them.
        let before = self.accepted.last().copied().unwrap_or(accepted);
        self.accepted.resize(position as usize, before);
        self.accepted.push(accepted);
        self.columns.push(columns);
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

    fn encode(mut self, of: &Of) -> Vec<u8> {
        self.ids.sort_unstable();
        let mut content = vec![0; HEADER_BYTES];
        let mut sections = [const { 0..0 }; SECTIONS];
        let mut put = |section: Section, bytes: &[u8]| {
            let start = content.len() as u32;
            content.extend_from_slice(bytes);
            if let Some(range) = sections.get_mut(section as usize) {
                *range = start..content.len() as u32;
            }
        };
        put(Section::Types, &pairs::<TYPE_BYTES>(self.types.iter().map(|(key, of)| (*key, *of))));
        put(Section::Damage, &pairs::<RANGE_BYTES>(self.damage.iter().copied()));
        put(Section::KeyRows, &words(&self.key_filter()));
        put(Section::IdRows, &words(&self.id_filter()));
        put(Section::Frames, &self.frames);
        put(Section::Columns, &self.rows(of));
        let accepted = self.accepted.iter().flat_map(|time| time.0.to_le_bytes());
        put(Section::Accepted, &accepted.collect::<Vec<u8>>());
        let mut positions = Vec::new();
        let one = |key: fn(&Columns) -> u32| move |row: &Columns| [key(row), 0];
        let mut lists = |section, keys: &dyn Fn(&Columns) -> [u32; 2]| {
            put(section, &self.lists(keys, &mut positions));
        };
        lists(Section::TypeLists, &one(|row| row.type_id.get().number));
        // 0 is a result; it stands for itself here, and not for an absent value.
        lists(Section::ResultLists, &one(|row| u32::from(row.result) + 1));
        lists(Section::UserLists, &|row| {
            [row.user, if row.impersonator == row.user { 0 } else { row.impersonator }]
        });
        lists(Section::SessionLists, &one(|row| row.session));
        lists(Section::ServerLists, &one(|row| row.server));
        let positions = positions.iter().flat_map(|position: &u16| position.to_le_bytes());
        put(Section::Positions, &positions.collect::<Vec<u8>>());
        let mut ids = Vec::with_capacity(self.ids.len() * ID_BYTES);
        for (key, position) in self.ids.iter().map(|both| unpair(*both)) {
            ids.extend_from_slice(&key.to_le_bytes());
            ids.extend_from_slice(&position.to_le_bytes());
        }
        put(Section::Ids, &ids);
        let header = Header {
            of: *of,
            probe: probe(),
            accepted: self.accepted.first().copied().zip(self.accepted.last().copied()),
            times: self.times.unwrap_or((Time::MAX, Time::MIN)),
            results: self.results,
            data_len: self.data_len,
            sections,
        };
        let header = header.encode();
        content.splice(..HEADER_BYTES, header);
        content
    }

    /// The table of columns; zeros for damaged records.
    fn rows(&self, of: &Of) -> Vec<u8> {
        let mut rows = Vec::with_capacity(of.covers as usize * row::COLUMNS_BYTES);
        for (columns, position) in self.columns.iter().zip(&self.whole) {
            rows.resize(usize::from(*position) * row::COLUMNS_BYTES, 0);
            row::encode(columns, &mut rows);
        }
        rows.resize(of.covers as usize * row::COLUMNS_BYTES, 0);
        rows
    }

    fn id_filter(&self) -> Column {
        let mut filter = Column::new(self.ids.len(), ID_BITS);
        let keys = self.ids.iter().map(|both| unpair(*both).0);
        keys.for_each(|key| filter.add(key_hash(Keyed::Id, key)));
        filter
    }

    fn key_filter(&self) -> Column {
        let hashes = self.columns.iter().flat_map(|row| {
            let keys = [
                (Keyed::User, row.user),
                (Keyed::User, row.impersonator),
                (Keyed::Session, row.session),
                (Keyed::Server, row.server),
            ];
            keys.into_iter().filter(|(_, key)| *key != 0).map(|(field, key)| key_hash(field, key))
        });
        let mut hashes: Vec<u64> = hashes.collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut filter = Column::new(hashes.len(), KEY_BITS);
        hashes.iter().for_each(|hash| filter.add(*hash));
        filter
    }

    /// The lists of one field, by key; their positions go behind `positions`.
    /// `keys_of` gives the keys of a record; 0 stands for an absent value.
    fn lists(&self, keys_of: &dyn Fn(&Columns) -> [u32; 2], positions: &mut Vec<u16>) -> Vec<u8> {
        let mut pairs: Vec<u64> = Vec::with_capacity(self.columns.len());
        for (columns, position) in self.columns.iter().zip(&self.whole) {
            let keys = keys_of(columns).into_iter().filter(|key| *key != 0);
            pairs.extend(keys.map(|key| pair(key, *position)));
        }
        pairs.sort_unstable();
        let mut lists = Vec::new();
        for list in pairs.chunk_by(|one, next| unpair(*one).0 == unpair(*next).0) {
            let key = list.first().map_or(0, |both| unpair(*both).0);
            for number in [key, positions.len() as u32, list.len() as u32] {
                lists.extend_from_slice(&number.to_le_bytes());
            }
            positions.extend(list.iter().map(|both| unpair(*both).1));
        }
        debug_assert!(lists.len().is_multiple_of(LIST_BYTES), "rows are of one length");
        lists
    }
}

/// A key and a position as one number, which sorts faster than two.
fn pair(key: u32, position: u16) -> u64 {
    u64::from(key) << 16 | u64::from(position)
}

fn unpair(both: u64) -> (u32, u16) {
    ((both >> 16) as u32, both as u16)
}

fn pairs<const N: usize>(pairs: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    const { assert!(N == RANGE_BYTES && N == TYPE_BYTES) };
    pairs.flat_map(|(one, two)| (u64::from(one) | u64::from(two) << 32).to_le_bytes()).collect()
}

fn words(column: &Column) -> Vec<u8> {
    column.words().iter().flat_map(|word| word.to_le_bytes()).collect()
}

const _: () = assert!(TIME_BYTES == size_of::<i64>());
