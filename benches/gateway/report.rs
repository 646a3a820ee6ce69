//! The table, and the same as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::rounds::Row;

const COLUMNS: [&str; 9] =
    ["name", "ours", "peer", "ratio", "min", "max", "by cpu", "unit", "peer is"];

/// Prints the rows as a table in Markdown, columns aligned.
pub fn print(rows: &[Row]) {
    let mut table = vec![COLUMNS.map(str::to_owned)];
    table.push(COLUMNS.map(|column| "-".repeat(column.len())));
    table.extend(rows.iter().map(cells));
    let mut widths = [0; COLUMNS.len()];
    for line in &table {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    for line in &table {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
    }
}

/// Writes the rows as an object by name.
///
/// # Errors
/// If the file cannot be written.
pub fn write(rows: &[Row], file: &Path) -> std::io::Result<()> {
    let entries: Map<String, Value> =
        rows.iter().map(|row| (row.name.to_owned(), entry(row))).collect();
    std::fs::write(file, format!("{:#}\n", Value::Object(entries)))
}

fn entry(row: &Row) -> Value {
    let peer = row.peer.as_ref();
    json!({
        "ours": row.ours,
        "peer": peer.map(|peer| peer.value),
        "ratio": peer.map(|peer| peer.ratio.median),
        "ratio_min": peer.map(|peer| peer.ratio.min),
        "ratio_max": peer.map(|peer| peer.ratio.max),
        "cpu_ratio": peer.and_then(|peer| peer.cpu_ratio),
        "unit": row.unit,
        "peer_name": peer.map(|peer| peer.name),
    })
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let ratio = |ratio: f64| format!("{ratio:.2}");
    let [value, median, min, max, cpu, name] = match &row.peer {
        Some(peer) => [
            number(peer.value),
            ratio(peer.ratio.median),
            ratio(peer.ratio.min),
            ratio(peer.ratio.max),
            peer.cpu_ratio.map_or_else(|| "-".to_owned(), ratio),
            peer.name.to_owned(),
        ],
        None => std::array::from_fn(|_| "-".to_owned()),
    };
    [row.name.to_owned(), number(row.ours), value, median, min, max, cpu, row.unit.to_owned(), name]
}

/// Three significant digits, and thousands apart.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
