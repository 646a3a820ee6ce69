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
const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

fn quota() -> Arc<Quota> {
    Quotas::new(Config::default().quotas).of("alice")
}

fn packed(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), <_>::default());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(bytes, 0).unwrap(),
    }
}

fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[flag], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// The body that tonic sees of one that comes in such pieces.
fn unpacked(encoding: Encoding, body: &[u8], pieces: usize, quota: &Arc<Quota>) -> Unpacked {
    let frames: Vec<_> = body
        .chunks(pieces)
        .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    let inbound = Inbound::new(body, Arc::clone(quota), true).keeping();
    Unpacked::new(inbound, encoding, LIMIT, Arc::clone(quota))
}

async fn whole(body: Unpacked) -> Result<Bytes, Status> {
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
        let mut packed = packed(Encoding::Gzip, b"");
        let end = packed.split_off(10);
        packed.extend([0, 0, 0, 0xff, 0xff].repeat(LIMIT / 5 - 100));
        packed.extend(end);
        packed
    };
    let mut rows = vec![(Encoding::Gzip, empty_blocks, LIMIT / PACKED_PIECE_BYTES - 1)];
    for encoding in BOTH {
        let message = packed(encoding, &vec![0; LIMIT]);
        rows.push((encoding, message, LIMIT / PIECE_BYTES));
    }
    for (encoding, message, turns) in rows {
        let mut unpacking = Box::pin(unpack(encoding, message.into(), LIMIT, quota()));
        let mut polled = 1;
        let unpacked = loop {
            match (&mut unpacking).now_or_never() {
                Some(unpacked) => break unpacked,
                None => polled += 1,
            }
        };
        unpacked.unwrap();
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

/// One client may have half of the turns, and a message that waits stays on its account.
#[tokio::test]
async fn messages_wait_for_their_turn() {
    let quotas = Quotas::new(Config::default().quotas);
    let alice = quotas.of("alice");
    let mut turns = Vec::new();
    while let Some(turn) = alice.pack().now_or_never() {
        turns.push(turn);
    }
    let body = framed(1, &packed(Encoding::Gzip, &text(1_000)));
    let mut waits = unpacked(Encoding::Gzip, &body, body.len(), &alice);
    assert!(waits.frame().now_or_never().is_none());
    assert_eq!(quotas.receiving_bytes(), body.len());
    let bob = whole(unpacked(Encoding::Gzip, &body, body.len(), &quotas.of("bob")));
    if std::thread::available_parallelism().unwrap().get() > 1 {
        tokio::time::timeout(std::time::Duration::from_secs(60), bob).await.unwrap().unwrap();
    }
    drop(turns);
    assert!(waits.frame().await.unwrap().is_ok());
    assert_eq!(quotas.receiving_bytes(), 0);
    assert!(waits.frame().await.is_none());
}
