//! The requests of the JetStream API that a shared log makes, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::connection::{NatsConnection, unanswered};
use super::{
    Error, FORMAT, FORMAT_KEY, LOG_ID_KEY, REQUEST_TIME_MAX, StreamError, StreamPlan, Subjects,
    WINDOW_KEY,
};
use crate::log::shared::machine::WINDOW_MESSAGES;
use crate::log::shared::stream::StreamEnds;
use crate::time::Time;

/// The errors that say that there is no space.
const FULL_CODES: [u32; 3] = [10_023, 10_047, 10_077];
/// The stream does not exist.
const NOT_FOUND_CODE: u32 = 10_059;
/// A stream of that name exists, with another configuration.
const NAME_IN_USE_CODE: u32 = 10_058;
/// There is no such message.
const NO_MESSAGE_CODE: u32 = 10_037;
/// No server can answer at the moment.
const UNAVAILABLE_STATUS: u32 = 503;
/// A message is larger than the stream takes.
const TOO_LARGE_CODE: u32 = 10_054;

/// The configuration of a stream, as far as it matters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StreamConfig {
    name: String,
    #[serde(default)]
    subjects: Vec<String>,
    storage: String,
    retention: String,
    discard: String,
    num_replicas: u32,
    max_consumers: i64,
    max_msgs: i64,
    max_bytes: i64,
    /// In nanoseconds; 0 without a limit.
    max_age: u64,
    pub max_msg_size: i64,
    #[serde(default)]
    pub allow_direct: bool,
    #[serde(default)]
    pub deny_delete: bool,
    #[serde(default)]
    pub deny_purge: bool,
    #[serde(default)]
    republish: Option<Republish>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What a stream of ours does not have.
    #[serde(flatten, skip_serializing)]
    pub foreign: ForeignConfig,
}

/// Parts of a stream's configuration that `auditgate cluster init` leaves out, and that
/// somebody may have added.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct ForeignConfig {
    pub allow_rollup_hdrs: bool,
    pub allow_msg_ttl: bool,
    pub sealed: bool,
    pub compression: String,
    pub persist_mode: String,
    pub mirror: Option<IgnoredAny>,
    pub subject_transform: Option<IgnoredAny>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Republish {
    src: String,
    dest: String,
}

impl StreamConfig {
    /// That of a new stream.
    pub fn new(subjects: &Subjects, plan: StreamPlan, log_id: Uuid) -> Self {
        let Subjects { stream, publish, live } = subjects.clone();
        let metadata = [
            (LOG_ID_KEY, log_id.to_string()),
            (FORMAT_KEY, FORMAT.to_owned()),
            (WINDOW_KEY, WINDOW_MESSAGES.to_string()),
        ];
        let age = plan.age_max.map_or(0, |age| age.as_nanos());
        Self {
            name: stream,
            subjects: vec![publish.clone()],
            storage: "file".to_owned(),
            retention: "limits".to_owned(),
            // Without a limit, a stream whose servers are full refuses.
            discard: if plan.bytes_max.is_some() { "old" } else { "new" }.to_owned(),
            num_replicas: plan.replicas,
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: plan.bytes_max.map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX)),
            max_age: u64::try_from(age).unwrap_or(0),
            max_msg_size: -1,
            allow_direct: true,
            deny_delete: true,
            deny_purge: true,
            republish: Some(Republish { src: publish, dest: live }),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
            foreign: ForeignConfig::default(),
        }
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the stream was made.
    pub fn plan(&self) -> StreamPlan {
        StreamPlan {
            replicas: self.num_replicas,
            age_max: Some(Duration::from_nanos(self.max_age)).filter(|age| !age.is_zero()),
            bytes_max: u64::try_from(self.max_bytes).ok().filter(|bytes| *bytes > 0),
        }
    }

    /// Whether messages are published and come back where they should.
    pub fn has_subjects(&self, subjects: &Subjects) -> bool {
        let Subjects { publish, live, .. } = subjects;
        let republish = Republish { src: publish.clone(), dest: live.clone() };
        self.subjects == std::slice::from_ref(publish) && self.republish == Some(republish)
    }
}

/// What JetStream says of a stream.
#[derive(Debug, Deserialize)]
pub struct StreamInfo {
    pub config: StreamConfig,
    pub state: StreamExtent,
    #[serde(default)]
    pub cluster: StreamCluster,
}

/// The servers that have a stream.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct StreamCluster {
    /// The server that leads it; `None` during an election.
    pub leader: Option<String>,
    /// The others.
    pub replicas: Vec<StreamReplica>,
}

impl StreamInfo {
    /// Both ends of the stream.
    ///
    /// # Errors
    /// If a server said this that does not lead the stream. It answers while there is no leader,
    /// or when it has just started, and may lack messages.
    pub fn ends(&self) -> Result<StreamEnds, StreamError> {
        if !self.cluster.is_of_leader() {
            return Err(StreamError::Unknown(
                "the servers elect a leader of the stream".to_owned(),
            ));
        }
        Ok(StreamEnds { first: self.state.first_seq.max(1), last: self.state.last_seq })
    }
}

