//! Goes through a segment file group by group: what is whole, what is damaged,
//! and where the log ends.

use std::ops::Range;

use crate::log::DamagedRange;
use crate::log::disk::format::{
    ALIGNMENT, FileHeader, FrameEntry, GROUP_HEADER_BYTES, GroupHeader, HEADER_BYTES, align,
    checksum,
};
use crate::record::Sequence;

/// A group whose header is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitGroup {
    /// Where in the file it begins, in bytes.
    pub at: usize,
    /// Its header.
    pub header: GroupHeader,
    /// Positions of its damaged frames, ascending; all of them if the table is.
    pub damaged: Vec<u32>,
}

/// An unfinished group at the end of the log, which was never acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where in the file it begins, in bytes.
    pub at: usize,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// Sequence that its first record would have had.
    pub first: Sequence,
}

/// The content of a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentWalk {
    /// The groups, in the order of their sequences.
    pub groups: Vec<CommitGroup>,
    /// Records that are lost, ascending.
    pub damage: Vec<DamagedRange>,
    /// Sequence behind the last record.
    pub next: Sequence,
    /// Where the next group would begin, in bytes.
    pub end: usize,
    /// What is to be cut off.
    pub torn: Option<TornTail>,
}

impl SegmentWalk {
    /// Goes through the bytes of a file. `next_base` is the base of the file that
    /// follows; without one this is the last file, the only one whose end may be
    /// torn.
    pub fn over(bytes: &[u8], header: &FileHeader, next_base: Option<Sequence>) -> Self {
        let mut walk = Self {
            groups: Vec::new(),
            damage: Vec::new(),
            next: header.base,
            end: HEADER_BYTES,
            torn: None,
        };
        let limit = next_base.unwrap_or(Sequence(u64::MAX));
        while let Some(group) = next_group(bytes, header.salt, walk.end, walk.next..limit) {
            walk.next = group.header.end();
            walk.end = align(group.at + group.header.len());
            walk.groups.push(group);
        }
        if next_base.is_none() {
            walk.cut(bytes, header.base);
        }
        walk.damage = walk.find_damage(header.base, next_base);
        walk.next = next_base.unwrap_or(walk.next);
        walk
    }

    /// Whether the file says itself that all of it was synced.
    pub fn is_proven(&self) -> bool {
        self.groups.last().is_some_and(|group| group.header.is_empty())
    }

    /// Where begins what may not have been synced, in bytes: the last group that
    /// follows synced ones.
    pub fn unproven(&self) -> usize {
        let proving = self.groups.iter().rev().find(|group| group.header.follows_synced);
        proving.map_or(HEADER_BYTES, |group| group.at)
    }

    /// Finds the torn end, and leaves it out.
    fn cut(&mut self, bytes: &[u8], base: Sequence) {
        let proving = self.groups.iter().rposition(|group| group.header.follows_synced);
        let start = proving.and_then(|place| self.groups.get(place));
        (self.end, self.next) =
            start.map_or((HEADER_BYTES, base), |group| (group.at, group.header.first));
        let mut whole = proving.unwrap_or(0);
        for group in self.groups.iter().skip(whole) {
            let follows = group.at == self.end && group.header.first == self.next;
            if !follows || !group.damaged.is_empty() {
                break;
            }
            self.end = align(group.at + group.header.len());
            self.next = group.header.end();
            whole += 1;
        }
        self.groups.truncate(whole);
        let rest = bytes.get(self.end..).unwrap_or_default();
        self.torn = rest.iter().rposition(|byte| *byte != 0).map(|last| TornTail {
            at: self.end,
            bytes: last + 1,
            first: self.next,
        });
    }

    fn find_damage(&self, base: Sequence, next_base: Option<Sequence>) -> Vec<DamagedRange> {
        let mut damage = DamagedRanges(Vec::new());
        let mut next = base;
        for group in &self.groups {
            damage.add(next..group.header.first);
            for position in &group.damaged {
                let at = Sequence(group.header.first.0 + u64::from(*position));
                damage.add(at..at.next());
            }
            next = group.header.end();
        }
        if let Some(next_base) = next_base {
            damage.add(next..next_base);
        }
        damage.0
    }
}

/// Ascending ranges, those that touch made one.
struct DamagedRanges(Vec<DamagedRange>);

impl DamagedRanges {
    fn add(&mut self, range: Range<Sequence>) {
        if range.is_empty() {
            return;
        }
        let last = range.end.previous();
        match self.0.last_mut() {
            Some(before) if before.last.next() == range.start => before.last = last,
            _ => self.0.push(DamagedRange { first: range.start, last }),
        }
    }
}

/// The group at `from`, or the next one behind it, whose records are `within`.
fn next_group(
    bytes: &[u8],
    salt: u64,
    from: usize,
    within: Range<Sequence>,
) -> Option<CommitGroup> {
    let mut at = from;
    while at + GROUP_HEADER_BYTES <= bytes.len() {
        let found = bytes.get(at..).and_then(GroupHeader::decode);
        if let Some(header) = found
            && header.salt == salt
            && header.first >= within.start
            && header.end() <= within.end
            && at + header.len() <= bytes.len()
        {
            let damaged = damaged_frames(bytes.get(at..).unwrap_or_default(), &header);
            return Some(CommitGroup { at, header, damaged });
        }
        at += ALIGNMENT;
    }
    None
}

