//! Draws the subscribers of a status, those furthest behind first.

use crate::cli::columns::{Cell, Column, Grid};
use crate::cli::field_path::FieldPath;
use crate::cli::numbers::{counted, grouped};
use crate::cli::terminal::TextStyle;
use crate::cli::{escape, times};
use crate::json::{reflect, shape};
use crate::proto::pb;

use super::Screen;

/// The lag from which a subscriber is highlighted, in records.
const LAG_NOTABLE: u64 = 1_000;

/// The table in at most `most` lines; the last one says how many are omitted.
pub fn lines(status: &pb::GetStatusResponse, screen: &Screen, most: usize) -> Vec<String> {
    if status.subscribers.is_empty() {
        return vec!["no subscribers".to_owned()];
    }
    let mut found: Vec<&pb::Subscriber> = status.subscribers.iter().collect();
    // Subscribers with the largest lag come first.
    found.sort_by_key(|one| std::cmp::Reverse(one.lag));
    let all = status.subscriber_count.max(found.len() as u64);
    // One line for the headings, and one about omitted subscribers.
    let room = most.saturating_sub(1);
    if all > room as u64 {
        found.truncate(room.saturating_sub(1));
    }
    let rows: Vec<Vec<Cell>> = found.iter().map(|one| row(one, screen)).collect();
    let mut grid = Grid::new(columns(), screen.width);
    grid.fit(rows.iter().map(Vec::as_slice));
    let mut lines = vec![grid.headings(screen.color)];
    lines.extend(rows.iter().map(|row| grid.line(row, screen.color)));
    let left_out = all - found.len() as u64;
    if left_out > 0 {
        lines.push(format!("and {}", counted(left_out, "more subscriber")));
    }
    lines
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("SUBSCRIBER", 12, 30),
        Column::whole("LAG").of_numbers(),
        Column::whole("SEQUENCE").of_numbers(),
        Column::whole("DELIVERED").of_numbers(),
        Column::whole("SINCE"),
        Column::new("FILTER", 8, 20),
    ]
}

fn row(subscriber: &pb::Subscriber, screen: &Screen) -> Vec<Cell> {
    let is_notable = subscriber.lag >= LAG_NOTABLE;
    let style = if is_notable { TextStyle::Notable } else { TextStyle::Plain };
    let who = match subscriber.principal.as_str() {
        "" => subscriber.peer.clone(),
        principal => format!("{principal} {}", subscriber.peer),
    };
    let since = subscriber.start_time.map(|time| times::format(&time, &screen.zone, "%m-%d %T"));
    let filter = subscriber.filter.as_ref().map(filter_text).filter(|told| !told.is_empty());
    let filter = match (filter, &subscriber.filter) {
        (Some(filter), _) => filter,
        (None, Some(_)) => "everything".to_owned(),
        (None, None) => "not shown".to_owned(),
    };
    let texts = [
        escape::escaped(&who).into_owned(),
        grouped(subscriber.lag),
        grouped(subscriber.sequence),
        grouped(subscriber.delivered),
        since.unwrap_or_default(),
        escape::escaped(&filter).into_owned(),
    ];
    texts.map(|text| Cell::styled(text, style)).to_vec()
}

/// `types=session.*,exec text=drop`.
fn filter_text(filter: &pb::Filter) -> String {
    let (shape, reflected) = (shape("Filter"), reflect("Filter", filter));
    let fields = shape.fields().filter_map(|field| {
        let path = FieldPath::new(field.name(), &shape).ok()?;
        Some(format!("{}={}", field.name(), path.words(&reflected, ",")?))
    });
    fields.collect::<Vec<_>>().join(" ")
}
