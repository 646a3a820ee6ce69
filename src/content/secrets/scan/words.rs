//! Words: names of secrets, keywords, programs and their arguments.

use memchr::memrchr;

use super::super::forms;
use super::super::keywords::{self, Keyword};
use super::super::names;
use super::super::programs::{self, Program};
use super::{Expect, How, SecretName, SecretScan};

impl SecretScan<'_> {
    pub(super) fn word(&mut self) {
        let start = self.at;
        let end = self.word_at(start);
        let before = if start == 0 { b' ' } else { self.text.byte(start - 1) };
        if let Some(len) = forms::token_len(self.text, start) {
            self.mask(start..start + len);
            self.at = start + len;
            return;
        }
        self.at = end;
        let text = self.text;
        let word = text.slice(start..end);
        let secret = names::is_secret(word);
        if secret && self.sql.column() {
            return;
        }
        if let Some(program) = programs::find(word)
            && !matches!(before, b'.' | b'-' | b'_' | b'@' | b'$')
        {
            self.program(program, word);
        } else if self.shell.announces(word)
            && !matches!(before, b'-' | b'/')
            && !names::is_secret(text.slice(end + 1..self.word_at(end + 1)))
        {
            self.expect = Expect::Value(How { flag: true, ..How::default() });
            return;
        }
        if word.eq_ignore_ascii_case(b"echo") || word.eq_ignore_ascii_case(b"printf") {
            self.shell.echo_from(end, self.quotes.depth());
        }
        if secret {
            let name = SecretName {
                start,
                end,
                flag: false,
                variable: matches!(before, b'$' | b'@' | b'%')
                    || before == b'{' && start > 1 && text.byte(start - 2) == b'$',
                path: before == b'/',
                quoted: false,
                literal_only: false,
            };
            if keywords::keyword(word) == Some(Keyword::Account) {
                self.sql.keyword(Keyword::Account, false, self.depth, self.quotes.depth());
            }
            self.name(name);
            return;
        }
        if let Some(keyword) = keywords::keyword(word) {
            self.keyword(keyword, start, end);
        } else {
            self.sql.other_word();
        }
        if matches!(self.text.byte(end), b'/') && self.expect == Expect::Nothing {
            self.login(before);
        }
    }

    /// The name of a secret was read.
    pub(super) fn name(&mut self, name: SecretName) {
        self.named = true;
        self.mask_compared(name.start);
        self.sql.secret_name();
        if self.sql.sets_password {
            // What follows names whose it is, up to the value.
            self.sql.sets_password = false;
            self.sql.begin_account(true);
            return;
        }
        self.expect = Expect::Separator(name);
    }

    /// Masks a literal that is compared with the name that begins here.
    pub(super) fn mask_compared(&mut self, name: usize) {
        /// Between them, in bytes.
        const GAP_BYTES_MAX: usize = 16;
        let Some((literal, end)) = self.last.take() else { return };
        if name.saturating_sub(end) > GAP_BYTES_MAX || !self.sql.is_any() {
            return;
        }
        let gap = self.text.slice(end..name);
        let is_gap = gap
            .iter()
            .all(|byte| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'<' | b'>' | b'!'));
        if is_gap && !gap.trim_ascii().is_empty() {
            self.shell.unordered = true;
            self.mask(literal);
        }
    }

    pub(super) fn program(&mut self, program: &'static Program, word: &[u8]) {
        self.shell.start(program, self.quotes.depth());
        if program.reads && !word.is_empty() {
            self.mask_echo();
        }
    }

    /// Masks what is sent to a program that reads a secret from its input.
    pub(super) fn mask_echo(&mut self) {
        let Some(range) = self.shell.echoed.take() else { return };
        let text = self.text.slice(range.clone());
        let space = |bytes: &mut dyn Iterator<Item = &u8>| {
            bytes.take_while(|byte| byte.is_ascii_whitespace()).count()
        };
        let (front, back) = (space(&mut text.iter()), space(&mut text.iter().rev()));
        if front < text.len() {
            let range = range.start + front..range.end - back;
            if !forms::is_variable(self.text.slice(range.clone())) {
                self.shell.unordered = true;
                self.mask(range);
            }
        }
    }

    /// An argument of a program of which the later ones are secrets.
    pub(super) fn positional(&mut self, byte: u8) -> bool {
        let before = if self.at == 0 { b' ' } else { self.text.byte(self.at - 1) };
        if byte == b'>' {
            self.shell.program = None;
        }
        if !matches!(before, b' ' | b'\t')
            || matches!(byte, b'-' | b'|' | b'&' | b';' | b'<' | b'>')
            || self.text.closes_outer(self.at, &self.quotes)
            || !self.shell.takes_positional()
        {
            return false;
        }
        let value = self.text.value(self.at, &self.quotes, false);
        self.mask(value.secret);
        self.at = value.end.max(self.at + 1);
        true
    }

    pub(super) fn keyword(&mut self, keyword: Keyword, start: usize, end: usize) {
        let value = |how| Expect::Value(how);
        let sql = How { sql: true, spaced: true, ..How::default() };
        match keyword {
            Keyword::Header => {
                self.expect = Expect::Separator(SecretName {
                    start,
                    end,
                    flag: false,
                    variable: true,
                    path: false,
                    quoted: false,
                    literal_only: false,
                });
                self.shell.header = true;
            }
            Keyword::Scheme => {
                self.expect = Expect::Separator(SecretName {
                    start,
                    end,
                    flag: false,
                    variable: false,
                    path: true,
                    quoted: false,
                    literal_only: false,
                });
            }
            Keyword::Function => {
                if self.text.byte(end) == b'(' {
                    self.bracket = Some(self.depth + 1);
                }
            }
            Keyword::Procedure => {
                self.sql.begin_account(false);
                self.expect = Expect::Nothing;
            }
            Keyword::Values
                if self.named
                    && matches!(self.text.byte(end), b'"' | b'\'' | b':' | b'=' | b'\\') =>
            {
                self.expect = Expect::Separator(SecretName {
                    start,
                    end,
                    flag: false,
                    variable: true,
                    path: false,
                    quoted: false,
                    literal_only: false,
                });
                self.named = false;
            }
            Keyword::NameMember => self.named = false,
            Keyword::Key if self.sql.attaches => {
                self.expect = Expect::Separator(SecretName {
                    start,
                    end,
                    flag: false,
                    variable: false,
                    path: false,
                    quoted: false,
                    literal_only: true,
                });
            }
            other => {
                let upper = self.text.byte(start).is_ascii_uppercase();
                if self.sql.keyword(other, upper, self.depth, self.quotes.depth()) {
                    self.expect = value(sql);
                }
            }
        }
    }

    /// `name/secret@place` of Oracle's programs, of which the name was read.
    pub(super) fn login(&mut self, before: u8) {
        let start = self.at + 1;
        if !matches!(before, b' ' | b'\t' | b'"' | b'\'' | b':') || self.text.space_len(start) > 0 {
            return;
        }
        let is_program = self.shell.program.is_some_and(|program| program.slash);
        let user = self.at - self.word_len_before(self.at);
        let is_url = before == b':'
            && [&b":thin:"[..], b":oci8:", b":oci:"]
                .iter()
                .any(|it| self.text.slice(0..user).ends_with(it));
        if !is_program && !self.sql.connects && !is_url {
            return;
        }
        /// Of secret and place, in bytes.
        const LOGIN_BYTES_MAX: usize = 128;
        let end = self.text.until(start + LOGIN_BYTES_MAX).word_end(start, &self.quotes);
        let word = self.text.slice(start..end);
        match memrchr(b'@', word) {
            Some(at) => {
                self.mask(start..start + at);
                self.at = start + at;
            }
            None if is_program && !word.contains(&b'/') && !word.ends_with(b".sql") => {
                let value = self.text.value(start, &self.quotes, false);
                self.mask(value.secret);
                self.at = value.end.max(start);
            }
            None => {}
        }
    }

    /// Length of the word that ends before this place, as far as it matters.
    pub(super) fn word_len_before(&self, at: usize) -> usize {
        /// Of the name of a user, in bytes.
        const USER_BYTES_MAX: usize = 64;
        let before = self.text.slice(0..at).iter().rev().take(USER_BYTES_MAX);
        before
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            .count()
    }
}
