//! Messages as they are encoded and read back, and what is refused.

use proptest::prelude::*;
use sha2::Digest as _;
use uuid::Uuid;

use super::group::{EncodedUnit, EventKey, encode};
use super::*;

const LOG: Uuid = Uuid::from_u128(7);

fn keys(byte: u8) -> ClusterKeys {
    ClusterKeys::new(AuthenticationKey::new(&[byte; 32], LOG), Vec::new())
}

fn unit(is_all_or_none: bool, records: &[(&str, &[u8], &[u8])]) -> EncodedUnit {
    let mut unit = EncodedUnit::with_capacity(is_all_or_none, 0);
    for (id, head, event) in records {
        assert!(unit.add(EventKey::of("svc", id.as_bytes()), event.is_empty(), head, event));
    }
    unit
}

fn group() -> MessageGroup {
    let long = [b'x'; 1_000];
    MessageGroup::of(&[
        unit(false, &[("a", b"head", b"event"), ("b", b"", b"")]),
        unit(true, &[("c", b"h", &long), ("a", b"h", b"e")]),
        unit(false, &[]),
    ])
}

fn long_group(event: &[u8]) -> MessageGroup {
    MessageGroup::of(&[unit(false, &[("a", b"", event)])])
}

fn message(content: MessageContent) -> SharedMessage {
    let basis = Basis { position: 5, count: 4, time: Time(-3), digest: 2, epoch: 3 };
    SharedMessage { sender: 1, counter: 9, basis, content }
}

fn messages() -> Vec<SharedMessage> {
    let epoch = EpochChange {
        number: 2,
        position: 9,
        count: 77,
        time: Time(-5),
        digest: 3,
        checkpoint: "a\n77\n".to_owned(),
        signature: vec![7; 64],
    };
    let digests =
        ["roles", "types"].map(|name| SettingsDigest { name: name.into(), digest: [4; 8] });
    let member = MemberReport {
        name: "gateway-1".into(),
        version: "1.2.3".into(),
        is_signer: true,
        digests: digests.into(),
    };
    let contents = [
        MessageContent::Group(group()),
        MessageContent::Group(MessageGroup::of(&[])),
        MessageContent::Checkpoint("text".to_owned()),
        MessageContent::Epoch(epoch),
        MessageContent::Member(member),
        MessageContent::Member(MemberReport::default()),
    ];
    contents.map(message).into()
}

#[test]
fn a_message_is_read_as_it_is_written() {
    for message in messages() {
        let bytes = message.encode(&keys(1));
        assert_eq!(SharedMessage::decode(&bytes, &keys(1)), Ok(message));
    }
    let group = group();
    let units: Vec<_> = group.units().iter().map(|unit| unit.is_all_or_none).collect();
    assert_eq!(units, [false, true, false]);
    let parts = group.records().iter().map(|record| group.parts(record).0);
    assert_eq!(parts.collect::<Vec<_>>(), [&b"head"[..], b"", b"h", b"h"]);
    assert_eq!(group.records()[0].key, group.records()[3].key);
    assert_eq!(group.records_of(&group.units()[1]), &group.records()[2..]);
    let untimed: Vec<_> = group.records().iter().map(|record| record.is_untimed).collect();
    assert_eq!(untimed, [false, true, false, false]);
}

#[test]
fn a_principal_and_an_id_are_told_apart() {
    assert_ne!(EventKey::of("ab", b"c"), EventKey::of("a", b"bc"));
    assert_ne!(EventKey::of("", b"a"), EventKey::of("a", b""));
}

#[test]
fn every_flipped_bit_and_missing_byte_is_noticed() {
    for message in messages() {
        let bytes = message.encode(&keys(1));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let decoded = SharedMessage::decode(&changed, &keys(1));
            assert_eq!(decoded, Err(MessageFault::Unauthentic), "bit {bit}");
        }
        for len in 0..bytes.len() {
            let decoded = SharedMessage::decode(&bytes[..len], &keys(1));
            assert_eq!(decoded, Err(MessageFault::Unauthentic), "{len} bytes");
        }
    }
}

