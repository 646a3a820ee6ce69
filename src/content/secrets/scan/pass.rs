//! Passes what announces nothing, with fewer looks a byte: most of most texts.

use super::{Expect, SecretScan, Work};

impl SecretScan<'_> {
    /// Goes on to the next place that has to be looked at closely. Does what steps would do up to there.
    pub(super) fn pass(&mut self) {
        if !matches!(self.expect, Expect::Nothing) || self.shell.counts_words() {
            return;
        }
        #[cfg(test)]
        if self.closely {
            return;
        }
        let literals = self.masks_literals();
        while !self.budget.is_spent() {
            // Behind the end stands a zero.
            let byte = self.text.byte(self.at);
            let next = self.text.byte(self.at + 1);
            match byte {
                0x01..=0x09
                | 0x0b..=b'!'
                | b'+'
                | b'.'
                | b'^'
                | b'~'
                | 0x7f..=0xc1
                | 0xc3..=0xe0
                | 0xe4..=0xee
                | 0xf0.. => self.at += 1,
                b'*' if next != b'/' => self.at += 1,
                b':' | b'?' | b'$' | b'%' | b'#' | b'`' if !literals => self.at += 1,
                b'@' if !literals && !matches!(next, b't' | b'u') => self.at += 1,
                b'>' if !self.rules => self.at += 1,
                b'-' if next != b'-' && self.at > 0 => {
                    let before = self.text.byte(self.at - 1);
                    if !before.is_ascii_alphanumeric() && before != b'_' {
                        return;
                    }
                    self.at += 1;
                }
                b'0'..=b'9' if !literals && self.number() => {}
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => {
                    if literals && (byte == b'_' || byte.is_ascii_digit() || self.may_be_prefix()) {
                        return;
                    }
                    self.word();
                    if !matches!(self.expect, Expect::Nothing) || self.shell.counts_words() {
                        self.budget.count(Work::Pass);
                        return;
                    }
                }
                b'/' if !matches!(next, b'/' | b'*') && self.shell.program.is_none() => {
                    self.at += 1
                }
                b'<' if next != b'<' && !self.rules && self.shell.program.is_none() => self.at += 1,
                b'(' | b'[' | b'{' | b')' | b']' | b'}' | b',' | b'=' => self.structure(byte),
                b'"' | b'\'' if !literals => self.quote(),
                _ => return,
            }
            self.budget.count(Work::Pass);
            if self.masks_literals() != literals {
                return;
            }
        }
    }

    /// Passes a number. Returns whether it was one, and no part of a word.
    fn number(&mut self) -> bool {
        let digits =
            self.text.from(self.at).iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = self.at + digits;
        let is_word =
            matches!(self.text.byte(end), b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-' | b'.' | b'/');
        if is_word || self.shell.program.is_some() {
            return false;
        }
        self.sql.other_word();
        self.budget.work(digits);
        self.at = end;
        true
    }

    /// Whether the letter here may be the prefix of a literal.
    fn may_be_prefix(&self) -> bool {
        let is_quote = |at| matches!(self.text.byte(at), b'"' | b'\'' | b'\\');
        is_quote(self.at + 1) || is_quote(self.at + 2)
    }

    /// A sign that orders what stands around it, and announces nothing.
    pub(super) fn structure(&mut self, byte: u8) {
        match byte {
            b'(' | b'[' | b'{' => self.open_bracket(byte),
            b')' | b']' | b'}' => self.close_bracket(byte),
            b',' => self.sql.comma(self.depth),
            _ => self.sql.assigned(),
        }
        self.at += 1;
    }

    fn open_bracket(&mut self, byte: u8) {
        self.depth += 1;
        if byte == b'(' {
            self.sql.open(self.depth);
        }
    }

    fn close_bracket(&mut self, byte: u8) {
        self.named &= byte != b'}';
        self.depth = self.depth.saturating_sub(1);
        if self.bracket.is_some_and(|depth| self.depth < depth) {
            self.bracket = None;
        }
        if byte == b')' {
            self.sql.close(self.depth);
        }
    }
}
