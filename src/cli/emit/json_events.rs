//! Parses events from lines of protobuf JSON. A value may span several lines, as in indented JSON.

use prost_reflect::DynamicMessage;
use serde_json::Value;

use super::expected::check_event;
use crate::cli::import::lines::LineRead;
use crate::json::shape;
use crate::proto::pb;

/// The maximum length of a value, in bytes: that of the largest request.
const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Collects lines into JSON values, and values into events.
#[derive(Debug, Default)]
pub struct JsonEvents {
    /// A value that is not complete yet.
    begun: String,
    /// The line on which it begins.
    line: u64,
}

/// The result of parsing a value.
#[derive(Debug, PartialEq)]
pub struct ParsedEvent {
    /// The line on which it begins.
    pub line: u64,
    /// The event, or the error.
    pub event: Result<Box<pb::Event>, String>,
}

/// The state of parsing after some lines.
enum ParseResult {
    Whole(Value),
    /// The value is incomplete.
    Part,
    Wrong(String),
}

impl JsonEvents {
    /// Adds a line; returns the values that it completes.
    pub fn take(&mut self, number: u64, line: LineRead<'_>) -> Vec<ParsedEvent> {
        let text = match line {
            LineRead::Text(text) => text,
            LineRead::Bad(bad) => {
                let mut parsed = self.end();
                parsed.push(ParsedEvent { line: number, event: Err(bad.to_string()) });
                return parsed;
            }
        };
        if self.begun.is_empty() {
            return self.begin(number, text).into_iter().collect();
        }
        let before = self.begun.len();
        self.begun.push('\n');
        self.begun.push_str(text);
        match read(&self.begun) {
            ParseResult::Part if self.begun.len() <= VALUE_BYTES_MAX => Vec::new(),
            ParseResult::Whole(value) => {
                self.begun.clear();
                vec![ParsedEvent { line: self.line, event: event(value) }]
            }
            ParseResult::Part | ParseResult::Wrong(_) => {
                // The incomplete value is not JSON; this line may begin a new one.
                self.begun.truncate(before);
                let mut parsed = self.end();
                parsed.extend(self.begin(number, text));
                parsed
            }
        }
    }

    /// The input has ended; returns the incomplete value, if any.
    pub fn end(&mut self) -> Vec<ParsedEvent> {
        let begun = std::mem::take(&mut self.begun);
        match read(&begun) {
            _ if begun.is_empty() => Vec::new(),
            ParseResult::Wrong(reason) => vec![ParsedEvent { line: self.line, event: Err(reason) }],
            ParseResult::Part | ParseResult::Whole(_) => {
                let event = Err("the JSON value does not end".to_owned());
                vec![ParsedEvent { line: self.line, event }]
            }
        }
    }

    fn begin(&mut self, number: u64, text: &str) -> Option<ParsedEvent> {
        if text.trim().is_empty() {
            return None;
        }
        let event = match read(text) {
            ParseResult::Whole(value) => event(value),
            ParseResult::Wrong(reason) => Err(reason),
            ParseResult::Part => {
                self.line = number;
                text.clone_into(&mut self.begun);
                return None;
            }
        };
        Some(ParsedEvent { line: number, event })
    }
}

fn read(text: &str) -> ParseResult {
    match serde_json::from_str(text) {
        Ok(value) => ParseResult::Whole(value),
        Err(error) if error.is_eof() => ParseResult::Part,
        Err(error) if error.to_string().starts_with("trailing characters") => {
            ParseResult::Wrong("there is text after the event: write one event a line".to_owned())
        }
        Err(error) if text.trim_start().starts_with(['{', '[']) => {
            ParseResult::Wrong(format!("not JSON: {error}"))
        }
        Err(_) => ParseResult::Wrong(
            "not JSON: an event is an object such as {\"user_login\": {}}".to_owned(),
        ),
    }
}

/// The event of a value: itself, or that of a request or record.
fn event(mut value: Value) -> Result<Box<pb::Event>, String> {
    if let Some(inner) = value.get_mut("event").filter(|inner| inner.is_object()) {
        value = inner.take();
    }
    let wrong = |reason: String| format!("not an auditgate.v1.Event: {reason}");
    check_event(&value, &shape("Event")).map_err(wrong)?;
    let event = DynamicMessage::deserialize(shape("Event"), value)
        .map_err(|error| wrong(error.to_string()))?;
    event.transcode_to().map(Box::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of each value, and the id of its event or a part of its fault.
    fn parsed(lines: &[&str]) -> Vec<(u64, Result<String, String>)> {
        let mut input = JsonEvents::default();
        let mut parsed = Vec::new();
        for (number, line) in (1..).zip(lines) {
            parsed.extend(input.take(number, LineRead::Text(line)));
        }
        parsed.extend(input.end());
        let told = |parsed: ParsedEvent| {
            (parsed.line, parsed.event.map(|event| event.id.unwrap_or_default()))
        };
        parsed.into_iter().map(told).collect()
    }

    #[test]
    fn values_may_stretch_over_lines() {
        let lines = [
            r#"{"id": "a", "user_login": {}}"#,
            "",
            "{",
            r#"  "event": {"id": "b","#,
            r#"  "userLogin": {}}"#,
            "}",
            r#"{"sequence": "7", "type": "exec", "event": {"id": "c", "exec": {}}}"#,
        ];
        let id = |id: &str| Ok(id.to_owned());
        assert_eq!(parsed(&lines), [(1, id("a")), (3, id("b")), (7, id("c"))]);
    }

    #[test]
    fn a_bad_value_does_not_harm_those_that_follow() {
        let lines =
            [r#"{"id": "a""#, r#"{"id": "b"}"#, "nonsense", r#"{"nam": 1}"#, r#"{"id": "c"}"#, "{"];
        let parsed = parsed(&lines);
        let lines: Vec<u64> = parsed.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6]);
        let reasons: Vec<_> = parsed.into_iter().filter_map(|(_, event)| event.err()).collect();
        let [unended, no_json, unknown, cut_off] = reasons.as_slice() else {
            panic!("{reasons:?}")
        };
        assert_eq!(unended, "the JSON value does not end");
        assert!(no_json.starts_with("not JSON: "), "{no_json}");
        assert!(unknown.contains("nam"), "{unknown}");
        assert_eq!(cut_off, "the JSON value does not end");
    }
}
