//! A gateway of a cluster, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::WAIT_MAX;

/// So long a gateway is waited for that was asked to end.
const END_TIME_MAX: Duration = Duration::from_secs(40);

/// A gateway that may be ended and started again.
pub struct GatewayProcess {
    folder: PathBuf,
    flags: Vec<String>,
    process: Option<Child>,
    /// The same at each start.
    pub address: SocketAddr,
}

impl GatewayProcess {
    /// Starts a gateway with its data and its log in `folder`.
    pub fn start(folder: &Path, flags: Vec<String>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let address = ([127, 0, 0, 1], 0).into();
        let mut gateway = Self { folder: folder.to_owned(), flags, process: None, address };
        gateway.run();
        gateway
    }

    /// Starts the program again.
    pub fn run(&mut self) {
        if let Err(said) = self.try_run() {
            panic!("the gateway ended:\n{said}");
        }
    }

    /// Starts the program; what it said, if it ended before it listened.
    pub fn try_run(&mut self) -> Result<(), String> {
        let port_file = self.folder.join("port");
        let _ = std::fs::remove_file(&port_file);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
        for key in auditgate::config::keys() {
            command.env_remove(key.variable());
        }
        let mut process = command
            .args(["serve", "--listen", &self.address.to_string(), "--port-file"])
            .arg(&port_file)
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Instant::now();
        loop {
            let port = std::fs::read_to_string(&port_file).unwrap_or_default();
            if let Some(port) = port.strip_suffix('\n') {
                self.address.set_port(port.parse().unwrap());
                self.process = Some(process);
                return Ok(());
            }
            if process.try_wait().unwrap().is_some() {
                return Err(self.said());
            }
            if started.elapsed() > WAIT_MAX {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("it neither listens nor ends:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where its copy of the log is.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the gateway has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It has ended if this fails.
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let Some(mut process) = self.process.take() else { return };
        let begun = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if begun.elapsed() > END_TIME_MAX {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("the gateway did not end:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Suspends it.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on if it was suspended, or starts it again if it has ended.
    pub fn restore(&mut self) {
        if self.is_running() { self.signal(Signal::CONT) } else { self.run() }
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill_process(Pid::from_child(process), signal).unwrap();
        }
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
