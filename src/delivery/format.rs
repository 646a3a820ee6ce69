//! Formats: how a record or a gap is encoded for another system.
//!
//! A format encodes one record as one item. The destination puts items into requests: as a JSON
//! array, as lines, as the log records of an export request. So a format knows nothing of
//! batches, and a destination nothing of events.

mod json;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hub::GapReason;
use crate::record::{Record, Sequence};
use crate::time::Time;

/// Encodes records and gaps as items for another system.
pub trait Format: Send + Sync + 'static {
    /// What one item is: it decides which destinations can take it, and how.
    fn item_kind(&self) -> ItemKind;

    /// Appends one record to `out` as one item. Bytes that `out` has already are left as they
    /// are, also on an error, after which the caller cuts `out` back.
    ///
    /// # Errors
    /// If the format has no form for the record. The record then goes to the dead letters.
    fn record(&self, source: &SourceRecord<'_>, out: &mut Vec<u8>) -> Result<(), FormatError>;

    /// Appends one item to `out` that reports records which the destination will not get.
    fn gap(&self, gap: &DeliveryGap<'_>, out: &mut Vec<u8>);
}

/// What one item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A JSON object on one line, without a line feed.
    Json,
    /// Text on one line, without a line feed.
    Text,
    /// An encoded `opentelemetry.proto.logs.v1.LogRecord`, without a length.
    OtlpLogRecord,
}

/// A record that is to be encoded.
#[derive(Debug, Clone, Copy)]
pub struct SourceRecord<'a> {
    /// The record, read in place; its `bytes` are the encoded `auditgate.v1.Record`.
    pub record: &'a Record<'a>,
    /// Id of the log, as text.
    pub log_id: &'a str,
}

impl SourceRecord<'_> {
    /// The stable id of the record, `LOG_ID/SEQUENCE`: the same in every format and at every
    /// attempt.
    pub fn id(&self) -> String {
        format!("{}/{}", self.log_id, self.record.sequence)
    }
}

/// A range of records that a destination will not get.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryGap<'a> {
    /// Name of the delivery.
    pub delivery: &'a str,
    /// Id of the log, as text.
    pub log_id: &'a str,
    /// The first record that is missing.
    pub first: Sequence,
    /// The last record that is missing.
    pub last: Sequence,
    /// Why.
    pub reason: GapReason,
    /// When the gateway noticed the gap.
    pub time: Time,
}

impl DeliveryGap<'_> {
    /// The stable id of the gap, `LOG_ID/FIRST-LAST`.
    pub fn id(&self) -> String {
        format!("{}/{}-{}", self.log_id, self.first, self.last)
    }

    /// What the gap means, for people.
    pub fn sentence(&self) -> String {
        let why = match self.reason {
            GapReason::Evicted => "retention removed them before they were delivered",
            GapReason::OtherLog => "the gateway has another log now",
            GapReason::RolledBack => "the log lost its newest records",
            GapReason::Damaged => "their storage is damaged",
        };
        format!("records {} to {} were not delivered: {why}", self.first, self.last)
    }
}

/// The format has no form for a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence} has no form in this format: {what}")]
pub struct FormatError {
    /// The record.
    pub sequence: Sequence,
    /// What is wrong.
    pub what: String,
}

/// The name of a format in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// The record as protobuf JSON, as `auditgate search -o ndjson` writes it.
    Json,
}

impl FormatName {
    /// The format.
    pub fn format(self) -> Arc<dyn Format> {
        match self {
            Self::Json => Arc::new(json::JsonFormat),
        }
    }
}

#[cfg(test)]
pub mod testing {
    //! Records for the tests of formats.

    use prost::Message as _;

    use crate::proto::pb;

    /// An encoded record: a login of alice.
    pub fn record(sequence: u64) -> Vec<u8> {
        let login = pb::UserLogin::default();
        let event = pb::Event {
            id: Some(format!("event-{sequence}")),
            user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
            payload: Some(pb::event::Payload::UserLogin(login)),
            ..Default::default()
        };
        let record = pb::Record {
            sequence,
            r#type: "user.login".into(),
            event: Some(event),
            ..Default::default()
        };
        record.encode_to_vec()
    }
}
