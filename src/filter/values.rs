//! Filter by exact values, and by labels.

use std::collections::BTreeMap;

use crate::event::field;
use crate::wire;

use super::error::{self, Error};
use super::{LABELS_MAX, VALUE_BYTES_MAX, VALUES_MAX};

/// Strings, one of which must match; every value matches if there are none.
#[derive(Debug)]
pub(super) struct ExactValues {
    /// Sorted.
    values: Vec<String>,
}

impl ExactValues {
    pub(super) fn compile(field: &'static str, values: &[String]) -> Result<Self, Error> {
        check(field, values, VALUE_BYTES_MAX)?;
        let mut values = values.to_vec();
        values.sort_unstable();
        values.dedup();
        Ok(Self { values })
    }

    /// Whether every value matches.
    pub(super) fn is_any(&self) -> bool {
        self.values.is_empty()
    }

    /// Memory that it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let texts: usize = self.values.iter().map(String::capacity).sum();
        texts + self.values.capacity() * size_of::<String>()
    }

    /// Whether `value`, a text as bytes, matches.
    pub(super) fn matches(&self, value: Option<&[u8]>) -> bool {
        self.is_any() || value.is_some_and(|value| self.contains(value))
    }

    fn contains(&self, value: &[u8]) -> bool {
        self.values.binary_search_by(|known| known.as_bytes().cmp(value)).is_ok()
    }

    /// The keys of all values, sorted; `None` if every value matches.
    pub(super) fn keys(&self, key: impl Fn(&str) -> u32) -> Option<Vec<u32>> {
        if self.is_any() {
            return None;
        }
        let mut keys: Vec<u32> = self.values.iter().map(|value| key(value)).collect();
        keys.sort_unstable();
        keys.dedup();
        Some(keys)
    }
}

/// Labels that an event must have, all of them.
#[derive(Debug)]
pub(super) struct LabelFilter {
    /// Sorted by key; at most as many as a mask has bits.
    wanted: Vec<(String, String)>,
}

// One bit a label.
const _: () = assert!(LABELS_MAX <= u64::BITS as usize);

impl LabelFilter {
    pub(super) fn compile(labels: &BTreeMap<String, String>) -> Result<Self, Error> {
        if labels.len() > LABELS_MAX {
            return Err(Error::TooManyLabels { count: labels.len() });
        }
        let wanted: Vec<_> =
            labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in &wanted {
            for text in [key, value] {
                if text.len() > VALUE_BYTES_MAX {
                    return Err(Error::TooLong {
                        field: "labels".to_owned(),
                        bytes: text.len(),
                        limit: VALUE_BYTES_MAX,
                    });
                }
            }
        }
        Ok(Self { wanted })
    }

    /// Whether the filter requires no label.
    pub(super) fn is_any(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Memory that it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let entry = size_of::<(String, String)>();
        self.wanted.iter().map(|(key, value)| key.capacity() + value.capacity() + entry).sum()
    }

    /// Whether the encoded event has all of them.
    pub(super) fn match_event(&self, event: &[u8]) -> bool {
        if self.is_any() {
            return true;
        }
        let mut matched = 0_u64;
        for (number, entry) in wire::trusted(event) {
            let (field::LABELS, Some(entry)) = (number, entry.bytes()) else { continue };
            let (key, value) = key_and_value(entry);
            let Ok(place) = self.wanted.binary_search_by(|(wanted, _)| wanted.as_str().cmp(key))
            else {
                continue;
            };
            // The last of several entries with one key counts.
            let bit = 1 << place;
            if self.wanted.get(place).is_some_and(|(_, wanted)| wanted == value) {
                matched |= bit;
            } else {
                matched &= !bit;
            }
        }
        matched.count_ones() as usize == self.wanted.len()
    }
}

fn key_and_value(entry: &[u8]) -> (&str, &str) {
    let mut found = ("", "");
    for (number, value) in wire::trusted(entry) {
        match number {
            field::MAP_KEY => found.0 = value.text().unwrap_or_default(),
            field::MAP_VALUE => found.1 = value.text().unwrap_or_default(),
            _ => {}
        }
    }
    found
}

