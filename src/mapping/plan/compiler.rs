//! Compiles mapping tables.

use super::builder::TypePlanBuilder;
use super::{CasePlans, GAP, GAP_DESCRIPTION, LeafSource, MappingPlans, PlaceLayout, TypePlan};
use crate::catalog::{self, EventType};
use crate::mapping::conversion::Conversion;
use crate::mapping::convert::{Scalar, ValueTable};
use crate::mapping::table::{MappingRow, MappingTable, ObjectRule, OcsfClass, TypeRow, rows};
use crate::wire::{self, Field, FieldKind, MessageId, RECORD};

/// The prefix of paths of the event's fields.
const EVENT_PATH: &str = "event.";

impl MappingPlans {
    /// Compiles a table.
    ///
    /// # Errors
    /// What is wrong with the table, and where.
    pub fn compile(table: &MappingTable, layout: PlaceLayout) -> Result<Self, String> {
        let values = value_tables(table)?;
        let of = |name: &str, event_type: Option<&'static EventType>| {
            let row = table.types.get(name).ok_or_else(|| format!("no row for {name}"))?;
            TypeCompiler { table, layout, values: &values, name, event_type }.plans(row)
        };
        let mut types = Vec::new();
        for (_, event_type) in catalog::all() {
            types.push(of(event_type.name, Some(event_type))?);
        }
        let gap = of(GAP, None)?;
        let known = |name: &String| catalog::by_name(name).is_some() || name == GAP;
        if let Some(unknown) = table.types.keys().find(|name| !known(name)) {
            return Err(format!("type {unknown} is not in the catalog"));
        }
        Ok(Self { types, gap, values, catch_all: table.catch_all.clone() })
    }
}

fn value_tables(table: &MappingTable) -> Result<Vec<ValueTable>, String> {
    let mut tables = Vec::new();
    for (name, entries) in &table.values {
        let mut found: Vec<(String, Scalar<'static>)> = Vec::new();
        for (from, to) in entries {
            let to = match to {
                toml::Value::Integer(number) => Scalar::Int(*number),
                // Tables are never freed, because they are compiled once.
                toml::Value::String(text) => Scalar::Text(text.clone().leak()),
                _ => return Err(format!("values.{name}.{from} is neither text nor number")),
            };
            found.push((from.clone(), to));
        }
        let is_lossless = found
            .iter()
            .enumerate()
            .all(|(at, (_, to))| found.iter().take(at).all(|(_, other)| other != to));
        tables.push(ValueTable { name: name.clone(), entries: found, is_lossless });
    }
    Ok(tables)
}

/// Compiles the plans of one type.
struct TypeCompiler<'t> {
    table: &'t MappingTable,
    layout: PlaceLayout,
    values: &'t [ValueTable],
    name: &'t str,
    /// `None` for a gap.
    event_type: Option<&'static EventType>,
}

