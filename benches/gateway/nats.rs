//! A NATS server, as people run it: a process of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Result, ensure};

/// Where `make bench-tools` puts the server, below the folder of the build.
const PLACE: &str = "venv/bin/nats-server";
/// A server that does not listen after so long has failed.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A server that runs until it is dropped.
pub struct Nats {
    server: Child,
    url: String,
    _folder: TempDir,
}

impl Nats {
    /// The program, if it is installed below the folder in which this one was
    /// built.
    pub fn program() -> Option<PathBuf> {
        let own = std::env::current_exe().ok()?;
        own.ancestors().map(|folder| folder.join(PLACE)).find(|place| place.is_file())
    }

    /// Starts the program with some more arguments, on loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: PathBuf, arguments: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let server = Command::new(program)
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut nats = Self { server, url: String::new(), _folder: folder };
        nats.url = nats.wait()?;
        Ok(nats)
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server writes a file with its ports when it listens.
    fn wait(&self) -> Result<String> {
        let name = format!("nats-server_{}.ports", self.server.id());
        let file = self._folder.path().join(name);
        let started = Instant::now();
        loop {
            let ports = std::fs::read(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&ports) {
                let url = ports.pointer("/nats/0").and_then(serde_json::Value::as_str);
                return Ok(url.ok_or("the NATS server does not listen")?.to_owned());
            }
            ensure(started.elapsed() < START_TIME_MAX, || "no NATS server came up".to_owned())?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It has ended if this fails.
        _ = self.server.kill();
        _ = self.server.wait();
    }
}
