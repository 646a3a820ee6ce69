//! Helps errors to show the beginning of a text, and to suggest similar names.

/// How much of a text an error repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 64;
/// The least similarity of similar names; 1 is equality.
const SIMILARITY_MIN: f64 = 0.5;
/// The least similarity to the first or last part of another name.
const PART_SIMILARITY_MIN: f64 = 0.75;
/// Weight of the similarity to a part.
const PART_WEIGHT: f64 = 0.9;

/// The longest beginning of a text that has at most `bytes_max` bytes.
#[cfg(feature = "server")]
pub fn prefix(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The text in at most `bytes_max` bytes; `…` follows where it was cut.
#[cfg(feature = "server")]
pub fn truncated(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(prefix(&text, bytes_max).len());
        text.push('…');
    }
    text
}

/// The beginning of a caller's text, as much as an error may repeat.
#[cfg(feature = "server")]
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How similar two names are, from 0 to 1.
#[cfg(feature = "server")]
pub fn similarity(name: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(name, other)
}

/// At most `count` of the candidates, those nearest to `name` first; none that is far
/// from it. `login` is near to `user.login`, and `user_login` is, too.
pub fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    count: usize,
) -> Vec<&'a str> {
    let name: String = name
        .trim_end_matches('.')
        .chars()
        .take(EXCERPT_CHARS_MAX)
        .collect::<String>()
        .to_lowercase();
    let mut scored: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (name_similarity(&name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

fn name_similarity(name: &str, candidate: &str) -> f64 {
    let compare = strsim::normalized_damerau_levenshtein;
    let whole = compare(name, candidate);
    let dotted = compare(&name.replace('_', "."), &candidate.replace('_', ".")) * 0.99;
    let part = match (candidate.split_once('.'), candidate.rsplit_once('.')) {
        (Some((first, _)), Some((_, last))) if !name.contains('.') => {
            compare(name, last).max(compare(name, first) * 0.99)
        }
        _ => 0.0,
    };
    let part = if part >= PART_SIMILARITY_MIN { part * PART_WEIGHT } else { 0.0 };
    whole.max(dotted).max(part)
}

/// The candidate nearest to `name`, if one is near.
pub fn nearest_one<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    nearest(name, candidates, 1).into_iter().next()
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_between_characters() {
        for (bytes, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (4, "aéb"), (9, "aéb")]
        {
            assert_eq!(prefix("aéb", bytes), expected, "{bytes}");
        }
        assert_eq!(truncated("aéb".to_owned(), 2), "a…");
        assert_eq!(truncated("aéb".to_owned(), 4), "aéb");
    }

    #[test]
    fn an_excerpt_is_bounded_in_characters() {
        assert_eq!(excerpt("alice"), "alice");
        assert_eq!(excerpt(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(excerpt(&"é".repeat(65)), "é".repeat(64) + "…");
    }

    #[test]
    fn the_nearest_names_come_first_and_far_ones_not_at_all() {
        let names = ["user.create", "user.login", "user.logout", "exec", "session.start"];
        assert_eq!(nearest("USER.LOGN", names, 2), ["user.login", "user.logout"]);
        assert_eq!(nearest_one("sesion.start", names), Some("session.start"));
        assert_eq!(nearest_one("completely else", names), None);
        assert_eq!(nearest_one("", names), None);
    }

    const NAMES: [&str; 6] =
        ["user.create", "user.login", "exec", "session.start", "x11-forward", "event.user.name"];

    #[test]
    fn nearest_names_come_first_and_far_ones_not_at_all() {
        assert_eq!(nearest("user.logn", NAMES, 3), ["user.login"]);
        assert_eq!(nearest("USER.LOGIN", NAMES, 1), ["user.login"]);
        assert!(nearest("zzz", NAMES, 3).is_empty());
        assert!(nearest(&"x".repeat(100_000), NAMES, 3).is_empty());
    }

    #[test]
    fn a_last_part_and_another_separator_do() {
        assert_eq!(nearest("login", NAMES, 1), ["user.login"]);
        assert_eq!(nearest("logn", NAMES, 1), ["user.login"]);
        assert_eq!(nearest("user_login", NAMES, 1), ["user.login"]);
        assert_eq!(nearest("start", NAMES, 1), ["session.start"]);
        assert_eq!(nearest("users.", NAMES, 1), ["user.create"], "of a glob");
        assert_eq!(nearest("exec", NAMES, 1), ["exec"], "the whole goes before");
    }
}
