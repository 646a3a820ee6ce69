//! The method Search.

use std::ops::RangeInclusive;

use bytes::Bytes;
use prost::Message as _;
use tonic::Request;

use crate::access::Method;
use crate::hub::search::{SearchRequest, query_digest};
use crate::log::ScanOrder;
use crate::log::cursor::PageToken;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::Sequence;
use crate::service::reader::Reader;
use crate::service::{Error, Service, decode, request_query};

/// The default number of records of a page.
pub const PAGE_SIZE: usize = 50;
/// The maximum number of records of a page.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// A search that is ready to run: this gateway has the records that it names.
pub struct PreparedSearch {
    reader: Reader,
    request: pb::SearchRequest,
    search: SearchRequest,
}

impl Service {
    /// Checks a search, and waits for the records that it names. After this, the search does not
    /// wait for other gateways, so it may take one of the few turns.
    pub(super) async fn prepare_search(
        &self,
        request: Request<Bytes>,
    ) -> Result<PreparedSearch, Error> {
        let reader = self.reader(&request)?;
        let request: pb::SearchRequest = decode(request.into_inner())?;
        let search = SearchRequest {
            query: request_query::query(
                request.filter.as_ref(),
                &reader,
                request.start_time.as_ref(),
                request.end_time.as_ref(),
            )
            .await?,
            sequences: sequences(request.first_sequence, request.last_sequence)?,
            order: order(request.order)?,
            page_size: page_size(request.page_size)?,
            digest: query_digest(&request),
            token: token(&request.page_token)?,
        };
        self.hub.await_page(&search).await.map_err(Error::Search)?;
        Ok(PreparedSearch { reader, request, search })
    }

    pub(super) async fn search_page(
        &self,
        prepared: PreparedSearch,
    ) -> Result<EncodedResponse, Error> {
        let PreparedSearch { reader, request, search } = prepared;
        let _memory = reader.memory(&search.query.filter);
        let page = self.hub.read_page(&search).await.map_err(Error::Search)?;
        let asked = request.filter.unwrap_or_default();
        let times = (request.start_time, request.end_time);
        self.record_query(&reader, Method::Search, &search.query, &asked, times).await?;
        let rest = pb::SearchResponse {
            records: Vec::new(),
            next_page_token: page.next.map(|token| token.to_string()).unwrap_or_default(),
            cursor: page.cursor.to_string(),
            gaps: page.gaps.into_iter().map(pb::Gap::from).collect(),
            examined: page.stats.examined,
            expression_errors: page.stats.expression_errors,
        };
        // `records` is field 1 of the response, and frames carry its key.
        let mut encoded = page.frames;
        rest.encode(&mut encoded).expect("a vector grows as needed");
        Ok(EncodedResponse::new(Bytes::from(encoded)))
    }
}

fn order(number: i32) -> Result<ScanOrder, Error> {
    match pb::Order::try_from(number) {
        Ok(pb::Order::Unspecified | pb::Order::NewestFirst) => Ok(ScanOrder::Descending),
        Ok(pb::Order::OldestFirst) => Ok(ScanOrder::Ascending),
        Err(_) => Err(Error::EnumValue { field: "order", value: number, name: "Order" }),
    }
}

/// The sequences of a request, both ends included; 0 is no bound.
fn sequences(first: u64, last: u64) -> Result<RangeInclusive<Sequence>, Error> {
    if last != 0 && first > last {
        return Err(Error::SequencesContradict { first, last });
    }
    Ok(Sequence(first)..=Sequence(if last == 0 { u64::MAX } else { last }))
}

fn page_size(requested: i32) -> Result<usize, Error> {
    match usize::try_from(requested) {
        Ok(0) => Ok(PAGE_SIZE),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Error::PageSize(requested)),
    }
}

fn token(text: &str) -> Result<Option<PageToken>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    PageToken::parse(text).map(Some).map_err(Error::PageToken)
}
