//! Values that are told by what is around them: elements, blocks of lines, declarations, arguments in quotes.

use memchr::memchr;

use super::super::names;
use super::{Expect, How, SecretName, SecretScan, Work};

impl SecretScan<'_> {
    /// `<password>X</password>`, of which the name was read.
    pub(super) fn element(&mut self, start: usize, end: usize) -> bool {
        /// Of a prefix such as `db:`, and of the attributes, in bytes.
        const PREFIX_BYTES_MAX: usize = 24;
        const ATTRIBUTES_BYTES_MAX: usize = 256;
        let before = self.text.slice(0..start);
        let tail = before.get(before.len().saturating_sub(PREFIX_BYTES_MAX)..).unwrap_or_default();
        let is_tag = tail.last() == Some(&b'<')
            || tail.strip_suffix(b":").is_some_and(|tail| {
                let prefix = tail.iter().rposition(|byte| !byte.is_ascii_alphanumeric());
                prefix.is_some_and(|at| tail.get(at) == Some(&b'<') && at + 1 < tail.len())
            });
        if !is_tag {
            return false;
        }
        self.budget.count(Work::Value);
        let tag = self.text.from(end);
        let tag = tag.get(..ATTRIBUTES_BYTES_MAX).unwrap_or(tag);
        let Some(close) = memchr(b'>', tag) else { return false };
        if close > 0 && tag.get(close - 1) == Some(&b'/')
            || !matches!(tag.first(), Some(b'>' | b' '))
        {
            return false;
        }
        let content = end + close + 1;
        let rest = self.text.from(content);
        let stop = content + memchr(b'<', rest).unwrap_or(rest.len());
        self.mask(content..stop);
        self.at = stop.max(end);
        true
    }

    /// A value of YAML behind a tag, or in a block of lines. Returns whether it was.
    pub(super) fn marked_value(&mut self, how: How) -> bool {
        let text = self.text;
        let byte = text.byte(self.at);
        if byte == b'!' && text.byte(self.at + 1) == b'!' {
            self.at = self.word_at(self.at + 2).max(self.at + 2);
            self.expect = Expect::Value(How { spaced: true, ..how });
            return true;
        }
        let rest = text.from(self.at + 1);
        let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
        if !matches!(byte, b'|' | b'>') || rest.get(sign) != Some(&b'\n') {
            return false;
        }
        let mut at = self.at + 2 + sign;
        let start = at;
        while matches!(text.byte(at), b' ' | b'\t') {
            let line = text.from(at);
            at += memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        }
        self.budget.work(at - start);
        self.mask(start..at.min(text.len()));
        self.at = at.max(start).min(text.len());
        true
    }

    /// Behind a variable of SQL that is declared: its type, and then its value.
    pub(super) fn behind_declared(&mut self, name: SecretName, end: usize) {
        /// Of the length of a type, in bytes.
        const LENGTH_BYTES_MAX: usize = 16;
        let text = self.text;
        let word = text.slice(self.at..end);
        let is_as = word.eq_ignore_ascii_case(b"as");
        if !is_as && !names::is_type(word) {
            return self.dispatch();
        }
        self.at = end;
        if self.text.byte(end) == b'(' {
            let rest = self.text.from(end);
            let rest = rest.get(..LENGTH_BYTES_MAX).unwrap_or(rest);
            self.at += memchr(b')', rest).map_or(0, |close| close + 1);
        }
        self.expect = Expect::Separator(SecretName { end: 0, ..name });
    }

    pub(super) fn is_comment_on(&self) -> bool {
        const BEGIN: &[u8] = b"comment on ";
        self.text.slice(0..BEGIN.len()).eq_ignore_ascii_case(BEGIN)
    }

    /// `BETWEEN 'x' AND 'y'`, of which the first was read.
    pub(super) fn expect_upper_end(&mut self) {
        let start = self.after_space(self.at);
        let end = self.word_at(start);
        if self.text.slice(start..end).eq_ignore_ascii_case(b"and") {
            self.at = end;
            self.expect = Expect::Value(How { literal_only: true, sql: true, ..How::default() });
        }
    }

    /// Whether the name is what a quoted argument begins with: `'password=a b'`.
    pub(super) fn begins_argument(&self, name: &SecretName) -> bool {
        let Some(quote) = name.start.checked_sub(1) else { return false };
        let quote = self.text.byte(quote);
        matches!(quote, b'"' | b'\'') && self.quotes.top() == Some((quote, 0))
    }
}
