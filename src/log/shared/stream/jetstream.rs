//! A stream of NATS JetStream.
//!
//! Messages are published to one subject, and come back over the subject to which the
//! stream republishes them; what is missed is read by batched direct get. There is no
//! consumer. The engine's own duplicate detection and compression are not used.

mod api;
mod connection;
mod direct_get;
mod fitness;
mod monitor;
pub mod servers;
#[cfg(test)]
pub mod test_server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::RequestErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::log::BoxFuture;
use crate::log::shared::stream::{
    LiveReceiver, Stream, StreamEnds, StreamEntry, StreamError, StreamReport, StreamSettings,
    live_channel,
};
use crate::time::Time;
use api::{PublishAnswer, StreamAnswer, StreamCluster, StreamConfig, StreamInfo};
use connection::{LeaderWatch, NatsConnection, unanswered};
use direct_get::entry_of;
use fitness::ReplicaWatch;
use monitor::{Warnings, warn};

pub use fitness::{ReplicaState, ReplicaStatus};
pub use monitor::check_monitor;
pub use servers::{Error, INBOX, NatsServers, NatsUser, check_address};

/// A stream without a leader is asked again by whoever asked; so long an answer is waited for.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// A stream whose making was not answered is tried again so often.
const CREATE_TRIES_MAX: usize = 2;
/// The format of the messages, as the stream's metadata has it.
const FORMAT: &str = "1";
const LOG_ID_KEY: &str = "auditgate.log_id";
const FORMAT_KEY: &str = "auditgate.format";
const WINDOW_KEY: &str = "auditgate.window";

/// Which stream carries a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// The stream.
    stream: String,
    /// Where messages are published.
    publish: String,
    /// Where they come back.
    live: String,
}

impl Subjects {
    /// Those of the log with this name: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// If it is no such name.
    pub fn of_log(name: &str) -> Result<Self, Error> {
        check_name(name)?;
        let publish = format!("auditgate.{name}.log");
        let live = format!("live.{publish}");
        Ok(Self { stream: format!("AUDIT_{name}"), publish, live })
    }
}

const NAME_BYTES_MAX: usize = 100;

/// Checks a name that stands in a subject: letters, digits, `-` and `_`.
///
/// # Errors
/// [`Error::Name`], if it is none.
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(servers::is_plain) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(())
}

impl Subjects {
    /// The stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// What a gateway publishes to: messages, and requests of the JetStream API.
    pub fn published(&self) -> Vec<String> {
        let api = API_REQUESTS.map(|request| format!("$JS.API.{request}.{}", self.stream));
        std::iter::once(self.publish.clone()).chain(api).collect()
    }

    /// What a gateway subscribes to that has this inbox: messages, and answers.
    pub fn subscribed(&self, inbox: &str) -> [String; 2] {
        [self.live.clone(), format!("{inbox}.>")]
    }
}

/// The requests that a gateway makes. To make a stream takes another one.
const API_REQUESTS: [&str; 3] = ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"];

/// How a stream is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlan {
    /// On how many servers each message is.
    pub replicas: u32,
    /// For how long messages are kept; `None` for ever.
    pub age_max: Option<Duration>,
    /// How many bytes are kept; `None` without a limit. With one, the oldest messages go;
    /// a stream without one refuses when the servers' disks are full.
    pub bytes_max: Option<u64>,
}

/// A log's stream.
pub struct JetStream {
    /// For messages that are published, and requests.
    connection: Arc<NatsConnection>,
    /// For messages that are read. Whoever may publish to the stream can add headers that the
    /// client library does not read: it gives the connection up then, and what was published
    /// over it would be unanswered.
    reader: NatsConnection,
    subjects: Subjects,
    settings: StreamSettings,
    plan: Mutex<StreamPlan>,
    /// Of the servers.
    warnings: Warnings,
    /// Of the stream.
    stream_warnings: Warnings,
    replicas: Mutex<ReplicaWatch>,
    leader_watch: Mutex<LeaderWatch>,
    /// The servers with a copy, as they were of late.
    cluster: Mutex<StreamCluster>,
    kept_since: Mutex<Option<Time>>,
    watching: Mutex<Option<AbortHandle>>,
}

