//! Imports into a gateway that is not there.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::client;
use crate::proto::pb;

/// Keeps events by id; refuses those whose code is `BAD`, naming the field, or
/// `WORSE`, naming none; those in the year 2100 or later; and those with the id of another.
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

    async fn send(&self, id: String, encoded: Bytes) -> Result<Self::Receipt, client::Error> {
        let event = pb::Event::decode(encoded).expect("an event");
        assert_eq!(event.id(), id);
        let mut fake = self.lock();
        let failure = fake.fails.map(|code| Status::new(code, "failing"));
        let refusal = match event.code() {
            "BAD" => {
                let details = ErrorDetails::with_bad_request_violation("event.code", "code is BAD");
                Some(Status::with_error_details(Code::InvalidArgument, "code is BAD", details))
            }
            "WORSE" => Some(Status::invalid_argument("code is WORSE")),
            _ if event.time.is_some_and(|time| time.seconds > YEAR_2100) => {
                Some(with_reason(Code::InvalidArgument, "TIME_OUT_OF_RANGE"))
            }
            _ if fake.stored.get(&id).is_some_and(|kept| *kept != event) => {
                Some(with_reason(Code::AlreadyExists, "ID_CONFLICT"))
            }
            _ => None,
        };
        Ok(ready(match failure.or(refusal) {
            Some(status) => Err(refused(status)),
            None => {
                let duplicate = fake.stored.insert(id.clone(), event).is_some();
                Ok(pb::Receipt { id, duplicate, ..Default::default() })
            }
        }))
    }

    async fn flush(&self) {}
}

const YEAR_2100: i64 = 4_102_444_800;

fn with_reason(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "auditgate", []);
    Status::with_error_details(code, reason, details)
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
    is_strict: bool,
    numbers_uids: bool,
    interrupted: CancellationToken,
    said: Said,
}

impl Scene {
    fn new() -> Self {
        Self {
            gateway: Shared::default(),
            unknown_types: UnknownTypes::Custom,
            is_strict: false,
            numbers_uids: false,
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
    ) -> Importer<'_, Shared> {
        Importer {
            gateway: &self.gateway,
            unknown_types: self.unknown_types,
            is_strict: self.is_strict,
            ordinals: LineOrdinals::default(),
            unwrapper: LineUnwrapper::default(),
            lines,
            progress: Progress::none(),
            interrupted: self.interrupted.clone(),
        }
    }

    /// Imports files, and sums up.
    async fn files(&self, files: &[String]) -> Result<(), Error> {
        let (lines, read) = mpsc::channel(LINES_AWAITED);
        let mut report = self.report();
        let progress = Progress::none();
        let settler = Settler {
            gateway: &self.gateway,
            rules: ResendRules { without_time: !self.is_strict, numbered: self.numbers_uids },
            report: &mut report,
            progress: &progress,
            resent: VecDeque::new(),
        };
        import_all(self.import(lines), files, settler, read).await?;
        report.summarize();
        Ok(())
    }

