//! Separators and values behind the name of a secret.

use memchr::memchr;

use super::super::keywords::Keyword;
use super::super::lexer::{Close, Open};
use super::super::{MARKER, forms};
use super::super::{lookup, names};
use super::{Expect, How, SecretName, SecretScan, Work};

impl SecretScan<'_> {
    /// Behind the name of a secret.
    pub(super) fn separator(&mut self, name: SecretName) {
        let text = self.text;
        let next = text.byte(self.at + 1);
        let header = std::mem::take(&mut self.shell.header);
        let found = |how| Expect::Value(How { header, ..how });
        self.expect = Expect::Nothing;
        match text.byte(self.at) {
            // The quote that ends the name.
            b'"' | b'\'' | b'\\'
                if self.at == name.end
                    && text.plain_quote(self.at).is_some_and(|(quote, backslashes, _)| {
                        self.quotes.has(quote, backslashes)
                    }) =>
            {
                self.quote();
                self.shell.header = header;
                self.expect = Expect::Separator(SecretName { quoted: true, end: self.at, ..name });
            }
            b'`' | b']' if self.at == name.end => {
                self.at += 1;
                self.shell.header = header;
                self.expect = Expect::Separator(SecretName { end: self.at, ..name });
            }
            b':' if next == b':' => {
                // A cast of Postgres: the type follows.
                let end = self.word_at(self.at + 2);
                self.at = end.max(self.at + 2);
                self.expect = Expect::Separator(SecretName { end: self.at, ..name });
            }
            b'=' | b':' => {
                let colon = text.byte(self.at) == b':' && next != b'=';
                if colon && name.path && !name.quoted && text.space_len(self.at + 1) > 0 {
                    return self.dispatch();
                }
                self.at += 1;
                while matches!(text.byte(self.at), b'=' | b'>' | b'~') {
                    self.at += 1;
                }
                self.sql.assigned();
                let argument = !colon && !name.quoted && self.begins_argument(&name);
                let written = text.slice(name.start..name.end);
                let count = colon
                    && !name.quoted
                    && (written == b"token" && text.space_len(self.at) == 0
                        || written == b"pass" && text.space_len(self.at) > 0);
                self.expect = found(How { colon, argument, count, ..How::default() });
            }
            b'-' if next == b'>' => {
                self.at += 2;
                self.expect = found(How::default());
            }
            b'(' if !name.variable && !name.flag => {
                self.bracket = self.bracket.or(Some(self.depth + 1));
                self.dispatch();
            }
            b'<' | b'>' | b'!' | b'~' if !name.flag && !name.variable && self.sql.is_any() => {
                while matches!(text.byte(self.at), b'<' | b'>' | b'!' | b'=' | b'~' | b'*') {
                    self.at += 1;
                }
                self.expect = found(How { literal_only: true, ..How::default() });
            }
            b',' if name.flag && name.quoted => {
                self.at += 1;
                self.expect = found(How { flag: true, ..How::default() });
            }
            b'-' => self.dispatch(),
            byte if name.variable
                && byte.is_ascii_alphabetic()
                && name.start > 0
                && text.byte(name.start - 1) == b'@' =>
            {
                self.behind_name(name);
            }
            _ if name.variable => self.dispatch(),
            _ if text.closes_outer(self.at, &self.quotes) => {
                // A flag by itself, of which the next argument is the value.
                self.quote();
                if name.flag {
                    self.expect =
                        Expect::Separator(SecretName { quoted: true, end: self.at, ..name });
                }
            }
            _ if name.flag => {
                self.expect = found(How { flag: true, ..How::default() });
                self.step();
            }
            _ if text
                .open(self.at)
                .is_some_and(|open| !matches!(open.close, Close::Quote { quote: b'`', .. })) =>
            {
                self.expect = found(How { spaced: true, sql: self.sql.is_any(), ..How::default() });
                self.step();
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                self.behind_name(name)
            }
            _ => self.dispatch(),
        }
    }

    /// A word behind the name of a secret, without a separator: mostly prose.
    pub(super) fn behind_name(&mut self, name: SecretName) {
        let end = self.word_at(self.at);
        let text = self.text;
        let word = text.slice(self.at..end);
        if name.variable && self.text.byte(name.start.saturating_sub(1)) == b'@' {
            return self.behind_declared(name, end);
        }
        match lookup::keyword(word) {
            Some(Keyword::Compare) => {
                self.between = word.eq_ignore_ascii_case(b"between");
                self.at = end;
                self.expect =
                    Expect::Value(How { literal_only: true, sql: true, ..How::default() });
                return;
            }
            // `COMMENT ON COLUMN t.password IS '...'`.
            Some(Keyword::Is) if self.is_comment_on() => return self.dispatch(),
            Some(Keyword::Is | Keyword::Not | Keyword::To) => {
                self.at = end;
                self.expect = Expect::Separator(SecretName { literal_only: true, end: 0, ..name });
                return;
            }
            Some(_) => return self.dispatch(),
            None => {}
        }
        /// Of names whose bare value is looked for, in bytes: `passphrase`.
        const PLAIN_NAME_BYTES_MAX: usize = 10;
        let in_definition = self.sql.is_account() && !self.sql.is_query();
        let is_plain = name.end - name.start.min(name.end) <= PLAIN_NAME_BYTES_MAX;
        if name.literal_only || !is_plain || self.sql.is_query() {
            return self.dispatch();
        }
        /// Of a word that is looked at, in bytes.
        const WORD_BYTES_MAX: usize = 64;
        if self.next_digit(self.at) >= self.at + WORD_BYTES_MAX {
            return self.dispatch();
        }
        let end = self.text.until(self.at + WORD_BYTES_MAX).word_end(self.at, &self.quotes);
        let word = self.text.slice(self.at..end);
        let digit = word.iter().any(u8::is_ascii_digit);
        if forms::looks_secret(word) || in_definition && digit && !names::is_type(word) {
            let value = self.text.value(self.at, &self.quotes, false);
            self.mask(value.secret);
            self.at = value.end.max(self.at + 1);
            return;
        }
        self.dispatch();
    }

    /// Where the next digit stands, from this place on: the end of the text, if there is none. It is looked for once.
    fn next_digit(&mut self, at: usize) -> usize {
        if self.digit < at {
            let rest = self.text.from(at);
            let digit = rest.iter().position(u8::is_ascii_digit);
            self.digit = at + digit.unwrap_or(rest.len());
        }
        // The end of the text is behind all places of it.
        if self.digit >= self.text.len() { usize::MAX } else { self.digit }
    }

    /// The value of a secret.
    pub(super) fn value(&mut self, how: How) {
        self.expect = Expect::Nothing;
        let text = self.text;
        let byte = text.byte(self.at);
        if text.closes_outer(self.at, &self.quotes) {
            self.quote();
            // The next argument is the value.
            if how.flag || how.header {
                if text.byte(self.at) == b',' {
                    self.at += 1;
                }
                self.expect = Expect::Value(how);
            }
            return;
        }
        if (how.header || how.argument && !how.spaced) && text.open(self.at).is_none() {
            return self.header();
        }
        if how.colon && self.marked_value(how) {
            return;
        }
        let is_marker = byte == b'[' && text.from(self.at).starts_with(MARKER.as_bytes());
        match byte {
            b'(' | b'[' if !is_marker => {
                self.bracket = self.bracket.or(Some(self.depth + 1));
                return self.dispatch();
            }
            b'{' if how.colon => {
                self.bracket = self.bracket.or(Some(self.depth + 1));
                return self.dispatch();
            }
            b'{' if text.byte(self.at + 1) != b'{' => {
                let open = Open { inner: self.at + 1, close: Close::Brace, escapes: Some(false) };
                let end = text.closed_or_end(&open);
                self.mask(self.at..end);
                self.at = end;
                return;
            }
            b',' | b')' | b']' | b'}' | b';' | b'|' => return self.dispatch(),
            b'-' if how.flag => return self.dispatch(),
            b'<' if text.from(self.at).starts_with(b"<<<") => {
                self.at += 3;
                self.expect = Expect::Value(how);
                return;
            }
            _ => {}
        }
        if let Some(open) = text.open(self.at)
            && !how.literal_only_is_broken_by(&open)
        {
            let value =
                text.value(self.at, &self.quotes, how.sql || self.sql.is_any() && !how.colon);
            let secret = text.slice(value.secret.clone());
            if !(value.quoted && forms::is_variable(secret) && !how.sql) {
                self.mask(value.secret);
            }
            self.at = value.end.max(self.at + 1);
            if std::mem::take(&mut self.between) {
                self.expect_upper_end();
            }
            return;
        }
        if how.literal_only && !byte.is_ascii_digit() {
            return self.dispatch();
        }
        if text.ends_word(self.at, &self.quotes) {
            return self.dispatch();
        }
        self.bare(how);
    }

    /// A value without quotes, or that begins without.
    pub(super) fn bare(&mut self, how: How) {
        /// Of a variable or a placeholder, in bytes.
        const STAND_IN_BYTES_MAX: usize = 80;
        self.budget.count(Work::Value);
        let text = self.text;
        let identifier = self.word_at(self.at);
        // Most values are a word, and white space behind it.
        let is_word =
            identifier > self.at && matches!(text.byte(identifier), b' ' | b'\n' | b'\t' | b'\r');
        // What stands for a value begins so.
        let may_stand_in =
            matches!(text.byte(self.at), b'?' | b'$' | b'%' | b':' | b'@' | b'*' | b'<' | b'"');
        if !is_word && may_stand_in {
            let end = text.until(self.at + STAND_IN_BYTES_MAX).word_end(self.at, &self.quotes);
            let word = text.slice(self.at..end);
            let is_placeholder = forms::is_placeholder(word, self.sql.is_query());
            if is_placeholder || forms::is_variable(word) {
                self.binds |= is_placeholder && self.sql.is_any();
                if word.first() == Some(&b'%') {
                    self.mask_rest_of_call();
                }
                self.at = end;
                return;
            }
        }
        let first = text.slice(self.at..identifier);
        let stands_alone = is_word
            || text.ends_word(identifier, &self.quotes)
            || matches!(text.byte(identifier), b',' | b'.' | b'\'' | b')' | b':');
        if lookup::program(first).is_some_and(|program| program.always) {
            return self.dispatch();
        }
        let neutral = if how.flag || !how.spaced {
            names::is_no_value(first)
        } else {
            names::is_neutral(first)
        };
        // `token:5`, a key with a number, and `first pass: 12 warnings`.
        let is_count = how.count && first.len() <= 3 && first.iter().all(u8::is_ascii_digit);
        if stands_alone && (neutral || is_count) && !first.is_empty() {
            self.at = identifier;
            return;
        }
        if first.eq_ignore_ascii_case(b"case") && self.sql.is_any() {
            self.cased = true;
            self.at = identifier;
            return;
        }
        // A function: its literals are the secret.
        if text.byte(identifier) == b'(' && identifier > self.at && self.calls(identifier) {
            self.bracket = self.bracket.or(Some(self.depth + 1));
            self.at = identifier;
            return;
        }
        // In a query a word is a column.
        let digit = first.iter().any(u8::is_ascii_digit);
        let qualified = first.contains(&b'.') && !first.contains(&b'-');
        let letter = first.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        let columns = self.sql.is_query() || self.sql.selects() && qualified;
        if columns
            && !how.flag
            && letter
            && stands_alone | matches!(text.byte(identifier), b'"' | b';')
            && (!digit || qualified || names::mentions_secret(first))
        {
            self.at = identifier;
            return;
        }
        if is_word {
            self.mask(self.at..identifier);
            self.at = identifier;
            return;
        }
        let value = text.value(self.at, &self.quotes, how.sql);
        self.mask(value.secret);
        self.at = value.end.max(self.at + 1);
        if how.sql && self.sql.is_identified() && self.text.byte(self.at) == b',' {
            // `IDENTIFIED BY x, y`: one for each account.
            self.at += 1;
            self.expect = Expect::Value(how);
        }
    }

    /// Whether a parenthesis opens the arguments of a call: something quoted stands
    /// in it.
    pub(super) fn calls(&self, parenthesis: usize) -> bool {
        /// Of the arguments that are looked at, in bytes.
        const ARGUMENTS_BYTES_MAX: usize = 64;
        let rest = self.text.from(parenthesis);
        let rest = rest.get(..ARGUMENTS_BYTES_MAX).unwrap_or(rest);
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        rest.get(..end)
            .is_some_and(|rest| memchr::memchr2(b'\'', b'"', rest).is_some() || self.sql.is_any())
    }

    /// The value of a header: up to the end of the line, or of what is quoted.
    pub(super) fn header(&mut self) {
        let start = self.at;
        let mut at = start;
        while at < self.text.len() {
            match self.text.byte(at) {
                // A line that begins with white space goes on with the one before.
                b'\n' | b'\r' if !matches!(self.text.byte(at + 1), b' ' | b'\t' | b'\n') => break,
                b'\\' if matches!(self.text.byte(at + 1), b'n' | b'r') => break,
                b'"' | b'\'' | b'\\' => {
                    let Some((quote, backslashes, len)) = self.text.plain_quote(at) else {
                        at += self.text.backslashes_to_pass(at);
                        continue;
                    };
                    if self.quotes.top().is_some_and(|top| top == (quote, backslashes))
                        || self.text.closes_outer(at, &self.quotes)
                    {
                        break;
                    }
                    at += len;
                }
                _ => at += 1,
            }
        }
        self.budget.work(at - start);
        let value = self.text.slice(start..at.min(self.text.len()));
        let last = value.trim_ascii().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let scheme = value.trim_ascii().strip_suffix(last).unwrap_or_default().trim_ascii();
        let is_scheme = scheme.is_empty() || lookup::keyword(scheme) == Some(Keyword::Scheme);
        if is_scheme && forms::is_variable(last) {
            self.at = at.max(start + 1).min(self.text.len());
            return;
        }
        let back = value.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.mask(start..start + value.len() - back);
        self.at = at.max(start + 1).min(self.text.len());
    }
}
