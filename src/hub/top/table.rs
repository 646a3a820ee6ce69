//! Counts values of fields, within a bound.

use super::keys::{self, KeyTable, KnownValue};
use super::uniform::{Uniform, uniform};
use super::{Counted, Map, TopValues, VALUE_BYTES_MAX, Values};
use crate::hub::count::Group;
use crate::hub::path::{EventPath, Keyed, Path};
use crate::log::{Segment, SegmentView};
use crate::record::{Record, RecordColumns};

/// The most different values of all fields.
const DIFFERENT_MAX: usize = 100_000;
/// The most memory that they take, in bytes.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Estimated memory of a value beside its bytes, in bytes.
const VALUE_BYTES: usize = 64;
/// Rows of columns that are counted before other tasks may run on the thread.
const ROWS_PER_LOOK: usize = 4 * 1024;
/// Bytes of records that are read for their keys before other tasks may run, except for a single
/// larger record.
const KEY_BYTES_PER_LOOK: usize = 256 * 1024;

/// The tables of all fields.
pub struct Tables<'a> {
    fields: Vec<Table<'a>>,
    /// The tables of fields that are read from records.
    paths: Vec<&'a EventPath>,
    room: Room,
}

/// The remaining bounds.
struct Room {
    values: usize,
    bytes: usize,
    /// Whether a value was omitted because of them.
    is_full: bool,
}

/// The counts of one field.
pub struct Table<'a> {
    path: &'a Path,
    prefix: &'a [u8],
    /// Counts by number of the group, if the field is a group.
    groups: Vec<u64>,
    /// The position of the count of each value; the key is the value and whether it was cut.
    values: Map<(Box<[u8]>, bool), u32>,
    /// The counts to which `values` points.
    counts: Vec<u64>,
    /// The keys, if the field has a column, and the last one.
    keys: Option<KeyTable>,
    last: (u32, usize),
    absent: u64,
    others: u64,
}

impl<'a> Tables<'a> {
    /// Empty tables.
    pub fn new(asked: &'a TopValues) -> Self {
        let table = |path: &'a Path| Table {
            path,
            prefix: asked.prefix.as_bytes(),
            groups: Vec::new(),
            values: Map::default(),
            counts: Vec::new(),
            keys: path.keyed().map(|_| KeyTable::default()),
            last: (0, 0),
            absent: 0,
            others: 0,
        };
        let paths = asked.fields.iter().filter_map(|path| match path {
            Path::Event(path) => Some(path),
            Path::Group(_) => None,
        });
        Self {
            fields: asked.fields.iter().map(table).collect(),
            paths: paths.collect(),
            room: Room { values: DIFFERENT_MAX, bytes: HELD_BYTES_MAX, is_full: false },
        }
    }

    /// Whether a value was omitted because of the bounds.
    pub fn is_full(&self) -> bool {
        self.room.is_full
    }

    /// Estimated memory of the values, in bytes.
    pub fn held_bytes(&self) -> usize {
        let keys = self.fields.iter().filter_map(|table| table.keys.as_ref());
        HELD_BYTES_MAX - self.room.bytes + keys.map(KeyTable::byte_size).sum::<usize>()
    }

    /// The tables, to be finished.
    pub fn into_fields(self) -> Vec<Table<'a>> {
        self.fields
    }

    /// Whether the columns of a segment are enough to count. Compares some more records if that is
    /// unknown.
    pub fn uniform(&self, segment: &Segment, view: &SegmentView<'_>) -> Uniform {
        let keyed = self.fields.iter().filter_map(|table| table.path.keyed());
        let each = keyed.map(|keyed| uniform(segment, view, keyed));
        let mut sum = Uniform::Yes;
        for own in each {
            match own {
                Uniform::No => return Uniform::No,
                Uniform::NotYet => sum = Uniform::NotYet,
                Uniform::Yes => {}
            }
        }
        sum
    }

    /// Counts some records before `end`, all of which match, by their columns. Returns the
    /// position of the first of them.
    pub fn count_columns(
        &mut self,
        segment: &Segment,
        view: &SegmentView<'_>,
        end: usize,
    ) -> usize {
        let (mut start, mut bytes) = (end, 0);
        let is_whole = end == view.len();
        let mut is_counted = is_whole;
        for table in &mut self.fields {
            table.begin(segment, view, is_whole);
            is_counted &= table.is_counted();
        }
        if is_counted {
            start = 0;
        }
        let rows = view.columns.iter().enumerate().take(start).rev().take(ROWS_PER_LOOK);
        for (position, row) in rows {
            for table in self.fields.iter_mut().filter(|table| !table.is_counted()) {
                bytes += table.count_row(view, position, row, &mut self.room);
            }
            start = position;
            if bytes >= KEY_BYTES_PER_LOOK {
                break;
            }
        }
        for table in &mut self.fields {
            table.settle_keys(view, &mut self.room);
        }
        start
    }

    /// Counts the values of a record, in one pass for all fields.
    pub fn count_record(&mut self, record: &Record<'_>) {
        let mut values = EventPath::read_all(&self.paths, record).into_iter();
        for table in &mut self.fields {
            match table.path {
                Path::Group(group) => {
                    let row = RecordColumns::of_group(record);
                    table.count_group(*group, &row, &mut self.room, || record.type_name);
                }
                Path::Event(_) => match values.next().flatten() {
                    Some(value) => table.add(&value, 1, &mut self.room),
                    None => table.absent += 1,
                },
            }
        }
    }
}

