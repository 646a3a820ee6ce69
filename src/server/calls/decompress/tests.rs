//! Messages are decompressed in pieces. That they come out as they were is tested where they come in.

use std::io::Write as _;

use futures_util::FutureExt as _;

use super::*;
use crate::access::Method;
use crate::server::Config;
use crate::service::quota::{ClientKey, MemoryKind, Quotas};

const LIMIT: usize = 4 * 1024 * 1024;
const BOTH: [MessageEncoding; 2] = [MessageEncoding::Gzip, MessageEncoding::Zstd];

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
        let quota = Quotas::new(Config::default().quotas).of(&ClientKey::principal("alice"));
        let held = quota.account().charge(MemoryKind::Receiving, message.len());
        let packed = Packed { encoding, message: message.into(), held, room: None };
        let mut unpacking = Box::pin(unpack(packed, LIMIT, Cost::of(Method::Emit), quota));
        let mut polled = 1;
        let unpacked = loop {
            match (&mut unpacking).now_or_never() {
                Some(unpacked) => break unpacked,
                None => polled += 1,
            }
        };
        assert_eq!(unpacked.unwrap().frame.len() - PREFIX_BYTES, bytes);
        assert!(polled > turns, "{encoding:?}: in {polled} pieces");
    }
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
