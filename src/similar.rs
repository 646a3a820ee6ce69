//! Which known name somebody may have meant.

/// From here on, names are similar: 1 is equality.
const SIMILARITY_MIN: f64 = 0.5;
/// From here on, a name is similar to the first or last part of another one.
const PART_SIMILARITY_MIN: f64 = 0.75;
/// What similarity to a part counts: less than the same of the whole.
const PART_WEIGHT: f64 = 0.9;
/// How much of a name is compared, in characters: the time grows with its square.
const CHARS_MAX: usize = 64;

/// At most `count` of the candidates, those nearest to `name` first; none that is far
/// from it. `login` is near to `user.login`, and `user_login` is, too.
pub fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    count: usize,
) -> Vec<&'a str> {
    let name: String =
        name.trim_end_matches('.').chars().take(CHARS_MAX).collect::<String>().to_lowercase();
    let mut scored: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (similarity(&name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

fn similarity(name: &str, candidate: &str) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

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
