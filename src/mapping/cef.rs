//! The second pass over a record, for ArcSight's Common Event Format: a header of seven fields,
//! and an extension of keys and values.
//!
//! Format: "ArcSight Common Event Format (CEF) Implementation Standard", version 26.

use super::captured::{Captured, Remainder};
use super::conversion::Conversion;
use super::convert::{self, Scalar};
use super::plan::{LeafPlan, LeafSource, MappingPlans, PlanMember, TableValue, TypePlan};
use super::wire_json;
use super::{MappingInput, text};
use crate::printable::is_hidden;
use crate::wire::RECORD;

/// Places of the header; all others are keys of the extension.
const SIGNATURE: &str = "header.signature";
const NAME: &str = "header.name";
const SEVERITY: &str = "header.severity";
/// The suffix of the key that names a custom field.
const LABEL: &str = "Label";

/// Appends a record as one line, without a line feed.
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
    let mut writer = CefWriter { out, plans, plan, source, captured, kept: 0, written: Vec::new() };
    writer.out.extend_from_slice(b"CEF:0|auditgate|auditgate|");
    header_text(writer.out, env!("CARGO_PKG_VERSION"));
    for place in [SIGNATURE, NAME, SEVERITY] {
        writer.out.push(b'|');
        writer.header(place);
    }
    writer.out.push(b'|');
    let begun = writer.out.len();
    writer.extension();
    let kept = writer.kept;
    let mut left = Vec::new();
    wire_json::write_filtered(&mut left, RECORD, source.record, Remainder::left(&plan.nodes, kept));
    if left != b"{}" {
        if out.len() > begun {
            out.push(b' ');
        }
        out.extend_from_slice(plans.catch_all.as_bytes());
        out.push(b'=');
        // JSON that is made by this program is UTF-8.
        extension_json(out, &String::from_utf8_lossy(&left));
    }
}

struct CefWriter<'w, 'a> {
    out: &'w mut Vec<u8>,
    plans: &'w MappingPlans,
    plan: &'w TypePlan,
    source: &'w MappingInput<'w>,
    captured: &'w Captured<'a>,
    kept: u128,
    /// Keys that were written.
    written: Vec<&'w str>,
}

impl CefWriter<'_, '_> {
    fn header(&mut self, place: &str) {
        let leaves = self.plan.members.iter().filter_map(|member| match member {
            PlanMember::Leaf(leaf) if leaf.name == place => Some(leaf),
            _ => None,
        });
        for leaf in leaves {
            match self.leaf_text(leaf) {
                Some(value) => header_text(self.out, &value),
                None => match &leaf.fallback {
                    Some((TableValue::Text(value), _)) => header_text(self.out, value),
                    Some((TableValue::Int(value), _)) => text::int(self.out, *value),
                    _ => {}
                },
            }
        }
    }

    fn extension(&mut self) {
        let plan = self.plan;
        let begun = self.out.len();
        for member in &plan.members {
            let before = self.out.len();
            if before > begun {
                self.out.push(b' ');
            }
            let is_written = match member {
                PlanMember::Leaf(leaf) => !leaf.name.starts_with("header.") && self.pair(leaf),
                PlanMember::Constant(constant) => {
                    let labelled = constant.name.strip_suffix(LABEL);
                    let is_used = labelled.is_none_or(|key| self.written.contains(&key));
                    if let (true, TableValue::Text(value)) = (is_used, &constant.value) {
                        self.out.extend_from_slice(constant.name.as_bytes());
                        self.out.push(b'=');
                        extension_text(self.out, value);
                    }
                    is_used
                }
                PlanMember::Object(_) => false,
            };
            if !is_written {
                self.out.truncate(before);
            }
        }
    }

    fn pair(&mut self, leaf: &LeafPlan) -> bool
    where
        Self: Sized,
    {
        let Some(value) = self.leaf_text(leaf) else { return false };
        self.out.extend_from_slice(leaf.name.as_bytes());
        self.out.push(b'=');
        extension_text(self.out, &value);
        true
    }

