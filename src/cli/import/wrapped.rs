//! Finds events in the lines of container logs: after prefixes, in the format of a container
//! runtime, and split over several lines.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::lines::LINE_BYTES_MAX;

/// The most positions of a line at which an object is looked for.
const OBJECT_BEGINS_MAX: usize = 16;
/// The streams of a container.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum LineContent<'a> {
    /// A JSON object, or what seems to be one.
    Object(Cow<'a, str>),
    /// Nothing, or a part of an object that later lines complete.
    Nothing,
    /// Text without an object.
    NoObject,
    /// A part of an object that is longer than a line may be.
    TooLong,
}

/// Finds the objects of lines. Runtimes write long lines in pieces; those are put together.
#[derive(Debug, Default)]
pub struct LineUnwrapper {
    /// By stream, the pieces of a line that is not complete.
    pieces: HashMap<&'static str, String>,
}

/// A line of Docker's `json-file` driver.
#[derive(Deserialize)]
struct DockerLine<'a> {
    /// What the container wrote.
    #[serde(borrow)]
    log: Cow<'a, str>,
    /// The stream that it wrote to.
    #[serde(borrow)]
    stream: Cow<'a, str>,
    /// A key that only events have.
    event: Option<IgnoredAny>,
}

impl LineUnwrapper {
    /// Returns the content of a line.
    pub fn content<'a>(&mut self, line: &'a str) -> LineContent<'a> {
        let text = line.trim();
        if text.is_empty() {
            return LineContent::Nothing;
        }
        if text.starts_with('{') {
            return match docker(text) {
                Some((stream, log)) => {
                    let is_last = log.ends_with('\n');
                    self.piece(stream, Cow::Owned(log), is_last)
                }
                None => braced(text),
            };
        }
        match cri(text) {
            Some((stream, is_last, text)) => self.piece(stream, Cow::Borrowed(text), is_last),
            None => object(Cow::Borrowed(text)),
        }
    }

    /// Drops incomplete objects. Returns whether there were any.
    pub fn forget(&mut self) -> bool {
        self.pieces.drain().count() > 0
    }

    fn piece<'a>(
        &mut self,
        stream: &'static str,
        text: Cow<'a, str>,
        is_last: bool,
    ) -> LineContent<'a> {
        let before = self.pieces.get(stream).map_or(0, String::len);
        if before + text.len() > LINE_BYTES_MAX {
            self.pieces.remove(stream);
            return LineContent::TooLong;
        }
        if !is_last {
            self.pieces.entry(stream).or_default().push_str(&text);
            return LineContent::Nothing;
        }
        match self.pieces.remove(stream) {
            Some(mut whole) => {
                whole.push_str(&text);
                object(Cow::Owned(whole))
            }
            None => object(text),
        }
    }
}

/// The content of a line that begins with a brace: an object, unless the brace belongs to a prefix
/// such as `{pod="auth-0"}` before one.
fn braced(text: &str) -> LineContent<'_> {
    let behind = text.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace());
    let is_object = matches!(behind, Some(b'"' | b'}') | None);
    match object(Cow::Borrowed(if is_object { "" } else { text })) {
        found @ LineContent::Object(_) => found,
        _ => LineContent::Object(Cow::Borrowed(text)),
    }
}

/// The stream and text of a line of Docker's driver.
fn docker(line: &str) -> Option<(&'static str, String)> {
    // Nearly all lines are plain events, which should not be parsed twice.
    if !line.contains("\"log\"") || !line.contains("\"stream\"") {
        return None;
    }
    let DockerLine { log, stream, event: None } = serde_json::from_str(line).ok()? else {
        return None;
    };
    let stream = STREAMS.into_iter().find(|known| *known == stream)?;
    Some((stream, log.into_owned()))
}

/// The stream of a line of the form of the Container Runtime Interface, whether it is the
/// last piece of what the container wrote, and the text:
/// `2025-01-05T10:00:01.5Z stdout F text`.
fn cri(line: &str) -> Option<(&'static str, bool, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tags, text) = rest.split_once(' ')?;
    let stream = STREAMS.into_iter().find(|known| *known == stream)?;
    let is_last = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    time.starts_with(|c: char| c.is_ascii_digit()).then_some((stream, is_last, text))
}

