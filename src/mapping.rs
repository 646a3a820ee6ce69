//! Converts records to other schemas: OCSF, Elastic Common Schema, CEF and OpenTelemetry.
//!
//! The tables `catalog/*.toml` say where each value goes: a row for each event type, and rows for
//! the fields of the envelope. They are compiled once, when a schema is first used. A record is
//! then read in two passes over its bytes, without decoding it: the first finds the values that
//! have a place, the second writes them. A value without a place, or that does not fit its place,
//! goes to the schema's catch-all as protobuf JSON, so that nothing is lost. `catalog/*.toml`: a
//! row for each event type, and rows for the fields of the envelope. They are compiled once, when a
//! schema is first used. A record is then read in two passes over its bytes, without decoding it:
//! the first finds the values that have a place, the second writes. What has no place, or does not
//! fit its place, goes to the schema's catch-all as protobuf JSON, so that nothing is lost.

mod captured;
mod catch_all;
mod cef;
mod conversion;
mod convert;
mod nested;
mod otlp;
mod plan;
pub mod table;
mod text;
pub mod wire_json;

use std::sync::LazyLock;

use prost::Message as _;
use prost_types::Timestamp;

use crate::proto::pb;
use crate::wire::{self, WireValue};
use captured::Captured;
use nested::CatchAll;
use plan::{MappingPlans, PlaceLayout, TypePlan};
use table::MappingTable;

pub use plan::GAP;

/// Prefix of the members of `labels` that hold fields without a place.
const LABEL_PREFIX: &str = "auditgate_";

/// Field numbers of `Record`.
mod number {
    pub const SEQUENCE: u32 = 1;
    pub const TYPE: u32 = 4;
}

/// The schema of another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSchema {
    /// Open Cybersecurity Schema Framework 1.8, as JSON.
    Ocsf,
    /// Elastic Common Schema, as JSON.
    Ecs,
    /// Common Event Format, as a line of text.
    Cef,
    /// OpenTelemetry, as an encoded `LogRecord`.
    Otlp,
}

/// A record to convert, and its position.
#[derive(Debug, Clone, Copy)]
pub struct MappingInput<'a> {
    /// The encoded `auditgate.v1.Record`.
    pub record: &'a [u8],
    /// Id of its log.
    pub log_id: &'a str,
    /// The last record of a gap.
    last: Option<u64>,
}

/// Records that another system will not get.
#[derive(Debug, Clone, Copy)]
pub struct MissingRecords<'a> {
    /// Name of the delivery that lacks them; empty for none.
    pub delivery: &'a str,
    /// Id of their log.
    pub log_id: &'a str,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// The reason, as one word.
    pub reason: &'a str,
    /// The reason, as a sentence.
    pub sentence: &'a str,
    /// When the gateway noticed it.
    pub time: Timestamp,
}

impl MissingRecords<'_> {
    /// The record that reports them. Its type is `auditgate.gap`; such records are in no log.
    fn record(&self) -> Vec<u8> {
        let text = |text: String| prost_types::Value {
            kind: Some(prost_types::value::Kind::StringValue(text)),
        };
        let data = [
            ("delivery", self.delivery.to_owned()),
            ("first_sequence", self.first.to_string()),
            ("last_sequence", self.last.to_string()),
            ("reason", self.reason.to_owned()),
        ];
        let fields = data.into_iter().map(|(name, of)| (name.to_owned(), text(of)));
        let data = prost_types::Struct { fields: fields.collect() };
        let custom = pb::Custom { name: Some(GAP.to_owned()), data: Some(data) };
        let event = pb::Event {
            time: Some(self.time),
            outcome: Some(pb::Outcome {
                error: Some(self.sentence.to_owned()),
                ..Default::default()
            }),
            payload: Some(pb::event::Payload::Custom(custom)),
            ..Default::default()
        };
        let record = pb::Record {
            sequence: self.first,
            accept_time: Some(self.time),
            r#type: GAP.to_owned(),
            severity: pb::Severity::Error.into(),
            result: pb::Result::Failure.into(),
            event: Some(event),
            ..Default::default()
        };
        record.encode_to_vec()
    }
}

impl<'a> MappingInput<'a> {
    /// A record of a log.
    pub fn new(record: &'a [u8], log_id: &'a str) -> Self {
        Self { record, log_id, last: None }
    }

