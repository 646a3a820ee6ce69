//! Reads string and bytes literals.

use super::{Fault, Lexer, Token};

impl Lexer<'_> {
    /// Reads a string or bytes, with the prefix before the quote.
    pub(super) fn text(&mut self, prefix: &str) -> Result<Token, Fault> {
        let start = self.at;
        self.at += prefix.len();
        let is_raw = prefix.contains(['r', 'R']);
        let is_bytes = prefix.contains(['b', 'B']);
        let quote = self.rest().chars().next().unwrap_or('"');
        let triple: String = [quote; 3].iter().collect();
        let is_triple = self.rest().starts_with(&triple);
        let end: &str = if is_triple { &triple } else { triple.get(..1).unwrap_or_default() };
        self.at += end.len();
        let mut out = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(end) {
                self.at += end.len();
                break;
            }
            let letter = rest.chars().next();
            match letter {
                None => return Err(self.unterminated(start, end)),
                Some('\n' | '\r') if !is_triple => return Err(self.unterminated(start, end)),
                Some('\\') if !is_raw => self.escape(is_bytes, &mut out)?,
                // A quote after a backslash does not end the text, also in raw texts: langdef.
                Some(letter) => {
                    self.at += letter.len_utf8();
                    // Line breaks are normalized.
                    if letter == '\r' {
                        if !self.rest().starts_with('\n') {
                            out.push(b'\n');
                        }
                    } else {
                        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
            }
        }
        if is_bytes {
            return Ok(Token::Bytes(out));
        }
        match String::from_utf8(out) {
            Ok(text) => Ok(Token::String(text)),
            Err(_) => Err(Fault::new(start..self.at, "this string is not valid UTF-8")),
        }
    }

    fn unterminated(&self, start: usize, end: &str) -> Fault {
        let line = self.source.get(start..).and_then(|text| text.lines().next());
        let length = line.map_or(1, |line| line.trim_end().len().max(1));
        Fault::new(
            start..start + length,
            format!("unterminated string: the closing {end} is missing"),
        )
    }

    /// Reads an escape sequence and appends its value.
    fn escape(&mut self, is_bytes: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = self.at;
        let mut letters = self.rest().chars().skip(1);
        let letter = letters.next().unwrap_or(' ');
        let (digits, radix) = match letter {
            'x' | 'X' => (2, 16),
            'u' if !is_bytes => (4, 16),
            'U' if !is_bytes => (8, 16),
            '0'..='3' => (3, 8),
            _ => (0, 0),
        };
        if digits == 0 {
            let byte = match letter {
                'a' => 0x07,
                'b' => 0x08,
                'f' => 0x0c,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 0x0b,
                '\\' | '\'' | '"' | '`' | '?' => letter as u8,
                _ => {
                    let end = start + 1 + letter.len_utf8();
                    let end = end.min(self.source.len());
                    return Err(Fault::new(start..end, bad_escape(letter, is_bytes)));
                }
            };
            self.at += 2;
            out.push(byte);
            return Ok(());
        }
        // An octal number begins with the letter itself.
        let from = start + if radix == 16 { 2 } else { 1 };
        let number = self
            .source
            .get(from..from + digits)
            .filter(|text| text.chars().all(|letter| letter.is_digit(radix)))
            .and_then(|text| u32::from_str_radix(text, radix).ok());
        let end = (from + digits).min(self.source.len());
        let Some(number) = number else {
            let what = if radix == 16 { "hexadecimal" } else { "octal" };
            let problem = format!("this escape sequence needs {digits} {what} digits");
            return Err(Fault::new(start..end, problem));
        };
        self.at = end;
        if is_bytes {
            out.push(number as u8);
            return Ok(());
        }
        let Some(letter) = char::from_u32(number) else {
            return Err(Fault::new(start..end, "there is no such character in Unicode"));
        };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

/// The prefix before the quote of a string or bytes literal, if there is one here.
pub(super) fn text_prefix(rest: &str) -> Option<&str> {
    let end = rest.find(['"', '\''])?;
    let prefix = rest.get(..end)?;
    let known = ["r", "R", "b", "B", "br", "bR", "Br", "BR"];
    known.contains(&prefix).then_some(prefix)
}

fn bad_escape(letter: char, is_bytes: bool) -> String {
    match letter {
        'u' | 'U' if is_bytes => "bytes have no escape sequence \\u or \\U: use \\x".to_owned(),
        ' ' => "an escape sequence must follow \\; write \\\\ for a backslash".to_owned(),
        letter => format!("there is no escape sequence \\{letter}; write \\\\ for a backslash"),
    }
}
