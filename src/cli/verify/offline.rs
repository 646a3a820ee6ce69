//! Checks a data directory file by file.

use std::path::{Path, PathBuf};

use crate::cli::numbers::counted;
use crate::cli::trusted_keys::read_checkpoint;
use crate::cli::{Error, ExitKind, print};
use crate::proof::directory_check::{CheckReport, check_directory};
use crate::proof::{SignedCheckpoint, VerifierKey};

/// Checks a data directory, also against an earlier checkpoint.
pub fn check(
    folder: &Path,
    key: &VerifierKey,
    witnesses: &[VerifierKey],
    since: Option<&PathBuf>,
) -> Result<ExitKind, Error> {
    let mut kept = Vec::new();
    if let Some(file) = since {
        kept.push((read_checkpoint(file, key)?, file.display().to_string()));
    }
    let report = check_directory(folder, key, &kept)
        .map_err(|error| Error::Unverifiable(error.to_string()))?;
    let mut said = render(&report, &kept);
    let mut is_good = report.is_good();
    for witness in witnesses {
        let found = report.checkpoint.as_ref().map(|signed| signed.cosignature(witness));
        if let Some(Err(error)) = found {
            is_good = false;
            said.push_str(&format!("BAD: the checkpoint was not witnessed: {error}\n"));
        }
    }
    print(&said)?;
    Ok(if is_good { ExitKind::All } else { ExitKind::Some })
}

/// The report: what was checked, and what was found.
fn render(report: &CheckReport, kept: &[(SignedCheckpoint, String)]) -> String {
    let mut said = String::new();
    for finding in &report.findings {
        said.push_str(&format!("BAD: {}\n", finding.what));
    }
    let more = report.found - report.findings.len() as u64;
    if more > 0 {
        said.push_str(&format!("BAD: and {more} more findings\n"));
    }
    if let Some(bad) = report.first_bad() {
        said.push_str(&format!("the first bad record is {bad}\n"));
    }
    let range = match report.records {
        0 => "no records".to_owned(),
        records => format!("{records} records, {} to {}", report.first, report.last),
    };
    said.push_str(&format!(
        "checked: {range}: checksum, place and hash of each; {}; {}",
        counted(report.tiles, "tile"),
        counted(report.sidecars, "index file")
    ));
    if let Some(signed) = &report.checkpoint {
        let (size, origin) = (signed.size(), signed.origin());
        said.push_str(&format!("; the checkpoint of {size} records, signed by {origin}"));
        let unsigned = report.last.saturating_sub(size);
        if unsigned > 0 {
            said.push_str(&format!(", which does not cover the last {unsigned}"));
        }
    }
    for (signed, name) in kept {
        said.push_str(&format!("; {name}, of {} records", signed.size()));
    }
    said.push('\n');
    if let Some(bytes) = report.torn {
        said.push_str(&format!(
            "the last file ends in {bytes} bytes that are not a complete group: an append that was never acknowledged, or damage after the last record\n"
        ));
    }
    said
}
