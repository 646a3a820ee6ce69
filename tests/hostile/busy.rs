//! Clients that keep to all rules and take every answer, but have as much small work as they can send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::TURN;
use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, call, frame,
    hello_with_window, message,
};
use crate::scene::{Bad, Scene, read_frame};
use crate::support::login;

const SERVICE: &str = "/auditgate.v1.AuditService/";
/// How long they go on.
const TIME: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 4;
/// Streams or calls of a connection at once.
const AT_ONCE: usize = if cfg!(debug_assertions) { 25 } else { 100 };
/// A client takes this many bytes of answers without a word.
const WINDOW: u32 = 1 << 30;
/// Number of the setting for the window of new streams.
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// The window of HTTP/2 until something else is said.
const FIRST_WINDOW: i64 = 65_535;
/// The most bytes of a frame until something else is said.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// What a connection may still send.
struct Windows {
    connection: i64,
    streams: Vec<i64>,
    of_new_streams: i64,
}

/// What the reader of a connection tells its writer.
struct Told {
    windows: Mutex<Windows>,
    /// Frames of answers: one a call, if a call has one answer.
    answers: AtomicU64,
    pings: Mutex<Vec<Vec<u8>>>,
    changed: Notify,
    is_cut: AtomicBool,
}

impl Told {
    fn new(streams: usize) -> Arc<Self> {
        let windows = Windows {
            connection: FIRST_WINDOW,
            streams: vec![FIRST_WINDOW; streams],
            of_new_streams: FIRST_WINDOW,
        };
        Arc::new(Self {
            windows: Mutex::new(windows),
            answers: AtomicU64::new(0),
            pings: Mutex::default(),
            changed: Notify::new(),
            is_cut: AtomicBool::new(false),
        })
    }

    /// Reads until the connection ends. Stream `2 n + 1` has the window `n`.
    async fn read(&self, reading: OwnedReadHalf) {
        let mut reading = BufReader::with_capacity(1 << 18, reading);
        while let Ok((kind, stream, payload)) = read_frame(&mut reading).await {
            let number =
                |at: usize| i64::from(u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()));
            match kind {
                WINDOW_UPDATE => {
                    let mut windows = self.windows.lock();
                    match stream {
                        0 => windows.connection += number(0),
                        _ => windows.streams[stream as usize / 2] += number(0),
                    }
                }
                SETTINGS => {
                    let mut windows = self.windows.lock();
                    for at in (0..payload.len()).step_by(6) {
                        if payload[at..at + 2] == INITIAL_WINDOW_SIZE {
                            let more = number(at + 2) - windows.of_new_streams;
                            windows.of_new_streams += more;
                            windows.streams.iter_mut().for_each(|window| *window += more);
                        }
                    }
                }
                PING => self.pings.lock().push(payload),
                DATA => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
                _ => continue,
            }
            self.changed.notify_one();
        }
        self.is_cut.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Sends what there is, or waits until something may be sent.
    async fn send_or_wait(&self, writing: &mut OwnedWriteHalf, out: &[u8], until: Instant) {
        if out.is_empty() {
            let _ = tokio::time::timeout_at(until.into(), self.changed.notified()).await;
        } else if writing.write_all(out).await.is_err() {
            self.is_cut.store(true, Ordering::Relaxed);
        }
    }

    fn answers_to_pings(&self) -> Vec<u8> {
        self.pings.lock().drain(..).flat_map(|ping| frame(PING, ACK, 0, &ping)).collect()
    }
}

/// A peer with a window for all answers, and what its reader tells.
async fn begin(bad: Bad, streams: usize) -> (OwnedWriteHalf, Arc<Told>) {
    let told = Told::new(streams);
    let (reading, mut writing) = bad.stream.into_split();
    let all = frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
    writing.write_all(&[hello_with_window(WINDOW), all].concat()).await.unwrap();
    let of_reader = Arc::clone(&told);
    tokio::spawn(async move { of_reader.read(reading).await });
    (writing, told)
}

