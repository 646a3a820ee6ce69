use std::io;

use super::*;
use crate::event::Event;
use crate::log::{
    Append, BYTES_MIN, Bounds, MemoryLog, ReadHint, ReadResult, Sequencer as _, Store as _,
};
use crate::proof::key::SignatureKind;
use crate::proof::tile_store::MemoryTileStore;
use crate::proof::{Checkpoint, SigningKey, check_consistency, check_inclusion};
use crate::proto::pb;
use crate::record::Draft;
use crate::time::Time;
use prost::Message as _;

fn draft(number: u64) -> Draft {
    let event = pb::Event {
        id: Some(number.to_string()),
        payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let event = Event::check(event.encode_to_vec().into(), Time::now(), 4096).unwrap();
    Draft::new(event, &pb::Emitter::default().into())
}

pub async fn append(log: &MemoryLog, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.append(&[draft(number)], Append::AllOrNothing { validate_only: false }).await.unwrap();
    }
}

async fn record(log: &MemoryLog, sequence: u64) -> Vec<u8> {
    let found = log.read(Sequence(sequence), ReadHint::one()).await.unwrap().unwrap();
    let ReadResult::Records(segment) = found else { panic!("it is not damaged") };
    let view = segment.view(log.extent().last);
    view.record_bytes(view.position(Sequence(sequence))).to_vec()
}

pub fn key() -> SigningKey {
    SigningKey::generate("test.example/log", SignatureKind::Log).unwrap()
}

fn start(log: &Arc<MemoryLog>, store: impl TileStore) -> Arc<Prover> {
    let log = Arc::clone(log) as Arc<dyn log::Store>;
    Prover::start(log, key(), Box::new(store), OpenedTree::default()).unwrap()
}

#[tokio::test]
async fn every_record_and_every_checkpoint_can_be_proven() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    let prover = start(&log, MemoryTileStore::default());
    let mut kept = Vec::new();
    for step in 0..12 {
        append(&log, step * 50..step * 50 + 50).await;
        let signed = prover.checkpoint().await.unwrap();
        assert_eq!(signed.size(), step * 50 + 50, "a checkpoint covers all that was accepted");
        assert!(SignedCheckpoint::verify(signed.text(), &prover.verifier()).is_ok());
        kept.push(signed);
    }
    for sequence in [1, 2, 255, 256, 257, 512, 513, 600] {
        let record = record(&log, sequence).await;
        let shown = prover.inclusion(Sequence(sequence), &record, None).await.unwrap();
        let head = shown.signed.checkpoint();
        assert_eq!(check_inclusion(&record, sequence - 1, &shown.hashes, head), Ok(()));
        // In each earlier tree that has it, too.
        for old in kept.iter().filter(|old| old.size() >= sequence) {
            let shown = prover.inclusion(Sequence(sequence), &record, Some(old.size())).await;
            let hashes = shown.unwrap().hashes;
            let head = old.checkpoint();
            assert_eq!(check_inclusion(&record, sequence - 1, &hashes, head), Ok(()));
        }
        for size in [sequence - 1, 601] {
            let refused = prover.inclusion(Sequence(sequence), &record, Some(size)).await;
            assert!(matches!(refused, Err(Error::Size { .. })), "{size}");
        }
        let other = prover.inclusion(Sequence(sequence), b"another", None).await;
        assert!(matches!(other, Err(Error::Tree(tree::Error::Damaged { .. }))));
    }
    for old in &kept {
        let shown = prover.consistency(old.size()).await.unwrap();
        let new = shown.signed.checkpoint();
        assert_eq!(check_consistency(old.checkpoint(), new, &shown.hashes), Ok(()));
    }
    let ahead = prover.consistency(601).await;
    assert!(matches!(ahead, Err(Error::OldSize { old: 601, size: 600 })));
    prover.stop().await;
}

#[tokio::test]
async fn a_checkpoint_is_made_in_time_though_nobody_asks() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    let prover = start(&log, MemoryTileStore::default());
    let mut states = prover.state.subscribe();
    append(&log, 0..3).await;
    let made = states.wait_for(|state| state.signed_size() == 3);
    let waited = tokio::time::timeout(CHECKPOINT_INTERVAL * 3, made).await;
    assert!(waited.is_ok());
}

