//! Compiles the filter and time range of a request into a query.

use std::sync::Arc;

use prost::Message as _;
use prost_types::Timestamp;

use crate::filter::{self, Filter};
use crate::log::ScanQuery;
use crate::proto::pb;
use crate::service::Error;
use crate::service::quota::{HeavyWork, in_turn};
use crate::service::reader::Reader;
use crate::time::Time;
use crate::wire::TIMESTAMP_SECONDS;

/// The query of a request's filter, `start_time` and `end_time`, of a reader.
pub async fn query(
    filter: Option<&pb::Filter>,
    reader: &Reader,
    start_time: Option<&Timestamp>,
    end_time: Option<&Timestamp>,
) -> Result<ScanQuery, Error> {
    let mut query = ScanQuery::new(compile(filter, reader).await?);
    if let Some(start) = start_time {
        query.start = time("start_time", start)?;
    }
    if let Some(end) = end_time {
        query.end = time("end_time", end)?;
    }
    match (start_time, end_time) {
        (Some(start), Some(end)) if query.start >= query.end => {
            Err(Error::TimesContradict { start: start.to_string(), end: end.to_string() })
        }
        _ => Ok(query),
    }
}

/// Filters without an expression up to this size are compiled in less than a time slice, in bytes.
const COMPILED_AT_ONCE_BYTES_MAX: usize = 4 * 1024;

/// A compiled filter, of a reader; an absent one matches all that it may read. Compiling an
/// expression or many globs takes milliseconds, so it is done on a blocking thread.
pub async fn compile(filter: Option<&pb::Filter>, reader: &Reader) -> Result<Arc<Filter>, Error> {
    let readable = reader.types();
    let compiled = match filter {
        None => Filter::compile_for(&pb::Filter::default(), readable),
        Some(filter)
            if filter.expression.is_empty()
                && filter.encoded_len() <= COMPILED_AT_ONCE_BYTES_MAX =>
        {
            Filter::compile_for(filter, readable)
        }
        Some(filter) => {
            let (filter, readable) = (filter.clone(), Arc::clone(readable));
            in_turn(reader.quota(), HeavyWork::Compile, move || {
                Filter::compile_for(&filter, &readable)
            })
            .await
        }
    };
    compiled.map(Arc::new).map_err(Error::Filter)
}

/// All errors of a filter, for a reader.
pub async fn problems(filter: pb::Filter, reader: &Reader) -> Vec<filter::Error> {
    let readable = Arc::clone(reader.types());
    in_turn(reader.quota(), HeavyWork::Compile, move || filter::problems(&filter, &readable)).await
}

/// Converts a time of a request. Times beyond the range of [`Time`] are clamped to it: no event is
/// there.
pub fn time(field: &'static str, timestamp: &Timestamp) -> Result<Time, Error> {
    let valid = TIMESTAMP_SECONDS.contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos);
    if !valid {
        return Err(Error::TimeInvalid { field });
    }
    let outside = if timestamp.seconds < 0 { Time::MIN } else { Time::MAX };
    Ok(Time::try_from(timestamp).unwrap_or(outside))
}
