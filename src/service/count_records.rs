//! CountRecords.

use bytes::Bytes;
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use tonic::Request;

use crate::hub::{BUCKETS_MAX, CountRequest, CountResult, Group, PAGE_BYTES_MAX};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode, request_query};

/// Path of the call.
const RPC: &str = "/auditgate.v1.AuditService/CountRecords";

impl Service {
    pub(super) async fn counts(&self, request: Request<Bytes>) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::CountRecordsRequest = decode(request.into_inner())?;
        let query = request_query::query(
            request.filter.as_ref(),
            reader.types(),
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
        let counted = self.hub.count(&count).await.map_err(Error::Count)?;
        let asked = request.filter.unwrap_or_default();
        let times = (request.start_time, request.end_time);
        self.record_query(&reader, RPC, &count.query, &asked, times).await?;
        let response = response(counted, bucket.is_some(), request.start_time);
        let bytes = response.encoded_len();
        if bytes > PAGE_BYTES_MAX {
            return Err(Error::CountsTooLarge { bytes, limit: PAGE_BYTES_MAX });
        }
        Ok(EncodedResponse::message(&response))
    }
}

fn response(
    counted: CountResult,
    split: bool,
    start_time: Option<Timestamp>,
) -> pb::CountRecordsResponse {
    let expression_errors = counted.expression_errors;
    let gaps = counted.gaps.into_iter().map(pb::Gap::from).collect();
    let buckets = if split {
        let buckets = counted.buckets.into_iter();
        buckets
            .map(|(start, counts)| pb::CountBucket { start_time: Some(start.timestamp()), counts })
            .collect()
    } else {
        let counts = counted.buckets.into_values().next().unwrap_or_default();
        vec![pb::CountBucket { start_time, counts }]
    };
    pb::CountRecordsResponse { buckets, expression_errors, gaps }
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
