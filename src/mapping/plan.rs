//! Plans: mapping tables compiled for the two passes over a record.

mod builder;
mod compiler;

use super::captured::CaptureNode;
use super::conversion::Conversion;
use super::convert::ValueTable;
use super::wire_json::enum_name;
use crate::catalog;
use crate::wire::{self, Field, FieldKind};

/// How the fields of a schema are structured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceLayout {
    /// As nested objects, one for each dot.
    Nested,
    /// As a list.
    Flat,
}

/// The plan for records of one type, or of one case of it.
#[derive(Debug)]
pub struct TypePlan {
    /// The fields that have places. The first node is the record's.
    pub nodes: Vec<CaptureNode>,
    /// The slots, by number.
    pub slots: Vec<FieldSlot>,
    /// The members to write, in order.
    pub members: Vec<PlanMember>,
    /// The description of the type.
    pub description: String,
    /// The descriptions of the type's codes.
    pub meanings: Vec<(&'static str, &'static str)>,
}

/// A value that has a place.
#[derive(Debug)]
pub struct FieldSlot {
    /// The shape of the field.
    pub field: &'static Field,
}

/// A member of the output.
#[derive(Debug)]
pub enum PlanMember {
    /// A constant.
    Constant(PlanConstant),
    /// A value of the record.
    Leaf(LeafPlan),
    /// An object with members of its own.
    Object(ObjectPlan),
}

/// A constant.
#[derive(Debug)]
pub struct PlanConstant {
    /// Name of the place.
    pub name: String,
    /// `"name":value,`; the first of consecutive constants has all of them.
    pub json: Vec<u8>,
    /// The value as text, for schemas without objects.
    pub value: TableValue,
}

/// A value in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum TableValue {
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A value of the record.
#[derive(Debug)]
pub struct LeafPlan {
    /// Name of the place.
    pub name: String,
    /// `"name":`, with a bracket if the value is the only element of a list.
    pub key: Vec<u8>,
    /// Whether it is the only element of a list.
    pub is_element: bool,
    /// The sources of the value: the first one with a value that fits is used.
    pub sources: Vec<LeafSource>,
    /// A bit for each of their slots.
    pub mask: u128,
    /// The value if no source has one.
    pub fallback: Option<(TableValue, Vec<u8>)>,
}

/// A source of a value.
#[derive(Debug, Clone, Copy)]
pub struct LeafSource {
    /// The slot.
    pub slot: u8,
    /// The conversion.
    pub conversion: Conversion,
    /// Whether the result determines the value.
    pub is_lossless: bool,
}

/// An object with members of its own.
#[derive(Debug, Default)]
pub struct ObjectPlan {
    /// Name of the place.
    pub name: String,
    /// `"name":{`, or `"name":[{` if it is the only element of a list.
    pub open: Vec<u8>,
    /// Whether it is the only element of a list.
    pub is_element: bool,
    /// Its members.
    pub members: Vec<PlanMember>,
    /// A bit for each slot within.
    pub mask: u128,
    /// Whether it is written even if the record has no value for it.
    pub is_required: bool,
    /// For each group of members, one of which must be present, a bit for each member, and the text
    /// to write if the object is required and none is present.
    pub needs: Vec<(u64, Vec<u8>)>,
}

/// All plans of a table.
#[derive(Debug)]
pub struct MappingPlans {
    /// The plans by type, in the order of the catalog.
    types: Vec<CasePlans>,
    /// The plan of `auditgate.gap`.
    gap: CasePlans,
    /// The tables of values.
    pub values: Vec<ValueTable>,
    /// Name of the catch-all.
    pub catch_all: String,
}

/// The plans of a type.
#[derive(Debug)]
pub struct CasePlans {
    /// The plan if no case matches.
    pub usual: TypePlan,
    /// The path of the field that selects the case, as field numbers, with its descriptor.
    pub by: Option<(Vec<u32>, &'static Field)>,
    /// The plans by the value of that field.
    pub cases: Vec<(String, TypePlan)>,
}

/// The case of all values but the empty one.
const ANY: &str = "*";
/// The type name of an item that reports a gap. It is not in the catalog.
pub const GAP: &str = "auditgate.gap";
/// The description of such an item.
pub const GAP_DESCRIPTION: &str = "Records are missing: the destination will not get them.";

impl MappingPlans {
    /// The plan for a record of this type.
    pub fn find(&self, type_name: &str, record: &[u8]) -> &TypePlan {
        if type_name == GAP {
            return self.gap.find(record);
        }
        let id = usize::from(catalog::TypeId::of(type_name).0);
        self.types.get(id).unwrap_or(&self.gap).find(record)
    }

    /// All plans by the name of their type, and the case.
    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Option<&str>, &TypePlan)> {
        let types = catalog::all().zip(&self.types).map(|((_, of), plans)| (of.name, plans));
        types.chain([(GAP, &self.gap)]).flat_map(|(name, plans)| {
            let cases = plans.cases.iter().map(move |(case, plan)| (name, Some(&**case), plan));
            std::iter::once((name, None, &plans.usual)).chain(cases)
        })
    }
}

impl TypePlan {
    /// The description of an event with this code.
    pub fn meaning(&self, code: Option<&str>) -> &str {
        let found = self.meanings.iter().find(|(of, _)| Some(*of) == code);
        found.map_or(&self.description, |(_, meaning)| meaning)
    }
}

impl CasePlans {
    fn find(&self, record: &[u8]) -> &TypePlan {
        let Some((path, field)) = &self.by else { return &self.usual };
        let Some(value) = value_at(path, record) else { return &self.usual };
        let key = match field.kind {
            FieldKind::Enum(id) => value.varint().and_then(|number| enum_name(id, number as i32)),
            _ => value.text(),
        };
        let fits = |case: &str, key: &str| case == key || case == ANY && !key.is_empty();
        let found = key.and_then(|key| self.cases.iter().find(|(case, _)| fits(case, key)));
        found.map_or(&self.usual, |(_, plan)| plan)
    }
}

/// The last value of the field at this path.
fn value_at<'a>(path: &[u32], message: &'a [u8]) -> Option<wire::WireValue<'a>> {
    let (first, rest) = path.split_first()?;
    let values = wire::trusted(message).filter(|(number, _)| number == first);
    let values = values.map(|(_, value)| value);
    if rest.is_empty() {
        return values.last();
    }
    values.filter_map(|value| value_at(rest, value.bytes()?)).last()
}

impl PlanMember {
    /// The name of the place.
    pub fn name(&self) -> &str {
        match self {
            PlanMember::Constant(constant) => &constant.name,
            PlanMember::Leaf(leaf) => &leaf.name,
            PlanMember::Object(object) => &object.name,
        }
    }
}