    /// The value of a leaf, which is noted as kept.
    fn leaf_text(&mut self, leaf: &LeafPlan) -> Option<String> {
        let is_header = leaf.name.starts_with("header.");
        for source in &leaf.sources {
            let Some(value) = self.value(source) else { continue };
            if !is_header && !fits(&value) {
                continue;
            }
            if source.is_lossless {
                self.kept |= 1 << source.slot;
            }
            self.note(leaf);
            return Some(value);
        }
        None
    }

    fn note(&mut self, leaf: &LeafPlan) {
        let members = &self.plan.members;
        let found = members.iter().find(|member| member.name() == leaf.name);
        self.written.extend(found.map(PlanMember::name));
    }

    fn value(&self, source: &LeafSource) -> Option<String> {
        if self.captured.present & (1 << source.slot) == 0 {
            return None;
        }
        let slot = self.plan.slots.get(usize::from(source.slot))?;
        let mut out = Vec::new();
        match source.conversion {
            Conversion::Texts => {
                let texts: Vec<_> =
                    self.captured.list(source.slot).filter_map(|of| of.text()).collect();
                if texts.iter().any(|of| of.is_empty() || of.contains(',')) {
                    return None;
                }
                return Some(texts.join(","));
            }
            Conversion::First => {
                return convert::first(self.captured, source.slot).map(str::to_owned);
            }
            Conversion::Join => {
                let mut joined = String::new();
                convert::join(self.captured, source.slot, &mut joined);
                return Some(joined);
            }
            Conversion::Json | Conversion::JsonText => {
                convert::json(self.captured, source.slot, slot.field, &mut out);
            }
            Conversion::Id => self.source.write_plain_id(&mut out),
            Conversion::Meaning => {
                let code = self.captured.value(source.slot)?;
                return Some(self.plan.meaning(code.text()).to_owned());
            }
            conversion => {
                let value = self.captured.value(source.slot)?;
                let values = &self.plans.values;
                match convert::scalar(conversion, slot.field.kind, value, values)? {
                    Scalar::Text(of) => return Some(of.to_owned()),
                    Scalar::Int(of) => text::int(&mut out, of),
                    Scalar::Uint(of) => text::uint(&mut out, of),
                    Scalar::Flag(of) => return Some(of.to_string()),
                    Scalar::Time(seconds, nanos) => text::timestamp(&mut out, seconds, nanos),
                    Scalar::Duration(seconds, nanos) => text::duration(&mut out, seconds, nanos),
                    Scalar::Bytes(of) => text::base64(&mut out, of),
                }
            }
        }
        String::from_utf8(out).ok()
    }
}

/// Whether parsers read a value of the extension unchanged. Many trim it, and syslog receivers
/// change control characters. Other values go to the catch-all as JSON, which escapes them.
fn fits(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with([' ', '\n', '\r'])
        && !value.ends_with([' ', '\n', '\r'])
        && !value.chars().any(|letter| is_hidden(letter) && letter != '\n' && letter != '\r')
}

/// Appends a field of the header.
fn header_text(out: &mut Vec<u8>, value: &str) {
    for letter in value.chars() {
        match letter {
            '|' => out.extend_from_slice(b"\\|"),
            '\\' => out.extend_from_slice(b"\\\\"),
            // The header has no escape for them.
            letter if is_hidden(letter) => out.push(b' '),
            letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Appends a value of the extension.
fn extension_text(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'=' => out.extend_from_slice(b"\\="),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(byte),
        }
    }
}

/// Appends JSON as a value of the extension. Hidden characters, which occur only in its strings,
/// become escapes.
fn extension_json(out: &mut Vec<u8>, json: &str) {
    for letter in json.chars() {
        if is_hidden(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // The backslash of the JSON escape must be escaped for CEF, too.
                out.extend_from_slice(b"\\\\u");
                let [high, low] = unit.to_be_bytes();
                out.extend(text::hex(high));
                out.extend(text::hex(low));
            }
        } else {
            extension_text(out, letter.encode_utf8(&mut [0; 4]));
        }
    }
}
