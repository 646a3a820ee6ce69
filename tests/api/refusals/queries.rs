//! Searches, counts, streams and look-ups that are not accepted.

use auditgate::log::cursor::PageToken;
use auditgate::record::Sequence;
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::scene::{Row, Scene};
use crate::support::{self, Tail, pb, search};
use pb::get_record_request::Key;

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

/// `start_time` and `end_time` have the same numbers in both requests.
fn between(start_time: Option<Timestamp>, end_time: Option<Timestamp>) -> Vec<u8> {
    pb::SearchRequest { start_time, end_time, ..Default::default() }.encode_to_vec()
}

#[tokio::test]
async fn times_that_are_none_or_contradict_each_other_are_refused() {
    let mut scene = Scene::open().await;
    let start = ["start_time", "years 1 to 9999"];
    let end = ["end_time", "nanos within 0 to 999999999"];
    let later = ["start_time 1970-01-01T00:01:40Z", "end_time 1970-01-01T00:01:39Z"];
    let equal = ["start_time", "is not before end_time"];
    for method in ["Search", "CountRecords"] {
        let row = |name, body, field: &str, says: &[&'static str]| {
            Row::invalid(name, method, body, "TIME_RANGE_INVALID", field, says)
        };
        let far = between(at(20_000_000_000, 0), at(10_000_000_000, 0));
        scene
            .refuses([
                row("later", between(at(100, 0), at(99, 0)), "start_time", &later),
                row("equal", between(at(100, 5), at(100, 5)), "start_time", &equal),
                row("far ahead", far, "start_time", &equal),
                row("no time", between(at(253_402_300_800, 0), None), "start_time", &start),
                row("nanos", between(None, at(0, 1_000_000_000)), "end_time", &end),
                row("negative nanos", between(None, at(0, -1)), "end_time", &end),
            ])
            .await;
    }
    let body =
        support::from(pb::subscribe_request::Start::Since(at(0, -1).unwrap())).encode_to_vec();
    let says = ["since", "timestamp"];
    let row = Row::invalid("since", "Subscribe", body, "TIME_RANGE_INVALID", "since", &says);
    scene.refuses([row]).await;
}

/// A token for the second page of `request`.
async fn token(scene: &mut Scene, request: pb::SearchRequest) -> String {
    search(scene.client(), request).await.next_page_token
}

fn one_a_page() -> pb::SearchRequest {
    pb::SearchRequest { page_size: 1, ..Default::default() }
}

#[tokio::test]
async fn what_is_no_cursor_is_refused() {
    let mut scene = Scene::open().await;
    scene.grow(3).await;
    let cursor = Tail::begin(scene.client(), support::latest()).await.1.cursor;
    let token = token(&mut scene, one_a_page()).await;
    let says = ["cursor is not valid"];
    for (name, text) in [
        ("empty", String::new()),
        ("nonsense", "not a cursor".to_owned()),
        ("long", "A".repeat(1_000_000)),
        ("cut off", cursor[..cursor.len() - 1].to_owned()),
        ("a page token", token),
    ] {
        let body = support::after(&text).encode_to_vec();
        let row = Row::invalid(name, "Subscribe", body, "CURSOR_INVALID", "cursor", &says);
        scene.refuses([row]).await;
    }
}

#[tokio::test]
async fn what_is_no_page_token_is_refused() {
    let mut scene = Scene::open().await;
    scene.grow(3).await;
    let cursor = Tail::begin(scene.client(), support::latest()).await.1.cursor;
    let token = token(&mut scene, one_a_page()).await;
    let says = ["page_token is not valid"];
    for (name, page_token) in [
        ("nonsense", "not a token".to_owned()),
        ("cut off", token[..token.len() - 1].to_owned()),
        ("a cursor", cursor),
    ] {
        let body = pb::SearchRequest { page_token, ..one_a_page() }.encode_to_vec();
        let row = Row::invalid(name, "Search", body, "PAGE_TOKEN_INVALID", "page_token", &says);
        scene.refuses([row]).await;
    }
}

