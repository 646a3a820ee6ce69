//! Compares the content of two encoded events.
//!
//! One message has several encodings: the order of fields and of map entries is free, a message may
//! come in parts, and the last of several values counts. The canonical form is one encoding for all
//! of them. Computing it takes time proportional to the length of the event, whatever the event
//! contains.

use std::cmp::Ordering;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::wire::{self, EVENT, Field, FieldKind, MessageId, WireValue};

/// Digest of the canonical form of an event.
pub type ContentDigest = [u8; 32];

/// The encodings of one content differ in length by this factor at most, and by
/// [`LENGTH_SLACK_BYTES`]: a part of a message, a default that is written out or a list
/// that is not packed takes less than the value itself. Longer encodings exist, but no
/// encoder writes them. So the work of a comparison is bounded by the shorter event.
const LENGTH_FACTOR_MAX: usize = 2;
/// See [`LENGTH_FACTOR_MAX`], in bytes.
const LENGTH_SLACK_BYTES: usize = 256;

/// Key and closing key of a message, whose length is not known before it is written.
const BEGIN: u64 = 3;
const END: u64 = 4;

/// Whether two validated events have the same content. Equal bytes settle it;
/// otherwise their canonical forms are compared.
pub fn same_content(a: &[u8], b: &[u8]) -> bool {
    a == b || lengths_allow_equality(a.len(), b.len()) && content_digest(a) == content_digest(b)
}

/// Whether events of these lengths, in bytes, can have the same content.
pub fn lengths_allow_equality(a: usize, b: usize) -> bool {
    let (shorter, longer) = (a.min(b), a.max(b));
    longer <= shorter.saturating_mul(LENGTH_FACTOR_MAX).saturating_add(LENGTH_SLACK_BYTES)
}

/// The digest of the canonical form of a validated event.
pub fn content_digest(event: &[u8]) -> ContentDigest {
    let mut canonical = Canonical { event, fields: Vec::new(), out: Vec::new() };
    canonical.put_message(EVENT, std::slice::from_ref(&(0..event.len())));
    Sha256::digest(&canonical.out).into()
}

/// Writes the canonical form of an event.
struct Canonical<'a> {
    event: &'a [u8],
    /// A stack: the fields of each message that is being written, after those of the enclosing
    /// message. The upper half is the field number, the lower half the position of the field in the
    /// event. So sorted fields are grouped by number, in the order in which they were sent.
    fields: Vec<u64>,
    out: Vec<u8>,
}

/// The entry of a map, for sorting.
struct Entry<'a> {
    hash: u64,
    key: &'a [u8],
    /// The range of the entry in the event.
    at: Range<usize>,
}

impl<'a> Canonical<'a> {
    /// Writes the fields of a message that consists of these parts of the event.
    fn put_message(&mut self, message: MessageId, parts: &[Range<usize>]) {
        let start = self.fields.len();
        for part in parts {
            self.note_fields(part.clone());
        }
        self.put_noted(message, start);
    }

    /// Notes the fields of one part of a message.
    fn note_fields(&mut self, part: Range<usize>) {
        let end = part.end;
        let mut fields = wire::fields(self.event.get(part).unwrap_or_default());
        let mut at = end - fields.rest().len();
        while let Some(Ok((number, _))) = fields.next() {
            self.fields.push(u64::from(number) << 32 | at as u64);
            at = end - fields.rest().len();
        }
    }

    /// Writes the message whose fields were noted from `start` on.
    fn put_noted(&mut self, message: MessageId, start: usize) {
        let extracted = self.fields.get_mut(start..).unwrap_or_default();
        if !extracted.is_sorted() {
            extracted.sort_unstable();
        }
        let end = self.fields.len();
        let mut next = start;
        while next < end {
            let number = self.number(next);
            let mut behind = next + 1;
            while behind < end && self.number(behind) == number {
                behind += 1;
            }
            match message.get().field(number) {
                None => self.put_unknown(next..behind),
                Some(field) if field.repeated => self.put_list(field, next..behind),
                Some(field) => {
                    let since = self.set_since(message, field, start..end);
                    let of_choice =
                        (next..behind).find(|extracted| self.place(*extracted) >= since);
                    if let Some(first) = of_choice {
                        self.put_single(field, first..behind);
                    }
                }
            }
            next = behind;
        }
        self.fields.truncate(start);
    }

