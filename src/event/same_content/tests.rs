//! Compared with the equality of decoded messages, over random encodings.

use std::time::{Duration, Instant};

use prost_reflect::DynamicMessage;

use super::*;
use crate::proto::descriptor_pool;

fn decoded(event: &[u8]) -> DynamicMessage {
    let shape = descriptor_pool().get_message_by_name("auditgate.v1.Event").expect("known");
    DynamicMessage::decode(shape, event).expect("valid")
}

/// Writes some fields of a message: few names and values, so that they repeat.
fn put_random(random: &mut fastrand::Rng, message: MessageId, depth: usize, out: &mut Vec<u8>) {
    let fields = message.get().fields;
    for _ in 0..random.usize(..5) {
        // Mostly the first ones, which have most kinds among them.
        let most = if random.u8(..4) == 0 { fields.len() } else { fields.len().min(16) };
        let Some(field) = fields.get(random.usize(..most.max(1))) else { continue };
        put_random_field(random, field, depth, out);
    }
    if random.u8(..8) == 0 {
        wire::put_varint_field(out, 3_000 + random.u32(..2), random.u64(..2));
    }
}

fn put_random_field(random: &mut fastrand::Rng, field: &Field, depth: usize, out: &mut Vec<u8>) {
    // Zeros of fields without presence are what the test below is about.
    let few = random.u64(1..3);
    match field.kind {
        FieldKind::Message(inner) if depth > 0 => {
            let mut own = Vec::new();
            if inner.get().map_entry && random.bool() {
                wire::put_bytes_field(&mut own, 1, &[b'a' + random.u8(..3)]);
            }
            put_random(random, inner, depth - 1, &mut own);
            wire::put_bytes_field(out, field.number, &own);
        }
        FieldKind::Message(_) => {}
        FieldKind::String | FieldKind::Bytes => {
            wire::put_bytes_field(out, field.number, &[b'a' + random.u8(..2)]);
        }
        FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => {
            wire::put_varint(out, u64::from(field.number) << 3 | 1);
            out.extend_from_slice(&(few as f64).to_le_bytes());
        }
        FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => {
            wire::put_varint(out, u64::from(field.number) << 3 | 5);
            out.extend_from_slice(&(few as f32).to_le_bytes());
        }
        _ if field.repeated && random.bool() => {
            let packed = [few as u8, few as u8 + 1];
            wire::put_bytes_field(out, field.number, &packed);
        }
        // Longer than it needs to be.
        _ if random.bool() => {
            wire::put_varint(out, u64::from(field.number) << 3);
            out.extend_from_slice(&[few as u8 | 0x80, 0]);
        }
        _ => wire::put_varint_field(out, field.number, few),
    }
}

/// The fields of a message, each with its key.
fn split(message: &[u8]) -> Vec<&[u8]> {
    let mut fields = wire::fields(message);
    let mut out = Vec::new();
    let mut before = message;
    while let Some(Ok(_)) = fields.next() {
        out.push(&before[..before.len() - fields.rest().len()]);
        before = fields.rest();
    }
    out
}

/// Another encoding, mostly with the same content.
fn changed(random: &mut fastrand::Rng, event: &[u8]) -> Vec<u8> {
    let mut fields = split(event);
    match random.u8(..4) {
        0 => random.shuffle(&mut fields),
        // Of singular fields, the value that does not count any more.
        1 if !fields.is_empty() => {
            let copied = fields[random.usize(..fields.len())];
            fields.insert(random.usize(..=fields.len()), copied);
        }
        2 if !fields.is_empty() => {
            fields.remove(random.usize(..fields.len()));
        }
        // A message in two parts.
        _ => {
            let mut out = Vec::new();
            for field in fields {
                let Some(Ok((number, WireValue::Bytes(inner)))) = wire::fields(field).next() else {
                    out.extend_from_slice(field);
                    continue;
                };
                let is_message = matches!(
                    EVENT.get().field(number),
                    Some(Field { kind: FieldKind::Message(_), repeated: false, .. })
                );
                let parts = split(inner);
                if is_message && parts.len() > 1 {
                    let (one, other) = parts.split_at(parts.len() / 2);
                    wire::put_bytes_field(&mut out, number, &one.concat());
                    wire::put_bytes_field(&mut out, number, &other.concat());
                } else {
                    out.extend_from_slice(field);
                }
            }
            return out;
        }
    }
    fields.concat()
}

