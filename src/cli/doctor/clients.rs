//! Checks the resources that clients use, and the records that readers miss.

use super::{Diagnosis, Evidence, Grade};
use crate::cli::numbers::{counted, grouped};
use crate::cli::units::{length, size};
use crate::proto::pb;

/// The part of a limit from which a value is near it, in percent.
const NEAR_PERCENT: u64 = 80;
/// The most clients that a finding names.
const CLIENTS_MAX: usize = 3;
/// The smallest lag that counts, in records.
const LAG_MIN: u64 = 1_000;

fn is_near(used: u64, limit: u64) -> bool {
    limit > 0 && u128::from(used) * 100 >= u128::from(limit) * u128::from(NEAR_PERCENT)
}

/// Whether records leave the memory before subscribers have read them.
pub fn ring(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let status = evidence.status;
    let kept = status.memory_record_count;
    let behind = |one: &&pb::Subscriber| one.lag >= LAG_MIN && one.lag > kept / 2;
    let slow: Vec<&pb::Subscriber> = status.subscribers.iter().filter(behind).collect();
    let Some(slowest) = slow.iter().max_by_key(|one| one.lag) else { return Vec::new() };
    let who = match slowest.principal.as_str() {
        "" => slowest.peer.clone(),
        principal => format!("{principal} ({})", slowest.peer),
    };
    let others = match slow.len() as u64 - 1 {
        0 => String::new(),
        others => format!(", and {} more than half of the memory behind", counted(others, "other")),
    };
    let (lag, kept_text) = (grouped(slowest.lag), grouped(kept));
    let is_disk = status.disk.is_some();
    let consequence = match (is_disk, left(status, slowest.lag)) {
        (true, _) => "it reads from the disk".to_owned(),
        (false, Some(seconds)) => {
            format!("it loses records in {} at the present rate", length(seconds))
        }
        (false, None) => "it loses records if it falls back further".to_owned(),
    };
    let grade = if is_disk { Grade::Note } else { Grade::Warning };
    let what = format!(
        "subscriber {who} is {lag} records behind, of {kept_text} in memory: {consequence}{others}"
    );
    let advice = "find out why it is slow, narrow its filter, or enlarge ring.bytes and \
                  ring.records; with a data directory, records are kept on disk, too";
    vec![Diagnosis::new(grade, what, advice).see("AuditgateRingTooSmall")]
}

/// Seconds until a subscriber's next record is evicted, if the ring is full.
fn left(status: &pb::GetStatusResponse, lag: u64) -> Option<i64> {
    let rate = status.rates.unwrap_or_default().accepted_per_second;
    let is_full = status.counters.unwrap_or_default().evicted > 0;
    let records = status.memory_record_count.saturating_sub(lag);
    (is_full && rate > 0.0).then(|| (records as f64 / rate) as i64)
}

/// Records that subscribers did not get.
pub fn gaps(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let name = |gap: &pb::GapCount| match gap.reason() {
        pb::GapReason::Evicted => "evicted before they were read",
        pb::GapReason::OtherLog => "a cursor of another log",
        pb::GapReason::RolledBack => "lost when the log was reopened",
        pb::GapReason::Damaged => "damaged",
        pb::GapReason::Unspecified => "unknown",
    };
    let found: Vec<&pb::GapCount> =
        evidence.status.gaps.iter().filter(|gap| gap.count > 0).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let each: Vec<String> =
        found.iter().map(|gap| format!("{} {}", grouped(gap.count), name(gap))).collect();
    let all = counted(found.iter().map(|gap| gap.count).sum(), "gap");
    let what = format!("subscribers got {all} since the start: {}", each.join(", "));
    let advice = "evicted: make the reader faster, or keep more (ring, data directory). Another log: \
                  was the data directory replaced? Readers start at a time instead of the cursor";
    vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateReadersMissRecords")]
}

/// Clients that are near their limits.
pub fn accounts(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(limits) = evidence.status.account_limits else { return Vec::new() };
    let near: Vec<String> =
        evidence.status.accounts.iter().filter_map(|account| used_up(account, &limits)).collect();
    if near.is_empty() {
        return Vec::new();
    }
    let mut what = near.iter().take(CLIENTS_MAX).cloned().collect::<Vec<_>>().join("; ");
    let others = near.len().saturating_sub(CLIENTS_MAX) as u64;
    if others > 0 {
        what += &format!("; and {}", counted(others, "more client"));
    }
    let advice = "have the client read its answers and close what it does not use, or raise the \
                  limits: limits.waiting_bytes, limits.receiving_bytes, limits.subscribers, \
                  limits.emit_streams. Beyond them it is refused, or waits";
    let what = format!("near a limit: {what}");
    vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateClientsAtTheirLimits")]
}

/// The limit that a client has nearly reached, if any.
fn used_up(account: &pb::MemoryAccount, limits: &pb::AccountLimits) -> Option<String> {
    let (held, limit) = (account.holding.unwrap_or_default(), limits.holding.unwrap_or_default());
    let bytes = [
        (held.call_bytes, limit.call_bytes, "of open calls"),
        (held.receiving_bytes, limit.receiving_bytes, "of unfinished requests"),
        (held.filter_bytes, limit.filter_bytes, "of filters"),
        (held.room_bytes, limit.room_bytes, "of requests and unread answers"),
    ];
    let counts = [
        (account.subscriber_count, limits.subscribers, "subscriptions"),
        (account.emit_stream_count, limits.emit_streams, "emit streams"),
    ];
    let of_bytes = bytes
        .iter()
        .filter(|(used, limit, _)| is_near(*used, *limit))
        .map(|(used, limit, what)| format!("{} of {} {what}", size(*used), size(*limit)));
    let of_counts = counts
        .iter()
        .filter(|(used, limit, _)| is_near(*used, *limit))
        .map(|(used, limit, what)| format!("{} of {} {what}", grouped(*used), grouped(*limit)));
    let each: Vec<String> = of_bytes.chain(of_counts).collect();
    (!each.is_empty()).then(|| format!("{} has {}", account.client, each.join(", ")))
}

/// Whether new clients can connect.
pub fn connections(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(found) = evidence.status.connections.filter(|own| is_near(own.open, own.limit)) else {
        return Vec::new();
    };
    let what = format!(
        "{} of {} connections are open; {} were refused since the start",
        grouped(found.open),
        grouped(found.limit),
        grouped(found.refused)
    );
    let advice = "raise limits.connections and the limit of open files, or find out who opens so many: \
                  `auditgate status -o json` lists the accounts";
    vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateFilesNearlyUsedUp")]
}
