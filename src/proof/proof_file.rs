//! Proof files: the complete proof that a log has a record, in one text (C2SP tlog-proof,
//! with the bytes of the record as extra data).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tlog_tiles::Hash;

use super::checkpoint::{self, SignedCheckpoint};
use super::{InvalidProof, VerifierKey, check_inclusion};

/// The first line of a proof file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The most hashes of a path: the tree's size has 64 bits.
pub const HASHES_MAX: usize = 64;

/// Proves that a log has a record. Only the key of the log is needed to check it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofFile {
    /// The record's bytes, as they are stored.
    pub record: Vec<u8>,
    /// Index of its leaf, from 0.
    pub index: u64,
    /// The path from the leaf to the root.
    pub hashes: Vec<Hash>,
    /// The checkpoint, signed.
    pub checkpoint: String,
}

/// Why a proof file is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a proof file.
    #[error("line {line} is not that of a proof file: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What was expected.
        what: &'static str,
    },
    /// The checkpoint is not valid.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] checkpoint::Error),
    /// The record is not in the checkpoint's tree.
    #[error("{0}")]
    Refuted(#[from] InvalidProof),
    /// The record does not have the sequence of its leaf.
    #[error("the record says that its sequence is {sequence}, but leaf {index} is that of {}", index + 1)]
    Sequence {
        /// The sequence in the record.
        sequence: u64,
        /// Index of the leaf, from 0.
        index: u64,
    },
}

impl ProofFile {
    /// The text of the proof file.
    pub fn encoded(&self) -> String {
        let mut text = format!("{HEADER}\nextra {}\n", BASE64_STANDARD.encode(&self.record));
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&format!("{hash}\n"));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Parses a proof file without checking it: see [`ProofFile::check`].
    ///
    /// # Errors
    /// If the text is not a proof file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |line, what| move || Error::Line { line, what };
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(wrong(1, "an empty line precedes the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong(1, "`c2sp.org/tlog-proof@v1`")());
        }
        let record = lines
            .next()
            .and_then(|line| line.strip_prefix("extra "))
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .ok_or_else(wrong(2, "`extra ` and the record's bytes in base64"))?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|text| text.parse::<u64>().ok().filter(|index| index.to_string() == text))
            .ok_or_else(wrong(3, "`index ` and a number"))?;
        let mut hashes = Vec::new();
        for (position, line) in lines.enumerate() {
            let hash = Hash::parse_hash(line).ok().filter(|_| position < HASHES_MAX);
            hashes.push(
                hash.ok_or_else(wrong(4 + position, "a hash in base64, at most 64 of them"))?,
            );
        }
        Ok(Self { record, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that the log with this key has the record. Returns its checkpoint.
    ///
    /// # Errors
    /// Why nothing is proven.
    pub fn check(&self, key: &VerifierKey) -> Result<SignedCheckpoint, Error> {
        let signed = SignedCheckpoint::verify(&self.checkpoint, key)?;
        check_inclusion(&self.record, self.index, &self.hashes, signed.checkpoint())?;
        let sequence = sequence(&self.record);
        if sequence != self.index + 1 {
            return Err(Error::Sequence { sequence, index: self.index });
        }
        Ok(signed)
    }
}

/// The sequence in a record.
fn sequence(record: &[u8]) -> u64 {
    /// Field number of `Record.sequence`.
    const SEQUENCE: u32 = 1;
    crate::wire::trusted(record)
        .filter(|(number, _)| *number == SEQUENCE)
        .filter_map(|(_, value)| value.varint())
        .last()
        .unwrap_or_default()
}
