//! Results of a search, across its pages.

use std::collections::VecDeque;

use crate::client::{Client, Error};
use crate::proto::pb;

/// The largest page that a gateway gives, in records.
const PAGE_RECORDS_MAX: i32 = 1_000;

/// The records that a search finds, one by one; pages are fetched when they are needed.
///
/// # Examples
///
/// ```no_run
/// # async fn run(client: auditgate::client::Client) -> Result<(), auditgate::client::Error> {
/// use auditgate::proto::pb;
///
/// let mut results = client.search(pb::SearchRequest {
///     filter: Some(pb::Filter { text: "drop table".into(), ..Default::default() }),
///     ..Default::default()
/// });
/// while let Some(record) = results.next().await? {
///     println!("{} {}", record.sequence, record.r#type);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Results {
    client: Client,
    request: pb::SearchRequest,
    ready: VecDeque<pb::Record>,
    last_page: bool,
    cursor: Option<String>,
    gaps: Vec<pb::Gap>,
    examined: u64,
    expression_errors: u64,
}

impl Client {
    /// Returns all errors of a filter; empty if the gateway accepts it.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn check_filter(&self, filter: pb::Filter) -> Result<Vec<pb::FilterProblem>, Error> {
        let request = pb::CheckFilterRequest { filter: Some(filter) };
        let response = self
            .call(&request, |mut rpc, request| async move { rpc.check_filter(request).await })
            .await?;
        Ok(response.problems)
    }
}

impl Results {
    pub(super) fn new(client: Client, mut request: pb::SearchRequest) -> Self {
        if request.page_size == 0 {
            request.page_size = PAGE_RECORDS_MAX;
        }
        Self {
            client,
            request,
            ready: VecDeque::new(),
            last_page: false,
            cursor: None,
            gaps: Vec::new(),
            examined: 0,
            expression_errors: 0,
        }
    }

    /// The next record; `None` after the last one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`]; the search can be continued.
    pub async fn next(&mut self) -> Result<Option<pb::Record>, Error> {
        while self.ready.is_empty() && !self.last_page {
            self.turn().await?;
        }
        Ok(self.ready.pop_front())
    }

    async fn turn(&mut self) -> Result<(), Error> {
        let page = self
            .client
            .call(&self.request, |mut rpc, request| async move { rpc.search(request).await })
            .await?;
        self.last_page = page.next_page_token.is_empty();
        self.request.page_token = page.next_page_token;
        self.cursor.get_or_insert(page.cursor);
        self.gaps.extend(page.gaps);
        self.examined += page.examined;
        self.expression_errors += page.expression_errors;
        self.ready.extend(page.records);
        Ok(())
    }

    /// The cursor with which [`Start::Cursor`](crate::client::Start::Cursor) continues: after
    /// the newest record at the start of the search. `None` before the first [`Results::next`].
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Takes the gaps so far: records that were evicted before the search reached them.
    pub fn take_gaps(&mut self) -> Vec<pb::Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// The number of records that the gateway has examined so far.
    pub fn examined(&self) -> u64 {
        self.examined
    }

    /// The number of examined records on which the expression failed; they do not match.
    pub fn expression_errors(&self) -> u64 {
        self.expression_errors
    }
}