impl Table<'_> {
    /// Begins to count rows of a segment; counts all of them if that can be done at once.
    fn begin(&mut self, segment: &Segment, view: &SegmentView<'_>, is_whole: bool) {
        if let (Some(keys), Some(keyed)) = (&mut self.keys, self.path.keyed()) {
            self.absent += keys.begin(keyed, segment, view, is_whole).unwrap_or_default();
            self.last = (0, 0);
        }
    }

    /// Whether [`Table::begin`] has counted all rows of the segment.
    fn is_counted(&self) -> bool {
        self.keys.as_ref().is_some_and(KeyTable::is_counted)
    }

    /// Counts a row by its group or its key. Returns the number of bytes to read for it.
    #[inline]
    fn count_row(
        &mut self,
        view: &SegmentView<'_>,
        position: usize,
        row: &RecordColumns,
        room: &mut Room,
    ) -> usize {
        match (self.path, self.path.keyed()) {
            (Path::Group(group), _) => {
                self.count_group(*group, row, room, || view.record(position).type_name);
                0
            }
            (_, Some(keyed)) => self.count_key(keyed, view, position, row),
            _ => 0,
        }
    }

    #[inline]
    fn count_group<'r>(
        &mut self,
        group: Group,
        row: &RecordColumns,
        room: &mut Room,
        name: impl FnOnce() -> &'r str,
    ) {
        let Some(number) = group.number(row) else { return self.add(name().as_bytes(), 1, room) };
        let number = usize::from(number);
        if self.groups.len() <= number {
            self.groups.resize(number + 1, 0);
        }
        if let Some(count) = self.groups.get_mut(number) {
            *count += 1;
        }
    }

    #[inline]
    fn count_key(
        &mut self,
        keyed: Keyed,
        view: &SegmentView<'_>,
        position: usize,
        row: &RecordColumns,
    ) -> usize {
        let key = keyed.key(row);
        if key == 0 {
            self.absent += 1;
            return 0;
        }
        let Some(keys) = &mut self.keys else { return 0 };
        if key != self.last.0 {
            self.last = (key, keys.place(key));
        }
        if keys.count(self.last.1, position) { view.record_bytes(position).len() } else { 0 }
    }

    /// Counts the values of the keys that occurred. Reads the value of a key once a segment, or not
    /// at all if the segment has the values of earlier ones.
    fn settle_keys(&mut self, view: &SegmentView<'_>, room: &mut Room) {
        let Path::Event(path) = self.path else { return };
        let Some(mut keys) = self.keys.take() else { return };
        for met in keys.settle() {
            let count = u64::from(met.count);
            if let Some(known) = met.known.filter(|_| met.is_verified) {
                self.count_at(known.count_at, count);
                continue;
            }
            let Some(value) = path.read(&view.record(met.position as usize)) else {
                self.absent += count;
                continue;
            };
            let digest = keys::digest(met.key, &value);
            let count_at = match met.known.filter(|known| known.digest == digest) {
                Some(known) => known.count_at,
                None => self.place(&value, room),
            };
            keys.remember(met.place, KnownValue { digest, count_at });
            self.count_at(count_at, count);
        }
        self.keys = Some(keys);
    }

    fn add(&mut self, value: &[u8], count: u64, room: &mut Room) {
        let place = self.place(value, room);
        self.count_at(place, count);
    }

    fn count_at(&mut self, place: Option<u32>, count: u64) {
        match place.and_then(|place| self.counts.get_mut(place as usize)) {
            Some(own) => *own += count,
            None => self.others += count,
        }
    }

    /// The position of the count of this value; `None` if it is counted as other.
    fn place(&mut self, value: &[u8], room: &mut Room) -> Option<u32> {
        if !value.starts_with(self.prefix) {
            return None;
        }
        let (value, cut) = cut(value);
        let key = (value.into(), cut);
        if let Some(place) = self.values.get(&key) {
            return Some(*place);
        }
        if !room.take(value.len() + VALUE_BYTES) {
            return None;
        }
        let place = self.counts.len() as u32;
        self.counts.push(0);
        self.values.insert(key, place);
        Some(place)
    }

    /// The most frequent values: at most `limit`, in at most `bytes_max` bytes.
    pub fn finish(mut self, limit: usize, bytes_max: usize) -> Values {
        /// A value and whether it was cut.
        type Value = (Box<[u8]>, bool);
        let mut groups: Vec<(Value, u64)> = Vec::new();
        if let Path::Group(group) = self.path {
            for (number, count) in std::mem::take(&mut self.groups).into_iter().enumerate() {
                let name = group.name(number as u16);
                match name.as_bytes().starts_with(self.prefix) {
                    true if count > 0 => groups.push(((name.into_bytes().into(), false), count)),
                    _ => self.others += count,
                }
            }
        }
        let by_count = |(one, own): &(Value, u64), (other, count): &(_, u64)| {
            count.cmp(own).then(one.cmp(other))
        };
        let count = |place: u32| self.counts.get(place as usize).copied().unwrap_or_default();
        let counted = std::mem::take(&mut self.values).into_iter();
        let mut values: Vec<_> =
            counted.map(|(value, place)| (value, count(place))).chain(groups).collect();
        let mut others = self.others;
        // Sorting a hundred thousand would take long.
        if values.len() > limit {
            values.select_nth_unstable_by(limit, by_count);
            others += values.drain(limit..).map(|(_, count)| count).sum::<u64>();
        }
        values.sort_unstable_by(by_count);
        let mut finished = Values { values: Vec::new(), absent: self.absent, others };
        let mut bytes = 0;
        for ((value, cut), count) in values {
            bytes += value.len() + VALUE_BYTES;
            if bytes <= bytes_max {
                let value = String::from_utf8_lossy(&value).into_owned();
                finished.values.push(Counted { value, count, cut });
            } else {
                finished.others += count;
            }
        }
        finished
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        match (self.values.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                (self.values, self.bytes) = (values, bytes);
                true
            }
            _ => {
                self.is_full = true;
                false
            }
        }
    }
}

/// The counted part of a value, and whether the value is longer.
fn cut(value: &[u8]) -> (&[u8], bool) {
    if value.len() <= VALUE_BYTES_MAX {
        return (value, false);
    }
    // Not within a character.
    let is_begin = |length: &usize| value.get(*length).is_none_or(|byte| byte & 0xC0 != 0x80);
    let end = (0..=VALUE_BYTES_MAX).rev().find(is_begin).unwrap_or_default();
    (value.get(..end).unwrap_or_default(), true)
}
