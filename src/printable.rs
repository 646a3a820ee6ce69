//! Decides which characters of a text are printable.
//!
//! Names and texts come from other programs. They may hold escape sequences that recolour
//! or rewrite a screen, marks that reverse the text that follows, characters that show
//! nothing, and piles of combining marks that cover the lines around them. Two names that
//! look the same must be the same, so a name must not hold such characters, and a terminal
//! shows them by their number.

use unicode_width::UnicodeWidthChar as _;

/// The most combining marks on one character. Scripts in use need up to three, as Hebrew
/// with vowels does; conjoining Korean letters, which count too, need two.
const MARKS_MAX: usize = 3;

/// Tells printable characters of one text from others, from its first character on.
#[derive(Debug, Default, Clone)]
pub struct Printable {
    /// How many combining marks the last character takes, after those that it has.
    marks_left: usize,
}

impl Printable {
    /// Whether the next character of the text can be shown as it is.
    pub fn accepts(&mut self, letter: char) -> bool {
        if is_hidden(letter) {
            self.marks_left = 0;
            return false;
        }
        if letter.width() != Some(0) {
            // A mark on a space looks as if it stood alone.
            self.marks_left = if letter == ' ' { 0 } else { MARKS_MAX };
            return true;
        }
        match self.marks_left.checked_sub(1) {
            Some(left) => {
                self.marks_left = left;
                true
            }
            None => false,
        }
    }
}

/// The first character of a text that cannot be shown as it is.
pub fn first_hidden(text: &str) -> Option<char> {
    let mut printable = Printable::default();
    text.chars().find(|letter| !printable.accepts(*letter))
}

/// Whether a character does something other than show a glyph: control characters (C0 and
/// C1), Unicode's format characters (among them those that set the direction of text, and
/// those without width), its variation selectors, its tags, and every blank but the space
/// of ASCII.
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || (letter.is_whitespace() && letter != ' ')
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
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffc}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{16fe4}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d159}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dangerous_character_is_forgotten() {
        let dangerous = ('\0'..='\u{1f}')
            .chain('\u{7f}'..='\u{9f}')
            .chain('\u{200b}'..='\u{200f}')
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .chain(['\u{61c}', '\u{2060}', '\u{feff}', '\u{e0041}']);
        for letter in dangerous {
            assert!(is_hidden(letter), "{letter:?}");
        }
        let letters = (' '..='~').chain(['é', '中', '€', '\u{1f600}']);
        for letter in letters {
            assert!(!is_hidden(letter), "{letter:?}");
        }
    }

    #[test]
    fn what_looks_blank_is_hidden() {
        let blanks = ('\u{2000}'..='\u{200a}').chain([
            '\u{a0}',
            '\u{1680}',
            '\u{202f}',
            '\u{205f}',
            '\u{3000}',
            '\u{2800}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{115f}',
            '\u{1160}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{180e}',
        ]);
        for letter in blanks {
            assert!(is_hidden(letter), "{letter:?}");
        }
    }

    #[test]
    fn few_marks_belong_to_a_letter_and_more_do_not() {
        for text in [
            "Jürgen 李雷 🎉 אבא",
            "Jose\u{301}",
            "e\u{323}\u{302}",
            "שּׁ",
            "ngôn ngữ",
            "नमस्ते",
            "\u{1112}\u{1161}\u{11ab}",
        ] {
            assert_eq!(first_hidden(text), None, "{text:?}");
        }
        for mark in ['\u{301}', '\u{488}', '\u{20dd}', '\u{1ab0}', '\u{1dc0}', '\u{fe20}'] {
            let pile = format!("e{}", mark.to_string().repeat(MARKS_MAX));
            assert_eq!(first_hidden(&pile), None, "{pile:?}");
            assert_eq!(first_hidden(&format!("{pile}{mark}")), Some(mark));
            assert_eq!(first_hidden(&mark.to_string()), Some(mark), "on nothing");
            assert_eq!(first_hidden(&format!(" {mark}")), Some(mark), "on a space");
            assert_eq!(first_hidden(&format!("a{mark}b{mark}")), None);
        }
    }
}