#[tokio::test]
async fn what_was_accepted_before_the_end_is_signed() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    let prover = start(&log, MemoryTileStore::default());
    append(&log, 0..300).await;
    prover.stop().await;
    assert_eq!(prover.state.borrow().signed_size(), 300);
    append(&log, 300..301).await;
    let refused = prover.checkpoint().await.map(drop).expect_err("it follows no more");
    assert!(matches!(refused, Error::Late { .. } | Error::NoCheckpoint(_)), "{refused}");
}

/// A store that takes nothing until it may.
#[derive(Default)]
struct Gate {
    store: MemoryTileStore,
    open: Arc<std::sync::atomic::AtomicBool>,
}

impl TileStore for Gate {
    fn read(&self, place: TilePosition) -> io::Result<Option<FullTile>> {
        self.store.read(place)
    }

    fn write(&self, place: TilePosition, tile: &FullTile) -> io::Result<()> {
        if !self.open.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.store.write(place, tile)
    }

    fn commit(&self, tree: &Tree, signed: &SignedCheckpoint) -> io::Result<()> {
        self.store.commit(tree, signed)
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn release(&self, first: u64, covered: Option<&Checkpoint>) -> io::Result<()> {
        self.store.release(first, covered)
    }
}

#[tokio::test]
async fn no_record_leaves_the_ring_before_it_was_hashed() {
    let bounds = Bounds { bytes: 16 * BYTES_MIN, records: 640 };
    let log = Arc::new(MemoryLog::new(bounds));
    let gate = Gate::default();
    let open = Arc::clone(&gate.open);
    let prover = start(&log, gate);
    // The ring is full of records of which the tree takes only the first tile's.
    let appending = tokio::spawn({
        let log = Arc::clone(&log);
        async move { append(&log, 0..5_000).await }
    });
    let mut changes = log.changes();
    changes.wait_for(|()| log.extent().last.0 >= 600).await.unwrap();
    let refused = prover.checkpoint().await;
    assert!(
        matches!(refused, Err(Error::NoCheckpoint(CheckpointFailure::Passing(_)))),
        "{refused:?}"
    );
    assert!(log.extent().last.0 < 5_000 && log.extent().first.0 <= 5_000);
    open.store(true, Ordering::Relaxed);
    appending.await.unwrap();
    let signed = prover.checkpoint().await.unwrap();
    assert_eq!(signed.size(), 5_000);
    assert!(log.extent().first.0 > 4_000, "the ring goes on");
    let record = record(&log, 4_999).await;
    assert!(prover.inclusion(Sequence(4_999), &record, None).await.is_ok());
}

#[tokio::test]
async fn nothing_is_signed_for_a_log_that_was_rolled_back_or_rewritten() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    append(&log, 0..10).await;
    let key = key();
    let other = Tree::default();
    let head = |size| Checkpoint { size, root: other.head().root };
    let open = |size| {
        let signed = Some(SignedCheckpoint::sign(head(size), &key).unwrap());
        let opened = OpenedTree { signed, ..OpenedTree::default() };
        let log = Arc::clone(&log) as Arc<dyn log::Store>;
        Prover::start(log, key.clone(), Box::new(MemoryTileStore::default()), opened).unwrap()
    };
    let longer = open(11);
    let refused = longer.checkpoint().await.unwrap_err();
    let Error::NoCheckpoint(failure) = refused else { panic!("{refused}") };
    assert_eq!(failure, CheckpointFailure::RolledBack { signed: 11, kept: 10 });
    let rewritten = open(7);
    let refused = rewritten.checkpoint().await.unwrap_err();
    let Error::NoCheckpoint(failure) = refused else { panic!("{refused}") };
    assert_eq!(failure, CheckpointFailure::Rewritten { signed: 7 });
    assert_eq!(rewritten.failure(), Some(failure));
}

#[tokio::test]
async fn a_tree_is_made_again_from_the_records() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    append(&log, 0..700).await;
    let first = start(&log, MemoryTileStore::default());
    let signed = first.checkpoint().await.unwrap();
    first.stop().await;
    append(&log, 700..800).await;
    let opened = OpenedTree { signed: Some((*signed).clone()), ..OpenedTree::default() };
    let log = Arc::clone(&log) as Arc<dyn log::Store>;
    let again = Prover::start(log, first.key.clone(), Box::new(MemoryTileStore::default()), opened);
    let shown = again.unwrap().consistency(700).await.unwrap();
    let new = shown.signed.checkpoint();
    assert_eq!(new.size, 800);
    assert_eq!(check_consistency(signed.checkpoint(), new, &shown.hashes), Ok(()));
}
