//! A client that may publish to the stream, and has no cluster key: whatever it sends, no
//! record of it is applied, and no gateway stops.

use bytes::Bytes;
use fastrand::Rng;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::log::shared::message::group::{EncodedUnit, EventKey, MessageGroup};
use crate::log::shared::message::{EpochChange, MemberReport, MessageContent};
use crate::log::shared::stream::jetstream::test_server::{self, TestServer, program_or_skip};

/// What the client makes up.
fn forgeries(rng: &mut Rng, log_id: Uuid, recorded: &[Bytes]) -> Vec<Bytes> {
    let mut forged = vec![Bytes::new(), Bytes::from_static(b"AGM1"), Bytes::from(vec![0; 1 << 20])];
    let mut random = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        bytes
    };
    forged.extend([1, 20, 63, 64, 84, 85, 4_000].map(|len| Bytes::from(random(len))));
    // All that gateways say, under other keys: of the client's own, and of another log.
    let unit = {
        let mut unit = EncodedUnit::with_capacity(false, 0);
        assert!(unit.add(EventKey([7; 16]), false, b"head", b"event"));
        unit
    };
    let epoch = EpochChange {
        number: 2,
        position: 1,
        count: 0,
        time: crate::time::Time(0),
        digest: 0,
        checkpoint: String::new(),
        signature: vec![0; 64],
    };
    let contents = [
        MessageContent::Group(MessageGroup::of(&[unit])),
        MessageContent::Checkpoint("a checkpoint".into()),
        MessageContent::Epoch(epoch),
        MessageContent::Member(MemberReport::default()),
    ];
    let of = |key: [u8; 32], log_id| ClusterKeys::new(AuthenticationKey::new(&key, log_id), vec![]);
    let (own, other_log) = (of([66; 32], log_id), of([5; 32], Uuid::from_u128(1)));
    for content in contents {
        let message = SharedMessage { sender: 1, counter: 1, basis: Basis::default(), content };
        for keys in [&own, &other_log] {
            let whole = message.encode(keys);
            forged.push(whole.clone().into());
            // Another version, an unknown kind or encoding: they stop only who has the key.
            for place in [3, 4, 5] {
                let mut newer = whole.clone();
                newer.truncate(newer.len() - 20);
                newer[place] = 0x7f;
                keys.authenticate(&mut newer);
                forged.push(newer.into());
            }
        }
    }
    // A frame of zstd that becomes much more, with the length that it has and without.
    let bomb = zstd::bulk::compress(&vec![0; 60 << 20], 19).expect("it compresses");
    for len in [60 << 20, u32::MAX] {
        let mut message = recorded[0][..64].to_vec();
        message[5] = 1;
        message[56..60].copy_from_slice(&(4 + bomb.len() as u32).to_le_bytes());
        message.extend_from_slice(&len.to_le_bytes());
        message.extend_from_slice(&bomb);
        message.extend_from_slice(&Sha256::digest(&message)[..20]);
        forged.push(message.into());
    }
    // What gateways have sent, with a bit changed anywhere, cut off, or longer.
    for _ in 0..40 {
        let whole: Vec<_> = recorded.iter().filter(|message| !message.is_empty()).collect();
        let message = whole[rng.usize(0..whole.len())];
        let mut changed = message.to_vec();
        let place = rng.usize(0..changed.len());
        match rng.u8(0..6) {
            0 => changed.truncate(place),
            1 => changed.push(rng.u8(..)),
            _ => changed[place] ^= 1 << rng.u8(0..8),
        }
        forged.push(changed.into());
    }
    forged
}

