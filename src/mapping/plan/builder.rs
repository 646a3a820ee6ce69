//! Collects the parts of a plan.

use std::collections::{BTreeMap, HashMap};

use super::{
    FieldSlot, LeafPlan, LeafSource, ObjectPlan, PlaceLayout, PlanConstant, PlanMember, TableValue,
};
use crate::mapping::captured::{CaptureAction, CaptureNode, SLOTS_MAX};
use crate::mapping::table::ObjectRule;
use crate::mapping::{text, wire_json};
use crate::wire::{Field, FieldKind};

/// Collects the parts of a plan.
pub struct TypePlanBuilder {
    layout: PlaceLayout,
    /// The nodes of the plan.
    pub nodes: Vec<CaptureNode>,
    /// The slots of the plan.
    pub slots: Vec<FieldSlot>,
    by_path: HashMap<String, u8>,
    /// The members of the plan.
    pub root: ObjectPlan,
}

impl TypePlanBuilder {
    /// An empty plan.
    pub fn new(layout: PlaceLayout) -> Self {
        Self {
            layout,
            nodes: vec![CaptureNode::default()],
            slots: Vec::new(),
            by_path: HashMap::new(),
            root: ObjectPlan::default(),
        }
    }

    /// The slot of a field.
    pub fn slot(
        &mut self,
        path: &str,
        numbers: &[u32],
        field: &'static Field,
    ) -> Result<u8, String> {
        if let Some(slot) = self.by_path.get(path) {
            return Ok(*slot);
        }
        let slot = self.slots.len();
        if slot >= SLOTS_MAX {
            return Err(format!("{path}: more than {SLOTS_MAX} fields have places"));
        }
        let slot = slot as u8;
        let action = match field.kind {
            _ if field.repeated => CaptureAction::List(slot),
            FieldKind::Message(_) => CaptureAction::Whole(slot),
            _ => CaptureAction::Slot(slot),
        };
        let (last, way) = numbers.split_last().ok_or("an empty path")?;
        let mut node = 0;
        for number in way {
            node = self.inner(node, *number).ok_or_else(|| format!("{path} is within a place"))?;
        }
        let place = self.nodes.get_mut(node).ok_or("a node that is not there")?;
        if place.action(*last) != CaptureAction::Leave {
            return Err(format!("{path} has places itself, and so have fields of it"));
        }
        place.set(*last, action);
        self.slots.push(FieldSlot { field });
        self.by_path.insert(path.to_owned(), slot);
        Ok(slot)
    }

    fn inner(&mut self, node: usize, number: u32) -> Option<usize> {
        let next = self.nodes.len();
        let place = self.nodes.get_mut(node)?;
        match place.action(number) {
            CaptureAction::Inner(inner) => Some(usize::from(inner)),
            CaptureAction::Leave => {
                place.set(number, CaptureAction::Inner(u16::try_from(next).ok()?));
                self.nodes.push(CaptureNode::default());
                Some(next)
            }
            CaptureAction::Slot(_) | CaptureAction::List(_) | CaptureAction::Whole(_) => None,
        }
    }

    /// The object that contains a place, and the name of the place within.
    fn object(&mut self, place: &str) -> Result<(&mut ObjectPlan, String), String> {
        let mut object = &mut self.root;
        if self.layout == PlaceLayout::Flat {
            return Ok((object, place.to_owned()));
        }
        let mut parts = place.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok((object, part.to_owned()));
            }
            object = object.inner(part)?;
        }
        Err(format!("{place:?} is no place"))
    }

    /// Adds a row: a place, and a source of its value.
    pub fn leaf(&mut self, place: &str, source: LeafSource) -> Result<(), String> {
        let (place, is_element) = element(place);
        let (object, name) = self.object(place)?;
        let wrong = format!("{place} is an object or a constant");
        match object.member(&name) {
            Some(PlanMember::Leaf(leaf)) => leaf.sources.push(source),
            Some(_) => return Err(wrong),
            None => {
                let mut key = json_key(&name);
                key.extend(is_element.then_some(b'['));
                let sources = vec![source];
                let leaf = LeafPlan { name, key, is_element, sources, mask: 0, fallback: None };
                object.members.push(PlanMember::Leaf(leaf));
            }
        }
        Ok(())
    }

    /// Whether a place has a row.
    pub fn has_leaf(&mut self, place: &str) -> bool {
        let found = self.object(element(place).0);
        found.is_ok_and(|(object, name)| object.member(&name).is_some())
    }

    /// Adds a constant.
    pub fn constant(&mut self, place: &str, value: &toml::Value) -> Result<(), String> {
        let (value, json) = literal(value)?;
        let (object, name) = self.object(place)?;
        let json = [json_key(&name), json, vec![b',']].concat();
        let constant = PlanMember::Constant(PlanConstant { name: name.clone(), json, value });
        match object.member(&name) {
            // Constants of a type override those of its class and of the table.
            Some(member @ PlanMember::Constant(_)) => *member = constant,
            Some(PlanMember::Leaf(leaf)) if leaf.fallback.is_none() => {
                return Err(format!("{place} is a constant, and has a row"));
            }
            Some(_) => return Err(format!("{place} is an object")),
            None => object.members.push(constant),
        }
        Ok(())
    }

    /// Sets the fallback of a place that has a row; other places are ignored.
    pub fn fallback(&mut self, place: &str, value: &toml::Value) -> Result<(), String> {
        let found = literal(value)?;
        let (object, name) = self.object(place)?;
        if let Some(PlanMember::Leaf(leaf)) = object.member(&name) {
            leaf.fallback = Some(found);
        }
        Ok(())
    }

    /// Finishes a plan with the required objects and the rules of objects.
    pub fn finish(
        &mut self,
        rules: &BTreeMap<String, ObjectRule>,
        required: &[String],
    ) -> Result<(), String> {
        if self.layout == PlaceLayout::Flat {
            return Ok(());
        }
        for place in required {
            let mut object = &mut self.root;
            for part in place.split('.') {
                object = object.inner(part)?;
                object.is_required = true;
            }
        }
        self.root.members.retain(|member| !member.is_bare());
        self.root.settle("", rules)
    }
}

