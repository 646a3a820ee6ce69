//! Reads lines of a file or pipe, with bounded memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Longest line, in bytes: that of the largest request.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub enum LineRead<'a> {
    /// Its text.
    Text(&'a str),
    /// A line without valid text.
    Bad(LineError),
}

impl<'a> LineRead<'a> {
    /// A line of `length` bytes, of which `kept` were kept.
    pub fn of(kept: &'a [u8], length: usize) -> Self {
        if length > LINE_BYTES_MAX {
            return LineRead::Bad(LineError::TooLong { bytes: length });
        }
        match std::str::from_utf8(kept) {
            Ok(text) => LineRead::Text(text.strip_suffix('\r').unwrap_or(text)),
            Err(_) => LineRead::Bad(LineError::NotUtf8),
        }
    }

    /// Its length, as far as it is known.
    pub fn bytes(&self) -> u64 {
        let bytes = match self {
            LineRead::Text(text) => text.len(),
            LineRead::Bad(LineError::TooLong { bytes }) => *bytes,
            LineRead::Bad(LineError::NotUtf8) => 0,
        };
        bytes as u64
    }
}

/// Why a line cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is too long, and was not kept.
    #[error("the line is {bytes} bytes, limit {LINE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not UTF-8.
    #[error("the line is not valid UTF-8")]
    NotUtf8,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    /// Number of the line that `buffer` holds or begins.
    number: u64,
    buffer: Vec<u8>,
    /// Length of the line so far, including what was not kept.
    length: usize,
    /// `buffer` holds a line that was handed out.
    complete: bool,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    /// The lines of `input`.
    pub fn new(input: R) -> Self {
        Self { input, number: 1, buffer: Vec::new(), length: 0, complete: false }
    }

    /// The next line with its number, from 1. Bytes after the last line break are a line, too.
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> io::Result<Option<(u64, LineRead<'_>)>> {
        if self.complete {
            self.buffer.clear();
            self.length = 0;
            self.number += 1;
            self.complete = false;
        }
        loop {
            let read = self.input.fill_buf().await?;
            if read.is_empty() {
                if self.length == 0 {
                    return Ok(None);
                }
                break;
            }
            let end = memchr::memchr(b'\n', read);
            let (line, _) = read.split_at(end.unwrap_or(read.len()));
            self.length += line.len();
            if self.length <= LINE_BYTES_MAX {
                self.buffer.extend_from_slice(line);
            }
            let used = line.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.complete = true;
        Ok(Some((self.number, LineRead::of(&self.buffer, self.length))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn lines_are_numbered_and_bad_ones_told() {
        let long = "x".repeat(LINE_BYTES_MAX);
        let input =
            [b"one\r\n\n\xff\n" as &[u8], long.as_bytes(), b"y\n", long.as_bytes(), b"\nend"]
                .concat();
        let mut lines = LineReader::new(BufReader::new(input.as_slice()));
        let expected = [
            LineRead::Text("one"),
            LineRead::Text(""),
            LineRead::Bad(LineError::NotUtf8),
            LineRead::Bad(LineError::TooLong { bytes: LINE_BYTES_MAX + 1 }),
            LineRead::Text(&long),
            LineRead::Text("end"),
        ];
        for (position, line) in expected.into_iter().enumerate() {
            let read = lines.next().await.expect("reads");
            assert!(read == Some((position as u64 + 1, line)), "line {}", position + 1);
        }
        assert_eq!(lines.next().await.expect("reads"), None);
        assert!(lines.buffer.capacity() <= 2 * LINE_BYTES_MAX);
    }

    #[tokio::test]
    async fn half_a_line_waits_for_the_other_half() {
        use tokio::io::AsyncWriteExt as _;
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = LineReader::new(BufReader::new(reader));
        writer.write_all(b"half").await.expect("writes");
        let cancelled =
            tokio::time::timeout(std::time::Duration::from_millis(5), lines.next()).await;
        assert!(cancelled.is_err());
        writer.write_all(b" and half\n").await.expect("writes");
        assert_eq!(lines.next().await.expect("reads"), Some((1, LineRead::Text("half and half"))));
    }
}