#[tokio::test]
async fn a_page_token_is_for_its_search_in_its_log() {
    let mut other = Scene::open().await;
    other.grow(3).await;
    let foreign = token(&mut other, one_a_page()).await;
    let mut scene = Scene::open().await;
    scene.grow(3).await;
    let own = token(&mut scene, one_a_page()).await;
    // Nothing vouches for a token's content, so what lies past the log is one
    // of another, too.
    let forged = PageToken::parse(&own).unwrap();
    let past = PageToken { last: Sequence(u64::MAX), ..forged }.to_string();
    let beyond = PageToken { sequence: Sequence(u64::MAX), ..forged }.to_string();

    let elsewhere: &[&'static str] = &["page_token belongs to another log"];
    let otherwise: &[&'static str] = &["another filter, time range or order"];
    let filter = Some(pb::Filter { users: vec!["alice".into()], ..Default::default() });
    let with =
        |page_token: &str| pb::SearchRequest { page_token: page_token.to_owned(), ..one_a_page() };
    for (name, request, says) in [
        ("log", with(&foreign), elsewhere),
        ("past the log", with(&past), elsewhere),
        ("beyond its end", with(&beyond), elsewhere),
        ("filter", pb::SearchRequest { filter, ..with(&own) }, otherwise),
        ("time", pb::SearchRequest { start_time: at(1, 0), ..with(&own) }, otherwise),
        ("order", pb::SearchRequest { order: 2, ..with(&own) }, otherwise),
    ] {
        let body = request.encode_to_vec();
        let row = Row::invalid(name, "Search", body, "PAGE_TOKEN_MISMATCH", "page_token", says);
        scene.refuses([row]).await;
    }
    // The size of pages may change on the way.
    let rest = search(scene.client(), pb::SearchRequest { page_size: 50, ..with(&own) }).await;
    assert_eq!(support::sequences(&rest.records), [2, 1]);
}

#[tokio::test]
async fn a_page_size_below_zero_and_unknown_numbers_are_refused() {
    let mut scene = Scene::open().await;
    let search = |page_size, order| {
        pb::SearchRequest { page_size, order, ..Default::default() }.encode_to_vec()
    };
    let unknown = support::from(pb::subscribe_request::Start::Position(99)).encode_to_vec();
    let size = ["page_size is -1", "must not be negative"];
    let least = ["page_size is -2147483648"];
    let order = ["order is 99", "Order"];
    let position = ["position is 99", "Position"];
    let page_size = "PAGE_SIZE_INVALID";
    let value = "ENUM_VALUE_UNKNOWN";
    scene
        .refuses([
            Row::invalid("-1", "Search", search(-1, 0), page_size, "page_size", &size),
            Row::invalid("least", "Search", search(i32::MIN, 0), page_size, "page_size", &least),
            Row::invalid("order", "Search", search(0, 99), value, "order", &order),
            Row::invalid("position", "Subscribe", unknown, value, "position", &position),
        ])
        .await;
}

#[tokio::test]
async fn a_bucket_is_a_positive_duration() {
    let mut scene = Scene::open().await;
    let says = ["bucket must be a valid duration"];
    for (name, seconds, nanos) in [
        ("zero", 0, 0),
        ("negative", -60, 0),
        ("negative nanos", 0, -1),
        ("mixed", 1, -1),
        ("many nanos", 0, 1_000_000_000),
        ("longest", i64::MAX, 0),
    ] {
        let bucket = Some(Duration { seconds, nanos });
        let body = pb::CountRecordsRequest { bucket, ..Default::default() }.encode_to_vec();
        let row = Row::invalid(name, "CountRecords", body, "BUCKET_INVALID", "bucket", &says);
        scene.refuses([row]).await;
    }
}

#[tokio::test]
async fn more_buckets_than_the_limit_are_refused() {
    let mut scene = Scene::open().await;
    let second = Some(Duration { seconds: 1, nanos: 0 });
    let by_times = |seconds| {
        pb::CountRecordsRequest {
            bucket: second,
            start_time: at(0, 0),
            end_time: at(seconds, 0),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let row = |name, body, says: &[&'static str]| {
        Row::invalid(name, "CountRecords", body, "BUCKETS_TOO_MANY", "bucket", says)
    };
    let counted = ["10001 buckets", "limit 10000"];
    let ever = row("all times", by_times(253_402_300_799), &["buckets, limit 10000"]);
    scene.refuses([row("times", by_times(10_001), &counted), ever]).await;
    scene.ask("CountRecords", by_times(10_000)).await.expect("as many as are allowed");

    // Without times, it takes the records to tell.
    let spread = (0..2).map(|batch| {
        let events = (0..5_001).map(|number| pb::Event {
            id: None,
            time: at((batch * 5_001 + number) * 7, 0),
            ..support::login("", "alice")
        });
        events.collect::<Vec<_>>()
    });
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for events in spread {
        support::emit_all(&mut client, events).await;
    }
    let request = pb::CountRecordsRequest { bucket: second, ..Default::default() };
    let refused = support::soon(client.count_records(request)).await.expect_err("too many");
    assert_eq!(super::scene::reason(&refused), "BUCKETS_TOO_MANY");
    assert!(refused.message().contains("more than 10000 buckets"), "{}", refused.message());
}

/// Counts may be many without being in many buckets: names are the emitters'.
#[tokio::test]
async fn counts_that_clients_would_not_take_are_refused() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for batch in 0..4 {
        let events = (0..8_000).map(|number| {
            let name = Some(format!("{batch}-{number}-{}", "x".repeat(116)));
            let custom = pb::event::Payload::Custom(pb::Custom { name, data: None });
            pb::Event { payload: Some(custom), ..Default::default() }
        });
        support::emit_all(&mut client, events.collect()).await;
    }
    let counted = support::soon(client.count_records(pb::CountRecordsRequest::default())).await;
    let refused = counted.expect_err("too large");
    assert_eq!(super::scene::reason(&refused), "BUCKETS_TOO_MANY");
    assert!(refused.message().contains("more than 4128768 bytes"), "{}", refused.message());
}

#[tokio::test]
async fn a_look_up_without_a_key_is_refused() {
    let mut scene = Scene::open().await;
    let empty = pb::GetRecordRequest { key: Some(Key::Id(String::new())) }.encode_to_vec();
    let says = ["key is missing", "id or sequence"];
    scene
        .refuses([
            Row::invalid("none", "GetRecord", vec![], "KEY_MISSING", "key", &says),
            Row::invalid("empty id", "GetRecord", empty, "KEY_MISSING", "key", &says),
        ])
        .await;
}

#[tokio::test]
async fn what_is_not_kept_is_not_found() {
    let mut scene = Scene::open().await;
    let get = |key| pb::GetRecordRequest { key: Some(key) }.encode_to_vec();
    let long = get(Key::Id("\u{1}".repeat(1_000_000)));
    for (name, body) in [
        ("id", get(Key::Id("nobody's".into()))),
        ("long id", long),
        ("sequence", get(Key::Sequence(1_000))),
    ] {
        let row = Row {
            code: tonic::Code::NotFound,
            ..Row::invalid(name, "GetRecord", body, "RECORD_NOT_FOUND", "", &["kept"])
        };
        scene.refuses([row]).await;
    }
}
