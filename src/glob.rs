//! Name patterns: exact names and globs.

/// A pattern for names: an exact name, or a glob in which `*` matches any characters, dots
/// included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// One name.
    Exact(String),
    /// The pieces between the stars.
    Glob {
        /// Before the first star.
        prefix: String,
        /// Between stars, none of them empty.
        middle: Vec<String>,
        /// After the last star.
        suffix: String,
    },
}

impl NamePattern {
    /// Parses a pattern.
    pub fn new(text: &str) -> Self {
        match (text.split_once('*'), text.rsplit_once('*')) {
            (Some((prefix, _)), Some((before, suffix))) => NamePattern::Glob {
                prefix: prefix.to_owned(),
                // One star alone is both the first and the last.
                middle: before
                    .get(prefix.len() + 1..)
                    .unwrap_or_default()
                    .split('*')
                    .filter(|piece| !piece.is_empty())
                    .map(str::to_owned)
                    .collect(),
                suffix: suffix.to_owned(),
            },
            _ => NamePattern::Exact(text.to_owned()),
        }
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Exact(exact) => exact == name,
            NamePattern::Glob { prefix, middle, suffix } => {
                let Some(rest) = name.strip_prefix(prefix.as_str()) else { return false };
                let Some(mut rest) = rest.strip_suffix(suffix.as_str()) else { return false };
                // Matching each piece as far left as possible leaves the most text for the next
                // one.
                for piece in middle {
                    let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
                    rest = after;
                }
                true
            }
        }
    }
}

/// Operations on patterns for the rights of callers.
#[cfg(any(test, feature = "server"))]
impl NamePattern {
    /// Memory that it takes, in bytes.
    pub fn held_bytes(&self) -> usize {
        let texts = match self {
            NamePattern::Exact(exact) => exact.capacity(),
            NamePattern::Glob { prefix, middle, suffix } => {
                let pieces = middle.iter().map(|piece| piece.capacity() + size_of::<String>());
                prefix.capacity() + suffix.capacity() + pieces.sum::<usize>()
            }
        };
        size_of::<Self>() + texts
    }

    /// Whether every name that starts with `start` matches.
    pub fn matches_all_after(&self, start: &str) -> bool {
        match self {
            NamePattern::Exact(_) => false,
            NamePattern::Glob { suffix, .. } => suffix.is_empty() && self.matches(start),
        }
    }

    /// Whether a name that starts with `start` may match. May be true although no such name
    /// matches.
    pub fn may_match_after(&self, start: &str) -> bool {
        match self {
            NamePattern::Exact(exact) => exact.starts_with(start),
            NamePattern::Glob { prefix, .. } => {
                prefix.starts_with(start) || start.starts_with(prefix.as_str())
            }
        }
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NamePattern::Exact(exact) => f.write_str(exact),
            NamePattern::Glob { prefix, middle, suffix } => {
                write!(f, "{prefix}*")?;
                middle.iter().try_for_each(|piece| write!(f, "{piece}*"))?;
                f.write_str(suffix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_anchored_and_stars_cross_dots() {
        let cases = [
            ("session.*", "session.start", true),
            ("session.*", "session.", true),
            ("session.*", "x.session.start", false),
            ("*.start", "db.session.start", true),
            ("*.start", "db.session.started", false),
            ("*", "", true),
            ("**", "anything", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("db.*.query", "db.session.query", true),
            ("db.*.query", "db.query", false),
            ("*a*b*a*", "xxabxa", true),
            ("*a*b*a*", "xaxb", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("user.login", "user.login", true),
            ("user.login", "user.login2", false),
            ("User.Login", "user.login", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_a_pattern_says_of_all_names_with_a_beginning() {
        for (pattern, all, some) in [
            ("*", true, true),
            ("c*", true, true),
            ("custom.*", true, true),
            ("custom.a*", false, true),
            ("custom.a", false, true),
            ("*.a", false, true),
            ("session.*", false, false),
            ("user.login", false, false),
        ] {
            let parsed = NamePattern::new(pattern);
            assert_eq!(parsed.matches_all_after("custom."), all, "{pattern}");
            assert_eq!(parsed.may_match_after("custom."), some, "{pattern}");
        }
    }
}
