//! Checks the deliveries to other systems.

use super::{Diagnosis, Evidence, Grade};
use crate::cli::numbers::counted;
use crate::cli::units::length;
use crate::proto::pb;

/// The lag from which a running delivery does not keep up, in seconds.
const LAG_SECONDS_MAX: i64 = 900;

/// Whether deliveries run, keep up, and lose nothing.
pub fn deliveries(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let now = evidence.now.as_second();
    evidence.deliveries.iter().flat_map(|one| of_one(one, now)).collect()
}

fn of_one(one: &pb::Delivery, now: i64) -> impl Iterator<Item = Diagnosis> {
    let name = &one.name;
    let letters = (one.dead_letters > 0).then(|| {
        let kept = counted(one.dead_letters, "record");
        let what = format!("delivery {name}: its destination refused {kept}, kept as dead letters");
        let advice = format!(
            "find out why by `auditgate delivery show {name}`, then send them again by `auditgate \
             delivery replay {name}`"
        );
        Diagnosis::new(Grade::Warning, what, advice).see("AuditgateDeliveryDeadLetters")
    });
    let missed = (one.missed > 0).then(|| {
        let missed = counted(one.missed, "record");
        let what = format!("delivery {name}: {missed} were removed or lost before they were delivered");
        let advice = "keep records longer (`retain.age`, `retain.bytes`), or let the delivery hold them \
                      (`hold = true`)";
        Diagnosis::new(Grade::Warning, what, advice).see("AuditgateDeliveryMissesRecords")
    });
    [state(one, now), letters, missed].into_iter().flatten()
}

fn state(one: &pb::Delivery, now: i64) -> Option<Diagnosis> {
    let name = &one.name;
    let since = one.state_time.as_ref().map(|time| now.saturating_sub(time.seconds).max(0));
    let since = since.map(|seconds| format!(" for {}", length(seconds))).unwrap_or_default();
    let reason = if one.reason.is_empty() { String::new() } else { format!(": {}", one.reason) };
    let behind = match one.lag_records {
        0 => String::new(),
        lag => format!("; {} wait", counted(lag, "record")),
    };
    let found = |grade, state: &str, advice: &str, section| {
        let what = format!("delivery {name} {state}{since}{reason}{behind}");
        Some(Diagnosis::new(grade, what, advice.replace("NAME", name)).see(section))
    };
    match one.state() {
        pb::DeliveryState::Running => {
            let lag = one.lag.as_ref().map_or(0, |lag| lag.seconds);
            (lag > LAG_SECONDS_MAX).then(|| {
                let what = format!("delivery {name} is {} behind{behind}", length(lag));
                let advice = "raise `batch_records` and `batch_bytes`, set `gzip`, or raise \
                              `in_flight` if the order of records does not matter";
                Diagnosis::new(Grade::Warning, what, advice).see("AuditgateDeliveryBehind")
            })
        }
        pb::DeliveryState::Retrying => found(
            Grade::Warning,
            "has retried",
            "make its destination available: the gateway tries again by itself",
            "AuditgateDeliveryRetrying",
        ),
        pb::DeliveryState::Blocked => found(
            Grade::Critical,
            "has been blocked",
            "fix the reason: the gateway retries every minute",
            "AuditgateDeliveryBlocked",
        ),
        pb::DeliveryState::Undecided => found(
            Grade::Critical,
            "has been undecided",
            "its cursor is of another destination: say where to begin by `auditgate delivery \
             resume NAME --from SEQUENCE`",
            "AuditgateDeliveryBlocked",
        ),
        pb::DeliveryState::Paused => {
            let grade = if one.holds_retention { Grade::Warning } else { Grade::Note };
            let advice = match one.holds_retention {
                true => {
                    "it holds records meanwhile: `auditgate delivery resume NAME` when it may go on"
                }
                false => "`auditgate delivery resume NAME` when it may go on",
            };
            let what = format!("delivery {name} has been paused{since}{behind}");
            Some(Diagnosis::new(grade, what, advice.replace("NAME", name)))
        }
        pb::DeliveryState::Elsewhere => None,
        pb::DeliveryState::Ended | pb::DeliveryState::Unspecified => {
            let what = format!("delivery {name} has ended{reason}{behind}");
            let advice = "look at the gateway's own log, and restart the gateway";
            Some(Diagnosis::new(Grade::Critical, what, advice))
        }
    }
}
