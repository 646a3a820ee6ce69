//! The second pass over a record, for schemas of JSON objects: writes the values with a place, then
//! the others.

use super::captured::{Captured, Remainder};
use super::catch_all::{self, CatchAllJson};
use super::conversion::Conversion;
use super::convert::{self, Scalar, ValueTable};
use super::plan::{LeafPlan, LeafSource, MappingPlans, ObjectPlan, PlanMember, TypePlan};
use super::wire_json::close;
use super::{MappingInput, text, wire_json};
use crate::wire::RECORD;

/// The greatest number that every JSON parser reads exactly (RFC 8259, section 6).
const EXACT_MAX: u64 = (1 << 53) - 1;

/// How the values without a place are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchAll {
    /// As an object with the structure of the record.
    Object,
    /// As members named by this prefix and the path of the field, with `_` for each dot. Their
    /// values are texts or lists of texts.
    Texts(&'static str),
}

/// Appends a record as one JSON object.
pub fn write(
    plans: &MappingPlans,
    catch_all: CatchAll,
    source: &MappingInput<'_>,
    out: &mut Vec<u8>,
) {
    super::by_plan(plans, source, |plan, source, captured| {
        write_captured(plans, plan, catch_all, source, captured, out);
    });
}

fn write_captured(
    plans: &MappingPlans,
    plan: &TypePlan,
    catch_all: CatchAll,
    source: &MappingInput<'_>,
    captured: &Captured<'_>,
    out: &mut Vec<u8>,
) {
    let values = &plans.values;
    let mut writer = NestedWriter { out, plan, values, source, captured, kept: 0 };
    writer.out.push(b'{');
    let mut labels = None;
    writer.members(&plan.members, &mut labels);
    let kept = writer.kept;
    let filter = Remainder::left(&plan.nodes, kept);
    match catch_all {
        CatchAll::Object => {
            text::string(out, &plans.catch_all);
            out.push(b':');
            let before = out.len();
            wire_json::write_filtered(out, RECORD, source.record, filter);
            if out.get(before..) == Some(b"{}") {
                out.truncate(before - plans.catch_all.len() - 3);
            } else {
                out.push(b',');
            }
        }
        CatchAll::Texts(prefix) => {
            let before = out.len();
            text::string(out, &plans.catch_all);
            out.extend_from_slice(b":{");
            let begun = out.len();
            if let Some(slot) = labels {
                label_members(captured, slot, prefix, out);
            }
            catch_all::each(source.record, filter, &mut CatchAllJson { out, prefix });
            if out.len() == begun {
                out.truncate(before);
            } else {
                close(out, b'}');
                out.push(b',');
            }
        }
    }
    close(out, b'}');
}