#[test]
fn another_key_or_log_authenticates_nothing() {
    let bytes = messages()[0].encode(&keys(1));
    assert_eq!(SharedMessage::decode(&bytes, &keys(2)), Err(MessageFault::Unauthentic));
    let other_log = AuthenticationKey::new(&[1; 32], Uuid::from_u128(8));
    let other_log = ClusterKeys::new(other_log, Vec::new());
    assert_eq!(SharedMessage::decode(&bytes, &other_log), Err(MessageFault::Unauthentic));
    // A former key is still accepted, and not used.
    let both = ClusterKeys::new(
        AuthenticationKey::new(&[2; 32], LOG),
        vec![AuthenticationKey::new(&[1; 32], LOG)],
    );
    assert_eq!(SharedMessage::decode(&bytes, &both), Ok(messages()[0].clone()));
    let renewed = messages()[0].encode(&both);
    assert_eq!(SharedMessage::decode(&renewed, &keys(2)), Ok(messages()[0].clone()));
}

/// Changes a message, and makes it authentic again.
fn changed(message: &SharedMessage, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = message.encode(&keys(1));
    bytes.truncate(bytes.len() - (OVERHEAD_BYTES - HEADER_BYTES));
    change(&mut bytes);
    keys(1).authenticate(&mut bytes);
    bytes
}

fn with_checksum(bytes: &mut [u8]) {
    let (header, body) = bytes.split_at(HEADER_BYTES);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header[..CHECKSUM_AT]), body);
    bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn what_a_newer_version_may_mean_stops() {
    let raw = message(MessageContent::Group(MessageGroup::of(&[unit(true, &[("a", b"", b"")])])));
    let body = HEADER_BYTES;
    for (place, what) in [
        (3, "version"),
        (4, "kind"),
        (5, "encoding"),
        (body + 2, "unit flags"),
        (body + 2 + 3 + 16, "record flags"),
    ] {
        let bytes = changed(&raw, |bytes| {
            bytes[place] = 0x32;
            with_checksum(bytes);
        });
        let fault = SharedMessage::decode(&bytes, &keys(1)).expect_err("unknown");
        let value = 0x32;
        assert_eq!(fault, MessageFault::Newer { what, value }, "byte {place}");
        assert!(!fault.is_skipped());
    }
}

