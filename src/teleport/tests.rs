//! The mapping on lines that are easy to get wrong.

mod times_and_ids;

use prost_types::{Struct, Timestamp};

use super::*;
use crate::proto::pb::event::Payload;
use crate::wire;

fn import(line: &str) -> ImportedEvent {
    import_line(line, &mut LineOrdinals::default())
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Imports the line, checks that the gateway would take the event, and that the
/// export is the line again.
fn round_trip(line: &str) -> pb::Event {
    let imported = import(line);
    wire::validate(wire::EVENT, &imported.encoded).expect("a valid event");
    let event = imported.event();
    assert_eq!(event.id(), imported.id);
    let exported = export(&event).expect("exports");
    assert_eq!(exported, Json::parse(line).expect("JSON"), "{event:?}");
    event
}

fn unmapped(event: &pb::Event) -> Vec<(&str, &str)> {
    event.unmapped.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect()
}

/// A line of this type with these members, as JSON text.
fn line(event_type: &str, members: &str) -> String {
    format!(
        r#"{{"event":"{event_type}","uid":"u-1","time":"2024-03-01T10:00:00Z"{}{members}}}"#,
        if members.is_empty() { "" } else { "," }
    )
}

#[test]
fn a_line_becomes_typed_fields() {
    let event = round_trip(&line(
        "user.login",
        r#""code":"T1000W","ei":0,"cluster_name":"east","user":"ana","addr.remote":"10.0.0.7:5022",
        "success":false,"error":"wrong password","method":"local","user_kind":1,
        "mfa_device":{"mfa_device_name":"key","mfa_via_browser":true},
        "user_traits":{"teams":["blue","red"],"none":[]},"attributes":{"level":3,"tags":[null,true]}"#,
    ));
    assert_eq!(event.id(), "u-1");
    assert_eq!(event.index, Some(0), "zero is a value");
    let user = event.user.as_ref().expect("a user");
    assert_eq!((user.name(), user.kind()), ("ana", pb::UserKind::Human));
    assert_eq!(user.traits.len(), 2);
    assert_eq!(event.connection.as_ref().expect("a connection").remote_address(), "10.0.0.7:5022");
    assert_eq!(event.outcome.as_ref().expect("an outcome").success, Some(false));
    let Some(Payload::UserLogin(login)) = &event.payload else { panic!("{event:?}") };
    assert_eq!(login.mfa_device.as_ref().expect("a device").name(), "key");
    assert_eq!(login.attributes.as_ref().expect("attributes").fields.len(), 2);
    assert_eq!(unmapped(&event), []);
}

#[test]
fn what_the_schema_lacks_is_kept_by_its_place() {
    let event = round_trip(&line(
        "cert.create",
        r#""new":{"a":1.50},"identity":{"user":"ana","roles":null,"surprise":[1],
        "route_to_app":{"name":"x","zone":"z"},"traits":{"ok":["1"],"odd":null,"mixed":["a",1]}}"#,
    ));
    assert_eq!(
        unmapped(&event),
        [
            ("/identity/roles", "null"),
            ("/identity/route_to_app/zone", "\"z\""),
            ("/identity/surprise", "[1]"),
            ("/identity/traits/mixed", r#"["a",1]"#),
            ("/identity/traits/odd", "null"),
            ("new", r#"{"a":1.50}"#),
        ]
    );
}

#[test]
fn values_that_a_field_cannot_hold_are_kept() {
    for (event_type, key, text) in [
        ("scp", "exitCode", "25"),
        ("session.data", "tx", "\"many\""),
        ("session.data", "tx", "1e3"),
        ("session.data", "tx", "-1"),
        ("session.data", "tx", "18446744073709551616"),
        ("session.disk", "flags", "2147483648"),
        ("session.start", "initial_command", "[]"),
        ("session.start", "initial_command", r#"["ls",null]"#),
        ("session.start", "server_labels", "{}"),
        ("session.start", "server_labels", "[]"),
        ("session.end", "interactive", "\"yes\""),
        ("session.end", "interactive", "null"),
        ("recovery_token.create", "ttl", "900000000000"),
        ("recovery_token.create", "ttl", "\"15m\""),
        ("recovery_token.create", "expires", "\"never\""),
        ("desktop.recording", "message", "\"not base64\""),
        ("desktop.recording", "message", "\"YQ\""),
        ("desktop.recording", "ms", "-0"),
        ("user.login", "user", "{\"name\":\"ana\"}"),
        ("user.login", "attributes", "\"text\""),
        ("lock.created", "target", "[{}]"),
        ("sftp", "action", "99999999999"),
        ("sftp", "action", "\"open\""),
    ] {
        let event = round_trip(&line(event_type, &format!("\"{key}\":{text}")));
        assert_eq!(unmapped(&event), [(key, text)], "{event_type}");
    }
}

#[test]
fn big_values_that_a_field_holds_need_no_second_place() {
    for (event_type, members) in [
        ("session.data", r#""tx":18446744073709551615,"rx":0"#),
        (
            "desktop.recording",
            r#""ms":-9223372036854775808,"message":"AAECAw==","tdpb_message":"""#,
        ),
        ("session.start", r#""ei":9007199254740993,"sid":"","reason":"a\u0000\"\\é😀\n""#),
        ("recovery_token.create", r#""ttl":"1h0m0.5s","expires":"0001-01-01T00:00:00Z""#),
        ("sftp", r#""action":0,"flags":577,"attributes":{"uid":0}"#),
        ("sftp", r#""action":77"#),
        ("user.login", r#""user_origin":42,"trusted_device":{},"attributes":{"n":-0,"f":1e-7}"#),
    ] {
        assert_eq!(unmapped(&round_trip(&line(event_type, members))), [], "{members}");
    }
}

#[test]
fn the_enums_of_session_network_begin_at_zero_in_teleport() {
    let event = round_trip(&line("session.network", r#""operation":0,"action":1"#));
    let Some(Payload::SessionNetwork(network)) = &event.payload else { panic!("{event:?}") };
    assert_eq!(network.operation(), pb::NetworkOperation::Connect);
    assert_eq!(network.action(), pb::NetworkAction::Denied);
    round_trip(&line("session.network", r#""operation":-1,"action":2147483647"#));
}

#[test]
fn spellings_of_times_return() {
    for time in [
        "2024-03-01T10:00:00.990Z",
        "2024-03-01T12:00:00.99+02:00",
        "2024-03-01T10:00:00.1234567891Z",
    ] {
        let event = round_trip(&format!(r#"{{"event":"role.created","uid":"u","time":"{time}"}}"#));
        assert!(event.time.is_some(), "the time is understood");
        assert_eq!(unmapped(&event), [("time", format!("\"{time}\"").as_str())]);
    }
    let event =
        round_trip(r#"{"event":"role.created","uid":"u","time":"2024-03-01T10:00:00.99Z"}"#);
    assert_eq!(event.time, Some(Timestamp { seconds: 1_709_287_200, nanos: 990_000_000 }));
    assert_eq!(unmapped(&event), []);
}

#[test]
fn a_type_that_the_catalog_lacks_becomes_custom() {
    let text = line(
        "db.session.query.failed",
        r#""code":"TDB02W","user":"ana","sid":"s","db_name":"orders","rows":25,"cost":1.0,
        "big":9007199254740993,"nothing":null,"none":[],"/slash":{"a~b":1e400},"":0"#,
    );
    let imported = import(&text);
    assert_eq!(imported.unknown_type.as_deref(), Some("db.session.query.failed"));
    let event = round_trip(&text);
    assert_eq!(event.user.as_ref().expect("the envelope is mapped").name(), "ana");
    let Some(Payload::Custom(custom)) = &event.payload else { panic!("{event:?}") };
    assert_eq!(custom.name(), "db.session.query.failed");
    let data = custom.data.as_ref().expect("data");
    let keys: Vec<&str> = data.fields.keys().map(String::as_str).collect();
    assert_eq!(keys, ["", "/slash", "cost", "db_name", "none", "nothing", "rows"]);
    assert_eq!(
        unmapped(&event),
        [("/~1slash/a~0b", "1e400"), ("big", "9007199254740993"), ("cost", "1.0")]
    );
}

#[test]
fn any_text_is_a_type() {
    for (name, expected) in [
        ("", "_"),
        ("custom", "custom"),
        ("custom.x", "custom.x"),
        ("two words\\n", "two_words_"),
        ("smörgås", "sm_rg_s"),
        // Would be the name of a type that the catalog has.
        ("recovery code.used", "recovery_code.used"),
    ] {
        let event = round_trip(&line(name, ""));
        let Some(Payload::Custom(custom)) = &event.payload else { panic!("{event:?}") };
        assert_eq!(custom.name(), expected);
    }
    let event = round_trip(&line(&"y".repeat(500), ""));
    let Some(Payload::Custom(custom)) = &event.payload else { panic!("{event:?}") };
    assert_eq!(custom.name().len(), catalog::CUSTOM_NAME_BYTES_MAX);
}

#[test]
fn what_is_nested_too_deep_for_an_event_is_kept_as_text() {
    // An array takes two levels of messages and an object three, so that these
    // end on every level around the limit.
    for objects in 0..4 {
        for arrays in 0..json::DEPTH_MAX / 2 {
            let open = "{\"k\":".repeat(objects) + &"[".repeat(arrays);
            for innermost in ["1", "[]", "{}"] {
                let deep =
                    format!("{open}{innermost}{}{}", "]".repeat(arrays), "}".repeat(objects));
                let attributes = format!(r#""attributes":{{"a":0,"deep":{deep}}}"#);
                round_trip(&line("user.login", &attributes));
                round_trip(&line("unheard.of", &format!(r#""a":0,"deep":{deep}"#)));
            }
        }
    }
    let most = "[".repeat(json::DEPTH_MAX) + &"]".repeat(json::DEPTH_MAX);
    round_trip(&line("unheard.of", &format!("\"deep\":{most}")));
    let deep = "[".repeat(json::DEPTH_MAX + 1) + &"]".repeat(json::DEPTH_MAX + 1);
    let refused =
        import_line(&line("auth", &format!("\"a\":{deep}")), &mut LineOrdinals::default());
    assert!(matches!(refused, Err(Error::Json(json::Error::TooDeep))), "{refused:?}");
}

#[test]
fn keys_of_our_own_in_a_line_do_no_harm() {
    for members in [
        r#""auditgate.labels":{"a":"b","c":1},"auditgate.source":{"name":"x","else":2}"#,
        r#""auditgate.user":{},"user":"ana""#,
        r#""auditgate.user":{"login":"root"}"#,
        r#""auditgate.unmapped":{"a":"1"},"auditgate.type":"custom","auditgate.data":{"user":"x"}"#,
        r#""auditgate.data":{"free":1},"auditgate.type":7,"auditgate.nonsense":[]"#,
        r#""unmapped":{"a":"1"},"user_login":{},"id":"x","custom":1"#,
        r#""auditgate.exec.command":{},"auditgate.session.id":"other","sid":"one""#,
    ] {
        for event_type in ["exec", "session.recording.access", "custom", "unheard.of"] {
            round_trip(&line(event_type, members));
        }
    }
}

#[test]
fn what_is_not_a_line_is_refused() {
    let refused = |line: &str| import_line(line, &mut LineOrdinals::default()).err();
    assert!(matches!(refused("{"), Some(Error::Json(json::Error::Syntax(_)))));
    assert!(matches!(refused("[1]"), Some(Error::NotAnObject)));
    assert!(matches!(refused("{}"), Some(Error::Type(_))));
    assert!(matches!(refused(r#"{"event":5}"#), Some(Error::Type(_))));
    assert!(matches!(
        refused(r#"{"event":"auth","event":"exec"}"#),
        Some(Error::Json(json::Error::KeyTwice(_)))
    ));
}

/// Events that no line was: exported, they are imported as what they are.
#[test]
fn native_events_return() {
    let time = Some(Timestamp { seconds: 1_709_287_200, nanos: 5 });
    let event = |payload| pb::Event {
        id: Some("u".into()),
        time,
        payload: Some(payload),
        ..Default::default()
    };
    let text = |kind: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(kind.into())),
    };
    let custom = |name: &str, keys: &[&str]| {
        let fields = keys.iter().map(|key| ((*key).to_owned(), text(key))).collect();
        Payload::Custom(pb::Custom { name: Some(name.into()), data: Some(Struct { fields }) })
    };
    let events = [
        pb::Event {
            trace_id: Some(String::new()),
            labels: [("a.b/c".to_owned(), "d".to_owned())].into(),
            source: Some(pb::Source { name: Some("billing".into()), ..Default::default() }),
            user: Some(pb::User::default()),
            outcome: Some(pb::Outcome { error: Some("envelope".into()), ..Default::default() }),
            ..event(Payload::Sftp(pb::Sftp { error: Some("own".into()), ..Default::default() }))
        },
        pb::Event {
            session: Some(pb::Session { id: Some("envelope".into()), ..Default::default() }),
            source: Some(pb::Source::default()),
            ..event(Payload::SessionRecordingAccess(pb::SessionRecordingAccess {
                session_id: Some("own".into()),
                ..Default::default()
            }))
        },
        event(Payload::Exec(pb::Exec {
            command: Some(pb::Command::default()),
            kubernetes_pod: None,
            ..Default::default()
        })),
        event(Payload::SessionNetwork(pb::SessionNetwork {
            operation: Some(0),
            action: Some(i32::MIN),
            ..Default::default()
        })),
        event(custom("billing.refund", &["amount", "currency"])),
        event(custom("billing.refund", &["amount", "user", "event", "uid", "auditgate.x"])),
        event(custom("billing.refund", &[])),
        event(custom("user.login", &["method"])),
        event(custom("custom", &["custom"])),
        event(Payload::Custom(pb::Custom { name: Some("bare".into()), data: None })),
    ];
    for event in events {
        let line = export(&event).expect("exports");
        assert_eq!(import(&line.to_string()).event(), event, "{line}");
    }
}

#[test]
fn what_a_foreign_client_put_into_unmapped_is_exported() {
    let mut event = import(&line("auth", "")).event();
    event.unmapped = [("key".to_owned(), "not JSON".to_owned())].into();
    let line = export(&event).expect("exports").to_string();
    assert!(line.contains(r#""auditgate.unmapped":{"key":"not JSON"}"#), "{line}");
    event.payload = None;
    assert!(matches!(export(&event), Err(Error::PayloadUnknown)));
}
