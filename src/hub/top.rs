//! The most frequent values of fields, over the records that a query matches.

mod uniform;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::hub::count::Group;
use crate::hub::path::{Keyed, Path};
use crate::hub::{Gap, GapReason, Hub, PAGE_BYTES_MAX, TimeSlices};
use crate::log::{
    Error, ReadHint, ReadResult, ScanEnd, ScanOrder, ScanQuery, ScanStats, Segment, SegmentView,
};
use crate::record::{Record, RecordColumns, Sequence};
use uniform::{Uniform, uniform};

/// The most fields.
pub const FIELDS_MAX: usize = 8;
/// The most values of a field that are returned.
pub const VALUES_MAX: usize = 1_000;
/// How many values of a field are returned if the request does not say.
pub const VALUES: usize = 10;
/// Longer values are cut, in bytes; and the longest prefix.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// The most different values of all fields.
const DIFFERENT_MAX: usize = 100_000;
/// The most that they take in memory, in bytes.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a value takes beside its bytes, in bytes, about.
const VALUE_BYTES: usize = 64;
/// A count that has taken so long ends as it is.
const TIME_MAX: Duration = Duration::from_millis(500);
/// Records that are read before others may run on the thread.
const READ_PER_LOOK: usize = 1_024;
/// The most gaps that are told of.
const GAPS_MAX: usize = 1_000;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Which values to count.
pub struct TopValues {
    /// Over which records.
    pub query: ScanQuery,
    /// Of which fields.
    pub fields: Vec<Path>,
    /// The most values of each that are returned.
    pub limit: usize,
    /// Only values that begin with it are returned.
    pub prefix: String,
}

/// The values.
#[derive(Debug, Default)]
pub struct Top {
    /// Of each field.
    pub fields: Vec<Values>,
    /// How many records matched and were counted.
    pub examined: u64,
    /// Not all records were counted: only the newest were.
    pub partial: bool,
    /// Records on which the expression failed.
    pub expression_errors: u64,
    /// Records that cannot be read, the first ranges of them.
    pub gaps: Vec<Gap>,
}

/// The values of one field.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The most frequent first.
    pub values: Vec<Counted>,
    /// How many records have none.
    pub absent: u64,
    /// How many records have others.
    pub others: u64,
}

/// A value and how many records have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The value, as text.
    pub value: String,
    /// How many records have it.
    pub count: u64,
    /// The value is longer.
    pub cut: bool,
}

/// Values on their way.
struct Tables<'a> {
    fields: Vec<Table<'a>>,
    room: Room,
}

/// What there is room for.
struct Room {
    values: usize,
    bytes: usize,
    /// A value was left out for want of it.
    is_full: bool,
}

/// Values of one field on their way.
struct Table<'a> {
    path: &'a Path,
    prefix: &'a [u8],
    /// By number of the group, where those are counted.
    groups: Vec<u64>,
    /// By value and whether that is cut.
    values: Map<(Box<[u8]>, bool), u64>,
    absent: u64,
    others: u64,
}

impl Hub {
    /// Counts values, from the newest record back.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn top_values(&self, asked: &TopValues) -> Result<Top, Error> {
        let extent = self.log.extent();
        let by_columns = asked.query.matches_all()
            && asked.fields.iter().all(|path| path.keyed().is_some() || is_group(path));
        let mut tables = Tables::new(asked);
        let mut top = Top::default();
        let mut stats = ScanStats::default();
        let mut next = extent.last;
        let mut turns = TimeSlices::begin();
        while next >= extent.first && next > Sequence::ZERO {
            if tables.room.is_full || turns.elapsed() >= TIME_MAX {
                top.partial = true;
                break;
            }
            let hint = ReadHint::matching(&asked.query, ScanOrder::Descending);
            let segment = match self.log.read(next, hint).await? {
                None => break,
                Some(ReadResult::Records(segment)) => segment,
                Some(ReadResult::Damaged { first, .. }) => {
                    if top.gaps.len() < GAPS_MAX {
                        let first = first.max(extent.first);
                        top.gaps.push(Gap { first, last: next, reason: GapReason::Damaged });
                    }
                    next = first.previous();
                    continue;
                }
            };
            let view = segment.view(extent.last);
            if view.base > next {
                // What is older was evicted meanwhile.
                break;
            }
            let end = view.position(next.next());
            match by_columns.then(|| tables.uniform(&segment, &view)) {
                Some(Uniform::NotYet) => {}
                Some(Uniform::Yes) => {
                    top.examined += tables.count_columns(&view, end);
                    next = view.base.previous();
                }
                Some(Uniform::No) | None => {
                    let start = end.saturating_sub(READ_PER_LOOK);
                    let count = |position| {
                        top.examined += 1;
                        tables.count_record(&view.record(position));
                        ControlFlow::Continue(())
                    };
                    let range = start..end;
                    let order = ScanOrder::Descending;
                    next = match asked.query.scan(&view, range, order, &mut stats, count) {
                        ScanEnd::Enough(position) | ScanEnd::Paused(position) => {
                            view.sequence(position).previous()
                        }
                        ScanEnd::Whole if start == 0 => view.base.previous(),
                        ScanEnd::Whole => view.sequence(start).previous(),
                    };
                }
            }
            drop(segment);
            turns.yield_now(&self.turns).await;
        }
        top.expression_errors = stats.expression_errors;
        top.partial |= tables.room.is_full;
        let bytes_max = PAGE_BYTES_MAX / 2 / asked.fields.len().max(1);
        top.fields =
            tables.fields.into_iter().map(|table| table.finish(asked.limit, bytes_max)).collect();
        Ok(top)
    }
}

