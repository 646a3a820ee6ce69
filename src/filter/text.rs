//! Filter by text that occurs in a string of an event.

mod part;

use regex::bytes::{Regex, RegexBuilder};

use crate::event::field;
use crate::wire::{self, EVENT, FieldKind, MessageId};

use super::TEXT_BYTES_MAX;
use super::error::Error;
use part::SubstringFinder;

/// The most bytes of an occurrence of a text: case folding makes letters at most three times as
/// long.
const FOLDED_BYTES_MAX: usize = 3 * TEXT_BYTES_MAX;

/// A text to find within one string value, case-insensitive by Unicode's simple case folding.
#[derive(Debug)]
pub(super) struct TextFilter {
    regex: Regex,
    /// A part of the text that can be found faster; `None` if there is none.
    part: Option<SubstringFinder>,
}

impl TextFilter {
    /// Compiles a text; `None` if it is empty.
    pub(super) fn compile(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::TooLong {
                field: "text".to_owned(),
                bytes: text.len(),
                limit: TEXT_BYTES_MAX,
            });
        }
        let regex = RegexBuilder::new(&regex::escape(text))
            .case_insensitive(true)
            .build()
            .expect("escaped text of bounded length is a small regular expression");
        Ok(Some(Self { regex, part: SubstringFinder::of(text) }))
    }

    /// Whether a string value of the encoded event contains the text.
    pub(super) fn matches_event(&self, event: &[u8]) -> bool {
        // Most events end here.
        self.find(event, 0).is_some() && self.occurs(EVENT, event)
    }

    /// The first position at or after `from` where the text may occur. A text in a string also
    /// occurs in the bytes of its event.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let from = match &self.part {
            Some(part) => match part.find(bytes, from) {
                Ok(found) => return found,
                // The bytes were chosen so that the part nearly occurs everywhere. The text may
                // begin before its part.
                Err(part::TooManyTries { at }) => at.saturating_sub(FOLDED_BYTES_MAX).max(from),
            },
            None => from,
        };
        self.regex.find_at(bytes, from).map(|found| found.start())
    }

    /// The depth of the recursion is bounded by validation.
    fn occurs(&self, message: MessageId, bytes: &[u8]) -> bool {
        let shape = message.get();
        wire::trusted(bytes).any(|(number, value)| {
            let (Some(field), Some(bytes)) = (shape.field(number), value.bytes()) else {
                return false;
            };
            match field.kind {
                // The keys of a map are names, not values.
                FieldKind::String if shape.map_entry && number == field::MAP_KEY => false,
                // For many short strings, the part is faster.
                FieldKind::String => self.find(bytes, 0).is_some() && self.regex.is_match(bytes),
                FieldKind::Message(inner) => self.occurs(inner, bytes),
                _ => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind as Json;

    use super::*;
    use crate::proto::pb;
    use crate::proto::pb::event::Payload;

    fn event() -> pb::Event {
        let json = |kind| prost_types::Value { kind: Some(kind) };
        let list =
            prost_types::ListValue { values: vec![json(Json::StringValue("Deep Water".into()))] };
        let data = prost_types::Struct {
            fields: [
                ("inner_key".to_owned(), json(Json::ListValue(list))),
                ("count".to_owned(), json(Json::NumberValue(12345.0))),
            ]
            .into(),
        };
        pb::Event {
            code: Some("T1000I".into()),
            user: Some(pb::User { name: Some("Alice".into()), ..Default::default() }),
            labels: [("env".to_owned(), "Straße 7".to_owned())].into(),
            payload: Some(Payload::Custom(pb::Custom {
                name: Some("thing".into()),
                data: Some(data),
            })),
            ..Default::default()
        }
    }

    #[test]
    fn text_is_found_in_string_values_at_any_depth_and_in_any_case() {
        let event = event().encode_to_vec();
        for (text, expected) in [
            ("alice", true),
            ("LIC", true),
            ("t1000i", true),
            ("deep water", true),
            ("STRAßE", true),
            ("STRAẞE", true),
            ("thing", true),
            (".*", false),
            ("inner_key", false),
            ("env", false),
            ("12345", false),
            ("AliceT1000I", false),
        ] {
            let found = TextFilter::compile(text).expect("valid").expect("not empty");
            assert_eq!(found.matches_event(&event), expected, "{text}");
        }
    }

    #[test]
    fn text_is_not_found_across_the_border_of_two_fields() {
        // The bytes of name and login: 0a 01 'a' 12 01 'b'.
        let user =
            pb::User { name: Some("a".into()), login: Some("b".into()), ..Default::default() };
        let event = pb::Event { user: Some(user), ..Default::default() }.encode_to_vec();
        let across = TextFilter::compile("a\u{12}\u{1}b").expect("valid").expect("not empty");
        assert!(across.regex.is_match(&event), "the bytes contain it");
        assert!(!across.matches_event(&event));
    }

    /// The part of the text nearly occurs everywhere, so the rest is left to the regular
    /// expression: the text begins before its part.
    #[test]
    fn text_is_found_among_bytes_that_are_made_to_hide_it() {
        let part = format!("{}b", "a".repeat(900));
        let text = TextFilter::compile(&format!("ss{part}")).expect("valid").expect("not empty");
        let hidden = format!("ss{}", "a".repeat(900)).repeat(50) + "ss" + &part;
        let found = text.find(hidden.as_bytes(), 0).expect("it is there");
        assert!(found + 1 + part.len() >= hidden.len() - 2 && found <= hidden.len() - part.len());
        assert_eq!(text.find("a".repeat(100_000).as_bytes(), 0), None);
    }

    #[test]
    fn text_is_bounded() {
        assert!(TextFilter::compile("").expect("valid").is_none());
        // Folding makes a class of each of these letters.
        for letter in ["k", "ß", "\u{1e9e}", ".", "\0", "𐐀"] {
            let longest = letter.repeat(TEXT_BYTES_MAX / letter.len());
            assert!(TextFilter::compile(&longest).expect("valid").is_some(), "{letter}");
        }
        let error = TextFilter::compile(&"x".repeat(TEXT_BYTES_MAX + 1)).expect_err("too long");
        assert_eq!(error.to_string(), "text is 1025 bytes, limit 1024");
    }
}
