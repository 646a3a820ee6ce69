//! Positions in the text of an expression.

use std::ops::Range;

/// A position in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The length in characters; 0 at the end of the text.
    pub length: usize,
}

impl Position {
    /// The position of a range of bytes.
    pub(super) fn new(source: &str, span: Range<usize>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let line = before.rsplit('\n').next().unwrap_or(before);
        let own = source.get(span).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            length: own.chars().count(),
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let source = "é == 'x' &&\n  éa.b";
        let found = |part: &str| {
            let start = source.find(part).expect(part);
            let Position { line, column, length } =
                Position::new(source, start..start + part.len());
            (line, column, length)
        };
        assert_eq!(found("'x'"), (1, 6, 3));
        assert_eq!(found("éa"), (2, 3, 2));
        let end = Position::new(source, source.len()..source.len());
        assert_eq!((end.line, end.column, end.length), (2, 7, 0));
    }
}
