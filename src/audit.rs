//! The gateway's own audit events: refused calls, reads, starts, stops and changes of
//! the configuration.
//!
//! They are ordinary records, of types that only the gateway emits, with the principal
//! [`GATEWAY_PRINCIPAL`].

mod allowance;
mod append;
mod backlog;
mod denial_queue;
mod reads;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use prost::Message as _;
use prost_types::{Duration, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::content::ActivePolicy;
use crate::filter::{Filter, TypeSet, shorten};
use crate::hub::{Hub, RecordKey};
use crate::proto::pb::{self, event::Payload};
use crate::record::GATEWAY_PRINCIPAL;
use crate::text::{hex, truncated};
use crate::time::Time;
use backlog::Backlog;
use denial_queue::DenialQueue;
use reads::Reads;

pub use backlog::BacklogReport;
pub use reads::HeldMemory;

/// The most bytes of a filter that a record repeats.
const FILTER_BYTES_MAX: usize = 512;
/// The most bytes of an id that a record repeats.
const ID_BYTES_MAX: usize = 256;
/// The most bytes of a principal's name that a record repeats.
const NAME_BYTES_MAX: usize = 1_024;

/// Emits the gateway's own events. Clones emit to the same log.
#[derive(Clone)]
pub struct Auditor(Option<Arc<AuditorInner>>);

struct AuditorInner {
    hub: Arc<Hub>,
    /// Redacts the gateway's own events like those of clients.
    policy: ActivePolicy,
    denials: DenialQueue,
    reads: Reads,
    backlog: Backlog,
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
    pub rpc: &'static str,
    /// What the call reads.
    pub target: ReadTarget<'a>,
    /// From when on.
    pub start_time: Option<Timestamp>,
    /// Until when.
    pub end_time: Option<Timestamp>,
    /// Charges the memory of the count of equal reads to the client's account, in bytes.
    pub hold: &'a (dyn Fn(usize) -> Option<HeldMemory> + Sync),
}

/// What a call reads.
#[derive(Clone, Copy)]
pub enum ReadTarget<'a> {
    /// Records that match a filter.
    Filter(&'a pb::Filter),
    /// One record.
    Record(RecordKey<'a>),
}

/// The bytes of events that a caller is charged for the gateway's own records; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge(pub usize);

/// A change of the configuration.
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
    /// The principal that made the change by a call; empty if the configuration was changed.
    pub principal: String,
}

impl Auditor {
    /// An auditor that records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// An auditor that records to the log of `hub`, redacted by `policy`, until `stopping` is
    /// cancelled.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(hub: &Arc<Hub>, policy: ActivePolicy, stopping: CancellationToken) -> Self {
        let (denials, waiting) = DenialQueue::new();
        let (hub, reads, backlog) = (Arc::clone(hub), Reads::new(), Backlog::default());
        let on = Arc::new(AuditorInner { hub, policy, denials, reads, backlog });
        tokio::spawn(denial_queue::record(Arc::clone(&on), waiting, stopping.clone()));
        tokio::spawn(reads::record(Arc::clone(&on), stopping.clone()));
        tokio::spawn(backlog::publish(Arc::clone(&on), stopping));
        Self(Some(on))
    }

    /// The number of distinct reads that are counted now.
    pub fn open_reads(&self) -> usize {
        self.0.as_ref().map_or(0, |on| on.reads.windows())
    }

    /// The most memory that counts of reads and waiting events take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |on| on.reads.held_bytes() + on.backlog.held_bytes())
    }

    /// The events that wait until the log accepts events.
    pub fn backlog(&self) -> BacklogReport {
        self.0.as_ref().map_or_else(BacklogReport::default, |on| on.backlog.report())
    }

    /// Whether it records events.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records a refused call of this principal, which is empty if it is not authenticated.
    /// Returns at once: the denial is recorded later, or only counted if there are too many.
    pub fn denied(&self, principal: &str, denial: impl FnOnce() -> Denial) {
        if let Some(on) = &self.0 {
            on.denials.push(!principal.is_empty(), denial);
        }
    }

    /// Whether a filter matches the gateway's own events alone. Such reads are not recorded:
    /// a subscriber to them would cause an endless stream.
    pub fn is_own(filter: &Filter) -> bool {
        static OWN: LazyLock<TypeSet> = LazyLock::new(TypeSet::reserved);
        filter.is_within(&OWN)
    }

    /// Records a read before its call is answered. On return, the first of equal reads is in the
    /// log, or is queued if the log accepts no events now. Equal reads within
    /// [`reads::READ_WINDOW`] are counted and become one record. Returns what the caller is
    /// charged.
    ///
    /// # Errors
    /// How long to wait, if the caller made too many distinct reads lately. Such a call gets no
    /// answer, because no record would show it.
    pub async fn read(&self, read: ReadCall<'_>) -> Result<Charge, std::time::Duration> {
        let Some(on) = &self.0 else { return Ok(Charge(0)) };
        let client = if read.principal.is_empty() { address(read.peer) } else { read.principal };
        let key = reads::ReadKey { client: client.into(), rpc: read.rpc, digest: read.digest() };
        let event = || {
            let payload = read.payload(&key.digest);
            principal_event("AG005I", read.principal, read.peer, Payload::AuditgateRead(payload))
        };
        let noted = on.reads.note(key.clone(), event, read.hold)?;
        noted
            .recorded
            .get_or_init(|| async {
                on.append_bytes(&noted.event).await;
            })
            .await;
        // Twice, because a record with the count may follow.
        Ok(Charge(if noted.is_first { 2 * noted.event.len() } else { 0 }))
    }

    /// Records the counts of reads whose window is still open, and publishes the waiting events. No
    /// call may read after that.
    pub async fn drain(&self) {
        let Some(on) = &self.0 else { return };
        for event in on.reads.drain() {
            on.append(event).await;
        }
        on.publish_backlog().await;
        let lost = on.backlog.report().waiting;
        if lost > 0 {
            tracing::error!(
                events = lost,
                "the log accepts no events: the gateway's own events are lost"
            );
        }
    }

    /// Records that the gateway starts to serve.
    pub async fn started(&self, listen: &str, encrypted: bool) {
        let Some(on) = &self.0 else { return };
        let payload = pb::AuditgateStart {
            version: Some(VERSION.to_owned()),
            listen_address: Some(listen.to_owned()),
            encrypted: Some(encrypted),
        };
        on.append(event("AG001I", Payload::AuditgateStart(payload))).await;
    }

    /// Records that the gateway stops.
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

    /// Records that the configuration, or a file that it names, has changed.
    pub async fn changed(&self, change: ConfigChange) {
        let Some(on) = &self.0 else { return };
        let payload = pb::AuditgateConfigChange {
            changed_keys: change.changed_keys,
            restart_keys: change.restart_keys,
            files: change.files,
        };
        let code = if change.error.is_none() { "AG003I" } else { "AG003W" };
        let event = event(code, Payload::AuditgateConfigChange(payload));
        let user = (!change.principal.is_empty()).then(|| pb::User {
            name: Some(excerpt(&change.principal, NAME_BYTES_MAX)),
            ..Default::default()
        });
        let outcome = pb::Outcome {
            success: Some(change.error.is_none()),
            error: change.error,
            ..Default::default()
        };
        on.append(pb::Event { outcome: Some(outcome), user, ..event }).await;
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl ReadCall<'_> {
    /// Digest of everything that the call reads.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        match &self.target {
            ReadTarget::Filter(filter) => digest.update(filter.encode_to_vec()),
            ReadTarget::Record(RecordKey::Id(id)) => digest.update(id),
            ReadTarget::Record(RecordKey::Sequence(sequence)) => {
                digest.update(sequence.0.to_le_bytes())
            }
        }
        for time in [self.start_time, self.end_time] {
            // A fixed length, so that no other input has the same bytes.
            let (seconds, nanos) = time.map_or((0, -1), |time| (time.seconds, time.nanos));
            digest.update(seconds.to_le_bytes());
            digest.update(nanos.to_le_bytes());
        }
        digest.finalize().into()
    }

    fn payload(&self, digest: &[u8; 32]) -> pb::AuditgateRead {
        let mut payload = pb::AuditgateRead {
            rpc: Some(self.rpc.to_owned()),
            start_time: self.start_time,
            end_time: self.end_time,
            ..Default::default()
        };
        match self.target {
            ReadTarget::Filter(filter) => {
                let (text, is_whole) = json(filter);
                payload.filter = Some(text);
                payload.filter_digest = (!is_whole).then(|| hex(digest));
                payload.filter_byte_size = (!is_whole).then(|| filter.encoded_len() as u64);
            }
            ReadTarget::Record(RecordKey::Id(id)) => {
                payload.record_id = Some(excerpt(id, ID_BYTES_MAX));
                payload.filter_digest = (id.len() > ID_BYTES_MAX).then(|| hex(digest));
            }
            ReadTarget::Record(RecordKey::Sequence(sequence)) => {
                payload.record_sequence = Some(sequence.0)
            }
        }
        payload
    }
}

