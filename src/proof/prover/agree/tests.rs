//! Gateways of one log that agree on checkpoints, on a paused clock. The exchange gives what
//! each publishes to all, in one order.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::super::tests::{append, key};
use super::*;
use crate::filter::TypeSet;
use crate::log::{
    Bounds, BoxFuture, CheckpointQueue, Extent, HoldReport, MemoryLog, ReadFuture, ReadHint,
    RetentionHold, Store,
};
use crate::proof::prover::{Error, OpenedTree};
use crate::proof::tile_store::{DiskTileStore, MemoryTileStore, TileStore};
use crate::proof::{Checkpoint, Hash, SigningKey, TreeKey};
use crate::record::Sequence;
use crate::time::Time;

/// One gateway's end of the exchange.
#[derive(Default)]
struct Exchange {
    published: parking_lot::Mutex<Vec<String>>,
    came: CheckpointQueue,
    disagreement: parking_lot::Mutex<Option<String>>,
}

impl CheckpointExchange for Exchange {
    fn publish(&self, checkpoint: String) -> bool {
        self.published.lock().push(checkpoint);
        true
    }

    fn take(&self) -> Vec<PublishedCheckpoint> {
        self.came.take()
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.came.changes()
    }

    fn disagreement(&self) -> Option<String> {
        self.disagreement.lock().clone()
    }
}

/// A gateway's copy of a log that others write to, too: the first records of `log`.
struct SharedStore {
    log: Arc<MemoryLog>,
    exchange: Arc<Exchange>,
    records: Arc<AtomicU64>,
}

impl Store for SharedStore {
    fn extent(&self) -> Extent {
        let extent = self.log.extent();
        let last = extent.last.min(Sequence(self.records.load(Ordering::Relaxed)));
        Extent { last, synced: last, ..extent }
    }

    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a> {
        self.log.read(at, hint)
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, crate::log::Error>> {
        self.log.accepted_since(time)
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, crate::log::Error>> {
        self.log.find(id, types)
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.log.changes()
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.log.hold(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.log.holds()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointExchange>> {
        Some(Arc::clone(&self.exchange) as _)
    }
}

struct Gateway {
    log: Arc<MemoryLog>,
    exchange: Arc<Exchange>,
    records: Arc<AtomicU64>,
    prover: Arc<Prover>,
}

fn log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Bounds::default()))
}

/// A gateway with a log of its own.
fn gateway(key: impl Into<TreeKey>) -> Gateway {
    gateway_of(&log(), key)
}

/// A gateway with a copy of this log.
fn gateway_of(log: &Arc<MemoryLog>, key: impl Into<TreeKey>) -> Gateway {
    gateway_on(log, key, Box::new(MemoryTileStore::default()), OpenedTree::default())
}

fn gateway_on(
    log: &Arc<MemoryLog>,
    key: impl Into<TreeKey>,
    store: Box<dyn TileStore>,
    opened: OpenedTree,
) -> Gateway {
    let (log, exchange) = (Arc::clone(log), Arc::<Exchange>::default());
    let records = Arc::new(AtomicU64::new(u64::MAX));
    let copy = SharedStore {
        log: Arc::clone(&log),
        exchange: Arc::clone(&exchange),
        records: Arc::clone(&records),
    };
    let prover = Prover::start(Arc::new(copy), key, store, opened).unwrap();
    Gateway { log, exchange, records, prover }
}

impl Gateway {
    fn given_out(&self) -> u64 {
        self.prover.progress().signed.map_or(0, |signed| signed.size())
    }

    /// From now on its copy has so many records.
    fn has(&self, records: u64) {
        self.records.store(records, Ordering::Relaxed);
        self.exchange.came.wake();
    }

    fn comes(&self, text: &str) {
        let records = self.log.extent().last.0;
        self.exchange.came.push(PublishedCheckpoint { text: text.to_owned(), records });
    }

