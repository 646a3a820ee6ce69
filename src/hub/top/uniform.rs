//! Checks whether records with equal keys in the columns have equal values, so that keys can be
//! counted instead of values.

use super::Map;
use super::keys::{self, KEYS_MAX};
use crate::hub::path::Keyed;
use crate::log::{ComparedRecords, Segment, SegmentView};
use crate::record::{Record, RecordColumns};

/// Records whose keys are compared with their values before other tasks may run.
const COMPARED_PER_LOOK: usize = 8 * 1024;
/// Bytes of records that are read for that, except for a single larger record.
const BYTES_PER_LOOK: usize = 512 * 1024;

/// Whether records with equal keys have equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniform {
    /// They have equal values.
    Yes,
    /// They have not, or finding out is not worthwhile.
    No,
    /// Unknown: not all records are compared yet.
    NotYet,
}

impl Keyed {
    /// The key of a record.
    #[inline]
    pub fn key(self, row: &RecordColumns) -> u32 {
        match self {
            Self::User => row.user,
            Self::Session => row.session,
            Self::Server => row.server,
        }
    }

    /// The value of a record.
    pub fn value<'a>(self, record: &Record<'a>) -> Option<&'a str> {
        let envelope = record.envelope();
        match self {
            Self::User => envelope.user,
            Self::Session => envelope.session_id,
            Self::Server => envelope.server_id,
        }
    }
}

/// Whether records of a segment with equal keys have equal values, after comparing some more
/// records. The segment remembers the result, because published records never change.
pub fn uniform(segment: &Segment, view: &SegmentView<'_>, keyed: Keyed) -> Uniform {
    let compared = segment.compared(keyed as usize);
    let Some(before) = compared.get() else { return Uniform::No };
    let (done, mut digest) = (before.until, before.digest);
    if done >= view.len() {
        return Uniform::Yes;
    }
    let mut first: Map<u32, (usize, Option<&str>)> = Map::default();
    for (position, row) in view.columns.iter().enumerate().take(done) {
        first.entry(keyed.key(row)).or_insert((position, None));
    }
    let most = view.len().min(done + COMPARED_PER_LOOK);
    let (mut until, mut bytes) = (done, 0);
    while until < most && bytes < BYTES_PER_LOOK {
        let position = until;
        until += 1;
        let Some(row) = view.columns.get(position) else { break };
        let key = keyed.key(row);
        if key == 0 {
            continue;
        }
        bytes += view.record_bytes(position).len();
        let value = keyed.value(&view.record(position));
        let (place, known) = first.entry(key).or_insert_with(|| {
            let bytes = value.unwrap_or_default().as_bytes();
            digest = digest.wrapping_add(keys::digest(key, bytes));
            (position, value)
        });
        let known = *known.get_or_insert_with(|| {
            bytes += view.record_bytes(*place).len();
            keyed.value(&view.record(*place)).unwrap_or_default()
        });
        if Some(known) != value || first.len() > KEYS_MAX {
            compared.give_up();
            return Uniform::No;
        }
    }
    compared.extend(before, ComparedRecords { until, digest });
    if until == view.len() { Uniform::Yes } else { Uniform::NotYet }
}
