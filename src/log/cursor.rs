//! Cursors and page tokens: positions in a log, as opaque strings.
//!
//! Both are the base64url form of a version, a kind, the fields in fixed width and big-endian
//! order, and a check: the first bytes of the SHA-256 of what precedes. The check detects damaged
//! strings. It is not a signature, because a forged cursor is of no use.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::log::Identity;
use crate::record::Sequence;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
/// Length of the digest of a search in its page tokens, in bytes.
pub const QUERY_DIGEST_BYTES: usize = 16;
/// Longest string that is parsed, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// The string was not issued by a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not valid: it is damaged, truncated, or of another version")]
pub struct Malformed;

/// The position at which a subscriber resumes: after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Id of the log.
    pub log_id: Uuid,
    /// Epoch of the log when the cursor was issued.
    pub epoch: u64,
    /// The last record that it covers.
    pub sequence: Sequence,
}

/// The position at which a search continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    /// Id of the log.
    pub log_id: Uuid,
    /// Epoch of the log when the token was issued.
    pub epoch: u64,
    /// Digest of filter, times and order: see `hub::search`.
    pub query: [u8; QUERY_DIGEST_BYTES],
    /// The last examined record.
    pub sequence: Sequence,
    /// The oldest kept record at the first page.
    pub first: Sequence,
    /// The newest record at the first page.
    pub last: Sequence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Cursor = b'c' as isize,
    PageToken = b'p' as isize,
}

impl Cursor {
    /// The cursor after `sequence` in this log.
    pub fn new(identity: Identity, sequence: Sequence) -> Self {
        Self { log_id: identity.id, epoch: identity.epoch, sequence }
    }

    /// Parses a cursor.
    ///
    /// # Errors
    /// If the text was not made by [`Cursor`]'s `Display`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut reader = TokenReader::open(text, TokenKind::Cursor)?;
        let cursor = Self {
            log_id: Uuid::from_bytes(reader.array()?),
            epoch: reader.number()?,
            sequence: Sequence(reader.number()?),
        };
        reader.end(cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut writer = TokenWriter::new(TokenKind::Cursor);
        writer.bytes(self.log_id.as_bytes()).number(self.epoch).number(self.sequence.0);
        f.write_str(&writer.seal())
    }
}

impl PageToken {
    /// Parses a page token.
    ///
    /// # Errors
    /// If the text was not made by [`PageToken`]'s `Display`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut reader = TokenReader::open(text, TokenKind::PageToken)?;
        let token = Self {
            log_id: Uuid::from_bytes(reader.array()?),
            epoch: reader.number()?,
            query: reader.array()?,
            sequence: Sequence(reader.number()?),
            first: Sequence(reader.number()?),
            last: Sequence(reader.number()?),
        };
        reader.end(token)
    }
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut writer = TokenWriter::new(TokenKind::PageToken);
        writer
            .bytes(self.log_id.as_bytes())
            .number(self.epoch)
            .bytes(&self.query)
            .number(self.sequence.0)
            .number(self.first.0)
            .number(self.last.0);
        f.write_str(&writer.seal())
    }
}

struct TokenWriter(Vec<u8>);

impl TokenWriter {
    fn new(kind: TokenKind) -> Self {
        Self(vec![VERSION, kind as u8])
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    fn seal(mut self) -> String {
        let check = check(&self.0);
        self.bytes(&check);
        URL_SAFE_NO_PAD.encode(&self.0)
    }
}

struct TokenReader {
    bytes: Vec<u8>,
    at: usize,
}

impl TokenReader {
    fn open(text: &str, kind: TokenKind) -> Result<Self, Malformed> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Malformed);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        let body = bytes.len().checked_sub(CHECK_BYTES).ok_or(Malformed)?;
        let found = bytes.split_off(body);
        // Without this, a fuzzer would never get past the check.
        if found != check(&bytes) && !cfg!(fuzzing) {
            return Err(Malformed);
        }
        let mut reader = Self { bytes, at: 0 };
        let [version, found_kind] = reader.array()?;
        if version == VERSION && found_kind == kind as u8 { Ok(reader) } else { Err(Malformed) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk().ok_or(Malformed)?;
        self.at += N;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.at == self.bytes.len() { Ok(value) } else { Err(Malformed) }
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(bytes);
    *digest.first_chunk().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor { log_id: Uuid::from_u128(7), epoch: 3, sequence: Sequence(u64::MAX - 1) }
    }

    fn token() -> PageToken {
        PageToken {
            log_id: Uuid::from_u128(7),
            epoch: 3,
            query: [9; QUERY_DIGEST_BYTES],
            sequence: Sequence(40),
            first: Sequence(2),
            last: Sequence(90),
        }
    }

    #[test]
    fn they_are_read_as_they_are_written() {
        assert_eq!(Cursor::parse(&cursor().to_string()), Ok(cursor()));
        assert_eq!(PageToken::parse(&token().to_string()), Ok(token()));
    }

    #[test]
    fn one_is_not_the_other() {
        assert_eq!(Cursor::parse(&token().to_string()), Err(Malformed));
        assert_eq!(PageToken::parse(&cursor().to_string()), Err(Malformed));
    }

    #[test]
    fn every_changed_or_missing_character_is_noticed() {
        let text = cursor().to_string();
        for (position, letter) in text.char_indices() {
            let other = if letter == 'A' { "B" } else { "A" };
            let mut damaged = text.clone();
            damaged.replace_range(position..=position, other);
            assert_eq!(Cursor::parse(&damaged), Err(Malformed), "at {position}");
            assert_eq!(Cursor::parse(&text[..position]), Err(Malformed), "cut at {position}");
        }
        assert_eq!(Cursor::parse(&format!("{text}AAAA")), Err(Malformed));
        assert_eq!(Cursor::parse(&"A".repeat(1_000_000)), Err(Malformed));
        assert_eq!(Cursor::parse("not base64!"), Err(Malformed));
    }
}
