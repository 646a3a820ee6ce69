//! A simulated stream, in which others publish, or which takes its time.

use bytes::Bytes;

use super::*;
use crate::log::BoxFuture;
use crate::log::shared::stream::{LiveReceiver, StreamEnds, StreamEntry, StreamError};

/// The stream.
pub struct AlteredStream {
    pub stream: Arc<SimulatedStream>,
    /// A gateway publishes this just before the message that is appended first.
    pub first: Mutex<Option<Bytes>>,
    /// Answers about the ends take so long.
    pub ends_time: Duration,
}

impl Stream for AlteredStream {
    fn settings(&self) -> StreamSettings {
        self.stream.settings()
    }

    fn append(&self, message: Bytes) -> BoxFuture<'_, Result<u64, StreamError>> {
        if let Some(first) = self.first.lock().take() {
            self.stream.inject(first);
        }
        self.stream.append(message)
    }

    fn live(&self) -> BoxFuture<'_, Result<LiveReceiver, StreamError>> {
        self.stream.live()
    }

    fn read(
        &self,
        from: u64,
        from_leader: bool,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StreamError>> {
        self.stream.read(from, from_leader)
    }

    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>> {
        Box::pin(async {
            let ends = self.stream.ends().await;
            tokio::time::sleep(self.ends_time).await;
            ends
        })
    }
}
