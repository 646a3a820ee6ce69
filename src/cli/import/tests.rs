//! Imports into a gateway that is not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

/// How a gateway tells which event it refuses.
#[derive(Clone, Copy, PartialEq)]
enum Naming {
    Violation,
    None,
}

/// Keeps events by id; refuses those whose code is `BAD`, the first of a batch.
struct Fake {
    naming: Naming,
    stored: BTreeMap<String, pb::Event>,
    calls: usize,
    fails: Option<Code>,
}

impl Fake {
    fn new(naming: Naming) -> Self {
        Self { naming, stored: BTreeMap::new(), calls: 0, fails: None }
    }

    fn refusal(&self, position: usize) -> client::Error {
        let mut details = ErrorDetails::new();
        match self.naming {
            Naming::Violation => {
                details
                    .add_bad_request_violation(format!("events[{position}].code"), "code is BAD");
            }
            Naming::None => {}
        }
        refused(Status::with_error_details(Code::InvalidArgument, "code is BAD", details))
    }
}

fn refused(status: Status) -> client::Error {
    client::Refusal::from(status).into()
}

impl Gateway for Fake {
    async fn emit(&mut self, events: Vec<pb::Event>) -> Result<Vec<pb::Receipt>, client::Error> {
        self.calls += 1;
        if let Some(code) = self.fails {
            return Err(refused(Status::new(code, "failing")));
        }
        if let Some(position) = events.iter().position(|event| event.code() == "BAD") {
            return Err(self.refusal(position));
        }
        let receipt = |event: pb::Event| {
            let id = event.id().to_owned();
            let duplicate = self.stored.insert(id.clone(), event).is_some();
            pb::Receipt { id, duplicate, ..Default::default() }
        };
        Ok(events.into_iter().map(receipt).collect())
    }
}

/// What a report said.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

fn import(naming: Naming) -> (Import<Fake>, Said) {
    let said = Said::default();
    let heard = said.clone();
    let import = Import {
        gateway: Fake::new(naming),
        unknown_types: UnknownTypes::Custom,
        ordinals: Ordinals::default(),
        batch: Batch::default(),
        report: Report::new(Box::new(move |line| {
            heard.0.lock().expect("no panic").push(line.to_owned());
        })),
        progress: Progress::none(),
        interrupted: CancellationToken::new(),
    };
    (import, said)
}

async fn import_text<G: Gateway>(import: &mut Import<G>, text: &str) -> Result<(), Error> {
    import.read("log", text.as_bytes()).await?;
    import.flush().await?;
    import.report.summarize();
    Ok(())
}

fn line(id: usize, code: &str) -> String {
    format!("{{\"event\":\"role.created\",\"uid\":\"u{id}\",\"code\":\"{code}\"}}\n")
}

#[tokio::test]
async fn the_event_to_blame_is_found_and_the_rest_goes_in() {
    for naming in [Naming::Violation, Naming::None] {
        let (mut import, said) = import(naming);
        let bad = [0, 17, 18, 640, 999];
        let code = |id| if bad.contains(&id) { "BAD" } else { "T9000I" };
        let text: String = (0..1_000).map(|id| line(id, code(id))).collect();
        import_text(&mut import, &text).await.expect("goes on");
        assert_eq!(import.gateway.stored.len(), 995);
        let mut expected: Vec<String> =
            bad.iter().map(|id| format!("log:{}: code is BAD", id + 1)).collect();
        expected.push("995 stored, 0 stored before, 5 bad".to_owned());
        expected.push(match naming {
            Naming::Violation => "bad, by what is wrong: event.code 5".to_owned(),
            // Whoever halves a batch knows the event, not the field.
            Naming::None => "bad, by what is wrong: event 5".to_owned(),
        });
        assert_eq!(said.lines(), expected);
        assert!(import.report.has_bad_lines());
    }
}

#[tokio::test]
async fn nothing_but_bad_lines_cost_about_a_call_each() {
    for naming in [Naming::Violation, Naming::None] {
        let (mut import, said) = import(naming);
        let text: String = (0..2_000).map(|id| line(id, "BAD")).collect();
        import_text(&mut import, &text).await.expect("goes on");
        assert_eq!(said.lines().len(), 2_002);
        assert!(import.gateway.calls < 2_100, "{} calls", import.gateway.calls);
    }
}

