//! The tree that follows a log, its checkpoints, and proofs from it.

mod follow;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::store::Store;
use super::tile::{Place, WIDTH};
use super::tree::{self, FullTile, Tree};
use super::{Hash, Signed, SigningKey, VerifierKey, entry, leaf};
use crate::log::{BoxFuture, Keeper, Log};
use crate::record::Sequence;

/// A checkpoint is made at least so often while records arrive.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How long a caller waits for a checkpoint.
pub const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(8);

/// What is known of a tree when it is opened: nothing of a new log.
#[derive(Debug, Default)]
pub struct Opened {
    /// The newest checkpoint that was signed.
    pub signed: Option<Signed>,
    /// The tree, as far as its tiles are there: it has the checkpoint's root.
    pub tree: Option<Tree>,
    /// Records with a leaf index below this were released by the log.
    pub minimum: u64,
}

/// Why no checkpoint is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The log is shorter than what was signed.
    #[error(
        "the log has {kept} records, but a checkpoint of {signed} was signed: it was rolled back, and nothing is signed any more"
    )]
    RolledBack {
        /// Size of the checkpoint.
        signed: u64,
        /// How many records the log has had.
        kept: u64,
    },
    /// The log is not what was signed.
    #[error(
        "the first {signed} records of the log are not those of the checkpoint that was signed: they were changed, and nothing is signed any more"
    )]
    Rewritten {
        /// Size of the checkpoint.
        signed: u64,
    },
    /// Records are gone that the log did not release.
    #[error(
        "the oldest record is {first}, but only those before {} were released: others removed them, or it was done while no tree was kept; nothing is signed any more", minimum + 1
    )]
    Incomplete {
        /// The oldest record.
        first: u64,
        /// The signed minimum index.
        minimum: u64,
    },
    /// A record cannot be hashed.
    #[error(
        "record {sequence} cannot be read, so the tree ends before it, and nothing after it is signed"
    )]
    Unreadable {
        /// Its sequence.
        sequence: u64,
    },
    /// The log cannot be read, or a checkpoint cannot be kept, at the moment.
    #[error("no checkpoint can be made at the moment: {0}")]
    Passing(String),
}

impl Trouble {
    /// Whether it stays until somebody mends the log.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Trouble::Passing(_))
    }

    /// Whether what was signed before is not to be relied on.
    fn is_denial(&self) -> bool {
        match self {
            Trouble::RolledBack { .. } | Trouble::Rewritten { .. } | Trouble::Incomplete { .. } => {
                true
            }
            Trouble::Unreadable { .. } | Trouble::Passing(_) => false,
        }
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No checkpoint is made.
    #[error("{0}")]
    Trouble(Trouble),
    /// No checkpoint that covers enough was made in time.
    #[error(
        "no checkpoint of {size} records was made within {} s", CHECKPOINT_TIME_MAX.as_secs()
    )]
    Late {
        /// How many records it should cover.
        size: u64,
    },
    /// The caller's checkpoint is larger than the log.
    #[error(
        "old_size is {old}, but the newest checkpoint covers {size} records: the log was rolled back, or the checkpoint is of another log"
    )]
    OldSize {
        /// Size of the caller's checkpoint.
        old: u64,
        /// Size of the newest one.
        size: u64,
    },
    /// The tree that the caller names does not have the record, or is not there.
    #[error(
        "size is {size}, which must be from {sequence}, the record's sequence, to {newest}, the newest record's"
    )]
    Size {
        /// What was asked for.
        size: u64,
        /// The record's sequence.
        sequence: u64,
        /// The newest record's.
        newest: u64,
    },
    /// The hashes are not kept any more.
    #[error(
        "what proves it is not kept any more: {path}; records and checkpoints from {minimum} on can be proven"
    )]
    Pruned {
        /// The tile that is missed.
        path: String,
        /// The oldest record.
        minimum: u64,
    },
    /// The tree cannot be read.
    #[error("{0}")]
    Tree(tree::Error),
}

/// The tree, and tiles that are full but not in the store yet.
struct Growing {
    tree: Tree,
    pending: BTreeMap<Place, FullTile>,
}

