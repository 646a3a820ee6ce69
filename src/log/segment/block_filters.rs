//! Block filters: a small Bloom filter for each block of records in a segment that has no
//! index yet. Every search begins or ends in such a segment.

use crate::filter::Selection;
use crate::record::RecordColumns;
use crate::time::Time;

/// Records of a block.
pub const BLOCK_RECORDS: usize = 512;
/// Bits of a block's filter. With 200 keys, about one in 30 absent keys seems present; if every
/// record has its own keys, every second one.
const FILTER_BITS: usize = 2_048;
const WORD_BITS: usize = u64::BITS as usize;
/// The most values of a field for which block filters are used; more values rarely exclude a block.
const KEYS_MAX: usize = 16;

/// The keys and times of a block: a Bloom filter with two bits a key.
#[derive(Clone, Copy)]
pub struct BlockFilter {
    first: Time,
    last: Time,
    filter: [u64; FILTER_BITS / WORD_BITS],
}

/// The fields whose keys a block filter has, each with an odd multiplier, which scatters equal keys
/// of different fields. The digits are those of the golden ratio and of square roots of primes.
#[derive(Clone, Copy)]
#[repr(u64)]
enum FilteredField {
    Type = 0x9E37_79B9_7F4A_7C15,
    User = 0xBB67_AE85_84CA_A73B,
    Session = 0x3C6E_F372_FE94_F82B,
    Server = 0xA54F_F53A_5F1D_36F1,
}

impl BlockFilter {
    /// The filter of an empty block.
    pub const EMPTY: Self =
        Self { first: Time::MAX, last: Time::MIN, filter: [0; FILTER_BITS / WORD_BITS] };

    /// Adds a record.
    pub fn add(&mut self, row: &RecordColumns) {
        self.first = self.first.min(row.time);
        self.last = self.last.max(row.time);
        let keys = [
            (FilteredField::Type, u32::from(row.type_id.0) + 1),
            (FilteredField::User, row.user),
            (FilteredField::User, row.impersonator),
            (FilteredField::Session, row.session),
            (FilteredField::Server, row.server),
        ];
        // 0 means an absent value, which no query selects.
        for (field, key) in keys.into_iter().filter(|(_, key)| *key != 0) {
            for (word, bit) in places(field, key) {
                if let Some(word) = self.filter.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    /// Whether no record of the block can match: no event is between `start` and `end`, or a
    /// selected field has none of its values.
    pub fn rules_out(&self, start: Time, end: Time, selection: &Selection) -> bool {
        let lacks = |field: FilteredField, keys: &Option<Vec<u32>>| {
            keys.as_ref().is_some_and(|keys| {
                keys.len() <= KEYS_MAX && !keys.iter().any(|key| self.may_hold(field, *key))
            })
        };
        let lacks_types = || {
            selection.types.as_ref().is_some_and(|types| {
                let may_hold = |id: u16| self.may_hold(FilteredField::Type, u32::from(id) + 1);
                types.len() <= KEYS_MAX && !types.iter().any(|id| may_hold(id.0))
            })
        };
        self.last < start
            || (self.first >= end && end != Time::MAX)
            || lacks(FilteredField::Session, &selection.sessions)
            || lacks(FilteredField::User, &selection.users)
            || lacks(FilteredField::Server, &selection.servers)
            || lacks_types()
    }

    fn may_hold(&self, field: FilteredField, key: u32) -> bool {
        places(field, key)
            .iter()
            .all(|(word, bit)| self.filter.get(*word).is_some_and(|word| word & bit != 0))
    }
}

/// Words and bits of a key.
fn places(field: FilteredField, key: u32) -> [(usize, u64); 2] {
    let spread = u64::from(key).wrapping_mul(field as u64);
    [spread >> 52, spread >> 40].map(|place| {
        let place = place as usize % FILTER_BITS;
        (place / WORD_BITS, 1 << (place % WORD_BITS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TypeId;

    fn row(number: u32) -> RecordColumns {
        let key = |salt: u32| number.wrapping_add(salt).wrapping_mul(0x9E37_79B9).max(1);
        RecordColumns {
            time: Time(i64::from(number)),
            id: 1,
            user: key(1),
            impersonator: if number.is_multiple_of(7) { key(2) } else { 0 },
            session: key(3),
            server: key(4),
            type_id: TypeId(number as u16 % 50),
            severity: 0,
            result: 0,
        }
    }

    fn rules_out(mark: &BlockFilter, selection: Selection) -> bool {
        mark.rules_out(Time::MIN, Time::MAX, &selection)
    }

    #[test]
    fn what_a_block_holds_is_not_ruled_out() {
        let mut mark = BlockFilter::EMPTY;
        (0..100).for_each(|number| mark.add(&row(number)));
        for row in (0..100).map(row) {
            let users = [row.user, row.impersonator].into_iter().filter(|user| *user != 0);
            for user in users {
                let selection = Selection { users: Some(vec![0, user]), ..Default::default() };
                assert!(!rules_out(&mark, selection));
            }
            let selection = Selection {
                types: Some(vec![row.type_id]),
                sessions: Some(vec![row.session]),
                servers: Some(vec![row.server]),
                ..Default::default()
            };
            assert!(!rules_out(&mark, selection));
        }
        assert!(!mark.rules_out(Time(99), Time(100), &Selection::default()));
        assert!(mark.rules_out(Time(100), Time::MAX, &Selection::default()));
        assert!(mark.rules_out(Time::MIN, Time(0), &Selection::default()));
    }

    #[test]
    fn what_a_block_lacks_is_mostly_ruled_out() {
        let mut mark = BlockFilter::EMPTY;
        (0..100).for_each(|number| mark.add(&row(number)));
        let others = || (1_000..2_000).map(row);
        let by_session = others()
            .filter(|row| {
                let sessions = Some(vec![row.session]);
                rules_out(&mark, Selection { sessions, ..Default::default() })
            })
            .count();
        let by_user = others()
            .filter(|row| {
                rules_out(&mark, Selection { users: Some(vec![row.user]), ..Default::default() })
            })
            .count();
        assert!(by_session > 900 && by_user > 900, "{by_session} {by_user}");
        let types = Some(vec![TypeId(60)]);
        assert!(rules_out(&mark, Selection { types, ..Default::default() }));
    }
}
