//! The checks of a gateway that do not concern its storage or its clients.

use std::time::Duration;

use super::{Diagnosis, Evidence, Grade, clients, day, deliveries, shared, storage};
use crate::cli::times;
use crate::cli::units::length;
use crate::proto::pb;

/// A check, by its name.
type Check = (&'static str, fn(&Evidence<'_>) -> Vec<Diagnosis>);

/// All checks.
pub const CHECKS: [Check; 15] = [
    ("storage", storage::state),
    ("damage", storage::damage),
    ("disk", storage::disk),
    ("shared log", shared::shared),
    ("proof", storage::proof),
    ("signing key", storage::signing_key),
    ("certificates", certificates),
    ("clock", clock),
    ("reload", reload),
    ("memory", clients::ring),
    ("gaps", clients::gaps),
    ("accounts", clients::accounts),
    ("connections", clients::connections),
    ("deliveries", deliveries::deliveries),
    ("access", access),
];

const DAY_SECONDS: i64 = 86_400;
/// Days before the end of a certificate from which it is a warning, and critical.
const CERTIFICATE_DAYS: (i64, i64) = (30, 3);
/// Days before the end of the caller's credential from which it is a warning.
const CREDENTIAL_DAYS: i64 = 3;
/// The largest difference of two clocks, in addition to the time of the answer.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);

fn certificates(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let (soon, critical) = CERTIFICATE_DAYS;
    let now = evidence.now.as_second();
    let found = evidence.status.certificates.iter().filter_map(|own| {
        let end = own.expire_time.as_ref()?;
        let left = end.seconds.saturating_sub(now);
        let days = left.div_euclid(DAY_SECONDS);
        let grade = match days {
            days if days < critical => Grade::Critical,
            days if days < soon => Grade::Warning,
            _ => return None,
        };
        let file = if own.file.is_empty() { String::new() } else { format!(" in {}", own.file) };
        let when = match left {
            ..0 => "ended".to_owned(),
            left => format!("ends in {},", length(left)),
        };
        let on = day(end, &evidence.zone);
        let advice = match own.key.as_str() {
            "tls.cert" => {
                "replace it; one of `auditgate init` is renewed by `auditgate certs renew`. The \
                 gateway reads the new file by itself"
            }
            _ => "add the new CA to the file, or clients whose certificates it signed are refused",
        };
        let what = format!("the certificate{file} ({}) {when} on {on}", own.key);
        Some(Diagnosis::new(grade, what, advice).see("AuditgateCertificateEnds"))
    });
    found.collect()
}

/// Whether the gateway's clock agrees with its log, and with the local clock.
fn clock(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let ahead = evidence.status.accept_time_ahead.map(|ahead| {
        let what = format!(
            "the newest record was accepted {} after the time that the gateway's clock has now: until then, \
             all records get its accept time",
            length(ahead.seconds)
        );
        let advice = "find out whether the clock was ahead then or is behind now, and have it follow a time \
                      server. Records say in accept_time_raised what the clock said";
        Diagnosis::new(Grade::Warning, what, advice)
    });
    ahead.into_iter().chain(differing_clocks(evidence)).collect()
}

/// Compares the gateway's clock with the local clock.
fn differing_clocks(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(theirs) = gateway_time(evidence.status) else { return Vec::new() };
    let ours = evidence.now.as_nanosecond();
    let difference = theirs - ours;
    let allowed = (CLOCK_DIFFERENCE_MAX + evidence.answer_time).as_nanos();
    if difference.unsigned_abs() <= allowed {
        return Vec::new();
    }
    let seconds = i64::try_from(difference.unsigned_abs() / 1_000_000_000).unwrap_or(i64::MAX);
    let word = if difference > 0 { "ahead of" } else { "behind" };
    let what = format!("the gateway's clock is {} {word} the clock here", length(seconds));
    let advice = "find out which one is wrong, and have both follow a time server. The times of \
                  acceptance, `--since` of tail and retention by age go by the gateway's clock";
    vec![Diagnosis::new(Grade::Warning, what, advice)]
}

/// The time by the gateway's clock when it answered, in nanoseconds since 1970.
fn gateway_time(status: &pb::GetStatusResponse) -> Option<i128> {
    let nanos = |seconds: i64, nanos: i32| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (start, uptime) = (status.start_time?, status.uptime?);
    Some(nanos(start.seconds, start.nanos) + nanos(uptime.seconds, uptime.nanos))
}

fn reload(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(last) = evidence.status.last_reload.as_ref().filter(|last| !last.applied) else {
        return Vec::new();
    };
    let time = last.time.map(|time| times::format(&time, &evidence.zone, "%F %T"));
    let why = if last.error.is_empty() { String::new() } else { format!(": {}", last.error) };
    let what = format!("the reload at {} was refused{why}", time.unwrap_or_default());
    let advice = "repair the file: `auditgate config check` says what is wrong. The previous \
                  configuration stays in force, but a restart would fail";
    vec![Diagnosis::new(Grade::Warning, what, advice).see("AuditgateReloadRefused")]
}

/// What the caller may see, and for how long.
fn access(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    /// The name of the right to see other clients.
    const SUBSCRIBERS: &str = "subscribers";
    let caller = evidence.caller;
    let mut found = Vec::new();
    if !caller.authenticated {
        let what = "authentication is off: every client that reaches the gateway may do everything";
        let advice = "keep it on loopback, or set up TLS and tokens: `auditgate init`";
        found.push(Diagnosis::new(Grade::Note, what.to_owned(), advice));
    }
    if caller.authenticated && !caller.rights.iter().any(|right| right == SUBSCRIBERS) {
        let what = "you may not see other clients: their accounts, lags and disconnects were not looked at";
        let advice = "ask with a credential whose role has the right `subscribers`";
        found.push(Diagnosis::new(Grade::Note, what.to_owned(), advice));
    }
    if let Some(end) = &caller.expire_time {
        let left = end.seconds.saturating_sub(evidence.now.as_second());
        if left < CREDENTIAL_DAYS * DAY_SECONDS {
            let what = format!("your own credential ends in {}", length(left.max(0)));
            found.push(Diagnosis::new(Grade::Note, what, "renew the token or certificate"));
        }
    }
    found
}
