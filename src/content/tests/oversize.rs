//! Events that are too large.

use sha2::{Digest as _, Sha256};

use super::*;

const LIMIT: usize = 8_192;

fn trimmed(event: &pb::Event) -> Result<Event, event::Error> {
    let config = Config { oversize: OversizeAction::Trim, ..Config::default() };
    let intake = EventIntake { event_bytes: LIMIT, ..intake(config) };
    intake.admit(event.encode_to_vec().into(), NOW)
}

#[test]
fn the_longest_texts_are_cut_and_told() {
    let long = "€".repeat(4_000);
    let labels = [("a b".to_owned(), "y".repeat(6_000)), ("short".into(), "z".repeat(200))];
    let event = pb::Event { labels: labels.into(), ..query(&long, &["p", &"q".repeat(5_000)]) };
    let kept = trimmed(&event).expect("trimmed");
    assert!(kept.client_len <= LIMIT && kept.client_len > LIMIT - 300, "{}", kept.client_len);
    let amendments = &kept.amended.as_ref().expect("amended").amendments;
    let paths: Vec<_> = amendments.iter().map(|amendment| amendment.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "event.labels[\"a b\"]",
            "event.db_session_query.db_query",
            "event.db_session_query.db_query_parameters[1]"
        ]
    );
    assert_eq!(amendments[1].action, "trimmed");
    assert_eq!(amendments[1].original_bytes, 12_000);
    assert_eq!(amendments[1].original_sha256, Sha256::digest(&long).to_vec());
    let decoded = pb::Event::decode(kept.bytes).expect("decodes, so it is cut between characters");
    assert_eq!(decoded.labels["short"].len(), 200);
    let decoded = payload_of(decoded);
    assert!(long.starts_with(decoded.db_query()) && decoded.db_query().len() > 2_000);
    assert_eq!(decoded.db_query_parameters[0], "p");
}

#[test]
fn who_what_and_outcome_are_never_cut() {
    let long = || Some("x".repeat(LIMIT));
    let who = pb::Event {
        user: Some(pb::User { name: long(), ..Default::default() }),
        ..query("q", &[])
    };
    let outcome = pb::Event {
        outcome: Some(pb::Outcome { error: long(), ..Default::default() }),
        ..query("q", &[])
    };
    for event in [who, outcome, pb::Event { code: long(), ..query("q", &[]) }] {
        let refused = trimmed(&event).expect_err("nothing may be cut");
        let bytes = event.encoded_len();
        assert_eq!(refused, event::Error::TooLarge { bytes, limit: LIMIT });
    }
}

#[test]
fn json_is_cut_and_its_keys_are_not() {
    use prost_types::value::Kind;
    let text = |text: String| prost_types::Value { kind: Some(Kind::StringValue(text)) };
    let list = prost_types::ListValue { values: vec![text("a".into()), text("b".repeat(LIMIT))] };
    let kept = trimmed(&custom("x", &[("items", Kind::ListValue(list))])).expect("trimmed");
    assert_eq!(told(&kept), [tell("event.custom.data.items[1]", "trimmed", 1)]);
    let key = "k".repeat(LIMIT);
    let refused = trimmed(&custom("x", &[(&key, Kind::BoolValue(true))]));
    assert!(matches!(refused, Err(event::Error::TooLarge { .. })));
}

#[test]
fn too_many_texts_are_refused() {
    let parameter = "x".repeat(300);
    let refused = trimmed(&query("q", &vec![parameter.as_str(); 2_000]));
    assert!(matches!(refused, Err(event::Error::TooLarge { .. })));
}

#[test]
fn redaction_comes_before_trimming() {
    let config = Config {
        oversize: OversizeAction::Trim,
        ..rules([rule(&[], &["db_session_query.db_query"], Action::Mask)])
    };
    let intake = EventIntake { event_bytes: LIMIT, ..intake(config) };
    let event = query(&"s".repeat(20_000), &["p"]);
    let kept = intake.admit(event.encode_to_vec().into(), NOW).expect("fits once it is masked");
    assert_eq!(told(&kept), [tell("event.db_session_query.db_query", "masked", 1)]);
    let event = query(&"s".repeat(20_000), &[&"p".repeat(9_000)]);
    let kept = intake.admit(event.encode_to_vec().into(), NOW).expect("trimmed");
    assert_eq!(told(&kept).len(), 2);
}
