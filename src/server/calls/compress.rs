//! Compresses responses, in pieces and under the same limits as decompression. tonic
//! would compress a page of 4 MiB in one step, which blocks a thread for a tenth of a
//! second.
//!
//! This module is needed for the same promise as [`super::decompress`], and can be deleted with it:
//! see the scene of compressed pages in `tests/hostile`.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;

use super::encoding::{COMPRESSED, MessageEncoding, whole_len};
use crate::proto::codec::{PREFIX_BYTES, set_prefix};
use crate::service::Error;
use crate::service::quota::{HeavyWork, Quota, hold};

/// The maximum number of bytes to compress in one step: some 400 us.
const PIECE_BYTES: usize = 16 * 1024;
/// Smaller messages are not compressed.
const PACKED_BYTES_MIN: usize = 512;
/// The largest small message. Larger ones have separate slots, so that small ones do not wait for
/// them.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// The body of a response whose messages are compressed if that saves bytes.
pub struct CompressedBody {
    inner: Body,
    encoding: MessageEncoding,
    quota: Arc<Quota>,
    /// Received bytes that are not forwarded yet. Usually that is one large message, which is
    /// not copied.
    rest: Bytes,
    /// The task that compresses one message. It is separate, so that a slow client cannot hold
    /// its slot.
    packing: JoinSet<io::Result<Bytes>>,
}

impl CompressedBody {
    /// Compresses the messages of `inner`.
    pub fn new(inner: Body, encoding: MessageEncoding, quota: Arc<Quota>) -> Self {
        Self { inner, encoding, quota, rest: Bytes::new(), packing: JoinSet::new() }
    }
}

