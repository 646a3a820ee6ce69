//! The policy as a whole: events in, events out.

mod oversize;

use std::time::Duration;

use prost::Message as _;

use super::*;
use crate::event::field;
use crate::proto::pb;
use crate::proto::pb::event::Payload;
use crate::wire;

const NOW: Time = Time(1_700_000_000_000_000_000);
const KEYS: &str = "new AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nold AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

fn rule(types: &[&str], fields: &[&str], action: Action) -> RedactionRule {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    RedactionRule { types: texts(types), fields: texts(fields), action }
}

fn rules(rules: impl Into<Vec<RedactionRule>>) -> Config {
    let keys = Some(HmacKeys::parse(KEYS).expect("valid"));
    Config { rules: rules.into(), keys, ..Config::default() }
}

fn intake(config: Config) -> EventIntake {
    EventIntake { policy: ContentPolicy::compile(config).expect("valid"), ..EventIntake::default() }
}

fn admitted(config: Config, event: &pb::Event) -> (Event, pb::Event) {
    let event = intake(config).admit(event.encode_to_vec().into(), NOW).expect("accepted");
    let decoded = pb::Event::decode(event.bytes.clone()).expect("decodes");
    (event, decoded)
}

/// Path, action and number of values of each amendment.
fn told(event: &Event) -> Vec<(String, String, u32)> {
    let amendments = event.amended.as_ref().map_or(&[][..], |amended| &amended.amendments);
    let tell = |amendment: &pb::Amendment| {
        (amendment.path.clone(), amendment.action.clone(), amendment.values)
    };
    amendments.iter().map(tell).collect()
}

fn tell(path: &str, action: &str, values: u32) -> (String, String, u32) {
    (path.to_owned(), action.to_owned(), values)
}