#[test]
fn canonical_forms_are_equal_where_decoded_messages_are() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut equal, mut different) = (0, 0);
    for round in 0..20_000 {
        let mut event = Vec::new();
        put_random(&mut random, EVENT, 4, &mut event);
        let mut other = changed(&mut random, &event);
        if random.bool() {
            other = changed(&mut random, &other);
        }
        if event == other {
            continue;
        }
        let expected = decoded(&event) == decoded(&other);
        let same = content_digest(&event) == content_digest(&other);
        assert_eq!(same, expected, "round {round}: {event:02x?} and {other:02x?}");
        if same { equal += 1 } else { different += 1 }
    }
    assert!(equal > 2_000 && different > 2_000, "{equal} equal, {different} different");
}

#[test]
fn a_default_that_is_written_out_is_one_that_is_left_out() {
    let time = |fields: &[(u32, u64)]| {
        let mut time = Vec::new();
        fields
            .iter()
            .for_each(|(number, value)| wire::put_varint_field(&mut time, *number, *value));
        let mut event = Vec::new();
        wire::put_bytes_field(&mut event, 2, &time);
        event
    };
    assert!(same_content(&time(&[(1, 7), (2, 0)]), &time(&[(1, 7)])));
    assert!(!same_content(&time(&[(1, 7), (2, 1)]), &time(&[(1, 7)])));
    // An entry of `labels` with an empty value.
    assert!(same_content(b"\x72\x03\x0a\x01a", b"\x72\x05\x0a\x01a\x12\x00"));
    // A field with presence is there although it is empty.
    assert!(!same_content(b"\x1a\x00", b""));
}

#[test]
fn events_of_very_different_lengths_are_different() {
    assert!(lengths_allow_equality(0, 256) && lengths_allow_equality(256, 0));
    assert!(!lengths_allow_equality(0, 257));
    assert!(lengths_allow_equality(1_000, 2_256) && !lengths_allow_equality(2_257, 1_000));
    let mut long = Vec::new();
    (0..1_000).for_each(|_| wire::put_bytes_field(&mut long, 3, b"a"));
    assert_eq!(content_digest(&long), content_digest(b"\x1a\x01a"));
    assert!(!same_content(&long, b"\x1a\x01a"));
}

/// The worst that fits into a MiB: fields of two bytes, entries of maps with keys that
/// begin alike, messages in parts, unknown fields in any order.
#[test]
fn the_time_grows_with_the_length_alone() {
    const MIB: usize = 1024 * 1024;
    let repeated = |put: &mut dyn FnMut(&mut Vec<u8>, usize)| {
        let mut event = Vec::with_capacity(MIB + 64);
        let mut number = 0;
        while event.len() < MIB {
            put(&mut event, number);
            number += 1;
        }
        event
    };
    let mut random = fastrand::Rng::with_seed(3);
    let events = [
        repeated(&mut |out, _| wire::put_bytes_field(out, 6, b"")),
        repeated(&mut |out, number| wire::put_bytes_field(out, 6 + number as u32 % 3, b"")),
        repeated(&mut |out, number| {
            let entry = format!("\x0a\x24{:032x}{number:04}", 0);
            wire::put_bytes_field(out, 14, entry.get(..38).expect("long").as_bytes());
        }),
        repeated(&mut |out, _| wire::put_varint_field(out, 1_000 + random.u32(..1 << 20), 0)),
    ];
    // Optimised it is some 20 ms at most; what grows with the square takes minutes.
    let limit = Duration::from_secs(5);
    for (position, event) in events.iter().enumerate() {
        let begun = Instant::now();
        std::hint::black_box(content_digest(event));
        assert!(begun.elapsed() < limit, "event {position}: {:?}", begun.elapsed());
    }
}