impl TypeCompiler<'_> {
    fn plans(&self, row: &TypeRow) -> Result<CasePlans, String> {
        let usual = self.plan(row)?;
        let by = match &row.by {
            Some(path) => Some(self.resolve(&self.full_path(path))?),
            None => None,
        };
        let mut cases = Vec::new();
        for (value, case) in &row.case {
            let plan = self.plan(&row.with(case));
            let plan = plan.map_err(|error| format!("case {value}: {error}"))?;
            cases.push((value.clone(), plan));
        }
        Ok(CasePlans { usual, by, cases })
    }

    fn plan(&self, row: &TypeRow) -> Result<TypePlan, String> {
        let in_type = |error: String| format!("type {}: {error}", self.name);
        self.plan_of(row).map_err(in_type)
    }

    fn plan_of(&self, row: &TypeRow) -> Result<TypePlan, String> {
        let table = self.table;
        let class = match row.class {
            Some(number) => {
                let class = table.class.get(&number.to_string());
                Some((number, class.ok_or_else(|| format!("class {number} is not described"))?))
            }
            None if table.class.is_empty() => None,
            None => return Err("has no class".to_owned()),
        };
        let mut builder = TypePlanBuilder::new(self.layout);
        if let Some((number, class)) = class {
            class_constants(&mut builder, number, class, row.activity.unwrap_or(0))?;
        }
        let class_rows = class.map_or("", |(_, class)| &class.envelope);
        let has_place = |place: &str| match class {
            Some((_, class)) => {
                let top = place.split(['.', '[']).next().unwrap_or_default();
                class.has.iter().chain(&table.common).any(|has| has == top)
            }
            None => true,
        };
        for (text, is_of_type) in
            [(&*row.fields, true), (class_rows, false), (&*table.envelope, false)]
        {
            for MappingRow { source, places } in rows(text)? {
                let path = if is_of_type { self.full_path(&source) } else { source };
                let (numbers, field) = self.resolve(&path)?;
                // The address of one field and the port of another one do not make an address.
                let is_taken = self.is_taken(&mut builder, &places);
                let is_whole = places.iter().any(|(of, _)| of.as_deref() == Some("port"));
                for (conversion, place) in places {
                    if !has_place(&place) {
                        if is_of_type {
                            return Err(format!("the class has no {place}"));
                        }
                        continue;
                    }
                    let conversion = self.conversion(conversion.as_deref(), field)?;
                    if is_taken && conversion.is_part() {
                        continue;
                    }
                    let slot = builder.slot(&path, &numbers, field)?;
                    let is_lossless = match conversion {
                        conversion if conversion.is_part() => is_whole,
                        Conversion::Values(of) => {
                            self.values.get(usize::from(of)).is_some_and(|of| of.is_lossless)
                        }
                        conversion => conversion.is_lossless(),
                    };
                    builder.leaf(&place, LeafSource { slot, conversion, is_lossless })?;
                }
            }
        }
        let of_class = class.map(|(_, class)| &class.constants).into_iter().flatten();
        for (place, value) in table.constants.iter().chain(of_class).chain(&row.constants) {
            if has_place(place) {
                builder.constant(place, &self.filled(value))?;
            }
        }
        for (place, value) in &table.fallback {
            builder.fallback(place, &self.filled(value))?;
        }
        let required = class.map(|(_, class)| &*class.required).unwrap_or_default();
        let rules = table.object.iter().map(|(place, rule)| {
            let default = rule.default.iter();
            let default = default.map(|(name, value)| (name.clone(), self.filled(value))).collect();
            (place.clone(), ObjectRule { needs: rule.needs.clone(), default })
        });
        builder.finish(&rules.collect(), required)?;
        Ok(TypePlan {
            nodes: builder.nodes,
            slots: builder.slots,
            members: builder.root.members,
            description: self.description().to_owned(),
            meanings: self.meanings(),
        })
    }

    /// Whether a place for a part of an address has a row already.
    fn is_taken(&self, builder: &mut TypePlanBuilder, places: &[(Option<String>, String)]) -> bool {
        places.iter().any(|(conversion, place)| {
            let of = conversion.as_deref().and_then(Conversion::by_name);
            of.is_some_and(Conversion::is_part) && builder.has_leaf(place)
        })
    }

    fn description(&self) -> &'static str {
        self.event_type.map_or(GAP_DESCRIPTION, |event_type| event_type.description)
    }

    fn meanings(&self) -> Vec<(&'static str, &'static str)> {
        let codes = self.event_type.map_or(&[][..], |event_type| event_type.codes);
        codes.iter().map(|code| (code.code, code.description)).collect()
    }

    /// A value of a table, with its placeholders in braces filled in.
    fn filled(&self, value: &toml::Value) -> toml::Value {
        match value {
            toml::Value::String(text) => toml::Value::String(
                text.replace("{version}", env!("CARGO_PKG_VERSION"))
                    .replace("{type}", self.name)
                    .replace("{description}", self.description()),
            ),
            value => value.clone(),
        }
    }

    /// The path from the record of a source in the row of a type.
    fn full_path(&self, source: &str) -> String {
        if source.starts_with(EVENT_PATH) || wire::RECORD.get().field_by_name(source).is_some() {
            return source.to_owned();
        }
        let variant = self.event_type.map_or(catalog::CUSTOM, |event_type| event_type.field_name);
        format!("{EVENT_PATH}{variant}.{source}")
    }

    /// The field at a path from the record, and the field numbers along the path.
    fn resolve(&self, path: &str) -> Result<(Vec<u32>, &'static Field), String> {
        let mut message: MessageId = RECORD;
        let mut numbers = Vec::new();
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let field = message.get().field_by_name(part);
            let field = field.ok_or_else(|| format!("{path}: there is no field {part}"))?;
            numbers.push(field.number);
            match (field.kind, parts.peek()) {
                (_, None) => return Ok((numbers, field)),
                (FieldKind::Message(inner), Some(_)) if !field.repeated => message = inner,
                _ => return Err(format!("{path}: {part} has no fields")),
            }
        }
        Err(format!("{path} is no path"))
    }

    fn conversion(&self, words: Option<&str>, field: &Field) -> Result<Conversion, String> {
        let Some(words) = words else {
            return Ok(Conversion::usual(field.kind, field.repeated));
        };
        let found = match words.strip_prefix("map ") {
            Some(table) => {
                let at = self.values.iter().position(|of| of.name == table.trim());
                at.and_then(|at| u8::try_from(at).ok()).map(Conversion::Values)
            }
            None => Conversion::by_name(words),
        };
        found.ok_or_else(|| format!("there is no conversion {words}"))
    }
}

/// Adds the constants of an OCSF class and its activity.
fn class_constants(
    builder: &mut TypePlanBuilder,
    number: u32,
    class: &OcsfClass,
    activity: u32,
) -> Result<(), String> {
    let name = class.activity.get(&activity.to_string());
    let name = name.ok_or_else(|| format!("class {number} has no activity {activity}"))?;
    let int = |number: u32| toml::Value::Integer(i64::from(number));
    let text = |text: &str| toml::Value::String(text.to_owned());
    for (place, value) in [
        ("class_uid", int(number)),
        ("class_name", text(&class.name)),
        ("category_uid", toml::Value::Integer(class.category)),
        ("category_name", text(&class.category_name)),
        ("activity_id", int(activity)),
        ("activity_name", text(name)),
        ("type_uid", int(number * 100 + activity)),
        ("type_name", text(&format!("{}: {name}", class.name))),
    ] {
        builder.constant(place, &value)?;
    }
    Ok(())
}
