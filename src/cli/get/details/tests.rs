//! The pages of records.

use prost_types::{Duration, Timestamp};

use super::*;
use crate::example;
use crate::proto::pb::event::Payload;

fn draw(record: &pb::Record, width: usize) -> String {
    Details::of(record, &TimeZone::UTC).draw(Some(width), Color(false))
}

fn record() -> pb::Record {
    let event = pb::Event {
        id: Some("e-1".into()),
        time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        code: Some("T1000W".into()),
        user: Some(pb::User {
            name: Some("alice".into()),
            roles: vec!["dev".into(), "ops".into()],
            ..Default::default()
        }),
        connection: Some(pb::Connection {
            remote_address: Some("10.1.2.3:4711".into()),
            ..Default::default()
        }),
        outcome: Some(pb::Outcome {
            success: Some(false),
            error: Some(String::new()),
            ..Default::default()
        }),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        payload: Some(Payload::UserLogin(pb::UserLogin {
            method: Some("local".into()),
            ..Default::default()
        })),
        ..Default::default()
    };
    pb::Record {
        sequence: 7,
        accept_time: Some(Timestamp { seconds: 1_700_000_090, nanos: 0 }),
        emitter: Some(pb::Emitter { principal: "svc".into(), peer: "127.0.0.1:5".into() }),
        r#type: "user.login".into(),
        severity: pb::Severity::Warning.into(),
        result: pb::Result::Failure.into(),
        amendments: vec![pb::Amendment {
            path: "event.user.login".into(),
            action: "masked".into(),
            values: 1,
            ..Default::default()
        }],
        accept_time_raised: Some(Duration { seconds: 2, nanos: 500_000_000 }),
        clock_skew: Some(Duration { seconds: -90, nanos: 0 }),
        event: Some(event),
        ..Default::default()
    }
}

#[test]
fn a_record_is_shown_in_full() {
    assert_eq!(
        draw(&record(), 80),
        "record 7  user.login  warning  failure\n\
         A user tried to log in.\n\
         \n\
         what\n\
         \x20 code               T1000W (local login refused)\n\
         \x20 method             local\n\
         \n\
         outcome\n\
         \x20 outcome.success    false\n\
         \x20 outcome.error      \"\"\n\
         \n\
         who\n\
         \x20 name               alice\n\
         \x20 roles              dev, ops\n\
         \n\
         connection\n\
         \x20 remote_address     10.1.2.3:4711\n\
         \n\
         labels\n\
         \x20 env                prod\n\
         \n\
         times\n\
         \x20 happened           2023-11-14 22:13:20.000 +00:00\n\
         \x20 accepted           2023-11-14 22:14:50.000 +00:00 (1 min 30 s later)\n\
         \x20 raised             accepted 2.500 s before that, by the gateway's clock\n\
         \x20 clock_skew         the event's clock was 90.000 s behind the gateway's\n\
         \n\
         changed by the gateway\n\
         \x20 event.user.login   masked\n\
         \n\
         record\n\
         \x20 sequence           7\n\
         \x20 id                 e-1\n\
         \x20 emitter.principal  svc\n\
         \x20 emitter.peer       127.0.0.1:5\n"
    );
}

/// Every value of a filled event of every type is on its page.
#[test]
fn nothing_is_left_out() {
    fn leaves(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(inner) => inner.values().for_each(|one| leaves(one, found)),
            serde_json::Value::Array(inner) => inner.iter().for_each(|one| leaves(one, found)),
            serde_json::Value::String(text) => found.push(text.clone()),
            _ => {}
        }
    }
    for (type_id, event_type) in catalog::all() {
        let event = example::event(type_id);
        let record = pb::Record {
            sequence: 7,
            r#type: event_type.name.to_owned(),
            event: Some(event.clone()),
            ..Default::default()
        };
        let page = draw(&record, 100_000);
        let whole = json::line(&reflect("Event", &event));
        let mut texts = Vec::new();
        leaves(&serde_json::from_str(&whole).expect("JSON"), &mut texts);
        for text in texts {
            // Names of enums are shorter here, times are in words of their own.
            let is_name = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let is_time = text.parse::<jiff::Timestamp>().is_ok();
            let lines = escape::escaped_lines(&text).into_owned();
            let shown = lines.lines().all(|line| page.contains(line.trim()));
            assert!(is_name || is_time || shown, "{}: {text:?} in\n{page}", event_type.name);
        }
    }
}

#[test]
fn a_page_stays_within_its_width_and_hostile_texts_within_their_rows() {
    let mut record = record();
    let event = record.event.get_or_insert_default();
    event.labels.insert("x".repeat(90), "y ".repeat(300));
    event.user =
        Some(pb::User { name: Some("\u{1b}[2Jroot\n  name  bob".into()), ..Default::default() });
    for width in 20..200 {
        let page = draw(&record, width);
        for line in page.lines() {
            assert!(terminal::columns(line) <= width, "{width}: {line:?}");
            assert_eq!(crate::printable::first_hidden(line), None, "{line:?}");
        }
    }
    let page = draw(&record, 80);
    assert!(!page.lines().any(|line| line.starts_with("  name  bob")), "{page}");
}
