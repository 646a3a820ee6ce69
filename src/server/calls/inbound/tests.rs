//! Messages come whole, however they are cut, and are on the account of their client all the while.

use std::io::Write as _;

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_types::StatusExt as _;

use super::*;
use crate::access::Method;
use crate::server::Config;
use crate::service::quota::{ClientKey, HeavyWork, Holding, Quotas};

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 4 * MIB;
const BOTH: [MessageEncoding; 2] = [MessageEncoding::Gzip, MessageEncoding::Zstd];

fn quotas() -> Quotas {
    Quotas::new(Config::default().quotas)
}

fn alice(quotas: &Quotas) -> Arc<Quota> {
    quotas.of(&ClientKey::principal("alice"))
}

fn rules(encoding: Option<MessageEncoding>) -> Rules {
    Rules { encoding, limit: LIMIT, cost: Cost::of(Method::EmitBatch), streams: true }
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

/// A body that comes in such pieces, and ends.
fn body(bytes: &[u8], pieces: usize) -> Body {
    let frames: Vec<_> = bytes
        .chunks(pieces)
        .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// A body that comes as it is sent, and goes on.
fn open_body() -> (mpsc::UnboundedSender<Vec<u8>>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let frames = UnboundedReceiverStream::new(receiver);
    (
        sender,
        Body::new(StreamBody::new(frames.map(|bytes| Ok::<_, Status>(Frame::data(bytes.into()))))),
    )
}

fn inbound(body: Body, encoding: Option<MessageEncoding>, quota: &Arc<Quota>) -> RequestBody {
    RequestBody::new(body, Arc::clone(quota), rules(encoding), WorkRoom::default())
}

/// All messages, in their frames.
async fn all(mut body: RequestBody) -> Result<Vec<Bytes>, Status> {
    let mut messages = Vec::new();
    while let Some(frame) = body.frame().await {
        messages.push(frame?.into_data().unwrap());
    }
    Ok(messages)
}

/// Bytes that compress, but not to nothing.
fn text(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.alphanumeric() as u8).take(bytes).collect()
}

/// Lets all that can go on do so.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut() {
    let texts = [text(0), text(1), text(300), text(200_000), vec![7; LIMIT]];
    for encoding in [None, Some(MessageEncoding::Gzip), Some(MessageEncoding::Zstd)] {
        let mut bytes = framed(0, b"plain");
        let mut expected = vec![bytes.clone()];
        for text in &texts {
            match encoding {
                None => bytes.extend(framed(0, text)),
                Some(encoding) => bytes.extend(framed(1, &packed(encoding, text))),
            }
            expected.push(framed(0, text));
        }
        for pieces in [1, 7, 16 * 1024, bytes.len()] {
            let quotas = quotas();
            let messages = all(inbound(body(&bytes, pieces), encoding, &alice(&quotas))).await;
            assert!(messages.unwrap() == expected, "{encoding:?}, in pieces of {pieces}");
            assert_eq!(quotas.holding(), Holding::default());
        }
    }
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_the_reason() {
    let gzip = Some(MessageEncoding::Gzip);
    let too_large = [&[0][..], &(LIMIT as u32 + 1).to_be_bytes()].concat();
    let mut rows = vec![
        (None, too_large, "REQUEST_TOO_LARGE", "request is 4194305 bytes"),
        (None, framed(1, b"x"), "REQUEST_MALFORMED", "grpc-encoding is missing"),
        (gzip, framed(7, b"x"), "REQUEST_MALFORMED", "flag 7: it must be 0 or 1"),
        (None, framed(0, b"cut")[..7].to_vec(), "REQUEST_MALFORMED", "ends within a message"),
    ];
    for encoding in BOTH {
        let bomb = framed(1, &packed(encoding, &vec![0; LIMIT + 1]));
        let mut cut = packed(encoding, &text(1_000));
        cut.truncate(700);
        let over = "larger than the limit once decompressed";
        rows.extend([
            (Some(encoding), bomb.clone(), "REQUEST_TOO_LARGE", over),
            (Some(encoding), vec![1, 0xff, 0, 0, 0], "REQUEST_TOO_LARGE", "is 4278190080 bytes"),
            (Some(encoding), framed(1, &cut), "REQUEST_MALFORMED", "badly compressed"),
            (Some(encoding), framed(1, b"neither"), "REQUEST_MALFORMED", "badly compressed"),
            (Some(encoding), framed(1, b""), "REQUEST_MALFORMED", "badly compressed"),
            (Some(encoding), bomb[..30].to_vec(), "REQUEST_MALFORMED", "ends within a message"),
            (Some(encoding), vec![1, 0], "REQUEST_MALFORMED", "ends within a message"),
        ]);
    }
    for (encoding, bytes, reason, says) in rows {
        let quotas = quotas();
        let refused = all(inbound(body(&bytes, 1_000), encoding, &alice(&quotas))).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().reason, reason, "{refused:?}");
        assert!(refused.message().contains(says), "{encoding:?}: {refused:?}");
        assert_eq!(quotas.holding(), Holding::default());
    }
}

