//! Compiles the filter and time range of a request into a query.

use std::sync::Arc;

use prost_types::Timestamp;
use tokio::sync::Semaphore;

use crate::filter::{self, Filter, TypeSet};
use crate::log::ScanQuery;
use crate::proto::pb;
use crate::service::Error;
use crate::time::Time;

/// Expressions that are compiled at once. Others wait: each takes milliseconds of a
/// processor, and a thread.
const COMPILING_MAX: usize = 2;
static COMPILING: Semaphore = Semaphore::const_new(COMPILING_MAX);

/// The query of a request's filter, `start_time` and `end_time`, of a reader of
/// these types.
pub async fn query(
    filter: Option<&pb::Filter>,
    readable: &Arc<TypeSet>,
    start_time: Option<&Timestamp>,
    end_time: Option<&Timestamp>,
) -> Result<ScanQuery, Error> {
    let mut query = ScanQuery::new(compile(filter, readable).await?);
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

/// A compiled filter, of a reader of these types; an absent one matches all of
/// them. Compiling an expression
/// takes milliseconds, so that is done where it holds nobody up.
pub async fn compile(
    filter: Option<&pb::Filter>,
    readable: &Arc<TypeSet>,
) -> Result<Arc<Filter>, Error> {
    let compiled = match filter {
        None => Filter::compile_for(&pb::Filter::default(), readable),
        Some(filter) if filter.expression.is_empty() => Filter::compile_for(filter, readable),
        Some(filter) => {
            let (filter, readable) = (filter.clone(), Arc::clone(readable));
            in_turn(move || Filter::compile_for(&filter, &readable)).await
        }
    };
    compiled.map(Arc::new).map_err(Error::Filter)
}

/// Everything that is wrong with a filter, of a reader of these types.
pub async fn problems(filter: pb::Filter, readable: &Arc<TypeSet>) -> Vec<filter::Error> {
    let readable = Arc::clone(readable);
    in_turn(move || filter::problems(&filter, &readable)).await
}

/// Runs work of some milliseconds on a blocking thread, at most [`COMPILING_MAX`] at once.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let turn = COMPILING.acquire().await.expect("the semaphore is never closed");
    // The permit is released with the end of the work, even if the caller is gone.
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    working.await.expect("compiling a filter does not panic, and is not cancelled")
}

/// A time of a request. What lies beyond the range of [`Time`] is cut to it:
/// no event lies there.
pub fn time(field: &'static str, timestamp: &Timestamp) -> Result<Time, Error> {
    /// First and last second of the years 1 to 9999.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let valid =
        SECONDS.contains(&timestamp.seconds) && (0..1_000_000_000).contains(&timestamp.nanos);
    if !valid {
        return Err(Error::TimeInvalid { field });
    }
    let outside = if timestamp.seconds < 0 { Time::MIN } else { Time::MAX };
    Ok(Time::try_from(timestamp).unwrap_or(outside))
}
