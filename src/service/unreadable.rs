//! Tests the property that a reader learns nothing about records that it may not read.
//!
//! Two logs have the same readable records. All other records are hidden from the reader, and
//! differ between the logs in type, content, emitter and size. Every answer and refusal must be the
//! same, byte for byte.

mod generate;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use super::{Error, Service, ServiceLimits};
use crate::access::{AccessControl, Caller, RoleTable};
use crate::config::Role;
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::filter::TypeSet;
use crate::hub::{Hub, PROGRESS_INTERVAL};
use crate::log::cursor::Cursor;
use crate::log::{Append, Bounds, MemoryLog};
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::{Draft, Sequence};
use crate::time::{Time, paused};
use generate::{Place, Spec, event, filter, places};

/// Segments of four records, and records that are evicted.
const RECORDS_MAX: usize = 64;
/// A text that may be in hidden records and that a reader may search.
const SECRET: &str = "4929-1234";
/// When the first record is accepted.
const BEGAN: i64 = 1_750_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// How often the other tasks are run before all of them sleep.
const TURNS: usize = 50;

const ROLES: [&[&str]; 6] = [
    &["user.login"],
    &["user.*", "custom.a*"],
    &["exec", "custom.b"],
    &["*.start", "exec", "user.update"],
    &["custom"],
    &["session.*", "user.*", "exec", "db.*", "kube.*", "app.*", "role.*", "lock.*", "custom.a"],
];

/// A gateway with one of the logs.
struct Side {
    service: Service,
    hub: Arc<Hub>,
    caller: Arc<Caller>,
}

impl Side {
    fn new(read: &[&str]) -> Self {
        let log = MemoryLog::new(Bounds { bytes: 16 << 20, records: RECORDS_MAX });
        let log = log.with_id(Uuid::from_u128(7));
        let hub = Hub::new(Arc::new(log), CancellationToken::new());
        let service =
            Service::new(Arc::clone(&hub), AccessControl::open(), ServiceLimits::default());
        let role = Role {
            name: "reader".to_owned(),
            principals: vec!["reader".to_owned()],
            emit: Vec::new(),
            read: read.iter().map(|name| (*name).to_owned()).collect(),
            allow: Vec::new(),
        };
        let grants = RoleTable::compile(&[role]).expect("known types").grants("reader");
        Self { service, hub, caller: Caller::with_grants("reader", grants) }
    }

    async fn append(&self, (event, emitter): (pb::Event, pb::Emitter), place: usize) {
        let now = Time(BEGAN + place as i64 * SECOND);
        paused::NOW.set(Some(now));
        let event = Event::check(event.encode_to_vec().into(), now, EVENT_BYTES_MAX);
        let draft = Draft::new(event.expect("valid"), &emitter.into());
        let all = Append::AllOrNothing { validate_only: false };
        let appended = self.hub.append(&[draft], all).await.expect("appended");
        let mut receipts = appended.iter().flatten();
        assert!(receipts.all(|receipt| !receipt.duplicate), "each has a place of its own");
    }

    fn request(&self, message: &impl prost::Message) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        request.extensions_mut().insert(Arc::clone(&self.caller));
        request
    }

    async fn search(&self, request: &pb::SearchRequest) -> Answer {
        let page = async {
            let prepared = self.service.prepare_search(self.request(request)).await?;
            self.service.search_page(prepared).await
        };
        answer(page.await)
    }

    async fn count(&self, request: &pb::CountRecordsRequest) -> Answer {
        answer(self.service.counts(self.request(request)).await)
    }

    async fn top_values(&self, request: &pb::TopValuesRequest) -> Answer {
        answer(self.service.top_values_of(self.request(request)).await)
    }

    async fn record(&self, key: pb::get_record_request::Key) -> Answer {
        let request = pb::GetRecordRequest { key: Some(key) };
        answer(self.service.one_record(self.request(&request)).await)
    }

    async fn subscribe(&self, request: &pb::SubscribeRequest) -> Result<Stream, Answer> {
        match self.service.open_stream(self.request(request), None).await {
            Ok(stream) => Ok(Box::pin(stream.map(|message| match message {
                Ok(framed) => Answer::Bytes(framed.message().to_vec()),
                Err(status) => refused(&status),
            }))),
            Err(error) => Err(refused(&error.into())),
        }
    }
}

