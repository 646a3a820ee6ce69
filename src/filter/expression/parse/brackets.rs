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
        let mut elements = Vec::new();
        let close = loop {
            if let Some(close) = self.take("]") {
                break close;
            }
            if let Some(sign) = self.take("?") {
                return Err(optional(sign));
            }
            elements.push(self.expression()?);
            if self.take(",").is_none() {
                break self.close(&open, "[", "]")?;
            }
        };
        let depth = deepest(&elements);
        node(open.start..close.end, depth, Kind::List(elements))
    }

    pub(super) fn map(&mut self, open: Range<usize>) -> Result<Expr, Fault> {
        let mut entries = Vec::new();
        let mut depth = 0;
        let close = loop {
            if let Some(close) = self.take("}") {
                break close;
            }
            if let Some(sign) = self.take("?") {
                return Err(optional(sign));
            }
            let key = self.expression()?;
            if self.take(":").is_none() {
                return Err(self.unexpected("a : must follow the key of a map"));
            }
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value));
            if self.take(",").is_none() {
                break self.close(&open, "{", "}")?;
            }
        };
        node(open.start..close.end, depth, Kind::Map(entries))
    }

    pub(super) fn message(&mut self, start: usize, name: String) -> Result<Expr, Fault> {
        let open = self.next().span;
        let mut fields = Vec::new();
        let mut depth = 0;
        let close = loop {
            if let Some(close) = self.take("}") {
                break close;
            }
            if let Some(sign) = self.take("?") {
                return Err(optional(sign));
            }
            let Lexeme { token, span } = self.next();
            let text = match token {
                Token::Name(text) if !is_keyword(&text) => text,
                Token::QuotedName(text) => text,
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("a field name is expected here"));
                }
            };
            if self.take(":").is_none() {
                return Err(self.unexpected("a : must follow the name of a field"));
            }
            let value = self.expression()?;
            depth = depth.max(value.depth);
            fields.push((Name { text, span }, value));
            if self.take(",").is_none() {
                break self.close(&open, "{", "}")?;
            }
        };
        node(start..close.end, depth, Kind::Message(name, fields))
    }
}
