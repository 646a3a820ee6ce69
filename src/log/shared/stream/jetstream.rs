//! A stream of NATS JetStream.
//!
//! Messages are published to one subject, and come back over the subject to which the
//! stream republishes them; what is missed is read by batched direct get. There is no
//! consumer. The engine's own duplicate detection and compression are not used.

mod api;
mod connection;
mod direct_get;
mod monitor;
pub mod servers;
#[cfg(test)]
pub mod test_server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_nats::RequestErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::log::BoxFuture;
use crate::log::shared::machine::{WINDOW_KEYS_MAX, WindowLimits};
use crate::log::shared::stream::{
    LIVE_ENTRIES_MAX, Stream, StreamEnds, StreamEntry, StreamError, StreamReport, StreamSettings,
};
use crate::time::Time;
use api::{PublishAnswer, StreamAnswer, StreamConfig};
use connection::NatsConnection;
use direct_get::entry_of;
use monitor::Warnings;

pub use monitor::check_monitor;
pub use servers::{Error, NatsServers, NatsUser, check_address};

/// A stream without a leader is asked again by whoever asked; so long an answer is
/// waited for.
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
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return Err(Error::Name(name.to_owned()));
        }
        let publish = format!("auditgate.{name}.log");
        let live = format!("live.{publish}");
        Ok(Self { stream: format!("AUDIT_{name}"), publish, live })
    }
}

const NAME_BYTES_MAX: usize = 100;

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

    /// What a gateway subscribes to: messages, and answers.
    pub fn subscribed(&self) -> [String; 2] {
        [self.live.clone(), "_INBOX.>".to_owned()]
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
    connection: Arc<NatsConnection>,
    subjects: Subjects,
    settings: StreamSettings,
    plan: StreamPlan,
    warnings: Warnings,
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
                api::request(&connection.client, "STREAM.CREATE", &subjects.stream, &config).await;
            match created {
                Ok(StreamAnswer::Info(_)) => break,
                // It may be this one, of a try whose answer did not come.
                Ok(StreamAnswer::Error(error)) if error.is_name_in_use() => break,
                Ok(StreamAnswer::Error(error)) => return Err(Error::Refused(error.to_string())),
                Err(error) if tries >= CREATE_TRIES_MAX => return Err(error),
                Err(_) => tries += 1,
            }
        }
        let found = Self::of_connection(connection, subjects.clone()).await?;
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
        Self::of_connection(connection, subjects.clone()).await
    }

    async fn of_connection(connection: NatsConnection, subjects: Subjects) -> Result<Self, Error> {
        let info = match api::info(&connection.client, &subjects.stream).await? {
            StreamAnswer::Info(info) => info,
            StreamAnswer::Error(error) if error.is_not_found() => {
                return Err(Error::NoStream(subjects.stream));
            }
            StreamAnswer::Error(error) => return Err(Error::Refused(error.to_string())),
        };
        let settings = info.config.settings(&subjects, connection.client.max_payload())?;
        let plan = info.config.plan();
        Ok(Self {
            connection: Arc::new(connection),
            subjects,
            settings,
            plan,
            warnings: Warnings::default(),
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

    /// How the stream was made.
    pub fn plan(&self) -> StreamPlan {
        self.plan
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
            replicas: self.plan.replicas,
            warnings: self.warnings.lock().clone(),
            kept_since: *self.kept_since.lock(),
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
                    | RequestErrorKind::Other => StreamError::Unknown(error.to_string()),
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

    fn live(&self) -> BoxFuture<'_, Result<mpsc::Receiver<StreamEntry>, StreamError>> {
        Box::pin(async move {
            let subscribed = self.connection.client.subscribe(self.subjects.live.clone()).await;
            let mut messages =
                subscribed.map_err(|error| StreamError::Unknown(error.to_string()))?;
            let (sender, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
            tokio::spawn(async move {
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        () = sender.closed() => None,
                    };
                    let Some(message) = message else { break };
                    if let Some(entry) = entry_of(&message) {
                        // One for which there is no room is read later.
                        let _ = sender.try_send(entry);
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
            let client = &self.connection.client;
            if from_leader {
                let read = direct_get::read_from_leader(client, &self.subjects, from);
                self.connection.answer(read).await
            } else {
                let read = direct_get::read(client, &self.subjects.stream, from);
                self.connection.answer(read).await
            }
        })
    }

    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>> {
        Box::pin(async move {
            let unknown = |error: Error| StreamError::Unknown(error.to_string());
            let asked = async {
                let info = api::info(&self.connection.client, &self.subjects.stream).await;
                info.map_err(unknown)
            };
            match self.connection.answer(asked).await? {
                StreamAnswer::Info(info) => {
                    let log_id = info.config.log_id();
                    if log_id != Some(self.settings.log_id) {
                        return Err(StreamError::Refused(format!(
                            "stream {} was made anew, for another log",
                            self.subjects.stream
                        )));
                    }
                    *self.kept_since.lock() = info.state.kept_since();
                    Ok(StreamEnds { first: info.state.first_seq.max(1), last: info.state.last_seq })
                }
                StreamAnswer::Error(error) if error.is_not_found() => Err(StreamError::Refused(
                    format!("stream {} was deleted", self.subjects.stream),
                )),
                StreamAnswer::Error(error) => Err(error.into()),
            }
        })
    }
}

impl StreamConfig {
    /// What the gateways of the stream agree on.
    fn settings(&self, subjects: &Subjects, max_payload: usize) -> Result<StreamSettings, Error> {
        let unfit = |why: &str| Error::Unfit(subjects.stream.clone(), why.to_owned());
        let of = |key: &str| self.metadata.get(key).map(String::as_str);
        let log_id = self.log_id().ok_or_else(|| unfit("has no log id in its metadata"))?;
        if of(FORMAT_KEY) != Some(FORMAT) {
            return Err(unfit("has messages of another format: use another auditgate"));
        }
        let messages = of(WINDOW_KEY).and_then(|text| text.parse().ok()).filter(|some| *some > 0);
        let messages = messages.ok_or_else(|| unfit("has no window in its metadata"))?;
        if !self.has_subjects(subjects) {
            return Err(unfit("has other subjects, or does not republish to its live subject"));
        }
        if !self.allow_direct || !self.deny_delete || !self.deny_purge {
            return Err(unfit("must have allow_direct, deny_delete and deny_purge"));
        }
        let message_max = usize::try_from(self.max_msg_size).unwrap_or(usize::MAX);
        let window = WindowLimits { messages, keys: WINDOW_KEYS_MAX };
        let message_bytes_max = max_payload.min(message_max);
        Ok(StreamSettings { log_id, window, message_bytes_max, age_max: self.plan().age_max })
    }

    fn log_id(&self) -> Option<Uuid> {
        self.metadata.get(LOG_ID_KEY)?.parse().ok()
    }
}