fn query(text: &str, parameters: &[&str]) -> pb::Event {
    let parameters = parameters.iter().map(|text| (*text).to_owned()).collect();
    pb::Event {
        id: Some("e-1".into()),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        payload: Some(Payload::DbSessionQuery(pb::DbSessionQuery {
            db_query: Some(text.into()),
            db_query_parameters: parameters,
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn custom(name: &str, json: &[(&str, prost_types::value::Kind)]) -> pb::Event {
    let member = |(key, kind): &(&str, prost_types::value::Kind)| {
        ((*key).to_owned(), prost_types::Value { kind: Some(kind.clone()) })
    };
    let data = prost_types::Struct { fields: json.iter().map(member).collect() };
    pb::Event {
        id: Some("e-1".into()),
        payload: Some(Payload::Custom(pb::Custom { name: Some(name.into()), data: Some(data) })),
        ..Default::default()
    }
}

fn payload_of(event: pb::Event) -> pb::DbSessionQuery {
    let Some(Payload::DbSessionQuery(query)) = event.payload else { panic!("a query") };
    query
}

#[test]
fn each_action_does_what_it_says() {
    let event = query("SELECT 1", &["a", "b"]);
    let path = "event.db_session_query.db_query_parameters";
    for (action, name, expected) in
        [(Action::Mask, "masked", vec![MARKER, MARKER]), (Action::Drop, "dropped", vec![])]
    {
        let config = rules([rule(&[], &["db_session_query.db_query_parameters"], action)]);
        let (event, kept) = admitted(config, &event);
        assert_eq!(told(&event), [tell(path, name, 2)]);
        let kept = payload_of(kept);
        assert_eq!(kept.db_query_parameters, expected);
        assert_eq!(kept.db_query(), "SELECT 1");
    }
    let config = rules([rule(&[], &["event.db_session_query.db_query_parameters"], Action::Hmac)]);
    let (first, kept) = admitted(config.clone(), &query("x", &["a", "b", "a"]));
    let values = payload_of(kept).db_query_parameters;
    assert!(values.iter().all(|value| value.starts_with("hmac:new:")), "{values:?}");
    assert_eq!(values[0], values[2], "equal values can be joined");
    assert_ne!(values[0], values[1]);
    assert_eq!(first.amended.expect("amended").amendments[0].key_id, "new");
}

#[test]
fn an_event_that_no_rule_is_for_keeps_its_bytes() {
    let config = rules([
        rule(&["user.*"], &["labels"], Action::Mask),
        rule(&[], &["exec.command.line", "labels.x"], Action::Mask),
    ]);
    let event = pb::Event { labels: [("env".into(), "prod".into())].into(), ..query("x", &[]) };
    let bytes = Bytes::from(event.encode_to_vec());
    let kept = intake(config).admit(bytes.clone(), NOW).expect("accepted");
    assert_eq!(kept.bytes.as_ptr(), bytes.as_ptr(), "not even copied");
    assert!(kept.amended.is_none());
}

#[test]
fn maps_are_redacted_by_key_and_as_a_whole() {
    let labels = [("env".to_owned(), "prod".to_owned()), ("a.b".into(), "x".into())];
    let groups = pb::StringList { values: vec!["dev".into(), "oncall".into()] };
    let event = pb::Event {
        labels: labels.into(),
        user: Some(pb::User { traits: [("groups".into(), groups)].into(), ..Default::default() }),
        ..query("x", &[])
    };
    let config = rules([
        rule(&[], &["labels['a.b']"], Action::Drop),
        rule(&[], &["labels.*", "user.traits"], Action::Mask),
    ]);
    let (event, kept) = admitted(config, &event);
    assert_eq!(kept.labels, [("env".to_owned(), MARKER.to_owned())].into());
    let traits = kept.user.expect("a user").traits;
    assert_eq!(traits["groups"].values, [MARKER, MARKER]);
    assert_eq!(
        told(&event),
        [
            tell("event.user.traits.*.values", "masked", 2),
            tell("event.labels[\"a.b\"]", "dropped", 1),
            tell("event.labels.*", "masked", 1),
        ]
    );
}

#[test]
fn unmapped_stays_json() {
    let config =
        rules([rule(&[], &["unmapped.a"], Action::Mask), rule(&[], &["unmapped.b"], Action::Hmac)]);
    let unmapped = ["a", "b", "c"].map(|key| (key.to_owned(), "{\"x\":1}".to_owned()));
    let (_, kept) = admitted(config, &pb::Event { unmapped: unmapped.into(), ..query("x", &[]) });
    assert_eq!(kept.unmapped["a"], "\"[redacted]\"");
    assert!(kept.unmapped["b"].starts_with("\"hmac:new:"), "{:?}", kept.unmapped);
    assert_eq!(kept.unmapped["c"], "{\"x\":1}");
    for text in kept.unmapped.values() {
        serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    }
}

#[test]
fn json_is_redacted_at_any_depth() {
    use prost_types::value::Kind;
    let number = |number| prost_types::Value { kind: Some(Kind::NumberValue(number)) };
    let text = |text: &str| prost_types::Value { kind: Some(Kind::StringValue(text.into())) };
    let inner = prost_types::Struct {
        fields: [
            ("no".to_owned(), number(4111.0)),
            ("cvc".into(), text("1")),
            ("ok".into(), prost_types::Value { kind: Some(Kind::BoolValue(true)) }),
        ]
        .into(),
    };
    let list = prost_types::ListValue {
        values: vec![prost_types::Value { kind: Some(Kind::StructValue(inner)) }, number(7.5)],
    };
    let event =
        custom("pay", &[("cards", Kind::ListValue(list)), ("note", Kind::StringValue("x".into()))]);
    let json = |config: Config| {
        let (event, kept) = admitted(config, &event);
        let Some(Payload::Custom(kept)) = kept.payload else { panic!("custom") };
        (told(&event), format!("{:?}", kept.data))
    };
    let (told, data) = json(rules([rule(&[], &["custom.data.cards"], Action::Mask)]));
    assert_eq!(told, [tell("event.custom.data.cards", "masked", 3)]);
    assert!(data.contains("BoolValue(true)") && data.contains("\"x\""), "{data}");
    assert!(!data.contains("4111") && !data.contains("7.5"), "{data}");
    let (told, data) = json(rules([
        rule(&[], &["custom.data.cards.no"], Action::Drop),
        rule(&[], &["custom.data.cards.*"], Action::Hmac),
    ]));
    assert_eq!(
        told,
        [
            tell("event.custom.data.cards.*", "hmac", 1),
            tell("event.custom.data.cards.no", "dropped", 1)
        ]
    );
    assert!(data.contains("7.5") && !data.contains("4111"), "{data}");
}

#[test]
fn the_strictest_of_several_actions_is_done() {
    let config = rules([
        rule(&[], &["db_session_query"], Action::Hmac),
        rule(&[], &["db_session_query.db_query"], Action::Secrets),
        rule(&["db.*"], &["db_session_query.db_query_parameters"], Action::Drop),
        rule(&[], &["db_session_query.db_query_parameters"], Action::Mask),
    ]);
    let (event, _) = admitted(config, &query("x", &["y"]));
    assert_eq!(
        told(&event),
        [
            tell("event.db_session_query.db_query", "hmac", 1),
            tell("event.db_session_query.db_query_parameters", "dropped", 1),
        ]
    );
}

#[test]
fn rules_tell_custom_types_apart() {
    use prost_types::value::Kind;
    let config = rules([
        rule(&["custom.a*"], &["custom.data"], Action::Mask),
        rule(&["custom"], &["custom.data.x"], Action::Drop),
        rule(&["exec"], &["labels"], Action::Drop),
    ]);
    for (name, expected) in [("ab", "dropped masked"), ("b", "dropped")] {
        let data = [("x", Kind::StringValue("1".into())), ("y", Kind::StringValue("2".into()))];
        let (event, _) = admitted(config.clone(), &custom(name, &data));
        let mut actions: Vec<_> = told(&event).into_iter().map(|(_, action, _)| action).collect();
        actions.sort();
        assert_eq!(actions.join(" "), expected, "{name}");
        assert_eq!(event.type_name().concat(), format!("custom.{name}"));
    }
}

#[test]
fn every_occurrence_is_redacted_and_the_rest_kept() {
    // The payload in two parts, the query twice, with fields that nobody knows.
    let mut first = Vec::new();
    wire::put_bytes_field(&mut first, 2, b"first secret");
    wire::put_bytes_field(&mut first, 999, b"unknown in payload");
    wire::put_bytes_field(&mut first, 2, b"second secret");
    let mut second = Vec::new();
    wire::put_bytes_field(&mut second, 2, b"third secret");
    let number = pb_number("db_session_query");
    let mut event = Vec::new();
    wire::put_bytes_field(&mut event, number, &first);
    wire::put_bytes_field(&mut event, 50, b"unknown in event");
    wire::put_varint_field(&mut event, 51, 7);
    wire::put_bytes_field(&mut event, number, &second);
    wire::put_bytes_field(&mut event, field::ID, b"e-1");

    let config = rules([rule(&[], &["db_session_query.db_query"], Action::Mask)]);
    let kept = intake(config).admit(event.into(), NOW).expect("accepted");
    assert_eq!(told(&kept), [tell("event.db_session_query.db_query", "masked", 3)]);
    let shown = String::from_utf8_lossy(&kept.bytes);
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("unknown in payload") && shown.contains("unknown in event"), "{shown}");
    assert_eq!(kept.id(), "e-1");
    // Within what a rule names as a whole nobody can tell what they hold.
    let config = rules([rule(&[], &["db_session_query"], Action::Mask)]);
    let event = Bytes::copy_from_slice(&kept.bytes);
    let kept = intake(config).admit(event, NOW).expect("accepted");
    let shown = String::from_utf8_lossy(&kept.bytes);
    assert!(!shown.contains("unknown in payload") && shown.contains("unknown in event"), "{shown}");
}

fn pb_number(name: &str) -> u32 {
    wire::EVENT.get().field_by_name(name).expect(name).number
}

#[test]
fn keys_and_result_are_those_of_what_is_kept() {
    let config = rules([
        rule(&[], &["user.name"], Action::Mask),
        rule(&[], &["outcome.success"], Action::Drop),
    ]);
    let event = pb::Event {
        outcome: Some(pb::Outcome { success: Some(false), ..Default::default() }),
        ..query("x", &[])
    };
    let (event, _) = admitted(config, &event);
    assert_eq!(event.keys.user, event::key(MARKER));
    assert_eq!(event.result, 0, "nothing is derived from what is not kept");
}

#[test]
fn an_id_is_appended_behind_what_is_kept() {
    let config = rules([rule(&[], &["db_session_query.db_query"], Action::Drop)]);
    let event = pb::Event { id: None, ..query("secret", &["p"]) };
    let (event, kept) = admitted(config, &event);
    assert!(event.id_was_appended() && kept.id() == event.id());
    let client = pb::Event::decode(event.client_bytes()).expect("decodes");
    assert_eq!(client.id, None);
    assert_eq!(payload_of(client).db_query, None);
}

#[test]
fn presets_are_one_key_each() {
    let config = Config { sql: Some(Action::Mask), ..Config::default() };
    let (event, _) = admitted(config, &query("SELECT 'x'", &["1"]));
    assert_eq!(
        told(&event),
        [
            tell("event.db_session_query.db_query", "masked", 1),
            tell("event.db_session_query.db_query_parameters", "masked", 1),
        ]
    );
    let line = |line: &str| pb::Event {
        id: Some("--password=id".into()),
        payload: Some(Payload::Exec(pb::Exec {
            command: Some(pb::Command { line: Some(line.into()), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let config = Config { commands: Some(Action::Drop), ..Config::default() };
    let (event, _) = admitted(config, &line("rm -rf /"));
    assert_eq!(told(&event), [tell("event.exec.command.line", "dropped", 1)]);
    let config = Config { secrets: true, ..Config::default() };
    let (event, kept) = admitted(config, &line("login --password=S3cr3t! https://u:p@h/"));
    assert_eq!(told(&event), [tell("event.exec.command.line", "secrets_masked", 1)]);
    assert_eq!(event.id(), "--password=id", "the id is left alone");
    let Some(Payload::Exec(exec)) = kept.payload else { panic!("exec") };
    let masked = exec.command.expect("a command").line.expect("a line");
    assert_eq!(masked, "login --password=[redacted] https://[redacted]@h/");
}

#[test]
fn a_flag_in_a_list_masks_the_next_argument() {
    let argv = ["login", "--password", "S3cr3t!", "--token", "--verbose", "x"];
    let event = pb::Event {
        payload: Some(Payload::SessionCommand(pb::SessionCommand {
            argv: argv.map(str::to_owned).to_vec(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let (_, kept) = admitted(Config { secrets: true, ..Config::default() }, &event);
    let Some(Payload::SessionCommand(kept)) = kept.payload else { panic!("a command") };
    assert_eq!(kept.argv, ["login", "--password", MARKER, "--token", "--verbose", "x"]);
    let event = pb::Event {
        payload: Some(Payload::AppSessionRequest(pb::AppSessionRequest {
            raw_query: Some("a=S3cr3t!&b".into()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let (_, kept) = admitted(Config { secrets: true, ..Config::default() }, &event);
    let Some(Payload::AppSessionRequest(kept)) = kept.payload else { panic!("a request") };
    assert_eq!(kept.raw_query(), "a=[redacted]&b");
}

#[test]
fn hmacs_that_make_an_event_too_large_refuse_it() {
    let config = rules([rule(&[], &["db_session_query.db_query_parameters"], Action::Hmac)]);
    let intake = EventIntake { event_bytes: 10_000, ..intake(config) };
    let event = query("x", &["y"; 1_000]);
    let refused = intake.admit(event.encode_to_vec().into(), NOW).expect_err("too large");
    assert_eq!(refused, event::Error::GrownTooLarge { limit: 10_000 });
}

#[test]
fn a_skew_is_noted_beyond_the_limit() {
    let config = Config { skew_max: Some(Duration::from_secs(60)), ..Config::default() };
    for (seconds, expected) in
        [(0, None), (60, None), (-60, None), (61, Some(61)), (-3_600, Some(-3_600))]
    {
        let time = Time(NOW.0 + seconds * 1_000_000_000);
        let event = pb::Event { time: Some(time.timestamp()), ..query("x", &[]) };
        let (event, _) = admitted(config.clone(), &event);
        let expected = expected.map(|seconds: i64| seconds * 1_000_000_000);
        assert_eq!(event.clock_skew, expected, "{seconds}");
    }
    let (event, _) = admitted(config, &query("x", &[]));
    assert_eq!(event.clock_skew, None, "there is no time to compare");
}

#[test]
fn what_does_not_fit_is_refused_with_its_key() {
    let refused = |config: Config| ContentPolicy::compile(config).expect_err("refused").to_string();
    let fields = |fields: &[&str]| refused(rules([rule(&[], fields, Action::Mask)]));
    assert_eq!(
        fields(&["labels", "db_session_query.db_qery"]),
        "redact.rules[0].fields[1] is \"db_session_query.db_qery\": DbSessionQuery has no field \"db_qery\"; nearest: db_query"
    );
    assert!(fields(&[]).starts_with("redact.rules[0].fields is empty"));
    assert!(fields(&["labels"; PATHS_MAX + 1]).contains("1001 paths, limit 1000"));
    assert_eq!(
        refused(rules([rule(&["exec", "user.logni"], &["labels"], Action::Mask)])),
        "redact.rules[0].types[1] is \"user.logni\", which is not an event type; nearest: user.login"
    );
    let no_keys = Config { sql: Some(Action::Hmac), ..Config::default() };
    assert_eq!(refused(no_keys), "redact.sql asks for HMACs, but there is no redact.hmac_key_file");
    assert!(ContentPolicy::compile(Config::default()).expect("valid").is_none(), "nothing to do");
}