    /// Waits until it has published something, and takes it.
    async fn published(&self) -> String {
        for _ in 0..500 {
            if let Some(text) = self.exchange.published.lock().pop() {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it publishes nothing: {:?}", self.prover.failure())
    }

    /// Waits until it says why it signs nothing.
    async fn failure(&self) -> CheckpointFailure {
        for _ in 0..500 {
            if let Some(failure) = self.prover.progress().failure {
                return failure;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it goes on")
    }
}

/// Gives to all what each of them publishes, for so long; how much that was.
async fn exchange(gateways: &[&Gateway], time: Duration) -> usize {
    let mut count = 0;
    for _ in 0..time.as_millis() / 10 {
        for from in gateways {
            let published: Vec<_> = from.exchange.published.lock().drain(..).collect();
            count += published.len();
            for text in &published {
                gateways.iter().for_each(|to| to.comes(text));
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    count
}

fn signed(size: u64, root: Hash, key: &SigningKey) -> String {
    SignedCheckpoint::sign(Checkpoint { size, root }, key).unwrap().text().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_given_out_after_it_came_back() {
    let one = gateway(key());
    append(&one.log, 0..300).await;
    let prover = Arc::clone(&one.prover);
    let asked = tokio::spawn(async move { prover.checkpoint().await });
    let text = one.published().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!asked.is_finished() && one.given_out() == 0, "it has not come back");
    // Records come meanwhile: the tree that it was of is still known.
    append(&one.log, 300..700).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    one.comes(&text);
    assert_eq!(asked.await.unwrap().unwrap().text(), text);
    assert_eq!(one.given_out(), 300);
    let shown = one.prover.consistency(300);
    let (shown, ()) = tokio::join!(shown, async {
        let text = one.published().await;
        one.comes(&text);
    });
    assert_eq!(shown.unwrap().signed.size(), 700);
}

#[tokio::test(start_paused = true)]
async fn gateways_agree_and_few_of_them_sign() {
    let key = key();
    let log = log();
    let signers = [gateway_of(&log, key.clone()), gateway_of(&log, key.clone())];
    let other = gateway_of(&log, key.verifier());
    assert!(other.prover.progress().signed.is_none(), "nobody has signed one yet");
    let all = [&signers[0], &signers[1], &other];
    let mut published = 0;
    for step in 0..10 {
        append(&log, step * 100..step * 100 + 100).await;
        published += exchange(&all, Duration::from_secs(3)).await;
        assert!(other.exchange.published.lock().is_empty(), "it has no key");
    }
    published += exchange(&all, Duration::from_secs(5)).await;
    assert!((8..=22).contains(&published), "{published}");
    let of = |gateway: &Gateway| gateway.prover.progress().signed.unwrap();
    for gateway in all {
        assert_eq!((gateway.given_out(), gateway.prover.failure()), (1_000, None));
        assert_eq!(of(gateway).checkpoint(), of(&other).checkpoint());
    }
    assert!(SignedCheckpoint::verify(of(&other).text(), &key.verifier()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn of_two_trees_at_most_one_is_given_out() {
    let (key, folder) = (key(), tempfile::tempdir().unwrap());
    let one = gateway(key.clone());
    let (store, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
    let two = gateway_on(&log(), key.clone(), Box::new(store), opened);
    append(&one.log, 0..300).await;
    append(&two.log, 1..301).await;
    // Both have signed before they know of the other.
    let (first, second) = tokio::join!(one.published(), two.published());
    for gateway in [&one, &two] {
        gateway.comes(&first);
        gateway.comes(&second);
    }
    let other_tree = CheckpointFailure::OtherTree { size: 300 };
    assert_eq!((one.failure().await, two.failure().await), (other_tree.clone(), other_tree));
    assert_eq!((one.given_out(), two.given_out()), (300, 0), "the one that came first");
    let refused = one.prover.checkpoint().await;
    assert!(matches!(refused, Err(Error::NoCheckpoint(_))), "nor is that relied on any more");
    // Neither signs any more, whoever asks, and the second knows it after a restart.
    for gateway in [&one, &two] {
        append(&gateway.log, 400..500).await;
        let refused = gateway.prover.checkpoint().await;
        assert!(matches!(refused, Err(Error::NoCheckpoint(_))), "{refused:?}");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(gateway.exchange.published.lock().is_empty());
    }
    let kept = std::fs::read_to_string(folder.path().join("checkpoint-conflict")).unwrap();
    assert_eq!(kept, first);
    let (store, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
    let again = gateway_on(&log(), key, Box::new(store), opened);
    assert_eq!(again.failure().await, CheckpointFailure::OtherTreeBefore);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_more_records_than_there_were_is_of_another_tree() {
    let key = key();
    let one = gateway(key.verifier());
    append(&one.log, 0..10).await;
    one.comes(&signed(11, Hash::default(), &key));
    assert_eq!(one.failure().await, CheckpointFailure::OtherTree { size: 11 });
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_has_other_records_stops_signing() {
    let one = gateway(key());
    append(&one.log, 0..10).await;
    *one.exchange.disagreement.lock() = Some("other".into());
    one.exchange.came.wake();
    let failure = one.failure().await;
    assert!(failure.is_denial(), "{failure}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(one.given_out(), 0);
}

/// Neither another key nor what was recorded before keeps a gateway from signing.
#[tokio::test(start_paused = true)]
async fn strangers_and_replays_change_nothing() {
    let (one, other_key) = (gateway(key()), key());
    append(&one.log, 0..10).await;
    let first = one.published().await;
    one.comes(&first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(one.given_out(), 10);
    append(&one.log, 10..20).await;
    for number in 0..50 {
        one.comes(&first);
        one.comes(&signed(number, Hash::default(), &other_key));
        one.comes("no note at all");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(one.prover.strangers(), 100);
    let failure = one.failure().await;
    assert!(matches!(failure, CheckpointFailure::OtherKey(_)), "{failure}");
    assert!(!failure.is_denial() && !failure.is_lasting());
    one.comes(&one.published().await);
    assert_eq!(one.prover.checkpoint().await.unwrap().size(), 20);
    // An older one is not given out again.
    one.comes(&first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(one.given_out(), 20);
}

/// A new gateway reads what was signed long ago, and compares it when it has the records.
#[tokio::test(start_paused = true)]
async fn what_was_signed_before_is_compared_when_the_records_are_there() {
    let key = key();
    let one = gateway(key.clone());
    let late = gateway_of(&one.log, key.verifier());
    late.has(0);
    let mut texts = Vec::new();
    for step in 0..5 {
        append(&one.log, step * 100..step * 100 + 100).await;
        let text = one.published().await;
        one.comes(&text);
        tokio::time::sleep(Duration::from_millis(200)).await;
        texts.push(text);
    }
    for (text, records) in texts.iter().zip((100..).step_by(100)) {
        late.exchange.came.push(PublishedCheckpoint { text: text.clone(), records });
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(late.prover.progress().signed.is_none());
    late.has(250);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(late.given_out(), 200);
    late.has(500);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((late.given_out(), late.prover.failure()), (500, None));
}
