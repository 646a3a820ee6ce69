//! Times that no event can have, ids that a line lacks, and events that are sent again.

use super::*;

#[test]
fn a_time_that_no_event_can_have_is_kept_as_text() {
    let early = ["\"0001-01-01T00:00:00Z\"", "\"1969-12-31T23:59:59.9Z\""];
    let bad = ["null", "1709287200", "\"soon\"", "\"\"", "{\"a\":1.0}", "[]", "true"];
    for time in early.into_iter().chain(bad) {
        let line = format!(r#"{{"event":"auth","uid":"u","time":{time}}}"#);
        let event = round_trip(&line);
        assert_eq!((event.time, unmapped(&event)), (None, vec![("time", time)]), "{time}");
        let fault = import(&line).time_fault.expect("it is told");
        let is_early = matches!(fault, Error::TimeTooEarly(_));
        assert_eq!(is_early, early.contains(&time), "{fault}");
        // The time that the gateway appends is not the line's.
        let kept = pb::Event { time: Some(Timestamp { seconds: 7, nanos: 0 }), ..event };
        assert_eq!(export(&kept).expect("exports"), Json::parse(&line).expect("JSON"));
    }
    let missing = import(r#"{"event":"auth","uid":"u"}"#);
    assert!(matches!(missing.time_fault, Some(Error::Time(shown)) if shown == "missing"));
    assert!(import(&line("auth", "")).time_fault.is_none());
}

#[test]
fn an_event_goes_without_its_time_and_the_line_returns() {
    for time in ["2200-01-01T00:00:00Z", "2200-01-01T00:00:00.50+01:00"] {
        let text = format!(r#"{{"event":"auth","time":"{time}","uid":"u"}}"#);
        let (id, encoded) = without_time(&import(&text).encoded).expect("it has a time");
        let event = pb::Event::decode(encoded.clone()).expect("an event");
        assert_eq!((event.id(), event.time), ("u", None));
        assert_eq!(id, "u");
        assert_eq!(export(&event).expect("exports").to_string(), text);
        assert_eq!(without_time(&encoded), None, "it has none any more");
    }
}

#[test]
fn a_numbered_id_returns_as_the_uid_of_the_line() {
    let text = line("auth", "");
    let imported = import(&text);
    let (id, second) = with_numbered_id(&imported.encoded, 2).expect("short enough");
    assert_eq!(id, "u-1#2");
    let (id, third) = with_numbered_id(&second, 3).expect("short enough");
    assert_eq!(id, "u-1#3");
    for encoded in [second, third] {
        let event = pb::Event::decode(encoded).expect("an event");
        assert_eq!(unmapped(&event), [("uid", "\"u-1\"")]);
        assert_eq!(export(&event).expect("exports"), Json::parse(&text).expect("JSON"));
    }
    let long = text.replace("u-1", &"x".repeat(127));
    assert_eq!(with_numbered_id(&import(&long).encoded, 2), None);
}

#[test]
fn what_the_gateway_appends_is_not_exported() {
    let mut event = round_trip(r#"{"event":"ssm.run","uid":"u"}"#);
    assert_eq!(unmapped(&event), [("time", "")]);
    event.time = Some(Timestamp { seconds: 1, nanos: 0 });
    assert_eq!(export(&event).expect("exports").to_string(), r#"{"event":"ssm.run","uid":"u"}"#);
}

#[test]
fn a_line_without_uid_gets_an_id_that_a_second_import_repeats() {
    let text = r#"{"event":"role.created","time":"2024-03-01T10:00:00Z"}"#;
    let run = || {
        let mut ordinals = LineOrdinals::default();
        [text, text].map(|line| import_line(line, &mut ordinals).expect("valid").event())
    };
    let events = run();
    assert_eq!(events, run());
    let [first, second] = &events;
    assert_ne!(first.id(), second.id());
    assert_eq!(unmapped(first), [("uid", "")]);
    round_trip(text);
    // An export writes the line in another spelling, and that has the same id.
    let other = r#"{ "time":"2024-03-01T10:00:00Z","n":1e1, "event":"role.created"}"#;
    let text = r#"{"event":"role.\u0063reated","n":10.0,"time":"2024-03-01T10:00:00Z"}"#;
    let exported = export(&import(text).event()).expect("exports").to_string();
    assert_ne!(exported, text);
    assert_eq!([import(other).id, import(&exported).id], [import(text).id, import(text).id]);
    assert_ne!(import(&text.replace("10.0", "10.1")).id, import(text).id);
}

#[test]
fn a_line_of_many_differences_stays_small() {
    let members: String = (0..5_000).map(|n| format!("\"{}{n}\":1,", "k".repeat(500))).collect();
    let long = "y".repeat(100_000);
    let text = line("user.login", &format!(r#""user_traits":{{"{long}":[{{}}],{members}"z":1}}"#));
    let event = round_trip(&text);
    assert_eq!(event.unmapped.keys().collect::<Vec<_>>(), ["user_traits"]);
    let text = line("cert.create", &format!(r#""identity":{{"route_to_app":{{"{long}":1}}}}"#));
    assert_eq!(round_trip(&text).unmapped.keys().collect::<Vec<_>>(), ["identity"]);
    let list = |length| {
        let text = format!(r#""attributes":{{"l":[{}]}}"#, vec!["1.0"; length].join(","));
        round_trip(&line("user.login", &text)).unmapped
    };
    assert_eq!(list(64).len(), 64);
    assert_eq!(list(65).into_keys().collect::<Vec<_>>(), ["attributes"]);
}

#[test]
fn a_uid_that_is_no_id_is_kept_beside_one() {
    let long = format!("\"{}\"", "x".repeat(129));
    for uid in ["\"\"", "7", "null", long.as_str()] {
        let event = round_trip(&format!(
            r#"{{"event":"role.created","time":"2024-03-01T10:00:00Z","uid":{uid}}}"#
        ));
        assert_eq!(event.id().len(), 36);
        assert_eq!(unmapped(&event), [("uid", uid)]);
    }
}