/// The object at the end of a text.
fn object(text: Cow<'_, str>) -> LineContent<'_> {
    let mut first_cut = None;
    for (at, _) in text.match_indices('{').take(OBJECT_BEGINS_MAX) {
        let Some(rest) = text.get(at..) else { continue };
        match serde_json::from_str::<&RawValue>(rest) {
            Ok(_) => return LineContent::Object(from(text, at)),
            // It may be a truncated event, which must not be skipped.
            Err(error) => {
                let has_key = rest.get(1..).is_some_and(|rest| rest.trim_start().starts_with('"'));
                first_cut = first_cut.or((error.is_eof() && has_key).then_some(at));
            }
        }
    }
    match first_cut {
        Some(at) => LineContent::Object(from(text, at)),
        None => LineContent::NoObject,
    }
}

/// The text from a position on, without spaces at the end.
fn from(text: Cow<'_, str>, at: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(at..).unwrap_or_default().trim_end()),
        Cow::Owned(mut text) => {
            text.truncate(text.trim_end().len());
            text.drain(..at);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event":"exec","user":"ana {1}"}"#;

    fn found(line: &str) -> Option<String> {
        match LineUnwrapper::default().content(line) {
            LineContent::Object(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn an_object_is_found_behind_what_stands_before_it() {
        for prefix in [
            "",
            "  ",
            "2025-01-05T10:00:01.123456789Z stdout F ",
            "2025-01-05T10:00:01.123456789+01:00 stderr F ",
            "2025-01-05T10:00:01Z ",
            "[pod/teleport-auth-0/teleport] ",
            "[pod/teleport-auth-0/teleport] 2025-01-05T10:00:01Z ",
            "teleport-auth-0 teleport ",
            "teleport-1  | ",
            "Jan  5 10:00:01 host teleport[77]: ",
            "{app=\"teleport\", pod=\"auth-0\"} ",
            "map[a:{b}] {{ } ",
        ] {
            assert_eq!(found(&format!("{prefix}{EVENT}")).as_deref(), Some(EVENT), "{prefix:?}");
        }
    }

    #[test]
    fn text_without_an_object_is_told_from_an_object_that_is_cut_off() {
        let content = |line| LineUnwrapper::default().content(line);
        for text in
            ["INFO starting", "x", "[1, 2]", "{} trailing", "a { b } c", "time=1 {x", "map: {"]
        {
            let is_object = text.starts_with('{');
            assert_eq!(content(text) == LineContent::NoObject, !is_object, "{text}");
        }
        assert_eq!(content(" \t"), LineContent::Nothing);
        let cut = EVENT.get(..20).unwrap();
        assert_eq!(found(&format!("pod-0 {cut}")).as_deref(), Some(cut), "it is reported");
    }

    #[test]
    fn what_docker_wrote_is_taken_out() {
        let line = |log: &str, stream: &str| {
            let log = serde_json::to_string(log).unwrap();
            format!(r#"{{"log":{log},"stream":"{stream}","time":"2025-01-05T10:00:01.5Z"}}"#)
        };
        assert_eq!(found(&line(&format!("{EVENT}\n"), "stdout")).as_deref(), Some(EVENT));
        let content = |text: &str| LineUnwrapper::default().content(text) == LineContent::NoObject;
        assert!(content(&line("INFO starting\n", "stderr")));
        // An event that has such keys is an event.
        let own = r#"{"event":"x.y","log":"text\n","stream":"stdout"}"#;
        assert_eq!(found(own).as_deref(), Some(own));
    }

    #[test]
    fn pieces_are_put_together_by_stream() {
        let (a, rest) = EVENT.split_at(9);
        let (b, c) = rest.split_at(9);
        let mut unwrapper = LineUnwrapper::default();
        let mut take = |line: String| match unwrapper.content(&line) {
            LineContent::Object(text) => text.into_owned(),
            other => format!("{other:?}"),
        };
        let cri = |stream, tag, text| format!("2025-01-05T10:00:01Z {stream} {tag} {text}");
        assert_eq!(take(cri("stdout", "P", a)), "Nothing");
        assert_eq!(take(cri("stderr", "F", EVENT)), EVENT);
        assert_eq!(take(cri("stdout", "P:x", b)), "Nothing");
        assert_eq!(take(cri("stdout", "F", c)), EVENT);
        assert_eq!(take(cri("stdout", "F", EVENT)), EVENT, "nothing is left over");
        let half = "x".repeat(LINE_BYTES_MAX / 2 + 1);
        assert_eq!(take(cri("stdout", "P", &half)), "Nothing");
        assert_eq!(take(cri("stdout", "P", &half)), "TooLong");
        assert_eq!(take(cri("stdout", "F", EVENT)), EVENT);
        assert!(!unwrapper.forget());
        let piece = cri("stdout", "P", a);
        assert_eq!(unwrapper.content(&piece), LineContent::Nothing);
        assert!(unwrapper.forget() && !unwrapper.forget());
    }
}