/// Where the follower is.
#[derive(Debug, Clone)]
struct State {
    /// So many records were hashed.
    hashed: u64,
    signed: Arc<Signed>,
    trouble: Option<Trouble>,
    /// How often a checkpoint was tried.
    attempts: u64,
    /// The follower has ended.
    ended: bool,
}

/// A tree that follows a log. It proves for as long as it lives, and holds
/// back what the log would forget before it was hashed.
pub struct Prover {
    log: Arc<dyn Log>,
    key: SigningKey,
    store: Box<dyn Store>,
    growing: Mutex<Growing>,
    state: watch::Sender<State>,
    /// Somebody waits for a checkpoint that covers so many records.
    wanted: AtomicU64,
    demand: Notify,
    stopping: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Shows that a record is in the log.
#[derive(Debug, Clone)]
pub struct Inclusion {
    /// Index of its leaf, from 0.
    pub index: u64,
    /// The path to the root.
    pub hashes: Vec<Hash>,
    /// The checkpoint with the root.
    pub signed: Arc<Signed>,
}

/// Shows that the log begins with an earlier one.
#[derive(Debug, Clone)]
pub struct Consistency {
    /// The steps to both roots.
    pub hashes: Vec<Hash>,
    /// The later checkpoint.
    pub signed: Arc<Signed>,
}

impl Prover {
    /// Begins to follow `log`, from what was `opened`.
    ///
    /// # Errors
    /// If the first checkpoint cannot be signed or kept.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        log: Arc<dyn Log>,
        key: SigningKey,
        store: Box<dyn Store>,
        opened: Opened,
    ) -> std::io::Result<Arc<Self>> {
        let tree = opened.tree.unwrap_or_default();
        let signed = match opened.signed {
            Some(signed) => signed,
            None => {
                let signed = Signed::sign(tree.head(), &key).map_err(std::io::Error::other)?;
                store.commit(&tree, &signed)?;
                signed
            }
        };
        let kept = log.extent().synced.0;
        let trouble =
            (kept < signed.size()).then(|| Trouble::RolledBack { signed: signed.size(), kept });
        let state = State {
            hashed: tree.size(),
            signed: Arc::new(signed),
            trouble,
            attempts: 0,
            ended: false,
        };
        let prover = Arc::new(Self {
            log: Arc::clone(&log),
            key,
            store,
            growing: Mutex::new(Growing { tree, pending: BTreeMap::new() }),
            state: watch::Sender::new(state),
            wanted: AtomicU64::new(0),
            demand: Notify::new(),
            stopping: CancellationToken::new(),
            task: Mutex::default(),
        });
        log.keep_for(Arc::new(Held(Arc::downgrade(&prover))));
        let task = tokio::spawn(follow::follow(Arc::clone(&prover)));
        prover.task.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        Ok(prover)
    }

    /// The public key by which its checkpoints are verified.
    pub fn verifier(&self) -> VerifierKey {
        self.key.verifier()
    }