type Stream = std::pin::Pin<Box<dyn futures_util::Stream<Item = Answer>>>;

/// All that a client gets.
#[derive(Debug, PartialEq)]
enum Answer {
    Bytes(Vec<u8>),
    Refused(tonic::Code, String, Vec<u8>),
}

fn answer(result: Result<EncodedResponse, Error>) -> Answer {
    match result {
        Ok(encoded) => Answer::Bytes(encoded.to_vec()),
        Err(error) => refused(&error.into()),
    }
}

fn refused(status: &Status) -> Answer {
    Answer::Refused(status.code(), status.message().to_owned(), status.details().to_vec())
}

/// Lets the other tasks run until they sleep; no time passes.
async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// The answers of a stream that are ready.
async fn received(stream: &mut Stream) -> Vec<Answer> {
    let mut messages = Vec::new();
    loop {
        settle().await;
        match stream.next().now_or_never() {
            Some(Some(message)) => messages.push(message),
            _ => return messages,
        }
    }
}

/// All answers of a search with this filter, page by page.
async fn pages(side: &Side, request: &pb::SearchRequest) -> Vec<Answer> {
    let mut request = request.clone();
    let mut answers = Vec::new();
    loop {
        let answer = side.search(&request).await;
        let token = match &answer {
            Answer::Bytes(bytes) => {
                pb::SearchResponse::decode(bytes.as_slice()).expect("a page").next_page_token
            }
            Answer::Refused(..) => String::new(),
        };
        answers.push(answer);
        if token.is_empty() {
            return answers;
        }
        request.page_token = token;
    }
}

/// All answers about the present log.
async fn everything(side: &Side, asked: &[pb::Filter], page_size: i32) -> Vec<Answer> {
    let mut answers = Vec::new();
    let last = side.hub.extent().last.0;
    let middle = Time(BEGAN + 40 * SECOND).timestamp();
    let times: [(Option<Timestamp>, Option<Timestamp>); 2] =
        [(None, None), (Some(middle), Some(Time(BEGAN + 90 * SECOND).timestamp()))];
    for filter in asked {
        for (start_time, end_time) in times {
            for order in [pb::Order::NewestFirst, pb::Order::OldestFirst] {
                let request = pb::SearchRequest {
                    filter: Some(filter.clone()),
                    start_time,
                    end_time,
                    order: order.into(),
                    page_size,
                    first_sequence: if page_size == 3 { 0 } else { last / 3 },
                    ..Default::default()
                };
                answers.extend(pages(side, &request).await);
            }
            for bucket in [None, Some(7)] {
                let bucket = bucket.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
                let filter = Some(filter.clone());
                let request = pb::CountRecordsRequest {
                    filter: filter.clone(),
                    start_time,
                    end_time,
                    bucket,
                    group_by: (answers.len() % 5) as i32,
                };
                answers.push(side.count(&request).await);
                let fields = ["type", "user.name", "session.id", "result", "outcome.error"];
                answers.push(
                    side.top_values(&pb::TopValuesRequest {
                        filter,
                        start_time,
                        end_time,
                        fields: fields.map(str::to_owned).to_vec(),
                        ..Default::default()
                    })
                    .await,
                );
            }
        }
        let cursor = Cursor::new(side.hub.identity(), Sequence(last / 2)).to_string();
        use pb::subscribe_request::Start;
        for start in [
            Start::Position(pb::Position::Earliest.into()),
            Start::Since(middle),
            Start::Cursor(cursor),
        ] {
            let request = pb::SubscribeRequest { filter: Some(filter.clone()), start: Some(start) };
            match side.subscribe(&request).await {
                Ok(mut stream) => answers.extend(received(&mut stream).await),
                Err(refused) => answers.push(refused),
            }
        }
    }
    for sequence in 0..last + 2 {
        answers.push(side.record(pb::get_record_request::Key::Sequence(sequence)).await);
        answers.push(side.record(pb::get_record_request::Key::Id(format!("e-{sequence}"))).await);
    }
    answers
}

