//! A real NATS server for tests, where one is installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{JetStream, NatsServers, StreamPlan, Subjects};

/// Where `make bench-tools` puts the server, below the folder of the build.
const PLACE: &str = "venv/bin/nats-server";
/// The program, if it is elsewhere.
const VARIABLE: &str = "AUDITGATE_NATS_SERVER";
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A server that runs until it is dropped.
pub struct TestServer {
    server: Child,
    url: String,
    _folder: TempDir,
}

/// The program, if it is installed.
pub fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return Some(program.into());
    }
    let own = std::env::current_exe().ok()?;
    own.ancestors().map(|folder| folder.join(PLACE)).find(|place| place.is_file())
}

/// The program; says that a test is skipped if there is none.
pub fn program_or_skip() -> Option<PathBuf> {
    let program = program();
    if program.is_none() {
        eprintln!(
            "SKIPPED: there is no nats-server: `make bench-tools` installs it, or set {VARIABLE}"
        );
    }
    program
}

impl TestServer {
    /// A server on a port of its own. In its settings, `STORE` stands for its folder.
    pub fn start(program: PathBuf, settings: &str) -> Self {
        Self::start_in(program, settings, -1, TempDir::new().unwrap())
    }

    fn start_in(program: PathBuf, settings: &str, port: i32, folder: TempDir) -> Self {
        let path = folder.path().display();
        let file = folder.path().join("nats.conf");
        let store = format!("store_dir: \"{path}/store\"");
        std::fs::write(&file, settings.replace("STORE", &store)).unwrap();
        let server = Command::new(program)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--ports_file_dir"])
            .arg(folder.path())
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ports = folder.path().join(format!("nats-server_{}.ports", server.id()));
        let mut started = Self { server, url: String::new(), _folder: folder };
        let begun = Instant::now();
        while started.url.is_empty() {
            let ports = std::fs::read(&ports).unwrap_or_default();
            if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports) {
                started.url = ports["nats"][0].as_str().unwrap().to_owned();
            }
            assert!(begun.elapsed() < START_TIME_MAX, "no NATS server came up");
            std::thread::sleep(Duration::from_millis(10));
        }
        started
    }

    /// The stream of a log, as soon as the server makes it.
    pub async fn stream(&self, log: &str) -> JetStream {
        stream(&self.connection(), log, 1).await
    }

    pub fn connection(&self) -> NatsServers {
        NatsServers { addresses: vec![self.url.clone()], ..NatsServers::default() }
    }
}

/// Makes the stream of a log; tries again what servers refuse that have just started.
pub async fn stream(servers: &NatsServers, log: &str, replicas: u32) -> JetStream {
    let subjects = Subjects::of_log(log).unwrap();
    let plan = StreamPlan { replicas, age_max: None, bytes_max: None };
    let begun = Instant::now();
    loop {
        match JetStream::create(servers, &subjects, plan).await {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < START_TIME_MAX, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Several servers that replicate their streams.
pub struct TestCluster {
    program: PathBuf,
    members: Vec<ClusterMember>,
}

struct ClusterMember {
    server: Child,
    port: u16,
    folder: TempDir,
}

impl TestCluster {
    /// So many servers, each synced before it answers.
    pub fn start(program: PathBuf, count: usize) -> Self {
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let routes: Vec<_> =
            ports.iter().map(|(_, route)| format!("\"nats://127.0.0.1:{route}\"")).collect();
        let routes = routes.join(", ");
        let members = ports.iter().enumerate().map(|(number, (port, route))| {
            let folder = TempDir::new().unwrap();
            let path = folder.path().display();
            let settings = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream {{ store_dir: \"{path}/store\", sync_interval: always }}\n\
                 cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n"
            );
            std::fs::write(folder.path().join("nats.conf"), settings).unwrap();
            let server = run(&program, &folder);
            ClusterMember { server, port: *port, folder }
        });
        let members = members.collect();
        Self { program, members }
    }

    /// How clients reach them.
    pub fn servers(&self) -> NatsServers {
        let address = |member: &ClusterMember| format!("nats://127.0.0.1:{}", member.port);
        NatsServers {
            addresses: self.members.iter().map(address).collect(),
            ..NatsServers::default()
        }
    }

    /// The server that leads the stream of a log.
    pub async fn leader(&self, log: &str) -> Option<usize> {
        let client = super::servers::connect(&self.servers()).await.ok()?;
        let subject = format!("$JS.API.STREAM.INFO.AUDIT_{log}");
        let answer = client.request(subject, Default::default()).await.ok()?;
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
        info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
    }

    /// Kills a server.
    pub fn kill(&mut self, number: usize) {
        let server = &mut self.members[number].server;
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Asks a server to end, and waits until it has.
    pub fn terminate(&mut self, number: usize) {
        self.signal(number, rustix::process::Signal::TERM);
        self.members[number].server.wait().unwrap();
    }

    /// Suspends a server.
    pub fn suspend(&mut self, number: usize) {
        self.signal(number, rustix::process::Signal::STOP);
    }

    /// Lets a server go on, or starts it anew with what it has on disk.
    pub fn restore(&mut self, number: usize) {
        if self.members[number].server.try_wait().unwrap().is_none() {
            self.signal(number, rustix::process::Signal::CONT);
        } else {
            let server = run(&self.program, &self.members[number].folder);
            self.members[number].server = server;
        }
    }

    fn signal(&self, number: usize, signal: rustix::process::Signal) {
        let server = rustix::process::Pid::from_child(&self.members[number].server);
        rustix::process::kill_process(server, signal).unwrap();
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.server.kill();
            let _ = member.server.wait();
        }
    }
}

fn run(program: &PathBuf, folder: &TempDir) -> Child {
    Command::new(program)
        .arg("--config")
        .arg(folder.path().join("nats.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
