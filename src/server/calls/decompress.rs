//! Decompresses requests before tonic sees them.
//!
//! tonic would decompress a message in one step on a runtime thread: a small request can
//! occupy the thread for the time that 4 MiB take, and many such requests occupy all
//! threads. This module decompresses in pieces and yields between them. The number of
//! messages at once is limited for a client and for all clients: see [`Quota::turn`]. The
//! size of a message is only known while it is decompressed: a message that is larger
//! than a piece is restarted in a slot for large messages.

use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::JoinSet;
use tonic::Status;

use super::encoding::{COMPRESSED, MessageEncoding, message_len, whole_len};
use super::inbound::RequestBody;
use crate::proto::codec::{PREFIX_BYTES, set_prefix};
use crate::service::Error;
use crate::service::quota::{CompressionWork, Quota, ResourceShare};

/// The maximum number of bytes to decompress in one step: some 100 us. A larger message counts
/// as large.
const PIECE_BYTES: usize = 64 * 1024;
/// The maximum number of compressed bytes to read in one step. They may contain many empty
/// blocks.
const PACKED_PIECE_BYTES: usize = 16 * 1024;
/// The minimum buffer for a piece, in bytes.
const PIECE_BYTES_MIN: usize = 1024;

/// The body of a request with its messages decompressed.
pub struct DecompressedBody {
    inner: RequestBody,
    encoding: MessageEncoding,
    /// The maximum length of a message, compressed or not, in bytes.
    limit: usize,
    quota: Arc<Quota>,
    /// Received bytes that are not forwarded yet.
    rest: BytesMut,
    /// The task that decompresses one message. It is separate, so that a slow client cannot
    /// hold its slot.
    unpacking: JoinSet<Result<(Bytes, Option<ResourceShare>), Error>>,
    /// The turn of the message that was given on last, if it is large, until the next is
    /// asked for: by then it is on another account, or done with.
    turn: Option<ResourceShare>,
}

impl DecompressedBody {
    /// Unpacks the messages of `inner`, which has to keep them on its account, of at
    /// most `limit` bytes each.
    pub fn new(
        inner: RequestBody,
        encoding: MessageEncoding,
        limit: usize,
        quota: Arc<Quota>,
    ) -> Self {
        let (rest, unpacking) = (BytesMut::new(), JoinSet::new());
        Self { inner, encoding, limit, quota, rest, unpacking, turn: None }
    }

    /// Takes the next message with its frame, if it has arrived completely.
    fn message(&mut self) -> Result<Option<Bytes>, Error> {
        match message_len(&self.rest) {
            Some(bytes) if bytes > self.limit => {
                Err(Error::RequestTooLarge { bytes: Some(bytes), limit: self.limit })
            }
            _ => Ok(whole_len(&self.rest).map(|whole| self.rest.split_to(whole).freeze())),
        }
    }

    /// The next frame for tonic. A message that is not compressed goes on as it is, also
    /// one whose flag tonic will refuse.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        self.turn = None;
        loop {
            if let Some(unpacked) = ready!(self.unpacking.poll_join_next(cx)) {
                self.inner.settle(self.rest.len());
                // Only the end of the runtime aborts it.
                let (message, turn) = unpacked.unwrap_or(Err(Error::StoppingCall))?;
                self.turn = turn;
                return Poll::Ready(Ok(Some(message)));
            }
            if let Some(mut message) = self.message()? {
                if message.first() != Some(&COMPRESSED) {
                    self.inner.settle(self.rest.len());
                    return Poll::Ready(Ok(Some(message)));
                }
                message.advance(PREFIX_BYTES);
                let quota = Arc::clone(&self.quota);
                self.unpacking.spawn(unpack(self.encoding, message, self.limit, quota));
                continue;
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)).transpose()? {
                Some(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.rest.extend_from_slice(&bytes);
                    }
                }
                None if self.rest.is_empty() => return Poll::Ready(Ok(None)),
                None => {
                    let cut = Error::Framing("it ends within a message".to_owned());
                    return Poll::Ready(Err(cut.into()));
                }
            }
        }
    }
}

impl http_body::Body for DecompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.get_mut().poll_next(cx).map(|next| Some(next.transpose()?.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.unpacking.is_empty() && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Unpacks a message, when it is its turn; gives it in a frame, and the turn that
/// goes with a large one.
async fn unpack(
    encoding: MessageEncoding,
    message: Bytes,
    limit: usize,
    quota: Arc<Quota>,
) -> Result<(Bytes, Option<ResourceShare>), Error> {
    if message.len() <= PACKED_PIECE_BYTES {
        let _turn = quota.turn(CompressionWork::UnpackSmall).await;
        let mut unpacking = Decompression::new(encoding, message.clone(), limit)?;
        if unpacking.piece()? {
            return Ok((unpacking.frame(), None));
        }
    }
    // Who waits for this turn has unpacked nothing that takes memory.
    let turn = quota.turn(CompressionWork::UnpackLarge).await;
    let mut unpacking = Decompression::new(encoding, message, limit)?;
    while !unpacking.piece()? {
        tokio::task::yield_now().await;
    }
    Ok((unpacking.frame(), Some(turn)))
}

/// A message that is being decompressed.
struct Decompression {
    reader: Box<dyn Read + Send>,
    limit: usize,
    /// A place for the prefix, what has been unpacked, and room for more.
    frame: Vec<u8>,
    filled: usize,
}

impl Decompression {
    fn new(encoding: MessageEncoding, packed: Bytes, limit: usize) -> Result<Self, Error> {
        let source = CompressedMessage { packed, allowed: PACKED_PIECE_BYTES };
        let reader = reader(encoding, source).map_err(bad)?;
        Ok(Self { reader, limit, frame: vec![0; PREFIX_BYTES], filled: PREFIX_BYTES })
    }

    /// Decompresses a piece; returns whether it was the last.
    fn piece(&mut self) -> Result<bool, Error> {
        let end = self.filled + PIECE_BYTES;
        while self.filled < end {
            if self.filled == self.frame.len() {
                self.frame.resize((2 * self.filled).clamp(PIECE_BYTES_MIN, end), 0);
            }
            let room = self.frame.get_mut(self.filled..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => return Ok(true),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(bad(error)),
            }
            if self.filled > PREFIX_BYTES + self.limit {
                return Err(Error::RequestTooLarge { bytes: None, limit: self.limit });
            }
        }
        Ok(false)
    }

    fn frame(mut self) -> Bytes {
        self.frame.truncate(self.filled);
        set_prefix(&mut self.frame, 0);
        self.frame.into()
    }
}

fn bad(error: io::Error) -> Error {
    Error::Framing(format!("it is badly compressed: {error}"))
}

fn reader(
    encoding: MessageEncoding,
    source: CompressedMessage,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match encoding {
        MessageEncoding::Gzip => Box::new(GzDecoder::new(source)),
        MessageEncoding::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
    })
}

/// A compressed message, with the number of bytes that may be read in this step.
struct CompressedMessage {
    packed: Bytes,
    allowed: usize,
}

impl BufRead for CompressedMessage {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let allowed = self.allowed.min(self.packed.len());
        if allowed == 0 && !self.packed.is_empty() {
            // Who asks again has let others run.
            self.allowed = PACKED_PIECE_BYTES;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.packed.get(..allowed).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.packed.advance(bytes);
        self.allowed -= bytes;
    }
}

impl Read for CompressedMessage {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
