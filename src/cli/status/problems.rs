//! What has gone wrong, by a status.

use crate::cli::count::counted;
use crate::proto::pb;

/// A row for each thing that has gone wrong.
pub fn problems(status: &pb::GetStatusResponse) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let trouble = status.proof.as_ref().map(|proof| proof.trouble.clone());
    rows.extend(trouble.filter(|told| !told.is_empty()).map(|told| ("TROUBLE", told)));
    let Some(disk) = &status.disk else { return rows };
    match disk.state() {
        pb::StorageState::Unspecified | pb::StorageState::Ready => {}
        pb::StorageState::Full => rows.push(("FULL", disk.reason.clone())),
        pb::StorageState::Failed => rows.push(("FAILED", disk.reason.clone())),
    }
    if let [first, others @ ..] = disk.damaged.as_slice() {
        let mut text = match (first.first_sequence, first.last_sequence) {
            (first, last) if first == last => format!("record {first}"),
            (first, last) => format!("records {first} to {last}"),
        };
        if !others.is_empty() {
            text += &format!(", and {}", counted(others.len() as u64, "more range"));
        }
        rows.push(("DAMAGED", text));
    }
    rows
}
