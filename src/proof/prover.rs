//! The prover: follows a log with a tree, signs checkpoints, and makes proofs.

mod agree;
mod error;
mod follow;
mod hold;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::tile::{TilePosition, WIDTH};
use super::tile_store::TileStore;
use super::tree::{self, FullTile, Tree};
use super::{Hash, SignedCheckpoint, TreeKey, VerifierKey, entry, leaf};
use crate::log;
use crate::record::Sequence;
use crate::time::Time;
use agree::{Agreement, STRANGER_TIME};
use hold::ProofHold;

pub use error::{CheckpointFailure, Error};

/// The longest time between checkpoints while records arrive.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How long a caller waits for a checkpoint.
pub const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(8);

/// The state of a tree when it is opened; empty for a new log.
#[derive(Debug, Default)]
pub struct OpenedTree {
    /// The newest checkpoint that was signed.
    pub signed: Option<SignedCheckpoint>,
    /// The tree of the stored tiles, which has the checkpoint's root.
    pub tree: Option<Tree>,
    /// Records with a leaf index below this were released by the log.
    pub minimum: u64,
    /// A checkpoint of another gateway that signed another tree, before the log was opened.
    pub conflict: bool,
}

/// The tree, and full tiles that are not in the store yet.
struct GrowingTree {
    tree: Tree,
    pending: BTreeMap<TilePosition, FullTile>,
}

/// The progress of the follower.
#[derive(Debug, Clone)]
struct FollowState {
    /// The number of hashed records.
    hashed: u64,
    /// The newest checkpoint; `None` while no gateway has signed one.
    signed: Option<Arc<SignedCheckpoint>>,
    /// When it was signed; `None` if that was before the start.
    signed_at: Option<Time>,
    failure: Option<CheckpointFailure>,
    /// When a checkpoint came that the log's key did not sign.
    stranger: Option<(tokio::time::Instant, CheckpointFailure)>,
    /// The number of attempts to make a checkpoint.
    attempts: u64,
    /// Whether the follower has ended.
    ended: bool,
}

/// A tree that follows a log and makes proofs. It holds retention until records are hashed.
pub struct Prover {
    log: Arc<dyn log::Store>,
    key: TreeKey,
    store: Box<dyn TileStore>,
    growing: Mutex<GrowingTree>,
    state: watch::Sender<FollowState>,
    /// The number of records that a waiting caller needs in a checkpoint.
    wanted: AtomicU64,
    strangers: AtomicU64,
    demand: Notify,
    stopping: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The progress of a tree.
#[derive(Debug, Clone)]
pub struct TreeProgress {
    /// The number of records in the tree.
    pub size: u64,
    /// The newest checkpoint; `None` while no gateway of the log has signed one.
    pub signed: Option<Arc<SignedCheckpoint>>,
    /// When it was signed; `None` if that was before the start.
    pub signed_at: Option<Time>,
    /// Why no checkpoint can be made, if so.
    pub failure: Option<CheckpointFailure>,
}

/// A proof that a record is in the log.
#[derive(Debug, Clone)]
pub struct InclusionProof {
    /// Index of its leaf, from 0.
    pub index: u64,
    /// The path to the root.
    pub hashes: Vec<Hash>,
    /// The checkpoint with the root.
    pub signed: Arc<SignedCheckpoint>,
}

/// A proof that the log begins with an earlier log.
#[derive(Debug, Clone)]
pub struct ConsistencyProof {
    /// The steps to both roots.
    pub hashes: Vec<Hash>,
    /// The later checkpoint.
    pub signed: Arc<SignedCheckpoint>,
}

impl Prover {
    /// Begins to follow `log` from the `opened` state. If other gateways append to the log, too,
    /// checkpoints are agreed with them.
    ///
    /// # Errors
    /// If the first checkpoint cannot be signed or kept.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        log: Arc<dyn log::Store>,
        key: impl Into<TreeKey>,
        store: Box<dyn TileStore>,
        opened: OpenedTree,
    ) -> std::io::Result<Arc<Self>> {
        let key = key.into();
        let agreement = log.checkpoints().map(Agreement::new);
        let tree = opened.tree.unwrap_or_default();
        let is_first = opened.signed.is_none();
        let signed = match (opened.signed, key.signing()) {
            (Some(signed), _) => Some(signed),
            // An empty log needs no agreement of its gateways.
            (None, Some(key)) => {
                let signed =
                    SignedCheckpoint::sign(tree.head(), key).map_err(std::io::Error::other)?;
                store.commit(&tree, &signed)?;
                Some(signed)
            }
            (None, None) => None,
        };
        let size = signed.as_ref().map_or(0, SignedCheckpoint::size);
        let extent = log.extent();
        let (first, kept) = (extent.first.0, extent.synced.0);
        let failure = if opened.conflict {
            Some(CheckpointFailure::OtherTreeBefore)
        } else if kept < size {
            Some(CheckpointFailure::RolledBack { signed: size, kept })
        } else if agreement.is_some() && tree.size() + 1 < first {
            Some(CheckpointFailure::Joined { first })
        } else {
            None
        };
        let state = FollowState {
            hashed: tree.size(),
            signed_at: (is_first && signed.is_some()).then(Time::now),
            signed: signed.map(Arc::new),
            failure,
            stranger: None,
            attempts: 0,
            ended: false,
        };
        let prover = Arc::new(Self {
            log: Arc::clone(&log),
            key,
            store,
            growing: Mutex::new(GrowingTree { tree, pending: BTreeMap::new() }),
            state: watch::Sender::new(state),
            wanted: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            demand: Notify::new(),
            stopping: CancellationToken::new(),
            task: Mutex::default(),
        });
        log.hold(Arc::new(ProofHold::of(&prover)));
        let task = tokio::spawn(follow::follow(Arc::clone(&prover), agreement));
        prover.task.lock().replace(task);
        Ok(prover)
    }

