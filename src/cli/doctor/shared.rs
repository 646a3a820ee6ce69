//! Checks a log that several gateways share.

use super::{Diagnosis, Evidence, Grade};
use crate::cli::numbers::counted;

/// The largest lag of a gateway that its readers do not notice, in messages.
const LAG_MAX: u64 = 128;

/// Whether the gateway agrees with the others, and the servers are as they should be.
pub fn shared(evidence: &Evidence<'_>) -> Vec<Diagnosis> {
    let Some(shared) = &evidence.status.shared else { return Vec::new() };
    let mut found = Vec::new();
    if shared.disagreements > 0 {
        let what = format!(
            "this gateway and another one have different copies of the log: {}",
            shared.disagreement
        );
        let advice = "treat it as an incident: compare `auditgate checkpoint` of all gateways, stop \
                      the one that differs, keep its data directory, and let it join anew";
        found.push(Diagnosis::new(Grade::Critical, what, advice).see("AuditgateDisagreement"));
    }
    if shared.invalid > 0 {
        let what = format!(
            "the stream has {} that no cluster key authenticates",
            counted(shared.invalid, "message")
        );
        let advice = "give all gateways the same cluster key, and let nobody else publish to the \
                      stream's subject";
        found.push(Diagnosis::new(Grade::Warning, what, advice).see("AuditgateForgedMessages"));
    }
    if shared.lag > LAG_MAX {
        let what = format!("its copy is {} behind the stream", counted(shared.lag, "message"));
        let advice = "look at the gateway's processor and disk, and at the network to the servers";
        found.push(Diagnosis::new(Grade::Warning, what, advice).see("AuditgateCopyBehind"));
    }
    found.extend(shared.warnings.iter().map(|warning| {
        let advice = "change the configuration of the servers, and restart them one at a time";
        Diagnosis::new(Grade::Warning, warning.clone(), advice).see("AuditgateSharedWarning")
    }));
    found
}
