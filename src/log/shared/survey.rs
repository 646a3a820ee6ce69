//! Reads the gateways of a shared log from its stream, for a program without a copy of the log.

use std::time::{Duration, Instant};

use super::members::{ClusterMember, Members};
use super::message::{ClusterKeys, MessageContent, SharedMessage};
use super::stream::{Stream, StreamEnds, StreamError};
use crate::time::Time;

/// The most messages that are read of those before the survey.
const MESSAGES_MAX: u64 = 1_024;
/// The pause between two reads of newer messages.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// What was found in the newest messages of a stream.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Both ends of the stream.
    pub ends: StreamEnds,
    /// The gateways that reported themselves.
    pub members: Vec<ClusterMember>,
    /// The epoch of the log in the newest message; `None` without a valid message.
    pub epoch: Option<u16>,
    /// The newest signed checkpoint, not verified, and its position.
    pub checkpoint: Option<(u64, String)>,
    /// Messages that no cluster key authenticates, or that are malformed.
    pub invalid: u64,
    /// The newest time of the stream.
    pub time: Option<Time>,
}

/// Reads the newest messages, and those that come until `period` of the stream was seen. Every
/// gateway reports itself within [`MEMBER_INTERVAL`](super::members::MEMBER_INTERVAL).
///
/// # Errors
/// If the stream cannot be read.
pub async fn survey(
    stream: &dyn Stream,
    keys: &ClusterKeys,
    period: Duration,
) -> Result<Survey, StreamError> {
    let ends = stream.ends().await?;
    let mut members = Members::default();
    let mut found =
        Survey { ends, members: Vec::new(), epoch: None, checkpoint: None, invalid: 0, time: None };
    let mut next = ends.first.max((ends.last + 1).saturating_sub(MESSAGES_MAX));
    let (begun, mut oldest) = (Instant::now(), None);
    loop {
        let entries = stream.read(next, true).await?;
        let Some(newest) = entries.last().map(|entry| entry.position) else {
            // All is read: of what came before, and of what came since.
            let seen = oldest.zip(found.time).map_or(0, |(oldest, newest): (Time, Time)| {
                newest.0.saturating_sub(oldest.0).max(0)
            });
            let seen = Duration::from_nanos(seen.unsigned_abs());
            let is_whole = next <= ends.first || ends.first + MESSAGES_MAX > ends.last;
            if is_whole || seen.max(begun.elapsed()) >= period {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
            continue;
        };
        for entry in entries {
            oldest = oldest.or(Some(entry.timestamp));
            found.time = found.time.max(Some(entry.timestamp));
            members.at(entry.timestamp);
            let message = match SharedMessage::decode(&entry.bytes, keys) {
                Ok(message) => message,
                Err(_) => {
                    found.invalid += 1;
                    continue;
                }
            };
            let SharedMessage { sender, counter, basis, content } = message;
            found.epoch = found.epoch.max(Some(basis.epoch));
            let (position, time) = (entry.position, entry.timestamp);
            match content {
                MessageContent::Checkpoint(text) => found.checkpoint = Some((position, text)),
                MessageContent::Member(report) => {
                    members.note(ClusterMember { sender, counter, report, basis, position, time });
                }
                MessageContent::Group(_) | MessageContent::Epoch(_) => {}
            }
        }
        found.ends.last = found.ends.last.max(newest);
        next = newest + 1;
    }
    found.members = members.all();
    Ok(found)
}