    /// The type of the record.
    fn type_name(&self) -> &'a str {
        let types = wire::trusted(self.record).filter(|(number, _)| *number == number::TYPE);
        types.filter_map(|(_, value)| value.text()).last().unwrap_or_default()
    }

    /// Appends the stable id between the quotes of a JSON string.
    fn write_id(&self, out: &mut Vec<u8>) {
        text::string_body(out, self.log_id);
        self.write_number(out);
    }

    /// Appends the stable id: `LOG_ID/SEQUENCE`, or `LOG_ID/FIRST-LAST` of a gap.
    fn write_plain_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.log_id.as_bytes());
        self.write_number(out);
    }

    /// Appends what follows the id of the log.
    fn write_number(&self, out: &mut Vec<u8>) {
        let mut fields = wire::trusted(self.record);
        let sequence = fields.find_map(|field| match field {
            (number::SEQUENCE, WireValue::Varint(sequence)) => Some(sequence),
            _ => None,
        });
        out.push(b'/');
        text::uint(out, sequence.unwrap_or_default());
        if let Some(last) = self.last {
            out.push(b'-');
            text::uint(out, last);
        }
    }
}

impl TargetSchema {
    /// All schemas.
    pub const ALL: [Self; 4] = [Self::Ocsf, Self::Ecs, Self::Cef, Self::Otlp];

    /// Its name, as a format of deliveries and of commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::Cef => "cef",
            Self::Otlp => "otlp",
        }
    }

    /// Compiles its table, which takes some milliseconds, unless that is done.
    pub fn prepare(self) {
        self.plans();
    }

    /// Appends a record.
    pub fn write(self, source: &MappingInput<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Ocsf => nested::write(self.plans(), CatchAll::Object, source, out),
            Self::Ecs => nested::write(self.plans(), CatchAll::Texts(LABEL_PREFIX), source, out),
            Self::Cef => cef::write(self.plans(), source, out),
            Self::Otlp => otlp::write(self.plans(), source, out),
        }
    }

    /// Appends a report of records that the other system will not get.
    pub fn write_gap(self, missing: &MissingRecords<'_>, out: &mut Vec<u8>) {
        let record = missing.record();
        let last = Some(missing.last);
        self.write(&MappingInput { record: &record, log_id: missing.log_id, last }, out);
    }

    /// The text of its table.
    fn table_text(self) -> &'static str {
        match self {
            Self::Ocsf => include_str!("../catalog/ocsf.toml"),
            Self::Ecs => include_str!("../catalog/ecs.toml"),
            Self::Cef => include_str!("../catalog/cef.toml"),
            Self::Otlp => include_str!("../catalog/otlp.toml"),
        }
    }

    fn layout(self) -> PlaceLayout {
        match self {
            Self::Ocsf | Self::Ecs => PlaceLayout::Nested,
            Self::Cef | Self::Otlp => PlaceLayout::Flat,
        }
    }

    /// Its table.
    ///
    /// # Errors
    /// What is wrong with the table, and where.
    pub fn table(self) -> Result<MappingTable, String> {
        toml::from_str(self.table_text()).map_err(|error| error.to_string())
    }

    /// Its plans, compiled once.
    fn plans(self) -> &'static MappingPlans {
        static OCSF: LazyLock<MappingPlans> = LazyLock::new(|| TargetSchema::Ocsf.compile());
        static ECS: LazyLock<MappingPlans> = LazyLock::new(|| TargetSchema::Ecs.compile());
        static CEF: LazyLock<MappingPlans> = LazyLock::new(|| TargetSchema::Cef.compile());
        static OTLP: LazyLock<MappingPlans> = LazyLock::new(|| TargetSchema::Otlp.compile());
        match self {
            Self::Ocsf => &OCSF,
            Self::Ecs => &ECS,
            Self::Cef => &CEF,
            Self::Otlp => &OTLP,
        }
    }

    fn compile(self) -> MappingPlans {
        let compiled = self.table().and_then(|table| MappingPlans::compile(&table, self.layout()));
        compiled.unwrap_or_else(|error| panic!("the table of {self:?} is not valid: {error}"))
    }
}

/// Reads the values that have a place in the plan of the record's type, and passes them to `write`
/// with their record. A record that was encoded in parts is encoded anew first.
fn by_plan(
    plans: &MappingPlans,
    source: &MappingInput<'_>,
    write: impl FnOnce(&TypePlan, &MappingInput<'_>, &Captured<'_>),
) {
    let plan = plans.find(source.type_name(), source.record);
    if let Some(captured) = Captured::read(&plan.nodes, source.record) {
        return write(plan, source, &captured);
    }
    let record = captured::without_parts(source.record);
    if let Some(captured) = Captured::read(&plan.nodes, &record) {
        write(plan, &MappingInput { record: &record, ..*source }, &captured);
    }
}

#[cfg(test)]
mod tests;
