//! A commit group: units of records.
//!
//! ```text
//! units u16, then each: flags u8 (1 = all or none), records u16, then each record:
//!   key [16], flags u8 (1 = the event has no time), head u32, event u32, head, event
//! ```
//!
//! `head` are the fields of the record between those that the stream decides and the
//! event.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::MessageFault;

/// A group is not made larger than this, in records, by adding units.
pub const GROUP_RECORDS_MAX: usize = 1_024;
/// A group is not made larger than this, in bytes before compression, by adding units.
pub const GROUP_BYTES_MAX: usize = 384 * 1024;
/// What a record takes beside its head and event, in bytes.
pub const RECORD_OVERHEAD_BYTES: usize = EventKey::BYTES + 1 + 2 * size_of::<u32>();
/// The bytes of a group before its units.
const COUNT_BYTES: usize = size_of::<u16>();
/// The bytes of a unit before its records.
const UNIT_HEADER_BYTES: usize = 1 + size_of::<u16>();
/// Flag of a unit.
const ALL_OR_NONE: u8 = 1;
/// Flag of a record.
const UNTIMED: u8 = 1;

/// What identifies an event in all gateways: a digest of its principal and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey(pub [u8; EventKey::BYTES]);

impl EventKey {
    const BYTES: usize = 16;

    /// The key of an event.
    pub fn of(principal: &str, id: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update((principal.len() as u64).to_le_bytes())
            .chain_update(principal)
            .chain_update(id)
            .finalize();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl Hash for EventKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_le_bytes(self.0));
    }
}

/// The records that one append stores together, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedUnit {
    bytes: Vec<u8>,
    records: u16,
}

/// A group of records, and where they lie in its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageGroup {
    bytes: Vec<u8>,
    units: Vec<GroupUnit>,
    records: Vec<GroupRecord>,
}

/// Records that are stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupUnit {
    /// All of them are stored, or none.
    pub is_all_or_none: bool,
    /// Where its records are among those of the group.
    records: Range<usize>,
}

/// A record of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its key.
    pub key: EventKey,
    /// The event has no time of its own.
    pub is_untimed: bool,
    head: Range<usize>,
    event: Range<usize>,
}

impl EncodedUnit {
    /// An empty unit, with room for so many bytes.
    pub fn with_capacity(is_all_or_none: bool, bytes: usize) -> Self {
        let mut unit = Vec::with_capacity(UNIT_HEADER_BYTES + bytes);
        unit.push(if is_all_or_none { ALL_OR_NONE } else { 0 });
        unit.extend_from_slice(&0_u16.to_le_bytes());
        Self { bytes: unit, records: 0 }
    }

    /// Adds a record. `write` is handed the buffer twice: to add the head, and the event.
    /// Returns whether there was room for it.
    pub fn add(&mut self, key: EventKey, is_untimed: bool, head: &[u8], event: &[u8]) -> bool {
        let Some(records) = self.records.checked_add(1) else { return false };
        let (Ok(head_len), Ok(event_len)) = (u32::try_from(head.len()), u32::try_from(event.len()))
        else {
            return false;
        };
        self.records = records;
        self.bytes.extend_from_slice(&key.0);
        self.bytes.push(if is_untimed { UNTIMED } else { 0 });
        self.bytes.extend_from_slice(&head_len.to_le_bytes());
        self.bytes.extend_from_slice(&event_len.to_le_bytes());
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(event);
        if let Some(place) = self.bytes.get_mut(1..UNIT_HEADER_BYTES) {
            place.copy_from_slice(&records.to_le_bytes());
        }
        true
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.records.into()
    }

    /// Its length in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a group of these units.
pub fn encode<'a>(units: impl IntoIterator<Item = &'a EncodedUnit>) -> Vec<u8> {
    let mut bytes = vec![0; COUNT_BYTES];
    let mut count = 0_u16;
    for unit in units {
        bytes.extend_from_slice(&unit.bytes);
        count += 1;
    }
    if let Some(place) = bytes.first_chunk_mut() {
        *place = count.to_le_bytes();
    }
    bytes
}

impl MessageGroup {
    /// A group of these units.
    pub fn of<'a>(units: impl IntoIterator<Item = &'a EncodedUnit>) -> Self {
        Self::decode(encode(units)).expect("an encoded unit can be decoded")
    }

    /// Decodes a group.
    ///
    /// # Errors
    /// If it is malformed, or has flags that this version does not know.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, MessageFault> {
        const SHORT: MessageFault = MessageFault::Malformed("its group is too short");
        let (count, mut rest) = bytes.split_first_chunk().ok_or(SHORT)?;
        // Each takes some bytes, so what is not there allocates nothing.
        let (mut units, mut records) = (Vec::new(), Vec::new());
        for _ in 0..u16::from_le_bytes(*count) {
            let ([flags, of_unit @ ..], after) =
                rest.split_first_chunk::<UNIT_HEADER_BYTES>().ok_or(SHORT)?;
            if flags & !ALL_OR_NONE != 0 {
                return Err(MessageFault::Newer { what: "unit flags", value: (*flags).into() });
            }
            rest = after;
            let first = records.len();
            for _ in 0..u16::from_le_bytes(*of_unit) {
                let (record, after) = GroupRecord::decode(&bytes, rest).ok_or(SHORT)??;
                records.push(record);
                rest = after;
            }
            units.push(GroupUnit {
                is_all_or_none: *flags == ALL_OR_NONE,
                records: first..records.len(),
            });
        }
        if !rest.is_empty() {
            return Err(MessageFault::Malformed("bytes follow its group"));
        }
        Ok(Self { bytes, units, records })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its units.
    pub fn units(&self) -> &[GroupUnit] {
        &self.units
    }

    /// All records.
    pub fn records(&self) -> &[GroupRecord] {
        &self.records
    }

    /// The records of one of its units.
    pub fn records_of(&self, unit: &GroupUnit) -> &[GroupRecord] {
        self.records.get(unit.records.clone()).unwrap_or_default()
    }

    /// The head of one of its records, and the event.
    pub fn parts(&self, record: &GroupRecord) -> (&[u8], &[u8]) {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        (part(&record.head), part(&record.event))
    }
}

impl GroupRecord {
    /// Decodes a record at the beginning of `rest`, which is the end of `bytes`. Returns
    /// what follows it; `None` where it is cut off.
    fn decode<'a>(bytes: &[u8], rest: &'a [u8]) -> Option<Result<(Self, &'a [u8]), MessageFault>> {
        let (key, after) = rest.split_first_chunk()?;
        let (flags, after) = after.split_first()?;
        let (head, after) = after.split_first_chunk()?;
        let (event, after) = after.split_first_chunk()?;
        if flags & !UNTIMED != 0 {
            return Some(Err(MessageFault::Newer { what: "record flags", value: (*flags).into() }));
        }
        let head_at = bytes.len() - after.len();
        let (_, after) = after.split_at_checked(u32::from_le_bytes(*head) as usize)?;
        let event_at = bytes.len() - after.len();
        let (_, after) = after.split_at_checked(u32::from_le_bytes(*event) as usize)?;
        let end = bytes.len() - after.len();
        let record = Self {
            key: EventKey(*key),
            is_untimed: *flags == UNTIMED,
            head: head_at..event_at,
            event: event_at..end,
        };
        Some(Ok((record, after)))
    }
}
