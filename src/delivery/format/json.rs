//! Encodes records as protobuf JSON: the output of `auditgate search -o ndjson`, with an id. Fields
//! that this version does not know are kept in `unknown_fields` of their message, as base64.

use serde_json::json;

use super::{DeliveryGap, Format, FormatError, SourceRecord};
use crate::hub::Gap;
use crate::json;
use crate::mapping::wire_json;
use crate::proto::pb;
use crate::wire::RECORD;

/// Records as protobuf JSON after an additional field `id`; records have no field of this name.
#[derive(Debug, Clone, Copy)]
pub struct JsonFormat;

impl Format for JsonFormat {
    fn record(&self, source: &SourceRecord<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        out.extend_from_slice(format!("{{\"id\":\"{}\"", source.id()).as_bytes());
        let fields = out.len();
        wire_json::write(out, RECORD, source.record.bytes);
        // Every record has a sequence, so the brace is followed by a field.
        if let Some(brace) = out.get_mut(fields) {
            *brace = b',';
        }
        Ok(())
    }

    fn gap(&self, gap: &DeliveryGap<'_>, out: &mut Vec<u8>) {
        let missing = Gap { first: gap.first, last: gap.last, reason: gap.reason };
        let message = json::reflect("Gap", &pb::Gap::from(missing));
        let head = json!({
            "id": gap.id(),
            "delivery": gap.delivery,
            "message": gap.sentence(),
            "time": gap.time.to_string(),
        });
        out.extend_from_slice(head.to_string().trim_end_matches('}').as_bytes());
        out.extend_from_slice(b",\"gap\":");
        out.extend_from_slice(json::line(&message).as_bytes());
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::delivery::format::testing;
    use crate::hub::GapReason;
    use crate::record::{Record, Sequence};
    use crate::time::Time;

    #[test]
    fn a_record_has_its_id_and_every_field() {
        let bytes = testing::record(7);
        let record = Record::read(&bytes);
        let mut out = b"before".to_vec();
        let source = SourceRecord { record: &record, log_id: "log" };
        JsonFormat.record(&source, &mut out).expect("it has a form");
        let line = out.strip_prefix(b"before".as_slice()).expect("what was there is left");
        assert!(!line.contains(&b'\n'));
        let value: Value = serde_json::from_slice(line).expect("it is JSON");
        assert_eq!(value["id"], "log/7");
        assert_eq!(value["sequence"], "7");
        assert_eq!(value["event"]["user"]["name"], "alice");
    }

    #[test]
    fn a_gap_has_its_range_and_reason() {
        let gap = DeliveryGap {
            delivery: "siem",
            log_id: "log",
            first: Sequence(3),
            last: Sequence(9),
            reason: GapReason::Evicted,
            time: Time(0),
        };
        let mut out = Vec::new();
        JsonFormat.gap(&gap, &mut out);
        let value: Value = serde_json::from_slice(&out).expect("it is JSON");
        assert_eq!(value["id"], "log/3-9");
        assert_eq!(value["gap"]["first_sequence"], "3");
        assert_eq!(value["gap"]["last_sequence"], "9");
        assert_eq!(value["gap"]["reason"], "GAP_REASON_EVICTED");
        assert_eq!(value["time"], "1970-01-01T00:00:00Z");
    }
}
