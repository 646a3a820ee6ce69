//! Shortens filters for people: long ones lose most of their values.

use std::borrow::Cow;

use prost::Message as _;

use crate::proto::pb;
use crate::text::prefix;

/// The mark for omitted values.
pub const MARK: &str = "…";

/// The filter with about `bytes_max` bytes of values at most. [`MARK`] replaces values that are
/// omitted or cut.
pub fn shorten(filter: &pb::Filter, bytes_max: usize) -> Cow<'_, pb::Filter> {
    if filter.encoded_len() <= bytes_max {
        return Cow::Borrowed(filter);
    }
    let mut left = Left(bytes_max);
    Cow::Owned(pb::Filter {
        types: left.texts(&filter.types),
        exclude_types: left.texts(&filter.exclude_types),
        categories: numbers(&filter.categories),
        min_severity: filter.min_severity,
        results: numbers(&filter.results),
        codes: left.texts(&filter.codes),
        users: left.texts(&filter.users),
        session_ids: left.texts(&filter.session_ids),
        server_ids: left.texts(&filter.server_ids),
        cluster_names: left.texts(&filter.cluster_names),
        sources: left.texts(&filter.sources),
        remote_addresses: left.texts(&filter.remote_addresses),
        labels: {
            let mut labels = std::collections::BTreeMap::new();
            for (key, value) in &filter.labels {
                let is_over = left.0 == 0;
                labels.insert(left.text(key), left.text(value));
                if is_over {
                    break;
                }
            }
            labels
        },
        text: left.text(&filter.text),
        expression: left.text(&filter.expression),
    })
}

/// Bytes that are left for values.
struct Left(usize);

impl Left {
    fn text(&mut self, text: &str) -> String {
        if text.len() <= self.0 {
            self.0 -= text.len();
            return text.to_owned();
        }
        format!("{}{MARK}", prefix(text, std::mem::take(&mut self.0)))
    }

    fn texts(&mut self, texts: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        for text in texts {
            let is_over = self.0 == 0;
            kept.push(self.text(text));
            if is_over {
                break;
            }
        }
        kept
    }
}

/// The numbers of an enum without repeats, which are few.
fn numbers(numbers: &[i32]) -> Vec<i32> {
    let different: std::collections::BTreeSet<i32> = numbers.iter().copied().collect();
    different.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_filter_is_shown_as_it_is() {
        let filter = pb::Filter { users: vec!["alice".to_owned()], ..Default::default() };
        assert!(matches!(shorten(&filter, 100), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_filter_is_cut_and_marked() {
        let long = "ä".repeat(600);
        let filter = pb::Filter {
            users: vec![long.clone(); 1_000],
            session_ids: vec![long.clone(); 1_000],
            results: vec![1; 1_000],
            labels: (0..64).map(|number| (format!("{number}{long}"), long.clone())).collect(),
            text: long.clone(),
            expression: long,
            ..Default::default()
        };
        let short = shorten(&filter, 2_001);
        assert!(short.encoded_len() < 2_400, "{}", short.encoded_len());
        assert_eq!(short.users.len(), 3, "two, of which one is cut, and what stands for the rest");
        assert!(short.users.get(1).is_some_and(|user| user.ends_with(MARK)));
        assert_eq!(
            (short.session_ids.as_slice(), short.text.as_str()),
            (&[MARK.to_owned()][..], MARK)
        );
        assert!(matches!(shorten(&short, 4_000), Cow::Borrowed(_)));
    }
}