/// Opens streams before the records are appended.
async fn live(side: &Side, asked: &[pb::Filter]) -> Vec<Stream> {
    let mut streams = Vec::new();
    for filter in asked {
        let request = pb::SubscribeRequest { filter: Some(filter.clone()), start: None };
        // One that is refused is so later, too, where it is compared.
        streams.extend(side.subscribe(&request).await.ok());
    }
    streams
}

async fn told(read: &[&str], places: &[Place], other: bool, asked: &[pb::Filter]) -> Vec<Answer> {
    let side = Side::new(read);
    let patterns: Vec<String> = read.iter().map(|name| (*name).to_owned()).collect();
    let readable = TypeSet::compile("read", &patterns).expect("known types");
    let mut streams = live(&side, asked).await;
    let mut answers = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let hidden = !readable.contains_name(place.spec.type_name);
        let spec = match hidden {
            true if other && !readable.contains_name(place.other.type_name) => &place.other,
            _ => &place.spec,
        };
        side.append(event(spec, number, hidden), number).await;
        if number % 40 == 39 {
            tokio::time::advance(PROGRESS_INTERVAL).await;
        }
        for stream in &mut streams {
            answers.extend(received(stream).await);
        }
    }
    answers.extend(everything(&side, asked, 3).await);
    answers.extend(everything(&side, asked, 1_000).await);
    answers
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn answers_do_not_depend_on_records_that_may_not_be_read(
        role in prop::sample::select(&ROLES[..]),
        places in places(),
        asked in prop::collection::vec(filter(), 2),
    ) {
        let one = run(told(role, &places, false, &asked));
        let other = run(told(role, &places, true, &asked));
        prop_assert_eq!(one.len(), other.len());
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            prop_assert_eq!(one, other, "answer {}", number);
        }
    }
}

/// `examined` counts records that the reader may read, and no others.
#[test]
fn what_was_examined_may_be_read() {
    let spec = |type_name, says_secret| Spec {
        type_name,
        user: "alice",
        session: 1,
        id: 0,
        emitter: 0,
        says_secret,
        failed: false,
        age: 0,
        padding: 0,
    };
    let kinds = ["user.login", "exec", "custom.b", "custom.a"];
    let filters: [fn(&mut pb::Filter); 4] = [
        |_| {},
        |filter| filter.users = vec!["alice".to_owned()],
        |filter| filter.text = SECRET.to_owned(),
        |filter| filter.expression = "event.session.id == 's-9'".to_owned(),
    ];
    run(async {
        let side = Side::new(&["user.login", "custom.a"]);
        for number in 0..40 {
            let spec = spec(kinds[number % kinds.len()], number % 3 == 0);
            side.append(event(&spec, number, true), number).await;
        }
        for set in filters {
            let mut filter = pb::Filter::default();
            set(&mut filter);
            let request = pb::SearchRequest { filter: Some(filter), ..Default::default() };
            let Answer::Bytes(bytes) = side.search(&request).await else { panic!("refused") };
            let page = pb::SearchResponse::decode(bytes.as_slice()).expect("a page");
            let seen: BTreeSet<_> = page.records.iter().map(|own| own.r#type.as_str()).collect();
            assert!(seen.iter().all(|name| ["user.login", "custom.a"].contains(name)), "{seen:?}");
            assert_eq!(page.examined, 20, "{request:?}");
        }
    });
}
