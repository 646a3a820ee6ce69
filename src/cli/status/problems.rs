//! Finds the problems in a status.

use jiff::tz::TimeZone;

use super::operations::refused_reload;
use super::shared;
use crate::cli::numbers::counted;
use crate::cli::units::length;
use crate::proto::pb;

/// A row for each problem.
pub fn problems(status: &pb::GetStatusResponse, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let trouble = status.proof.as_ref().map(|proof| proof.trouble.clone());
    rows.extend(trouble.filter(|told| !told.is_empty()).map(|told| ("TROUBLE", told)));
    rows.extend(status.accept_time_ahead.as_ref().map(|ahead| ("CLOCK", clock(ahead))));
    rows.extend(refused_reload(status, zone).map(|told| ("RELOAD", told)));
    rows.extend(status.shared.iter().flat_map(shared::problems));
    let Some(disk) = &status.disk else { return rows };
    match disk.state() {
        pb::StorageState::Unspecified | pb::StorageState::Ready => {}
        pb::StorageState::Full => rows.push(("FULL", disk.reason.clone())),
        pb::StorageState::Away => rows.push(("AWAY", disk.reason.clone())),
        pb::StorageState::Failed => rows.push(("FAILED", disk.reason.clone())),
    }
    rows.extend(damaged(disk).map(|text| ("DAMAGED", text)));
    rows
}

/// The first damaged records, and how many ranges there are.
pub fn damaged(disk: &pb::DiskStatus) -> Option<String> {
    let (first, others) = disk.damaged.split_first()?;
    let mut text = match (first.first_sequence, first.last_sequence) {
        (first, last) if first == last => format!("record {first}"),
        (first, last) => format!("records {first} to {last}"),
    };
    if !others.is_empty() {
        text += &format!(", and {}", counted(others.len() as u64, "more range"));
    }
    Some(text)
}

/// The clock is behind the newest record.
fn clock(ahead: &prost_types::Duration) -> String {
    let by = length(ahead.seconds);
    format!(
        "behind the newest record by {by}: new records get its accept time; check the clock's synchronization"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_the_log_is_told_in_memory_too() {
        let ahead = |seconds| prost_types::Duration { seconds, nanos: 5 };
        let of = |accept_time_ahead| {
            let status = pb::GetStatusResponse { accept_time_ahead, ..Default::default() };
            problems(&status, &TimeZone::UTC)
        };
        assert_eq!(of(None), []);
        let told = "behind the newest record by 30 d 0 h: new records get its accept time; check \
                    the clock's synchronization";
        assert_eq!(of(Some(ahead(30 * 86_400))), [("CLOCK", told.to_owned())]);
    }
}
