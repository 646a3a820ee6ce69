//! Draws deliveries for people.

use crate::cli::columns::{Cell, Column, Grid};
use crate::cli::escape;
use crate::cli::terminal::Color;
use crate::proto::{PlainName as _, pb};

const COLUMNS: [&str; 6] = ["NAME", "STATE", "LAG", "DELIVERED", "DEAD", "DESTINATION"];

/// One line a delivery, with the reason after deliveries that do not run.
pub fn list(deliveries: &[pb::Delivery], width: usize) -> String {
    let row = |one: &pb::Delivery| {
        let texts = [
            escape::escaped(&one.name).into_owned(),
            one.state().plain_name(),
            lag(one),
            one.delivered.to_string(),
            one.dead_letters.to_string(),
            escape::escaped(&one.destination).into_owned(),
        ];
        texts.map(Cell::plain).to_vec()
    };
    let rows: Vec<Vec<Cell>> = deliveries.iter().map(row).collect();
    let mut grid = Grid::new(COLUMNS.map(Column::whole).to_vec(), None);
    grid.fit(rows.iter().map(Vec::as_slice));
    let mut out = grid.headings(Color(false)) + "\n";
    for (row, one) in rows.iter().zip(deliveries) {
        out.push_str(&grid.line(row, Color(false)));
        out.push('\n');
        if !one.reason.is_empty() {
            let shown: String =
                escape::escaped(&one.reason).chars().take(width.max(40) - 2).collect();
            out.push_str(&format!("  {shown}\n"));
        }
    }
    out
}

/// One delivery in full.
pub fn show(one: &pb::Delivery) -> String {
    let mut rows = vec![
        ("name", escape::escaped(&one.name).into_owned()),
        ("state", one.state().plain_name()),
    ];
    if !one.reason.is_empty() {
        rows.push(("reason", escape::escaped(&one.reason).into_owned()));
    }
    let since = one.state_time.filter(|_| !one.reason.is_empty());
    rows.extend(since.map(|time| ("since", time.to_string())));
    rows.push(("destination", escape::escaped(&one.destination).into_owned()));
    rows.push(("format", one.format.clone()));
    rows.push(("position", format!("record {}", one.sequence)));
    rows.push(("lag", lag(one)));
    if let Some(time) = one.last_success_time {
        rows.push(("last success", time.to_string()));
    }
    rows.push((
        "delivered",
        format!(
            "{} records in {} batches, {} bytes",
            one.delivered, one.batches, one.delivered_bytes
        ),
    ));
    rows.push(("retries", one.retries.to_string()));
    rows.push((
        "dead letters",
        format!(
            "{} kept, {} bytes; {} refused since the start",
            one.dead_letters, one.dead_letter_bytes, one.rejected
        ),
    ));
    if one.gaps > 0 {
        rows.push(("gaps", format!("{}, with {} records", one.gaps, one.missed)));
    }
    if one.repeated_records > 0 {
        rows.push((
            "repeated",
            format!("{} records that the destination had", one.repeated_records),
        ));
    }
    let order = match one.in_flight_limit {
        0 | 1 => "records arrive in order",
        _ => "records arrive in order within a batch only",
    };
    rows.push(("in flight", format!("{} of {}; {order}", one.in_flight, one.in_flight_limit)));
    rows.push(("memory", format!("{} bytes", one.held_bytes)));
    if one.holds_retention {
        rows.push(("retention", "waits for this delivery".to_owned()));
    }
    if !one.acknowledged {
        rows.push((
            "loss",
            "the destination acknowledges nothing: what was written last can be lost when the connection breaks".to_owned(),
        ));
    }
    rows.iter().map(|(name, value)| format!("{name:<13}{value}\n")).collect()
}

fn lag(one: &pb::Delivery) -> String {
    let seconds = one.lag.map_or(0, |lag| lag.seconds);
    match one.lag_records {
        0 => "none".to_owned(),
        records => format!("{records} records, {seconds} s"),
    }
}
