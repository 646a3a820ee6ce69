//! What is accepted as an event, and what is derived from it.

use prost::Message as _;
use prost_types::Timestamp;

use super::*;
use crate::proto::pb::event::Payload;

const NOW: Time = Time(1_700_000_000_000_000_000);

fn login() -> pb::Event {
    pb::Event {
        id: Some("id-1".into()),
        time: Some(NOW.timestamp()),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

fn check(event: &pb::Event) -> Result<Event, Error> {
    check_bytes(event.encode_to_vec())
}

fn check_bytes(bytes: Vec<u8>) -> Result<Event, Error> {
    Event::check(bytes.into(), NOW, 4096)
}

#[test]
fn an_accepted_event_is_the_bytes_that_arrived() {
    let event = login();
    let checked = check(&event).expect("valid");
    assert_eq!(checked.bytes, event.encode_to_vec());
    assert_eq!(checked.client_len, checked.bytes.len());
    assert_eq!(checked.id(), "id-1");
    assert_eq!(checked.time, Some(NOW));
    assert_eq!(checked.type_name().concat(), "user.login");
}

#[test]
fn an_id_is_appended_where_it_is_absent_or_empty() {
    for id in [None, Some(String::new())] {
        let event = pb::Event { id, ..login() };
        let checked = check(&event).expect("valid");
        assert_eq!(checked.client_bytes(), event.encode_to_vec());
        assert_eq!(checked.id().len(), 36);
        let decoded = pb::Event::decode(checked.bytes.clone()).expect("still an event");
        assert_eq!(decoded.id(), checked.id());
        assert_eq!(decoded.payload, event.payload);
    }
}

#[test]
fn severity_and_result_follow_outcome_then_code_then_type() {
    let success = pb::Result::Success as u8;
    let failure = pb::Result::Failure as u8;
    let info = pb::Severity::Info as u8;
    let warning = pb::Severity::Warning as u8;
    let outcome = |success| Some(pb::Outcome { success: Some(success), ..Default::default() });
    let rows = [
        (None, None, info, pb::Result::Unspecified as u8),
        (Some("T1000I"), None, info, success),
        (Some("T1000W"), None, warning, failure),
        (Some("T1012I"), None, info, pb::Result::Pending as u8),
        (Some("T1000I"), outcome(false), warning, failure),
        (Some("T1000W"), outcome(true), warning, success),
        (Some("UNLISTED"), None, info, pb::Result::Unspecified as u8),
        (None, outcome(false), warning, failure),
    ];
    for (code, outcome, severity, result) in rows {
        let event = pb::Event { code: code.map(Into::into), outcome, ..login() };
        let checked = check(&event).expect("valid");
        assert_eq!((checked.severity, checked.result), (severity, result), "{event:?}");
    }
}

#[test]
fn a_custom_event_has_its_name_in_its_type() {
    let named = |name: &str| pb::Event {
        payload: Some(Payload::Custom(pb::Custom { name: Some(name.into()), data: None })),
        ..login()
    };
    assert_eq!(
        check(&named("billing.refund-2")).expect("valid").type_name().concat(),
        "custom.billing.refund-2"
    );
    for bad in ["", "two words", "smörgås", "a*", &"x".repeat(129)] {
        assert!(matches!(check(&named(bad)), Err(Error::CustomName { .. })), "{bad:?}");
    }
}

#[test]
fn times_before_1970_or_a_day_ahead_are_refused() {
    let at =
        |seconds, nanos| check(&pb::Event { time: Some(Timestamp { seconds, nanos }), ..login() });
    let (now, _) = NOW.parts();
    assert_eq!(at(0, 0).expect("1970 is fine").time, Some(Time::EPOCH));
    assert_eq!(at(-1, 999_999_999).err(), Some(Error::TimeTooEarly));
    assert!(at(now + 86_400, 0).is_ok());
    assert!(matches!(at(now + 86_400, 1), Err(Error::TimeTooLate { .. })));
    assert!(matches!(at(253_402_300_799, 0), Err(Error::TimeTooLate { .. })));
    assert_eq!(
        at(0, 1_000_000_000).err(),
        Some(Error::Malformed { path: "time".into(), fault: WireFault::Timestamp })
    );
}

#[test]
fn an_event_has_exactly_one_payload() {
    let none = pb::Event { payload: None, ..login() };
    assert_eq!(check(&none).err(), Some(Error::PayloadMissing));
    let mut unknown = none.encode_to_vec();
    wire::put_bytes_field(&mut unknown, 999, b"");
    assert_eq!(check_bytes(unknown).err(), Some(Error::PayloadUnknown { number: 999 }));
    let mut two = login().encode_to_vec();
    let login_number = catalog::by_name("user.login").expect("known").get().number;
    let exec_number = catalog::by_name("exec").expect("known").get().number;
    wire::put_bytes_field(&mut two, exec_number, b"");
    assert_eq!(
        check_bytes(two).err(),
        Some(Error::PayloadAmbiguous { first: login_number, second: exec_number })
    );
}

#[test]
fn an_unknown_field_of_the_envelope_is_kept() {
    let mut bytes = login().encode_to_vec();
    wire::put_bytes_field(&mut bytes, 77, b"from the future");
    let checked = check_bytes(bytes.clone()).expect("unknown fields are let through");
    assert_eq!(checked.bytes, bytes);
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(check_bytes(Vec::new()).err(), Some(Error::Missing));
    assert_eq!(
        check_bytes(vec![0; 4097]).err(),
        Some(Error::TooLarge { bytes: 4097, limit: 4096 })
    );
    let long = pb::Event { id: Some("x".repeat(129)), ..login() };
    assert_eq!(check(&long).err(), Some(Error::IdTooLong { bytes: 129 }));
    assert!(check(&pb::Event { id: Some("x".repeat(128)), ..login() }).is_ok());
}

#[test]
fn faults_name_the_field() {
    let rows: &[(&[u32], &[u8], &str, WireFault)] = &[
        (&[6, 1], b"\xff\xfe", "user.name", WireFault::NotUtf8),
        (&[11, 2, 1], b"", "resource.expire_time.seconds", WireFault::WrongType),
        (&[14, 2], b"\xff", "labels.value", WireFault::NotUtf8),
    ];
    for (path, leaf, name, fault) in rows {
        let mut inner = leaf.to_vec();
        for number in path.iter().rev() {
            let mut outer = Vec::new();
            wire::put_bytes_field(&mut outer, *number, &inner);
            inner = outer;
        }
        let mut bytes = login().encode_to_vec();
        bytes.extend_from_slice(&inner);
        assert_eq!(
            check_bytes(bytes).err(),
            Some(Error::Malformed { path: (*name).into(), fault: *fault })
        );
    }
}

#[test]
fn every_truncation_of_an_event_is_refused_or_complete() {
    let whole = pb::Event {
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        ..login()
    }
    .encode_to_vec();
    for end in 0..whole.len() {
        let cut = whole.get(..end).expect("within").to_vec();
        if let Ok(checked) = check_bytes(cut.clone()) {
            // A cut between two fields leaves an event; it has lost its payload,
            // unless the payload came before.
            assert_eq!(checked.client_bytes(), cut);
            pb::Event::decode(checked.bytes).expect("what is accepted decodes");
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        let mut value = prost_types::Value { kind: Some(prost_types::value::Kind::NullValue(0)) };
        for _ in 0..levels {
            let values = vec![value];
            value = prost_types::Value {
                kind: Some(prost_types::value::Kind::ListValue(prost_types::ListValue { values })),
            };
        }
        let data = prost_types::Struct { fields: [("deep".to_owned(), value)].into() };
        check(&pb::Event {
            payload: Some(Payload::Custom(pb::Custom {
                name: Some("deep".into()),
                data: Some(data),
            })),
            ..login()
        })
    };
    // Event, Custom, Struct, its entry and the first value are five levels.
    assert!(nested((wire::DEPTH_MAX - 5) / 2).is_ok());
    let refused = nested((wire::DEPTH_MAX - 5) / 2 + 1);
    assert!(
        matches!(refused, Err(Error::Malformed { fault: WireFault::TooDeep, .. })),
        "{refused:?}"
    );
}

#[test]
fn same_content_ignores_the_order_of_fields_and_entries() {
    let event = pb::Event {
        labels: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
        ..login()
    };
    let bytes = event.encode_to_vec();
    let mut fields: Vec<&[u8]> = Vec::new();
    let mut rest = wire::fields(&bytes);
    let mut before = bytes.as_slice();
    while rest.next().is_some() {
        let taken = before.len() - rest.rest().len();
        fields.push(before.get(..taken).expect("within"));
        before = rest.rest();
    }
    let reversed: Vec<u8> = fields.iter().rev().flat_map(|field| field.iter().copied()).collect();
    assert_ne!(bytes, reversed);
    assert!(same_content(&bytes, &reversed));
    let other = pb::Event { code: Some("T1000I".into()), ..event };
    assert!(!same_content(&bytes, &other.encode_to_vec()));
}
