//! Draws a caret below the position of a fault in an expression.

use super::{escape, terminal};
use crate::client::ExpressionPlace;

/// What the lines begin with.
const INDENT: &str = "  ";
/// The most columns of a line that are shown, if the terminal is not narrower.
const COLUMNS_MAX: usize = 100;
/// The least part of the line that is shown before the fault, in columns.
const COLUMNS_BEFORE: usize = 30;

/// The line of the fault, and below it a caret under each character of the fault; `None` if the
/// expression has no such position.
pub fn pointed(expression: &str, place: ExpressionPlace, width: Option<usize>) -> Option<String> {
    let line = expression.split('\n').nth(place.line.checked_sub(1)? as usize)?;
    let start = place.column.checked_sub(1)? as usize;
    let faulty = place.length as usize;
    if start > line.chars().count() {
        return None;
    }
    let width = width.unwrap_or(COLUMNS_MAX).clamp(2 * COLUMNS_BEFORE, COLUMNS_MAX);
    let room = width.saturating_sub(INDENT.len());
    let before: String = line.chars().take(start).collect();
    let fault: String = line.chars().skip(start).take(faulty).collect();
    let after: String = line.chars().skip(start.saturating_add(faulty)).collect();
    let [before, fault, after] =
        [before, fault, after].map(|text| escape::escaped(&text).into_owned());
    // A long line is cut to the part around the fault.
    let whole = terminal::columns(&before) + terminal::columns(&fault) + terminal::columns(&after);
    let (before, mark) = match whole <= room {
        true => (before, ""),
        false => ends(&before, COLUMNS_BEFORE),
    };
    let shown = terminal::cut(&format!("{mark}{before}{fault}{after}"), room);
    let column = terminal::columns(mark) + terminal::columns(&before);
    let length = terminal::columns(&fault).clamp(1, room.saturating_sub(column).max(1));
    Some(format!("{INDENT}{shown}\n{INDENT}{:column$}{}", "", "^".repeat(length)))
}

/// The end of a text in at most `width` columns, and the mark for what is left out.
fn ends(text: &str, width: usize) -> (String, &'static str) {
    if terminal::columns(text) <= width {
        return (text.to_owned(), "");
    }
    let mut kept: Vec<char> = Vec::new();
    let mut columns = 0;
    for letter in text.chars().rev() {
        columns += terminal::columns(letter.encode_utf8(&mut [0; 4]));
        if columns > width {
            break;
        }
        kept.push(letter);
    }
    (kept.into_iter().rev().collect(), "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointed(expression: &str, line: u32, column: u32, length: u32) -> Option<String> {
        super::pointed(expression, ExpressionPlace { line, column, length }, Some(80))
    }

    #[test]
    fn carets_stand_under_the_fault() {
        assert_eq!(
            pointed("event.usr.name == 'x'", 1, 7, 3).as_deref(),
            Some("  event.usr.name == 'x'\n        ^^^")
        );
        assert_eq!(pointed("a ==", 1, 5, 0).as_deref(), Some("  a ==\n      ^"), "at the end");
        assert_eq!(
            pointed("a == b\n  && type = 'x'", 2, 11, 1).as_deref(),
            Some("    && type = 'x'\n            ^")
        );
        assert_eq!(pointed("'李' = 1", 1, 5, 1).as_deref(), Some("  '李' = 1\n       ^"));
        assert_eq!(pointed("a\t= 1", 1, 3, 1).as_deref(), Some("  a\\t= 1\n     ^"));
        for (line, column) in [(0, 1), (1, 0), (2, 1), (1, 9)] {
            assert_eq!(pointed("abc", line, column, 1), None, "{line}:{column}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_fault() {
        let expression = format!("{} = {}", "x".repeat(500), "y".repeat(500));
        let text = pointed(&expression, 1, 502, 1).expect("a place");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| terminal::columns(line) <= 80), "{text}");
        let place = terminal::columns(lines[1].trim_end_matches('^'));
        assert_eq!(lines[0].chars().nth(place), Some('='), "{text}");
        let long = pointed(&"z".repeat(1_000), 1, 1, 1_000).expect("a place");
        assert!(long.lines().all(|line| terminal::columns(line) <= 80), "{long}");
    }
}