/// Sends `requests` on each stream again and again, as the windows allow. Gives how many bytes.
async fn stream_on(bad: Bad, requests: &[u8], until: Instant) -> usize {
    let (mut writing, told) = begin(bad, AT_ONCE).await;
    let block = call(&format!("{SERVICE}EmitStream"), "identity");
    let begun = (0..AT_ONCE as u32).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &block));
    writing.write_all(&begun.collect::<Vec<u8>>()).await.unwrap();
    let frames: Vec<_> = (0..AT_ONCE as u32).map(|n| frame(DATA, 0, 2 * n + 1, requests)).collect();
    let (len, mut sent) = (requests.len() as i64, 0);
    while Instant::now() < until && !told.is_cut.load(Ordering::Relaxed) {
        let mut out = told.answers_to_pings();
        {
            let mut windows = told.windows.lock();
            for (n, frame) in frames.iter().enumerate() {
                if windows.connection >= len && windows.streams[n] >= len {
                    windows.connection -= len;
                    windows.streams[n] -= len;
                    out.extend_from_slice(frame);
                    sent += requests.len();
                }
            }
        }
        told.send_or_wait(&mut writing, &out, until).await;
    }
    assert!(!told.is_cut.load(Ordering::Relaxed), "it keeps to the rules");
    sent
}

/// Begins calls, so that `at_once` are open all the while. Gives how many were answered.
async fn call_on(bad: Bad, path: &str, request: &[u8], at_once: u64, until: Instant) -> u64 {
    // As many as there may be calls; that windows are known of all streams matters little.
    let (mut writing, told) = begin(bad, 1 << 20).await;
    let block = call(path, "identity");
    let mut begun = 0;
    while Instant::now() < until && !told.is_cut.load(Ordering::Relaxed) {
        let mut out = told.answers_to_pings();
        while begun < told.answers.load(Ordering::Relaxed) + at_once && out.len() < 1 << 16 {
            let stream = 2 * begun as u32 + 1;
            out.extend(frame(HEADERS, END_HEADERS, stream, &block));
            out.extend(frame(DATA, END_STREAM, stream, request));
            begun += 1;
        }
        told.send_or_wait(&mut writing, &out, until).await;
    }
    assert!(!told.is_cut.load(Ordering::Relaxed), "it keeps to the rules");
    told.answers.load(Ordering::Relaxed)
}

fn event(id: Option<&str>) -> pb::Event {
    pb::Event { id: id.map(str::to_owned), user: None, ..login("", "alice") }
}

async fn streams(name: &str, event: pb::Event) {
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "64MiB"], None).await;
    let request = pb::EmitStreamRequest { events: vec![event], validate_only: false };
    let request = message(false, &request.encode_to_vec());
    let requests = request.repeat(FRAME_BYTES_MAX / request.len());
    scene.begin_to_watch().await;
    let until = Instant::now() + TIME;
    let mut peers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (bad, requests) = (scene.bad().await, requests.clone());
        peers.spawn(async move { stream_on(bad, &requests, until).await });
    }
    let sent: usize = peers.join_all().await.into_iter().sum();
    println!("figures: {name}: {} requests sent", sent / request.len());
    assert!(sent > 0);
    scene.close_watched_with_windows(name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_small_requests_do_not_hold_up_others() {
    streams(&format!("{} emit streams of small requests", CONNECTIONS * AT_ONCE), event(None))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_one_event_do_not_hold_up_others() {
    let name = format!("{} emit streams that repeat an event", CONNECTIONS * AT_ONCE);
    streams(&name, event(Some("same"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_calls_do_not_hold_up_others() {
    let at_once = 40 * AT_ONCE as u64;
    let request = pb::EmitRequest { event: Some(event(None)), validate_only: false };
    let status = ("GetStatus", pb::GetStatusRequest::default().encode_to_vec());
    let search = pb::SearchRequest { page_size: 1, ..Default::default() };
    let search = ("Search", search.encode_to_vec());
    for (method, request) in [("Emit", request.encode_to_vec()), status, search] {
        let _turn = TURN.lock().await;
        let scene = Scene::open_with(&["--ring-bytes", "64MiB"], None).await;
        scene.fill(20, 1_000).await;
        let request = message(false, &request);
        scene.begin_to_watch().await;
        let until = Instant::now() + TIME;
        let mut peers = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (bad, request) = (scene.bad().await, request.clone());
            let path = format!("{SERVICE}{method}");
            peers.spawn(async move { call_on(bad, &path, &request, at_once, until).await });
        }
        let answered: u64 = peers.join_all().await.into_iter().sum();
        let name = format!("{CONNECTIONS} x {at_once} calls of {method} at once");
        println!("figures: {name}: {answered} answered");
        assert!(answered > 0);
        scene.close_watched(&name, None).await;
    }
}