/// Refuses more values than a field may have.
pub(super) fn check_count(field: &'static str, count: usize) -> Result<(), Error> {
    if count > VALUES_MAX { Err(Error::TooManyValues { field, count }) } else { Ok(()) }
}

/// Refuses too many values, and values that are empty or too long.
pub(super) fn check(field: &'static str, values: &[String], bytes_max: usize) -> Result<(), Error> {
    check_count(field, values.len())?;
    for (position, value) in values.iter().enumerate() {
        if value.is_empty() {
            return Err(Error::Empty { field: error::path(field, position) });
        }
        if value.len() > bytes_max {
            return Err(Error::TooLong {
                field: error::path(field, position),
                bytes: value.len(),
                limit: bytes_max,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::pb;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_match_exactly() {
        let values =
            ExactValues::compile("codes", &strings(&["b", "d", "a", "c", "b"])).expect("valid");
        let matches = |value: &str| values.matches(Some(value.as_bytes()));
        assert!(["a", "b", "c", "d"].into_iter().all(matches));
        assert!(!matches("A") && !matches("") && !values.matches(None));
        assert!(ExactValues::compile("codes", &[]).expect("valid").matches(None));
        assert_eq!(values.keys(|value| value.len() as u32), Some(vec![1]));
    }

    #[test]
    fn values_are_bounded_in_number_and_length() {
        let many = vec!["x".to_owned(); VALUES_MAX + 1];
        let error = ExactValues::compile("codes", &many).expect_err("too many");
        assert_eq!(error.to_string(), "codes has 1001 values, limit 1000");
        assert!(ExactValues::compile("codes", many.get(1..).unwrap_or_default()).is_ok());

        let error = ExactValues::compile("codes", &["x".repeat(VALUE_BYTES_MAX + 1)]);
        assert_eq!(error.expect_err("too long").to_string(), "codes[0] is 1025 bytes, limit 1024");
        assert!(ExactValues::compile("codes", &["x".repeat(VALUE_BYTES_MAX)]).is_ok());

        let error = ExactValues::compile("codes", &strings(&["x", ""])).expect_err("empty");
        assert_eq!(
            (error.field(), error.to_string()),
            ("codes[1]".into(), "codes[1] is empty".into())
        );
    }

    #[test]
    fn all_labels_must_match() {
        let event =
            pb::Event { labels: map(&[("env", "prod"), ("region", "")]), ..Default::default() }
                .encode_to_vec();
        for (labels, expected) in [
            (&[("env", "prod")] as &[_], true),
            (&[("env", "prod"), ("region", "")], true),
            (&[("env", "prod"), ("tier", "1")], false),
            (&[("env", "test")], false),
            (&[("tier", "")], false),
            (&[], true),
        ] {
            let labels = LabelFilter::compile(&map(labels)).expect("valid");
            assert_eq!(labels.match_event(&event), expected, "{labels:?}");
        }
    }

    #[test]
    fn the_last_label_of_a_key_counts() {
        let entry = |value| pb::Event { labels: map(&[("env", value)]), ..Default::default() };
        let mut event = entry("prod").encode_to_vec();
        event.extend(entry("test").encode_to_vec());
        let matches = |value| {
            LabelFilter::compile(&map(&[("env", value)])).expect("valid").match_event(&event)
        };
        assert!(matches("test") && !matches("prod"));
    }

    #[test]
    fn labels_are_bounded() {
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert!(LabelFilter::compile(&many(LABELS_MAX)).is_ok());
        let error = LabelFilter::compile(&many(LABELS_MAX + 1)).expect_err("too many");
        assert_eq!(error.to_string(), "labels has 65 entries, limit 64");
        let long = map(&[("k", &"x".repeat(VALUE_BYTES_MAX + 1))]);
        assert_eq!(LabelFilter::compile(&long).expect_err("too long").field(), "labels");
    }
}
