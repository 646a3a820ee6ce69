//! Looks through a text once, from the front, for what announces a secret.
//!
//! What was read decides what is expected next: behind the name of a secret a
//! separator, behind the separator a value. White space and comments stand between
//! without changing that. Nothing is read twice but for a bounded number of bytes,
//! so that the work grows with the length of the text, whatever it holds.

mod blanks;
mod logins;
mod marks;
mod markup;
mod pass;
mod values;
mod words;

use std::ops::Range;

use super::MaskBudget;
use super::budget::Work;
use super::forms::TokenFinder;
use super::lexer::{Close, Open, Quotes, Text};
use super::names;
use super::shell::Shell;
use super::sql::Sql;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    /// A separator, or the value itself, behind the name of a secret.
    Separator(SecretName),
    Value(How),
    /// A name and a secret, with this between them.
    Pair(u8),
}

/// How the name of a secret was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SecretName {
    start: usize,
    end: usize,
    flag: bool,
    /// Of a variable, or of a placeholder: `$password`.
    variable: bool,
    /// At the end of a path: `/etc/passwd`.
    path: bool,
    quoted: bool,
    literal_only: bool,
}

/// What announced a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct How {
    colon: bool,
    /// White space stands before the value.
    spaced: bool,
    flag: bool,
    /// Only what is quoted is a value: an operator of SQL was before.
    literal_only: bool,
    /// All of the line or of what is in quotes.
    header: bool,
    /// All of what is in quotes, which begins with the name.
    argument: bool,
    count: bool,
    sql: bool,
}

/// Where a comment began, what was expected before it.
#[derive(Debug, Clone, Copy)]
struct Comment {
    block: bool,
    expect: Expect,
    quotes: Quotes,
}

/// A walk through a text.
pub(super) struct SecretScan<'t> {
    text: Text<'t>,
    at: usize,
    /// What is to be masked.
    found: Vec<Range<usize>>,
    expect: Expect,
    comment: Option<Comment>,
    quotes: Quotes,
    sql: Sql,
    shell: Shell,
    /// The name of a secret was read, whose value may come as the member `value`.
    named: bool,
    /// A placeholder stood where a secret would.
    binds: bool,
    /// The literal that was read last: its content, and where it ends.
    last: Option<(Range<usize>, usize)>,
    /// Up to where users of data sources were looked for.
    source: usize,
    /// Literals are masked until this many brackets are open.
    bracket: Option<usize>,
    depth: usize,
    /// Literals are masked until the END of a CASE.
    cased: bool,
    /// `BETWEEN` was read: two literals follow.
    between: bool,
    /// In the rules of a user of Redis: `>secret`.
    rules: bool,
    /// Up to where a word goes on in which no place of a login was found.
    placeless: usize,
    tokens: TokenFinder,
    /// Up to here nothing behind `//` has a user, unless quotes change.
    userless: usize,
    /// The digit that was looked for last.
    digit: usize,
    /// Nothing is passed without a close look.
    #[cfg(test)]
    pub(super) closely: bool,
    budget: &'t MaskBudget,
}

impl<'t> SecretScan<'t> {
    /// A walk through this text.
    pub(super) fn new(text: &'t str, budget: &'t MaskBudget) -> Self {
        Self {
            text: Text::new(text, budget),
            at: 0,
            found: Vec::new(),
            expect: Expect::Nothing,
            comment: None,
            quotes: Quotes::default(),
            sql: Sql::default(),
            shell: Shell::default(),
            named: false,
            binds: false,
            last: None,
            source: 0,
            bracket: None,
            depth: 0,
            cased: false,
            between: false,
            rules: false,
            placeless: 0,
            tokens: TokenFinder::default(),
            userless: 0,
            digit: 0,
            #[cfg(test)]
            closely: false,
            budget,
        }
    }

    /// Whether a placeholder stands where a secret would.
    pub(super) fn binds_secret(mut self) -> bool {
        while self.at < self.text.len() && !self.binds && !self.budget.is_spent() {
            self.step();
            self.budget.count(Work::Step);
        }
        // In doubt it does.
        self.binds || self.budget.is_spent()
    }

    /// All that is to be masked, in order, without overlap.
    pub(super) fn run(mut self) -> Vec<Range<usize>> {
        while self.at < self.text.len() {
            let before = self.at;
            self.pass();
            if self.at < self.text.len() && !self.budget.is_spent() {
                self.step();
                self.budget.count(Work::Step);
            }
            debug_assert!(self.at > before || self.expect == Expect::Nothing, "it goes on");
            if self.budget.is_spent() {
                self.mask(self.at..self.text.len());
                break;
            }
        }
        if self.shell.unordered {
            self.found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        }
        let mut end = 0;
        self.found.retain(|range| {
            let keep = range.start >= end;
            end = end.max(range.end);
            keep
        });
        self.found
    }