impl JetStream {
    /// Makes the stream of a log with this id. The first creator wins.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one; if the servers refuse.
    pub async fn create(
        servers: &NatsServers,
        subjects: &Subjects,
        plan: StreamPlan,
        log_id: Uuid,
    ) -> Result<Self, Error> {
        let connection = servers::connect(servers).await?;
        let config = StreamConfig::new(subjects, plan, log_id);
        let mut tries = 0;
        loop {
            let created =
                api::request(&connection, "STREAM.CREATE", &subjects.stream, &config).await;
            match created {
                Ok(StreamAnswer::Info(_)) => break,
                // It may be this one, of a try whose answer did not come.
                Ok(StreamAnswer::Error(error)) if error.is_name_in_use() => break,
                Ok(StreamAnswer::Error(error)) => return Err(Error::Refused(error.to_string())),
                Err(error) if tries >= CREATE_TRIES_MAX => return Err(error),
                Err(_) => tries += 1,
            }
        }
        let reader = servers::connect(servers).await?;
        let found = Self::of_connections(connection, reader, subjects.clone()).await?;
        match found.settings.log_id == log_id {
            true => Ok(found),
            false => Err(Error::Exists(subjects.stream.clone())),
        }
    }

    /// Connects to the stream of a log.
    ///
    /// # Errors
    /// If the servers are not reachable, or have no such stream.
    pub async fn open(servers: &NatsServers, subjects: &Subjects) -> Result<Self, Error> {
        let connection = servers::connect(servers).await?;
        let reader = servers::connect(servers).await?;
        Self::of_connections(connection, reader, subjects.clone()).await
    }

    async fn of_connections(
        connection: NatsConnection,
        reader: NatsConnection,
        subjects: Subjects,
    ) -> Result<Self, Error> {
        let info = match api::info(&connection, &subjects.stream).await? {
            StreamAnswer::Info(info) => info,
            StreamAnswer::Error(error) if error.is_not_found() => {
                return Err(Error::NoStream(subjects.stream));
            }
            StreamAnswer::Error(error) if error.is_passing() => {
                return Err(Error::NoAnswer(error.to_string()));
            }
            StreamAnswer::Error(error) => return Err(Error::Refused(error.to_string())),
        };
        let settings = info.config.settings(&subjects, connection.client.max_payload())?;
        let plan = Mutex::new(info.config.plan());
        Ok(Self {
            connection: Arc::new(connection),
            reader,
            subjects,
            settings,
            plan,
            warnings: Warnings::default(),
            stream_warnings: Warnings::default(),
            replicas: Mutex::default(),
            leader_watch: Mutex::default(),
            cluster: Mutex::new(info.cluster),
            kept_since: Mutex::default(),
            watching: Mutex::default(),
        })
    }

    /// From now on looks whether the servers are as they should be, and reports what is not;
    /// `monitors` are the addresses of their monitors: `http://HOST:8222`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn watch_servers(&self, monitors: Vec<String>) {
        let (connection, warnings) = (Arc::clone(&self.connection), Arc::clone(&self.warnings));
        let watching = tokio::spawn(monitor::watch(connection, monitors, warnings));
        if let Some(before) = self.watching.lock().replace(watching.abort_handle()) {
            before.abort();
        }
    }

    /// How the stream was made, or changed since.
    pub fn plan(&self) -> StreamPlan {
        *self.plan.lock()
    }

    /// The servers with a copy of the stream, as of the last [`Stream::ends`].
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.cluster.lock().status()
    }

    /// What should be changed at the servers, or at the stream.
    fn all_warnings(&self) -> Vec<String> {
        let of_stream = self.stream_warnings.lock().clone();
        let of_servers = self.warnings.lock().clone();
        let refusals = [&*self.connection, &self.reader].map(NatsConnection::refusals).concat();
        [refusals, of_stream, of_servers].concat()
    }

    /// Compares the stream with what the gateways agreed on when this one began.
    fn compare(&self, info: &StreamInfo) -> Result<(), StreamError> {
        let stream = &self.subjects.stream;
        if info.config.log_id().is_some_and(|log_id| log_id != self.settings.log_id) {
            return Err(StreamError::Refused(format!(
                "stream {stream} was made anew, for another log"
            )));
        }
        let now = info.config.settings(&self.subjects, self.settings.message_bytes_max);
        *self.plan.lock() = info.config.plan();
        *self.cluster.lock() = info.cluster.clone();
        let missing = self.replicas.lock().missing(&info.cluster.replicas, Instant::now());
        warn(&self.stream_warnings, info.warnings(&missing));
        now.map(drop).map_err(|error| StreamError::Unfit(error.to_string()))
    }

    async fn ask_ends(&self) -> Result<StreamEnds, StreamError> {
        let asked = async {
            let info = api::info(&self.connection, &self.subjects.stream).await;
            info.map_err(|error| StreamError::Unknown(error.to_string()))
        };
        match self.connection.answer(asked).await? {
            StreamAnswer::Info(info) => {
                self.compare(&info)?;
                *self.kept_since.lock() = info.state.kept_since();
                info.ends()
            }
            StreamAnswer::Error(error) if error.is_not_found() => {
                Err(StreamError::Refused(format!("stream {} was deleted", self.subjects.stream)))
            }
            StreamAnswer::Error(error) => Err(error.into()),
        }
    }

    /// The server to which the gateway is connected.
    pub fn server_name(&self) -> String {
        self.connection.server_name()
    }
}

