//! Appending the gateway's own events.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use super::AuditorInner;
use super::backlog::may_be_accepted_later;
use crate::content::EventIntake;
use crate::event::EVENT_BYTES_MAX;
use crate::log::{Append, Error, State};
use crate::proto::pb;
use crate::record::{Draft, EmitterIdentity, GATEWAY_PRINCIPAL};
use crate::time::Time;

/// How long the caller waits for a shared log. After that, the event is published later.
pub(super) const APPEND_TIME_MAX: Duration = Duration::from_secs(1);

impl AuditorInner {
    /// Appends an event, and returns its size in bytes; 0 where it will not be in the log.
    pub(super) async fn append(&self, event: pb::Event) -> usize {
        self.append_bytes(&event.encode_to_vec()).await
    }

    /// Appends an encoded event. All of the gateway's own events pass through here. If the log
    /// accepts none now, the event is queued, and the caller goes on. If the log has failed for
    /// good, the gateway continues to serve, so that operators can read.
    pub(super) async fn append_bytes(&self, bytes: &[u8]) -> usize {
        let event = identified(bytes);
        let len = event.len();
        if matches!(self.hub.state(), State::Away(_) | State::Full(_)) {
            self.backlog.push(event);
            return len;
        }
        let Some(draft) = self.draft(event.clone()) else { return 0 };
        let all = Append::AllOrNothing { validate_only: false };
        match self.in_time(self.hub.append(&[draft], all)).await {
            Ok(_) => len,
            Err(error) if may_be_accepted_later(&error) => {
                self.backlog.push(event);
                len
            }
            Err(error) => {
                tracing::error!(%error, "cannot record the gateway's own event");
                0
            }
        }
    }

    /// The answer of the log; an open outcome if a shared log does not answer in time.
    pub(super) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !self.hub.is_shared() {
            return answer.await;
        }
        let late = |_| {
            let why = format!("the log did not answer within {} s", APPEND_TIME_MAX.as_secs());
            Err(Error::OutcomeUnknown { why })
        };
        tokio::time::timeout(APPEND_TIME_MAX, answer).await.unwrap_or_else(late)
    }

    pub(super) fn draft(&self, event: Bytes) -> Option<Draft> {
        static EMITTER: LazyLock<EmitterIdentity> = LazyLock::new(|| {
            pb::Emitter { principal: GATEWAY_PRINCIPAL.to_owned(), peer: String::new() }.into()
        });
        let intake = EventIntake { event_bytes: EVENT_BYTES_MAX, policy: self.policy.now() };
        match intake.admit(event, Time::now()) {
            Ok(event) => Some(Draft::new(event, &EMITTER)),
            Err(error) => {
                tracing::error!(%error, "cannot record what the gateway did");
                None
            }
        }
    }
}

/// An encoded event with an id and the present as its time. Publishing it several times stores one
/// record, with the time at which it happened.
fn identified(bytes: &[u8]) -> Bytes {
    let own = pb::Event {
        id: Some(Uuid::now_v7().to_string()),
        time: Some(Time::now().timestamp()),
        ..pb::Event::default()
    };
    // Concatenated encodings are one message.
    let mut event = Vec::with_capacity(bytes.len() + own.encoded_len());
    event.extend_from_slice(bytes);
    own.encode(&mut event).expect("a vector grows as needed");
    event.into()
}
