//! The messages of the stream under a shared log.
//!
//! ```text
//!  0 magic "AGM1"    4 kind u8    5 encoding u8    6 epoch at the basis, less 1 u16
//!  8 sender u64     16 counter u64
//! 24 basis u64      32 count u64   40 time i64     48 digest u64
//! 56 body length u32               60 CRC-32C of all else before the key id
//! 64 body
//!    key id [4], HMAC-SHA-256 [16] of the log id and all before it
//! ```
//!
//! Numbers are little-endian. A body with encoding 1 is the u32 length of the content and
//! a zstd frame. What is decoded was authenticated first: whoever may publish to the
//! stream, but has no cluster key, cannot make a gateway decompress or apply anything.

pub mod authentication;
mod body;
mod epoch;
pub mod group;
mod member;

#[cfg(test)]
mod tests;

use crate::time::Time;
use group::MessageGroup;

pub use authentication::{AuthenticationKey, ClusterKeys};
pub use body::BodyEncoder;
pub use epoch::{EpochChange, EpochKey};
pub use member::{MemberReport, SettingsDigest};

/// The most bytes of a body, decoded. The engine takes messages of at most 64 MiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a message takes beside its body, in bytes.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + authentication::TRAILER_BYTES;
/// The longest signed checkpoint in a message, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 4_096;

const HEADER_BYTES: usize = 64;
const CHECKSUM_AT: usize = 60;
const MAGIC: [u8; 3] = *b"AGM";
const VERSION: u8 = b'1';

/// The state of the machine after it applied a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The position of the message in the stream; 0 before the first.
    pub position: u64,
    /// How many records were stored up to it.
    pub count: u64,
    /// When the last of them was accepted.
    pub time: Time,
    /// The rolling hash of their frames.
    pub digest: u64,
    /// The epoch of the log: it rises when an operator accepts a loss.
    pub epoch: u16,
}

impl Default for Basis {
    fn default() -> Self {
        Self { position: 0, count: 0, time: Time::MIN, digest: 0, epoch: 1 }
    }
}

/// A message, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMessage {
    /// Who published it: a random number of each process.
    pub sender: u64,
    /// Which of its messages it is: equal for copies of one message.
    pub counter: u64,
    /// Up to where its sender had applied the stream when it looked up the ids.
    pub basis: Basis,
    /// What it says.
    pub content: MessageContent,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageContent {
    /// Records, to be stored.
    Group(MessageGroup),
    /// A signed checkpoint, as text.
    Checkpoint(String),
    /// An operator accepted a loss: a new epoch begins.
    Epoch(EpochChange),
    /// What a gateway tells the others of itself.
    Member(MemberReport),
}

/// Why a message is not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// No cluster key authenticates it.
    #[error("the message is not authenticated by a cluster key")]
    Unauthentic,
    /// It is authentic, and cannot be decoded.
    #[error("the message is malformed: {0}")]
    Malformed(&'static str),
    /// It is authentic, and of a kind or version that this gateway does not know.
    #[error(
        "the message has {what} {value}, which this version does not know: use a newer auditgate"
    )]
    Newer {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u16,
    },
}

impl MessageFault {
    /// All gateways alike pass over the message. Otherwise applying must stop: those of
    /// another version may apply it.
    pub fn is_skipped(self) -> bool {
        match self {
            Self::Unauthentic | Self::Malformed(_) => true,
            Self::Newer { .. } => false,
        }
    }
}

impl MessageContent {
    fn kind(&self) -> u8 {
        match self {
            Self::Group(_) => kind::GROUP,
            Self::Checkpoint(_) => kind::CHECKPOINT,
            Self::Epoch(_) => kind::EPOCH,
            Self::Member(_) => kind::MEMBER,
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Group(group) => group.bytes().to_vec(),
            Self::Checkpoint(text) => text.clone().into_bytes(),
            Self::Epoch(epoch) => epoch.encode(),
            Self::Member(report) => report.encode(),
        }
    }

    fn decode(kind: u8, bytes: Vec<u8>) -> Result<Self, MessageFault> {
        match kind {
            kind::GROUP => MessageGroup::decode(bytes).map(Self::Group),
            kind::CHECKPOINT if bytes.len() > CHECKPOINT_BYTES_MAX => {
                Err(MessageFault::Malformed("its checkpoint is too long"))
            }
            kind::CHECKPOINT => String::from_utf8(bytes)
                .map(Self::Checkpoint)
                .map_err(|_| MessageFault::Malformed("its checkpoint is no text")),
            kind::EPOCH => EpochChange::decode(&bytes).map(Self::Epoch),
            kind::MEMBER => MemberReport::decode(&bytes).map(Self::Member),
            value => Err(MessageFault::Newer { what: "kind", value: value.into() }),
        }
    }
}

