//! Encodes records by mapping tables: `ocsf`, `ecs`, `cef` and `otlp`.

use super::{DeliveryGap, Format, FormatError, SourceRecord};
use crate::mapping::{MappingInput, MissingRecords, TargetSchema};

/// Records in another schema.
#[derive(Debug, Clone, Copy)]
pub struct MappedFormat {
    schema: TargetSchema,
}

impl MappedFormat {
    /// Compiles the tables of the schema, unless that is done.
    pub fn new(schema: TargetSchema) -> Self {
        schema.prepare();
        Self { schema }
    }
}

impl Format for MappedFormat {
    fn record(&self, source: &SourceRecord<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        self.schema.write(&MappingInput::new(source.record.bytes, source.log_id), out);
        Ok(())
    }

    fn gap(&self, gap: &DeliveryGap<'_>, out: &mut Vec<u8>) {
        let missing = MissingRecords {
            delivery: gap.delivery,
            log_id: gap.log_id,
            first: gap.first.0,
            last: gap.last.0,
            reason: gap.reason.name(),
            sentence: &gap.sentence(),
            time: gap.time.timestamp(),
        };
        self.schema.write_gap(&missing, out);
    }
}
