//! Where a gateway begins to follow a stream: where it stopped, at the stream's beginning,
//! or in the middle of a stream whose beginning was removed.

use std::time::Duration;

use crate::log::disk;
use crate::log::shared::machine::{JoinSearch, Machine};
use crate::log::shared::mark::FollowerMark;
use crate::log::shared::message::{Basis, ClusterKeys, MessageContent, SharedMessage};
use crate::log::shared::stream::{Stream, StreamEntry, StreamError};

/// A stream that does not answer is asked again so often.
const TRIES_MAX: usize = 50;
/// Between two of these.
const TRY_PAUSE: Duration = Duration::from_millis(200);

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
        "this gateway has applied message {applied} of the stream, which ends at {end}: the stream was rolled back or made anew"
    )]
    RolledBack {
        /// The last message that was applied.
        applied: u64,
        /// The stream's newest message.
        end: u64,
    },
    /// A message of the stream is not the one that was applied.
    #[error(
        "message {0} of the stream is not the one that this gateway has applied: the stream was rolled back or made anew"
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
    /// No message tells a state to join with.
    #[error(
        "the stream begins at message {0}, and no message in it tells a state to join with: seed the data directory with a copy of another gateway's"
    )]
    NoBasis(u64),
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

/// Where a gateway begins.
pub struct ResumePoint {
    /// The machine, which has recalled its window.
    pub machine: Machine,
    /// What the mark says from now on.
    pub mark: FollowerMark,
    /// The stream's newest message.
    pub end: u64,
}

/// Finds out where a gateway begins that has this mark.
pub async fn resume(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    mark: Option<FollowerMark>,
) -> Result<ResumePoint, Error> {
    let settings = stream.settings();
    let ends = with_tries(async || stream.ends().await).await?;
    let limits = settings.window;
    let mark = match mark {
        Some(mark) => mark,
        None if ends.first <= 1 => FollowerMark {
            log_id: settings.log_id,
            state: Basis::default(),
            timestamp: Basis::default().time,
            checksum: 0,
            joined: 0,
        },
        None => join(stream, keys, ends.first).await?,
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
    let from = Machine::recall_from(limits, applied, ends.first);
    let mut machine = Machine::resume(limits, mark.state, from);
    let mut next = from;
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
            let message = SharedMessage::decode(&entry.bytes, keys).ok();
            let group = message.as_ref().and_then(|message| match &message.content {
                MessageContent::Group(group) => Some(group),
                MessageContent::Checkpoint(_) | MessageContent::Epoch(_) => None,
            });
            if machine.recall(entry.position, group).is_err() {
                break;
            }
        }
        next = machine.state().position + 1;
    }
    Ok(ResumePoint { machine, mark, end: ends.last })
}

/// Whether a message is the one of the mark.
fn is_same(entry: &StreamEntry, mark: &FollowerMark) -> bool {
    entry.timestamp == mark.timestamp && crc32c::crc32c(&entry.bytes) == mark.checksum
}

/// Looks for a state to join with, in a stream whose oldest message is `first`.
async fn join(stream: &dyn Stream, keys: &ClusterKeys, first: u64) -> Result<FollowerMark, Error> {
    let settings = stream.settings();
    let mut search = JoinSearch::new(first, settings.window.messages);
    let mut next = first;
    let state = 'search: loop {
        let entries = read(stream, next).await?;
        let Some(newest) = entries.last().map(|entry| entry.position) else {
            break search.state();
        };
        for entry in &entries {
            let message = SharedMessage::decode(&entry.bytes, keys).ok();
            if search.see(entry.position, message.map(|message| message.basis)) {
                break 'search search.state();
            }
        }
        next = newest + 1;
    };
    let state = state.ok_or(Error::NoBasis(first))?;
    // The message there tells whether the stream is the same one later.
    let entries = read(stream, state.position).await?;
    let entry = entries.first().filter(|entry| entry.position == state.position);
    Ok(FollowerMark {
        log_id: settings.log_id,
        state,
        timestamp: entry.map_or(state.time, |entry| entry.timestamp),
        checksum: entry.map_or(0, |entry| crc32c::crc32c(&entry.bytes)),
        joined: state.position,
    })
}

async fn read(stream: &dyn Stream, from: u64) -> Result<Vec<StreamEntry>, Error> {
    with_tries(async || stream.read(from, true).await).await
}

/// Tries again what may succeed later.
async fn with_tries<T>(mut work: impl AsyncFnMut() -> Result<T, StreamError>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(StreamError::Unknown(_)) if tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(TRY_PAUSE).await;
            }
            Err(error) => return Err(Error::Stream(error)),
        }
    }
}
