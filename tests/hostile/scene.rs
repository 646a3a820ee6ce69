//! A gateway in a process of its own, a good client that is timed all the while, and
//! peers that are not good.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::frames::FRAME_HEAD_BYTES;
use crate::support::{Client, login};

/// Who breaks the rules is gone by then.
pub const CUT_TIME_MAX: Duration = Duration::from_secs(10);
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
    good: Option<std::thread::JoinHandle<Vec<Duration>>>,
    over: Arc<AtomicBool>,
    in_peace: Duration,
    memory_before: u64,
}

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
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, admin) = listens(process.stderr.take().unwrap());
        let mut scene = Self {
            process,
            address,
            admin,
            good: None,
            over: Arc::default(),
            in_peace: Duration::ZERO,
            memory_before: 0,
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
                while !over.load(Ordering::Relaxed) {
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

    /// A connection from where the bad peers are.
    pub async fn bad(&self) -> Bad {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((BAD_ADDRESS, 0).into()).unwrap();
        Bad { stream: socket.connect(self.address).await.unwrap() }
    }

    /// Resident memory of the gateway, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
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

    /// The good client was served well, and memory stayed within bounds. `cut` is when
    /// the last of the bad peers was gone.
    pub async fn close(mut self, name: &str, cut: Option<Duration>, growth: u64) {
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
        assert!(growth <= GROWTH_MAX, "{name}: memory grew by {growth} bytes");
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
        let read = async {
            loop {
                let mut head = [0; FRAME_HEAD_BYTES];
                self.stream.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                self.stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
                if head[3] == kind {
                    return;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, read).await.expect("the gateway sends such a frame");
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

/// Where the gateway that says this listens, and where its metrics are. What it says
/// later is read on and forgotten.
fn listens(said: ChildStderr) -> (SocketAddr, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
            if line["message"] == "listens" {
                tell.send((address("listen"), address("admin"))).unwrap();
            }
        }
    });
    told.recv_timeout(WAIT_MAX).expect("it starts")
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}