/// The address of a peer without its port.
fn address(peer: &str) -> &str {
    peer.rsplit_once(':').map_or(peer, |(address, _)| address)
}

/// The beginning of a text, in at most `bytes_max` bytes.
fn excerpt(text: &str, bytes_max: usize) -> String {
    truncated(text.to_owned(), bytes_max)
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
fn principal_event(code: &str, principal: &str, peer: &str, payload: Payload) -> pb::Event {
    let named = (!principal.is_empty()).then(|| excerpt(principal, NAME_BYTES_MAX));
    let connection = pb::Connection { remote_address: Some(peer.to_owned()), ..Default::default() };
    pb::Event {
        user: named.map(|name| pb::User { name: Some(name), ..Default::default() }),
        connection: Some(connection),
        ..event(code, payload)
    }
}

/// A filter as JSON, truncated if it is long, and whether it is whole.
fn json(filter: &pb::Filter) -> (String, bool) {
    let descriptor = crate::proto::descriptor_pool()
        .get_message_by_name("auditgate.v1.Filter")
        .expect("the protocol has filters");
    let shown = shorten(filter, FILTER_BYTES_MAX);
    let is_whole = matches!(shown, Cow::Borrowed(_));
    let message =
        prost_reflect::DynamicMessage::decode(descriptor, shown.encode_to_vec().as_slice());
    let message = message.expect("an encoded filter decodes");
    let text = serde_json::to_string(&message).expect("a message without Any is JSON");
    let is_whole = is_whole && text.len() <= FILTER_BYTES_MAX;
    (truncated(text, FILTER_BYTES_MAX), is_whole)
}
