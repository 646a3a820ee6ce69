//! The method CheckFilter.

use bytes::Bytes;
use tonic::Request;

use crate::filter;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::service::{Error, Service, decode, request_query};

impl Service {
    /// Compiles a filter as the other calls do. It reads no record, so it is not recorded.
    pub(super) async fn check(&self, request: Request<Bytes>) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::CheckFilterRequest = decode(request.into_inner())?;
        let filter = request.filter.unwrap_or_default();
        let problems = request_query::problems(filter, &reader).await;
        let problems = problems.iter().map(problem).collect();
        Ok(EncodedResponse::message(&pb::CheckFilterResponse { problems }))
    }
}

fn problem(error: &filter::Error) -> pb::FilterProblem {
    let place = error.position();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    pb::FilterProblem {
        field: format!("filter.{}", error.field()),
        line: place.map_or(0, |at| number(at.line)),
        column: place.map_or(0, |at| number(at.column)),
        length: place.map_or(0, |at| number(at.length)),
        message: error.to_string(),
        nearest: error.nearest(),
    }
}