impl http_body::Body for CompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(packed) = ready!(this.packing.poll_join_next(cx)) {
                // The task is aborted only with the runtime.
                let Ok(packed) = packed else {
                    return Poll::Ready(Some(Err(Error::StoppingCall.into())));
                };
                let packed = packed.expect("memory takes all that is written");
                return Poll::Ready(Some(Ok(Frame::data(packed))));
            }
            if let Some(whole) = whole_len(&this.rest) {
                let message = this.rest.split_to(whole);
                if message.len() < PACKED_BYTES_MIN {
                    return Poll::Ready(Some(Ok(Frame::data(message))));
                }
                this.packing.spawn(pack(this.encoding, message, Arc::clone(&this.quota)));
                continue;
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()? {
                Some(frame) => match frame.into_data() {
                    Ok(bytes) if this.rest.is_empty() => this.rest = bytes,
                    Ok(bytes) => this.rest = [&*this.rest, &*bytes].concat().into(),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.packing.is_empty() && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Waits for a slot, and compresses a message with its frame.
async fn pack(encoding: MessageEncoding, message: Bytes, quota: Arc<Quota>) -> io::Result<Bytes> {
    let small = message.len() <= SMALL_BYTES_MAX;
    // Held until the end, because a compressor takes memory.
    let _turn = quota.turn(if small { HeavyWork::PackSmall } else { HeavyWork::PackLarge }).await;
    let mut packer = Compressor::new(encoding)?;
    for piece in message.get(PREFIX_BYTES..).unwrap_or_default().chunks(PIECE_BYTES) {
        packer.write(piece)?;
        tokio::task::yield_now().await;
    }
    let mut frame = packer.finish()?;
    set_prefix(&mut frame, COMPRESSED);
    frame.shrink_to_fit();
    // The memory is in use already, and that of the source is freed right after.
    let share = quota.account().room().force(frame.capacity());
    Ok(hold(frame, share))
}

/// Compresses into a frame, after the space for its prefix.
enum Compressor {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    fn new(encoding: MessageEncoding) -> io::Result<Self> {
        let frame = vec![0; PREFIX_BYTES];
        Ok(match encoding {
            MessageEncoding::Gzip => Self::Gzip(GzEncoder::new(frame, Compression::default())),
            MessageEncoding::Zstd => {
                Self::Zstd(zstd::Encoder::new(frame, zstd::DEFAULT_COMPRESSION_LEVEL)?)
            }
        })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(packer) => packer.write_all(piece),
            Self::Zstd(packer) => packer.write_all(piece),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(packer) => packer.finish(),
            Self::Zstd(packer) => packer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use futures_util::FutureExt as _;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::server::Config;
    use crate::service::quota::{ClientKey, Quotas};

    fn quota() -> Arc<Quota> {
        Quotas::new(Config::default().quotas).of(&ClientKey::principal("alice"))
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// The messages of a body, unpacked, and whether each had been packed.
    fn messages(encoding: MessageEncoding, mut body: Bytes) -> Vec<(Vec<u8>, bool)> {
        let mut messages = Vec::new();
        while let Some(whole) = whole_len(&body) {
            let message = body.split_to(whole);
            let (packed, bytes) = (message[0] == COMPRESSED, &message[PREFIX_BYTES..]);
            let mut plain = Vec::new();
            match (packed, encoding) {
                (false, _) => plain.extend(bytes),
                (true, MessageEncoding::Gzip) => {
                    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).map(drop).unwrap();
                }
                (true, MessageEncoding::Zstd) => plain = zstd::decode_all(bytes).unwrap(),
            }
            messages.push((plain, packed));
        }
        assert!(body.is_empty());
        messages
    }

    #[tokio::test]
    async fn messages_are_packed_however_they_are_cut() {
        let texts = [0, 1, 300, 1_000, 200_000].map(|bytes| vec![b'x'; bytes]);
        let body: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
        let expected: Vec<(Vec<u8>, bool)> =
            texts.iter().map(|text| (text.clone(), text.len() > 500)).collect();
        let trailers =
            http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        for encoding in [MessageEncoding::Gzip, MessageEncoding::Zstd] {
            for pieces in [7, 1_000, body.len()] {
                let frames =
                    body.chunks(pieces).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
                let frames = frames.chain([Frame::trailers(trailers.clone())]).map(Ok::<_, Status>);
                let frames: Vec<_> = frames.collect();
                let inner = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
                let packed = CompressedBody::new(inner, encoding, quota()).collect().await.unwrap();
                assert_eq!(packed.trailers(), Some(&trailers));
                let packed = packed.to_bytes();
                assert!(packed.len() < 10_000, "{} bytes", packed.len());
                assert!(messages(encoding, packed) == expected, "{encoding:?}, {pieces}");
            }
        }
    }

    #[tokio::test]
    async fn others_run_between_pieces() {
        const BYTES: usize = 4 * 1024 * 1024;
        for encoding in [MessageEncoding::Gzip, MessageEncoding::Zstd] {
            let message = Bytes::from(framed(&vec![b'x'; BYTES]));
            let mut packing = Box::pin(pack(encoding, message, quota()));
            let mut polled = 0;
            while (&mut packing).now_or_never().is_none() {
                polled += 1;
            }
            assert!(polled >= BYTES / PIECE_BYTES, "{encoding:?}: in {polled} pieces");
        }
    }

    /// Who waits does so behind messages of its kind only.
    #[tokio::test]
    async fn messages_wait_for_their_turn() {
        const LARGE: usize = SMALL_BYTES_MAX;
        for (work, bytes, other) in
            [(HeavyWork::PackSmall, 1_000, LARGE), (HeavyWork::PackLarge, LARGE, 1_000)]
        {
            let quota = quota();
            let turns: Vec<_> = std::iter::from_fn(|| quota.turn(work).now_or_never()).collect();
            let body = |bytes| {
                let body = Body::new(http_body_util::Full::from(framed(&vec![b'x'; bytes])));
                CompressedBody::new(body, MessageEncoding::Gzip, Arc::clone(&quota))
            };
            let mut waits = body(bytes);
            assert!(waits.frame().now_or_never().is_none());
            assert!(body(other).frame().await.unwrap().is_ok());
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            assert!(waits.frame().now_or_never().is_none(), "{work:?}");
            drop(turns);
            assert!(waits.frame().await.unwrap().is_ok());
        }
    }
}
