//! Words: names of secrets, keywords, programs and their arguments.

use memchr::{memmem, memrchr};

use super::super::forms;
use super::super::keywords::Keyword;
use super::super::lookup::{self, Cue};
use super::super::names;
use super::super::programs::Program;
use super::{Expect, How, SecretName, SecretScan, Work};

/// Whether a name is that of a setting of Redis.
fn is_setting(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"requirepass") || name.eq_ignore_ascii_case(b"masterauth")
}

impl SecretScan<'_> {
    pub(super) fn word(&mut self) {
        let start = self.at;
        let end = self.word_at(start);
        self.budget.count(Work::Word);
        let before = if start == 0 { b' ' } else { self.text.byte(start - 1) };
        if let Some(len) = self.tokens.token_len(self.text, start) {
            self.mask(start..start + len);
            self.at = start + len;
            return;
        }
        self.at = end;
        let text = self.text;
        let word = text.slice(start..end);
        let found = lookup::find(word);
        let is_secret = names::is_secret(word);
        if found.is_none() && !is_secret && self.shell.program.is_none() {
            return self.other_word(before, start, end);
        }
        self.budget.count(Work::Word);
        let known = found.copied().unwrap_or_default();
        let secret = is_secret && known.keyword != Some(Keyword::Procedure);
        if secret && self.sql.column() {
            return;
        }
        // Programs may end in `.exe`, but not these.
        let cue = known.cue.filter(|_| !word.contains(&b'.'));
        if cue == Some(Cue::End) {
            self.cased = false;
        }
        if self.shell.counts_words() && self.shell.counts_from(word) {
            return;
        }
        if let Some(program) = known.program
            && !matches!(before, b'.' | b'-' | b'_' | b'@' | b'$')
            && text.byte(end) != b':'
        {
            self.program(program, word);
        } else if self.shell.announces(word)
            && !matches!(before, b'-' | b'/')
            && !names::is_secret(text.slice(end + 1..self.word_at(end + 1)))
        {
            self.expect = Expect::Value(How { flag: true, ..How::default() });
            return;
        }
        if cue == Some(Cue::Print) {
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
            if secret && self.element(start, end) {
                return;
            }
            if known.keyword == Some(Keyword::Account) {
                self.sql.keyword(Keyword::Account, false, self.depth, self.quotes.depth());
            }
            self.name(name);
            return;
        }
        if let Some(keyword) = known.keyword {
            self.keyword(keyword, start, end);
        } else if !cue.is_some_and(|cue| self.command(cue, word, start, end)) {
            return self.other_word(before, start, end);
        }
        self.login_behind(before, end);
    }

    /// A word of which nothing is known was read.
    #[inline]
    fn other_word(&mut self, before: u8, start: usize, end: usize) {
        self.sql.other_word();
        match self.text.byte(end) {
            b'(' => self.method(start, end),
            b'/' => self.login_behind(before, end),
            _ => {}
        }
    }

    fn login_behind(&mut self, before: u8, end: usize) {
        if self.text.byte(end) == b'/' && self.expect == Expect::Nothing {
            self.login(before);
        }
    }

    /// The name of a secret was read.
    pub(super) fn name(&mut self, name: SecretName) {
        self.budget.spend();
        self.named = true;
        self.mask_compared(name.start);
        self.sql.secret_name();
        let next = self.after_space(name.end);
        if self.shell.program.is_some_and(|program| program.names) && next > name.end {
            self.expect = Expect::Value(How { flag: true, ..How::default() });
            return;
        }
        if self.sql.sets_password {
            self.sql.sets_password = false;
            let word = self.text.slice(name.start..name.end);
            if is_setting(word) {
                // `CONFIG SET requirepass X`.
                self.expect = Expect::Value(How { flag: true, ..How::default() });
                return;
            }
            if self.text.open(next).is_none() && self.text.byte(next) != b'=' {
                // What follows names whose it is, up to the value.
                self.sql.begin_account(true);
                return;
            }
        }
        self.expect = Expect::Separator(name);
    }

    /// Where white space ends that begins here.
    pub(super) fn after_space(&self, at: usize) -> usize {
        /// Enough for what people write.
        const SPACE_BYTES_MAX: usize = 64;
        let mut next = at;
        while next < at + SPACE_BYTES_MAX {
            let space = self.text.space_len(next);
            if space == 0 {
                break;
            }
            next += space;
        }
        self.budget.work(next - at);
        next
    }

    /// The last part of a name with dots: `System.Net.NetworkCredential(`.
    fn method(&mut self, start: usize, end: usize) {
        let text = self.text;
        let word = text.slice(start..end);
        if word.len() == 1 {
            return;
        }
        let Some(dot) = memrchr(b'.', word) else { return };
        let last = word.get(dot + 1..).unwrap_or_default();
        if lookup::keyword(last) == Some(Keyword::Function) {
            self.keyword(Keyword::Function, end - last.len(), end);
        }
    }

    /// Masks a literal that is compared with the name that begins here.
    pub(super) fn mask_compared(&mut self, name: usize) {
        /// Between them, in bytes.
        const GAP_BYTES_MAX: usize = 16;
        let Some((literal, end)) = self.last.take() else { return };
        if name.saturating_sub(end) > GAP_BYTES_MAX || !self.sql.is_any() && !self.sql.selects() {
            return;
        }
        let gap = self.text.slice(end..name);
        let is_gap = gap.iter().all(|byte| {
            byte.is_ascii_whitespace() || matches!(byte, b'=' | b'<' | b'>' | b'!' | b'(' | b')')
        });
        let is_named = gap.trim_ascii().eq_ignore_ascii_case(b"as");
        if is_gap && gap.iter().any(|byte| matches!(byte, b'=' | b'<' | b'>')) || is_named {
            self.shell.unordered = true;
            self.mask(literal);
        }
    }

    pub(super) fn program(&mut self, program: &'static Program, word: &[u8]) {
        self.budget.count(Work::Flag);
        self.shell.start(program, self.quotes.depth());
        if program.reads && !word.is_empty() {
            self.mask_echo();
        }
    }

    /// Masks what is sent to a program that reads a secret from its input.
    pub(super) fn mask_echo(&mut self) {
        let Some(range) = self.shell.echoed.take() else { return };
        let text = self.text.slice(range.clone());
        /// Of white space that is left around it, in bytes.
        const SPACE_BYTES_MAX: usize = 64;
        let space = |bytes: &mut dyn Iterator<Item = &u8>| {
            bytes.take(SPACE_BYTES_MAX).take_while(|byte| byte.is_ascii_whitespace()).count()
        };
        let (front, back) = (space(&mut text.iter()), space(&mut text.iter().rev()));
        if front + back < text.len() {
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
                if self.text.byte(end) == b'(' && self.takes_secret(start, end) {
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
            Keyword::Hash if !self.sql.is_account() => self.sql.other_word(),
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

    /// Whether the literals of a function are secrets.
    fn takes_secret(&self, start: usize, end: usize) -> bool {
        /// Of the arguments that are looked at, in bytes.
        const ARGUMENTS_BYTES_MAX: usize = 256;
        self.budget.count(Work::Value);
        let rest = self.text.from(end + 1);
        let rest = rest.get(..ARGUMENTS_BYTES_MAX).unwrap_or(rest);
        let name = self.text.slice(start..end);
        if name.eq_ignore_ascii_case(b"set_config") {
            let quote = rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
            let setting = end + 2 + quote;
            return names::is_secret(self.text.slice(setting..self.word_at(setting)));
        }
        !name.eq_ignore_ascii_case(b"openrowset") || memmem::find(rest, b"';'").is_some()
    }

    /// Where the word that begins here ends: letters, digits and `_`, with `-` and
    /// `.` within.
    pub(super) fn word_at(&self, start: usize) -> usize {
        let end = self.end_of_word(start);
        self.budget.work(end - start);
        end
    }

    #[inline]
    fn end_of_word(&self, start: usize) -> usize {
        let mut at = start;
        loop {
            match self.text.byte(at) {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => at += 1,
                b'-' | b'.' if at > start => {
                    let next = self.text.byte(at + 1);
                    if !next.is_ascii_alphanumeric() && next != b'_' {
                        return at;
                    }
                    at += 1;
                }
                _ => return at,
            }
        }
    }
}
