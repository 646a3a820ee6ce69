//! Agrees on checkpoints with the other gateways of a log: compares signed checkpoints with the
//! gateway's own tree, in the order in which all gateways receive them, and only then publishes
//! them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{CHECKPOINT_INTERVAL, CheckpointFailure, Prover};
use crate::log::{CheckpointExchange, PublishedCheckpoint};
use crate::proof::tree::{self, Tree};
use crate::proof::{SignedCheckpoint, tile::WIDTH};

/// A gateway with the key signs a checkpoint if none came for the interval plus a random part of
/// this time, so that not all gateways sign one.
const JITTER_MAX: Duration = Duration::from_millis(500);
/// The shortest time between two checkpoints of a gateway.
const PROPOSAL_PAUSE: Duration = Duration::from_millis(200);
/// The most checkpoints that wait until the gateway's own tree is as large.
const WAITING_MAX: usize = 256;
/// How long the status reports a checkpoint that the log's key did not sign.
pub const STRANGER_TIME: Duration = Duration::from_secs(300);

/// The agreement of one gateway with the others.
pub struct Agreement {
    exchange: Arc<dyn CheckpointExchange>,
    waiting: VecDeque<PublishedCheckpoint>,
    /// When the last checkpoint came.
    seen: Instant,
    jitter: Duration,
    proposal: Option<Proposal>,
}

/// A checkpoint that this gateway signed, and that has not come back.
#[derive(Clone, Copy)]
struct Proposal {
    at: Instant,
    size: u64,
}

/// The result of comparing a checkpoint with the gateway's own tree.
enum Judgement {
    /// It has the same root, and is the newest one.
    Newest,
    /// It has the same root, and covers no more than an earlier one.
    Known,
    /// The gateway's own tree is not as large yet.
    Later,
    /// Its records were removed, so that it cannot be compared.
    Gone,
    /// The log's key did not sign it.
    Stranger(String),
}

impl Agreement {
    pub fn new(exchange: Arc<dyn CheckpointExchange>) -> Self {
        let (seen, jitter) = (Instant::now(), jitter());
        Self { exchange, waiting: VecDeque::new(), seen, jitter, proposal: None }
    }

