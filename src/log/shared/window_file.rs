//! The file `window`: the keys of the last messages that a directory has followed, since the
//! stream may not have these messages any more when its gateway goes on.
//!
//! ```text
//!  0 magic "AGWIND\0\1"    8 log id [16]
//! 24 epoch u64             32 floor u64                the message before the first one
//! 40 end u64               48 is_floor_of_start u64    as of the last message of the first part
//! 56 CRC-32C of all before
//! then parts:
//!    length u32 of the body    body: of each message: records u32, then key [16] each
//!    CRC-32C of the length and the body
//! ```
//!
//! The file is written before the mark. What is added since is a part more; when it has become
//! twice as long, it is replaced.

use std::io;
use std::path::Path;

use super::machine::{KeyWindow, Machine, MessageKeys};
use super::mark::FollowerMark;
use super::message::group::EventKey;
use crate::log::disk::storage::{self, Storage};

/// The name of the file.
pub const WINDOW: &str = "window";

const MAGIC: [u8; 8] = *b"AGWIND\0\x01";
const HEADER_BYTES: usize = 60;
/// What a part has beside its body.
const PART_OVERHEAD_BYTES: usize = 8;
const KEY_BYTES: usize = size_of::<EventKey>();
/// A file is replaced when it is this much longer than twice what it was at first.
const SURPLUS_BYTES: usize = 1024 * 1024;

/// What the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    /// The last message.
    end: u64,
    bytes: usize,
    /// How long it was when it was replaced.
    bytes_at_first: usize,
}

/// The file of a gateway that runs.
#[derive(Debug, Default)]
pub struct WindowFile {
    /// `None` if it must be written as a whole.
    written: Option<Written>,
}

/// What is to be written.
#[derive(Debug)]
pub struct WindowPart {
    /// The bytes before the part, where the file is replaced.
    header: Option<Vec<u8>>,
    messages: Vec<MessageKeys>,
    /// Where the part begins.
    at: usize,
    /// What the file has after it.
    after: Written,
}

/// What was written.
#[derive(Debug)]
pub struct WrittenPart(Written);

impl WindowFile {
    /// What the file lacks of the keys that a machine remembers, whose copy has this mark. It
    /// is written before anything else is asked for.
    pub fn next(&mut self, machine: &Machine, mark: &FollowerMark) -> WindowPart {
        let end = mark.state.position;
        // If it fails, it is not known what the file has.
        let added = self.written.take().and_then(|before| {
            // A machine that has begun an epoch has forgotten what came before.
            let messages = machine.keys_after(before.end)?;
            let added = if messages.is_empty() { 0 } else { part_bytes(&messages) };
            let bytes = before.bytes + added;
            let after = Written { end, bytes, ..before };
            (bytes <= 2 * before.bytes_at_first + SURPLUS_BYTES).then_some(WindowPart {
                header: None,
                messages,
                at: before.bytes,
                after,
            })
        });
        added.unwrap_or_else(|| {
            let window = machine.key_window();
            let bytes = HEADER_BYTES + part_bytes(&window.messages);
            let after = Written { end, bytes, bytes_at_first: bytes };
            let header = Some(header(mark, &window));
            WindowPart { header, messages: window.messages, at: HEADER_BYTES, after }
        })
    }

    /// The part is on stable storage.
    pub fn wrote(&mut self, part: WrittenPart) {
        self.written = Some(part.0);
    }
}

impl WindowPart {
    /// Brings it to stable storage, in the file at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(self, storage: &dyn Storage, path: &Path) -> io::Result<WrittenPart> {
        let part = encode(&self.messages);
        match self.header {
            Some(mut bytes) => {
                bytes.extend_from_slice(&part);
                storage::replace(storage, path, &bytes)?;
            }
            None if self.messages.is_empty() => {}
            None => {
                let file = storage.open(path)?;
                file.write(&[&part], self.at as u64)?;
                file.sync()?;
            }
        }
        Ok(WrittenPart(self.after))
    }
}

fn part_bytes(messages: &[MessageKeys]) -> usize {
    let body = messages.iter().map(|keys| size_of::<u32>() + keys.len() * KEY_BYTES);
    PART_OVERHEAD_BYTES + body.sum::<usize>()
}

fn header(mark: &FollowerMark, window: &KeyWindow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(mark.log_id.as_bytes());
    let numbers = [
        u64::from(mark.state.epoch),
        window.floor,
        window.end(),
        u64::from(window.is_floor_of_start),
    ];
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn encode(messages: &[MessageKeys]) -> Vec<u8> {
    let bytes = part_bytes(messages);
    let mut part = Vec::with_capacity(bytes);
    // A window of 2^20 keys is far below 4 GiB.
    part.extend_from_slice(&((bytes - PART_OVERHEAD_BYTES) as u32).to_le_bytes());
    for keys in messages {
        part.extend_from_slice(&(keys.len() as u32).to_le_bytes());
        keys.iter().for_each(|key| part.extend_from_slice(&key.0));
    }
    part.extend_from_slice(&crc32c::crc32c(&part).to_le_bytes());
    part
}

/// The keys that a directory remembers, which has this mark; `None` if the file is of another
/// log or epoch, is damaged, or ends before the mark.
pub fn decode(bytes: &[u8], mark: &FollowerMark) -> Option<KeyWindow> {
    let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let (body, checksum) = header.split_last_chunk()?;
    let (magic, body) = body.split_first_chunk()?;
    let (log_id, mut numbers) = body.split_first_chunk()?;
    let mut number = || {
        let (number, rest) = numbers.split_first_chunk()?;
        numbers = rest;
        Some(u64::from_le_bytes(*number))
    };
    let (epoch, floor, end, is_floor_of_start) = (number()?, number()?, number()?, number()? != 0);
    let is_of_mark = *magic == MAGIC
        && crc32c::crc32c(header.get(..HEADER_BYTES - 4)?) == u32::from_le_bytes(*checksum)
        && log_id == mark.log_id.as_bytes()
        && epoch == u64::from(mark.state.epoch);
    let position = mark.state.position;
    if !is_of_mark || floor > position {
        return None;
    }
    // It was replaced, and the mark was not: more messages before `floor` were known at the
    // mark.
    let is_floor_of_start = is_floor_of_start || (position < end && floor > 0);
    let mut window = KeyWindow { floor, is_floor_of_start, messages: Vec::new() };
    while window.end() < position {
        rest = decode_part(rest, &mut window.messages)?;
    }
    window.messages.truncate(usize::try_from(position - floor).ok()?);
    Some(window)
}

/// Adds the messages of a part, and returns what follows it.
fn decode_part<'a>(bytes: &'a [u8], messages: &mut Vec<MessageKeys>) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (mut body, rest) = rest.split_at_checked(len)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    if crc32c::crc32c(bytes.get(..size_of::<u32>() + len)?) != u32::from_le_bytes(*checksum) {
        return None;
    }
    while let Some((records, after)) = body.split_first_chunk() {
        let records = u32::from_le_bytes(*records) as usize;
        let (keys, after) = after.split_at_checked(records.checked_mul(KEY_BYTES)?)?;
        messages.push(keys.as_chunks().0.iter().map(|key| EventKey(*key)).collect());
        body = after;
    }
    body.is_empty().then_some(rest)
}

#[cfg(test)]
mod tests;