impl StreamCluster {
    /// Whether this was said by the server that leads the stream.
    pub fn is_of_leader(&self) -> bool {
        match &self.leader {
            // A server names itself as the leader, and the others as replicas.
            Some(leader) => self.replicas.iter().all(|replica| replica.name != *leader),
            // A server alone has no cluster.
            None => self.replicas.is_empty(),
        }
    }
}

/// A server that follows a stream's leader.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct StreamReplica {
    pub name: String,
    /// It has what the leader has.
    pub current: bool,
    /// The leader does not reach it.
    pub offline: bool,
    /// How long ago the leader heard of it, in nanoseconds; 0 if never.
    pub active: u64,
    /// So many steps of replication it is behind.
    pub lag: u64,
}

/// What a stream holds.
#[derive(Debug, Deserialize)]
pub struct StreamExtent {
    pub first_seq: u64,
    pub last_seq: u64,
    #[serde(default)]
    first_ts: String,
}

impl StreamExtent {
    /// When the oldest message came; `None` if there is none, or none was removed: a stream that
    /// was made anew has none of what the copies have from before.
    pub fn kept_since(&self) -> Option<Time> {
        let has_removed = self.first_seq > 1 && self.first_seq <= self.last_seq;
        has_removed.then(|| time_of(&self.first_ts)).flatten()
    }
}

/// The answer to a request about a stream.
pub enum StreamAnswer {
    /// What it is.
    Info(Box<StreamInfo>),
    /// Why not.
    Error(ApiError),
}

/// Why JetStream refuses.
#[derive(Debug, Clone, Deserialize)]
pub struct ApiError {
    code: u32,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { err_code, description, .. } = self;
        if self.is_passing() {
            f.write_str("the servers have no majority, or elect a leader: ")?;
        }
        write!(f, "{description} (error {err_code})")
    }
}

impl ApiError {
    /// It may be over soon.
    pub fn is_passing(&self) -> bool {
        self.code == UNAVAILABLE_STATUS
    }

    /// There is no such stream.
    pub fn is_not_found(&self) -> bool {
        self.err_code == NOT_FOUND_CODE
    }

    /// There is no such message.
    pub fn is_no_message(&self) -> bool {
        self.err_code == NO_MESSAGE_CODE
    }

    /// There is one, with another configuration.
    pub fn is_name_in_use(&self) -> bool {
        self.err_code == NAME_IN_USE_CODE
    }
}

impl From<ApiError> for StreamError {
    fn from(error: ApiError) -> Self {
        let why = error.to_string();
        match error.err_code {
            code if FULL_CODES.contains(&code) => Self::Full(why),
            TOO_LARGE_CODE => Self::Refused(why),
            // There is no leader, or what else may be over soon.
            _ => Self::Unknown(why),
        }
    }
}

/// The answer to a message that was published.
#[derive(Debug, Deserialize)]
pub struct PublishAnswer {
    pub seq: Option<u64>,
    pub error: Option<ApiError>,
}

/// An answer, or an error in its place.
#[derive(Deserialize)]
struct OrError<T> {
    error: Option<ApiError>,
    #[serde(flatten)]
    answer: Option<T>,
}

/// Asks what a stream is.
pub async fn info(connection: &NatsConnection, stream: &str) -> Result<StreamAnswer, Error> {
    request(connection, "STREAM.INFO", stream, &serde_json::Map::new()).await
}

/// Makes a request about a stream.
pub async fn request(
    connection: &NatsConnection,
    what: &str,
    stream: &str,
    request: &impl Serialize,
) -> Result<StreamAnswer, Error> {
    Ok(match ask::<StreamInfo>(connection, what, stream, request).await? {
        Ok(info) => StreamAnswer::Info(Box::new(info)),
        Err(error) => StreamAnswer::Error(error),
    })
}

/// Makes a request of the API.
pub async fn ask<T: DeserializeOwned>(
    connection: &NatsConnection,
    what: &str,
    stream: &str,
    request: &impl Serialize,
) -> Result<Result<T, ApiError>, Error> {
    let no_answer = |error: &dyn std::fmt::Display| Error::NoAnswer(error.to_string());
    let payload = serde_json::to_vec(request).map_err(|error| no_answer(&error))?;
    let request =
        async_nats::Request::new().payload(payload.into()).timeout(Some(REQUEST_TIME_MAX));
    let subject = format!("$JS.API.{what}.{stream}");
    let asked = async {
        let answer = connection.client.send_request(subject, request).await;
        answer.map_err(|error| StreamError::Unknown(unanswered(&error)))
    };
    let answer = connection.answer(asked).await.map_err(|error| no_answer(&error))?;
    let answer: OrError<T> =
        serde_json::from_slice(&answer.payload).map_err(|error| no_answer(&error))?;
    match answer {
        OrError { error: Some(error), .. } => Ok(Err(error)),
        OrError { answer: Some(answer), .. } => Ok(Ok(answer)),
        OrError { .. } => Err(no_answer(&"the answer is incomplete")),
    }
}

/// The time that a server has written.
pub fn time_of(text: &str) -> Option<Time> {
    let timestamp: prost_types::Timestamp = text.parse().ok()?;
    Time::try_from(&timestamp).ok()
}
