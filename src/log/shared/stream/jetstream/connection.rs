//! A connection to NATS that tells at once when it was lost: what was asked before is not
//! answered then, and waiting for it would only take time.

use std::sync::Arc;

use async_nats::{Client, Event};
use tokio::sync::watch;

use crate::log::shared::stream::StreamError;

/// How often a connection was lost.
#[derive(Debug, Clone)]
pub struct Losses(Arc<watch::Sender<u64>>);

impl Losses {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Counts, if the event says so.
    pub fn see(&self, event: &Event) {
        if matches!(event, Event::Disconnected | Event::Closed) {
            self.0.send_modify(|count| *count += 1);
        }
    }
}

/// A client, and when it lost its connection.
pub struct NatsConnection {
    pub client: Client,
    losses: Losses,
}

impl NatsConnection {
    pub fn new(client: Client, losses: Losses) -> Self {
        Self { client, losses }
    }

    /// The answer, unless the connection is lost before it comes.
    pub async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, StreamError>>,
    ) -> Result<T, StreamError> {
        let mut losses = self.losses.0.subscribe();
        tokio::select! {
            answer = asked => answer,
            _ = losses.changed() => {
                Err(StreamError::Unknown("the connection to the server was lost".to_owned()))
            }
        }
    }

    /// The server to which it is connected; empty while it is not.
    pub fn server_name(&self) -> String {
        match self.client.connection_state() {
            async_nats::connection::State::Connected => self.client.server_info().server_name,
            async_nats::connection::State::Pending
            | async_nats::connection::State::Disconnected => String::new(),
        }
    }
}