    pub fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.exchange.changes()
    }

    /// Compares received checkpoints with the gateway's own tree, and publishes equal ones.
    pub async fn judge(&mut self, prover: &Arc<Prover>) -> Result<(), CheckpointFailure> {
        if let Some(failure) = prover.failure().filter(CheckpointFailure::is_denial) {
            return Err(failure);
        }
        if let Some(why) = self.exchange.disagreement() {
            return Err(CheckpointFailure::Disagreement(why));
        }
        self.waiting.extend(self.exchange.take());
        let surplus = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..surplus);
        while let Some(next) = self.waiting.pop_front() {
            let published = next.clone();
            match prover.blocking(move |prover| prover.judge(&published)).await {
                Ok(Judgement::Later) => {
                    self.waiting.push_front(next);
                    break;
                }
                Ok(Judgement::Newest) => {
                    (self.seen, self.jitter, self.proposal) = (Instant::now(), jitter(), None);
                }
                Ok(Judgement::Stranger(why)) => prover.note_stranger(why),
                Ok(Judgement::Known | Judgement::Gone) => {}
                Err(failure) => {
                    // It will be compared again.
                    self.waiting.push_front(next);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Signs a checkpoint if one is due, and sends it to all gateways. It is not published yet.
    pub async fn propose(&mut self, prover: &Arc<Prover>) -> Result<(), CheckpointFailure> {
        if self.due(prover).is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let signed = prover.blocking(Prover::proposal).await?;
        let (at, size) = (Instant::now(), signed.size());
        // If it is not accepted, the state of the log says why.
        self.exchange.publish(signed.text().to_owned());
        self.proposal = Some(Proposal { at, size });
        Ok(())
    }

    /// When this gateway signs next; `None` if it has nothing to sign, or no key.
    pub fn due(&self, prover: &Prover) -> Option<Instant> {
        let (hashed, signed) = {
            let state = prover.state.borrow();
            (state.hashed, state.signed_size())
        };
        // A checkpoint that is not compared yet covers more.
        if prover.key.signing().is_none() || hashed <= signed || !self.waiting.is_empty() {
            return None;
        }
        let is_wanted = prover.wanted.load(Ordering::Relaxed) > signed;
        let due = if is_wanted { self.seen } else { self.seen + CHECKPOINT_INTERVAL + self.jitter };
        let pause = |proposal: Proposal| {
            let is_news = is_wanted && hashed > proposal.size;
            proposal.at + if is_news { PROPOSAL_PAUSE } else { CHECKPOINT_INTERVAL }
        };
        Some(self.proposal.map(pause).map_or(due, |next| next.max(due)))
    }
}

fn jitter() -> Duration {
    let mut bytes = [0; 8];
    // Without a random number, several gateways may sign at once, which is harmless.
    let _ = getrandom::fill(&mut bytes);
    JITTER_MAX.mul_f64(u64::from_le_bytes(bytes) as f64 / u64::MAX as f64)
}

impl Prover {
    /// Signs the current tree without publishing the checkpoint.
    fn proposal(&self) -> Result<SignedCheckpoint, CheckpointFailure> {
        let head = self.grow().tree.head();
        let failed = |why: &str| CheckpointFailure::Passing(format!("a checkpoint: {why}"));
        let key = self.key.signing().ok_or_else(|| failed("this gateway has no signing key"))?;
        SignedCheckpoint::sign(head, key).map_err(|error| failed(&error.to_string()))
    }

    /// Compares a checkpoint with the tree. If they agree and it is the newest, stores and
    /// publishes it.
    fn judge(&self, published: &PublishedCheckpoint) -> Result<Judgement, CheckpointFailure> {
        let signed = match SignedCheckpoint::verify(&published.text, &self.key.verifier()) {
            Ok(signed) => signed,
            Err(error) => return Ok(Judgement::Stranger(error.to_string())),
        };
        let size = signed.size();
        let is_too_large = size > published.records;
        if !is_too_large && size > self.state.borrow().hashed {
            return Ok(Judgement::Later);
        }
        if !is_too_large {
            let tree = match self.tree_at(size) {
                Ok(tree) => tree,
                Err(tree::Error::Missing { .. }) if !self.store.is_durable() => {
                    return Ok(Judgement::Gone);
                }
                Err(error) => return Err(CheckpointFailure::Passing(error.to_string())),
            };
            if tree.head() == *signed.checkpoint() {
                return self.give_out(&tree, signed);
            }
        }
        // Stored, so that it is known after a restart, and can be shown to others.
        if let Err(error) = self.store.keep_conflict(&published.text) {
            tracing::error!("cannot keep the other gateway's checkpoint: {error}");
        }
        Err(CheckpointFailure::OtherTree { size })
    }

    /// Stores a checkpoint of this tree, and then publishes it, if it is the newest.
    fn give_out(
        &self,
        tree: &Tree,
        signed: SignedCheckpoint,
    ) -> Result<Judgement, CheckpointFailure> {
        let is_newest =
            self.state.borrow().signed.as_ref().is_none_or(|newest| newest.size() < signed.size());
        if !is_newest {
            return Ok(Judgement::Known);
        }
        self.keep_checkpoint(tree, signed)?;
        Ok(Judgement::Newest)
    }

    /// The tree when it had `size` leaves.
    fn tree_at(&self, size: u64) -> Result<Tree, tree::Error> {
        let (tree, pending) = {
            let growing = self.grow();
            (growing.tree.clone(), growing.pending.clone())
        };
        if tree.size() == size {
            return Ok(tree);
        }
        let tiles = self.tiles(&pending);
        Tree::load(size, |place, width| {
            let edge = tree.edges().find(|(edge, _)| *edge == place).map(|(_, bytes)| bytes);
            let bytes = match edge {
                Some(bytes) => bytes.to_vec(),
                None => tiles(place)?.to_vec(),
            };
            let wanted = bytes.get(..width * crate::proof::HASH_BYTES);
            wanted
                .map(<[u8]>::to_vec)
                .ok_or_else(|| tree::Error::Missing { path: place.path(WIDTH) })
        })
    }

    /// Notes a checkpoint that the log's key did not sign.
    fn note_stranger(&self, why: String) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
        let failure = CheckpointFailure::OtherKey(why);
        let is_news = self.state.borrow().stranger.as_ref().is_none_or(|(_, was)| *was != failure);
        if is_news {
            tracing::error!("ALARM: {failure}");
        }
        self.state.send_modify(|state| state.stranger = Some((Instant::now(), failure)));
    }

    /// The number of checkpoints that the log's key did not sign.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
