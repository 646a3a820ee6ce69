//! Reads when certificates end, and warns before they do.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::Time;

/// How long before the end of a certificate the warnings begin.
pub const WARNING_TIME: Duration = Duration::from_secs(30 * DAY_SECONDS as u64);
/// How often a running gateway repeats the warning.
pub const WARNING_INTERVAL: Duration = Duration::from_secs(DAY_SECONDS as u64);

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// When the first certificate of a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// The end, in seconds since 1970.
    pub at: i64,
}

impl Expiry {
    /// Whether the certificate has ended.
    pub fn is_past(&self, now: SystemTime) -> bool {
        self.at < seconds(now)
    }

    /// The warning for the operator; `None` if the end is further than [`WARNING_TIME`] away.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let left = self.at.saturating_sub(seconds(now));
        if left >= WARNING_TIME.as_secs() as i64 {
            return None;
        }
        let (key, file) = (self.key, self.file.display());
        let when = match left / DAY_SECONDS {
            _ if left < 0 => "ended".to_owned(),
            0 => "ends today".to_owned(),
            days => format!("ends in {days} days"),
        };
        let advice = match key {
            "tls.cert" => {
                "replace it by a new one; one of `auditgate init` is renewed by `auditgate certs renew`"
            }
            _ => {
                "clients whose certificates it signed are refused then; add the new CA to the file"
            }
        };
        Some(format!("the certificate in {file} ({key}) {when}, on {}: {advice}", self.date()))
    }

    /// The day of the end in UTC, such as `2027-01-31`.
    pub fn date(&self) -> String {
        /// The length of the date in the text of a time.
        const DATE_BYTES: usize = 10;
        let time = Time::from_parts(self.at, 0).map(|time| time.to_string()).unwrap_or_default();
        time.get(..DATE_BYTES).unwrap_or_default().to_owned()
    }
}

fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_warned_from_30_days_before_the_end() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let expiry = |left: i64| Expiry {
            key: "tls.cert",
            file: "server.pem".into(),
            at: 1_800_000_000 + left,
        };
        assert_eq!(expiry(30 * DAY_SECONDS).warning(now), None);
        for (left, when) in [
            (30 * DAY_SECONDS - 1, "ends in 29 days, on 2027-02-14"),
            (DAY_SECONDS, "ends in 1 days, on 2027-01-16"),
            (60, "ends today, on 2027-01-15"),
            (-60, "ended, on 2027-01-15"),
        ] {
            let warning = expiry(left).warning(now).unwrap_or_default();
            assert!(warning.contains("server.pem") && warning.contains(when), "{warning}");
            assert_eq!(expiry(left).is_past(now), left < 0);
        }
    }
}
