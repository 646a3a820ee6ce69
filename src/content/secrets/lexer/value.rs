//! Where values end: quoted pieces, unquoted ones, and those that adjoin.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::super::MARKER;
use super::super::budget::Work;
use super::{Close, Open, Quotes, Text, Value};

/// Whether a byte goes on with an unquoted piece, whatever is around it.
fn is_within_word(byte: u8) -> bool {
    !matches!(
        byte,
        b' ' | b'\t'
            ..=b'\r'
                | b'"'
                | b'\''
                | b'\\'
                | b'&'
                | b';'
                | b'['
                | b'$'
                | b','
                | b')'
                | b']'
                | b'}'
                | 0xc2
                | 0xe1
                | 0xe2
                | 0xe3
                | 0xef
    )
}

impl Text<'_> {
    /// Reads on from an opened quote to behind its end: where the content ends, and
    /// where reading goes on. `None` where it is not closed.
    pub(super) fn closed(&self, open: &Open, in_doubt: &mut bool) -> Option<(usize, usize)> {
        let closed = self.find_close(open, in_doubt);
        self.count_read(open.inner, closed.map_or(self.len(), |(_, end)| end));
        closed
    }

    fn find_close(&self, open: &Open, in_doubt: &mut bool) -> Option<(usize, usize)> {
        match open.close {
            Close::Quote { quote, backslashes } => {
                self.closed_by(open, quote, backslashes, in_doubt)
            }
            Close::Text { range } => {
                let found = memmem::find(self.from(open.inner), self.slice(range.0..range.1))?;
                let end = open.inner + found;
                Some((end, end + (range.1 - range.0)))
            }
            Close::Typographic(closing) => {
                let first = *closing.first()?.as_bytes().first()?;
                let mut at = open.inner;
                loop {
                    at += memchr(first, self.from(at))?;
                    self.count(Work::Mark);
                    let found = closing.iter().find(|it| self.from(at).starts_with(it.as_bytes()));
                    if let Some(found) = found {
                        return Some((at, at + found.len()));
                    }
                    at += 1;
                }
            }
            Close::Bracket(bracket) => {
                let end = open.inner + memmem::find(self.from(open.inner), &[bracket, b'\''])?;
                Some((end, end + 2))
            }
            Close::Brace => {
                let mut at = open.inner;
                loop {
                    at += memchr(b'}', self.from(at))?;
                    self.count(Work::Mark);
                    if self.byte(at + 1) != b'}' {
                        return Some((at, at + 1));
                    }
                    at += 2;
                }
            }
        }
    }

    /// Where an opened quote ends; where it is not closed, the end of the text.
    pub(in super::super) fn closed_or_end(&self, open: &Open) -> usize {
        self.closed(open, &mut false).map_or(self.len(), |(_, end)| end)
    }

    pub(super) fn closed_by(
        &self,
        open: &Open,
        quote: u8,
        backslashes: usize,
        in_doubt: &mut bool,
    ) -> Option<(usize, usize)> {
        let mut at = open.inner;
        let mut content = open.inner;
        let mut escaped = false;
        loop {
            at += memchr(quote, self.from(at))?;
            self.count(Work::Mark);
            let before = self.slice(content..at);
            let found = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            let is_inner = if backslashes == 0 {
                found % 2 == 1 && open.escapes != Some(false)
            } else {
                found > backslashes
            };
            if is_inner {
                escaped = true;
                at += 1;
                content = at;
                continue;
            }
            // A quote within is doubled.
            if backslashes == 0 && self.byte(at + 1) == quote {
                at += 2;
                content = at;
                continue;
            }
            let end = if backslashes == 0 { at } else { at - found };
            *in_doubt |= escaped && backslashes == 0 && open.escapes.is_none();
            return Some((end, at + 1));
        }
    }

    /// Whether a quote here closes one that was opened around the value.
    #[inline]
    pub(in super::super) fn closes_outer(&self, at: usize, quotes: &Quotes) -> bool {
        // Mostly nothing is quoted, or there is no quote.
        quotes.depth() > 0
            && matches!(self.byte(at), b'"' | b'\'' | b'\\')
            && self.quote_closes_outer(at, quotes)
    }

    fn quote_closes_outer(&self, at: usize, quotes: &Quotes) -> bool {
        let Some((quote, backslashes, len)) = self.plain_quote(at) else { return false };
        // Not where a shell writes a quote within quotes.
        if self.shell_quote(at).is_some() || self.from(at).starts_with(br#"'"'"'"#) {
            return false;
        }
        let next = self.byte(at + len);
        if next == quote {
            return false;
        }
        let is_end = at + len >= self.len()
            || self.space_len(at + len) > 0
            || matches!(
                next,
                b',' | b';'
                    | b':'
                    | b')'
                    | b']'
                    | b'}'
                    | b'|'
                    | b'&'
                    | b'>'
                    | b'"'
                    | b'\''
                    | b'\\'
                    | b'<'
                    | b'.'
            );
        is_end && quotes.has(quote, backslashes)
    }

    /// Reads the value at a place: pieces that are quoted or not, one behind the
    /// other. Where `by_word` is not set, also white space and operators may stand
    /// between quoted pieces, as in SQL.
    pub(in super::super) fn value(&self, start: usize, quotes: &Quotes, sql: bool) -> Value {
        self.count(Work::Value);
        let mut at = start;
        let mut pieces = 0;
        let mut single: Option<Range<usize>> = None;
        let mut in_doubt: Option<u8> = None;
        let whole = |end| Value { secret: start..end, end, quoted: false };
        loop {
            self.count(Work::Piece);
            if !self.closes_outer(at, quotes)
                && let Some(open) = self.open_within(at, quotes)
            {
                let mut doubt = false;
                let Some((end, next)) = self.closed(&open, &mut doubt) else {
                    return whole(self.len());
                };
                if doubt && let Close::Quote { quote, .. } = open.close {
                    // Only where the language is told apart by its dialect alone.
                    if quote == b'\'' || sql {
                        in_doubt = Some(quote);
                    }
                }
                pieces += 1;
                single = (pieces == 1).then_some(open.inner..end);
                at = self.adjoining(next, quotes);
                if at > next {
                    continue;
                }
                at = next;
                continue;
            }
            // Before the word is read: it may be long, and is no part of the value.
            let parts = matches!(self.byte(at), b',' | b')' | b']' | b'}' | b':' | b'@');
            if single.is_some() && parts {
                break;
            }
            let end = self.word_end(at, quotes);
            if end == at {
                break;
            }
            pieces += 1;
            single = None;
            at = end;
        }
        if in_doubt.is_some_and(|quote| memchr(quote, self.from(at)).is_some()) {
            return whole(self.len());
        }
        match single {
            Some(secret) => Value { secret, end: at, quoted: true },
            None => whole(at),
        }
    }

    /// The quote that opens here; a doubled one is a quote of the text that is quoted itself.
    fn open_within(&self, at: usize, quotes: &Quotes) -> Option<Open> {
        let quote = self.byte(at);
        let doubled = matches!(quote, b'"' | b'\'')
            && self.byte(at + 1) == quote
            && quotes.has(quote, 0)
            && !self.ends_behind(at + 2);
        if doubled {
            let close = Close::Text { range: (at, at + 2) };
            return Some(Open { inner: at + 2, close, escapes: Some(false) });
        }
        self.open(at)
    }

    /// Where a further quoted piece begins behind white space or an operator; the
    /// same place where there is none.
    pub(super) fn adjoining(&self, at: usize, quotes: &Quotes) -> usize {
        /// Longest comment between two pieces, in bytes.
        const COMMENT_BYTES_MAX: usize = 256;
        let mut next = at;
        let mut operators = 0;
        while next < self.len() {
            let space = self.space_len(next);
            if space > 0 {
                next += space;
            } else if matches!(self.byte(next), b'|' | b'+') && operators < 2 {
                operators += 1;
                next += 1;
            } else if self.byte(next) == b'\\'
                && matches!(self.byte(next + 1), b'\n' | b'\r' | b'n' | b'r' | b't')
            {
                next += 2;
            } else if self.from(next).starts_with(b"--") && self.space_len(next + 2) > 0 {
                let Some(line) = memchr(
                    b'\n',
                    self.from(next).get(..COMMENT_BYTES_MAX).unwrap_or(self.from(next)),
                ) else {
                    return at;
                };
                next += line;
            } else if self.from(next).starts_with(b"/*") {
                let window = self.from(next).get(..COMMENT_BYTES_MAX).unwrap_or(self.from(next));
                let Some(close) = memmem::find(window, b"*/") else { return at };
                next += close + 2;
            } else {
                break;
            }
        }
        self.count_read(at, next);
        if next == at || self.closes_outer(next, quotes) {
            return at;
        }
        match self.open(next) {
            Some(open)
                if !matches!(open.close, Close::Quote { quote: b'`', .. } | Close::Brace) =>
            {
                next
            }
            // What is put together with a secret is part of it: `'x' || CHR(65)`.
            _ if operators > 0 && self.byte(next).is_ascii_alphanumeric() => {
                let end = self.word_end(next, quotes);
                if end > next { next } else { at }
            }
            _ => at,
        }
    }

    /// Where the unquoted piece that begins here ends.
    pub(in super::super) fn word_end(&self, start: usize, quotes: &Quotes) -> usize {
        let mut at = start;
        while at < self.len() {
            at += self.from(at).iter().take_while(|byte| is_within_word(**byte)).count();
            match self.byte(at) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => break,
                0xc2 | 0xe1 | 0xe2 | 0xe3 | 0xef if self.space_len(at) > 0 => break,
                b'"' | b'\'' => break,
                b'\\' => match self.plain_quote(at) {
                    // In a text that is quoted itself, one that is escaped is a quote.
                    Some((_, backslashes, _)) if quotes.has_within(backslashes) => break,
                    Some((_, _, len)) => {
                        if self.ends_behind(at + len) || self.closes_outer(at, quotes) {
                            break;
                        }
                        at += len;
                    }
                    None => {
                        let behind = at + self.backslashes(at);
                        at = behind
                            + usize::from(behind < self.len() && self.byte(behind).is_ascii());
                    }
                },
                b'&' | b';' => {
                    if self.separates(at + 1) {
                        break;
                    }
                    at += 1;
                }
                b'[' if self.from(at).starts_with(MARKER.as_bytes()) => at += MARKER.len(),
                b'$' if self.byte(at + 1) == b'(' => at = self.substitution(at + 2),
                b',' | b')' | b']' | b'}' if self.ends_behind(at + 1) => break,
                _ => at += 1,
            }
        }
        let end = at.min(self.len());
        self.count_read(start, end);
        end
    }

    /// Whether nothing of an unquoted piece stands here.
    pub(in super::super) fn ends_word(&self, at: usize, quotes: &Quotes) -> bool {
        /// Enough for the longest escape.
        const LOOK_BYTES: usize = 8;
        match self.byte(at) {
            byte if is_within_word(byte) => at >= self.len(),
            b' ' | b'\t'..=b'\r' | b'"' | b'\'' => true,
            _ => self.ends_word_by_mark(at, quotes, LOOK_BYTES),
        }
    }

    fn ends_word_by_mark(&self, at: usize, quotes: &Quotes, look_bytes: usize) -> bool {
        self.until(at + look_bytes).word_end(at, quotes) == at
    }

    /// Whether what stands here goes on with something else.
    pub(super) fn ends_behind(&self, at: usize) -> bool {
        at >= self.len()
            || self.space_len(at) > 0
            || matches!(self.byte(at), b',' | b';' | b')' | b']' | b'}' | b':')
    }

    /// Whether `&` or `;` before this place parts a value from the next one.
    pub(super) fn separates(&self, at: usize) -> bool {
        /// Of the name of a parameter, in bytes.
        const NAME_BYTES_MAX: usize = 40;
        if at >= self.len()
            || self.space_len(at) > 0
            || matches!(self.byte(at), b'&' | b';' | b'"' | b'\'')
        {
            return true;
        }
        let name = self.from(at).iter().take(NAME_BYTES_MAX);
        let len = name
            .take_while(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'[' | b']')
            })
            .count();
        len > 0 && self.byte(at + len) == b'='
    }

    /// Where `$(...)` ends, of which the parenthesis was read.
    pub(in super::super) fn substitution(&self, start: usize) -> usize {
        let mut depth = 1usize;
        let mut at = start;
        while at < self.len() {
            match self.byte(at) {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return at;
            }
        }
        self.len()
    }
}
