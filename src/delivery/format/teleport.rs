//! Encodes records as lines of Teleport's audit log: flat JSON, as `auditgate export` writes it,
//! with the stable id as `auditgate.id`.

use prost::Message as _;
use serde_json::json;

use super::{DeliveryGap, Format, FormatError, SourceRecord};
use crate::mapping::GAP;
use crate::proto::pb;
use crate::teleport;

/// The key of the stable id.
const ID: &str = "auditgate.id";

/// Records as lines of Teleport's audit log.
#[derive(Debug, Clone, Copy)]
pub struct TeleportFormat;

impl Format for TeleportFormat {
    fn record(&self, source: &SourceRecord<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let error = |what: String| FormatError { sequence: source.record.sequence, what };
        let event =
            pb::Event::decode(source.record.event).map_err(|what| error(what.to_string()))?;
        let line = teleport::export(&event).map_err(|what| error(what.to_string()))?;
        let teleport::json::Json::Object(mut members) = line else {
            return Err(error("the line is no object".to_owned()));
        };
        members.insert(ID.into(), teleport::json::Json::String(source.id().into()));
        out.extend_from_slice(teleport::json::Json::Object(members).to_string().as_bytes());
        Ok(())
    }

    fn gap(&self, gap: &DeliveryGap<'_>, out: &mut Vec<u8>) {
        let line = json!({
            "event": GAP,
            "time": gap.time.to_string(),
            "message": gap.sentence(),
            "success": false,
            "delivery": gap.delivery,
            "first_sequence": gap.first.to_string(),
            "last_sequence": gap.last.to_string(),
            "reason": gap.reason.name(),
            ID: gap.id(),
        });
        out.extend_from_slice(line.to_string().as_bytes());
    }
}
