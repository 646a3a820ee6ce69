//! A log's stream on real NATS servers, where they are installed.

#[path = "../../../../../tests/support/nats.rs"]
mod nats;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{JetStream, NatsServers, StreamPlan, Subjects};

pub use nats::program;

const START_TIME_MAX: Duration = Duration::from_secs(20);

/// The program; says that a test is skipped if there is none.
pub fn program_or_skip() -> Option<PathBuf> {
    nats::program_or_skip("a test of the stream")
}

/// A server that runs until it is dropped.
pub struct TestServer(nats::NatsServer);

impl TestServer {
    /// A server on a port of its own. In its settings, `STORE` stands for its folder.
    pub fn start(program: PathBuf, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self(nats::NatsServer::start(&program, settings, folder).unwrap())
    }

    /// The stream of a log, as soon as the server makes it.
    pub async fn stream(&self, log: &str) -> JetStream {
        stream(&self.connection(), log, 1).await
    }

    /// The stream that was made before.
    pub async fn open(&self, log: &str) -> Result<JetStream, super::Error> {
        JetStream::open(&self.connection(), &Subjects::of_log(log).unwrap()).await
    }

    pub fn connection(&self) -> NatsServers {
        NatsServers { addresses: vec![self.0.url().to_owned()], ..NatsServers::default() }
    }
}

/// Makes the stream of a log; tries again what servers refuse that have just started.
pub async fn stream(servers: &NatsServers, log: &str, replicas: u32) -> JetStream {
    let subjects = Subjects::of_log(log).unwrap();
    let plan = StreamPlan { replicas, age_max: None, bytes_max: None };
    let begun = Instant::now();
    loop {
        match create(servers, &subjects, plan).await {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < START_TIME_MAX, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Makes the stream, or finds the one that another gateway has made.
pub async fn create(
    servers: &NatsServers,
    subjects: &Subjects,
    plan: StreamPlan,
) -> Result<JetStream, super::Error> {
    match JetStream::create(servers, subjects, plan, uuid::Uuid::now_v7()).await {
        Err(super::Error::Exists(_)) => JetStream::open(servers, subjects).await,
        done => done,
    }
}

/// Deletes the stream, as whoever may do that can.
pub async fn delete(stream: &JetStream) {
    let JetStream { connection, subjects, .. } = stream;
    let nothing = serde_json::Map::new();
    let deleted = super::api::ask::<Value>(connection, "STREAM.DELETE", &subjects.stream, &nothing);
    deleted.await.expect("an answer").expect("it is deleted");
}

/// Changes the stream, as whoever may do that can; returns its configuration since.
pub async fn update(stream: &JetStream, change: fn(&mut Value)) -> Value {
    let nothing = serde_json::Map::new();
    let info = super::api::ask::<Value>(
        &stream.connection,
        "STREAM.INFO",
        &stream.subjects.stream,
        &nothing,
    );
    let mut config = info.await.expect("an answer").expect("a stream")["config"].take();
    change(&mut config);
    replace(stream, config.clone()).await;
    config
}

/// Gives the stream this configuration.
pub async fn replace(stream: &JetStream, config: Value) {
    let (connection, name) = (&stream.connection, &stream.subjects.stream);
    let updated = super::api::ask::<Value>(connection, "STREAM.UPDATE", name, &config);
    updated.await.expect("an answer").expect("it is changed");
}

/// Several servers that replicate their streams, until they are dropped.
pub struct TestCluster(nats::NatsCluster);

impl TestCluster {
    /// So many servers, each synced before it answers.
    pub fn start(program: PathBuf, count: usize) -> Self {
        Self(nats::NatsCluster::start(&program, count, tempfile::tempdir().unwrap()).unwrap())
    }

    /// How clients reach them.
    pub fn servers(&self) -> NatsServers {
        NatsServers { addresses: self.0.urls(), ..NatsServers::default() }
    }

    /// The server that leads the stream of a log.
    pub async fn leader(&self, log: &str) -> Option<usize> {
        self.0.leader(&format!("AUDIT_{log}")).await.ok().flatten()
    }

    /// Kills a server.
    pub fn kill(&mut self, number: usize) {
        self.0.kill(number).unwrap();
    }

    /// Asks a server to end, and waits until it has.
    pub fn terminate(&mut self, number: usize) {
        self.0.terminate(number).unwrap();
    }

    /// Suspends a server.
    pub fn suspend(&mut self, number: usize) {
        self.0.suspend(number).unwrap();
    }

    /// Starts a server that has ended, so that the others and it do not find each other.
    pub fn isolate(&mut self, number: usize) {
        self.0.isolate(number).unwrap();
    }

    /// Lets a server go on, or starts it anew with what it has on disk.
    pub fn restore(&mut self, number: usize) {
        self.0.restore(number).unwrap();
    }
}
