//! Formats durations, sizes and rates in few characters.

use crate::cli::numbers::grouped;

/// `2 d 3 h`: the two largest units.
pub fn length(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in UNITS.into_iter().skip(1) {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    if amount >= 100.0 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// `1,234` or `0.5`.
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 {
        grouped(per_second.round() as u64)
    } else {
        format!("{per_second:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!([size(0), size(1_023), size(1_024)], ["0 B", "1023 B", "1.0 KiB"]);
        assert_eq!([size(256 << 20), size(u64::MAX)], ["256 MiB", "16777216 TiB"]);
        assert_eq!([length(59), length(61)], ["59 s", "1 min 1 s"]);
        assert_eq!([length(3_660), length(90_000)], ["1 h 1 min", "1 d 1 h"]);
    }
}