/// Positions of the damaged frames of a group.
fn damaged_frames(group: &[u8], header: &GroupHeader) -> Vec<u32> {
    let table = group.get(header.table()).unwrap_or_default();
    let data = group.get(header.data()).unwrap_or_default();
    if checksum(table) != header.table_checksum {
        return (0..header.records).collect();
    }
    let frames = FrameEntry::decode_all(table).map(|(entry, range)| {
        data.get(range).is_some_and(|frame| checksum(frame) == entry.checksum)
    });
    let positions = (0..header.records).zip(frames);
    positions.filter(|(_, is_whole)| !is_whole).map(|(position, _)| position).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HEADER: FileHeader =
        FileHeader { log_id: Uuid::nil(), base: Sequence(11), capacity: 65_536, salt: 42 };

    /// A file of groups with so many records each. The frame of a record is its
    /// sequence, over and over.
    fn file(groups: &[u32], follow_synced: bool) -> Vec<u8> {
        let mut bytes = HEADER.encode();
        let mut next = HEADER.base.0;
        for records in groups {
            let frames: Vec<Vec<u8>> = (next..next + u64::from(*records))
                .map(|sequence| sequence.to_string().repeat(20).into_bytes())
                .collect();
            let table: Vec<u8> =
                frames.iter().flat_map(|frame| FrameEntry::of(frame).encode()).collect();
            let data = frames.concat();
            let header = GroupHeader {
                salt: HEADER.salt,
                first: Sequence(next),
                records: *records,
                data_len: data.len() as u32,
                table_checksum: checksum(&table),
                follows_synced: follow_synced,
            };
            bytes.extend_from_slice(&header.encode());
            bytes.extend_from_slice(&table);
            bytes.extend_from_slice(&data);
            bytes.resize(align(bytes.len()), 0);
            next += u64::from(*records);
        }
        bytes.resize(bytes.len() + 4_096, 0);
        bytes
    }

    fn starts(bytes: &[u8]) -> Vec<usize> {
        let walk = SegmentWalk::over(bytes, &HEADER, None);
        walk.groups.iter().map(|group| group.at).collect()
    }

    fn ranges(walk: &SegmentWalk) -> Vec<(u64, u64)> {
        walk.damage.iter().map(|damage| (damage.first.0, damage.last.0)).collect()
    }

    #[test]
    fn a_whole_file_is_read_to_its_end() {
        let walk = SegmentWalk::over(&file(&[1, 3, 2], true), &HEADER, None);
        assert_eq!((walk.groups.len(), walk.next), (3, Sequence(17)));
        assert_eq!((ranges(&walk), walk.torn), (vec![], None));
        assert!(!walk.is_proven());
        assert!(SegmentWalk::over(&file(&[1, 3, 0], true), &HEADER, None).is_proven());
        let empty = SegmentWalk::over(&file(&[], true), &HEADER, None);
        assert_eq!((empty.next, empty.end, empty.torn), (Sequence(11), HEADER_BYTES, None));
    }

    #[test]
    fn the_last_group_may_be_torn_at_any_byte() {
        let whole = file(&[1, 3, 2], true);
        let last = starts(&whole)[2];
        for cut in last + 1..whole.len() - 4_096 {
            let mut bytes = whole.clone();
            let changed = bytes[cut..].iter().any(|byte| *byte != 0);
            bytes[cut..].fill(0);
            if !changed {
                continue;
            }
            let walk = SegmentWalk::over(&bytes, &HEADER, None);
            assert_eq!((walk.groups.len(), walk.next, walk.end), (2, Sequence(15), last));
            assert_eq!(ranges(&walk), [], "cut at {cut}");
            let torn = walk.torn.expect("something is left of the group");
            assert_eq!((torn.at, torn.first), (last, Sequence(15)), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_frame_is_set_aside_alone() {
        let mut bytes = file(&[1, 3, 2], true);
        let second = starts(&bytes)[1];
        bytes[second + GROUP_HEADER_BYTES + 3 * 8 + 40 + 5] ^= 1;
        let walk = SegmentWalk::over(&bytes, &HEADER, None);
        assert_eq!((ranges(&walk), walk.next, walk.torn), (vec![(13, 13)], Sequence(17), None));
    }

    #[test]
    fn a_damaged_table_or_header_loses_its_group_and_no_more() {
        let whole = file(&[1, 3, 2], true);
        let second = starts(&whole)[1];
        for at in [second, second + 20, second + GROUP_HEADER_BYTES + 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let walk = SegmentWalk::over(&bytes, &HEADER, None);
            assert_eq!((ranges(&walk), walk.next), (vec![(12, 14)], Sequence(17)), "byte {at}");
        }
    }

    #[test]
    fn a_file_that_is_followed_has_no_torn_end() {
        let mut bytes = file(&[1, 3, 2], true);
        let last = starts(&bytes)[2];
        bytes[last] ^= 1;
        let walk = SegmentWalk::over(&bytes, &HEADER, Some(Sequence(17)));
        assert_eq!((ranges(&walk), walk.torn, walk.next), (vec![(15, 16)], None, Sequence(17)));
        let longer = SegmentWalk::over(&file(&[1, 3, 2], true), &HEADER, Some(Sequence(20)));
        assert_eq!(ranges(&longer), [(17, 19)]);
    }

    #[test]
    fn behind_the_last_sync_the_first_loss_ends_the_log() {
        // Nothing was synced but the header of the file.
        let whole = file(&[1, 3, 2, 2], false);
        let second = starts(&whole)[1];
        let mut bytes = whole.clone();
        bytes[second] ^= 1;
        let walk = SegmentWalk::over(&bytes, &HEADER, None);
        assert_eq!((walk.next, walk.end, ranges(&walk)), (Sequence(12), second, vec![]));
        assert!(walk.torn.is_some());
    }

    #[test]
    fn groups_of_another_file_and_bytes_of_emitters_are_no_groups() {
        let other = FileHeader { salt: 43, ..HEADER };
        let walk = SegmentWalk::over(&file(&[1, 3, 2], true), &other, None);
        assert_eq!((walk.groups.len(), walk.next), (0, Sequence(11)));
    }
}