    /// The public key by which its checkpoints are verified.
    pub fn verifier(&self) -> VerifierKey {
        self.key.verifier()
    }

    /// Why no checkpoint can be made, if so.
    pub fn failure(&self) -> Option<CheckpointFailure> {
        self.state.borrow().failure.clone()
    }

    /// The progress of the tree.
    pub fn progress(&self) -> TreeProgress {
        let FollowState { hashed, signed, signed_at, failure, stranger, .. } =
            self.state.borrow().clone();
        let stranger = stranger.filter(|(at, _)| at.elapsed() < STRANGER_TIME);
        let failure = failure.or(stranger.map(|(_, failure)| failure));
        TreeProgress { size: hashed, signed, signed_at, failure }
    }

    /// A checkpoint of all records that are durable now.
    ///
    /// # Errors
    /// If no checkpoint can be made.
    pub async fn checkpoint(&self) -> Result<Arc<SignedCheckpoint>, Error> {
        self.covering(self.log.extent().synced.0).await
    }

    /// The newest checkpoint or, if it does not cover the first `size` records, a new one.
    ///
    /// # Errors
    /// If no checkpoint can be made, or not in time.
    pub async fn covering(&self, size: u64) -> Result<Arc<SignedCheckpoint>, Error> {
        let mut states = self.state.subscribe();
        let attempts = states.borrow().attempts;
        let covers =
            |state: &FollowState| state.signed.as_ref().is_some_and(|signed| signed.size() >= size);
        if !covers(&states.borrow()) {
            self.wanted.fetch_max(size, Ordering::Relaxed);
            self.demand.notify_one();
        }
        let settled = |state: &FollowState| {
            let failed =
                |failure: &CheckpointFailure| failure.is_lasting() || state.attempts > attempts;
            state.ended || covers(state) || state.failure.as_ref().is_some_and(failed)
        };
        let waited = tokio::time::timeout(CHECKPOINT_TIME_MAX, states.wait_for(settled)).await;
        let Ok(Ok(state)) = waited else { return Err(Error::Late { size }) };
        let covering = state.signed.as_ref().filter(|signed| signed.size() >= size);
        match (&state.failure, covering) {
            (Some(failure), covering) if failure.is_denial() || covering.is_none() => {
                Err(Error::NoCheckpoint(failure.clone()))
            }
            (_, Some(signed)) => Ok(Arc::clone(signed)),
            (_, None) => Err(Error::Late { size }),
        }
    }

