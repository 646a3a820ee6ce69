//! The second pass over a record, for OpenTelemetry: an encoded
//! `opentelemetry.proto.logs.v1.LogRecord`.
//!
//! Format: <https://github.com/open-telemetry/opentelemetry-proto>, 1.x.

mod any_value;

use super::MappingInput;
use super::captured::{Captured, Remainder};
use super::catch_all::{self, CatchAllSink};
use super::conversion::Conversion;
use super::convert::{self, Scalar};
use super::plan::{LeafPlan, LeafSource, MappingPlans, PlanMember, TableValue, TypePlan};
use crate::wire::{Field, WireValue, put_bytes_field, put_bytes_header, put_varint_field};
use any_value::{
    attribute, field_len, field_value, number, put_fixed64, scalar_value, string, text_len, texts,
};

/// Places that are fields of a log record; all others are attributes.
const TIME: &str = "time_unix_nano";
const OBSERVED: &str = "observed_time_unix_nano";
const SEVERITY_NUMBER: &str = "severity_number";
const SEVERITY_TEXT: &str = "severity_text";
const EVENT_NAME: &str = "event_name";
const TRACE_ID: &str = "trace_id";
const BODY: &str = "body";
/// Prefix of the attributes of fields without a place.
const PREFIX: &str = "auditgate";
/// Length of a trace id.
const TRACE_ID_BYTES: usize = 16;

/// Appends a record.
pub fn write(plans: &MappingPlans, source: &MappingInput<'_>, out: &mut Vec<u8>) {
    super::by_plan(plans, source, |plan, source, captured| {
        write_captured(plans, plan, source, captured, out);
    });
}

fn write_captured(
    plans: &MappingPlans,
    plan: &TypePlan,
    source: &MappingInput<'_>,
    captured: &Captured<'_>,
    out: &mut Vec<u8>,
) {
    let mut writer = OtlpWriter { out, plans, plan, source, captured, kept: 0 };
    for member in &plan.members {
        match member {
            PlanMember::Leaf(leaf) => writer.leaf(leaf),
            PlanMember::Constant(constant) => writer.constant(&constant.name, &constant.value),
            PlanMember::Object(_) => {}
        }
    }
    let kept = writer.kept;
    let mut name = String::new();
    let mut sink = CatchAllAttributes { out, name: &mut name };
    catch_all::each(source.record, Remainder::left(&plan.nodes, kept), &mut sink);
}

struct OtlpWriter<'w, 'a> {
    out: &'w mut Vec<u8>,
    plans: &'w MappingPlans,
    plan: &'w TypePlan,
    source: &'w MappingInput<'w>,
    captured: &'w Captured<'a>,
    kept: u128,
}

impl OtlpWriter<'_, '_> {
    fn leaf(&mut self, leaf: &LeafPlan) {
        for source in &leaf.sources {
            if self.captured.present & (1 << source.slot) != 0 && self.source(leaf, source) {
                if source.is_lossless {
                    self.kept |= 1 << source.slot;
                }
                return;
            }
        }
        if let Some((value, _)) = &leaf.fallback {
            self.constant(&leaf.name, value);
        }
    }

    fn constant(&mut self, place: &str, value: &TableValue) {
        match value {
            TableValue::Text(of) => self.scalar(place, Scalar::Text(of)),
            TableValue::Int(of) => self.scalar(place, Scalar::Int(*of)),
            TableValue::Flag(of) => self.scalar(place, Scalar::Flag(*of)),
            TableValue::Texts(of) => {
                attribute(self.out, place, |out| texts(out, of.iter().map(String::as_str)));
                true
            }
        };
    }

