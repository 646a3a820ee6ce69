//! Checks the log, its disk and its proof.

use super::{Diagnosis, Evidence, Grade};
use crate::cli::forecast::{self, DiskForecast};
use crate::cli::numbers::grouped;
use crate::cli::status;
use crate::cli::times;
use crate::cli::units::{length, size};
use crate::proto::pb;

/// Seconds until the disk is full below which that is critical, and a warning.
const DISK_SECONDS: (u64, u64) = (4 * 3_600, 4 * 86_400);
/// Divisors of the disk's size: less free space than that part is critical, and a warning.
const DISK_PARTS: (u64, u64) = (50, 10);
/// The oldest age of the newest checkpoint while records arrive, in seconds.
const CHECKPOINT_SECONDS_MAX: i64 = 15 * 60;

/// Whether the log accepts events.
pub fn state(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(disk) = &evidence.status.disk else { return Vec::new() };
    let found = match disk.state() {
        pb::StorageState::Unspecified | pb::StorageState::Ready => return Vec::new(),
        pb::StorageState::Full => Diagnosis::new(
            Grade::Critical,
            format!("the log accepts no events, since its disk is full: {}", disk.reason),
            "make space: remove other files, enlarge the volume, or lower retain.bytes or \
             retain.age and restart. Do not remove files of the log by hand",
        )
        .see("AuditgateLogFull"),
        pb::StorageState::Away => Diagnosis::new(
            Grade::Critical,
            format!("the log accepts no events at the moment: {}", disk.reason),
            "it accepts events again by itself. If it does not, look at the servers that keep it, \
             and at the network between them and the gateway",
        )
        .see("AuditgateLogAway"),
        pb::StorageState::Failed => Diagnosis::new(
            Grade::Critical,
            format!("the log is read-only, since its storage failed: {}", disk.reason),
            "make sure that the storage works (the kernel's log names the device), or move the data \
             directory; then restart the gateway",
        )
        .see("AuditgateLogFailed"),
    };
    vec![found]
}

/// Records that cannot be read.
pub fn damage(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let disk = evidence.status.disk.as_ref();
    let Some(damaged) = disk.and_then(status::damaged) else { return Vec::new() };
    let advice = "check the disk. If there is a copy of the segment file, put it back while the \
                  gateway is stopped; `auditgate verify --data-dir DIR` reads every record";
    let what = format!("{damaged} cannot be read: damaged on disk");
    vec![Diagnosis::new(Grade::Critical, what, advice).see("AuditgateRecordsDamaged")]
}

/// Whether the disk lasts.
pub fn disk(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(disk) = &evidence.status.disk else { return Vec::new() };
    if disk.size_bytes == 0 {
        let what = "the gateway does not know how much of the log's disk is free".to_owned();
        return vec![Diagnosis::new(
            Grade::Note,
            what,
            "check on the gateway's machine: df, mount, dmesg",
        )];
    }
    let present = forecast::at_present(evidence.status);
    // A burst does not last for days, so the mean rate is used, too.
    let mean = forecast::in_the_mean(evidence.status);
    let lasts = |forecast| match forecast {
        Some(DiskForecast::FullIn(seconds)) => seconds,
        Some(DiskForecast::Enough | DiskForecast::Unknown) | None => u64::MAX,
    };
    let is_enough = present == Some(DiskForecast::Enough);
    let less_than = |parts: u64| !is_enough && disk.free_bytes < disk.size_bytes / parts;
    let days = lasts(present).max(lasts(mean));
    let grade = if less_than(DISK_PARTS.0) || lasts(present) < DISK_SECONDS.0 {
        Grade::Critical
    } else if less_than(DISK_PARTS.1) || days < DISK_SECONDS.1 {
        Grade::Warning
    } else {
        return Vec::new();
    };
    let lasts = lasts(present);
    let when = match lasts {
        u64::MAX => String::new(),
        seconds => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            format!(", which last for {} at the present rate", length(seconds))
        }
    };
    let (free, all) = (size(disk.free_bytes), size(disk.size_bytes));
    let advice = "free some space, enlarge the volume, or keep less: retain.bytes, retain.age. When \
                  it is full, the gateway refuses events";
    let what = format!("the disk of the log has {free} of {all} free{when}");
    vec![Diagnosis::new(grade, what, advice).see("AuditgateDiskNearlyFull")]
}

/// Whether checkpoints are signed, and match the log.
pub fn proof(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(proof) = &evidence.status.proof else { return Vec::new() };
    if proof.broken {
        let what = format!("the log does not match its checkpoints: {}", proof.trouble);
        let advice = "treat it as an incident: stop changes, copy the data directory, find out who \
                      had access; `auditgate verify --data-dir DIR` names the first wrong record";
        return vec![Diagnosis::new(Grade::Critical, what, advice).see("AuditgateProofBroken")];
    }
    if !proof.trouble.is_empty() {
        let what = format!("no checkpoints are signed: {}", proof.trouble);
        let advice = "check the disk, or the record that cannot be read";
        return vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateProofStopped")];
    }
    let behind = evidence.status.last_sequence.saturating_sub(proof.checkpoint_size);
    let age = |time: &prost_types::Timestamp| evidence.now.as_second().saturating_sub(time.seconds);
    let age = proof.checkpoint_time.as_ref().map(age).filter(|age| *age > CHECKPOINT_SECONDS_MAX);
    let (Some(age), true) = (age, behind > 0) else { return Vec::new() };
    let what = format!(
        "the newest checkpoint is {} old, and lacks {} records",
        length(age),
        grouped(behind)
    );
    let advice = "look at the gateway's log; if it has no error, the prover cannot keep up";
    vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateProofStopped")]
}

/// Whether anyone who can change the log can also sign it.
pub fn signing_key(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let proof = evidence.status.proof.as_ref();
    let Some(proof) = proof.filter(|proof| proof.key_beside_log) else { return Vec::new() };
    let signed = proof.checkpoint_time.map(|time| times::format(&time, &evidence.zone, "%F %T"));
    let signed = signed.map(|time| format!(" (the newest is of {time})")).unwrap_or_default();
    let what = "the signing key lies beside the log: whoever can change the log can sign the change, \
                too";
    let advice = format!(
        "keep the key elsewhere (`auditgate keygen`, --signing-key), or keep checkpoints{signed} where \
         the gateway cannot change them: `auditgate checkpoint`, `auditgate witness`"
    );
    vec![Diagnosis::new(Grade::Note, what.to_owned(), advice)]
}