fn is_group(path: &Path) -> bool {
    matches!(path, Path::Group(_))
}

impl<'a> Tables<'a> {
    fn new(asked: &'a TopValues) -> Self {
        let table = |path| Table {
            path,
            prefix: asked.prefix.as_bytes(),
            groups: Vec::new(),
            values: Map::default(),
            absent: 0,
            others: 0,
        };
        Self {
            fields: asked.fields.iter().map(table).collect(),
            room: Room { values: DIFFERENT_MAX, bytes: HELD_BYTES_MAX, is_full: false },
        }
    }

    /// Whether the columns of a segment say enough to count by them. Compares some more
    /// records if that is not known.
    fn uniform(&self, segment: &Segment, view: &SegmentView<'_>) -> Uniform {
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

    /// Counts the records before `end`, all of which match, by their columns. Returns how
    /// many.
    fn count_columns(&mut self, view: &SegmentView<'_>, end: usize) -> u64 {
        let rows = view.columns.get(..end).unwrap_or_default();
        for table in &mut self.fields {
            match (table.path, table.path.keyed()) {
                (Path::Group(group), _) => {
                    for (position, row) in rows.iter().enumerate() {
                        table.count_group(*group, row, &mut self.room, || {
                            view.record(position).type_name
                        });
                    }
                }
                (_, Some(keyed)) => table.count_keys(keyed, view, rows, &mut self.room),
                _ => {}
            }
        }
        rows.len() as u64
    }

    fn count_record(&mut self, record: &Record<'_>) {
        for table in &mut self.fields {
            match table.path {
                Path::Group(group) => {
                    let row = RecordColumns::of_group(record);
                    table.count_group(*group, &row, &mut self.room, || record.type_name);
                }
                Path::Event(path) => match path.read(record) {
                    Some(value) => table.add(&value, 1, &mut self.room),
                    None => table.absent += 1,
                },
            }
        }
    }
}

impl Table<'_> {
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

    /// Counts rows by their keys, and reads the value of each key once.
    fn count_keys(
        &mut self,
        keyed: Keyed,
        view: &SegmentView<'_>,
        rows: &[RecordColumns],
        room: &mut Room,
    ) {
        let Path::Event(path) = self.path else { return };
        let mut places: Map<u32, usize> = Map::default();
        // By place: where the key occurs first, and how often it does.
        let mut counts: Vec<(usize, u64)> = Vec::new();
        let mut last = (0, 0);
        for (position, row) in rows.iter().enumerate() {
            let key = keyed.key(row);
            if key == 0 {
                self.absent += 1;
                continue;
            }
            if key != last.0 {
                let place = *places.entry(key).or_insert_with(|| {
                    counts.push((position, 0));
                    counts.len() - 1
                });
                last = (key, place);
            }
            if let Some((_, count)) = counts.get_mut(last.1) {
                *count += 1;
            }
        }
        for (position, count) in counts {
            match path.read(&view.record(position)) {
                Some(value) => self.add(&value, count, room),
                None => self.absent += count,
            }
        }
    }

    fn add(&mut self, value: &[u8], count: u64, room: &mut Room) {
        if !value.starts_with(self.prefix) {
            self.others += count;
            return;
        }
        let (value, cut) = cut(value);
        let key = (value.into(), cut);
        if let Some(own) = self.values.get_mut(&key) {
            *own += count;
        } else if room.take(value.len() + VALUE_BYTES) {
            self.values.insert(key, count);
        } else {
            self.others += count;
        }
    }

    fn finish(mut self, limit: usize, bytes_max: usize) -> Values {
        if let Path::Group(group) = self.path {
            for (number, count) in std::mem::take(&mut self.groups).into_iter().enumerate() {
                let name = group.name(number as u16);
                match name.as_bytes().starts_with(self.prefix) {
                    true if count > 0 => {
                        *self.values.entry((name.into_bytes().into(), false)).or_default() += count;
                    }
                    _ => self.others += count,
                }
            }
        }
        let mut values: Vec<_> = self.values.into_iter().collect();
        values.sort_unstable_by(|(one, own), (other, count)| count.cmp(own).then(one.cmp(other)));
        let mut finished = Values { values: Vec::new(), absent: self.absent, others: self.others };
        let mut bytes = 0;
        for ((value, cut), count) in values {
            bytes += value.len() + VALUE_BYTES;
            if finished.values.len() < limit && bytes <= bytes_max {
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

/// A value as it is counted, and whether it is longer.
fn cut(value: &[u8]) -> (&[u8], bool) {
    if value.len() <= VALUE_BYTES_MAX {
        return (value, false);
    }
    // Not within a letter.
    let is_begin = |length: &usize| value.get(*length).is_none_or(|byte| byte & 0xC0 != 0x80);
    let end = (0..=VALUE_BYTES_MAX).rev().find(is_begin).unwrap_or_default();
    (value.get(..end).unwrap_or_default(), true)
}

#[cfg(test)]
mod tests;