    /// Imports a file called `log` with this text.
    async fn text(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
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

/// The time of lines for which it does not matter.
const TIME_MEMBER: &str = "\"time\":\"2024-03-01T10:00:00Z\"";

fn line(id: usize, code: &str) -> String {
    format!("{{\"event\":\"role.created\",\"uid\":\"u{id}\",\"code\":\"{code}\",{TIME_MEMBER}}}\n")
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
    let text = [
        "{\"event\":\"auth\",\"uid\":\"a\"}",
        "{not JSON",
        "",
        "[]",
        "INFO starting",
        "{\"event\":\"x.y\",\"uid\":\"b\"}",
        "{\"event\":\"auth\",\"time\":\"soon\"}",
        "{\"event\":5}",
        "{\"event\":\"auth\",\"uid\":\"a\"}",
        "pod-0 {\"event\":\"auth\",",
        "2025-01-05T10:00:01Z stdout P {\"event\"",
    ]
    .join("\n");
    let scene = Scene::new();
    scene.text(&text).await.expect("goes on");
    let said = scene.said.lines();
    let expected = [
        "log:2: not JSON",
        "log:8: event, the type, is 5",
        "log:10: not JSON: EOF",
        "log:11: the input ends within a line that came in pieces",
        "3 imported, 1 duplicates, 4 invalid",
        "invalid lines, by reason: line 4",
        "skipped, without a JSON object: 1",
        "imported without a time, by reason: missing or unusable 4",
        "imported as custom, by unknown type: \"x.y\" 1",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (line, begin) in said.iter().zip(expected) {
        assert!(line.starts_with(begin), "{line}");
    }
    let strict = Scene { is_strict: true, ..Scene::new() };
    strict.text(&text).await.expect("goes on");
    let said = strict.said.lines();
    for (line, begin) in said.iter().zip([
        "log:1: time is missing",
        "log:2: not JSON",
        "log:5: the line has no JSON object",
        "log:6: time is missing",
        "log:7: time is \"soon\"",
        "log:8: event, the type, is 5",
        "log:9: time is missing",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert!(said.contains(&"0 imported, 0 duplicates, 9 invalid".to_owned()), "{said:#?}");
}

#[tokio::test]
async fn a_time_that_the_gateway_refuses_is_left_out() {
    let far = |id: &str, code: &str| {
        format!(
            "{{\"code\":\"{code}\",\"event\":\"auth\",\"time\":\"2200-01-01T00:00:00Z\",\"uid\":\"{id}\"}}\n"
        )
    };
    let text: String = (0..2_500).map(|id| far(&format!("u{id}"), "X")).collect();
    let text = [text, far("bad", "BAD"), line(9_999, "")].concat();
    let scene = Scene::new();
    scene.text(&text).await.expect("goes on");
    let expected = [
        "log:2501: code is BAD",
        "2501 imported, 0 duplicates, 1 invalid",
        "invalid lines, by reason: event.code 1",
        "imported without a time, by reason: refused by the gateway 2500",
    ];
    assert_eq!(scene.said.lines(), expected);
    let kept = scene.gateway.lock().stored.get("u7").cloned().expect("stored");
    assert_eq!(kept.time, None);
    let exported = teleport::export(&kept).expect("exports").to_string();
    assert_eq!(format!("{exported}\n"), far("u7", "X"));
    let strict = Scene { is_strict: true, ..Scene::new() };
    strict.text(far("a", "X")).await.expect("goes on");
    assert_eq!(strict.stored(), 0);
}

#[tokio::test]
async fn different_events_under_one_uid_are_numbered_on_request() {
    let text = [line(1, "A"), line(1, "B"), line(1, "A"), line(1, "C"), line(2, "A")].concat();
    let scene = Scene::new();
    scene.text(&text).await.expect("goes on");
    assert_eq!((scene.stored(), scene.said.lines().len()), (2, 4), "{:#?}", scene.said.lines());
    let scene = Scene { numbers_uids: true, ..Scene::new() };
    scene.text(&text).await.expect("goes on");
    let numbered = "imported under a numbered id, since another event has the uid: 2";
    assert_eq!(scene.said.lines(), ["4 imported, 1 duplicates, 0 invalid", numbered]);
    let stored = scene.gateway.lock().stored.clone();
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["u1", "u1#2", "u1#3", "u2"]);
    let exported = |id: &str| teleport::export(stored.get(id).unwrap()).unwrap().to_string();
    assert!(exported("u1#3").contains("\"uid\":\"u1\""), "{}", exported("u1#3"));
    // Importing the lines again stores nothing twice.
    let gateway = Arc::clone(&scene.gateway);
    let again = Scene { gateway, numbers_uids: true, ..Scene::new() };
    again.text(&text).await.expect("goes on");
    assert_eq!(again.said.lines(), ["0 imported, 5 duplicates, 0 invalid", numbered]);
}

#[tokio::test]
async fn logs_come_in_many_forms() {
    let events = [line(1, "A"), line(2, "B"), line(3, "C")].map(|line| line.trim_end().to_owned());
    let [a, b, c] = &events;
    let quoted = |text: &str| serde_json::to_string(&format!("{text}\n")).unwrap();
    let forms = [
        format!("\u{feff}{a}\r\n{b}\r\n{c}"),
        format!("[{a},{b},{c}]"),
        format!("[\n  {a},\n  {b},\n  {}\n]\n", c.replace(',', ",\n")),
        format!("[pod/auth-0] {a}\nINFO x\n2025-01-05T10:00:01Z stdout F {b}\npod-1 | {c}\n"),
        [a, b, c]
            .map(|text| format!("{{\"log\":{},\"stream\":\"stdout\"}}\n", quoted(text)))
            .concat(),
    ];
    for form in forms {
        let scene = Scene::new();
        scene.text(&form).await.expect("goes on");
        assert_eq!(scene.stored(), 3, "{form}: {:#?}", scene.said.lines());
        assert!(scene.said.lines()[0].ends_with(" 0 invalid"), "{form}");
        let scene = Scene::new();
        scene.text(zstd::encode_all(form.as_bytes(), 3).unwrap()).await.expect("goes on");
        assert_eq!(scene.stored(), 3, "{form}: {:#?}", scene.said.lines());
    }
}

#[tokio::test]
async fn unknown_types_can_be_refused() {
    let scene = Scene { unknown_types: UnknownTypes::Refuse, ..Scene::new() };
    let text = format!("{{\"event\":\"x.y\",\"uid\":\"b\",{TIME_MEMBER}}}\n{}", line(1, ""));
    scene.text(&text).await.expect("goes on");
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
    let auth = format!("{{\"event\":\"auth\",{TIME_MEMBER}}}\n");
    let text = [auth.as_str(), &auth, &line(1, "")].concat();
    scene.text(&text).await.expect("goes on");
    assert_eq!(scene.stored(), 3);
    let again = Scene { gateway: Arc::clone(&scene.gateway), ..Scene::new() };
    again.text(&text).await.expect("goes on");
    assert_eq!(again.said.lines(), ["0 imported, 3 duplicates, 0 invalid"]);
    // So does what an export writes, in whatever spelling.
    let stored = scene.gateway.lock().stored.clone();
    let exported = stored.values().map(|event| teleport::export(event).unwrap().to_string());
    let exported =
        exported.collect::<Vec<_>>().join("\n").replace(":", ": ").replace(": 00", ":00");
    let again = Scene { gateway: Arc::clone(&scene.gateway), ..Scene::new() };
    again.text(&exported).await.expect("goes on");
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
    let reader = tokio::io::BufReader::new(reader);
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
