//! Splits an input into items, with bounded memory: lines, and the elements of JSON arrays that
//! begin on a line.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::lines::{LINE_BYTES_MAX, LineRead};

/// Reads items.
#[derive(Debug)]
pub struct ItemReader<R> {
    input: R,
    /// Number of the line that is read.
    line: u64,
    /// Number of the line on which the item began.
    begin: u64,
    buffer: Vec<u8>,
    /// Length of the item so far, including what was not kept.
    length: usize,
    state: ItemState,
    /// `buffer` holds an item that was handed out.
    is_complete: bool,
}

/// The position of the reader within the input's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ItemState {
    /// At the beginning of a line, of which spaces were read at most.
    LineBegin,
    /// Within a line.
    Line,
    /// Behind a bracket at the beginning of a line: an array, if an object follows.
    Bracket,
    /// Within an array, before an element.
    BeforeElement,
    /// Within an element.
    Element(ElementState),
    /// Behind an array, until the line ends.
    BehindArray,
}

/// The position of the reader within an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ElementState {
    /// How many brackets and braces are open.
    depth: u32,
    /// Within a string.
    in_string: bool,
    /// Behind a backslash.
    is_escaped: bool,
}

/// How a byte changes the current item.
enum ByteStep {
    /// It belongs to the item.
    Keep,
    /// It belongs to no item.
    Skip,
    /// It is read again; the bytes read so far belong to no item.
    DropBefore,
    /// It and the bytes read so far belong to no item.
    Drop,
    /// It is the last one of the item.
    KeepLast,
    /// The item ended before it; it belongs to none.
    EndBefore,
    /// The item ended before it, which is read again.
    EndAt,
}

impl<R: AsyncBufRead + Unpin> ItemReader<R> {
    /// The items of `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 1,
            begin: 1,
            buffer: Vec::new(),
            length: 0,
            state: ItemState::LineBegin,
            is_complete: false,
        }
    }

    /// The next item with the number of the line on which it begins, from 1. An empty line
    /// is an item. Cancelling loses nothing.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<(u64, LineRead<'_>)>> {
        if std::mem::take(&mut self.is_complete) {
            self.buffer.clear();
            self.length = 0;
            self.begin = self.line;
        }
        loop {
            let read = self.input.fill_buf().await?;
            if read.is_empty() {
                if self.length == 0 {
                    return Ok(None);
                }
                self.state = ItemState::LineBegin;
                break;
            }
            // Most of what is read is the middle of a line.
            let plain = match self.state {
                ItemState::Line => memchr::memchr(b'\n', read).unwrap_or(read.len()),
                _ => 0,
            };
            if plain > 0 {
                let (line, _) = read.split_at(plain);
                self.length += line.len();
                if self.length <= LINE_BYTES_MAX {
                    self.buffer.extend_from_slice(line);
                }
                self.input.consume(plain);
                continue;
            }
            let mut used = 0;
            let mut is_end = false;
            for byte in read.iter().copied() {
                let line = self.line;
                let (state, step) = self.state.next(byte);
                self.state = state;
                let is_kept = matches!(step, ByteStep::Keep | ByteStep::KeepLast);
                if matches!(step, ByteStep::Drop | ByteStep::DropBefore) {
                    self.buffer.clear();
                    self.length = 0;
                }
                if matches!(step, ByteStep::DropBefore) {
                    break;
                }
                if !matches!(step, ByteStep::EndAt) {
                    used += 1;
                    self.line += u64::from(byte == b'\n');
                }
                if is_kept {
                    if self.length == 0 {
                        self.begin = line;
                    }
                    self.length += 1;
                    if self.length <= LINE_BYTES_MAX {
                        self.buffer.push(byte);
                    }
                }
                is_end = matches!(step, ByteStep::KeepLast | ByteStep::EndBefore | ByteStep::EndAt);
                if is_end || state == ItemState::Line {
                    break;
                }
            }
            self.input.consume(used);
            if is_end {
                break;
            }
        }
        self.is_complete = true;
        Ok(Some((self.begin, LineRead::of(&self.buffer, self.length))))
    }
}

impl ItemState {
    /// The state after a byte, and the effect of the byte.
    fn next(self, byte: u8) -> (Self, ByteStep) {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match (self, byte) {
            (Self::LineBegin | Self::Line, b'\n') => (Self::LineBegin, ByteStep::EndBefore),
            (Self::LineBegin, b'[') => (Self::Bracket, ByteStep::Keep),
            (Self::LineBegin, _) if is_space => (self, ByteStep::Skip),
            (Self::LineBegin | Self::Line, _) => (Self::Line, ByteStep::Keep),
            (Self::Bracket, b'{') => (Self::BeforeElement, ByteStep::DropBefore),
            (Self::Bracket, b']') => (Self::BehindArray, ByteStep::Drop),
            (Self::Bracket, _) if is_space => (self, ByteStep::Keep),
            (Self::Bracket, _) => (Self::Line, ByteStep::Keep),
            (Self::BeforeElement, b',') => (self, ByteStep::Skip),
            (Self::BeforeElement, b']') => (Self::BehindArray, ByteStep::Skip),
            (Self::BeforeElement, _) if is_space => (self, ByteStep::Skip),
            (Self::BeforeElement, _) => ElementState::BEGIN.next(byte),
            (Self::Element(element), _) => element.next(byte),
            (Self::BehindArray, b'\n') => (Self::LineBegin, ByteStep::Skip),
            (Self::BehindArray, _) => (self, ByteStep::Skip),
        }
    }
}

