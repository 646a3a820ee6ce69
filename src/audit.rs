//! The gateway's own audit events: refused calls, reads, starts, stops and changes of
//! the configuration.
//!
//! They are ordinary records, of types that only the gateway emits, with the principal
//! [`GATEWAY_PRINCIPAL`].

mod denial_queue;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::event::{EVENT_BYTES_MAX, Event};
use crate::filter::{Filter, TypeSet};
use crate::hub::Hub;
use crate::proto::pb::{self, event::Payload};
use crate::record::{Draft, EmitterIdentity, GATEWAY_PRINCIPAL};
use crate::time::Time;
use denial_queue::DenialQueue;

/// The maximum length of a filter in a record, in bytes.
const FILTER_BYTES_MAX: usize = 16 * 1024;

/// Emits the gateway's own events. Clones emit to the same log.
#[derive(Clone)]
pub struct Auditor(Option<Arc<AuditorInner>>);

struct AuditorInner {
    hub: Arc<Hub>,
    denials: DenialQueue,
}

/// A call that was refused.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The principal; empty if unknown.
    pub principal: String,
    /// The remote address of the call.
    pub peer: String,
    /// Path of the call.
    pub rpc: String,
    /// Name of the reason.
    pub reason: String,
    /// The error message.
    pub message: String,
}

/// A call that reads.
pub struct ReadCall<'a> {
    /// The principal.
    pub principal: &'a str,
    /// The remote address of the call.
    pub peer: &'a str,
    /// Path of the call.
    pub rpc: &'a str,
    /// The filter of the request.
    pub asked: &'a pb::Filter,
    /// From when on.
    pub start_time: Option<Timestamp>,
    /// Until when.
    pub end_time: Option<Timestamp>,
}

/// A change of the configuration in force.
#[derive(Debug, Default)]
pub struct ConfigChange {
    /// The keys whose values changed.
    pub changed_keys: Vec<String>,
    /// The changed keys that need a restart.
    pub restart_keys: Vec<String>,
    /// The reloaded files.
    pub files: Vec<String>,
    /// Why the change was rejected, if it was.
    pub error: Option<String>,
}

impl Auditor {
    /// Records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Records to the log of `hub`, until `stopping` is cancelled.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(hub: &Arc<Hub>, stopping: CancellationToken) -> Self {
        let (denials, waiting) = DenialQueue::new();
        let on = Arc::new(AuditorInner { hub: Arc::clone(hub), denials });
        let auditor = Self(Some(Arc::clone(&on)));
        tokio::spawn(denial_queue::record(on, waiting, stopping));
        auditor
    }

    /// Whether it records events.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records a refused call. Returns at once: the denial is recorded later, or only counted
    /// if there are too many.
    pub fn denied(&self, denial: impl FnOnce() -> Denial) {
        if let Some(on) = &self.0 {
            on.denials.push(denial);
        }
    }

    /// Records a read with `filter`. A read of the gateway's own events alone is not recorded:
    /// a subscriber to them would cause an endless stream.
    pub async fn read(&self, filter: &Filter, read: ReadCall<'_>) {
        static OWN: LazyLock<TypeSet> = LazyLock::new(TypeSet::reserved);
        let Some(on) = &self.0 else { return };
        if filter.is_within(&OWN) {
            return;
        }
        let payload = pb::AuditgateRead {
            rpc: Some(read.rpc.to_owned()),
            filter: Some(json(read.asked)),
            start_time: read.start_time,
            end_time: read.end_time,
        };
        on.append(by("AG005I", read.principal, read.peer, Payload::AuditgateRead(payload))).await;
    }

    /// The gateway is about to serve.
    pub async fn started(&self, listen: &str, encrypted: bool) {
        let Some(on) = &self.0 else { return };
        let payload = pb::AuditgateStart {
            version: Some(VERSION.to_owned()),
            listen_address: Some(listen.to_owned()),
            encrypted: Some(encrypted),
        };
        on.append(event("AG001I", Payload::AuditgateStart(payload))).await;
    }

    /// The gateway is about to stop.
    pub async fn stopped(&self) {
        let Some(on) = &self.0 else { return };
        let elapsed = Time(Time::now().0.saturating_sub(on.hub.started().0).max(0));
        let (seconds, nanos) = elapsed.parts();
        let payload = pb::AuditgateStop {
            version: Some(VERSION.to_owned()),
            uptime: Some(Duration { seconds, nanos }),
        };
        on.append(event("AG002I", Payload::AuditgateStop(payload))).await;
    }

    /// The configuration, or a file that it names, has changed.
    pub async fn changed(&self, change: ConfigChange) {
        let Some(on) = &self.0 else { return };
        let payload = pb::AuditgateConfigChange {
            changed_keys: change.changed_keys,
            restart_keys: change.restart_keys,
            files: change.files,
        };
        let code = if change.error.is_none() { "AG003I" } else { "AG003W" };
        let event = event(code, Payload::AuditgateConfigChange(payload));
        let outcome = pb::Outcome {
            success: Some(change.error.is_none()),
            error: change.error,
            ..Default::default()
        };
        on.append(pb::Event { outcome: Some(outcome), ..event }).await;
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl AuditorInner {
    /// Appends an event. If the log accepts none, the gateway continues to serve: operators
    /// must be able to read.
    async fn append(&self, event: pb::Event) {
        static EMITTER: LazyLock<EmitterIdentity> = LazyLock::new(|| {
            pb::Emitter { principal: GATEWAY_PRINCIPAL.to_owned(), peer: String::new() }.into()
        });
        let bytes = Bytes::from(event.encode_to_vec());
        let draft = match Event::check(bytes, Time::now(), EVENT_BYTES_MAX) {
            Ok(event) => Draft::new(event, &EMITTER),
            Err(error) => {
                tracing::error!(%error, "cannot record the gateway's own event");
                return;
            }
        };
        if let Err(error) = self.hub.append(vec![draft], true).await {
            tracing::error!(%error, "cannot record the gateway's own event");
        }
    }
}

/// An event with a code of its type.
fn event(code: &str, payload: Payload) -> pb::Event {
    let source = pb::Source {
        name: Some(GATEWAY_PRINCIPAL.to_owned()),
        version: Some(VERSION.to_owned()),
        ..Default::default()
    };
    pb::Event {
        code: Some(code.to_owned()),
        source: Some(source),
        payload: Some(payload),
        ..Default::default()
    }
}

/// An event about an action of a principal.
fn by(code: &str, principal: &str, peer: &str, payload: Payload) -> pb::Event {
    let named = (!principal.is_empty()).then(|| principal.to_owned());
    let connection = pb::Connection { remote_address: Some(peer.to_owned()), ..Default::default() };
    pb::Event {
        user: named.map(|name| pb::User { name: Some(name), ..Default::default() }),
        connection: Some(connection),
        ..event(code, payload)
    }
}

/// A filter as JSON, truncated if it is very long.
fn json(filter: &pb::Filter) -> String {
    let descriptor = crate::proto::descriptor_pool()
        .get_message_by_name("auditgate.v1.Filter")
        .expect("the protocol has filters");
    let message =
        prost_reflect::DynamicMessage::decode(descriptor, filter.encode_to_vec().as_slice());
    let message = message.expect("an encoded filter decodes");
    let mut text = serde_json::to_string(&message).expect("a message without Any is JSON");
    if text.len() > FILTER_BYTES_MAX {
        let end = (0..=FILTER_BYTES_MAX).rev().find(|length| text.is_char_boundary(*length));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}
