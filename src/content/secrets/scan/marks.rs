//! Quotes, flags, URLs, keys in PEM, and what else a mark begins.

use memchr::{memchr, memmem};

use super::super::{forms, names, url};
use super::{Expect, How, SecretName, SecretScan, Work};

impl SecretScan<'_> {
    pub(super) fn quote(&mut self) {
        let Some((quote, backslashes, len)) = self.text.plain_quote(self.at) else {
            // What a shell would take for the end of a command is escaped.
            let is_escaped = matches!(self.text.byte(self.at + 1), b'|' | b';' | b'&');
            self.at += self.text.backslashes_to_pass(self.at) + usize::from(is_escaped);
            return;
        };
        self.budget.count(Work::Quote);
        let before = if self.at == 0 { b' ' } else { self.text.byte(self.at - 1) };
        let behind = self.text.byte(self.at + len);
        let is_apostrophe =
            quote == b'\'' && before.is_ascii_alphabetic() && behind.is_ascii_alphabetic();
        if !is_apostrophe {
            let opened = self.quotes.toggle(quote, backslashes);
            if opened {
                self.last = Some((self.at + len..self.at + len, usize::MAX));
            } else {
                self.last =
                    self.last.take().map(|(range, _)| (range.start..self.at, self.at + len));
                self.sql.quote_closed(self.quotes.depth());
            }
        }
        self.at += len;
    }

    pub(super) fn dash(&mut self) {
        let text = self.text;
        let start = self.at;
        if text.byte(start) == 0xe2 {
            // A dash as word processors make it of two.
            let is_dash = text.from(start).starts_with("—".as_bytes())
                || text.from(start).starts_with("–".as_bytes());
            if !is_dash {
                if let Some(open) = text.open(start) {
                    self.at = open.inner;
                } else {
                    self.at += 1;
                }
                return;
            }
            let end = self.word_at(start + 3);
            self.flag(start + 3, end, end == start + 3);
            return;
        }
        if text.from(start).starts_with(b"-----BEGIN ") && self.key() {
            return;
        }
        let before = if start == 0 { b' ' } else { text.byte(start - 1) };
        if before.is_ascii_alphanumeric() || before == b'_' {
            self.at += 1;
            return;
        }
        if self.program_flag(start) {
            return;
        }
        let dashes = text.from(start).iter().take_while(|byte| **byte == b'-').count();
        let name = start + dashes;
        self.budget.work(dashes);
        let end = self.word_at(name);
        self.flag(name, end, dashes > 2);
    }

    /// A flag that any program may have.
    pub(super) fn flag(&mut self, start: usize, end: usize, none: bool) {
        self.at = end.max(self.at + 1);
        let word = self.text.slice(start..end);
        if none || word.is_empty() {
            return;
        }
        self.budget.count(Work::Word);
        self.shell.flag(word);
        if let Some(name) = word.strip_suffix(b"-file")
            && names::is_secret(name)
            && self.text.from(end).starts_with(b"=<(")
        {
            // What a command writes takes the place of the file.
            let start = end + 3;
            self.at = self.text.substitution(start);
            self.mask(start..self.at.saturating_sub(1).max(start));
            return;
        }
        let named = std::mem::take(&mut self.named);
        let is_value =
            named && (word.eq_ignore_ascii_case(b"value") || word.eq_ignore_ascii_case(b"string"));
        if word == b"password-stdin" || word == b"stdin" || word == b"S" && self.shell.sudo {
            self.shell.sudo_reads |= word == b"S";
            self.mask_echo();
        } else if names::is_secret(word) && !self.names_secret(word) || is_value {
            self.named = true;
            self.expect = Expect::Separator(SecretName {
                start,
                end,
                flag: true,
                variable: false,
                path: false,
                quoted: false,
                literal_only: false,
            });
        } else if named {
            self.named = true;
        }
    }

    /// Whether the flag names a secret that is kept elsewhere: `aws ... --secret-id NAME`.
    fn names_secret(&self, word: &[u8]) -> bool {
        word == b"secret-id"
            && self.shell.program.is_some_and(|program| program.needs == "put-parameter")
    }

    /// A flag of the program, by which a secret is given. Reads on behind it.
    pub(super) fn program_flag(&mut self, start: usize) -> bool {
        let Some((program, rest)) =
            self.shell.flags().map(|program| (program, self.text.from(start)))
        else {
            return false;
        };
        self.budget.count(Work::Flag);
        let find = |flags: &'static [&'static str]| {
            flags.iter().find(|flag| rest.starts_with(flag.as_bytes()))
        };
        let is_end = |at: usize| {
            at >= self.text.len()
                || self.text.space_len(at) > 0
                || self.text.closes_outer(at, &self.quotes)
        };
        if let Some(flag) = find(program.separate)
            && is_end(start + flag.len())
        {
            self.at = start + flag.len();
            self.expect = Expect::Value(How { flag: true, ..How::default() });
            if self.text.from(self.at).trim_ascii_start().starts_with(b"stdin") {
                self.mask_echo();
            }
            return true;
        }
        if let Some(flag) = find(program.attached)
            && !is_end(start + flag.len())
        {
            let at = start + flag.len();
            let equals = usize::from(self.text.byte(at) == b'=');
            let value = self.text.value(at + equals, &self.quotes, false);
            if !forms::is_variable(self.text.slice(value.secret.clone())) {
                self.mask(value.secret);
            }
            self.at = value.end.max(at);
            return true;
        }
        let cluster = rest.iter().skip(1).take_while(|byte| byte.is_ascii_alphabetic()).count();
        self.budget.work(cluster);
        let ends_in_flag = cluster > 1
            && program.pair.contains(&"-u")
            && rest.first() == Some(&b'-')
            && rest.get(cluster) == Some(&b'u')
            && is_end(start + cluster + 1);
        if ends_in_flag {
            self.at = start + cluster + 1;
            self.expect = Expect::Pair(program.between);
            return true;
        }
        let Some(flag) = find(program.pair) else { return false };
        let at = start + flag.len();
        let attached = flag.len() == 2;
        if is_end(at) || attached || self.text.byte(at) == b'=' {
            self.at = at + usize::from(self.text.byte(at) == b'=');
            self.expect = Expect::Pair(program.between);
            return true;
        }
        false
    }

    /// A private key in PEM.
    pub(super) fn key(&mut self) -> bool {
        /// Of the first line, in bytes.
        const LABEL_BYTES_MAX: usize = 64;
        self.budget.count(Work::Flag);
        let rest = self.text.from(self.at);
        let label = rest.get(..LABEL_BYTES_MAX).unwrap_or(rest);
        if memmem::find(label, b"PRIVATE KEY").is_none() {
            return false;
        }
        let end = memmem::find(rest, b"-----END ").and_then(|end| {
            let close = rest.get(end + 9..)?;
            Some(end + 9 + memmem::find(close, b"-----")? + 5)
        });
        let end = self.at + end.unwrap_or(rest.len());
        self.mask(self.at..end);
        self.at = end;
        true
    }

    pub(super) fn url(&mut self) {
        let has_scheme = self.at > 0 && self.text.byte(self.at - 1) == b':';
        let start = self.at + 2;
        if !has_scheme
            && self
                .at
                .checked_sub(1)
                .is_some_and(|before| self.text.byte(before).is_ascii_alphanumeric())
        {
            self.at = start;
            return;
        }
        if !has_scheme && start < self.userless {
            self.at = start;
            return;
        }
        self.budget.count(Work::Url);
        let before = self.found.len();
        let (text, found) = (self.text, &mut self.found);
        let end = url::find(text, start, &self.quotes, |range| {
            text.count_announced();
            if !text.is_marker(range.clone()) {
                found.push(range);
            }
        });
        text.count_read(start, end);
        if has_scheme {
            // It has as much to be looked at as a name and a value.
            text.count_announced();
            text.count_announced();
        }
        if !has_scheme && memchr(b'@', self.text.slice(start..end)).is_none() {
            self.found.truncate(before);
            self.userless = end;
            self.at = start;
            return;
        }
        self.at = end.max(start);
    }

    /// `user:secret@tcp(host:3306)/db`, as drivers for MySQL have it.
    pub(super) fn data_source(&mut self) {
        let from = self.text.slice(self.source..self.at).iter().rev();
        /// Of user and secret, in bytes.
        const USER_BYTES_MAX: usize = 256;
        let len = from
            .take(USER_BYTES_MAX)
            .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'='))
            .count();
        self.budget.work(len);
        let start = self.at - len;
        if let Some(colon) = memchr(b':', self.text.slice(start..self.at)) {
            self.shell.unordered = true;
            self.mask(start + colon + 1..self.at);
        }
        self.at += 1;
        self.source = self.at;
    }

    /// Behind `/`: a flag as on Windows, or nothing.
    pub(super) fn slash(&mut self) {
        let before = if self.at == 0 { b' ' } else { self.text.byte(self.at - 1) };
        if matches!(before, b' ' | b'\t' | b'"' | b'\'') && self.program_flag(self.at) {
            return;
        }
        self.at += 1;
    }

    /// `<<<` or `<<` of a program that reads a secret.
    pub(super) fn input(&mut self) {
        let len = self.text.from(self.at).iter().take_while(|byte| **byte == b'<').count();
        self.at += len;
        if len == 3 {
            self.expect = Expect::Value(How { flag: true, ..How::default() });
        } else if len == 2 {
            let rest = self.text.from(self.at);
            let line = memchr(b'\n', rest).map_or(rest.len(), |line| line + 1);
            self.mask(self.at + line..self.text.len());
            self.at = self.text.len();
        }
    }
}