    fn source(&mut self, leaf: &LeafPlan, source: &LeafSource) -> bool {
        let Some(slot) = self.plan.slots.get(usize::from(source.slot)) else { return false };
        let captured = self.captured;
        match source.conversion {
            Conversion::Texts => {
                let list = captured.list(source.slot).filter_map(WireValue::text);
                attribute(self.out, &leaf.name, |out| texts(out, list));
                true
            }
            Conversion::First => match convert::first(captured, source.slot) {
                Some(first) => self.scalar(&leaf.name, Scalar::Text(first)),
                None => false,
            },
            Conversion::Join => {
                let mut joined = String::new();
                convert::join(captured, source.slot, &mut joined);
                self.scalar(&leaf.name, Scalar::Text(&joined))
            }
            Conversion::Json => {
                let values = if slot.field.repeated {
                    captured.list(source.slot).map(|value| (slot.field.number, value)).collect()
                } else {
                    let value = captured.value(source.slot);
                    value.map(|value| vec![(slot.field.number, value)]).unwrap_or_default()
                };
                attribute(self.out, &leaf.name, |out| field_value(out, slot.field, &values, 0));
                true
            }
            Conversion::Id => {
                let mut id = Vec::new();
                self.source.write_plain_id(&mut id);
                self.scalar(&leaf.name, Scalar::Text(&String::from_utf8_lossy(&id)))
            }
            Conversion::Meaning => {
                let code = captured.value(source.slot).and_then(WireValue::text);
                self.scalar(&leaf.name, Scalar::Text(self.plan.meaning(code)))
            }
            Conversion::TraceId => {
                let id = captured.value(source.slot).and_then(WireValue::text).and_then(trace_id);
                match id {
                    Some(id) => put_bytes_field(self.out, number::TRACE_ID, &id),
                    None => return false,
                }
                true
            }
            conversion => {
                let Some(value) = captured.value(source.slot) else { return false };
                let value = convert::scalar(conversion, slot.field.kind, value, &self.plans.values);
                value.is_some_and(|value| self.scalar(&leaf.name, value))
            }
        }
    }

    /// Writes a field of the log record, or an attribute. Returns whether it could hold the value.
    fn scalar(&mut self, place: &str, value: Scalar<'_>) -> bool {
        let out = &mut *self.out;
        match (place, value) {
            (TIME | OBSERVED, Scalar::Int(nanos @ 0..)) => {
                let number = if place == TIME { number::TIME } else { number::OBSERVED };
                put_fixed64(out, number, nanos as u64);
            }
            (SEVERITY_NUMBER, Scalar::Int(severity)) => {
                put_varint_field(out, number::SEVERITY_NUMBER, severity as u64);
            }
            (SEVERITY_TEXT, Scalar::Text(of)) => {
                put_bytes_field(out, number::SEVERITY_TEXT, of.as_bytes());
            }
            (EVENT_NAME, Scalar::Text(of)) => {
                put_bytes_field(out, number::EVENT_NAME, of.as_bytes())
            }
            (BODY, Scalar::Text(of)) => {
                put_bytes_header(out, number::BODY, text_len(of));
                string(out, of);
            }
            (
                TIME | OBSERVED | SEVERITY_NUMBER | SEVERITY_TEXT | EVENT_NAME | BODY | TRACE_ID,
                _,
            ) => {
                return false;
            }
            (place, Scalar::Text(of)) => {
                // The most frequent case; all lengths are known before.
                let value = text_len(of);
                let pair = field_len(place.len()) + field_len(value);
                put_bytes_header(out, number::ATTRIBUTES, pair);
                put_bytes_field(out, number::KEY, place.as_bytes());
                put_bytes_header(out, number::VALUE, value);
                string(out, of);
            }
            (_, Scalar::Uint(of)) if i64::try_from(of).is_err() => return false,
            (place, value) => attribute(out, place, |out| scalar_value(out, value)),
        }
        true
    }
}

/// Writes the values without a place as attributes.
struct CatchAllAttributes<'o> {
    out: &'o mut Vec<u8>,
    name: &'o mut String,
}

impl CatchAllAttributes<'_> {
    fn set_name(&mut self, path: &[&str]) {
        self.name.clear();
        self.name.push_str(PREFIX);
        for part in path {
            self.name.push('.');
            self.name.push_str(part);
        }
    }
}

impl CatchAllSink for CatchAllAttributes<'_> {
    fn field(&mut self, path: &[&str], field: &'static Field, values: &[(u32, WireValue<'_>)]) {
        self.set_name(path);
        attribute(self.out, self.name, |out| field_value(out, field, values, 0));
    }

    fn unknown(&mut self, path: &[&str], encoded: &[u8]) {
        self.set_name(path);
        attribute(self.out, self.name, |out| put_bytes_field(out, number::BYTES, encoded));
    }
}

/// The bytes of a W3C trace id: lower-case digits, and not all of them zero.
fn trace_id(digits: &str) -> Option<[u8; TRACE_ID_BYTES]> {
    if digits.len() != 2 * TRACE_ID_BYTES || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    // The parser would accept a sign.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(digits, 16).ok().filter(|number| is_hex && *number != 0)?;
    Some(number.to_be_bytes())
}