    /// The position in the event from which values of the field count: after the last value of
    /// another field of the same oneof.
    fn set_since(&self, message: MessageId, field: &Field, extracted: Range<usize>) -> usize {
        let Some(oneof) = field.oneof else { return 0 };
        let is_other = |other: &Field| other.oneof == Some(oneof) && other.number != field.number;
        let others = message.get().fields.iter().filter(|other| is_other(other));
        let fields = self.fields.get(extracted).unwrap_or_default();
        let last = others.filter_map(|other| {
            let behind =
                fields.partition_point(|extracted| (extracted >> 32) as u32 <= other.number);
            let last = *fields.get(behind.checked_sub(1)?)?;
            ((last >> 32) as u32 == other.number).then_some(last as u32 as usize + 1)
        });
        last.max().unwrap_or_default()
    }

    /// Writes unknown fields, in their order.
    fn put_unknown(&mut self, extracted: Range<usize>) {
        for extracted in extracted {
            let number = self.number(extracted);
            match self.value(extracted).0 {
                WireValue::Varint(value) => wire::put_varint_field(&mut self.out, number, value),
                WireValue::Bytes(bytes) => wire::put_bytes_field(&mut self.out, number, bytes),
                WireValue::Fixed64(value) => self.put_fixed(number, 1, &value.to_le_bytes()),
                WireValue::Fixed32(value) => self.put_fixed(number, 5, &value.to_le_bytes()),
            }
        }
    }

    /// Writes the value of a singular field: the last value, or a message of all parts.
    fn put_single(&mut self, field: &Field, extracted: Range<usize>) {
        if let FieldKind::Message(inner) = field.kind {
            self.put_key(field.number, BEGIN);
            let start = self.fields.len();
            for part in extracted {
                self.note_fields(self.value(part).1);
            }
            self.put_noted(inner, start);
            self.put_key(field.number, END);
            return;
        }
        let Some(last) = extracted.last() else { return };
        let (value, _) = self.value(last);
        if field.presence || !is_default(value) {
            self.put_scalar(field.kind, field.number, value);
        }
    }

    fn put_list(&mut self, field: &Field, extracted: Range<usize>) {
        let FieldKind::Message(inner) = field.kind else {
            for extracted in extracted {
                match (self.value(extracted).0, field.kind) {
                    (value @ WireValue::Bytes(_), FieldKind::String | FieldKind::Bytes) => {
                        self.put_scalar(field.kind, field.number, value);
                    }
                    (WireValue::Bytes(packed), kind) => self.put_packed(field, kind, packed),
                    (value, kind) => self.put_scalar(kind, field.number, value),
                }
            }
            return;
        };
        if inner.get().map_entry {
            return self.put_map(field.number, inner, extracted);
        }
        for extracted in extracted {
            self.put_key(field.number, BEGIN);
            self.put_message(inner, &[self.value(extracted).1]);
            self.put_key(field.number, END);
        }
    }

    fn put_packed(&mut self, field: &Field, kind: FieldKind, mut packed: &[u8]) {
        while !packed.is_empty() {
            let value = match kind {
                FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => {
                    packed.split_first_chunk().map(|(bytes, rest)| {
                        packed = rest;
                        WireValue::Fixed64(u64::from_le_bytes(*bytes))
                    })
                }
                FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => {
                    packed.split_first_chunk().map(|(bytes, rest)| {
                        packed = rest;
                        WireValue::Fixed32(u32::from_le_bytes(*bytes))
                    })
                }
                _ => wire::read_varint(&mut packed).ok().map(WireValue::Varint),
            };
            let Some(value) = value else { return };
            self.put_scalar(kind, field.number, value);
        }
    }

    /// The entries of a map by their keys; of several with one key, the last.
    fn put_map(&mut self, number: u32, entry: MessageId, extracted: Range<usize>) {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let mut entries: Vec<Entry<'a>> = extracted
            .map(|extracted| {
                let at = self.value(extracted).1;
                let key = self.key_of_entry(at.clone());
                Entry { hash: HASHER.hash_one(key), key, at }
            })
            .collect();
        // Sorted by hash, because comparing texts with equal prefixes is slow.
        entries.sort_unstable_by(|one, other| {
            let by_key = one.hash.cmp(&other.hash).then_with(|| one.key.cmp(other.key));
            by_key.then(one.at.start.cmp(&other.at.start))
        });
        for (position, own) in entries.iter().enumerate() {
            let is_last = entries.get(position + 1).is_none_or(|next| {
                next.hash != own.hash || next.key.cmp(own.key) != Ordering::Equal
            });
            if is_last {
                self.put_key(number, BEGIN);
                self.put_entry(entry, own);
                self.put_key(number, END);
            }
        }
    }