    /// Proves that a record of these bytes is in the log: in the tree of `size`
    /// records, or in that of the newest checkpoint.
    ///
    /// # Errors
    /// If no proof is possible.
    pub async fn inclusion(
        self: &Arc<Self>,
        sequence: Sequence,
        record: &[u8],
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let wanted = size.unwrap_or(sequence.0);
        // Another gateway of the log may have signed a size that is not durable here yet.
        let extent = self.log.extent().last.0;
        if size.is_some_and(|size| size < sequence.0 || size > extent) {
            return Err(Error::Size { size: wanted, sequence: sequence.0, newest: extent });
        }
        let signed = self.covering(wanted).await?;
        let index = sequence.previous().0;
        let leaf = leaf(&entry(record));
        self.proven(move |prover| {
            let newest = *signed.checkpoint();
            let hashes = prover.prove(|tree| {
                let head = size.map_or(Ok(newest), |size| tree.head(size))?;
                tree.inclusion(leaf, index, &head)
            })?;
            Ok(InclusionProof { index, hashes, signed })
        })
        .await
    }

    /// Proves that the log still begins with its first `old` records, for a client with a
    /// checkpoint of this size.
    ///
    /// # Errors
    /// If no proof is possible.
    pub async fn consistency(self: &Arc<Self>, old: u64) -> Result<ConsistencyProof, Error> {
        let extent = self.log.extent();
        let signed = self.covering(extent.synced.0.max(old.min(extent.last.0))).await?;
        if old > signed.size() {
            return Err(Error::OldSize { old, size: signed.size() });
        }
        self.proven(move |prover| {
            let head = *signed.checkpoint();
            let hashes = prover.prove(|tree| tree.consistency(old, &head))?;
            Ok(ConsistencyProof { hashes, signed })
        })
        .await
    }

    /// Reads tiles, which may be on disk, off the runtime.
    async fn proven<T: Send + 'static>(
        self: &Arc<Self>,
        prove: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let prover = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || prove(&prover));
        task.await
            .map_err(|error| Error::NoCheckpoint(CheckpointFailure::Passing(error.to_string())))?
    }

    fn prove(
        &self,
        prove: impl FnOnce(
            &tree::TreeProver<'_, &dyn Fn(TilePosition) -> Result<FullTile, tree::Error>>,
        ) -> Result<Vec<Hash>, tree::Error>,
    ) -> Result<Vec<Hash>, Error> {
        let (tree, pending) = {
            let growing = self.grow();
            (growing.tree.clone(), growing.pending.clone())
        };
        let read = self.tiles(&pending);
        prove(&tree::TreeProver::new(&tree, &read)).map_err(|error| match error {
            tree::Error::Missing { path } if !self.store.is_durable() => {
                Error::Pruned { path, minimum: self.log.extent().first.0 }
            }
            error => Error::Tree(error),
        })
    }

    /// Reads full tiles; those in `pending` are not in the store yet.
    fn tiles<'a>(
        &'a self,
        pending: &'a BTreeMap<TilePosition, FullTile>,
    ) -> impl Fn(TilePosition) -> Result<FullTile, tree::Error> + 'a {
        move |place| {
            if let Some(tile) = pending.get(&place) {
                return Ok(tile.clone());
            }
            let path = || place.path(WIDTH);
            let read = self.store.read(place);
            read.map_err(|error| tree::Error::Read { path: path(), error })?
                .ok_or_else(|| tree::Error::Missing { path: path() })
        }
    }

    /// Hashes and signs the rest of the log, and ends.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // A follower that panicked has ended, too.
            let _ = task.await;
        }
    }

    /// Lets the follower end by itself.
    pub fn detach(&self) {
        self.stopping.cancel();
    }

    fn grow(&self) -> MutexGuard<'_, GrowingTree> {
        self.growing.lock()
    }
}

impl FollowState {
    /// The number of records that the newest checkpoint covers.
    fn signed_size(&self) -> u64 {
        self.signed.as_ref().map_or(0, |signed| signed.size())
    }
}

#[cfg(test)]
mod tests;
