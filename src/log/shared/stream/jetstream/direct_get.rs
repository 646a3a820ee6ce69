//! Reading messages: in batches from any replica, or one by one from the leader.

use std::time::Duration;

use async_nats::{Client, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::Subjects;
use super::api::{self, StreamAnswer};
use super::connection::NatsConnection;
use crate::log::shared::stream::{READ_BYTES_MAX, READ_ENTRIES_MAX, StreamEntry, StreamError};

/// So many messages are read from the leader at once, at most.
const LEADER_ENTRIES_MAX: usize = 64;
/// A replica is given so long for each message. One that was stopped does not answer at all, and
/// the next read goes to another one.
const REPLICA_TIME_MAX: Duration = Duration::from_millis(750);
/// The message does not exist.
const NO_MESSAGE_CODE: u16 = 404;
/// No more messages follow.
const END_CODE: u16 = 204;

#[derive(Serialize)]
struct BatchRequest {
    seq: u64,
    batch: usize,
    max_bytes: usize,
}

#[derive(Serialize)]
struct LeaderRequest<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Deserialize)]
struct LeaderAnswer {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    data: String,
    time: String,
}

/// Reads messages from a replica.
pub async fn read(
    client: &Client,
    stream: &str,
    from: u64,
) -> Result<Vec<StreamEntry>, StreamError> {
    let unknown = |error: &dyn std::fmt::Display| StreamError::Unknown(error.to_string());
    let request = BatchRequest { seq: from, batch: READ_ENTRIES_MAX, max_bytes: READ_BYTES_MAX };
    let request = serde_json::to_vec(&request).map_err(|error| unknown(&error))?;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unknown(&error))?;
    let subject = format!("$JS.API.DIRECT.GET.{stream}");
    let sent = client.publish_with_reply(subject, inbox, request.into()).await;
    sent.map_err(|error| unknown(&error))?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    // A server that sends more than was asked for is not listened to.
    while entries.len() < READ_ENTRIES_MAX && bytes <= READ_BYTES_MAX {
        let answer = tokio::time::timeout(REPLICA_TIME_MAX, answers.next()).await;
        let Ok(Some(answer)) = answer else {
            return Err(unknown(&"the stream does not answer"));
        };
        match answer.status.map(|status| status.as_u16()) {
            None => {}
            Some(END_CODE | NO_MESSAGE_CODE) => return Ok(entries),
            Some(code) => {
                let why = answer.description.unwrap_or_default();
                return Err(unknown(&format!("the stream answers {code} {why}")));
            }
        }
        let Some(entry) = entry_of(&answer) else {
            return Err(unknown(&"the stream's answer cannot be read"));
        };
        let expected = entries.last().map(|last: &StreamEntry| last.position + 1);
        if expected.is_some_and(|expected| expected != entry.position) {
            return Ok(entries);
        }
        bytes += entry.bytes.len();
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads messages from the leader.
pub async fn read_from_leader(
    connection: &NatsConnection,
    subjects: &Subjects,
    from: u64,
) -> Result<Vec<StreamEntry>, StreamError> {
    let unknown = |error: &dyn std::fmt::Display| StreamError::Unknown(error.to_string());
    let (mut entries, mut next, mut bytes) = (Vec::new(), from, 0);
    while entries.len() < LEADER_ENTRIES_MAX && bytes < READ_BYTES_MAX {
        let request = LeaderRequest { seq: next, next_by_subj: &subjects.publish };
        let answer =
            api::ask::<LeaderAnswer>(connection, "STREAM.MSG.GET", &subjects.stream, &request)
                .await;
        let message = match answer.map_err(|error| unknown(&error))? {
            Ok(answer) => Some(answer.message),
            Err(error) if error.is_no_message() => None,
            Err(error) => return Err(error.into()),
        };
        if entries.is_empty() {
            check_first(connection, subjects, next, message.as_ref().map(|message| message.seq))
                .await?;
        }
        let Some(message) = message.filter(|message| entries.is_empty() || message.seq == next)
        else {
            break;
        };
        let data = STANDARD.decode(&message.data).map_err(|error| unknown(&error))?;
        let timestamp =
            api::time_of(&message.time).ok_or_else(|| unknown(&"a timestamp cannot be read"))?;
        bytes += data.len();
        next = message.seq + 1;
        entries.push(StreamEntry { position: message.seq, timestamp, bytes: data.into() });
    }
    Ok(entries)
}

/// Checks that the first message at or after `from` is the one at `found`. Whoever may make
/// requests can have answers to them sent to others, and a gateway that took one of these for
/// its own would think that messages are gone.
async fn check_first(
    connection: &NatsConnection,
    subjects: &Subjects,
    from: u64,
    found: Option<u64>,
) -> Result<(), StreamError> {
    let unknown = |error: &dyn std::fmt::Display| StreamError::Unknown(error.to_string());
    if found == Some(from) {
        return Ok(());
    }
    let info = api::info(connection, &subjects.stream).await;
    let info = match info.map_err(|error| unknown(&error))? {
        StreamAnswer::Info(info) => info.state,
        StreamAnswer::Error(error) => return Err(error.into()),
    };
    let is_empty = info.first_seq > info.last_seq;
    let is_right = match found {
        Some(found) => found > from && info.first_seq > from,
        None => is_empty || info.last_seq < from,
    };
    if is_right { Ok(()) } else { Err(unknown(&"the stream's answer is not to what was asked")) }
}

/// The message of the stream that was sent to a subscriber.
pub fn entry_of(message: &Message) -> Option<StreamEntry> {
    let headers = message.headers.as_ref()?;
    let position = headers.get_last(async_nats::header::NATS_SEQUENCE)?.as_str().parse().ok()?;
    let timestamp = api::time_of(headers.get_last(async_nats::header::NATS_TIME_STAMP)?.as_str())?;
    Some(StreamEntry { position, timestamp, bytes: message.payload.clone() })
}
