//! Subscribers who do not read: they do not slow emitters down, each takes a bounded
//! amount of memory, and they lose only the records that left the ring meanwhile,
//! which a gap names.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

use auditgate::log::Bounds;
use auditgate::server::Gateway;
use support::{Client, Tail, earliest, gap, numbered, pb, sequences};

/// Subscribers who do not read.
const STUCK: usize = 100;
/// The most that is on its way to one who does not read: what its window takes,
/// and a message that waits for it.
const WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes of a large event.
const LARGE_BYTES: usize = 20_000;

/// A subscriber that has asked, and does not read.
async fn start_stuck(gateway: &Gateway) -> Tail {
    let endpoint = support::endpoint(gateway)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let mut client = Client::new(endpoint.connect().await.unwrap());
    Tail::open(&mut client, earliest()).await
}

/// Resident memory of this process, in bytes, as Linux reports it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

async fn emit_large(client: &mut Client, numbers: std::ops::RangeInclusive<u64>) {
    for first in numbers.step_by(20) {
        let events = (first..first + 20).map(|number| format!("e-{number}"));
        let events = events.map(|id| support::large(&id, LARGE_BYTES)).collect();
        support::emit_all(client, events).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_do_not_read_get_one_gap_each_and_then_the_rest() {
    const EVENTS: u64 = 2_000;
    /// What one of them may take: what waits for it in this process, on both
    /// sides of the connection.
    const EACH_BYTES_MAX: u64 = 1024 * 1024;
    let ring = Bounds { bytes: 4 * 1024 * 1024, records: 10_000 };
    let gateway = support::start_with(ring).await;
    let mut client = support::connect(&gateway).await;
    // The ring is warm before memory is looked at.
    emit_large(&mut client, 1..=1_000).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(start_stuck(&gateway).await);
    }
    let before = resident_bytes();
    emit_large(&mut client, 1_001..=EVENTS).await;
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown < STUCK as u64 * EACH_BYTES_MAX, "{grown} bytes more");
    }

    let kept = support::status(&mut client).await.first_sequence;
    for mut tail in stuck {
        let mut next = 0;
        let mut gaps = 0;
        while next <= EVENTS {
            let message = tail.next().await;
            if let Some(found) = message.gap {
                assert_eq!(found, gap(next, kept - 1, pb::GapReason::Evicted));
                next = kept;
                gaps += 1;
            }
            for sequence in sequences(&message.records) {
                // It began at whatever was the oldest.
                assert!(next == 0 || sequence == next, "{sequence} instead of {next}");
                next = sequence + 1;
            }
        }
        assert_eq!(gaps, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_passes_through_a_ring() {
    /// The ring is filled so often.
    const TURNS: u64 = 50;
    const RECORDS: u64 = 2_000;
    /// What the allocator may keep beyond, over all turns: a fraction of what passes.
    const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;
    let ring = Bounds { bytes: 2 * 1024 * 1024, records: RECORDS as usize };
    let gateway = support::start_with(ring).await;
    let mut client = support::connect(&gateway).await;
    let mut reader = support::connect(&gateway).await;
    let (mut tail, _) = Tail::begin(&mut reader, support::latest()).await;
    let mut settled = None;
    for turn in 0..TURNS {
        for first in (turn * RECORDS + 1..=(turn + 1) * RECORDS).step_by(200) {
            support::emit_all(&mut client, numbered(first..=first + 199)).await;
            assert_eq!(tail.records(200).await.len(), 200);
        }
        // Buffers have reached their size after some turns.
        if turn == TURNS / 5 {
            settled = resident_bytes();
        }
    }
    let status = support::status(&mut client).await;
    assert_eq!(status.last_sequence, TURNS * RECORDS);
    assert!(status.byte_size <= status.byte_limit);
    if let (Some(settled), Some(after)) = (settled, resident_bytes()) {
        let grown = after.saturating_sub(settled);
        assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes more after {TURNS} turns");
    }
}
