//! Where a gateway begins to follow a stream: where it stopped, at the stream's beginning,
//! or in the middle of a stream whose beginning was removed.

use std::time::Duration;

use crate::log::disk;
use crate::log::shared::machine::{JoinSearch, KeyWindow, Machine};
use crate::log::shared::mark::FollowerMark;
use crate::log::shared::message::{
    ClusterKeys, EpochChange, EpochKey, MessageContent, SharedMessage,
};
use crate::log::shared::stream::{Stream, StreamEnds, StreamEntry, StreamError};

/// How often a request is repeated that the stream does not answer.
const TRIES_MAX: usize = 50;
/// The pause before a request is repeated.
const TRY_PAUSE: Duration = Duration::from_millis(200);
/// A stream that ends too early is asked so often, since a leader that was suspended answers
/// before it learns that there is another one.
const SHORT_TRIES_MAX: usize = 5;

/// Why a shared log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The copy in the data directory cannot be.
    #[error(transparent)]
    Disk(#[from] disk::error::Error),
    /// The stream cannot be read.
    #[error("the stream cannot be read: {0}")]
    Stream(StreamError),
    /// The file that says how far the copy is cannot be read or written.
    #[error("{}: {error}", path.display())]
    Mark {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// The stream has lost messages.
    #[error(
        "this gateway has applied message {applied} of the stream, which ends at {end}: the stream was rolled back or made anew; nothing is changed until an operator accepts the loss (auditgate cluster accept-loss)"
    )]
    RolledBack {
        /// The last message that was applied.
        applied: u64,
        /// The stream's newest message.
        end: u64,
    },
    /// A message of the stream is not the one that was applied.
    #[error(
        "message {0} of the stream is not the one that this gateway has applied: the stream was rolled back or made anew; nothing is changed until an operator accepts the loss (auditgate cluster accept-loss)"
    )]
    OtherMessage(u64),
    /// Messages were removed before this gateway has read them.
    #[error(
        "this gateway has applied message {applied} of the stream, which begins at {first} now: empty the data directory to join anew, or seed it with a copy of another gateway's"
    )]
    Removed {
        /// The last message that was applied.
        applied: u64,
        /// The stream's oldest message.
        first: u64,
    },
    /// None of the newest messages is authentic.
    #[error(
        "none of the newest {0} messages of the stream is authenticated by a key in this gateway's cluster key file: the other gateways have another key"
    )]
    OtherKey(u64),
    /// No message has a state to join with.
    #[error(
        "the stream begins at message {0}, and no message in it has a state to join with: seed the data directory with a copy of another gateway's"
    )]
    NoBasis(u64),
    /// The stream is that of another log.
    #[error(
        "the stream carries log {found}, and the data directory has a copy of log {wanted}: \
         connect the gateway to the stream of its log, or give it another data directory"
    )]
    OtherLog {
        /// The stream's log.
        found: uuid::Uuid,
        /// The copy's.
        wanted: uuid::Uuid,
    },
    /// The log goes on with records that the copy does not have.
    #[error(
        "an operator accepted a loss: the log goes on in epoch {epoch} with {count} records, and this copy of {last} records does not begin with them: seed a new data directory with a copy of another gateway's (auditgate cluster join --from)"
    )]
    OtherHistory {
        /// The epoch.
        epoch: u16,
        /// With how many records it begins.
        count: u64,
        /// How many the copy has.
        last: u64,
    },
    /// The beginning of an epoch with which the copy goes on is gone.
    #[error(
        "message {0} of the stream, with which an epoch began, is gone: seed the data directory \
         with a copy of another gateway's (auditgate cluster join --from)"
    )]
    NoEpoch(u64),
    /// The copy lacks records that it had.
    #[error(
        "the copy ends with record {last}, but had record {wanted} on stable storage: empty the data directory to join anew"
    )]
    CopyLost {
        /// The last record.
        last: u64,
        /// The last one that it had.
        wanted: u64,
    },
}

impl Error {
    /// Whether it may be over soon: the servers have no majority at the moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Stream(StreamError::Unknown(_)))
    }
}

/// Where a gateway begins.
pub struct ResumePoint {
    /// The machine, which has recalled its window.
    pub machine: Machine,
    /// What the mark says from now on.
    pub mark: FollowerMark,
    /// The stream's newest message.
    pub end: u64,
}

/// Where a gateway goes on.
pub enum Resumption {
    /// Where it stopped, or where it joins.
    At(Box<ResumePoint>),
    /// The stream is not the one that it followed, but an operator has accepted the loss: it
    /// goes on with the first of these epochs of whose records it has all.
    Epochs {
        /// What it has.
        mark: FollowerMark,
        /// The epochs, in their order.
        epochs: Vec<BegunEpoch>,
        /// The stream's newest message.
        end: u64,
    },
}