    /// Writes an entry; a default value is omitted.
    fn put_entry(&mut self, entry: MessageId, own: &Entry<'_>) {
        const VALUE: u32 = 2;
        wire::put_bytes_field(&mut self.out, 1, own.key);
        let start = self.fields.len();
        self.note_fields(own.at.clone());
        let mut kept = start;
        for extracted in start..self.fields.len() {
            if self.number(extracted) == VALUE {
                self.fields.swap(kept, extracted);
                kept += 1;
            }
        }
        self.fields.truncate(kept);
        match entry.get().field(VALUE) {
            Some(Field { kind: FieldKind::Message(inner), .. }) => {
                let parts: Vec<_> =
                    (start..kept).map(|extracted| self.value(extracted).1).collect();
                self.fields.truncate(start);
                self.put_message(*inner, &parts);
            }
            Some(field) if kept > start => {
                let (value, _) = self.value(kept - 1);
                self.fields.truncate(start);
                if !is_default(value) {
                    self.put_scalar(field.kind, VALUE, value);
                }
            }
            _ => self.fields.truncate(start),
        }
    }

    /// The key of an entry, as bytes; the encoding of a number.
    fn key_of_entry(&self, at: Range<usize>) -> &'a [u8] {
        const KEY: u32 = 1;
        let entry: &'a [u8] = self.event.get(at).unwrap_or_default();
        let mut key: &'a [u8] = &[];
        let mut fields = wire::fields(entry);
        let mut before = fields.rest();
        while let Some(Ok((number, value))) = fields.next() {
            if number == KEY {
                let taken = before.len() - fields.rest().len();
                // Of the maps of the schema, all keys are texts.
                key = value.bytes().unwrap_or(before.get(1..taken).unwrap_or_default());
            }
            before = fields.rest();
        }
        key
    }

    fn put_scalar(&mut self, kind: FieldKind, number: u32, value: WireValue<'_>) {
        match value {
            WireValue::Varint(value) => {
                wire::put_varint_field(&mut self.out, number, normal(kind, value));
            }
            WireValue::Bytes(bytes) => wire::put_bytes_field(&mut self.out, number, bytes),
            WireValue::Fixed64(value) => self.put_fixed(number, 1, &value.to_le_bytes()),
            WireValue::Fixed32(value) => self.put_fixed(number, 5, &value.to_le_bytes()),
        }
    }

    fn put_fixed(&mut self, number: u32, wire_type: u64, bytes: &[u8]) {
        self.put_key(number, wire_type);
        self.out.extend_from_slice(bytes);
    }

    fn put_key(&mut self, number: u32, wire_type: u64) {
        wire::put_varint(&mut self.out, u64::from(number) << 3 | wire_type);
    }

    fn number(&self, extracted: usize) -> u32 {
        (self.fields.get(extracted).copied().unwrap_or_default() >> 32) as u32
    }

    /// The position of a field in the event.
    fn place(&self, extracted: usize) -> usize {
        self.fields.get(extracted).copied().unwrap_or_default() as u32 as usize
    }

    /// The value of a field, and the range of its bytes in the event, if it is length-delimited.
    fn value(&self, extracted: usize) -> (WireValue<'a>, Range<usize>) {
        let mut fields = wire::fields(self.event.get(self.place(extracted)..).unwrap_or_default());
        let value = match fields.next() {
            Some(Ok((_, value))) => value,
            // The field was read before, so it is valid.
            _ => WireValue::Bytes(&[]),
        };
        let end = self.event.len() - fields.rest().len();
        let len = value.bytes().map_or(0, <[u8]>::len);
        (value, end - len..end)
    }
}

fn is_default(value: WireValue<'_>) -> bool {
    match value {
        WireValue::Varint(value) | WireValue::Fixed64(value) => value == 0,
        WireValue::Fixed32(value) => value == 0,
        WireValue::Bytes(bytes) => bytes.is_empty(),
    }
}

/// The canonical varint of a value: bits beyond the width of the type are dropped.
fn normal(kind: FieldKind, value: u64) -> u64 {
    match kind {
        FieldKind::Bool => u64::from(value != 0),
        FieldKind::Int32 | FieldKind::Enum(_) => i64::from(value as i32) as u64,
        FieldKind::Uint32 | FieldKind::Sint32 => u64::from(value as u32),
        _ => value,
    }
}

#[cfg(test)]
mod tests;