#[tokio::test]
async fn bad_lines_are_told_by_place_and_reason() {
    let (mut import, said) = import(Naming::Violation);
    let text = "{\"event\":\"auth\",\"uid\":\"a\"}\nnot JSON\n\n[]\n{\"event\":\"x.y\",\"uid\":\"b\"}\n\
                {\"event\":\"auth\",\"time\":\"soon\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    import_text(&mut import, text).await.expect("goes on");
    let said = said.lines();
    let (last, bad) = said.split_last().expect("lines");
    assert_eq!(last, "imported as custom, by unknown type: \"x.y\" 1");
    let begins = [
        "log:2: not JSON",
        "log:4: not a JSON object",
        "log:6: time is \"soon\"",
        "2 stored, 1 stored before, 3 bad",
        "bad, by what is wrong: line 3",
    ];
    assert_eq!(bad.len(), begins.len());
    for (line, begin) in bad.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[tokio::test]
async fn unknown_types_can_be_refused() {
    let (mut import, said) = import(Naming::Violation);
    import.unknown_types = UnknownTypes::Refuse;
    let text = "{\"event\":\"x.y\",\"uid\":\"b\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    import_text(&mut import, text).await.expect("goes on");
    assert_eq!(
        said.lines(),
        [
            "log:1: unknown event type \"x.y\"",
            "1 stored, 0 stored before, 1 bad",
            "bad, by what is wrong: unknown type 1"
        ]
    );
}

#[tokio::test]
async fn importing_again_gives_duplicates() {
    let (mut import, _) = import(Naming::Violation);
    let text = "{\"event\":\"auth\"}\n{\"event\":\"auth\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    import_text(&mut import, text).await.expect("goes on");
    assert_eq!(import.gateway.stored.len(), 3);
    let (mut again, said) = self::import(Naming::Violation);
    again.gateway = import.gateway;
    import_text(&mut again, text).await.expect("goes on");
    assert_eq!(said.lines(), ["0 stored, 3 stored before, 0 bad"]);
}

#[tokio::test]
async fn batches_are_bounded_by_events_and_bytes() {
    let (mut import, _) = import(Naming::Violation);
    let text: String = (0..2_500).map(|id| line(id, "T9000I")).collect();
    import_text(&mut import, &text).await.expect("goes on");
    assert_eq!((import.gateway.calls, import.gateway.stored.len()), (3, 2_500));

    let (mut import, _) = self::import(Naming::Violation);
    let long = "x".repeat(900_000);
    let text: String = (0..5).map(|id| line(id, &long)).collect();
    import_text(&mut import, &text).await.expect("goes on");
    assert_eq!((import.gateway.calls, import.gateway.stored.len()), (3, 5));
}

#[tokio::test]
async fn a_failing_gateway_ends_the_import_at_a_line() {
    let (mut import, said) = import(Naming::Violation);
    import.gateway.fails = Some(Code::Internal);
    let ended = import_text(&mut import, &[line(1, ""), line(2, "")].concat()).await;
    let error = ended.expect_err("ends").to_string();
    assert_eq!(error, "stopped at log:1, which was not stored: failing");
    assert_eq!(import.gateway.calls, 1);
    assert_eq!(said.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_line_of_a_pipe_is_stored_within_200_ms() {
    let (mut import, _) = import(Naming::Violation);
    let (mut writer, reader) = tokio::io::duplex(1024);
    writer.write_all(line(1, "").as_bytes()).await.expect("writes");
    let waited = tokio::time::timeout(Duration::from_millis(199), import.read("-", reader)).await;
    assert!(waited.is_err(), "the pipe is open");
    assert_eq!(import.gateway.calls, 0, "it waits for others");

    let (mut import, _) = self::import(Naming::Violation);
    let (mut writer, reader) = tokio::io::duplex(1024);
    writer.write_all(line(1, "").as_bytes()).await.expect("writes");
    let waited = tokio::time::timeout(Duration::from_millis(201), import.read("-", reader)).await;
    assert!(waited.is_err(), "the pipe is open");
    assert_eq!(import.gateway.stored.len(), 1);
}

#[tokio::test]
async fn an_interrupt_ends_the_reading_and_stores_what_was_read() {
    let (mut import, _) = import(Naming::Violation);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    std::fs::write(&path, line(1, "")).expect("writes");
    let file = path.to_str().expect("UTF-8").to_owned();
    import.read_files(&[file.clone(), "missing".to_owned()]).await.expect_err("no such file");
    assert_eq!(import.gateway.stored.len(), 1, "what was read before is stored");
    import.interrupted.cancel();
    import.read_files(&[file, "missing".to_owned()]).await.expect("does not come to it");
}