impl PlanMember {
    /// Whether nothing is ever written into the object. Looking up a place may create such an
    /// object.
    fn is_bare(&self) -> bool {
        match self {
            PlanMember::Object(object) => {
                !object.is_required && object.members.iter().all(PlanMember::is_bare)
            }
            PlanMember::Constant(_) | PlanMember::Leaf(_) => false,
        }
    }
}

impl ObjectPlan {
    fn member(&mut self, name: &str) -> Option<&mut PlanMember> {
        self.members.iter_mut().find(|member| member.name() == name)
    }

    /// The nested object, created if necessary. `name[]` is the only element of a list.
    fn inner(&mut self, part: &str) -> Result<&mut ObjectPlan, String> {
        let (name, is_element) = element(part);
        if self.member(name).is_none() {
            let mut open = json_key(name);
            open.extend_from_slice(if is_element { b"[{" } else { b"{" });
            let object =
                ObjectPlan { name: name.to_owned(), open, is_element, ..ObjectPlan::default() };
            self.members.push(PlanMember::Object(object));
        }
        match self.member(name) {
            Some(PlanMember::Object(object)) => Ok(object),
            _ => Err(format!("{name} is an object, and has a value")),
        }
    }

    /// Derives the fields of the object from its members and rules.
    fn settle(&mut self, place: &str, rules: &BTreeMap<String, ObjectRule>) -> Result<(), String> {
        self.members.retain(|member| !member.is_bare());
        for member in &mut self.members {
            match member {
                PlanMember::Constant(_) => {}
                PlanMember::Leaf(leaf) => {
                    leaf.mask = leaf.sources.iter().fold(0, |mask, of| mask | 1 << of.slot);
                    self.mask |= leaf.mask;
                }
                PlanMember::Object(object) => {
                    let dot = if place.is_empty() { "" } else { "." };
                    let place = format!("{place}{dot}{}", object.name);
                    object.settle(&place, rules)?;
                    self.mask |= object.mask;
                }
            }
        }
        self.members.dedup_by(|later, earlier| match (later, earlier) {
            (PlanMember::Constant(later), PlanMember::Constant(earlier)) => {
                earlier.json.append(&mut later.json);
                true
            }
            _ => false,
        });
        // A constant within an object is written only with the object.
        self.is_required |= self.mask == 0;
        if self.members.len() > u64::BITS as usize {
            return Err(format!("{place:?} has more than {} members", u64::BITS));
        }
        let Some(rule) = rules.get(place) else {
            return Ok(());
        };
        for group in &rule.needs {
            let bit = |name: &String| {
                let at = self.members.iter().position(|member| member.name() == name);
                at.map_or(0, |at| 1u64 << at)
            };
            let bits = group.iter().map(bit).fold(0, |bits, bit| bits | bit);
            let default = group.iter().find_map(|name| Some((name, rule.default.get(name)?)));
            let json = match default {
                Some((name, value)) => [json_key(name), literal(value)?.1].concat(),
                None if self.is_required && bits == 0 => {
                    return Err(format!("{place} is required, and has nothing of {group:?}"));
                }
                None => Vec::new(),
            };
            self.needs.push((bits, json));
        }
        Ok(())
    }
}

/// A place, and whether it is the only element of a list: `name[]`.
fn element(place: &str) -> (&str, bool) {
    match place.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (place, false),
    }
}

fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    text::string(&mut key, name);
    key.push(b':');
    key
}

/// A value of a table, with its JSON.
fn literal(value: &toml::Value) -> Result<(TableValue, Vec<u8>), String> {
    let mut json = Vec::new();
    let value = match value {
        toml::Value::String(of) => {
            text::string(&mut json, of);
            TableValue::Text(of.clone())
        }
        toml::Value::Integer(of) => {
            text::int(&mut json, *of);
            TableValue::Int(*of)
        }
        toml::Value::Boolean(of) => {
            json.extend_from_slice(of.to_string().as_bytes());
            TableValue::Flag(*of)
        }
        toml::Value::Array(of) => {
            let texts = of.iter().map(|of| of.as_str().map(str::to_owned));
            let texts: Vec<String> =
                texts.collect::<Option<_>>().ok_or("a list has texts alone")?;
            json.push(b'[');
            for of in &texts {
                text::string(&mut json, of);
                json.push(b',');
            }
            wire_json::close(&mut json, b']');
            TableValue::Texts(texts)
        }
        other => return Err(format!("{other} is neither text, number, flag nor list of texts")),
    };
    Ok((value, json))
}