/// A message with which an epoch began.
#[derive(Debug, Clone)]
pub struct BegunEpoch {
    /// What it says.
    pub change: EpochChange,
    /// The message.
    pub entry: StreamEntry,
}

/// Finds out where a gateway goes on that has this mark, and remembers these keys.
pub async fn resume(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    epoch_key: Option<&dyn EpochKey>,
    mark: Option<FollowerMark>,
    window: Option<KeyWindow>,
) -> Result<Resumption, Error> {
    let Some(mark) = mark else {
        return follow(stream, keys, epoch_key, None, None)
            .await
            .map(|point| Resumption::At(Box::new(point)));
    };
    let (found, wanted) = (stream.settings().log_id, mark.log_id);
    if found != wanted {
        return Err(Error::OtherLog { found, wanted });
    }
    let lost = if mark.pending > 0 {
        Error::NoEpoch(mark.pending)
    } else {
        match follow(stream, keys, epoch_key, Some(mark), window).await {
            Ok(point) => return Ok(Resumption::At(Box::new(point))),
            Err(
                lost @ (Error::RolledBack { .. } | Error::OtherMessage(_) | Error::Removed { .. }),
            ) => lost,
            Err(error) => return Err(error),
        }
    };
    let Some(key) = epoch_key else { return Err(lost) };
    let (epochs, end) = begun_epochs(stream, keys, key, mark.state.epoch).await?;
    if epochs.is_empty() {
        return Err(lost);
    }
    Ok(Resumption::Epochs { mark, epochs, end })
}

/// The epochs after number `after` that began in the stream, and the newest message.
pub async fn begun_epochs(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    key: &dyn EpochKey,
    after: u16,
) -> Result<(Vec<BegunEpoch>, u64), Error> {
    let log_id = stream.settings().log_id;
    let ends = with_tries(async || stream.ends().await).await.map_err(Error::Stream)?;
    let (mut next, mut epochs) = (ends.first, Vec::new());
    while next <= ends.last {
        let entries = read(stream, next).await?;
        let Some(newest) = entries.last().map(|entry| entry.position) else { break };
        for entry in entries {
            let Ok(message) = SharedMessage::decode(&entry.bytes, keys) else { continue };
            let MessageContent::Epoch(change) = message.content else { continue };
            let begins = change.position == entry.position
                && change.number > after
                && change.is_signed(log_id, key);
            if begins {
                epochs.push(BegunEpoch { change, entry });
            }
        }
        next = newest + 1;
    }
    Ok((epochs, ends.last))
}

/// Finds out where a gateway goes on that has this mark, in the stream that it followed.
async fn follow(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    epoch_key: Option<&dyn EpochKey>,
    mark: Option<FollowerMark>,
    window: Option<KeyWindow>,
) -> Result<ResumePoint, Error> {
    let settings = stream.settings();
    let applied = mark.map_or(0, |mark| mark.state.position);
    let ends = ends_from(stream, applied).await.map_err(Error::Stream)?;
    check_keys(stream, keys, ends).await?;
    let limits = settings.window;
    let mark = match mark {
        Some(mark) => mark,
        None if ends.first <= 1 => FollowerMark::new(settings.log_id),
        None => join(stream, keys, epoch_key, ends.first).await?,
    };
    let applied = mark.state.position;
    if ends.last < applied {
        return Err(Error::RolledBack { applied, end: ends.last });
    }
    if ends.first > applied + 1 {
        return Err(Error::Removed { applied, first: ends.first });
    }
    if applied == 0 {
        return Ok(ResumePoint { machine: Machine::new(limits), mark, end: ends.last });
    }
    // What was sent before an epoch is stale in it.
    let wanted = Machine::recall_from(limits, applied, 1).max(mark.epoch_at + 1);
    let mut from = wanted.max(ends.first);
    let mut machine = Machine::resume(limits, mark.state, from);
    if from == mark.epoch_at + 1 && mark.epoch_at > 0 {
        machine.knows_all();
    }
    // What the stream does not have any more, the gateway may remember.
    let window = window.filter(|window| from > wanted && window.knows_more_than(from));
    if let Some(restored) = window.and_then(|of| Machine::restore(limits, mark.state, of)) {
        (machine, from) = (restored, applied + 1);
    }
    // The last message is compared in any case, unless retention has removed it.
    let mut next = from.min(applied).max(ends.first);
    while next <= applied {
        let entries = read(stream, next).await?;
        match entries.first().map(|entry| entry.position) {
            Some(first) if first > next => return Err(Error::Removed { applied, first }),
            Some(_) => {}
            None => return Err(Error::RolledBack { applied, end: next.saturating_sub(1) }),
        }
        for entry in entries.iter().filter(|entry| (next..=applied).contains(&entry.position)) {
            if entry.position == applied && !is_same(entry, &mark) {
                return Err(Error::OtherMessage(applied));
            }
            if entry.position < from {
                continue;
            }
            let message = SharedMessage::decode(&entry.bytes, keys).ok();
            let group = message.as_ref().and_then(|message| match &message.content {
                MessageContent::Group(group) => Some(group),
                MessageContent::Checkpoint(_)
                | MessageContent::Epoch(_)
                | MessageContent::Member(_) => None,
            });
            if machine.recall(entry.position, group).is_err() {
                break;
            }
        }
        next = machine.state().position + 1;
    }
    Ok(ResumePoint { machine, mark, end: ends.last })
}

