//! Generates the page of all mapping tables, `docs/MAPPINGS.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalog;
use crate::mapping::table::{MappingRow, MappingTable, TypeRow, rows};
use crate::mapping::{GAP, TargetSchema};

const INTRODUCTION: &str = "\
# Records in other formats

<!-- Written by `auditgate types --mappings`. Do not edit: change the tables in catalog/, and renew the
page with `make docs`. -->

Deliveries, `auditgate search -o` and `auditgate tail -o` write records as events of other schemas. This
page lists what goes where. All of these formats have in common:

- **Nothing is lost.** What has no place of its own, and what does not fit its place, goes to the catch-all
  of the format. A number beyond 2^53, for example, does not fit a JSON number, since many readers
  round it; it is a text in the catch-all. Fields that the gateway itself does not know, from a newer
  protocol, are there as `unknown_fields`, the base64 of their encoding.
- **The stable id** of a record, `LOG_ID/SEQUENCE`, is the same at each attempt to deliver it. A receiver
  that has seen it may drop the repeat.
- **A gap**, records that the destination will not get, is an event of the type `auditgate.gap`. Its id is
  `LOG_ID/FIRST-LAST`.
- A type that is not listed, since a newer gateway wrote the record, is written as `custom`.

The formats `json` and `teleport` have no table. `json` is the record as protobuf JSON, as
`auditgate search -o ndjson` writes it, behind the stable id in `id`. `teleport` is the line that
`auditgate export` writes ([event types](EVENTS.md)), with the stable id in `auditgate.id`.

## Conversions

A value is written as it is, unless a word before the place says how:

| word | what is written |
|---|---|
| `id` | the stable id |
| `meaning` | what the code of the event means, or the type where the code is not known |
| `millis`, `nanos` | a time as a number, since 1970 |
| `ip`, `ip4`, `ip6`, `host`, `port`, `host_part` | a part of `HOST:PORT` |
| `whole_ip`, `whole_host` | a text that is an IP address, or is none |
| `port_number` | a number from 0 to 65535 |
| `decimal` | a number that is written as a text |
| `file_name` | what follows the last `/` |
| `join` | a list, with spaces between its texts |
| `tags` | a map, as objects with `name` and `value` |
| `labels` | a map, as members of the catch-all; all of it is there a second time, as one text, where a key is no plain word |
| `trace_id` | 32 hexadecimal digits, as bytes |
| `map NAME` | by the table of values with that name |

Of several rows for one place the first counts that has a value which fits.
";

/// The whole page.
///
/// # Panics
/// If a table is not valid. The tests compile each.
pub fn mappings() -> String {
    let mut page = MappingsPage { out: INTRODUCTION.to_owned() };
    for schema in TargetSchema::ALL {
        let table = schema.table().expect("the tests compile each table");
        page.schema(schema, &table);
    }
    page.out
}

struct MappingsPage {
    out: String,
}

impl MappingsPage {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn schema(&mut self, schema: TargetSchema, table: &MappingTable) {
        self.line(&format!("\n## {}\n", schema.name()));
        self.line(&format!(
            "{} (<{}>). Catch-all: {}.",
            table.schema,
            table.reference,
            code(&table.catch_all)
        ));
        self.line(&format!("\n### {}: fields of every record\n", schema.name()));
        self.line("| field | places |\n|---|---|");
        self.rows(&table.envelope, "");
        self.constants("\nAlways the same", &table.constants);
        self.constants("\nWhere there is nothing else", &table.fallback);
        for (name, values) in &table.values {
            let values: Vec<_> = values
                .iter()
                .map(|(from, to)| format!("{} {}", code(from), code(&shown(to))))
                .collect();
            self.line(&format!("\nValues {}: {}.", code(name), values.join(", ")));
        }
        if !table.class.is_empty() {
            self.classes(table);
        }
        self.line(&format!("\n### {}: types\n", schema.name()));
        let with_class = if table.class.is_empty() { "" } else { " class |" };
        self.line(&format!("| type |{with_class} always the same | fields of the payload |"));
        self.line(&format!("|---|{}---|---|", if table.class.is_empty() { "" } else { "---|" }));
        let names = catalog::all().map(|(_, event_type)| event_type.name).chain([GAP]);
        for name in names {
            if let Some(row) = table.types.get(name) {
                self.event_type(name, table, row);
            }
        }
    }

    fn rows(&mut self, text: &str, prefix: &str) {
        for row in rows(text).expect("the tests compile each table") {
            self.line(&format!(
                "| {} | {} |",
                code(&format!("{prefix}{}", row.source)),
                places(&row)
            ));
        }
    }

    fn constants(&mut self, what: &str, constants: &BTreeMap<String, toml::Value>) {
        if !constants.is_empty() {
            self.line(&format!("{what}: {}.", pairs(constants)));
        }
    }

    fn classes(&mut self, table: &MappingTable) {
        self.line("\nRows of the table above whose place a class lacks go to the catch-all in that class.\n");
        self.line("| class | name | its own rows | always there |\n|---|---|---|---|");
        let mut classes: Vec<_> = table.class.iter().collect();
        classes.sort_by_key(|(number, _)| number.parse::<u32>().unwrap_or_default());
        for (number, class) in classes {
            self.line(&format!(
                "| {number} | {} | {} | {} |",
                class.name,
                row_list(&class.envelope),
                class.required.iter().map(|place| code(place)).collect::<Vec<_>>().join(", "),
            ));
        }
    }

    fn event_type(&mut self, name: &str, table: &MappingTable, row: &TypeRow) {
        let class = match row.class {
            Some(number) => format!(" {} |", self.class(table, number, row.activity)),
            None => String::new(),
        };
        self.line(&format!(
            "| {} |{class} {} | {} |",
            code(name),
            pairs(&row.constants),
            row_list(&row.fields)
        ));
        for (value, case) in &row.case {
            let merged = row.with(case);
            let class = match merged.class {
                Some(number) => format!(" {} |", self.class(table, number, merged.activity)),
                None => String::new(),
            };
            let by = row.by.as_deref().unwrap_or_default();
            let value = if value == "*" { "any value" } else { value };
            self.line(&format!(
                "| {}, {} {value} |{class} {} | {} |",
                code(name),
                code(by),
                pairs(&case.constants),
                row_list(&case.fields)
            ));
        }
    }

    fn class(&self, table: &MappingTable, number: u32, activity: Option<u32>) -> String {
        let activity = activity.unwrap_or_default().to_string();
        let class = table.class.get(&number.to_string());
        let name = class.and_then(|class| class.activity.get(&activity));
        format!("{number}, {activity} {}", name.map_or("", String::as_str))
    }
}

/// Text in code quotes, for a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn pairs(constants: &BTreeMap<String, toml::Value>) -> String {
    let pair = |(place, value): (&String, &toml::Value)| {
        format!("{} {}", code(place), code(&shown(value)))
    };
    constants.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn places(row: &MappingRow) -> String {
    if row.places.is_empty() {
        return "catch-all".to_owned();
    }
    let place = |(conversion, place): &(Option<String>, String)| match conversion {
        Some(conversion) => format!("{conversion} {}", code(place)),
        None => code(place),
    };
    row.places.iter().map(place).collect::<Vec<_>>().join(", ")
}

/// Rows in one cell.
fn row_list(text: &str) -> String {
    let rows = rows(text).expect("the tests compile each table");
    let row = |row: &MappingRow| format!("{}: {}", code(&row.source), places(row));
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}
