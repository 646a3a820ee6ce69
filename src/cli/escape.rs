//! Text of an event, made harmless for a terminal.
//!
//! Events say what their emitters please: a user name may hold escape sequences
//! that recolour or rewrite the screen, or marks that reverse or hide what
//! follows. Such characters are shown by their number instead.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal may do other with this character than show it: control
/// characters (C0 and C1), Unicode's format characters (among them those that
/// set the direction of text, and those without width), its line separators and
/// its tags.
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text in one line, with unsafe characters as `\n`, `\u{1b}` and the like.
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_unsafe, |out, letter| out.extend(letter.escape_default()))
}

/// Several lines of text: as [`escaped`], but line breaks stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    let is_unsafe = |letter| letter != '\n' && is_unsafe(letter);
    replaced(text, is_unsafe, |out, letter| out.extend(letter.escape_default()))
}

/// JSON text with unsafe characters as JSON's own escapes: equal in meaning.
/// Such characters stand in strings only, and those below U+0020 are escaped
/// there already.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_unsafe = |letter| letter > '\u{1f}' && is_unsafe(letter);
    replaced(text, is_unsafe, |out, letter| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn replaced(
    text: &str,
    is_unsafe: impl Fn(char) -> bool,
    replace: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(&is_unsafe) else { return Cow::Borrowed(text) };
    let (safe, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(safe);
    for letter in rest.chars() {
        if is_unsafe(letter) {
            replace(&mut out, letter);
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_format_characters_are_shown_by_their_number() {
        assert_eq!(escaped("\u{1b}[31mred"), "\\u{1b}[31mred");
        assert_eq!(escaped("a\r\nb\tc\0"), "a\\r\\nb\\tc\\u{0}");
        assert_eq!(escaped("\u{7f}\u{9b}31m"), "\\u{7f}\\u{9b}31m");
        assert_eq!(escaped("exe\u{202e}gpj.txt\u{2069}"), "exe\\u{202e}gpj.txt\\u{2069}");
        assert_eq!(escaped("ad\u{200b}min"), "ad\\u{200b}min");
        assert_eq!(escaped("Jürgen 李雷 🎉 אבא"), "Jürgen 李雷 🎉 אבא");
        assert_eq!(escaped_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn no_dangerous_character_is_forgotten() {
        let dangerous = ('\0'..='\u{1f}')
            .chain('\u{7f}'..='\u{9f}')
            .chain('\u{200b}'..='\u{200f}')
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .chain(['\u{61c}', '\u{2060}', '\u{feff}', '\u{e0041}']);
        for letter in dangerous {
            assert!(is_unsafe(letter), "{letter:?}");
            assert!(!escaped(&letter.to_string()).contains(letter), "{letter:?}");
            if letter > '\u{1f}' {
                assert!(!json(&letter.to_string()).contains(letter), "{letter:?}");
            }
        }
        for letter in (' '..='~').chain(['é', '中', '€', '\u{1f600}', '\u{a0}']) {
            assert!(!is_unsafe(letter), "{letter:?}");
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let hostile: String = ('\0'..='\u{2100}').chain(['\u{e0041}', '\u{1f600}']).collect();
        let text = serde_json::to_string(&hostile).expect("a string has a JSON form");
        let escaped = json(&text);
        assert!(!escaped.chars().any(is_unsafe));
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), hostile);
        assert_eq!(json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}", "layout stays");
    }
}
