//! The method CountRecords.

use bytes::Bytes;
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use tonic::Request;

use crate::access::Method;
use crate::hub::{BUCKETS_MAX, CountRequest, CountResult, Group, PAGE_BYTES_MAX, TimeSlices};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode, request_query};
use crate::time::Time;
use crate::wire;

impl Service {
    pub(super) async fn counts(&self, request: Request<Bytes>) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::CountRecordsRequest = decode(request.into_inner())?;
        let query = request_query::query(
            request.filter.as_ref(),
            &reader,
            request.start_time.as_ref(),
            request.end_time.as_ref(),
        )
        .await?;
        let bucket = request.bucket.as_ref().map(nanos).transpose()?;
        if let (Some(bucket), Some(_), Some(_)) = (bucket, request.start_time, request.end_time) {
            let buckets = query.end.0.saturating_sub(query.start.0) as u64 / bucket as u64;
            if buckets > BUCKETS_MAX as u64 {
                return Err(Error::TooManyBuckets { buckets });
            }
        }
        let count = CountRequest { query, bucket, group: group(request.group_by)? };
        let memory = reader.memory(&count.query.filter);
        let counted = self.hub.count(&count, &memory).await.map_err(Error::Count)?;
        let asked = request.filter.unwrap_or_default();
        let times = (request.start_time, request.end_time);
        self.record_query(&reader, Method::CountRecords, &count.query, &asked, times).await?;
        let response = self.encode(counted, bucket.is_some(), request.start_time).await;
        if response.len() > PAGE_BYTES_MAX {
            let bytes = response.len();
            return Err(Error::CountsTooLarge { bytes, limit: PAGE_BYTES_MAX });
        }
        Ok(EncodedResponse::new(response.into()))
    }

    /// Encodes the response. With some hundred thousand counts, it yields to other tasks.
    async fn encode(
        &self,
        counted: CountResult,
        split: bool,
        start_time: Option<Timestamp>,
    ) -> Vec<u8> {
        let mut turns = TimeSlices::begin();
        let mut buckets = counted.buckets;
        if !split {
            // Exactly one bucket, also without records.
            buckets.entry(Time::EPOCH).or_default();
        }
        let mut encoded = Vec::new();
        for (begin, counts) in buckets {
            let time = if split { Some(begin.timestamp()) } else { start_time };
            let mut bucket =
                pb::CountBucket { start_time: time, ..Default::default() }.encode_to_vec();
            for (place, (name, count)) in counts.into_iter().enumerate() {
                put_count(&mut bucket, &name, count);
                if place % COUNTS_PER_LOOK == 0 {
                    self.hub.yield_now(&mut turns).await;
                }
            }
            wire::put_bytes_field(&mut encoded, number::BUCKETS, &bucket);
        }
        let rest = pb::CountRecordsResponse {
            buckets: Vec::new(),
            expression_errors: counted.expression_errors,
            gaps: counted.gaps.into_iter().map(pb::Gap::from).collect(),
        };
        rest.encode(&mut encoded).expect("a vector grows as needed");
        encoded
    }
}

/// Counts that are encoded between two readings of the clock.
const COUNTS_PER_LOOK: usize = 256;

/// Field numbers of the response, of its buckets, and of an entry of a map.
mod number {
    pub const BUCKETS: u32 = 1;
    pub const COUNTS: u32 = 2;
    pub const KEY: u32 = 1;
    pub const VALUE: u32 = 2;
}

/// Adds an entry to the map of a bucket.
fn put_count(bucket: &mut Vec<u8>, name: &str, count: i64) {
    let mut entry = Vec::with_capacity(name.len() + 16);
    wire::put_bytes_field(&mut entry, number::KEY, name.as_bytes());
    wire::put_varint_field(&mut entry, number::VALUE, count as u64);
    wire::put_bytes_field(bucket, number::COUNTS, &entry);
}

fn group(number: i32) -> Result<Group, Error> {
    match pb::GroupBy::try_from(number) {
        Ok(pb::GroupBy::Unspecified | pb::GroupBy::Type) => Ok(Group::Type),
        Ok(pb::GroupBy::Category) => Ok(Group::Category),
        Ok(pb::GroupBy::Severity) => Ok(Group::Severity),
        Ok(pb::GroupBy::Result) => Ok(Group::Result),
        Err(_) => Err(Error::EnumValue { field: "group_by", value: number, name: "GroupBy" }),
    }
}

/// A positive duration in nanoseconds.
fn nanos(duration: &Duration) -> Result<i64, Error> {
    let nanos = i64::from(duration.nanos);
    let total =
        duration.seconds.checked_mul(1_000_000_000).and_then(|seconds| seconds.checked_add(nanos));
    match total {
        Some(total)
            if total > 0 && (0..1_000_000_000).contains(&nanos) && duration.seconds >= 0 =>
        {
            Ok(total)
        }
        _ => Err(Error::Bucket),
    }
}
