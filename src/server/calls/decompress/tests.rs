//! Messages come out as they were packed, in pieces, and by turns.

use std::io::Write as _;

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::body::Body;
use tonic_types::StatusExt as _;

use super::*;
use crate::server::Config;
use crate::service::quota::Quotas;

const LIMIT: usize = 4 * 1024 * 1024;
const BOTH: [MessageEncoding; 2] = [MessageEncoding::Gzip, MessageEncoding::Zstd];

fn quota() -> Arc<Quota> {
    Quotas::new(Config::default().quotas).of("alice")
}

fn packed(encoding: MessageEncoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        MessageEncoding::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), <_>::default());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
        MessageEncoding::Zstd => zstd::encode_all(bytes, 0).unwrap(),
    }
}

fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[flag], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// The body that tonic sees of one that comes in such pieces.
fn unpacked(
    encoding: MessageEncoding,
    body: &[u8],
    pieces: usize,
    quota: &Arc<Quota>,
) -> DecompressedBody {
    let frames: Vec<_> = body
        .chunks(pieces)
        .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    let inbound = RequestBody::new(body, Arc::clone(quota), true).keeping();
    DecompressedBody::new(inbound, encoding, LIMIT, Arc::clone(quota))
}

async fn whole(body: DecompressedBody) -> Result<Bytes, Status> {
    Ok(body.collect().await?.to_bytes())
}

/// Of some bytes that compress, but not to nothing.
fn text(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.alphanumeric() as u8).take(bytes).collect()
}

#[tokio::test]
async fn messages_are_unpacked_however_they_are_cut() {
    let texts = [text(0), text(1), text(300), text(200_000), vec![7; LIMIT]];
    for encoding in BOTH {
        let mut body = framed(0, b"plain");
        let mut expected = body.clone();
        for text in &texts {
            body.extend(framed(1, &packed(encoding, text)));
            expected.extend(framed(0, text));
        }
        for pieces in [1, 7, 16 * 1024, body.len()] {
            let quota = quota();
            let body = whole(unpacked(encoding, &body, pieces, &quota)).await.unwrap();
            assert!(body == expected, "{encoding:?}, in pieces of {pieces}");
        }
    }
}

