//! Imports into a gateway that is not there.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::client;

/// Keeps events by id; refuses those whose code is `BAD`, naming the field, or
/// `WORSE`, naming none.
#[derive(Default)]
struct Fake {
    stored: BTreeMap<String, pb::Event>,
    fails: Option<Code>,
}

fn refused(status: Status) -> client::Error {
    client::Refusal::from(status).into()
}

/// What the import was given, for the test to look at.
type Shared = Arc<Mutex<Fake>>;

impl EventSink for Shared {
    type Receipt = Ready<Result<pb::Receipt, client::Error>>;

    async fn send(&mut self, event: pb::Event) -> Result<Self::Receipt, client::Error> {
        let mut fake = self.lock();
        let failure = fake.fails.map(|code| Status::new(code, "failing"));
        let refusal = match event.code() {
            "BAD" => {
                let details = ErrorDetails::with_bad_request_violation("event.code", "code is BAD");
                Some(Status::with_error_details(Code::InvalidArgument, "code is BAD", details))
            }
            "WORSE" => Some(Status::invalid_argument("code is WORSE")),
            _ => None,
        };
        Ok(ready(match failure.or(refusal) {
            Some(status) => Err(refused(status)),
            None => {
                let id = event.id().to_owned();
                let duplicate = fake.stored.insert(id.clone(), event).is_some();
                Ok(pb::Receipt { id, duplicate, ..Default::default() })
            }
        }))
    }

    async fn close(self) {}
}

/// What a report said.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// An import into a gateway that is not there.
struct Scene {
    gateway: Shared,
    unknown_types: UnknownTypes,
    interrupted: CancellationToken,
    said: Said,
}

impl Scene {
    fn new() -> Self {
        Self {
            gateway: Shared::default(),
            unknown_types: UnknownTypes::Custom,
            interrupted: CancellationToken::new(),
            said: Said::default(),
        }
    }

    fn report(&self) -> ImportReport {
        let heard = self.said.clone();
        ImportReport::new(Box::new(move |line| {
            heard.0.lock().push(line.to_owned());
        }))
    }

    fn import(
        &self,
        lines: mpsc::Sender<ReadLine<<Shared as EventSink>::Receipt>>,
    ) -> Importer<Shared> {
        Importer {
            gateway: Arc::clone(&self.gateway),
            unknown_types: self.unknown_types,
            ordinals: LineOrdinals::default(),
            lines,
            progress: Progress::none(),
            interrupted: self.interrupted.clone(),
        }
    }

    /// Imports files, and sums up.
    async fn files(&self, files: &[String]) -> Result<(), Error> {
        let (lines, read) = mpsc::channel(LINES_AWAITED);
        let mut report = self.report();
        self.import(lines).run(files, read, &mut report).await?;
        report.summarize();
        Ok(())
    }

    /// Imports a file called `log` with this text.
    async fn text(&self, text: &str) -> Result<(), Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, text).expect("writes");
        let path = path.to_str().expect("UTF-8");
        let done = self.files(&[path.to_owned()]).await;
        let mut said = self.said.0.lock();
        said.iter_mut().for_each(|line| *line = line.replace(path, "log"));
        done
    }

    fn stored(&self) -> usize {
        self.gateway.lock().stored.len()
    }
}

fn line(id: usize, code: &str) -> String {
    format!("{{\"event\":\"role.created\",\"uid\":\"u{id}\",\"code\":\"{code}\"}}\n")
}

#[tokio::test]
async fn a_refused_event_is_told_and_the_rest_goes_in() {
    let scene = Scene::new();
    let code = |id| match id {
        0 | 17 | 999 => "BAD",
        18 => "WORSE",
        _ => "T9000I",
    };
    let text: String = (0..1_000).map(|id| line(id, code(id))).collect();
    scene.text(&text).await.expect("goes on");
    assert_eq!(scene.stored(), 996);
    assert_eq!(
        scene.said.lines(),
        [
            "log:1: code is BAD",
            "log:18: code is BAD",
            "log:19: code is WORSE",
            "log:1000: code is BAD",
            "996 imported, 0 duplicates, 4 invalid",
            "invalid lines, by reason: event 1, event.code 3",
        ]
    );
}

#[tokio::test]
async fn bad_lines_are_told_by_place_and_reason() {
    let scene = Scene::new();
    let text = "{\"event\":\"auth\",\"uid\":\"a\"}\nnot JSON\n\n[]\n{\"event\":\"x.y\",\"uid\":\"b\"}\n\
                {\"event\":\"auth\",\"time\":\"soon\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    scene.text(text).await.expect("goes on");
    let said = scene.said.lines();
    let (last, bad) = said.split_last().expect("lines");
    assert_eq!(last, "imported as custom, by unknown type: \"x.y\" 1");
    let begins = [
        "log:2: not JSON",
        "log:4: not a JSON object",
        "log:6: time is \"soon\"",
        "2 imported, 1 duplicates, 3 invalid",
        "invalid lines, by reason: line 3",
    ];
    assert_eq!(bad.len(), begins.len());
    for (line, begin) in bad.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[tokio::test]
async fn unknown_types_can_be_refused() {
    let scene = Scene { unknown_types: UnknownTypes::Refuse, ..Scene::new() };
    let text = "{\"event\":\"x.y\",\"uid\":\"b\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    scene.text(text).await.expect("goes on");
    assert_eq!(
        scene.said.lines(),
        [
            "log:1: unknown event type \"x.y\"",
            "1 imported, 0 duplicates, 1 invalid",
            "invalid lines, by reason: unknown type 1"
        ]
    );
}

#[tokio::test]
async fn importing_again_gives_duplicates() {
    let scene = Scene::new();
    let text = "{\"event\":\"auth\"}\n{\"event\":\"auth\"}\n{\"event\":\"auth\",\"uid\":\"a\"}\n";
    scene.text(text).await.expect("goes on");
    assert_eq!(scene.stored(), 3);
    let again = Scene { gateway: Arc::clone(&scene.gateway), ..Scene::new() };
    again.text(text).await.expect("goes on");
    assert_eq!(again.said.lines(), ["0 imported, 3 duplicates, 0 invalid"]);
}

#[tokio::test]
async fn a_failing_gateway_ends_the_import_at_a_line() {
    let scene = Scene::new();
    scene.gateway.lock().fails = Some(Code::Internal);
    let error = scene.text(&[line(1, ""), line(2, "")].concat()).await.expect_err("ends");
    let error = error.to_string();
    assert!(error.ends_with("/log:1, which was not stored: failing"), "{error}");
    assert_eq!(scene.said.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_line_of_a_pipe_is_sent_when_it_is_read() {
    let scene = Scene::new();
    let (lines, _read) = mpsc::channel(LINES_AWAITED);
    let mut import = scene.import(lines);
    let (mut writer, reader) = tokio::io::duplex(1024);
    writer.write_all(line(1, "").as_bytes()).await.expect("writes");
    let waited = tokio::time::timeout(Duration::from_millis(1), import.read("-", reader)).await;
    assert!(waited.is_err(), "the pipe is open");
    assert_eq!(scene.stored(), 1);
}

#[tokio::test]
async fn an_interrupt_ends_the_reading_and_stores_what_was_read() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    std::fs::write(&path, line(1, "")).expect("writes");
    let file = path.to_str().expect("UTF-8").to_owned();
    scene.files(&[file.clone(), "missing".to_owned()]).await.expect_err("no such file");
    assert_eq!(scene.stored(), 1, "what was read before is stored");
    scene.interrupted.cancel();
    scene.files(&[file, "missing".to_owned()]).await.expect("does not come to it");
}