impl Drop for JetStream {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.lock().take() {
            watching.abort();
        }
    }
}

impl Stream for JetStream {
    fn settings(&self) -> StreamSettings {
        self.settings
    }

    fn report(&self) -> StreamReport {
        StreamReport {
            name: self.subjects.stream.clone(),
            server: self.server_name(),
            replicas: self.plan().replicas,
            warnings: self.all_warnings(),
            kept_since: *self.kept_since.lock(),
            age_max: self.plan().age_max,
        }
    }

    fn append(&self, message: Bytes) -> BoxFuture<'_, Result<u64, StreamError>> {
        Box::pin(async move {
            let request =
                async_nats::Request::new().payload(message).timeout(Some(REQUEST_TIME_MAX));
            let subject = self.subjects.publish.clone();
            let asked = async {
                let answer = self.connection.client.send_request(subject, request).await;
                answer.map_err(|error| match error.kind() {
                    RequestErrorKind::MaxPayloadExceeded => StreamError::Refused(error.to_string()),
                    RequestErrorKind::TimedOut
                    | RequestErrorKind::NoResponders
                    | RequestErrorKind::InvalidSubject
                    | RequestErrorKind::Other => StreamError::Unknown(unanswered(&error)),
                })
            };
            let answer = self.connection.answer(asked).await?;
            match serde_json::from_slice(&answer.payload) {
                Ok(PublishAnswer { error: Some(error), .. }) => Err(error.into()),
                Ok(PublishAnswer { seq: Some(position), .. }) => Ok(position),
                Ok(PublishAnswer { .. }) | Err(_) => {
                    Err(StreamError::Unknown("the stream's answer cannot be read".to_owned()))
                }
            }
        })
    }

    fn live(&self) -> BoxFuture<'_, Result<LiveReceiver, StreamError>> {
        Box::pin(async move {
            let subscribed = self.reader.client.subscribe(self.subjects.live.clone()).await;
            let mut messages =
                subscribed.map_err(|error| StreamError::Unknown(error.to_string()))?;
            let (sender, receiver) = live_channel();
            tokio::spawn(async move {
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        () = sender.closed() => None,
                    };
                    let Some(message) = message else { break };
                    if let Some(entry) = entry_of(&message) {
                        sender.send(entry);
                    }
                }
            });
            Ok(receiver)
        })
    }

    fn read(
        &self,
        from: u64,
        from_leader: bool,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StreamError>> {
        Box::pin(async move {
            if !from_leader {
                let losses = self.reader.losses();
                let read = direct_get::read(&self.reader.client, &self.subjects.stream, from);
                let read = self.reader.answer(read).await;
                let is_lost = read.is_err() && self.reader.losses() > losses;
                // A message that the client library does not read ends that connection again
                // and again. The leader sends it in another form.
                if !is_lost || self.connection.server_name().is_empty() {
                    return read;
                }
            }
            let read = direct_get::read_from_leader(&self.connection, &self.subjects, from);
            self.connection.answer(read).await
        })
    }

    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>> {
        Box::pin(async move {
            let ends = self.ask_ends().await;
            let is_led = !matches!(ends, Err(StreamError::Unknown(_)));
            if self.leader_watch.lock().is_lost(is_led, Instant::now()) {
                self.connection.move_on().await;
                self.reader.move_on().await;
            }
            ends
        })
    }
}