/// The ends of a stream that has so many messages, unless it was rolled back.
async fn ends_from(stream: &dyn Stream, applied: u64) -> Result<StreamEnds, StreamError> {
    let mut tries = 0;
    loop {
        let ends = with_tries(async || stream.ends().await).await?;
        tries += 1;
        if ends.last >= applied || tries >= SHORT_TRIES_MAX {
            return Ok(ends);
        }
        tokio::time::sleep(TRY_PAUSE).await;
    }
}

/// A gateway with another cluster key would apply nothing of the others, and they nothing of
/// it: it must not accept events.
async fn check_keys(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    ends: StreamEnds,
) -> Result<(), Error> {
    /// So many messages would somebody else have to publish to keep gateways from starting.
    const MESSAGES_MAX: u64 = 1_024;
    let mut next = ends.first.max((ends.last + 1).saturating_sub(MESSAGES_MAX));
    let mut seen = 0;
    while next <= ends.last {
        let entries =
            with_tries(async || stream.read(next, false).await).await.map_err(Error::Stream)?;
        let Some(newest) = entries.last().map(|entry| entry.position) else { break };
        if entries.iter().any(|entry| keys.authenticated(&entry.bytes).is_ok()) {
            return Ok(());
        }
        seen += entries.len() as u64;
        next = newest + 1;
    }
    if seen == 0 { Ok(()) } else { Err(Error::OtherKey(seen)) }
}

/// Whether a message is the one of the mark.
fn is_same(entry: &StreamEntry, mark: &FollowerMark) -> bool {
    entry.timestamp == mark.timestamp && crc32c::crc32c(&entry.bytes) == mark.checksum
}

/// Looks for a state to join with, in a stream whose oldest message is `first`.
async fn join(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    epoch_key: Option<&dyn EpochKey>,
    first: u64,
) -> Result<FollowerMark, Error> {
    let settings = stream.settings();
    let mut search = JoinSearch::new(first, settings.window.messages);
    let mut next = first;
    'search: loop {
        let entries = read(stream, next).await?;
        let Some(newest) = entries.last().map(|entry| entry.position) else { break };
        for entry in &entries {
            let message = SharedMessage::decode(&entry.bytes, keys).ok();
            let basis = message.as_ref().map(|message| message.basis);
            if let Some(MessageContent::Epoch(change)) = message.map(|message| message.content)
                && epoch_key.is_some_and(|key| change.is_signed(settings.log_id, key))
            {
                search.begin_epoch(entry.position, &change);
            }
            if search.see(entry.position, basis) {
                break 'search;
            }
        }
        next = newest + 1;
    }
    let state = search.state().ok_or(Error::NoBasis(first))?;
    // By the message there, a later start sees whether the stream is the same.
    let entries = read(stream, state.position).await?;
    let entry = entries.first().filter(|entry| entry.position == state.position);
    Ok(FollowerMark {
        log_id: settings.log_id,
        state,
        timestamp: entry.map_or(state.time, |entry| entry.timestamp),
        checksum: entry.map_or(0, |entry| crc32c::crc32c(&entry.bytes)),
        joined: state.position,
        epoch_at: search.epoch_at(),
        pending: 0,
    })
}

async fn read(stream: &dyn Stream, from: u64) -> Result<Vec<StreamEntry>, Error> {
    with_tries(async || stream.read(from, true).await).await.map_err(Error::Stream)
}

/// Repeats a request to the stream while it does not answer, for at most 10 s.
///
/// # Errors
/// That of the last request.
pub async fn with_tries<T>(
    mut work: impl AsyncFnMut() -> Result<T, StreamError>,
) -> Result<T, StreamError> {
    let mut tries = 0;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(StreamError::Unknown(_)) if tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(TRY_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
