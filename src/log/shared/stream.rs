//! What a shared log needs of the engine below it: one replicated, ordered sequence of
//! messages.

pub mod jetstream;
mod live;
#[cfg(test)]
pub mod simulated;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::log::BoxFuture;
use crate::log::shared::machine::WindowLimits;
use crate::time::Time;

pub use live::{LiveReceiver, LiveSender, live_channel};

/// A read returns so many messages at most.
pub const READ_ENTRIES_MAX: usize = 256;
/// A read returns so many bytes at most, unless one message is larger.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// So many live messages wait at most; what does not fit is dropped, and read later.
pub const LIVE_ENTRIES_MAX: usize = 1_024;

/// A replicated sequence of messages. Positions begin at 1 and have no holes; the oldest
/// messages may be removed.
pub trait Stream: Send + Sync + 'static {
    /// Which log the stream carries, and how.
    fn settings(&self) -> StreamSettings;

    /// How it does.
    fn report(&self) -> StreamReport {
        StreamReport::default()
    }

    /// Appends a message, and returns its position. On success, it is on stable storage
    /// of a majority. Dropping the future leaves it open whether the message was
    /// appended.
    ///
    /// # Errors
    /// [`StreamError::Unknown`] leaves it open whether the message was appended; of the
    /// others it was not.
    fn append(&self, message: Bytes) -> BoxFuture<'_, Result<u64, StreamError>>;

    /// The messages from now on, as they come: some may be missing. The channel closes
    /// when they end; they are then asked for anew.
    ///
    /// # Errors
    /// If they cannot be had at the moment.
    fn live(&self) -> BoxFuture<'_, Result<LiveReceiver, StreamError>>;

    /// Messages from a position on, without holes among them: none past the newest, and
    /// from the oldest on where the position was removed. `from_leader` asks a
    /// replica that is not behind.
    ///
    /// # Errors
    /// If it cannot be read at the moment.
    fn read(
        &self,
        from: u64,
        from_leader: bool,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StreamError>>;

    /// The oldest and the newest message, as the leader knows them.
    ///
    /// # Errors
    /// If it cannot be asked at the moment.
    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>>;
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its position.
    pub position: u64,
    /// When the stream took it, by the clock of its leader.
    pub timestamp: Time,
    /// The message.
    pub bytes: Bytes,
}

/// Both ends of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnds {
    /// The oldest message; the next one's position if there is none.
    pub first: u64,
    /// The newest message; 0 if there was none.
    pub last: u64,
}

/// What all gateways of a stream must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Unique to the log.
    pub log_id: Uuid,
    /// How far back a basis may lie.
    pub window: WindowLimits,
    /// The largest message that the stream takes, in bytes.
    pub message_bytes_max: usize,
}

/// What an operator should know of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// The server to which this gateway is connected; empty while it is not.
    pub server: String,
    /// On how many servers each message is.
    pub replicas: u32,
    /// What should be changed at the servers, a sentence each.
    pub warnings: Vec<String>,
    /// When the stream took its oldest message, as of the last [`Stream::ends`].
    pub kept_since: Option<Time>,
    /// For how long the stream keeps messages, as of the last [`Stream::ends`]; `None` for ever.
    pub age_max: Option<Duration>,
}

/// Why a stream does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It did not answer, or has no leader: it may have been done, and may be tried again.
    #[error("{0}")]
    Unknown(String),
    /// It is full.
    #[error("{0}")]
    Full(String),
    /// It refuses, and would again.
    #[error("{0}")]
    Refused(String),
    /// It was changed so that gateways cannot use it as they agreed. It may be changed back.
    #[error("{0}")]
    Unfit(String),
}
