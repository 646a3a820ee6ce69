//! Encoded responses, and the framing of gRPC messages.
//!
//! The handlers decode requests, so that a malformed request gets the same error details
//! as any other refusal. They encode the responses, too.

use bytes::Bytes;

/// An encoded response in its frame.
#[derive(Debug)]
pub struct EncodedResponse(Vec<u8>);

impl EncodedResponse {
    /// A response of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        let mut frame = Frame::default();
        frame.reserve(bytes.len());
        frame.message().extend_from_slice(&bytes);
        frame.into()
    }

    /// A response that is a message.
    pub fn message(message: &impl prost::Message) -> Self {
        Frame::of(message).into()
    }

    /// The response in its frame.
    pub fn into_frame(self) -> Vec<u8> {
        self.0
    }
}

impl From<Frame> for EncodedResponse {
    fn from(frame: Frame) -> Self {
        Self(frame.into_bytes())
    }
}

#[cfg(test)]
impl EncodedResponse {
    /// The bytes of the response.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.get(PREFIX_BYTES..).unwrap_or_default().to_vec()
    }
}

/// Flag and length before each message of gRPC, in bytes.
pub const PREFIX_BYTES: usize = 5;

/// Writes the prefix of a message into the space before it.
///
/// # Panics
/// If there is no such space, or the message is larger than 4 GiB.
pub fn set_prefix(frame: &mut [u8], flag: u8) {
    let (prefix, message) =
        frame.split_first_chunk_mut::<PREFIX_BYTES>().expect("the frame begins with a prefix");
    let len = u32::try_from(message.len()).expect("messages are below 4 GiB");
    let [a, b, c, d] = len.to_be_bytes();
    *prefix = [flag, a, b, c, d];
}

/// A response in its uncompressed gRPC frame. Clients that get the same response share its bytes.
#[derive(Debug, Clone)]
pub struct FramedMessage(Bytes);

/// A frame whose message is being written.
#[derive(Debug, Default)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// How many bytes the message has so far.
    pub fn len(&self) -> usize {
        self.0.len().saturating_sub(PREFIX_BYTES)
    }

    /// Whether the message has no bytes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reserves space for this many more bytes; the first time, exactly.
    pub fn reserve(&mut self, bytes: usize) {
        if self.0.is_empty() {
            self.0.reserve_exact(PREFIX_BYTES + bytes);
        } else {
            self.0.reserve(bytes);
        }
    }

    /// The message, for more to be appended.
    pub fn message(&mut self) -> &mut Vec<u8> {
        if self.0.is_empty() {
            self.0.extend_from_slice(&[0; PREFIX_BYTES]);
        }
        &mut self.0
    }

    /// A message, encoded.
    fn of(message: &impl prost::Message) -> Self {
        let mut frame = Self::default();
        frame.reserve(message.encoded_len());
        message.encode(frame.message()).expect("a vector grows as needed");
        frame
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.message();
        set_prefix(&mut self.0, 0);
        self.0
    }

    /// The message in its frame.
    ///
    /// # Panics
    /// If it is larger than 4 GiB.
    pub fn finish(self) -> FramedMessage {
        FramedMessage(self.into_bytes().into())
    }
}

impl FramedMessage {
    /// Frames a message.
    ///
    /// # Panics
    /// If it is larger than 4 GiB.
    pub fn of(message: &impl prost::Message) -> Self {
        Frame::of(message).finish()
    }

    /// The message without its frame.
    pub fn message(&self) -> Bytes {
        self.0.slice(PREFIX_BYTES..)
    }

    /// The encoded message, borrowed.
    pub fn bytes(&self) -> &[u8] {
        self.0.get(PREFIX_BYTES..).unwrap_or_default()
    }

    /// The message in its frame.
    pub fn into_frame(self) -> Bytes {
        self.0
    }

    /// How many bytes it has, frame included.
    pub fn byte_size(&self) -> usize {
        self.0.len()
    }
}
