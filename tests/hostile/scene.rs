//! A gateway in a process of its own, a good client that is timed all the while, and
//! peers that are not good.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream};

use crate::frames::{ACK, DATA, END_STREAM, FRAME_HEAD_BYTES, PING, frame};
use crate::support::{Client, emit_all, large, login};

/// Who breaks the rules is gone by then.
pub const CUT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what waits for it: the default of the gateway where
/// its figures count, and less where it was built to be debugged, so that the scenes end sooner.
pub const STALL_SECONDS: u64 = if cfg!(debug_assertions) { 3 } else { 8 };
/// Time for what the test itself takes.
const SLACK: Duration = Duration::from_secs(3);
/// How long a test waits for what must come: a bound for gateways that were built to be
/// debugged and machines that are busy, by which nothing is judged.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// The good client's calls take no longer, 99 of 100, ...
const P99_MAX: Duration = Duration::from_millis(50);
/// ... or than so many times what they take in peace, where the machine is busy with
/// something else.
const P99_FACTOR: u32 = 5;
/// How much memory hostile peers may make the gateway take.
pub const GROWTH_MAX: u64 = 192 * 1024 * 1024;
/// Time between the good client's calls.
const PACE: Duration = Duration::from_millis(5);
/// Where the bad peers come from: another address than the good client's.
pub const BAD_ADDRESS: [u8; 4] = [127, 0, 0, 2];

pub struct Scene {
    process: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// Where the page is.
    pub web: SocketAddr,
    good: Option<std::thread::JoinHandle<Vec<Duration>>>,
    over: Arc<AtomicBool>,
    in_peace: Duration,
    memory_before: u64,
    watch: std::sync::Mutex<Option<Watch>>,
}

/// What was seen of the gateway's memory, again and again.
struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Seen>,
}

/// The most that was seen, in bytes.
#[derive(Default)]
struct Seen {
    /// Growth beside that of the ring.
    growth: u64,
    /// What is on no account, less what may be.
    unaccounted: i64,
}

/// So much memory may be on no account, ...
const UNACCOUNTED_MAX: u64 = 32 * 1024 * 1024;
/// ... or one part in so many of what is.
const UNACCOUNTED_PARTS: u64 = 7;
/// How much memory one client may make the gateway take beside the ring.
const WATCHED_GROWTH_MAX: u64 = 256 * 1024 * 1024;

impl Scene {
    pub async fn open() -> Self {
        Self::open_with(&[], None).await
    }

