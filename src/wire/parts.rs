//! Bounds the parts in which singular messages are sent.
//!
//! Protobuf lets an encoder send a singular message field several times; a reader merges
//! the parts. Every reader has to keep track of them, so an event may have only a few.

use std::ops::Range;

use super::{Error, MessageId, WireFault, WireForm, WireValue, trusted};

/// Most parts in which one singular message may be sent.
pub const PARTS_MAX: usize = 16;

/// Refuses a validated message in which some singular message, at any depth, is sent in
/// more than [`PARTS_MAX`] parts. The parts of a message inside a merged message are
/// counted together. Takes time linear in the number of fields.
pub(super) fn check(message: MessageId, bytes: &[u8]) -> Result<(), Box<Error>> {
    PartsChecker { parts: vec![(0, bytes)] }.message(message, 0..1)
}

struct PartsChecker<'a> {
    /// The parts of the enclosing messages, each with the number of its field.
    parts: Vec<(u32, &'a [u8])>,
}

impl<'a> PartsChecker<'a> {
    /// Checks the message whose parts lie in this range of `self.parts`.
    ///
    /// Validation bounds the depth of the recursion.
    fn message(&mut self, id: MessageId, own: Range<usize>) -> Result<(), Box<Error>> {
        let shape = id.get();
        let from = self.parts.len();
        // Beyond this many, one field has too many parts.
        let collected_max = PARTS_MAX * shape.fields.len();
        'parts: for at in own {
            let Some((_, part)) = self.parts.get(at).copied() else { break };
            for (number, value) in trusted(part) {
                let step = shape.step(number);
                let (WireForm::Message, WireValue::Bytes(bytes)) = (step.form, value) else {
                    continue;
                };
                if self.parts.len() - from > collected_max {
                    break 'parts;
                }
                let end = self.parts.len();
                self.parts.push((number, bytes));
                if step.repeated {
                    let checked = self.message(step.inner, end..end + 1);
                    checked.map_err(|error| shape.blame(number, error))?;
                    self.parts.truncate(end);
                }
            }
        }
        if let Some(collected) = self.parts.get_mut(from..) {
            collected.sort_by_key(|(number, _)| *number);
        }
        let mut start = from;
        while let Some((number, _)) = self.parts.get(start).copied() {
            let rest = self.parts.get(start..).unwrap_or_default();
            let count = rest.iter().take_while(|(other, _)| *other == number).count();
            if count > PARTS_MAX {
                let error = Error { fault: WireFault::TooManyParts, path: String::new() };
                return Err(shape.blame(number, Box::new(error)));
            }
            let end = self.parts.len();
            self.message(shape.step(number).inner, start..start + count)
                .map_err(|error| shape.blame(number, error))?;
            self.parts.truncate(end);
            start += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EVENT, put_bytes_field, put_varint_field, validate};

    const USER: u32 = 6;
    const CUSTOM: u32 = 100;
    const CUSTOM_DATA: u32 = 2;
    const STRUCT_FIELDS: u32 = 1;

    fn path_of(name: &str) -> (u32, MessageId) {
        let field = EVENT.get().field_by_name(name).expect(name);
        match field.kind {
            crate::wire::FieldKind::Message(inner) => (field.number, inner),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn refused(event: &[u8]) -> Option<String> {
        let error = validate(EVENT, event).err()?;
        assert_eq!(error.fault, WireFault::TooManyParts, "{error:?}");
        Some(error.path)
    }

    fn repeated(number: u32, part: &[u8], count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        (0..count).for_each(|_| put_bytes_field(&mut out, number, part));
        out
    }

    #[test]
    fn a_singular_message_has_a_bounded_number_of_parts() {
        for name in ["user", "time", "session", "custom", "user_login", "exec"] {
            let (number, _) = path_of(name);
            assert_eq!(refused(&repeated(number, &[], PARTS_MAX)), None, "{name}");
            assert_eq!(refused(&repeated(number, &[], PARTS_MAX + 1)).as_deref(), Some(name));
            assert_eq!(refused(&repeated(number, &[], 100_000)).as_deref(), Some(name));
        }
        // Fields between the parts make no difference.
        let mut apart = Vec::new();
        for at in 0..=PARTS_MAX {
            put_bytes_field(&mut apart, USER, &[]);
            put_varint_field(&mut apart, 5, at as u64);
        }
        assert_eq!(refused(&apart).as_deref(), Some("user"));
    }

    #[test]
    fn parts_are_counted_across_the_parts_of_the_message_around_them() {
        // 5 parts of custom with 4 parts of data each: 20 parts of one message.
        let data = repeated(CUSTOM_DATA, &[], 4);
        assert_eq!(refused(&repeated(CUSTOM, &data, 4)), None);
        assert_eq!(refused(&repeated(CUSTOM, &data, 5)).as_deref(), Some("custom.data"));
        let once = repeated(CUSTOM_DATA, &[], PARTS_MAX + 1);
        assert_eq!(refused(&repeated(CUSTOM, &once, 1)).as_deref(), Some("custom.data"));
    }

    #[test]
    fn messages_of_lists_and_maps_are_counted_apart() {
        let entry = |parts: usize| {
            // A null value, then a Value in parts.
            let mut entry = Vec::new();
            put_bytes_field(&mut entry, 1, b"key");
            (0..parts).for_each(|_| put_bytes_field(&mut entry, 2, &[8, 0]));
            entry
        };
        let event = |entry: &[u8]| {
            let fields = repeated(STRUCT_FIELDS, entry, 100);
            repeated(CUSTOM, &repeated(CUSTOM_DATA, &fields, 1), 1)
        };
        assert_eq!(refused(&event(&entry(PARTS_MAX))), None);
        let path = "custom.data.fields.value";
        assert_eq!(refused(&event(&entry(PARTS_MAX + 1))).as_deref(), Some(path));
    }

    #[test]
    fn unknown_fields_have_no_parts() {
        assert_eq!(refused(&repeated(99, &[], 100)), None);
    }
}
