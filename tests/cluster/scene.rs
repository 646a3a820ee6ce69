//! Three servers and three gateways.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use tempfile::TempDir;

use crate::gateway::GatewayProcess;
use crate::load::{Door, call_in_time};
use crate::support::nats::{NatsCluster, program_or_skip};

/// How many gateways, and how many servers.
pub const MEMBERS: usize = 3;
/// The log's stream.
pub const STREAM: &str = "AUDIT_main";
/// An election takes up to nine seconds, and a gateway that was away longer looks each second.
pub const CALM_TIME_MAX: Duration = Duration::from_secs(90);
/// Servers that have just started have no leader for a while.
const INIT_TIME_MAX: Duration = Duration::from_secs(60);

pub struct Scene {
    // Dropped, and so ended, in this order.
    pub gateways: Vec<GatewayProcess>,
    pub servers: NatsCluster,
    folder: TempDir,
}

impl Scene {
    /// Starts all; `None`, said on stderr, where there is no server. `retention` are flags
    /// of `cluster init`.
    pub fn start(test: &str, retention: &[&str]) -> Option<Self> {
        let program = program_or_skip(test)?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let stores = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let servers = NatsCluster::start(&program, MEMBERS, stores).unwrap();
        let mut scene = Self { gateways: Vec::new(), servers, folder };
        scene.make_stream(retention);
        for number in 0..MEMBERS {
            let gateway = scene.new_gateway(&format!("gateway-{number}"));
            scene.gateways.push(gateway);
        }
        Some(scene)
    }

    fn make_stream(&self, retention: &[&str]) {
        let begun = Instant::now();
        loop {
            let done = Command::new(env!("CARGO_BIN_EXE_auditgate"))
                .args(["cluster", "init", "--replicas", "3", "--shared"])
                .arg(self.servers.urls().join(","))
                .arg("--out")
                .arg(self.keys())
                .args(retention)
                .output()
                .unwrap();
            if done.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(begun.elapsed() < INIT_TIME_MAX, "{said}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// One more gateway, with an empty directory.
    pub fn new_gateway(&self, name: &str) -> GatewayProcess {
        GatewayProcess::start(&self.folder.path().join(name), self.flags())
    }

    /// How gateways are started.
    pub fn flags(&self) -> Vec<String> {
        let servers = self.servers.urls().join(",");
        let flags = ["--shared", &servers, "--cluster-key", &self.key("cluster.key")];
        let small = ["--ring-bytes", "4MiB", "--ring-records", "2000"];
        let signing = ["--signing-key", &self.key("signing.key")];
        [&flags[..], &small, &signing].concat().into_iter().map(str::to_owned).collect()
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub fn doors(&self) -> Vec<Door> {
        self.gateways.iter().map(|gateway| Door::new(gateway.address)).collect()
    }

    /// What a gateway says of itself.
    pub async fn status(&self, number: usize) -> Option<pb::GetStatusResponse> {
        let mut client = Door::new(self.gateways[number].address).client();
        call_in_time(client.get_status(pb::GetStatusRequest {})).await.ok()
    }

    /// Waits until each gateway has this record and accepts events.
    pub async fn caught_up(&mut self, last: u64) {
        let begun = Instant::now();
        for number in 0..self.gateways.len() {
            loop {
                let status = self.status(number).await;
                let is_done = status.as_ref().is_some_and(|status| status.last_sequence >= last);
                if is_done {
                    break;
                }
                let said = self.gateways[number].said();
                assert!(begun.elapsed() < CALM_TIME_MAX, "{number} of {last}: {status:?}\n{said}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until each gateway gives out a checkpoint of so many records, and asserts that
    /// all have the same root.
    pub async fn roots_agree(&self, last: u64) {
        let begun = Instant::now();
        loop {
            let mut signed = Vec::new();
            for gateway in &self.gateways {
                let mut client = Door::new(gateway.address).client();
                let answer = call_in_time(client.get_checkpoint(pb::GetCheckpointRequest {})).await;
                let Ok(answer) = answer else { continue };
                // Its origin, the size of the tree, and its root.
                let lines: Vec<_> = answer.checkpoint.lines().take(3).map(str::to_owned).collect();
                signed.push(lines);
            }
            let is_done =
                |lines: &Vec<String>| lines.get(1).is_some_and(|size| *size == last.to_string());
            if signed.len() == self.gateways.len() && signed.iter().all(is_done) {
                assert!(signed.windows(2).all(|two| two[0] == two[1]), "{signed:?}");
                return;
            }
            assert!(begun.elapsed() < CALM_TIME_MAX, "no checkpoints of {last}: {signed:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Runs `auditgate cluster ...` on the log; what it prints.
    pub fn command(&self, arguments: &[&str]) -> String {
        let done = Command::new(env!("CARGO_BIN_EXE_auditgate"))
            .arg("cluster")
            .args(arguments)
            .args(&self.flags()[..4])
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(done.status.success(), "{said}");
        said
    }

    pub fn key(&self, name: &str) -> String {
        self.keys().join(name).display().to_string()
    }

    /// The server that leads the stream.
    pub async fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            if let Ok(Some(leader)) = self.servers.leader(STREAM).await {
                return leader;
            }
            assert!(begun.elapsed() < CALM_TIME_MAX, "the stream has no leader");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
