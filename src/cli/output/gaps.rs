//! Describes gaps in sentences.

use crate::proto::{PlainName as _, pb};

/// The reason of a gap, as metrics and deliveries name it.
pub fn gap_reason(gap: &pb::Gap) -> String {
    gap.reason().plain_name()
}

/// The sentence that describes a gap.
pub fn gap_sentence(gap: &pb::Gap) -> String {
    let which = match (gap.first_sequence, gap.last_sequence) {
        (0, 0) => "records".to_owned(),
        (0, last) => format!("records up to {last}"),
        (first, last) if first == last => format!("record {first}"),
        (first, last) => format!("records {first} to {last}"),
    };
    let verb = if which.starts_with("records") { "are" } else { "is" };
    match gap.reason() {
        pb::GapReason::Evicted => {
            format!("gap: {which} {verb} missing: evicted before they could be read")
        }
        pb::GapReason::OtherLog => {
            "gap: the cursor belongs to another log; reading from the oldest record".to_owned()
        }
        pb::GapReason::RolledBack => {
            format!("gap: {which} {verb} missing: lost when the log was reopened")
        }
        pb::GapReason::Damaged => format!("gap: {which} {verb} missing: damaged on disk"),
        pb::GapReason::Unspecified => format!("gap: {which} {verb} missing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_in_a_sentence() {
        let told = |first_sequence, last_sequence, reason: pb::GapReason| {
            gap_sentence(&pb::Gap { first_sequence, last_sequence, reason: reason.into() })
        };
        assert_eq!(
            told(3, 9, pb::GapReason::Evicted),
            "gap: records 3 to 9 are missing: evicted before they could be read"
        );
        assert_eq!(told(4, 4, pb::GapReason::Damaged), "gap: record 4 is missing: damaged on disk");
        assert_eq!(
            told(0, 5, pb::GapReason::Evicted),
            "gap: records up to 5 are missing: evicted before they could be read"
        );
        assert!(told(0, 0, pb::GapReason::OtherLog).contains("another log"));
    }
}
