//! What paths lead to.

use prost::Message as _;

use super::*;
use crate::proto::pb;

fn event_path(text: &str) -> EventPath {
    match Path::parse(text).expect("a path") {
        Path::Event(path) => path,
        Path::Group(group) => panic!("{group:?}"),
    }
}

fn value(path: &str, event: &pb::Event, type_name: &str) -> Option<String> {
    let record = pb::Record {
        event: Some(event.clone()),
        r#type: type_name.to_owned(),
        ..Default::default()
    };
    let bytes = record.encode_to_vec();
    let found = event_path(path).read(&Record::read(&bytes));
    found.map(|value| String::from_utf8(value.into_owned()).expect("text"))
}

#[test]
fn paths_lead_to_values() {
    let event = pb::Event {
        id: Some(String::new()),
        time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        user: Some(pb::User { name: Some("alice".to_owned()), ..Default::default() }),
        outcome: Some(pb::Outcome { success: Some(false), ..Default::default() }),
        index: Some(-3),
        payload: Some(pb::event::Payload::Exec(pb::Exec {
            command: Some(pb::Command { line: Some("ls".to_owned()), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    };
    for (path, expected) in [
        ("user.name", Some("alice")),
        ("user.impersonator", None),
        ("id", Some("")),
        ("time", Some("1970-01-01T00:00:01Z")),
        ("outcome.success", Some("false")),
        ("session.id", None),
        ("index", Some("-3")),
        ("exec.command.line", Some("ls")),
        ("user_login.method", None),
    ] {
        assert_eq!(value(path, &event, "exec").as_deref(), expected, "{path}");
    }
    assert_eq!(value("exec.command.line", &event, "user.login"), None, "of another payload");
}

#[test]
fn several_paths_are_read_at_once() {
    let user = pb::User {
        name: Some("alice".to_owned()),
        impersonator: Some("bob".to_owned()),
        ..Default::default()
    };
    let event = pb::Event {
        id: Some("e-1".to_owned()),
        user: Some(user),
        payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let record =
        pb::Record { event: Some(event), r#type: "user.login".into(), ..Default::default() };
    let bytes = record.encode_to_vec();
    let paths = ["user.name", "exec.command.line", "id", "user.impersonator", "user.name"];
    let paths = paths.map(event_path);
    let found = EventPath::read_all(&paths.each_ref(), &Record::read(&bytes));
    let found = found.iter().map(|value| value.as_deref());
    let expected: [Option<&[u8]>; 5] =
        [Some(b"alice"), None, Some(b"e-1"), Some(b"bob"), Some(b"alice")];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn the_address_has_no_port() {
    for (address, expected) in [
        ("10.1.2.3:22", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("[fe80::1%eth0]:22", "fe80::1%eth0"),
        ("fd00::1", "fd00::1"),
        ("host:", "host:"),
        (":22", ""),
    ] {
        let remote_address = Some(address.to_owned());
        let connection = Some(pb::Connection { remote_address, ..Default::default() });
        let event = pb::Event { connection, ..Default::default() };
        assert_eq!(value("address", &event, "exec").as_deref(), Some(expected));
        let whole = value("connection.remote_address", &event, "exec");
        assert_eq!(whole.as_deref(), Some(address));
    }
}

#[test]
fn what_has_no_single_value_is_refused() {
    for (path, part) in [
        ("", "is not known"),
        ("user", "does not lead to a value"),
        ("user.name.x", "continues after a value"),
        ("labels", "is a list or a map"),
        ("usr.name", "did you mean user?"),
        ("user.nam", "did you mean name?"),
        (&"x.".repeat(1_000), "is not known"),
    ] {
        let said = Path::parse(path).expect_err(path).to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_last_of_several_values_counts() {
    let part = |name: &str| {
        let user = pb::User { name: Some(name.to_owned()), ..Default::default() };
        pb::Event { user: Some(user), ..Default::default() }.encode_to_vec()
    };
    let mut event = part("alice");
    event.extend(part("bob"));
    let path = event_path("user.name");
    let mut found = [None];
    find(&event, &[PathRest { place: 0, numbers: &path.numbers }], &mut found);
    assert_eq!(found[0].and_then(WireValue::text), Some("bob"));
}