/// Attacks two gateways; `send` appends what no gateway sends.
async fn attack(gateways: [&Arc<SharedLog>; 2], stream: &dyn Stream, rounds: u64) {
    let log_id = stream.settings().log_id;
    let profile = MemberReport { name: "gateway".into(), ..MemberReport::default() };
    gateways.iter().for_each(|log| log.announce(profile.clone()));
    let (mut invalid, mut id) = (0, 0);
    for round in 0..rounds {
        let mut rng = Rng::with_seed(round);
        for log in gateways {
            for _ in 0..5 {
                assert!(!receipt(log, &id.to_string(), "ls").await.duplicate);
                id += 1;
            }
        }
        let last = stream.ends().await.expect("an answer").last;
        let mut recorded: Vec<Bytes> = Vec::new();
        while recorded.len() < 10 {
            let next = recorded.len() as u64 + 1;
            let read = stream.read(next, true).await.expect("read");
            recorded.extend(read.into_iter().map(|entry| entry.bytes));
        }
        for message in forgeries(&mut rng, log_id, &recorded) {
            // A second change may undo the first, of a message that was changed before.
            let is_own = SharedMessage::decode(&message, &keys_of(log_id)).is_ok();
            stream.append(message).await.expect("the stream takes it");
            invalid += u64::from(!is_own);
        }
        // What was authentic once, at other positions: the oldest and the newest.
        let newest = stream.read(last.saturating_sub(10).max(1), true).await.expect("read");
        let again = newest.into_iter().filter(|entry| entry.position <= last);
        let again = again.map(|entry| entry.bytes).chain(recorded.iter().take(20).cloned());
        for message in again {
            let is_own = SharedMessage::decode(&message, &keys_of(log_id)).is_ok();
            stream.append(message).await.expect("the stream takes it");
            invalid += u64::from(!is_own);
        }
    }
    let end = stream.ends().await.expect("an answer").last;
    for log in gateways {
        while log.report().position < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(invalid > 80 * rounds, "{invalid}");
    let all = frames(gateways[0]).await;
    assert!(all.len() == id && frames(gateways[1]).await == all, "{} of {id}", all.len());
    for log in gateways {
        let report = log.report();
        assert_eq!(*log.state().borrow(), State::Ready);
        assert_eq!((report.invalid, report.disagreement), (invalid, None));
        assert_eq!(log.identity().borrow().epoch, 1);
        assert!(report.members.iter().all(|member| member.report == profile));
        assert!(receipt(log, "0", "ls").await.duplicate);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_the_cluster_key_changes_nothing() {
    let stream = SimulatedStream::new(41, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    attack([&one.log, &two.log], &*stream, 4).await;
}

/// Publishes over a socket of its own, with headers that no client library writes.
async fn publish_raw(address: &str, subject: &str, header: &[u8], body: &[u8]) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let (head, all) = (header.len(), header.len() + body.len());
    let mut sent = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
    sent.extend_from_slice(format!("HPUB {subject} {head} {all}\r\n").as_bytes());
    sent.extend_from_slice(&[header, body, b"\r\nPING\r\n"].concat());
    socket.write_all(&sent).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"PONG\r\n") {
        assert!(socket.read_buf(&mut answer).await.expect("an answer") > 0);
    }
    assert!(!String::from_utf8_lossy(&answer).contains("-ERR"), "{answer:?}");
}

/// Headers go through a server as they come. Some make the client library of a gateway give its
/// connection up, each time that the message is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_cannot_be_read_stop_nobody() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "max_payload: 8MB\njetstream { STORE }");
    let stream = Arc::new(server.stream("headers").await);
    let (folder_one, folder_two, folder_three) = (folder(), folder(), folder());
    let one = open(&folder_one, RING, Arc::clone(&stream) as _).await;
    let other = server.open("headers").await.expect("a stream");
    let two = open(&folder_two, RING, Arc::new(other)).await;
    let servers = server.connection();
    let address = servers.addresses[0].strip_prefix("nats://").expect("an address");
    receipt(&one, "first", "ls").await;
    let recorded = stream.read(one.report().position, true).await.expect("read")[0].clone();
    let headers: [&[u8]; 9] = [
        b"garbage\r\n\r\n",
        b"\r\n\r\n",
        b"NATS/1.0 word\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
        b"NATS/1.0\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 2001-01-01T00:00:00Z\r\n\r\n",
        b"NATS/1.0\r\nNats-Sequence: 18446744073709551615\r\n\r\n",
        b"NATS/1.0\r\nNats-Sequence: x",
    ];
    let begun = Instant::now();
    let mut records = 1;
    for round in 0..3 {
        for (number, header) in headers.iter().enumerate() {
            // Forged ones, and one that a gateway has sent.
            let body: &[u8] = if round == 1 { &recorded.bytes } else { b"forged" };
            publish_raw(address, "auditgate.headers.log", header, body).await;
            let log = if number % 2 == 0 { &one } else { &two };
            assert!(!receipt(log, &format!("{round} {number}"), "ls").await.duplicate);
            records += 1;
        }
    }
    println!("{} receipts after headers that cannot be read: {:?}", records - 1, begun.elapsed());
    let other = server.open("headers").await.expect("a stream");
    let three = open(&folder_three, RING, Arc::new(other)).await;
    let all = frames(&one).await;
    assert_eq!(all.len(), records);
    for log in [&two, &three] {
        assert!(frames(log).await == all, "the same bytes");
        let report = log.report();
        assert_eq!(*log.state().borrow(), State::Ready);
        assert_eq!((report.invalid, report.disagreement), (18, None));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_real_server_changes_nothing() {
    let Some(program) = program_or_skip() else { return };
    let server = TestServer::start(program, "max_payload: 8MB\njetstream { STORE }");
    let stream = Arc::new(server.stream("hostile").await);
    let (folder_one, folder_two) = (folder(), folder());
    let one = open(&folder_one, RING, Arc::clone(&stream) as _).await;
    let other = test_server::stream(&server.connection(), "hostile", 1).await;
    let two = open(&folder_two, RING, Arc::new(other)).await;
    attack([&one, &two], &*stream, 4).await;
}
