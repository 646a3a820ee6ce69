//! What lines for people look like.

use prost_types::Timestamp;

use super::*;
use crate::cli::terminal;
use crate::proto::pb::event::Payload;

fn record() -> pb::Record {
    let event = pb::Event {
        time: Some(Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 }),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        connection: Some(pb::Connection {
            remote_address: Some("10.1.2.3:4711".into()),
            ..Default::default()
        }),
        payload: Some(Payload::UserLogin(pb::UserLogin {
            method: Some("local".into()),
            ..Default::default()
        })),
        ..Default::default()
    };
    pb::Record {
        sequence: 1,
        r#type: "user.login".into(),
        severity: pb::Severity::Warning.into(),
        result: pb::Result::Failure.into(),
        event: Some(event),
        ..Default::default()
    }
}

/// The lines of some records of one page, in the year 2023.
fn page(style: Style, width: Option<usize>, records: &[pb::Record]) -> Vec<String> {
    let mut printer = PrettyPrinter::new(style, width, TimeZone::UTC, Color(false));
    printer.this_year = 2023;
    for record in records {
        printer.add(record);
    }
    printer.lines()
}

fn line(width: Option<usize>, record: &pb::Record) -> String {
    page(Style::Lines, width, std::slice::from_ref(record)).pop().expect("a line")
}

#[test]
fn a_page_is_fitted_to_its_width() {
    let mut other = record();
    other.sequence = 1_234;
    other.r#type = "windows.desktop.session.start".into();
    other.result = pb::Result::Success.into();
    assert_eq!(
        page(Style::Lines, Some(80), &[record(), other]),
        [
            " SEQ TIME           S TYPE                          WHO   WHERE    RES  DETAIL",
            "   1 11-14 22:13:20 W user.login                    alice 10.1.2.3 fail local",
            "1234 11-14 22:13:20 W windows.desktop.session.start alice 10.1.2.3 ok",
        ]
    );
    assert_eq!(
        page(Style::Lines, Some(200), &[record()]),
        [
            "SEQ  TIME                     SEVERITY  TYPE        WHO    WHERE     RESULT   DETAIL",
            "  1  2023-11-14 22:13:20.123  warning   user.login  alice  10.1.2.3  failure  local",
        ]
    );
    for width in 1..300 {
        let mut long = record();
        long.r#type = "custom.".to_owned() + &"x".repeat(100);
        if let Some(event) = &mut long.event {
            event.user = Some(pb::User { name: Some("李".repeat(100)), ..Default::default() });
            event.payload = Some(Payload::UserLogin(pb::UserLogin {
                method: Some("y".repeat(5_000)),
                ..Default::default()
            }));
        }
        for line in page(Style::Lines, Some(width), &[record(), long]) {
            assert!(terminal::columns(&line) <= width, "{width}: {line}");
        }
    }
    assert!(line(None, &record()).ends_with("failure  local"));
}

#[test]
fn the_year_is_told_where_it_is_not_this_year_s() {
    assert!(line(Some(80), &record()).starts_with("  1 11-14 22:13:20 W "));
    let mut old = record();
    if let Some(time) = old.event.as_mut().and_then(|event| event.time.as_mut()) {
        time.seconds -= 365 * 86_400;
    }
    let lines = page(Style::Lines, Some(80), &[record(), old]);
    assert!(lines[1].starts_with("  1 2023-11-14 22:13:20 W "), "{lines:?}");
    assert!(lines[2].starts_with("  1 2022-11-14 22:13:20 W "), "{lines:?}");
}

#[test]
fn headings_stand_once_and_columns_only_grow() {
    let mut printer = PrettyPrinter::new(Style::Lines, Some(80), TimeZone::UTC, Color(false));
    printer.this_year = 2023;
    printer.live();
    assert!(printer.lines().is_empty());
    let mut long = record();
    long.r#type = "windows.desktop.session.start".into();
    let starts: Vec<Vec<String>> = [record(), long, record()]
        .iter()
        .map(|record| {
            printer.add(record);
            printer.lines()
        })
        .collect();
    assert_eq!(starts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    let who = |line: &str| line.find("alice");
    assert_eq!(who(&starts[1][0]), who(&starts[2][0]));
    assert!(starts[0][1].contains("user.login       alice"), "{starts:?}");
    let many = (0..PAGE_ROWS_MAX).filter(|_| printer.add(&record())).count();
    assert_eq!(many, 1, "a page is bounded");
}

#[test]
fn wide_lines_have_more_and_are_whole() {
    let mut record = record();
    record.r#type = format!("custom.{}", "x".repeat(90));
    if let Some(event) = &mut record.event {
        event.code = Some("T1000W".into());
        event.server = Some(pb::Server { hostname: Some("web-1".into()), ..Default::default() });
        event.session = Some(pb::Session { id: Some("s-1".into()), ..Default::default() });
    }
    let lines = page(Style::Wide, Some(80), &[record.clone()]);
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    let (kind, code) = (record.r#type.as_str(), "T1000W");
    assert_eq!(
        words[3..],
        ["warning", kind, code, "alice", "10.1.2.3", "web-1", "s-1", "-", "failure"]
    );
    assert_eq!(lines[0].split_whitespace().count(), 12);
}

#[test]
fn fields_are_columns() {
    let path = |name: &str| (name.to_owned(), FieldPath::of_record(name).expect("a path"));
    let fields = || vec![path("sequence"), path("user.name"), path("user_login.method")];
    let style = Style::Fields { paths: fields(), wide: false };
    assert_eq!(
        page(style, Some(80), &[record()]),
        ["SEQUENCE USER.NAME USER_LOGIN.METHOD", "1        alice     local"]
    );
}

#[test]
fn a_hostile_event_stays_within_its_line() {
    let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\r\nroot";
    let mut record = record();
    record.r#type = format!("custom.{hostile}");
    let event = record.event.get_or_insert_default();
    event.user = Some(pb::User { name: Some(hostile.into()), ..Default::default() });
    event.server = Some(pb::Server { hostname: Some(hostile.into()), ..Default::default() });
    event.outcome = Some(pb::Outcome { error: Some(hostile.into()), ..Default::default() });
    event.payload = Some(Payload::UserLogin(pb::UserLogin {
        method: Some(hostile.into()),
        ..Default::default()
    }));
    for width in [Some(80), Some(200), None] {
        for style in [Style::Lines, Style::Wide] {
            for line in page(style, width, std::slice::from_ref(&record)) {
                assert_eq!(crate::printable::first_hidden(&line), None, "{line:?}");
            }
        }
    }
    let mut colored = PrettyPrinter::new(Style::Lines, None, TimeZone::UTC, Color(true));
    colored.add(&record);
    let line = colored.lines().pop().expect("a line");
    assert_eq!(line.matches('\u{1b}').count(), 2 * 4, "our own: time, severity, type and result");
}
