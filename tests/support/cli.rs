//! What the tests of the command line share: a gateway with known records, and
//! the program run against it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use auditgate::client::{Client, Options};
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::server::Gateway;

use super::{soon, start};

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The lines of a run that went well and said nothing else.
    pub fn lines(&self) -> Vec<&str> {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out.lines().collect()
    }

    /// Of each line, a JSON object, this field.
    pub fn field(&self, pointer: &str) -> Vec<String> {
        self.out.lines().map(|line| field(line, pointer)).collect()
    }
}

/// A field of a JSON object, as text.
pub fn field(line: &str, pointer: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).expect(line);
    match value.pointer(pointer) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// A gateway with these records.
pub async fn start_with(events: Vec<pb::Event>) -> Gateway {
    let gateway = start().await;
    emit(&gateway, events).await;
    gateway
}

pub async fn connect(gateway: &Gateway) -> Client {
    Client::connect(&format!("http://{}", gateway.address())).await.expect("it listens")
}

pub async fn emit(gateway: &Gateway, events: Vec<pb::Event>) {
    let emitter = connect(gateway).await.emitter(Options::default());
    for event in events {
        drop(emitter.send(event).await.expect("it is open"));
    }
    emitter.close().await;
}

/// Waits until so many subscribers are there.
pub async fn subscribed(gateway: &Gateway, count: usize) {
    let client = connect(gateway).await;
    let wait = async {
        while client.get_status().await.expect("a status").subscribers.len() < count {
            tokio::task::yield_now().await;
        }
    };
    soon(wait).await;
}

/// The program, for this gateway, with lines of so many columns.
pub fn command(gateway: SocketAddr, columns: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    command
        .args(arguments)
        .env("AUDITGATE_SERVER", format!("http://{gateway}"))
        .env("COLUMNS", columns.to_string())
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub fn run_at(gateway: SocketAddr, columns: usize, arguments: &[&str]) -> Ran {
    finish(command(gateway, columns, arguments).spawn().unwrap())
}

pub fn run(gateway: &Gateway, arguments: &[&str]) -> Ran {
    run_at(gateway.address(), 80, arguments)
}

/// Runs the program with this on its standard input.
pub fn run_with(gateway: &Gateway, input: &str, arguments: &[&str]) -> Ran {
    let mut command = command(gateway.address(), 80, arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finish(child)
}

pub fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The program while it runs.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(gateway: &Gateway, arguments: &[&str]) -> Self {
        let mut child = command(gateway.address(), 80, arguments).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line of standard output; waits for it.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    pub fn interrupt(mut self) -> Ran {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut out = String::new();
        self.out.read_to_string(&mut out).unwrap();
        let ran = finish(self.child);
        Ran { out, ..ran }
    }

    /// Closes the reading end of standard output.
    pub fn close(self) -> Child {
        self.child
    }
}

/// An event at a second of 2026-03-01 12:00 UTC, by `user`.
pub fn event(second: i64, user: &str, payload: Payload) -> pb::Event {
    const NOON: i64 = 1_772_366_400;
    pb::Event {
        id: Some(format!("event-{second}")),
        time: Some(prost_types::Timestamp { seconds: NOON + second, nanos: 250_000_000 }),
        user: Some(pb::User { name: Some(user.into()), ..Default::default() }),
        payload: Some(payload),
        ..Default::default()
    }
}

pub fn login(second: i64, user: &str) -> pb::Event {
    let method = Some("local".into());
    event(second, user, Payload::UserLogin(pb::UserLogin { method, ..Default::default() }))
}

/// A day at work: a few events of several types.
pub fn day() -> Vec<pb::Event> {
    let remote = |address: &str| {
        Some(pb::Connection { remote_address: Some(address.into()), ..Default::default() })
    };
    let host = |name: &str| Some(pb::Server { hostname: Some(name.into()), ..Default::default() });
    let outcome = |success, error: &str| {
        let error = Some(error.into());
        Some(pb::Outcome { success: Some(success), error, ..Default::default() })
    };
    let mut first = login(0, "alice");
    first.connection = remote("203.0.113.24:52114");
    first.outcome = outcome(true, "");
    let mut refused = login(1, "mallory");
    refused.code = Some("T1000W".into());
    refused.connection = remote("[2001:db8::17]:443");
    refused.outcome = outcome(false, "bad password");
    let query = pb::DbSessionQuery {
        database: Some(pb::Database {
            service: Some("orders".into()),
            name: Some("shop".into()),
            ..Default::default()
        }),
        db_query: Some("select *\nfrom customers where id = 7".into()),
        ..Default::default()
    };
    let mut query = event(2, "alice", Payload::DbSessionQuery(query));
    query.connection = remote("203.0.113.24:52115");
    query.outcome = outcome(true, "");
    let command = pb::Command {
        line: Some("systemctl restart nginx".into()),
        exit_code: Some("0".into()),
        ..Default::default()
    };
    let mut exec =
        event(3, "bob", Payload::Exec(pb::Exec { command: Some(command), ..Default::default() }));
    exec.server = host("web-1");
    exec.code = Some("T3002I".into());
    exec.user = Some(pb::User {
        name: Some("bob".into()),
        login: Some("root".into()),
        impersonator: Some("carol".into()),
        ..Default::default()
    });
    let mut lock = event(
        4,
        "carol",
        Payload::LockCreated(pb::LockCreated {
            target: Some(pb::LockTarget { user: Some("mallory".into()), ..Default::default() }),
            ..Default::default()
        }),
    );
    lock.cluster_name = Some("main".into());
    let deploy = pb::Custom { name: Some("deploy".into()), data: None };
    let mut deploy = event(5, "", Payload::Custom(deploy));
    deploy.user = None;
    deploy.source = Some(pb::Source { name: Some("ci".into()), ..Default::default() });
    deploy.labels = [("env".to_owned(), "prod".to_owned())].into();
    vec![first, refused, query, exec, lock, deploy]
}
