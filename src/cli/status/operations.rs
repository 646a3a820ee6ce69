//! Draws the operation of the gateway: refusals, connections, certificates, reloads.

use jiff::tz::TimeZone;

use crate::cli::numbers::{counted, grouped};
use crate::cli::times;
use crate::proto::pb;

/// The most reasons that are named.
const REASONS_MAX: usize = 5;

/// The number of refusals by reason, the most frequent first.
pub fn refused(status: &pb::GetStatusResponse) -> Option<String> {
    let count = |own: &pb::RefusalCount| own.calls.max(own.events);
    let named = status.refusals.iter().take(REASONS_MAX);
    let mut parts: Vec<String> =
        named.map(|own| format!("{} {}", grouped(count(own)), own.reason)).collect();
    let others = status.refusals.iter().skip(REASONS_MAX).count() as u64;
    if others > 0 {
        parts.push(counted(others, "other reason"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The numbers of open, refused and closed connections.
pub fn connections(status: &pb::GetStatusResponse) -> Option<String> {
    let found = status.connections.as_ref()?;
    let mut text = format!("{} of {} open", grouped(found.open), grouped(found.limit));
    for (count, what) in [
        (found.refused, "refused"),
        (found.tls_failed, "without a TLS handshake"),
        (found.cut, "closed by the gateway"),
    ] {
        if count > 0 {
            text += &format!(", {} {what}", grouped(count));
        }
    }
    if found.streams_reset > 0 {
        text += &format!("; {} reset", counted(found.streams_reset, "stream"));
    }
    Some(text)
}

/// When the first certificate ends.
pub fn certificates(status: &pb::GetStatusResponse, zone: &TimeZone) -> Option<String> {
    let told = |own: &pb::CertificateStatus| {
        let end = own.expire_time.map(|time| times::format(&time, zone, "%F")).unwrap_or_default();
        format!("{} ends on {end}", own.key)
    };
    let each: Vec<String> = status.certificates.iter().map(told).collect();
    (!each.is_empty()).then(|| each.join(", "))
}

/// When the last reload was applied.
pub fn reload(status: &pb::GetStatusResponse, zone: &TimeZone) -> Option<String> {
    let last = status.last_reload.as_ref().filter(|last| last.applied)?;
    let time = last.time.map(|time| times::format(&time, zone, "%F %T")).unwrap_or_default();
    Some(format!("applied at {time}"))
}

/// Why the last reload was refused, if it was.
pub fn refused_reload(status: &pb::GetStatusResponse, zone: &TimeZone) -> Option<String> {
    let last = status.last_reload.as_ref().filter(|last| !last.applied)?;
    let time = last.time.map(|time| times::format(&time, zone, "%F %T")).unwrap_or_default();
    let why = if last.error.is_empty() { String::new() } else { format!(": {}", last.error) };
    Some(format!("refused at {time}{why}; the previous configuration stays in force"))
}
