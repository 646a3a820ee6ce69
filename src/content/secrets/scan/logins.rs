//! Logins: `name/secret@place` of Oracle, and the commands of Redis.

use memchr::{memchr, memrchr};

use super::super::lookup::Cue;
use super::super::{forms, names};
use super::{Expect, SecretScan, Work};

/// Of what stands before a login, in bytes.
const LEAD_BYTES: usize = 8;

impl SecretScan<'_> {
    /// A name and a secret.
    pub(super) fn pair(&mut self, between: u8) {
        self.expect = Expect::Nothing;
        if self.text.closes_outer(self.at, &self.quotes) {
            self.quote();
            if self.text.byte(self.at) == b',' {
                self.at += 1;
            }
            self.expect = Expect::Pair(between);
            return;
        }
        if matches!(self.text.byte(self.at), b'-' | b'|' | b';' | b'&') {
            return self.dispatch();
        }
        let value = self.text.value(self.at, &self.quotes, false);
        let text = self.text.slice(value.secret.clone());
        if let Some(at) = memchr(between, text) {
            let range = value.secret.start + at + 1..value.secret.end;
            if !forms::is_variable(self.text.slice(range.clone())) {
                self.mask(range);
            }
        } else if self.shell.program.is_some_and(|program| program.whole)
            && !forms::is_variable(text)
        {
            self.mask(value.secret.clone());
        }
        self.at = value.end.max(self.at + 1);
    }

    /// A command of Redis by which a secret is given.
    pub(super) fn command(&mut self, cue: Cue, word: &[u8], start: usize, end: usize) -> bool {
        let is_auth = matches!(word, b"AUTH" | b"AUTH2") || start == 0 && word == b"auth";
        if cue == Cue::SetUser {
            self.rules = true;
            return true;
        }
        if !is_auth || !matches!(self.text.byte(end), b' ' | b'\t') {
            return false;
        }
        // A password, or a name and a password.
        for _ in 0..2 {
            let at = self.after_space(self.at);
            let word = self.text.slice(at..self.word_at(at));
            let is_prose = start > 0 && names::is_neutral(word);
            if at == self.at || is_prose || self.text.ends_word(at, &self.quotes) {
                break;
            }
            if self.text.closes_outer(at, &self.quotes) {
                break;
            }
            let value = self.text.value(at, &self.quotes, false);
            if !forms::is_variable(self.text.slice(value.secret.clone())) {
                self.mask(value.secret);
            }
            self.at = value.end.max(at + 1);
        }
        true
    }

    /// `name/secret@place` of Oracle's programs, of which the name was read.
    pub(super) fn login(&mut self, before: u8) {
        let start = self.at + 1;
        if !matches!(before, b' ' | b'\t' | b'"' | b'\'' | b':' | b'=' | b'\n')
            || self.text.space_len(start) > 0
        {
            return;
        }
        let is_program = self.shell.program.is_some_and(|program| program.slash);
        if !is_program && !self.sql.connects && !matches!(before, b':' | b'=') {
            return;
        }
        self.budget.count(Work::Login);
        let user = self.at - self.word_len_before(self.at);
        self.budget.work(self.at - user);
        let text = self.text;
        let is_url = before == b':'
            && [&b":thin:"[..], b":oci8:", b":oci:"]
                .iter()
                .any(|it| text.slice(0..user).ends_with(it));
        let said = text.slice(user.saturating_sub(LEAD_BYTES)..user);
        let is_said = |words: &[u8]| {
            let end = said.len().checked_sub(words.len()).and_then(|from| said.get(from..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(words))
        };
        let is_argument = is_said(b"userid=");
        if !is_program && !self.sql.connects && !is_url && !is_argument {
            return;
        }
        if !self.text.closes_outer(start, &self.quotes)
            && let Some(open) = self.text.open(start)
        {
            // What is quoted is the secret; the place follows.
            let end = self.text.closed_or_end(&open);
            self.mask(open.inner..end.saturating_sub(1).max(open.inner));
            self.at = end.max(start + 1);
            return;
        }
        let is_command = is_said(b"connect ") || is_said(b"conn ");
        /// Of secret and place, in bytes.
        const LOGIN_BYTES_MAX: usize = 128;
        // What was looked through for the login before is not again.
        let from = start.max(self.placeless);
        let end = self.text.until(start + LOGIN_BYTES_MAX).word_end(from, &self.quotes);
        let word = self.text.slice(start..end);
        match memrchr(b'@', self.text.slice(from..end)) {
            Some(at) => {
                self.mask(start..from + at);
                self.at = from + at;
            }
            None if (is_program || is_argument || is_command && self.ends_login(end))
                && !word.contains(&b'/')
                && !word.ends_with(b".sql") =>
            {
                let value = self.text.value(start, &self.quotes, false);
                self.mask(value.secret);
                self.at = value.end.max(start);
            }
            None => self.placeless = end,
        }
    }

    /// Whether behind a login without a place there is nothing, or how one logs in.
    pub(super) fn ends_login(&self, end: usize) -> bool {
        let next = self.after_space(end);
        next >= self.text.len()
            || matches!(self.text.byte(next), b';' | b'"' | b'\'')
            || self.text.slice(next..self.word_at(next)).eq_ignore_ascii_case(b"as")
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
