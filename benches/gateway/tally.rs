//! Counts the records of a stream of `SubscribeResponse` as its bytes come by,
//! and looks at the sequence of each: a subscriber that costs the machine hardly
//! more than what the network costs, whoever serves it.

use auditgate::wire;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tonic::body::Body;

use crate::{Result, ensure};

/// Flag and length before each message.
const PREFIX_BYTES: usize = 5;
/// More bytes than what has to be seen at once: the key, length and sequence of a
/// record, say.
const SEEN_BYTES_MAX: usize = 64;
/// Key of `records` in a response.
const RECORDS: u64 = 1 << 3 | 2;
/// Key of `sequence` in a record.
const SEQUENCE: u64 = 1 << 3;

/// What has come of a stream.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many records.
    pub records: usize,
    /// The bytes of the messages.
    pub bytes: usize,
    /// The bytes of the largest message.
    pub largest: usize,
    last: Option<u64>,
    /// How many bytes of the message are to come.
    message: usize,
    /// How many of the next bytes say nothing.
    skip: usize,
    /// The end of what came last, too short to be understood.
    carry: Vec<u8>,
}

impl Tally {
    /// Counts until there are so many records, or to the end of the stream.
    ///
    /// # Errors
    /// If the stream breaks, or ends before.
    pub async fn read(mut self, body: &mut Body, records: Option<usize>) -> Result<Self> {
        while records.is_none_or(|records| self.records < records) {
            let Some(frame) = body.frame().await else {
                ensure(records.is_none(), || "the stream ended".to_owned())?;
                break;
            };
            if let Ok(data) = frame?.into_data() {
                self.take(&data)?;
            }
        }
        let unexpected = records.filter(|records| self.records != *records);
        ensure(unexpected.is_none(), || format!("{} of {records:?} records", self.records))?;
        Ok(self)
    }

    /// Counts what is in these bytes, which are the next ones.
    fn take(&mut self, data: &Bytes) -> Result<()> {
        let mut rest: &[u8] = data;
        while !rest.is_empty() {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            if self.carry.is_empty() {
                match self.step(rest)? {
                    Some(taken) => rest = rest.get(taken..).unwrap_or_default(),
                    None => {
                        self.carry.extend_from_slice(rest);
                        return Ok(());
                    }
                }
                continue;
            }
            let carried = self.carry.len();
            self.carry.extend(rest.iter().take(SEEN_BYTES_MAX));
            let seen = std::mem::take(&mut self.carry);
            match self.step(&seen)? {
                Some(taken) => rest = rest.get(taken - carried..).unwrap_or_default(),
                None => {
                    self.carry = seen;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Understands what `rest` begins with; gives its length, or nothing if more
    /// bytes are needed.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>> {
        if rest.is_empty() {
            return Ok(Some(0));
        }
        if self.message == 0 {
            let Some((&[_, length @ ..], _)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
                return Ok(None);
            };
            self.message = u32::from_be_bytes(length) as usize;
            self.bytes += self.message;
            self.largest = self.largest.max(self.message);
            return Ok(Some(PREFIX_BYTES));
        }
        let mut ahead = rest;
        let Ok(key) = wire::read_varint(&mut ahead) else { return Ok(None) };
        let Ok(value) = wire::read_varint(&mut ahead) else { return Ok(None) };
        let is_bytes = key & 7 == 2;
        let end = if is_bytes { rest.len() - ahead.len() + value as usize } else { 0 };
        if key == RECORDS {
            let Ok(first) = wire::read_varint(&mut ahead) else { return Ok(None) };
            let Ok(sequence) = wire::read_varint(&mut ahead) else { return Ok(None) };
            ensure(first == SEQUENCE, || "a record does not begin with its sequence".to_owned())?;
            let last = self.last.replace(sequence);
            let follows = last.is_none_or(|last| sequence == last + 1);
            ensure(follows, || format!("record {sequence} came after {last:?}"))?;
            self.records += 1;
        }
        let taken = rest.len() - ahead.len();
        self.skip = end.saturating_sub(taken);
        self.message -= taken + self.skip;
        Ok(Some(taken))
    }
}
