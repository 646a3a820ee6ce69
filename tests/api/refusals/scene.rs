//! Where refusals are looked at: a gateway, a client that is refused, and a
//! subscriber of another client that must not notice.

use auditgate::log::Bounds;
use auditgate::server::Gateway;
use auditgate::service::NAME;
use bytes::Bytes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{self, Client, Tail, raw};

/// What a status and its details may take: some clients refuse more trailers.
const STATUS_BYTES_MAX: usize = 6 * 1024;
/// The same as it is sent, details in base64 and the message with escapes.
const TRAILERS_BYTES_MAX: usize = 8 * 1024;

/// A request that is refused, and how.
pub struct Row {
    pub name: &'static str,
    pub method: &'static str,
    pub body: Vec<u8>,
    pub code: Code,
    pub reason: &'static str,
    /// The field to blame, if one is.
    pub field: Option<String>,
    /// What the sentence must name.
    pub says: Vec<&'static str>,
}

impl Row {
    /// INVALID_ARGUMENT because of a field.
    pub fn invalid(
        name: &'static str,
        method: &'static str,
        body: Vec<u8>,
        reason: &'static str,
        field: &str,
        says: &[&'static str],
    ) -> Self {
        let field = (!field.is_empty()).then(|| field.to_owned());
        Self { name, method, body, code: Code::InvalidArgument, reason, field, says: says.to_vec() }
    }
}

pub struct Scene {
    pub gateway: Gateway,
    pub channel: Channel,
    client: Client,
    watcher: Tail,
    last: u64,
}

impl Scene {
    /// A gateway with one record, so that there is something to find and to
    /// spoil.
    pub async fn open() -> Self {
        Self::open_with(Bounds::default()).await
    }

    pub async fn open_with(ring: Bounds) -> Self {
        let gateway = support::start_with(ring).await;
        let mut client = support::connect(&gateway).await;
        support::emit(&mut client, support::login("good-1", "alice")).await;
        let mut elsewhere = support::connect(&gateway).await;
        let watcher = Tail::begin(&mut elsewhere, support::latest()).await.0;
        let channel = support::channel(&gateway).await;
        Self { gateway, channel, client, watcher, last: 1 }
    }

    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Sends each request and holds it against its row.
    pub async fn refuses(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            let answer = self.ask(row.method, row.body.clone()).await;
            self.refused(&row, answer).await;
        }
    }

    /// The answer of a unary method, or the first of a stream.
    pub async fn ask(&self, method: &str, body: Vec<u8>) -> Result<Bytes, Status> {
        if method != "Subscribe" {
            return raw::call(&self.channel, method, body).await;
        }
        let mut stream = raw::open(&self.channel, method, body).await?;
        Ok(support::soon(stream.message()).await?.expect("a first response"))
    }

    /// Holds an answer against the row, and sees that nothing has changed.
    pub async fn refused(&mut self, row: &Row, answer: Result<Bytes, Status>) {
        let name = row.name;
        let status = answer.expect_err(name);
        assert_eq!(status.code(), row.code, "{name}: {status:?}");
        assert_eq!(reason(&status), row.reason, "{name}: {}", status.message());
        for said in &row.says {
            assert!(status.message().contains(said), "{name}: {said:?} in {:?}", status.message());
        }
        let violations = violations(&status);
        let fields: Vec<_> = violations.iter().map(|(field, _)| field.as_str()).collect();
        let expected: Vec<_> = row.field.iter().map(String::as_str).collect();
        assert_eq!(fields, expected, "{name}: {status:?}");
        self.unchanged(name).await;
    }

    /// Emits good events until there are `count`.
    pub async fn grow(&mut self, count: u64) {
        while self.last < count {
            self.unchanged("growing").await;
        }
    }

    /// The log is as it was, and a good event reaches the watcher as the next
    /// thing that it hears of.
    pub async fn unchanged(&mut self, name: &str) {
        let status = support::status(&mut self.client).await;
        assert_eq!(status.last_sequence, self.last, "{name}: something was stored");
        self.last += 1;
        let id = format!("good-{}", self.last);
        let receipt = support::emit(&mut self.client, support::login(&id, "alice")).await;
        assert_eq!(receipt.sequence, self.last, "{name}");
        // On a slow machine, a message that only tells progress may come between.
        let mut heard = self.watcher.next().await;
        while heard.records.is_empty() && heard.gap.is_none() {
            heard = self.watcher.next().await;
        }
        assert_eq!(
            (support::sequences(&heard.records), heard.gap),
            (vec![self.last], None),
            "{name}"
        );
    }
}

/// The reason of the refusal, after a look at what all refusals have.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().expect("every refusal has a reason");
    assert_eq!(info.domain, "auditgate");
    let said = status.message();
    assert!(!said.is_empty() && !said.ends_with('.') && !said.contains('\n'), "{said:?}");
    assert!(said.starts_with(|first: char| !first.is_uppercase()), "{said:?}");
    let details = status.details().len();
    assert!(said.len() + details < STATUS_BYTES_MAX, "{} + {details} bytes", said.len());
    let escaped: usize = said.chars().map(escaped_len).sum();
    let trailers = escaped + details.div_ceil(3) * 4;
    assert!(trailers < TRAILERS_BYTES_MAX, "{trailers} bytes of trailers");
    info.reason
}

/// Length of a character in the header `grpc-message`.
fn escaped_len(character: char) -> usize {
    match character {
        '%' => 3,
        ' '..='~' => 1,
        _ => 3 * character.len_utf8(),
    }
}

/// Field and description of each violation.
pub fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    violations.map(|violation| (violation.field, violation.description)).collect()
}

/// The path of a method of the service.
pub fn path(method: &str) -> String {
    format!("/{NAME}/{method}")
}