#[tokio::test]
async fn what_the_transport_gives_up_on_is_refused_with_a_reason() {
    let quotas = quotas();
    let begun = Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9, 1])));
    let broken = Err(Status::internal("h2 protocol error: flow control"));
    let body = Body::new(StreamBody::new(futures_util::stream::iter([begun, broken])));
    let refused = all(inbound(body, None, &alice(&quotas))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Cancelled, "the gateway did not fail");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "REQUEST_MALFORMED");
    assert!(refused.message().contains("before it was complete: h2 protocol"), "{refused}");
}

/// From the first byte until the last slice of the message is gone.
#[tokio::test]
async fn a_message_is_on_the_account_of_its_client_all_the_while() {
    let quotas = quotas();
    let quota = alice(&quotas);
    let (sender, body) = open_body();
    let mut messages = inbound(body, None, &quota);
    let message = framed(0, &text(MIB));
    for piece in message[..message.len() - 1].chunks(16 * 1024) {
        let came = quota.account().holding().total();
        sender.send(piece.to_vec()).unwrap();
        assert!(messages.frame().now_or_never().is_none());
        let holding = quota.account().holding();
        assert!(holding.total() >= came, "{holding:?} after {came}");
        assert!(holding.total() >= 16 * 1024, "{holding:?}");
    }
    assert!(quota.account().holding().room >= message.len());
    sender.send(message[message.len() - 1..].to_vec()).unwrap();
    let mut given = messages.frame().await.unwrap().unwrap().into_data().unwrap();
    let work = messages.work.take().unwrap();
    assert_eq!(work.units(), Cost::of(Method::EmitBatch).of_request(MIB));
    drop(work);
    let event = given.split_off(MIB / 2);
    drop(given);
    assert_eq!(quotas.holding().total(), message.len(), "a slice keeps the whole message");
    drop(event);
    assert_eq!(quotas.holding(), Holding::default());
}

#[tokio::test]
async fn a_client_has_room_for_so_many_messages_and_the_others_wait() {
    let quotas = quotas();
    let quota = alice(&quotas);
    let message = framed(0, &vec![7; LIMIT]);
    let mut given = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut messages = inbound(body(&message, 64 * 1024), None, &quota);
        match messages.frame().now_or_never() {
            Some(message) => given.push((message.unwrap().unwrap().into_data().unwrap(), messages)),
            None => waiting.push(messages),
        }
    }
    assert!((3..20).contains(&given.len()), "{}", given.len());
    let holding = quota.account().holding();
    assert!(holding.room <= quotas.limits().waiting_bytes, "{holding:?}");
    // A message that waits holds its first bytes, and what h2 may hold of it.
    let first = FIRST_BYTES + 64 * 1024 + STREAM_WINDOW_BYTES;
    assert!(holding.of(MemoryKind::Receiving) <= waiting.len() * first, "{holding:?}");
    assert!(holding.of(MemoryKind::Receiving) >= waiting.len() * FIRST_BYTES, "{holding:?}");
    for mut messages in waiting {
        given.remove(0);
        assert!(messages.frame().await.unwrap().is_ok());
        given.push((Bytes::new(), messages));
    }
}

