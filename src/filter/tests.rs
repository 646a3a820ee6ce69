use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::event::Event;
use crate::proto::pb::event::Payload;
use crate::record::{Draft, FrameScratch, Sequence};
use crate::time::Time;

const NOW: Time = Time(1_700_000_000_000_000_000);

fn event() -> pb::Event {
    pb::Event {
        code: Some("T1000W".into()),
        cluster_name: Some("east".into()),
        user: Some(pb::User {
            name: Some("alice".into()),
            impersonator: Some("root".into()),
            ..Default::default()
        }),
        session: Some(pb::Session { id: Some("s1".into()), ..Default::default() }),
        server: Some(pb::Server { id: Some("h1".into()), ..Default::default() }),
        connection: Some(pb::Connection {
            remote_address: Some("10.1.2.3:4022".into()),
            ..Default::default()
        }),
        source: Some(pb::Source { name: Some("api".into()), ..Default::default() }),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

/// The record of an event, and what an index keeps of it.
fn accepted(event: &pb::Event) -> (Vec<u8>, RecordColumns) {
    let checked = Event::check(Bytes::from(event.encode_to_vec()), NOW, 1 << 20).expect("valid");
    let draft = Draft::new(checked, &pb::Emitter::default().into());
    let mut frame = Vec::new();
    let columns = draft.frame(Sequence(7), NOW, &mut FrameScratch::default(), |part| {
        frame.extend_from_slice(part)
    });
    (record::unframed(&frame).to_vec(), columns)
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// What the columns and the record say.
fn ask(filter: &pb::Filter, event: &pb::Event) -> (Verdict, Outcome) {
    let filter = Filter::compile(filter).unwrap_or_else(|error| panic!("{error}"));
    let (record, columns) = accepted(event);
    (filter.columns(&columns), filter.record(&record))
}

const YES: (Verdict, Outcome) = (Verdict::Yes, Outcome::Match);
const ONLY_BY_RECORD: (Verdict, Outcome) = (Verdict::Unsure, Outcome::Match);
const NO: (Verdict, Outcome) = (Verdict::No, Outcome::NoMatch);
const NOT_BY_RECORD: (Verdict, Outcome) = (Verdict::Unsure, Outcome::NoMatch);

#[test]
fn an_empty_filter_matches_everything() {
    let filter = Filter::compile(&pb::Filter::default()).expect("valid");
    assert!(filter.matches_all());
    assert_eq!(*filter.selection(), Selection::default());
    assert_eq!(ask(&pb::Filter::default(), &event()), YES);
}

#[test]
fn columns_alone_prove_type_severity_and_result() {
    let failure = pb::Result::Failure as i32;
    for (filter, expected) in [
        (pb::Filter { types: strings(&["user.*"]), ..Default::default() }, YES),
        (pb::Filter { exclude_types: strings(&["user.*"]), ..Default::default() }, NO),
        (pb::Filter { categories: vec![pb::Category::User as i32], ..Default::default() }, YES),
        (pb::Filter { categories: vec![pb::Category::Exec as i32], ..Default::default() }, NO),
        (pb::Filter { min_severity: pb::Severity::Warning as i32, ..Default::default() }, YES),
        (pb::Filter { min_severity: pb::Severity::Error as i32, ..Default::default() }, NO),
        (pb::Filter { results: vec![failure, failure], ..Default::default() }, YES),
        (pb::Filter { results: vec![pb::Result::Success as i32], ..Default::default() }, NO),
        (pb::Filter { results: vec![0], ..Default::default() }, NO),
        (pb::Filter { types: strings(&["custom.x"]), ..Default::default() }, NO),
    ] {
        assert!(!Filter::compile(&filter).expect("valid").matches_all(), "{filter:?}");
        assert_eq!(ask(&filter, &event()), expected, "{filter:?}");
    }
}

#[test]
fn indexed_fields_are_narrowed_by_key_and_proved_by_the_record() {
    for (filter, expected) in [
        (pb::Filter { users: strings(&["bob", "alice"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { users: strings(&["root"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { users: strings(&["Alice"]), ..Default::default() }, NO),
        (pb::Filter { session_ids: strings(&["s1"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { session_ids: strings(&["s2"]), ..Default::default() }, NO),
        (pb::Filter { server_ids: strings(&["h1"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { server_ids: strings(&["h2"]), ..Default::default() }, NO),
    ] {
        assert_eq!(ask(&filter, &event()), expected, "{filter:?}");
    }
    let filter = pb::Filter { users: strings(&["alice", "alice"]), ..Default::default() };
    let selection = Filter::compile(&filter).expect("valid").selection().clone();
    assert_eq!(selection.users, Some(vec![record::key("alice")]));
}

#[test]
fn other_fields_need_the_record() {
    let labels = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    for (filter, expected) in [
        (pb::Filter { codes: strings(&["T1000W"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { codes: strings(&["T1000I"]), ..Default::default() }, NOT_BY_RECORD),
        (pb::Filter { cluster_names: strings(&["east"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { cluster_names: strings(&["west"]), ..Default::default() }, NOT_BY_RECORD),
        (pb::Filter { sources: strings(&["api"]), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { sources: strings(&["web"]), ..Default::default() }, NOT_BY_RECORD),
        (
            pb::Filter { remote_addresses: strings(&["10.0.0.0/8"]), ..Default::default() },
            ONLY_BY_RECORD,
        ),
        (
            pb::Filter { remote_addresses: strings(&["11.0.0.0/8"]), ..Default::default() },
            NOT_BY_RECORD,
        ),
        (pb::Filter { labels: labels("env", "prod"), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { labels: labels("env", "test"), ..Default::default() }, NOT_BY_RECORD),
        (pb::Filter { text: "ALICE".into(), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { text: "carol".into(), ..Default::default() }, NOT_BY_RECORD),
        (pb::Filter { expression: "sequence == 7".into(), ..Default::default() }, ONLY_BY_RECORD),
        (pb::Filter { expression: "sequence == 8".into(), ..Default::default() }, NOT_BY_RECORD),
    ] {
        assert_eq!(ask(&filter, &event()), expected, "{filter:?}");
        // What is absent matches no value that is asked for.
        let bare = pb::Event { payload: event().payload, ..Default::default() };
        if filter.expression.is_empty() {
            assert_eq!(ask(&filter, &bare).1, Outcome::NoMatch, "{filter:?}");
        }
    }
}

#[test]
fn an_expression_fails_only_on_records_that_match_all_else() {
    let filter = |users: &[&str]| pb::Filter {
        users: strings(users),
        expression: "event.labels.missing == 'x'".into(),
        ..Default::default()
    };
    assert_eq!(ask(&filter(&["alice"]), &event()).1, Outcome::ExpressionFailed);
    assert_eq!(ask(&filter(&["bob"]), &event()).1, Outcome::NoMatch);
}

#[test]
fn a_custom_name_needs_the_record() {
    let custom = |name: &str| pb::Event {
        payload: Some(Payload::Custom(pb::Custom { name: Some(name.into()), data: None })),
        ..Default::default()
    };
    let filter = pb::Filter { types: strings(&["custom.sale"]), ..Default::default() };
    assert_eq!(ask(&filter, &custom("sale")), ONLY_BY_RECORD);
    assert_eq!(ask(&filter, &custom("return")), NOT_BY_RECORD);
    let filter = pb::Filter { types: strings(&["custom.*"]), ..Default::default() };
    assert_eq!(ask(&filter, &custom("return")), YES);
}

#[test]
fn numbers_that_are_no_value_of_an_enum_are_refused() {
    for (filter, field) in [
        (pb::Filter { min_severity: 99, ..Default::default() }, "min_severity"),
        (pb::Filter { min_severity: -1, ..Default::default() }, "min_severity"),
        (pb::Filter { results: vec![1, 99], ..Default::default() }, "results[1]"),
        (pb::Filter { results: vec![-1], ..Default::default() }, "results[0]"),
        (pb::Filter { results: vec![1; VALUES_MAX + 1], ..Default::default() }, "results"),
        (pb::Filter { categories: vec![1; VALUES_MAX + 1], ..Default::default() }, "categories"),
    ] {
        let error = Filter::compile(&filter).expect_err(field);
        assert_eq!(error.field(), field);
        assert!(error.to_string().starts_with(field), "{error}");
    }
}

/// Readers on several threads share a filter.
#[test]
fn a_filter_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Filter>();
}