    /// Why no checkpoint is made, if none is.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state.borrow().trouble.clone()
    }

    /// A checkpoint of all records that are durable now.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn checkpoint(&self) -> Result<Arc<Signed>, Error> {
        self.covering(self.log.extent().synced.0).await
    }

    /// The newest checkpoint, or, where that does not cover the first `size`
    /// records, one that does.
    ///
    /// # Errors
    /// If none can be made, or not in time.
    pub async fn covering(&self, size: u64) -> Result<Arc<Signed>, Error> {
        let mut states = self.state.subscribe();
        let attempts = states.borrow().attempts;
        if states.borrow().signed.size() < size {
            self.wanted.fetch_max(size, Ordering::Relaxed);
            self.demand.notify_one();
        }
        let settled = |state: &State| {
            let failed = |trouble: &Trouble| trouble.is_lasting() || state.attempts > attempts;
            state.ended || state.signed.size() >= size || state.trouble.as_ref().is_some_and(failed)
        };
        let waited = tokio::time::timeout(CHECKPOINT_TIME_MAX, states.wait_for(settled)).await;
        let Ok(Ok(state)) = waited else { return Err(Error::Late { size }) };
        match &state.trouble {
            Some(trouble) if trouble.is_denial() || state.signed.size() < size => {
                Err(Error::Trouble(trouble.clone()))
            }
            _ if state.signed.size() < size => Err(Error::Late { size }),
            _ => Ok(Arc::clone(&state.signed)),
        }
    }

    /// Proves that a record of these bytes is in the log: in the tree of `size`
    /// records, or in that of the newest checkpoint.
    ///
    /// # Errors
    /// If there is no proof.
    pub async fn inclusion(
        self: &Arc<Self>,
        sequence: Sequence,
        record: &[u8],
        size: Option<u64>,
    ) -> Result<Inclusion, Error> {
        let wanted = size.unwrap_or(sequence.0);
        let extent = self.log.extent().synced.0;
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
            Ok(Inclusion { index, hashes, signed })
        })
        .await
    }

    /// Proves that the log begins with its first `old` records: that whoever has
    /// a checkpoint of this size sees the same log.
    ///
    /// # Errors
    /// If there is no proof.
    pub async fn consistency(self: &Arc<Self>, old: u64) -> Result<Consistency, Error> {
        let signed = self.checkpoint().await?;
        if old > signed.size() {
            return Err(Error::OldSize { old, size: signed.size() });
        }
        self.proven(move |prover| {
            let head = *signed.checkpoint();
            let hashes = prover.prove(|tree| tree.consistency(old, &head))?;
            Ok(Consistency { hashes, signed })
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
        task.await.map_err(|error| Error::Trouble(Trouble::Passing(error.to_string())))?
    }

    fn prove(
        &self,
        prove: impl FnOnce(
            &tree::Prover<'_, &dyn Fn(Place) -> Result<FullTile, tree::Error>>,
        ) -> Result<Vec<Hash>, tree::Error>,
    ) -> Result<Vec<Hash>, Error> {
        let (tree, pending) = {
            let growing = self.grow();
            (growing.tree.clone(), growing.pending.clone())
        };
        let read = |place: Place| {
            if let Some(tile) = pending.get(&place) {
                return Ok(tile.clone());
            }
            let path = || place.path(WIDTH);
            let read = self.store.read(place);
            read.map_err(|error| tree::Error::Read { path: path(), error })?
                .ok_or_else(|| tree::Error::Missing { path: path() })
        };
        prove(&tree::Prover::new(&tree, &read)).map_err(|error| match error {
            tree::Error::Missing { path } if !self.store.is_durable() => {
                Error::Pruned { path, minimum: self.log.extent().first.0 }
            }
            error => Error::Tree(error),
        })
    }

    /// Hashes and signs what the log has, and ends. Nothing waits for it longer
    /// than it takes.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A follower that panicked has ended, too.
            let _ = task.await;
        }
    }

    /// Lets the follower end by itself.
    pub fn leave(&self) {
        self.stopping.cancel();
    }

    fn grow(&self) -> MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a log asks: it must not keep alive who keeps it.
struct Held(Weak<Prover>);

/// What was not hashed stays in the log.
impl Keeper for Held {
    fn release(&self, first: Sequence) -> bool {
        self.0.upgrade().is_none_or(|prover| prover.release(first))
    }

    fn released(&self, first: Sequence) -> BoxFuture<'_, ()> {
        let prover = self.0.upgrade();
        Box::pin(async move {
            if let Some(mut states) = prover.map(|prover| prover.state.subscribe()) {
                // A prover that is gone needs nothing more.
                let _ = states.wait_for(|state| state.has_done_with(first)).await;
            }
        })
    }
}

impl State {
    /// Whether the records before `first` need not be waited for.
    fn has_done_with(&self, first: Sequence) -> bool {
        self.hashed >= first.previous().0 || self.is_over()
    }

    /// Nothing more will be hashed.
    fn is_over(&self) -> bool {
        self.ended || self.trouble.as_ref().is_some_and(Trouble::is_lasting)
    }
}

impl Prover {
    fn release(&self, first: Sequence) -> bool {
        let (covered, signed, is_over) = {
            let state = self.state.borrow();
            let covered = if self.store.is_durable() { state.signed.size() } else { state.hashed };
            (covered, Arc::clone(&state.signed), state.is_over())
        };
        if is_over {
            return true;
        }
        if covered < first.previous().0 {
            self.wanted.fetch_max(first.previous().0, Ordering::Relaxed);
            self.demand.notify_one();
            return false;
        }
        self.store.release(first.0, signed.checkpoint()).is_ok()
    }
}

#[cfg(test)]
mod tests;