    fn step(&mut self) {
        if blanks::may_begin_with(self.text.byte(self.at)) && self.blank() {
            return;
        }
        match self.expect {
            Expect::Nothing => self.dispatch(),
            Expect::Separator(name) => self.separator(name),
            Expect::Value(how) => self.value(how),
            Expect::Pair(between) => self.pair(between),
        }
    }

    /// Nothing is expected.
    fn dispatch(&mut self) {
        let byte = self.text.byte(self.at);
        if self.masks_literals() {
            if self.literal() {
                return;
            }
            if matches!(byte, b'?' | b'$' | b':' | b'@' | b'%') {
                self.binds = true;
                if byte == b'%' {
                    self.mask_rest_of_call();
                }
                self.at = self.word_at(self.at + 1);
                return;
            }
        }
        if self.shell.counts_words() && self.positional(byte) {
            return;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => self.word(),
            b'-' | 0xe2 => self.dash(),
            b'"' | b'\'' | b'\\' => self.quote(),
            b'/' if self.text.byte(self.at + 1) == b'/' => self.url(),
            b'/' => self.slash(),
            b'(' | b'[' | b'{' | b')' | b']' | b'}' | b',' | b'=' => self.structure(byte),
            b';' | b'|' | b'&' => {
                if byte == b';' {
                    self.sql = Sql::default();
                    self.cased = false;
                    self.rules = false;
                }
                self.shell.separator(byte, self.at, self.quotes.depth());
                self.at += 1;
            }
            b'<' if self.reads() => self.input(),
            b'>' | b'<' if self.rules && self.at > 0 && self.text.byte(self.at - 1) == b' ' => {
                self.at += 1;
                let value = self.text.value(self.at, &self.quotes, false);
                self.mask(value.secret);
                self.at = value.end.max(self.at);
            }
            b'@' if self.text.from(self.at).starts_with(b"@tcp(")
                || self.text.from(self.at).starts_with(b"@unix(") =>
            {
                self.data_source();
            }
            _ => self.at += 1,
        }
    }

    /// Whether what is sent to the input here may be a secret.
    fn reads(&self) -> bool {
        let here = self.text.from(self.at);
        self.shell.program.is_some_and(|program| program.reads)
            || here.starts_with(b"<<<") && (self.named || self.shell.sudo_reads)
    }

    fn masks_literals(&self) -> bool {
        self.bracket.is_some() || self.cased || self.sql.masks_literals()
    }

    /// Masks the literal here, if there is one that is to be masked.
    fn literal(&mut self) -> bool {
        let byte = self.text.byte(self.at);
        let opens = match byte {
            b'`' => false,
            b'"' | b'\'' => true,
            b'0'..=b'9' => self.sql.in_tuple(),
            _ => self.text.open(self.at).is_some(),
        };
        if !opens || self.text.closes_outer(self.at, &self.quotes) {
            return false;
        }
        // In a comment an apostrophe is one.
        let is_within_word = self.at > 0
            && self.text.byte(self.at - 1).is_ascii_alphabetic()
            && self.text.byte(self.at + 1).is_ascii_alphabetic();
        if byte == b'\'' && is_within_word && self.comment.is_some() {
            return false;
        }
        let value = self.text.value(self.at, &self.quotes, true);
        let is_digest =
            self.bracket.is_some() && names::is_digest(self.text.slice(value.secret.clone()));
        let behind = self.text.byte(value.end);
        // 'user'@'host', and the name of a member of an object.
        let is_name = self.bracket.is_none() && behind == b'@'
            || self.at > 0 && self.text.byte(self.at - 1) == b'@' && self.bracket.is_none()
            || self.bracket.is_some() && behind == b':'
            || self.sql.takes_plugin();
        if !is_name && !is_digest {
            self.mask(value.secret);
        }
        self.at = value.end.max(self.at + 1);
        true
    }

    /// `format('... %L', 'x')`: what takes the place of this follows in the same brackets.
    fn mask_rest_of_call(&mut self) {
        if self.quotes.depth() > 0 && self.depth > 0 {
            self.bracket = self.bracket.or(Some(self.depth));
        }
    }

    fn mask(&mut self, range: Range<usize>) {
        self.budget.spend();
        if !range.is_empty() && !self.text.is_marker(range.clone()) {
            self.found.push(range);
        }
    }
}

impl How {
    /// Behind an operator a backtick opens no literal.
    fn literal_only_is_broken_by(self, open: &Open) -> bool {
        matches!(open.close, Close::Quote { quote: b'`', .. }) && (self.literal_only || self.sql)
    }
}
