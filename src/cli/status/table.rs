//! Draws a status for people.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::Screen;
use super::accounts;
use super::disconnects;
use super::operations;
use super::problems::problems;
use super::shared;
use super::subscribers;
use crate::cli::forecast::{self, DiskForecast};
use crate::cli::numbers::{counted, grouped};
use crate::cli::terminal::{self, TextStyle};
use crate::cli::units::{length, rate, size};
use crate::cli::{escape, times};
use crate::proto::pb;

/// Width of the names of rows, in columns.
const NAME: usize = 11;
/// The most disconnects that are shown.
const DISCONNECTS_MAX: usize = 5;
/// Lines of a screen that subscribers get before disconnects get any.
const SUBSCRIBER_LINES: usize = 6;

/// Draws the table, problems first.
pub fn draw(status: &pb::GetStatusResponse, screen: &Screen) -> String {
    let mut lines = overview(status, screen);
    let most = screen.height.unwrap_or(usize::MAX);
    let mut room = most.saturating_sub(lines.len());
    let ended: usize = status.disconnects.len().min(DISCONNECTS_MAX);
    // The blank line and the headings of both tables.
    let ended = ended.min(room.saturating_sub(SUBSCRIBER_LINES + 2));
    let below = if ended > 0 { ended + 2 } else { 0 };
    room = room.saturating_sub(below);
    if room >= 2 {
        lines.push(String::new());
        lines.extend(subscribers::lines(status, screen, room - 1));
    }
    if ended > 0 {
        lines.push(String::new());
        lines.extend(disconnects::lines(status, screen, ended));
    }
    lines.truncate(most);
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The rows about the gateway, in lines.
fn overview(status: &pb::GetStatusResponse, screen: &Screen) -> Vec<String> {
    let Screen { width, zone, color, .. } = screen;
    let counters = status.counters.unwrap_or_default();
    let rates = status.rates.unwrap_or_default();
    let started = status.start_time.map(|time| times::format(&time, zone, "%F %T"));
    let uptime = status.uptime.as_ref().map_or(0, |uptime| uptime.seconds);
    let kept = match (status.record_count, status.first_sequence, status.last_sequence) {
        (0, next, _) => format!("no records; the next one is {next}"),
        (_, first, last) => format!("records {first} to {last}"),
    };
    let mut rows = vec![
        (
            "gateway",
            format!(
                "{}, up {}, since {}",
                status.version,
                length(uptime),
                started.unwrap_or_default()
            ),
        ),
        ("log", format!("{} {}: {kept}", status.log_kind, status.log_id)),
        ("kept", kept_of(status)),
        (
            "accepted",
            format!(
                "{} ({}/s), {}, {} refused, {} evicted",
                grouped(counters.accepted),
                rate(rates.accepted_per_second),
                counted(counters.duplicates, "duplicate"),
                grouped(counters.refused),
                grouped(counters.evicted)
            ),
        ),
        (
            "delivered",
            format!(
                "{} ({}/s) to subscribers, {}",
                grouped(counters.delivered),
                rate(rates.delivered_per_second),
                counted(counters.gaps, "gap")
            ),
        ),
    ];
    rows.extend(operations::refused(status).map(|text| ("refused", text)));
    rows.extend(operations::connections(status).map(|text| ("connections", text)));
    rows.extend(accounts::clients(status).map(|text| ("clients", text)));
    if status.disk.is_some() {
        rows.insert(3, ("memory", in_memory(status, status.memory_record_count)));
    }
    if let Some(found) = &status.disk {
        rows.push(("disk", disk(found, zone)));
        rows.extend(free(status, found).map(|text| ("free", text)));
    }
    if let Some(found) = &status.shared {
        rows.push(("shared", shared::shared(found)));
        rows.extend(shared::again(found).map(|text| ("again", text)));
    }
    rows.extend(status.proof.as_ref().map(|found| ("proof", proof(found, zone))));
    let last = status.last_sequence;
    let holds = status.retention_holds.iter().filter(|found| found.sequence < last);
    rows.extend(holds.map(|found| ("hold", hold(found, last))));
    rows.extend(operations::certificates(status, zone).map(|text| ("certificate", text)));
    rows.extend(operations::reload(status, zone).map(|text| ("reload", text)));
    let wrong = problems(status, zone).into_iter().map(|row| (TextStyle::Alarm, row));
    let mut lines = Vec::new();
    for (style, (name, text)) in wrong.chain(rows.into_iter().map(|row| (TextStyle::Bold, row))) {
        let label = color.paint(style, &terminal::fitted(name, NAME));
        lines.extend(terminal::labelled(&label, NAME, &escape::escaped(&text), *width));
    }
    lines
}

/// The amount of kept records, and its bounds.
fn kept_of(status: &pb::GetStatusResponse) -> String {
    match &status.disk {
        None => in_memory(status, status.record_count),
        Some(disk) if disk.byte_limit == 0 => {
            format!("{}, {}", counted(status.record_count, "record"), size(disk.byte_size))
        }
        Some(disk) => format!(
            "{}, {} of {}",
            counted(status.record_count, "record"),
            size(disk.byte_size),
            size(disk.byte_limit)
        ),
    }
}

/// The amount of records in memory, and its bounds.
fn in_memory(status: &pb::GetStatusResponse, records: u64) -> String {
    format!(
        "{} of {} records, {} of {}",
        grouped(records),
        grouped(status.record_limit),
        size(status.byte_size),
        size(status.byte_limit)
    )
}

/// The free space of the disk, and how long it lasts.
fn free(status: &pb::GetStatusResponse, disk: &pb::DiskStatus) -> Option<String> {
    let lasts = match forecast::at_present(status)? {
        DiskForecast::Unknown => String::new(),
        DiskForecast::Enough => ", more than the log will take".to_owned(),
        DiskForecast::FullIn(seconds) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            format!(", full in {} at the present rate", length(seconds))
        }
    };
    Some(format!("{} of {}{lasts}", size(disk.free_bytes), size(disk.size_bytes)))
}

/// The progress of the tree over the log.
fn proof(proof: &pb::ProofStatus, zone: &TimeZone) -> String {
    let mut text = format!(
        "{} records in the tree, {} signed by {}",
        grouped(proof.tree_size),
        grouped(proof.checkpoint_size),
        proof.key_name
    );
    if let Some(time) = &proof.checkpoint_time {
        let _ = write!(text, " at {}", times::format(time, zone, "%F %T"));
    }
    text
}

/// Describes a retention hold of a log whose newest record is `last`.
fn hold(hold: &pb::RetentionHold, last: u64) -> String {
    let behind = grouped(last.saturating_sub(hold.sequence));
    let limit = match hold.record_limit {
        0 => "no limit".to_owned(),
        limit => format!("limit {}", grouped(limit)),
    };
    format!("{} needs the newest {behind} records, {limit}", hold.name)
}

/// The state of the log on disk.
fn disk(disk: &pb::DiskStatus, zone: &TimeZone) -> String {
    let mut text =
        format!("{}, synced up to {} ({})", size(disk.byte_size), disk.synced_sequence, disk.sync);
    if let Some(time) = &disk.removed_until {
        let _ = write!(text, ", removed up to {}", times::format(time, zone, "%F %T"));
    }
    text
}

#[cfg(test)]
mod tests;
