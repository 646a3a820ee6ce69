//! Escapes the text of events for a terminal.
//!
//! Emitters choose the text: a user name may hold escape sequences that recolour or
//! rewrite the screen, or marks that reverse or hide the text that follows. Such
//! characters are shown by their number instead.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::printable::Printable;

/// The text in one line, with hidden characters as `\n`, `\u{1b}` and the like.
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false, |out, letter| out.extend(letter.escape_default()))
}

/// Several lines of text: as [`escaped`], but line breaks stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |letter| letter == '\n', |out, letter| out.extend(letter.escape_default()))
}

/// JSON text with hidden characters as JSON's own escapes: equal in meaning. Such
/// characters stand in strings only, and those below U+0020 are escaped there already.
pub fn json(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |letter| letter <= '\u{1f}',
        |out, letter| {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// The text with `replace` instead of each character that is neither printable nor to be
/// kept.
fn replaced(
    text: &str,
    keep: impl Fn(char) -> bool,
    replace: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let mut printable = Printable::default();
    let mut must_replace = move |letter| !printable.accepts(letter) && !keep(letter);
    let Some(first) = text.find(&mut must_replace) else { return Cow::Borrowed(text) };
    let (safe, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(safe);
    let mut letters = rest.chars();
    if let Some(letter) = letters.next() {
        replace(&mut out, letter);
    }
    for letter in letters {
        if must_replace(letter) {
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

    /// The page shows texts by the same rules, and its tests read the same table.
    #[test]
    fn the_table_of_the_page_holds_here() {
        #[derive(serde::Deserialize)]
        struct Case {
            text: String,
            escaped: String,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("escape_cases.json")).expect("JSON");
        for case in cases {
            assert_eq!(escaped(&case.text), case.escaped, "{:?}", case.text);
        }
    }

    #[test]
    fn piles_of_marks_and_blanks_are_shown_by_their_number() {
        assert_eq!(escaped("a\u{2800}b\u{3164}"), "a\\u{2800}b\\u{3164}");
        assert_eq!(escaped("adm\u{a0}in\u{fe0f}"), "adm\\u{a0}in\\u{fe0f}");
        let pile = format!("e{}x", "\u{301}".repeat(5));
        assert_eq!(escaped(&pile), "e\u{301}\u{301}\u{301}\\u{301}\\u{301}x");
        assert_eq!(escaped("\u{301}a\n\u{301}"), "\\u{301}a\\n\\u{301}", "nor before a text");
        assert_eq!(escaped_lines("a\n\u{301}"), "a\n\\u{301}");
        assert_eq!(json(&format!("\"{pile}\"")).matches("\\u0301").count(), 2);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let hostile: String = ('\0'..='\u{2100}').chain(['\u{e0041}', '\u{1f600}']).collect();
        let text = serde_json::to_string(&hostile).expect("a string has a JSON form");
        let escaped = json(&text);
        assert_eq!(crate::printable::first_hidden(&escaped), None);
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), hostile);
        assert_eq!(json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}", "layout stays");
    }
}
