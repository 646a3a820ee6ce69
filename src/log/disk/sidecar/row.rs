//! The columns of a record in a sidecar. Event types are named by the field number of
//! their payload, which no later version of the protocol changes.

use std::sync::LazyLock;

use super::FixedFields;
use crate::catalog::{self, CUSTOM, TypeId};
use crate::record::RecordColumns;

/// Length of the columns of one record, in bytes.
pub const COLUMNS_BYTES: usize = 36;

/// The type of each field number.
static BY_NUMBER: LazyLock<Vec<TypeId>> = LazyLock::new(|| {
    let largest = catalog::all().map(|(_, event_type)| event_type.number).max().unwrap_or(0);
    let custom = TypeId::of(CUSTOM);
    (0..=largest).map(|number| catalog::by_number(number).unwrap_or(custom)).collect()
});

/// The columns in a row of the table; those of a type that this program does not
/// know are those of a custom event.
pub fn columns(row: &[u8; COLUMNS_BYTES]) -> RecordColumns {
    let mut fields = FixedFields(row);
    let mut number = || fields.u32().unwrap_or_default();
    let (low, high) = (number(), number());
    let time = crate::time::Time((u64::from(low) | u64::from(high) << 32) as i64);
    let (id, user, impersonator, session, server) =
        (number(), number(), number(), number(), number());
    let type_id = BY_NUMBER.get(number() as usize).copied();
    let [severity, result, ..] = number().to_le_bytes();
    let type_id = type_id.unwrap_or_else(|| TypeId::of(CUSTOM));
    RecordColumns { time, id, user, impersonator, session, server, type_id, severity, result }
}

/// The row of these columns.
pub fn encode(columns: &RecordColumns, out: &mut Vec<u8>) {
    out.extend_from_slice(&columns.time.0.to_le_bytes());
    for number in [
        columns.id,
        columns.user,
        columns.impersonator,
        columns.session,
        columns.server,
        columns.type_id.get().number,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&[columns.severity, columns.result, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn columns_are_read_as_they_are_written() {
        for (type_id, _) in catalog::all() {
            let written = RecordColumns {
                time: Time(-5_000_000_000),
                id: 1,
                user: 2,
                impersonator: 3,
                session: 4,
                server: u32::MAX,
                type_id,
                severity: 4,
                result: 2,
            };
            let mut row = Vec::new();
            encode(&written, &mut row);
            assert_eq!(columns(&row.try_into().expect("as long")), written);
        }
    }
}
