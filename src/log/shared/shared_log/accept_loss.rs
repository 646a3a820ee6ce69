//! An operator accepts that the stream has lost messages: the log goes on with what one copy
//! has.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::opening::{digest_at, open_disk, system_storage};
use super::{random, read_mark};
use crate::log::disk;
use crate::log::shared::mark::{FOLLOWER, FollowerMark};
use crate::log::shared::message::{
    Basis, ClusterKeys, EpochChange, EpochKey, MessageContent, SharedMessage,
};
use crate::log::shared::resume::{self, Resumption, with_tries};
use crate::log::shared::stream::{Stream, StreamError};
use crate::log::{Sequencer as _, Store as _};

/// How often the message is published again while the stream does not answer.
const TRIES_MAX: usize = 20;
/// The pause before it is published again.
const TRY_PAUSE: Duration = Duration::from_millis(500);

/// Why a loss is not accepted. Nothing has changed, unless the error says so.
#[derive(Debug, thiserror::Error)]
pub enum AcceptLossError {
    /// There is no copy.
    #[error("{} has no copy of a shared log", .0.display())]
    NoCopy(std::path::PathBuf),
    /// All is there.
    #[error(
        "nothing is lost: the stream has all that this data directory has. Start the gateway; \
         if others do not start, seed them from this one (auditgate cluster join --from)"
    )]
    NothingLost,
    /// It was accepted before.
    #[error(
        "the loss was accepted before: epoch {0} has begun. Start the gateways; one that has not \
         all the records with which it begins says so, and is seeded from one that has"
    )]
    Accepted(u16),
    /// The copy cannot be read.
    #[error(transparent)]
    Copy(#[from] resume::Error),
    /// Records of the copy cannot be read.
    #[error("records of {} cannot be read: take the data directory of another gateway", .0.display())]
    Unreadable(std::path::PathBuf),
    /// There were too many epochs.
    #[error("the log is at epoch {}, the last one", u16::MAX)]
    LastEpoch,
    /// A gateway has published meanwhile.
    #[error(
        "a gateway has published to the stream at the same time, so the message is void: stop \
         all gateways of the log, and repeat this"
    )]
    Busy,
    /// The stream does not take it.
    #[error("the stream does not take the message: {0}; repeat this")]
    Stream(StreamError),
}

/// A loss that an operator has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The epoch that begins.
    pub epoch: u16,
    /// With so many records the log goes on.
    pub records: u64,
    /// The position of the message.
    pub position: u64,
}

/// What accepting a loss needs.
pub struct LossAcceptance<'a> {
    /// The stopped gateway's data directory, with whose records the log goes on.
    pub directory: &'a Path,
    /// Authenticate messages.
    pub keys: &'a ClusterKeys,
    /// Verifies what `sign` signs.
    pub key: &'a dyn EpochKey,
    /// Signs with the log's key.
    pub sign: &'a (dyn Fn(&mut EpochChange, Uuid) + Sync),
    /// The newest checkpoint that is known, as text; empty without one.
    pub checkpoint: String,
}

/// The log of which a data directory has a copy.
///
/// # Errors
/// If it has none.
pub fn log_id_of(directory: &Path) -> Result<Uuid, AcceptLossError> {
    mark_of(directory).map(|mark| mark.log_id)
}

fn mark_of(directory: &Path) -> Result<FollowerMark, AcceptLossError> {
    let mark = read_mark(&directory.join(FOLLOWER))?;
    mark.ok_or_else(|| AcceptLossError::NoCopy(directory.to_owned()))
}

/// Has the log go on with the records of one copy: all gateways begin a new epoch after
/// them, and set aside what else they have.
///
/// # Errors
/// If nothing is lost, the copy cannot be read, or the stream does not take the message.
pub async fn accept_loss(
    wanted: LossAcceptance<'_>,
    stream: &dyn Stream,
) -> Result<AcceptedLoss, AcceptLossError> {
    let LossAcceptance { directory, keys, key, sign, checkpoint } = wanted;
    let mark = mark_of(directory)?;
    check_lost(stream, keys, key, mark).await?;
    // Until the epoch has begun, no gateway uses the directory.
    let (disk, _) = open_disk(directory, disk::Config::default(), &mark, &system_storage()).await?;
    let (count, accepted) = (disk.extent().last.0, disk.extent().last_accepted);
    let digest = digest_at(&disk, mark.state, count).await;
    let digest = digest.ok_or_else(|| AcceptLossError::Unreadable(directory.to_owned()))?;
    let number = mark.state.epoch.checked_add(1).ok_or(AcceptLossError::LastEpoch)?;
    let ends = with_tries(async || stream.ends().await).await.map_err(AcceptLossError::Stream)?;
    let mut change = EpochChange {
        number,
        position: ends.last + 1,
        count,
        time: accepted.unwrap_or(mark.state.time).max(mark.state.time),
        digest,
        checkpoint,
        signature: Vec::new(),
    };
    sign(&mut change, stream.settings().log_id);
    let position = change.position;
    let message = SharedMessage {
        sender: random(),
        counter: 1,
        basis: Basis::default(),
        content: MessageContent::Epoch(change),
    };
    let published = publish(stream, message.encode(keys).into(), position).await;
    disk.close().await;
    published?;
    Ok(AcceptedLoss { epoch: number, records: count, position })
}

/// Refuses where the gateway could go on without.
async fn check_lost(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    key: &dyn EpochKey,
    mark: FollowerMark,
) -> Result<(), AcceptLossError> {
    match resume::resume(stream, keys, Some(key), Some(mark), None).await {
        // What comes later in the stream may still be such a message.
        Ok(Resumption::At(_)) => {
            let (epochs, _) = resume::begun_epochs(stream, keys, key, mark.state.epoch).await?;
            Err(epochs.last().map_or(AcceptLossError::NothingLost, |epoch| {
                AcceptLossError::Accepted(epoch.change.number)
            }))
        }
        Ok(Resumption::Epochs { epochs, .. }) => {
            let newest = epochs.last().map_or(mark.state.epoch, |epoch| epoch.change.number);
            Err(AcceptLossError::Accepted(newest))
        }
        Err(resume::Error::RolledBack { .. } | resume::Error::OtherMessage(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Appends a message that is valid at this position only.
async fn publish(
    stream: &dyn Stream,
    message: Bytes,
    position: u64,
) -> Result<(), AcceptLossError> {
    let mut error = StreamError::Unknown("it was not asked".to_owned());
    for _ in 0..TRIES_MAX {
        match stream.append(message.clone()).await {
            Ok(at) if at == position => return Ok(()),
            Ok(_) => {}
            Err(StreamError::Unknown(why)) => error = StreamError::Unknown(why),
            Err(other) => return Err(AcceptLossError::Stream(other)),
        }
        // It may have been taken, though that was not said, or before this one.
        let there = with_tries(async || stream.read(position, true).await).await;
        let there = there.map_err(AcceptLossError::Stream)?;
        match there.first().filter(|entry| entry.position == position) {
            Some(entry) if entry.bytes == message => return Ok(()),
            Some(_) => return Err(AcceptLossError::Busy),
            None => tokio::time::sleep(TRY_PAUSE).await,
        }
    }
    Err(AcceptLossError::Stream(error))
}
