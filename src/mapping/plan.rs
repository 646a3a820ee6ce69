//! Plans: mapping tables compiled for the two passes over a record.

mod builder;
mod compiler;

use super::captured::CaptureNode;
use super::conversion::Conversion;
use super::convert::ValueTable;
use super::wire_json::enum_name;
use crate::catalog;
use crate::wire::{self, Field, FieldKind};

/// How the places of a schema are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceLayout {
    /// As objects within objects, at each dot.
    Nested,
    /// As a list.
    Flat,
}

/// What is done with the records of one type, or of one case of it.
#[derive(Debug)]
pub struct TypePlan {
    /// The fields that have places. The first node is the record's.
    pub nodes: Vec<CaptureNode>,
    /// The slots, by number.
    pub slots: Vec<FieldSlot>,
    /// What is written, in its order.
    pub members: Vec<PlanMember>,
    /// What the type means, for people.
    pub description: String,
    /// What each code of the type means.
    pub meanings: Vec<(&'static str, &'static str)>,
}

/// A value that has a place.
#[derive(Debug)]
pub struct FieldSlot {
    /// The shape of the field.
    pub field: &'static Field,
}

/// What is written.
#[derive(Debug)]
pub enum PlanMember {
    /// A value that is always the same.
    Constant(PlanConstant),
    /// A value of the record.
    Leaf(LeafPlan),
    /// An object with members of its own.
    Object(ObjectPlan),
}

/// A value that is always the same.
#[derive(Debug)]
pub struct PlanConstant {
    /// Name of the place.
    pub name: String,
    /// `"name":value,`; of constants that follow each other the first has all.
    pub json: Vec<u8>,
    /// The value as text, for schemas without objects.
    pub value: TableValue,
}

/// A value that stands in a table.
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
    /// `"name":`, with a bracket where the value is the one element of a list.
    pub key: Vec<u8>,
    /// It is the one element of a list.
    pub is_element: bool,
    /// Where the value comes from: the first that has one which fits.
    pub sources: Vec<LeafSource>,
    /// A bit for each slot of them.
    pub mask: u128,
    /// What is written where none has.
    pub fallback: Option<(TableValue, Vec<u8>)>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub struct LeafSource {
    /// The slot.
    pub slot: u8,
    /// What becomes of it.
    pub conversion: Conversion,
    /// Whether what is written tells the value.
    pub is_lossless: bool,
}

/// An object with members of its own.
#[derive(Debug, Default)]
pub struct ObjectPlan {
    /// Name of the place.
    pub name: String,
    /// `"name":{`, or `"name":[{` where it is the one element of a list.
    pub open: Vec<u8>,
    /// It is the one element of a list.
    pub is_element: bool,
    /// Its members.
    pub members: Vec<PlanMember>,
    /// A bit for each slot within.
    pub mask: u128,
    /// It is written also where the record has nothing for it.
    pub is_required: bool,
    /// Of each group, a bit for each member of which one has to be there, and what is written
    /// where the object is required and none is.
    pub needs: Vec<(u64, Vec<u8>)>,
}

/// All plans of a table.
#[derive(Debug)]
pub struct MappingPlans {
    /// By type, in the order of the catalog.
    types: Vec<CasePlans>,
    /// Of `auditgate.gap`.
    gap: CasePlans,
    /// The tables of values.
    pub values: Vec<ValueTable>,
    /// Name of the catch-all.
    pub catch_all: String,
}

/// The plans of a type.
#[derive(Debug)]
pub struct CasePlans {
    /// What is done where no case fits.
    pub usual: TypePlan,
    /// Path of the field that tells the cases apart, as field numbers, with its shape.
    pub by: Option<(Vec<u32>, &'static Field)>,
    /// By value.
    pub cases: Vec<(String, TypePlan)>,
}

/// The case of all values but the empty one.
const ANY: &str = "*";
/// Name of the type of an item that reports a gap. It is no type of the catalog.
pub const GAP: &str = "auditgate.gap";
/// What such an item means.
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
    /// What an event with this code reports, in words.
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
