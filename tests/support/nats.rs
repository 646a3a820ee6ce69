//! NATS servers, as people run them: each is a process of its own, on loopback, which ends
//! with the handle. Shared by tests and measures.
#![allow(dead_code, reason = "each program uses its part of this")]

use std::io::{Error, ErrorKind, Read as _, Result};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where `make bench-tools` puts the server, below the folder of the build.
const PLACE: &str = "venv/bin/nats-server";
/// The program, if it is elsewhere.
pub const PROGRAM_VARIABLE: &str = "AUDITGATE_NATS_SERVER";
/// A server that does not listen after so long has failed.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// A port may be taken between the moment it was found free and the server's start.
const START_ATTEMPTS: usize = 3;
/// So long a server is waited for that was asked to end.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// The program, if it is installed.
pub fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os(PROGRAM_VARIABLE) {
        return Some(program.into());
    }
    let own = std::env::current_exe().ok()?;
    own.ancestors().map(|folder| folder.join(PLACE)).find(|place| place.is_file())
}

/// The program; says that `what` is skipped if there is none.
pub fn program_or_skip(what: &str) -> Option<PathBuf> {
    let program = program();
    if program.is_none() {
        eprintln!(
            "SKIPPED {what}: there is no nats-server: `make bench-tools` installs it, or set \
             {PROGRAM_VARIABLE}"
        );
    }
    program
}

/// One server.
pub struct NatsServer {
    process: Child,
    url: String,
    folder: TempDir,
}

impl NatsServer {
    /// Starts a server on any port, with its files in `folder`. In its settings, `STORE`
    /// stands for the setting of its store.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path, settings: &str, folder: TempDir) -> Result<Self> {
        let (process, url) = listening(program, settings, folder.path(), "-1")?;
        Ok(Self { process, url, folder })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts the server again on its port, with what it has stored and other settings.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self, program: &Path, settings: &str) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        let port = self.url.rsplit(':').next().unwrap_or_default().to_owned();
        (self.process, self.url) = listening(program, settings, self.folder.path(), &port)?;
        Ok(())
    }
}

