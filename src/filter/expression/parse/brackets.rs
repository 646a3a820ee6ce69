//! Parses the content of brackets: arguments, lists, maps and messages.

use std::ops::Range;

use super::faults::optional;
use super::{Parser, deepest, is_keyword, node};
use crate::filter::expression::syntax::{Expr, Kind, Name};
use crate::filter::expression::token::{Fault, Lexeme, Token};

impl Parser {
    /// The arguments of a call, and the end of its bracket.
    pub(super) fn arguments(&mut self, open: &Range<usize>) -> Result<(Vec<Expr>, usize), Fault> {
        let mut arguments = Vec::new();
        if let Some(close) = self.take(")") {
            return Ok((arguments, close.end));
        }
        loop {
            arguments.push(self.expression()?);
            if self.take(",").is_none() {
                return Ok((arguments, self.close(open, "(", ")")?.end));
            }
        }
    }

    pub(super) fn list(&mut self, open: Range<usize>) -> Result<Expr, Fault> {
        let (elements, close) = self.entries(&open, ("[", "]"), Self::expression)?;
        let depth = deepest(&elements);
        node(open.start..close.end, depth, Kind::List(elements))
    }

    pub(super) fn map(&mut self, open: Range<usize>) -> Result<Expr, Fault> {
        let (entries, close) = self.entries(&open, ("{", "}"), |parser| {
            let key = parser.expression()?;
            Ok((key, parser.entry_value("a : must follow the key of a map")?))
        })?;
        let depth = entries.iter().map(|(key, value)| key.depth.max(value.depth)).max();
        node(open.start..close.end, depth.unwrap_or_default(), Kind::Map(entries))
    }

    pub(super) fn message(&mut self, start: usize, name: String) -> Result<Expr, Fault> {
        let open = self.next().span;
        let (fields, close) = self.entries(&open, ("{", "}"), |parser| {
            let Lexeme { token, span } = parser.next();
            let text = match token {
                Token::Name(text) if !is_keyword(&text) => text,
                Token::QuotedName(text) => text,
                _ => {
                    parser.at -= 1;
                    return Err(parser.unexpected("a field name is expected here"));
                }
            };
            let value = parser.entry_value("a : must follow the name of a field")?;
            Ok((Name { text, span }, value))
        })?;
        let depth = fields.iter().map(|(_, value)| value.depth).max();
        node(start..close.end, depth.unwrap_or_default(), Kind::Message(name, fields))
    }

    /// Entries with commas between them, and optionally after the last one.
    /// Returns them with the closing bracket.
    fn entries<T>(
        &mut self,
        open: &Range<usize>,
        (bracket, sign): (&str, &str),
        mut entry: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<(Vec<T>, Range<usize>), Fault> {
        let mut entries = Vec::new();
        loop {
            if let Some(close) = self.take(sign) {
                return Ok((entries, close));
            }
            if let Some(sign) = self.take("?") {
                return Err(optional(sign));
            }
            entries.push(entry(self)?);
            if self.take(",").is_none() {
                let close = self.close(open, bracket, sign)?;
                return Ok((entries, close));
            }
        }
    }

    /// The value of an entry, after its colon.
    fn entry_value(&mut self, colon_missing: &str) -> Result<Expr, Fault> {
        if self.take(":").is_none() {
            return Err(self.unexpected(colon_missing));
        }
        self.expression()
    }
}
