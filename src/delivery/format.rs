//! Formats: how a record or a gap is encoded for another system.
//!
//! A format encodes one record as one item. The destination puts items into requests: as a JSON
//! array, as lines, as the log records of an export request. So a format does not depend on
//! batches, and a destination does not depend on events.

mod json;
mod mapped;
mod teleport;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hub::GapReason;
use crate::mapping::TargetSchema;
use crate::record::{Record, Sequence};
use crate::time::Time;

/// Encodes records and gaps as items for another system.
pub trait Format: Send + Sync + 'static {
    /// Appends one record to `out` as one item. After an error, the caller truncates `out` to its
    /// earlier length.
    ///
    /// # Errors
    /// If the format cannot encode the record, which then becomes a dead letter.
    fn record(&self, source: &SourceRecord<'_>, out: &mut Vec<u8>) -> Result<(), FormatError>;

    /// Appends one item to `out` that reports records which the destination will not get.
    fn gap(&self, gap: &DeliveryGap<'_>, out: &mut Vec<u8>);
}

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A JSON object on one line, without a line feed.
    Json,
    /// Text on one line, without a line feed.
    Text,
    /// An encoded `opentelemetry.proto.logs.v1.LogRecord`, without a length.
    OtlpLogRecord,
}

/// A record to encode.
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
    /// The last record that is missing; zero if unknown.
    pub last: Sequence,
    /// The reason.
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
        let Self { first, last, .. } = self;
        let range = match last.0 {
            0 => format!("after {}", first.previous()),
            _ if first == last => format!("{first}"),
            _ => format!("{first} to {last}"),
        };
        match self.reason {
            GapReason::Evicted => {
                format!("records {range} were not delivered: retention removed them first")
            }
            GapReason::OtherLog => {
                format!(
                    "records {range} of this log were not delivered: the gateway has another log now"
                )
            }
            GapReason::RolledBack => format!(
                "records {range} are lost: the log lost its newest records, and gives their sequences to others"
            ),
            GapReason::Damaged => {
                format!("records {range} were not delivered: their storage is damaged")
            }
        }
    }
}

/// A record that the format cannot encode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence} has no form in this format: {what}")]
pub struct FormatError {
    /// The record.
    pub sequence: Sequence,
    /// The reason.
    pub what: String,
}

/// The name of a format in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// The record as protobuf JSON, as `auditgate search -o ndjson` writes it.
    Json,
    /// Open Cybersecurity Schema Framework 1.8.
    Ocsf,
    /// Elastic Common Schema.
    Ecs,
    /// ArcSight's Common Event Format: text, not JSON.
    Cef,
    /// Log records of OpenTelemetry, for the destination `otlp` alone.
    Otlp,
    /// The event as a line of Teleport's audit log.
    Teleport,
}

impl FormatName {
    /// All names.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::Ocsf, Self::Ecs, Self::Cef, Self::Otlp, Self::Teleport];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::Cef => "cef",
            Self::Otlp => "otlp",
            Self::Teleport => "teleport",
        }
    }

    /// The kind of its items, which decides which destinations accept them, and how.
    pub fn item_kind(self) -> ItemKind {
        match self {
            Self::Json | Self::Ocsf | Self::Ecs | Self::Teleport => ItemKind::Json,
            Self::Cef => ItemKind::Text,
            Self::Otlp => ItemKind::OtlpLogRecord,
        }
    }

    /// Whether its items have a top-level field `@timestamp`.
    pub fn has_timestamp(self) -> bool {
        self == Self::Ecs
    }

    /// The format.
    pub fn format(self) -> Arc<dyn Format> {
        match self {
            Self::Json => Arc::new(json::JsonFormat),
            Self::Ocsf => Arc::new(mapped::MappedFormat::new(TargetSchema::Ocsf)),
            Self::Ecs => Arc::new(mapped::MappedFormat::new(TargetSchema::Ecs)),
            Self::Cef => Arc::new(mapped::MappedFormat::new(TargetSchema::Cef)),
            Self::Otlp => Arc::new(mapped::MappedFormat::new(TargetSchema::Otlp)),
            Self::Teleport => Arc::new(teleport::TeleportFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn every_format_carries_the_stable_id() {
        let bytes = testing::record(7);
        let record = Record::read(&bytes);
        let gap = DeliveryGap {
            delivery: "siem",
            log_id: "log",
            first: Sequence(3),
            last: Sequence(9),
            reason: GapReason::Evicted,
            time: Time(1_700_000_000_000_000_000),
        };
        for name in FormatName::ALL {
            let format = name.format();
            let mut out = b"before".to_vec();
            let source = SourceRecord { record: &record, log_id: "log" };
            format.record(&source, &mut out).expect("it has a form");
            assert!(out.starts_with(b"before"), "{name:?}");
            let text = String::from_utf8_lossy(&out).into_owned();
            assert!(text.contains("log/7") && text.contains("alice"), "{name:?} {text}");
            let mut out = Vec::new();
            format.gap(&gap, &mut out);
            let gap_text = String::from_utf8_lossy(&out).into_owned();
            for part in ["log/3-9", "siem", &*gap.sentence()] {
                assert!(gap_text.contains(part), "{name:?}: {part} in {gap_text}");
            }
            if name.item_kind() == ItemKind::Json {
                for text in [text.trim_start_matches("before"), &gap_text] {
                    serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
                }
            }
            if name.item_kind() != ItemKind::OtlpLogRecord {
                assert!(!text.contains('\n') && !gap_text.contains('\n'), "{name:?}");
            }
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