    /// A gateway with these flags, which may open so many files.
    pub async fn open_with(flags: &[&str], files: Option<u32>) -> Self {
        let limit = files.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
        let mut process = Command::new("sh")
            .arg("-c")
            .arg(format!("{limit}exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_auditgate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--limits-stall-timeout", &format!("{STALL_SECONDS}s")])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, admin, web) = listens(process.stderr.take().unwrap());
        let mut scene = Self {
            process,
            address,
            admin,
            web,
            good: None,
            over: Arc::default(),
            in_peace: Duration::ZERO,
            memory_before: 0,
            watch: std::sync::Mutex::default(),
        };
        let in_peace = scene.good_client();
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.in_peace = p99(scene.end_of(in_peace).await);
        scene.memory_before = scene.memory();
        scene.good = Some(scene.good_client());
        scene
    }

    /// A client that emits at its pace, in a thread of its own, until the scene is
    /// over.
    fn good_client(&mut self) -> std::thread::JoinHandle<Vec<Duration>> {
        self.over = Arc::default();
        let (over, address) = (Arc::clone(&self.over), self.address);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut client = connect(address).await;
                let mut ticks = tokio::time::interval(PACE);
                let mut took = Vec::new();
                // However short the scene is, it is served.
                while took.is_empty() || !over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let event = Some(login(&format!("good-{}", fastrand::u64(..)), "alice"));
                    let request = pb::EmitRequest { event, validate_only: false };
                    let started = Instant::now();
                    client.emit(request).await.expect("the good client is served");
                    took.push(started.elapsed());
                }
                took
            })
        })
    }

    async fn end_of(&self, client: std::thread::JoinHandle<Vec<Duration>>) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| client.join().unwrap()).await.unwrap()
    }

    pub async fn client(&self) -> Client {
        connect(self.address).await
    }

    /// Ten batches of so many events of so many bytes, to be read.
    pub async fn fill(&self, events: usize, bytes: usize) {
        let mut client = self.client().await;
        for batch in 0..10 {
            let events = (0..events).map(|number| large(&format!("{batch}-{number}"), bytes));
            emit_all(&mut client, events.collect()).await;
        }
    }

    /// A connection from where the bad peers are.
    pub async fn bad(&self) -> Bad {
        let [.., last] = BAD_ADDRESS;
        self.bad_from(last).await
    }

    /// A connection from the address that ends so.
    pub async fn bad_from(&self, last: u8) -> Bad {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        Bad { stream: socket.connect(self.address).await.unwrap() }
    }

    /// Resident memory of the gateway, in bytes.
    pub fn memory(&self) -> u64 {
        memory_of(self.process.id())
    }

    /// Processor time that the gateway has used.
    pub fn processor_time(&self) -> Duration {
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// A number from the metrics, by the beginning of its line.
    pub async fn metric(&self, begin: &str) -> f64 {
        let page = get(self.admin, "/metrics").await;
        let line = page.lines().find(|line| line.starts_with(begin));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// The sum of all numbers from the metrics whose lines begin so.
    pub async fn sum(&self, begin: &str) -> f64 {
        sum(&get(self.admin, "/metrics").await, begin)
    }

    /// Looks at memory all the time from now on.
    pub async fn begin_to_watch(&self) {
        let over = Arc::<AtomicBool>::default();
        let ring_before = self.sum("auditgate_ring_bytes ").await as u64;
        let (process, admin, memory_before) = (self.process.id(), self.admin, self.memory());
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let mut seen = Seen::default();
            while !until.load(Ordering::Relaxed) {
                // What is freed while the metrics are read was on accounts before, or is not held after.
                let before = runtime.block_on(get(admin, "/metrics"));
                let memory = memory_of(process);
                let after = runtime.block_on(get(admin, "/metrics"));
                let most = |name| sum(&before, name).max(sum(&after, name)) as u64;
                let ring = most("auditgate_ring_bytes ").saturating_sub(ring_before);
                let accounts = most("auditgate_account_bytes{");
                let grown = memory.saturating_sub(memory_before + ring);
                let known = memory_before + ring + accounts;
                let allowed = UNACCOUNTED_MAX.max(known / UNACCOUNTED_PARTS);
                seen.growth = seen.growth.max(grown);
                let unaccounted = memory as i64 - known as i64 - allowed as i64;
                seen.unaccounted = seen.unaccounted.max(unaccounted);
                std::thread::sleep(Duration::from_millis(50));
            }
            seen
        });
        *self.watch.lock().unwrap() = Some(Watch { over, thread });
    }

    /// As [`Scene::close`], of a scene that was watched.
    pub async fn close_watched(self, name: &str, cut: Option<Duration>) {
        self.close_watched_of(1, name, cut).await;
    }

    /// As [`Scene::close`], of a scene with bad peers of so many addresses, that was watched.
    pub async fn close_watched_of(self, clients: u64, name: &str, cut: Option<Duration>) {
        let beyond = self.finish_watched(clients, name, cut).await;
        let judged = !cfg!(debug_assertions);
        assert!(!judged || beyond <= 0, "{name}: {beyond} KiB too many are on no account");
    }

    /// As [`Scene::close_watched`], of streams that wait for their turn: what the connection holds for them is on no
    /// account.
    pub async fn close_watched_with_windows(self, name: &str) {
        self.finish_watched(1, name, None).await;
    }

    /// Gives how many KiB too many were on no account.
    async fn finish_watched(self, clients: u64, name: &str, cut: Option<Duration>) -> i64 {
        let watch = self.watch.lock().unwrap().take().expect("it was watched");
        watch.over.store(true, Ordering::Relaxed);
        let seen = tokio::task::spawn_blocking(|| watch.thread.join().unwrap()).await.unwrap();
        let growth_max = WATCHED_GROWTH_MAX * clients.min(2);
        self.finish(name, cut, seen.growth, growth_max).await;
        let beyond = seen.unaccounted / 1024;
        println!("figures: {name}: {beyond} KiB beyond what may be on no account");
        beyond
    }

    /// The good client was served well, and memory stayed within bounds. `cut` is when
    /// the last of the bad peers was gone.
    pub async fn close(self, name: &str, cut: Option<Duration>, growth: u64) {
        self.finish(name, cut, growth, GROWTH_MAX).await;
    }

    async fn finish(mut self, name: &str, cut: Option<Duration>, growth: u64, growth_max: u64) {
        let good = self.good.take().unwrap();
        let took = self.end_of(good).await;
        let (calls, p99) = (took.len(), p99(took));
        let cut_text =
            cut.map_or_else(|| "-".to_owned(), |cut| format!("{:.1} s", cut.as_secs_f64()));
        println!(
            "figures: {name} | {cut_text} | {:.1} ms of {calls} calls ({:.1} ms in peace) | {} MiB",
            p99.as_secs_f64() * 1e3,
            self.in_peace.as_secs_f64() * 1e3,
            growth / (1024 * 1024),
        );
        // A gateway that is built to be debugged is not built to be fast: there the
        // figures are shown, and only a release build is judged by them.
        let judged = !cfg!(debug_assertions);
        if let Some(cut) = cut {
            let in_time = cut <= CUT_TIME_MAX + SLACK;
            assert!(!judged || in_time, "{name}: gone only after {cut:?}");
        }
        let limit = P99_MAX.max(self.in_peace * P99_FACTOR);
        assert!(!judged || p99 <= limit, "{name}: p99 {p99:?}, in peace {:?}", self.in_peace);
        assert!(growth <= growth_max, "{name}: memory grew by {growth} bytes");
    }

    /// By how much memory has grown since the beginning.
    pub fn growth(&self) -> u64 {
        self.memory().saturating_sub(self.memory_before)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A peer that sends what it likes.
pub struct Bad {
    pub stream: TcpStream,
}

impl Bad {
    /// Sends; says whether the gateway still takes it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        tokio::time::timeout(WAIT_MAX, self.stream.write_all(bytes))
            .await
            .is_ok_and(|sent| sent.is_ok())
    }

    /// Reads frames until one of this kind has come.
    pub async fn until_frame(&mut self, kind: u8) {
        let read = async { while self.frame().await.0 != kind {} };
        tokio::time::timeout(WAIT_MAX, read).await.expect("the gateway sends such a frame");
    }

    /// Reads at most so many bytes, as they are; nothing once the gateway has hung up.
    pub async fn read_some(&mut self, at_most: usize) -> usize {
        let mut buffer = vec![0; at_most];
        tokio::time::timeout(WAIT_MAX, self.stream.read(&mut buffer))
            .await
            .expect("something comes")
            .unwrap_or(0)
    }

    /// Sends the last bytes of a stream as its window and that of the connection allow.
    pub async fn send_within_windows(&mut self, stream: u32, bytes: &[u8]) {
        const DEFAULT_WINDOW: i64 = 65_535;
        let (mut of_stream, mut of_all) = (DEFAULT_WINDOW, DEFAULT_WINDOW);
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = of_stream.min(of_all).clamp(0, 16 * 1024) as usize;
            if most == 0 {
                let (kind, of, payload) = self.frame().await;
                if kind == PING {
                    self.send(&frame(PING, ACK, 0, &payload)).await;
                }
                match (kind, of) {
                    (0x8, 0) => {
                        of_all += i64::from(u32::from_be_bytes(payload[..4].try_into().unwrap()))
                    }
                    (0x8, _) => {
                        of_stream += i64::from(u32::from_be_bytes(payload[..4].try_into().unwrap()))
                    }
                    // SETTINGS_INITIAL_WINDOW_SIZE.
                    (0x4, _) => {
                        for setting in payload.chunks(6).filter(|one| one[..2] == [0, 4]) {
                            let window = u32::from_be_bytes(setting[2..6].try_into().unwrap());
                            of_stream += i64::from(window) - DEFAULT_WINDOW;
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let (now, later) = rest.split_at(most.min(rest.len()));
            let flags = if later.is_empty() { END_STREAM } else { 0 };
            assert!(self.send(&frame(DATA, flags, stream, now)).await);
            of_stream -= now.len() as i64;
            of_all -= now.len() as i64;
            rest = later;
        }
    }

    /// The next frame: its kind, its stream and its payload.
    async fn frame(&mut self) -> (u8, u32, Vec<u8>) {
        let read = read_frame(&mut self.stream);
        tokio::time::timeout(WAIT_MAX, read).await.expect("a frame comes").unwrap()
    }

    /// Stays there from now on: takes what comes, and answers each PING.
    pub fn stay(self) -> Attended {
        let (mut reading, writing) = self.stream.into_split();
        let writing = Arc::new(tokio::sync::Mutex::new(writing));
        let answering = Arc::clone(&writing);
        let reading = tokio::spawn(async move {
            while let Ok((kind, _, payload)) = read_frame(&mut reading).await {
                if kind == PING {
                    let answer = frame(PING, ACK, 0, &payload);
                    let _ = answering.lock().await.write_all(&answer).await;
                }
            }
        });
        Attended { writing, reading }
    }

    /// Reads until the gateway hangs up; gives all that came.
    pub async fn until_cut(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let read = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = self.stream.read(&mut buffer).await {
                all.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(WAIT_MAX, read).await.expect("the gateway hangs up");
        all
    }
}

/// A peer that is there, for all that it does: it takes what comes, but opens no window.
pub struct Attended {
    writing: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Attended {
    /// Sends; says whether the gateway still takes it.
    pub async fn send(&self, bytes: &[u8]) -> bool {
        let mut writing = self.writing.lock().await;
        let sent = tokio::time::timeout(WAIT_MAX, writing.write_all(bytes)).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The next frame: its kind, its stream and its payload.
pub async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, u32, Vec<u8>)> {
    let mut head = [0; FRAME_HEAD_BYTES];
    from.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    from.read_exact(&mut payload).await?;
    Ok((head[3], u32::from_be_bytes(head[5..9].try_into().unwrap()), payload))
}

fn memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn sum(page: &str, begin: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(begin));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn connect(address: SocketAddr) -> Client {
    AuditServiceClient::connect(format!("http://{address}")).await.expect("it listens")
}

/// The body of a page of the admin listener.
pub async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Where the gateway that says this listens, and where its metrics and its page are. What it says
/// later is read on and forgotten.
fn listens(said: ChildStderr) -> (SocketAddr, SocketAddr, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
            if line["message"] == "listens" {
                tell.send((address("listen"), address("admin"), address("web"))).unwrap();
            }
        }
    });
    told.recv_timeout(WAIT_MAX).expect("it starts")
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}