/// Whether a label's key can be a field name in any system: a plain word without the prefix of
/// other fields.
fn is_plain_label(key: &str, prefix: &str) -> bool {
    const BYTES_MAX: usize = 64;
    (1..=BYTES_MAX).contains(&key.len())
        && !key.starts_with(prefix)
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn label_members(captured: &Captured<'_>, slot: u8, prefix: &str, out: &mut Vec<u8>) {
    for (key, value) in convert::text_entries(captured, slot) {
        if is_plain_label(key, prefix) {
            text::string(out, key);
            out.push(b':');
            text::string(out, value);
            out.push(b',');
        }
    }
}

struct NestedWriter<'w, 'a> {
    out: &'w mut Vec<u8>,
    plan: &'w TypePlan,
    values: &'w [ValueTable],
    source: &'w MappingInput<'w>,
    captured: &'w Captured<'a>,
    /// A bit for each slot whose value was written without loss.
    kept: u128,
}

impl NestedWriter<'_, '_> {
    /// Writes members, each followed by a comma; returns a bit for each that was written.
    fn members(&mut self, members: &[PlanMember], labels: &mut Option<u8>) -> u64 {
        let mut written = 0;
        for (at, member) in members.iter().enumerate() {
            let is_written = match member {
                PlanMember::Constant(constant) => {
                    self.out.extend_from_slice(&constant.json);
                    true
                }
                PlanMember::Leaf(leaf) => self.leaf(leaf, labels),
                PlanMember::Object(object) => self.object(object, labels),
            };
            written |= u64::from(is_written) << at;
        }
        written
    }

    fn object(&mut self, object: &ObjectPlan, labels: &mut Option<u8>) -> bool {
        if !object.is_required && object.mask & self.captured.present == 0 {
            return false;
        }
        let (before, kept) = (self.out.len(), self.kept);
        self.out.extend_from_slice(&object.open);
        let written = self.members(&object.members, labels);
        for (group, default) in &object.needs {
            if written & group != 0 {
                continue;
            }
            if object.is_required && !default.is_empty() {
                self.out.extend_from_slice(default);
                self.out.push(b',');
            } else {
                self.out.truncate(before);
                self.kept = kept;
                return false;
            }
        }
        if !object.is_required && self.out.len() == before + object.open.len() {
            self.out.truncate(before);
            return false;
        }
        close(self.out, b'}');
        if object.is_element {
            self.out.push(b']');
        }
        self.out.push(b',');
        true
    }

    fn leaf(&mut self, leaf: &LeafPlan, labels: &mut Option<u8>) -> bool {
        if leaf.mask & self.captured.present == 0 && leaf.fallback.is_none() {
            return false;
        }
        let before = self.out.len();
        self.out.extend_from_slice(&leaf.key);
        for source in &leaf.sources {
            if self.captured.present & (1 << source.slot) == 0 {
                continue;
            }
            if source.conversion == Conversion::Labels {
                self.out.truncate(before);
                self.labels(source.slot);
                *labels = Some(source.slot);
                return false;
            }
            if self.value(source) {
                if source.is_lossless {
                    self.kept |= 1 << source.slot;
                }
                if leaf.is_element {
                    self.out.push(b']');
                }
                self.out.push(b',');
                return true;
            }
        }
        match &leaf.fallback {
            Some((_, json)) => {
                self.out.extend_from_slice(json);
                self.out.push(b',');
                true
            }
            None => {
                self.out.truncate(before);
                false
            }
        }
    }

    /// Writes labels as members of the catch-all; if one cannot be, none is.
    fn labels(&mut self, slot: u8) {
        let entries = convert::text_entries(self.captured, slot);
        if entries.iter().all(|(key, _)| is_plain_label(key, super::LABEL_PREFIX)) {
            self.kept |= 1 << slot;
        }
    }

    /// Writes the value of a slot. Returns whether it fits.
    fn value(&mut self, source: &LeafSource) -> bool {
        let captured = self.captured;
        let Some(slot) = self.plan.slots.get(usize::from(source.slot)) else { return false };
        let out = &mut *self.out;
        match source.conversion {
            Conversion::Text => match captured.value(source.slot).and_then(|of| of.bytes()) {
                Some(of) => text::string_bytes(out, of),
                None => return false,
            },
            Conversion::Texts => {
                out.push(b'[');
                for of in captured.list(source.slot) {
                    text::string(out, of.text().unwrap_or_default());
                    out.push(b',');
                }
                close(out, b']');
            }
            Conversion::Names => {
                out.push(b'[');
                for of in captured.list(source.slot) {
                    out.extend_from_slice(b"{\"name\":");
                    text::string(out, of.text().unwrap_or_default());
                    out.extend_from_slice(b"},");
                }
                close(out, b']');
            }
            Conversion::First => match convert::first(captured, source.slot) {
                Some(first) => text::string(out, first),
                None => return false,
            },
            Conversion::Join => {
                let mut joined = String::new();
                convert::join(captured, source.slot, &mut joined);
                text::string(out, &joined);
            }
            Conversion::Tags => {
                out.push(b'[');
                for (key, value) in convert::text_entries(captured, source.slot) {
                    out.extend_from_slice(b"{\"name\":");
                    text::string(out, key);
                    out.extend_from_slice(b",\"value\":");
                    text::string(out, value);
                    out.extend_from_slice(b"},");
                }
                close(out, b']');
            }
            Conversion::Json => convert::json(captured, source.slot, slot.field, out),
            Conversion::JsonText => {
                let mut json = Vec::new();
                convert::json(captured, source.slot, slot.field, &mut json);
                text::string(out, &String::from_utf8_lossy(&json));
            }
            Conversion::Id => {
                out.push(b'"');
                self.source.write_id(out);
                out.push(b'"');
            }
            Conversion::Meaning => {
                let code = captured.value(source.slot).and_then(|code| code.text());
                text::string(out, self.plan.meaning(code));
            }
            conversion => {
                let Some(value) = captured.value(source.slot) else { return false };
                let value = convert::scalar(conversion, slot.field.kind, value, self.values);
                return value.is_some_and(|value| scalar(out, value));
            }
        }
        true
    }
}

/// Appends a scalar as JSON. Returns false for a number that not every JSON parser reads exactly.
pub fn scalar(out: &mut Vec<u8>, value: Scalar<'_>) -> bool {
    match value {
        Scalar::Text(of) => text::string(out, of),
        Scalar::Int(of) if of.unsigned_abs() <= EXACT_MAX => text::int(out, of),
        Scalar::Uint(of) if of <= EXACT_MAX => text::uint(out, of),
        Scalar::Int(_) | Scalar::Uint(_) => return false,
        Scalar::Flag(of) => out.extend_from_slice(if of { b"true" } else { b"false" }),
        Scalar::Time(seconds, nanos) => {
            out.push(b'"');
            text::timestamp(out, seconds, nanos);
            out.push(b'"');
        }
        Scalar::Duration(seconds, nanos) => {
            out.push(b'"');
            text::duration(out, seconds, nanos);
            out.push(b'"');
        }
        Scalar::Bytes(of) => {
            out.push(b'"');
            text::base64(out, of);
            out.push(b'"');
        }
    }
    true
}
