//! The method TopValues.

use bytes::Bytes;
use tonic::Request;

use crate::access::Method;
use crate::hub::path::Path;
use crate::hub::top::{self, TopValues, VALUE_BYTES_MAX};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode, request_query};

impl Service {
    pub(super) async fn top_values_of(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::TopValuesRequest = decode(request.into_inner())?;
        let query = request_query::query(
            request.filter.as_ref(),
            &reader,
            request.start_time.as_ref(),
            request.end_time.as_ref(),
        )
        .await?;
        if request.prefix.len() > VALUE_BYTES_MAX {
            return Err(Error::PrefixTooLong(request.prefix.len()));
        }
        let fields = fields(&request.fields)?;
        let limit = limit(request.limit)?;
        let asked = TopValues { query, fields, limit, prefix: request.prefix };
        let memory = reader.memory(&asked.query.filter);
        let top = self.hub.top_values(&asked, &memory).await.map_err(Error::Read)?;
        let filter = request.filter.unwrap_or_default();
        let times = (request.start_time, request.end_time);
        self.record_query(&reader, Method::TopValues, &asked.query, &filter, times).await?;
        let fields = request.fields.into_iter().zip(top.fields);
        Ok(EncodedResponse::message(&pb::TopValuesResponse {
            fields: fields.map(|(field, values)| response(field, values)).collect(),
            examined: top.examined,
            partial: top.partial,
            expression_errors: top.expression_errors,
            gaps: top.gaps.into_iter().map(pb::Gap::from).collect(),
        }))
    }
}

fn fields(paths: &[String]) -> Result<Vec<Path>, Error> {
    if paths.is_empty() || paths.len() > top::FIELDS_MAX {
        return Err(Error::FieldCount(paths.len()));
    }
    let parse = |(position, path): (usize, &String)| {
        Path::parse(path).map_err(|error| Error::Field { position, error })
    };
    paths.iter().enumerate().map(parse).collect()
}

fn limit(requested: i32) -> Result<usize, Error> {
    match usize::try_from(requested) {
        Ok(0) => Ok(top::VALUES),
        Ok(limit) => Ok(limit.min(top::VALUES_MAX)),
        Err(_) => Err(Error::Limit(requested)),
    }
}

fn response(field: String, values: top::Values) -> pb::FieldValues {
    let counted =
        |own: top::Counted| pb::ValueCount { value: own.value, count: own.count, cut: own.cut };
    pb::FieldValues {
        field,
        values: values.values.into_iter().map(counted).collect(),
        absent: values.absent,
        others: values.others,
    }
}