impl ElementState {
    const BEGIN: Self = Self { depth: 0, in_string: false, is_escaped: false };

    fn next(self, byte: u8) -> (ItemState, ByteStep) {
        if self.in_string {
            let is_end = byte == b'"' && !self.is_escaped;
            let is_escaped = byte == b'\\' && !self.is_escaped;
            let state = Self { in_string: !is_end, is_escaped, ..self };
            return (ItemState::Element(state), ByteStep::Keep);
        }
        let is_outside = self.depth == 0;
        match byte {
            b'"' => (ItemState::Element(Self { in_string: true, ..self }), ByteStep::Keep),
            b'{' | b'[' => {
                let depth = self.depth.saturating_add(1);
                (ItemState::Element(Self { depth, ..self }), ByteStep::Keep)
            }
            b',' | b']' if is_outside => (ItemState::BeforeElement, ByteStep::EndAt),
            b'}' | b']' if self.depth <= 1 => (ItemState::BeforeElement, ByteStep::KeepLast),
            b'}' | b']' => {
                (ItemState::Element(Self { depth: self.depth - 1, ..self }), ByteStep::Keep)
            }
            _ => (ItemState::Element(self), ByteStep::Keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    /// The items of a text that comes in pieces of this size.
    async fn items(text: &[u8], piece: usize) -> Vec<(u64, String)> {
        let mut reader = ItemReader::new(BufReader::with_capacity(piece, text));
        let mut found = Vec::new();
        while let Some((line, item)) = reader.next().await.expect("reads") {
            found.push((
                line,
                match item {
                    LineRead::Text(text) => text.to_owned(),
                    LineRead::Bad(bad) => format!("bad: {bad}"),
                },
            ));
        }
        found
    }

    async fn check(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(line, item)| (*line, (*item).to_owned())).collect();
        for piece in [1, 2, 3, 7, 1024] {
            assert_eq!(
                items(text.as_bytes(), piece).await,
                expected,
                "{text:?} in pieces of {piece}"
            );
        }
    }

    #[tokio::test]
    async fn lines_are_items() {
        check(
            "one\r\n\n  {\"a\": [1]}\nend",
            &[(1, "one"), (2, ""), (3, "{\"a\": [1]}"), (4, "end")],
        )
        .await;
        check("", &[]).await;
        check("\n", &[(1, "")]).await;
        check("[pod/auth-0] {\"a\":1}\n[\n", &[(1, "[pod/auth-0] {\"a\":1}"), (2, "[\n")]).await;
        check("[1, 2]\n{}\n", &[(1, "[1, 2]"), (2, "{}")]).await;
    }

    #[tokio::test]
    async fn elements_of_arrays_are_items() {
        check(
            "[\n  {\"a\": \"}]\\\"[\"},\n  {\n    \"b\": [1, {}]\n  } , 7,\"x,y\" ]\n{\"c\":1}\n",
            &[
                (2, "{\"a\": \"}]\\\"[\"}"),
                (3, "{\n    \"b\": [1, {}]\n  }"),
                (5, "7"),
                (5, "\"x,y\" "),
                (6, "{\"c\":1}"),
            ],
        )
        .await;
        check("[]\n[ ]\n{}\n", &[(3, "{}")]).await;
        check("[{},{}]\n[{}]", &[(1, "{}"), (1, "{}"), (2, "{}")]).await;
        // What is no array any more ends somewhere.
        check("[{}}x,]", &[(1, "{}"), (1, "}"), (1, "x")]).await;
        check("[{\"a\":", &[(1, "{\"a\":")]).await;
        check("[{}", &[(1, "{}")]).await;
    }

    #[tokio::test]
    async fn an_array_may_be_longer_than_a_line() {
        let element = format!("{{\"k\":\"{}\"}}", "x".repeat(1024 * 1024));
        let text = format!("[{}]\n", [element.as_str(); 5].join(","));
        assert!(text.len() > LINE_BYTES_MAX);
        assert_eq!(items(text.as_bytes(), 65_536).await, vec![(1, element); 5]);
        let long = format!("[{{\"k\":\"{}\"}},{{}}]", "x".repeat(LINE_BYTES_MAX));
        let found = items(long.as_bytes(), 65_536).await;
        assert!(found[0].1.starts_with("bad: the line is"), "{}", found[0].1);
        assert_eq!(found[1], (1, "{}".to_owned()));
    }
}
