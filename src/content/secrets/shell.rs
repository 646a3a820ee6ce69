//! The state of the shell command at a position of a text.

use std::ops::Range;

use super::programs::Program;

/// The program whose arguments come, and what they were so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Shell {
    pub(super) program: Option<&'static Program>,
    /// How many quotes were open where it stood.
    depth: usize,
    /// The word that makes its flags those of a login was read.
    has_needed: bool,
    /// Words so far that are no flags, where they count.
    position: u8,
    has_batch_flag: bool,
    /// How many words come before the secrets, where a word said so.
    from: Option<u8>,
    /// `sudo -S` reads the secret.
    pub(super) sudo_reads: bool,
    /// Where the arguments of `echo` began, and how many quotes were open there.
    echo: Option<(usize, usize)>,
    /// What is sent to the next program.
    pub(super) echoed: Option<Range<usize>>,
    pub(super) sudo: bool,
    /// A header that authenticates was named.
    pub(super) header: bool,
    /// Something was found that stands before what was found earlier.
    pub(super) unordered: bool,
}

impl Shell {
    /// A program begins.
    pub(super) fn start(&mut self, program: &'static Program, depth: usize) {
        self.program = Some(program);
        self.depth = depth;
        self.has_needed = program.needs.is_empty();
        self.position = 0;
        self.has_batch_flag = false;
        self.from = None;
    }

    /// `|`, `;` or `&`: another program comes.
    pub(super) fn separator(&mut self, byte: u8, at: usize, depth: usize) {
        if byte == b'|' {
            self.echoed = self.echo.map(|(start, _)| start..at);
        } else {
            self.echo.take_if(|echo| depth <= echo.1);
            self.echoed = None;
        }
        self.sudo = false;
        if depth <= self.depth {
            self.program = None;
        }
    }

    pub(super) fn line_end(&mut self, depth: usize) {
        self.echo = None;
        if depth < self.depth {
            self.program = None;
        }
    }

    pub(super) fn echo_from(&mut self, at: usize, depth: usize) {
        self.echo = Some((at, depth));
    }

    /// The program, if its flags are known here.
    pub(super) fn flags(&self) -> Option<&'static Program> {
        self.program.filter(|_| self.has_needed)
    }

    /// Whether the program has a secret behind this word. Notes the word.
    pub(super) fn announces(&mut self, word: &[u8]) -> bool {
        self.sudo |= word == b"sudo";
        let Some(program) = self.program else { return false };
        self.has_needed |= program.needs.as_bytes() == word;
        program.words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    }

    pub(super) fn flag(&mut self, word: &[u8]) {
        if self.program.is_some_and(|program| program.from.is_some()) {
            self.has_batch_flag |= word.contains(&b'b');
            self.position = self.position.saturating_add(u8::from(word.contains(&b'n')));
        }
    }

    /// Whether words of the program are told by their position.
    pub(super) fn counts_words(&self) -> bool {
        self.program.is_some_and(|program| program.from.is_some() || !program.after.is_empty())
    }

    /// Whether a word said that those behind it count.
    pub(super) fn counts_already(&self) -> bool {
        self.from.is_some()
    }

    /// Whether the words behind this one count.
    pub(super) fn counts_from(&mut self, word: &[u8]) -> bool {
        let Some(program) = self.program else { return false };
        let Some(before) = program.before_secret(word) else { return false };
        if self.from.is_some() {
            return false;
        }
        self.from = Some(before);
        self.position = 0;
        true
    }

    /// Whether the word that comes is one of those that are secrets. Counts it.
    pub(super) fn takes_positional(&mut self) -> bool {
        let Some(program) = self.program else { return false };
        let Some(from) = self.from.or(program.from) else { return false };
        let position = self.position;
        self.position = self.position.saturating_add(1);
        (self.has_batch_flag || self.from.is_some() || program.always) && position >= from
    }
}