/// A server on a port, and where clients connect.
fn listening(program: &Path, settings: &str, folder: &Path, port: &str) -> Result<(Child, String)> {
    let file = folder.join("nats.conf");
    let store = format!("store_dir: \"{}\"", folder.join("store").display());
    std::fs::write(&file, settings.replace("STORE", &store))?;
    let mut process = quiet(program)
        .args(["--addr", "127.0.0.1", "--port", port, "--ports_file_dir"])
        .arg(folder)
        .arg("--config")
        .arg(&file)
        .spawn()?;
    let ports = folder.join(format!("nats-server_{}.ports", process.id()));
    let begun = Instant::now();
    // The server writes a file with its ports when it listens.
    loop {
        let ports = std::fs::read(&ports).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports)
            && let Some(url) = ports.pointer("/nats/0").and_then(serde_json::Value::as_str)
        {
            return Ok((process, url.to_owned()));
        }
        if let Err(error) = check_started(begun, &mut process) {
            end(&mut process);
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Several servers that replicate their streams. Each message is synced before it is
/// acknowledged.
pub struct NatsCluster {
    program: PathBuf,
    members: Vec<Member>,
    _folder: TempDir,
}

struct Member {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl NatsCluster {
    /// Starts so many servers, with their files in `folder`, and waits until each listens.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start(program: &Path, count: usize, folder: TempDir) -> Result<Self> {
        let mut cluster =
            Self { program: program.to_owned(), members: Vec::new(), _folder: folder };
        for attempt in 1.. {
            match cluster.start_members(count) {
                Ok(()) => break,
                Err(error) if attempt == START_ATTEMPTS => return Err(error),
                Err(_) => cluster.end_members(),
            }
        }
        Ok(cluster)
    }

    fn start_members(&mut self, count: usize) -> Result<()> {
        let ports = free_ports(2 * count)?;
        let routes: Vec<_> = ports
            .chunks_exact(2)
            .filter_map(|ports| Some(format!("\"nats://127.0.0.1:{}\"", ports.last()?)))
            .collect();
        let routes = routes.join(", ");
        for (number, ports) in ports.chunks_exact(2).enumerate() {
            let &[port, route] = ports else { continue };
            let folder = self._folder.path().join(format!("n{number}"));
            std::fs::create_dir_all(&folder)?;
            let store = folder.join("store");
            let settings = format!(
                "server_name: n{number}\n\
                 listen: \"127.0.0.1:{port}\"\n\
                 max_payload: 8MB\n\
                 jetstream {{ store_dir: \"{store}\", sync_interval: always }}\n\
                 cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n",
                store = store.display(),
            );
            std::fs::write(folder.join("nats.conf"), settings)?;
            let process = run(&self.program, &folder)?;
            self.members.push(Member { process, port, folder });
        }
        (0..count).try_for_each(|number| self.wait_for(number))
    }

    /// How many servers there are, those that do not run included.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where clients connect.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("nats://127.0.0.1:{}", member.port)).collect()
    }

    /// Where a server keeps its streams.
    pub fn store(&self, number: usize) -> Result<PathBuf> {
        Ok(self.member(number)?.folder.join("store"))
    }

    /// What the leader of a stream says of it.
    ///
    /// # Errors
    /// If none of the servers answers.
    pub async fn info(&self, stream: &str) -> Result<serde_json::Value> {
        let client = async_nats::connect(self.urls()).await.map_err(Error::other)?;
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let answer = client.request(subject, Default::default()).await.map_err(Error::other)?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// The server that leads a stream; `None` while it has no leader.
    ///
    /// # Errors
    /// If none of the servers answers.
    pub async fn leader(&self, stream: &str) -> Result<Option<usize>> {
        let info = self.info(stream).await?;
        let leader = info.pointer("/cluster/leader").and_then(serde_json::Value::as_str);
        Ok(leader.and_then(|name| name.strip_prefix('n')?.parse().ok()))
    }

    /// Starts a server that has ended without routes: the others and it do not find each other.
    pub fn isolate(&mut self, number: usize) -> Result<()> {
        let file = self.member(number)?.folder.join("nats.conf");
        let settings = std::fs::read_to_string(&file)?;
        let alone = settings.lines().filter(|line| !line.starts_with("cluster "));
        // A cluster has to have a route: nothing listens there.
        let route =
            "cluster { name: test, listen: \"127.0.0.1:-1\", routes: [\"nats://127.0.0.1:1\"] }";
        let alone = alone.chain([route]);
        std::fs::write(file, alone.collect::<Vec<_>>().join("\n"))?;
        self.restore(number)
    }

    /// Kills a server.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let process = &mut self.member_mut(number)?.process;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Asks a server to end, and waits until it has.
    pub fn terminate(&mut self, number: usize) -> Result<()> {
        self.signal(number, Signal::TERM)?;
        let process = &mut self.member_mut(number)?.process;
        let begun = Instant::now();
        while process.try_wait()?.is_none() {
            if begun.elapsed() > END_TIME_MAX {
                return Err(ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Suspends a server.
    pub fn suspend(&mut self, number: usize) -> Result<()> {
        self.signal(number, Signal::STOP)
    }

    /// Lets a server go on that was suspended, or starts it with what it has on disk if
    /// it has ended, and waits until it listens.
    pub fn restore(&mut self, number: usize) -> Result<()> {
        let program = self.program.clone();
        let member = self.member_mut(number)?;
        if member.process.try_wait()?.is_none() {
            return self.signal(number, Signal::CONT);
        }
        member.process = run(&program, &member.folder)?;
        self.wait_for(number)
    }

    fn signal(&self, number: usize, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.member(number)?.process), signal)?)
    }

    /// Waits until a server greets a client: some other program may have its port.
    fn wait_for(&mut self, number: usize) -> Result<()> {
        let name = format!("\"server_name\":\"n{number}\"");
        let member = self.member_mut(number)?;
        let begun = Instant::now();
        while !greeting(member.port).is_ok_and(|greeting| greeting.contains(&name)) {
            check_started(begun, &mut member.process)?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn member(&self, number: usize) -> Result<&Member> {
        self.members.get(number).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn member_mut(&mut self, number: usize) -> Result<&mut Member> {
        self.members.get_mut(number).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn end_members(&mut self) {
        for mut member in self.members.drain(..) {
            end(&mut member.process);
        }
    }
}

impl Drop for NatsCluster {
    fn drop(&mut self) {
        self.end_members();
    }
}

fn run(program: &Path, folder: &Path) -> Result<Child> {
    quiet(program).arg("--config").arg(folder.join("nats.conf")).spawn()
}

fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn end(process: &mut Child) {
    // It has ended if this fails.
    _ = process.kill();
    _ = process.wait();
}

fn check_started(begun: Instant, process: &mut Child) -> Result<()> {
    if let Some(status) = process.try_wait()? {
        return Err(Error::other(format!("the NATS server ended: {status}")));
    }
    if begun.elapsed() > START_TIME_MAX {
        return Err(Error::other("no NATS server came up"));
    }
    Ok(())
}

/// The first line that a server sends, as far as it comes at once.
fn greeting(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    while !line.ends_with(b"\n") {
        let read = stream.read(&mut bytes)?;
        line.extend(bytes.get(..read).unwrap_or_default());
        if read == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Ports that nobody has at the moment, no two of them equal.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Result<Vec<_>> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect();
    listeners?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