impl SharedMessage {
    /// The bytes to publish.
    pub fn encode(&self, keys: &ClusterKeys) -> Vec<u8> {
        encode_parts(
            self.content.kind(),
            self.sender,
            self.counter,
            self.basis,
            (&self.content.encode(), &mut BodyEncoder::default()),
            keys,
        )
    }

    /// Authenticates and decodes a message.
    ///
    /// # Errors
    /// If it is not to be applied.
    pub fn decode(bytes: &[u8], keys: &ClusterKeys) -> Result<Self, MessageFault> {
        let message = keys.authenticated(bytes)?;
        let header = Header::decode(message)?;
        let body = message.get(HEADER_BYTES..).unwrap_or_default();
        if body.len() != header.body_len {
            return Err(MessageFault::Malformed("its body has another length"));
        }
        let content = body::decode(header.encoding, body)?;
        Ok(Self {
            sender: header.sender,
            counter: header.counter,
            basis: header.basis,
            content: MessageContent::decode(header.kind, content)?,
        })
    }
}

/// The bytes of a message with a group of records.
pub fn encode_group(
    sender: u64,
    counter: u64,
    basis: Basis,
    (group, encoder): (&[u8], &mut BodyEncoder),
    keys: &ClusterKeys,
) -> Vec<u8> {
    encode_parts(kind::GROUP, sender, counter, basis, (group, encoder), keys)
}

fn encode_parts(
    kind: u8,
    sender: u64,
    counter: u64,
    basis: Basis,
    (content, encoder): (&[u8], &mut BodyEncoder),
    keys: &ClusterKeys,
) -> Vec<u8> {
    let (encoding, body) = encoder.encode(content);
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, kind, encoding]);
    bytes.extend_from_slice(&basis.epoch.saturating_sub(1).to_le_bytes());
    bytes.extend_from_slice(&sender.to_le_bytes());
    bytes.extend_from_slice(&counter.to_le_bytes());
    bytes.extend_from_slice(&basis.position.to_le_bytes());
    bytes.extend_from_slice(&basis.count.to_le_bytes());
    bytes.extend_from_slice(&basis.time.0.to_le_bytes());
    bytes.extend_from_slice(&basis.digest.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&body);
    keys.authenticate(&mut bytes);
    bytes
}

/// The kinds of messages.
mod kind {
    pub const GROUP: u8 = 1;
    pub const CHECKPOINT: u8 = 2;
    pub const EPOCH: u8 = 3;
    pub const MEMBER: u8 = 4;
}

/// The fixed part of a message.
struct Header {
    kind: u8,
    encoding: u8,
    sender: u64,
    counter: u64,
    basis: Basis,
    body_len: usize,
}

impl Header {
    /// Decodes the header of an authentic message, and compares its checksum.
    fn decode(message: &[u8]) -> Result<Self, MessageFault> {
        const SHORT: MessageFault = MessageFault::Malformed("it is too short");
        let (magic, rest) = message.split_first_chunk().ok_or(SHORT)?;
        if *magic != MAGIC {
            return Err(MessageFault::Malformed("it is no message of auditgate"));
        }
        let ([version, kind, encoding, epoch @ ..], rest) =
            rest.split_first_chunk::<5>().ok_or(SHORT)?;
        if *version != VERSION {
            return Err(MessageFault::Newer { what: "version", value: (*version).into() });
        }
        let (numbers, rest) = rest.split_first_chunk::<{ 6 * 8 }>().ok_or(SHORT)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let number =
            |place: usize| numbers.get(place).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (body_len, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (checksum, body) = rest.split_first_chunk().ok_or(SHORT)?;
        let before = message.get(..CHECKSUM_AT).ok_or(SHORT)?;
        if crc32c::crc32c_append(crc32c::crc32c(before), body) != u32::from_le_bytes(*checksum) {
            return Err(MessageFault::Malformed("its checksum is wrong"));
        }
        let basis = Basis {
            position: number(2),
            count: number(3),
            time: Time(number(4) as i64),
            digest: number(5),
            epoch: u16::from_le_bytes(*epoch).saturating_add(1),
        };
        Ok(Self {
            kind: *kind,
            encoding: *encoding,
            sender: number(0),
            counter: number(1),
            basis,
            body_len: u32::from_le_bytes(*body_len) as usize,
        })
    }
}