/// What h2 holds of them, unread, counts.
#[tokio::test]
async fn messages_that_wait_for_room_are_refused_beyond_the_limit() {
    let quotas = quotas();
    let quota = alice(&quotas);
    let most = quotas.limits().waiting_bytes;
    let _all = quota.account().room().acquire(most).await;
    let prefix = &framed(0, &vec![7; LIMIT])[..FIRST_BYTES];
    let mut waiting = Vec::new();
    let refused = loop {
        // A task that never yields is told that channels are empty.
        tokio::task::yield_now().await;
        let (sender, body) = open_body();
        sender.send(prefix.to_vec()).unwrap();
        let mut messages = inbound(body, None, &quota);
        match messages.frame().now_or_never() {
            None => waiting.push((sender, messages)),
            Some(refused) => break refused.unwrap().unwrap_err(),
        }
        assert!(waiting.len() < 1_000, "nothing is refused");
    };
    assert_eq!(refused.get_details_error_info().unwrap().reason, "LIMIT_REACHED");
    assert!(waiting.len() > 100, "{}", waiting.len());
}

/// A compressed message waits for its turn on the account of its client; others have turns of their own.
#[tokio::test]
async fn compressed_messages_wait_for_their_turn() {
    for (work, message) in [
        (HeavyWork::UnpackSmall, packed(MessageEncoding::Gzip, &text(1_000))),
        (HeavyWork::UnpackLarge, packed(MessageEncoding::Gzip, &vec![0; LIMIT])),
        (HeavyWork::UnpackLarge, packed(MessageEncoding::Gzip, &text(200_000))),
    ] {
        let quotas = quotas();
        let quota = alice(&quotas);
        let turns: Vec<_> = std::iter::from_fn(|| quota.turn(work).now_or_never()).collect();
        let bytes = framed(1, &message);
        let mut waits = inbound(body(&bytes, bytes.len()), Some(MessageEncoding::Gzip), &quota);
        assert!(waits.frame().now_or_never().is_none());
        assert!(quotas.holding().total() >= bytes.len());
        if std::thread::available_parallelism().unwrap().get() > 1 {
            let bob = quotas.of(&ClientKey::principal("bob"));
            let other = inbound(body(&bytes, bytes.len()), Some(MessageEncoding::Gzip), &bob);
            assert_eq!(all(other).await.unwrap().len(), 1);
        }
        settle().await;
        assert!(waits.frame().now_or_never().is_none(), "{work:?}");
        drop(turns);
        assert!(waits.frame().await.unwrap().is_ok());
        drop(waits);
        assert_eq!(quotas.holding(), Holding::default());
    }
}

#[tokio::test]
async fn a_small_message_does_not_wait_behind_large_ones() {
    let quotas = quotas();
    let quota = alice(&quotas);
    let _turns: Vec<_> =
        std::iter::from_fn(|| quota.turn(HeavyWork::UnpackLarge).now_or_never()).collect();
    for encoding in BOTH {
        let bytes = framed(1, &packed(encoding, &text(5_000)));
        let messages = all(inbound(body(&bytes, bytes.len()), Some(encoding), &quota)).await;
        assert_eq!(messages.unwrap(), [framed(0, &text(5_000))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_too_slowly_is_refused_and_a_stream_may_rest() {
    let quotas = quotas();
    let (sender, body) = open_body();
    let mut messages = inbound(body, None, &alice(&quotas));
    let hour = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, messages.frame()).await.is_err(), "nothing has begun");
    sender.send(vec![0, 0]).unwrap();
    let refused = messages.frame().await.unwrap().unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "REQUEST_TOO_SLOW");
}
