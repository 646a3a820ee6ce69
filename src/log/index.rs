//! The index of a full segment: the positions of each value of an indexed field.

mod postings;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::filter::Selection;
use crate::record::RecordColumns;
use crate::time::Time;
use postings::{PostingLists, PostingMatches};

pub use postings::{Positions, sort_by_key};

/// Posting lists of one segment: for each indexed field, the positions at which
/// each key occurs.
pub struct SegmentIndex {
    records: usize,
    /// The earliest and the latest time of the events.
    times: RangeInclusive<Time>,
    types: PostingLists,
    results: PostingLists,
    users: PostingLists,
    sessions: PostingLists,
    servers: PostingLists,
}

/// A field that is indexed.
#[derive(Debug, Clone, Copy)]
pub enum IndexedField {
    /// The type.
    Type,
    /// The result.
    Result,
    /// The user, and the impersonator.
    User,
    /// The session.
    Session,
    /// The server.
    Server,
}

impl IndexedField {
    /// The keys of a record in this field, from its [`RecordColumns`]. Types and results, which may
    /// be 0, are raised by one. 0 means an absent value.
    pub fn keys(self, row: &RecordColumns) -> [u32; 2] {
        match self {
            Self::Type => [u32::from(row.type_id.0) + 1, 0],
            Self::Result => [u32::from(row.result) + 1, 0],
            Self::User if row.impersonator == row.user => [row.user, 0],
            Self::User => [row.user, row.impersonator],
            Self::Session => [row.session, 0],
            Self::Server => [row.server, 0],
        }
    }
}

impl SegmentIndex {
    /// The most memory that the index takes a record, in bytes: in each of five fields a position
    /// and, if every key is new, key and end; a record has up to two users.
    pub const RECORD_BYTES_MAX: usize = 6 * (size_of::<u16>() + 2 * size_of::<u32>());

    /// Builds the index of these records.
    pub fn build(columns: &[RecordColumns]) -> Self {
        let by = |field: IndexedField| PostingLists::build(columns, |row| field.keys(row));
        Self {
            records: columns.len(),
            times: columns.iter().fold(Time::MAX..=Time::MIN, |times, row| {
                row.time.min(*times.start())..=row.time.max(*times.end())
            }),
            types: by(IndexedField::Type),
            results: by(IndexedField::Result),
            users: by(IndexedField::User),
            sessions: by(IndexedField::Session),
            servers: by(IndexedField::Server),
        }
    }

    /// The posting lists of one field, by key, ascending.
    pub fn lists(&self, field: IndexedField) -> impl Iterator<Item = (u32, Positions<'_>)> {
        let postings = match field {
            IndexedField::Type => &self.types,
            IndexedField::Result => &self.results,
            IndexedField::User => &self.users,
            IndexedField::Session => &self.sessions,
            IndexedField::Server => &self.servers,
        };
        postings.lists()
    }

    /// Memory that it takes, in bytes.
    pub fn byte_size(&self) -> usize {
        [&self.types, &self.results, &self.users, &self.sessions, &self.servers]
            .map(PostingLists::byte_size)
            .iter()
            .sum()
    }

    /// Whether no record can match: no event is between `start` and `end`, or a selected field has
    /// none of its values.
    pub fn rules_out(&self, start: Time, end: Time, selection: &Selection) -> bool {
        let is_outside =
            *self.times.end() < start || (*self.times.start() >= end && end != Time::MAX);
        let lacks = |postings: &PostingLists, keys: Option<&Vec<u32>>| {
            keys.is_some_and(|keys| !keys.iter().any(|key| postings.has(*key)))
        };
        let lacks_types = || {
            let types = selection.types.as_ref();
            types.is_some_and(|types| !types.iter().any(|id| self.types.has(u32::from(id.0) + 1)))
        };
        is_outside
            || lacks(&self.sessions, selection.sessions.as_ref())
            || lacks(&self.users, selection.users.as_ref())
            || lacks(&self.servers, selection.servers.as_ref())
            || lacks_types()
    }

    /// The positions that may match a selection, ascending, from the most selective field; `None`
    /// if these are more than half of the records, so that scanning all of them is cheaper.
    pub fn candidates(&self, selection: &Selection) -> Option<Cow<'_, [u16]>> {
        let shifted = |number: u32| number + 1;
        let types = selection
            .types
            .as_ref()
            .map(|types| self.types.find(types.iter().map(|id| shifted(u32::from(id.0)))));
        let results = selection.results.as_ref().map(|results| {
            self.results.find(results.iter().map(|result| shifted(u32::from(*result))))
        });
        fn by_key<'a>(
            postings: &'a PostingLists,
            keys: Option<&Vec<u32>>,
        ) -> Option<PostingMatches<'a>> {
            keys.map(|keys| postings.find(keys.iter().copied()))
        }
        let lists = [
            types,
            results,
            by_key(&self.users, selection.users.as_ref()),
            by_key(&self.sessions, selection.sessions.as_ref()),
            by_key(&self.servers, selection.servers.as_ref()),
        ];
        let fewest = lists.into_iter().flatten().min_by_key(PostingMatches::len)?;
        if fewest.len() <= self.records / 2 { fewest.merge() } else { None }
    }
}