/// What a message takes of the processor is cut into pieces, also where nothing comes out
/// of it.
#[tokio::test]
async fn others_run_between_pieces() {
    let empty_blocks = {
        // Blocks that hold nothing, and are not the last.
        let mut packed = packed(MessageEncoding::Gzip, b"");
        let end = packed.split_off(10);
        packed.extend([0, 0, 0, 0xff, 0xff].repeat(LIMIT / 5 - 100));
        packed.extend(end);
        packed
    };
    let mut rows = vec![(MessageEncoding::Gzip, empty_blocks, 0, LIMIT / PACKED_PIECE_BYTES - 1)];
    for encoding in BOTH {
        let message = packed(encoding, &vec![0; LIMIT]);
        rows.push((encoding, message, LIMIT, LIMIT / PIECE_BYTES));
    }
    for (encoding, message, bytes, turns) in rows {
        let mut unpacking = Box::pin(unpack(encoding, message.into(), LIMIT, quota()));
        let mut polled = 1;
        let unpacked = loop {
            match (&mut unpacking).now_or_never() {
                Some(unpacked) => break unpacked,
                None => polled += 1,
            }
        };
        assert_eq!(unpacked.unwrap().0.len() - PREFIX_BYTES, bytes);
        assert!(polled > turns, "{encoding:?}: in {polled} pieces");
    }
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_with_the_reason() {
    for encoding in BOTH {
        let bomb = framed(1, &packed(encoding, &vec![0; LIMIT + 1]));
        let mut cut = packed(encoding, &text(1_000));
        cut.truncate(700);
        let rows = [
            (bomb.clone(), "REQUEST_TOO_LARGE", "larger than the limit once decompressed"),
            (vec![1, 0xff, 0, 0, 0], "REQUEST_TOO_LARGE", "request is 4278190080 bytes"),
            (framed(1, &cut), "REQUEST_MALFORMED", "badly compressed"),
            (framed(1, b"neither"), "REQUEST_MALFORMED", "badly compressed"),
            (framed(1, b""), "REQUEST_MALFORMED", "badly compressed"),
            (bomb[..30].to_vec(), "REQUEST_MALFORMED", "ends within a message"),
            (vec![1, 0], "REQUEST_MALFORMED", "ends within a message"),
        ];
        for (body, reason, says) in rows {
            let quota = quota();
            let refused = whole(unpacked(encoding, &body, 1_000, &quota)).await.unwrap_err();
            assert_eq!(refused.get_details_error_info().unwrap().reason, reason, "{refused:?}");
            assert!(refused.message().contains(says), "{encoding:?}: {refused:?}");
        }
    }
}

/// Lets all that can go on do so.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// Takes turns until one would have to be waited for.
fn all_turns(quota: &Quota, work: CompressionWork) -> Vec<ResourceShare> {
    std::iter::from_fn(|| quota.turn(work).now_or_never()).collect()
}

/// Who waits stays on the account of its client, and others have turns of their own.
#[tokio::test]
async fn messages_wait_for_their_turn() {
    for (work, message) in [
        (CompressionWork::UnpackSmall, packed(MessageEncoding::Gzip, &text(1_000))),
        (CompressionWork::UnpackLarge, packed(MessageEncoding::Gzip, &vec![0; LIMIT])),
        (CompressionWork::UnpackLarge, packed(MessageEncoding::Gzip, &text(200_000))),
    ] {
        let quotas = Quotas::new(Config::default().quotas);
        let alice = quotas.of("alice");
        let turns = all_turns(&alice, work);
        let body = framed(1, &message);
        let mut waits = unpacked(MessageEncoding::Gzip, &body, body.len(), &alice);
        assert!(waits.frame().now_or_never().is_none());
        assert_eq!(quotas.receiving_bytes(), body.len());
        if std::thread::available_parallelism().unwrap().get() > 1 {
            let bob = quotas.of("bob");
            whole(unpacked(MessageEncoding::Gzip, &body, body.len(), &bob)).await.unwrap();
        }
        settle().await;
        assert!(waits.frame().now_or_never().is_none(), "{work:?}");
        drop(turns);
        assert!(waits.frame().await.unwrap().is_ok());
        assert_eq!(quotas.receiving_bytes(), 0);
        assert!(waits.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_small_message_does_not_wait_behind_large_ones() {
    let alice = quota();
    let _turns = all_turns(&alice, CompressionWork::UnpackLarge);
    for encoding in BOTH {
        let body = framed(1, &packed(encoding, &text(5_000)));
        let message = whole(unpacked(encoding, &body, body.len(), &alice)).await.unwrap();
        assert_eq!(message, framed(0, &text(5_000)));
    }
}

/// What has come of a large message takes memory until the next is asked for.
#[tokio::test]
async fn a_large_message_keeps_its_turn_until_it_is_done_with() {
    let alice = quota();
    let body = framed(1, &packed(MessageEncoding::Zstd, &vec![0; LIMIT]));
    let turns = all_turns(&alice, CompressionWork::UnpackLarge).len();
    let mut given = Vec::new();
    for _ in 0..turns {
        let mut body = unpacked(MessageEncoding::Zstd, &body, body.len(), &alice);
        assert!(body.frame().await.unwrap().is_ok());
        given.push(body);
    }
    let mut waits = unpacked(MessageEncoding::Zstd, &body, body.len(), &alice);
    assert!(waits.frame().now_or_never().is_none());
    settle().await;
    assert!(waits.frame().now_or_never().is_none());
    assert!(given[0].frame().await.is_none());
    assert!(waits.frame().await.unwrap().is_ok());
}

/// The decoder gives each of these by itself.
#[tokio::test]
async fn a_message_of_many_frames_is_unpacked_in_few_pieces() {
    const FRAMES: usize = 100_000;
    let message = packed(MessageEncoding::Zstd, b"x").repeat(FRAMES);
    let pieces = message.len().div_ceil(PACKED_PIECE_BYTES);
    let mut unpacking = Decompression::new(MessageEncoding::Zstd, message.into(), LIMIT).unwrap();
    let mut taken = 1;
    while !unpacking.piece().unwrap() {
        taken += 1;
    }
    assert!(taken <= pieces + 1, "{taken} of {pieces}");
    assert_eq!(unpacking.frame().len(), PREFIX_BYTES + FRAMES);
}