#[test]
fn what_is_authentic_and_malformed_is_passed_over() {
    let raw = message(MessageContent::Group(MessageGroup::of(&[unit(true, &[("a", b"h", b"e")])])));
    let cut = |len: usize| changed(&raw, move |bytes| bytes.truncate(len));
    let of = |change: &dyn Fn(&mut Vec<u8>)| {
        changed(&raw, |bytes| {
            change(bytes);
            with_checksum(bytes);
        })
    };
    let compressed = message(MessageContent::Group(long_group(&[b'x'; 10_000])));
    let bomb = changed(&compressed, |bytes| {
        bytes[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        with_checksum(bytes);
    });
    let lies = changed(&compressed, |bytes| {
        bytes[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&9_000_u32.to_le_bytes());
        with_checksum(bytes);
    });
    for bytes in [
        cut(0),
        cut(3),
        cut(40),
        cut(HEADER_BYTES),
        of(&|bytes| bytes[0] = b'B'),
        of(&|bytes| bytes.push(0)),
        of(&|bytes| bytes[56] -= 1),
        of(&|bytes| bytes[HEADER_BYTES] = 2),
        of(&|bytes| bytes[HEADER_BYTES + 3] = 9),
        of(&|bytes| bytes[HEADER_BYTES + 2 + 3 + 17] = 200),
        changed(&raw, |bytes| bytes[HEADER_BYTES + 10] ^= 1),
        bomb,
        lies,
    ] {
        let fault = SharedMessage::decode(&bytes, &keys(1)).expect_err("malformed");
        assert!(matches!(fault, MessageFault::Malformed(_)), "{fault}");
        assert!(fault.is_skipped());
    }
}

/// What an authentic sender may say of itself or of a checkpoint is bounded, and can be
/// shown to people.
#[test]
fn texts_are_bounded_and_printable() {
    let decoded = |content: MessageContent| {
        SharedMessage::decode(&message(content).encode(&keys(1)), &keys(1))
    };
    let checkpoint = |len| decoded(MessageContent::Checkpoint("x".repeat(len)));
    assert!(checkpoint(CHECKPOINT_BYTES_MAX).is_ok());
    assert!(matches!(checkpoint(CHECKPOINT_BYTES_MAX + 1), Err(MessageFault::Malformed(_))));
    let member = |name: &str| {
        decoded(MessageContent::Member(MemberReport { name: name.into(), ..Default::default() }))
    };
    let Ok(SharedMessage { content: MessageContent::Member(cut), .. }) = member(&"é".repeat(100))
    else {
        panic!("a long name is cut")
    };
    assert_eq!(cut.name, "é".repeat(32));
    assert!(matches!(member("bell\u{7}"), Err(MessageFault::Malformed(_))));
    let content = MessageContent::Member(MemberReport::default()).encode();
    for (place, fault) in [(0, 2), (1, 65), (3, 17), (3, 1)] {
        let mut changed = content.clone();
        changed[place] = fault;
        let decoded = MessageContent::decode(kind::MEMBER, changed);
        let is_expected = match place {
            0 => matches!(decoded, Err(MessageFault::Newer { what: "member flags", .. })),
            _ => matches!(decoded, Err(MessageFault::Malformed(_))),
        };
        assert!(is_expected, "byte {place}: {decoded:?}");
    }
    let decoded = MessageContent::decode(kind::MEMBER, [&content[..], &[0]].concat());
    assert!(matches!(decoded, Err(MessageFault::Malformed(_))), "{decoded:?}");
}

#[test]
fn settings_that_differ_are_named() {
    let of = |digests: &[(&str, u8)]| MemberReport {
        digests: digests
            .iter()
            .map(|(name, byte)| SettingsDigest { name: (*name).into(), digest: [*byte; 8] })
            .collect(),
        ..MemberReport::default()
    };
    let own = of(&[("roles", 1), ("redaction", 2), ("types", 3)]);
    let other = of(&[("types", 3), ("redaction", 9), ("new", 4)]);
    assert_eq!(own.differences(&other).collect::<Vec<_>>(), ["redaction"]);
    assert_eq!(own.differences(&own).count(), 0);
}

/// What is signed covers all of the message that is not the signature, and the log.
#[test]
fn an_epoch_is_signed_as_a_whole() {
    struct Key;
    impl EpochKey for Key {
        fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
            signature == sha2::Sha512::digest(text).as_slice()
        }
    }
    let Some(MessageContent::Epoch(mut epoch)) = messages()
        .into_iter()
        .map(|message| message.content)
        .find(|content| matches!(content, MessageContent::Epoch(_)))
    else {
        panic!("there is one")
    };
    epoch.signature = sha2::Sha512::digest(epoch.signed_text(LOG)).to_vec();
    assert!(epoch.is_signed(LOG, &Key));
    assert!(!epoch.is_signed(Uuid::from_u128(8), &Key));
    let bytes = epoch.encode();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let changed = EpochChange::decode(&changed).expect("it has the form of one");
        assert!(!changed.is_signed(LOG, &Key), "byte {place}");
    }
}

#[test]
fn bodies_are_compressed_where_that_is_shorter() {
    let text = "an event that says nearly the same as another; ".repeat(100);
    let long = message(MessageContent::Group(long_group(text.as_bytes())));
    assert!(long.encode(&keys(1)).len() < 400);
    let mut random = vec![0; 5_000];
    fastrand::Rng::with_seed(1).fill(&mut random);
    let random = long_group(&random);
    let len = random.bytes().len();
    let random = message(MessageContent::Group(random));
    assert_eq!(random.encode(&keys(1)).len(), OVERHEAD_BYTES + len);
}

#[test]
fn a_unit_has_at_most_as_many_records_as_can_be_counted() {
    let mut unit = EncodedUnit::with_capacity(true, 0);
    let key = EventKey([1; 16]);
    assert!((0..u16::MAX).all(|_| unit.add(key, false, b"", b"")));
    assert!(!unit.add(key, false, b"", b""));
    assert_eq!(unit.records(), 65_535);
    assert_eq!(MessageGroup::of(&[unit]).records().len(), 65_535);
}

proptest! {
    /// No authentic bytes make decoding panic, and what can be read is written the same.
    #[test]
    fn any_group_is_decoded_or_refused(bytes in prop::collection::vec(0_u8..4, 0..200)) {
        if let Ok(group) = MessageGroup::decode(bytes.clone()) {
            let units: Vec<EncodedUnit> = group
                .units()
                .iter()
                .map(|of| {
                    let mut unit = EncodedUnit::with_capacity(of.is_all_or_none, 0);
                    for record in group.records_of(of) {
                        let (head, event) = group.parts(record);
                        assert!(unit.add(record.key, record.is_untimed, head, event));
                    }
                    unit
                })
                .collect();
            prop_assert_eq!(encode(&units), bytes);
        }
    }
}
