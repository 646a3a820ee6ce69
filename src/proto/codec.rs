//! The server's codec: requests and responses as bytes.
//!
//! The handlers decode requests, so that a malformed request gets the same error details
//! as any other refusal. Responses are written directly from the stored records, without
//! an encoded copy.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// An encoded response.
pub struct EncodedResponse(Box<dyn Chunks>);

/// Bytes of a response that lie in several places.
#[allow(clippy::len_without_is_empty, reason = "an empty response is as good as any")]
pub trait Chunks: Send + 'static {
    /// The sum of the lengths that `write` writes.
    fn total_len(&self) -> usize;
    /// Writes the bytes, in order.
    fn write(&self, out: &mut dyn FnMut(&[u8]));
}

impl EncodedResponse {
    /// A response whose bytes `chunks` writes when it is sent.
    pub fn new(chunks: impl Chunks) -> Self {
        Self(Box::new(chunks))
    }

    /// A response that is a message.
    pub fn message(message: &impl prost::Message) -> Self {
        Self::new(Bytes::from(message.encode_to_vec()))
    }
}

impl Chunks for Bytes {
    fn total_len(&self) -> usize {
        self.len()
    }

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(self);
    }
}

/// Flag and length before each message of gRPC, in bytes.
pub const PREFIX_BYTES: usize = 5;

/// Writes the prefix of a message, for which there is a place before it.
///
/// # Panics
/// If there is none, or the message has more than 4 GiB.
pub fn set_prefix(frame: &mut [u8], flag: u8) {
    let (prefix, message) =
        frame.split_first_chunk_mut::<PREFIX_BYTES>().expect("the frame begins with a prefix");
    let len = u32::try_from(message.len()).expect("messages are below 4 GiB");
    let [a, b, c, d] = len.to_be_bytes();
    *prefix = [flag, a, b, c, d];
}

/// A response as it goes over the wire: in the frame of gRPC, not compressed. All
/// who get the same response share its bytes.
#[derive(Debug, Clone)]
pub struct FramedMessage(Bytes);

impl FramedMessage {
    /// Frames what `write` appends, at most `len` bytes unless it has to grow.
    ///
    /// # Panics
    /// If it appends more than 4 GiB.
    pub fn new(len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + len);
        bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        write(&mut bytes);
        set_prefix(&mut bytes, 0);
        Self(bytes.into())
    }

    /// Frames a message.
    ///
    /// # Panics
    /// If it has more than 4 GiB.
    pub fn of(message: &impl prost::Message) -> Self {
        Self::new(message.encoded_len(), |out| {
            message.encode(out).expect("a vector grows as needed");
        })
    }

    /// The message without its frame.
    pub fn message(&self) -> Bytes {
        self.0.slice(PREFIX_BYTES..)
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

/// A codec that leaves requests encoded and sends encoded responses.
#[derive(Debug, Default, Clone, Copy)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = EncodedResponse;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> Self::Encoder {
        RawCodec
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = EncodedResponse;
    type Error = Status;

    fn encode(&mut self, item: EncodedResponse, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.0.total_len());
        item.0.write(&mut |chunk| out.put_slice(chunk));
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(body.copy_to_bytes(body.remaining())))
    }
}
