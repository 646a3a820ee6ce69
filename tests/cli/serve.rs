//! `auditgate serve` as its operator meets it: flags and variables, the port
//! file, what it says, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::event::Payload;

use crate::support::WAIT_MAX;

/// A gateway in a process of its own, ended with the test.
pub struct Gateway {
    process: Child,
    address: SocketAddr,
    said: BufReader<std::process::ChildStderr>,
}

impl Gateway {
    /// Starts a gateway, and waits until it listens.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port_file = folder.path().join("port");
        let port = ["--port-file", port_file.to_str().expect("text")];
        let mut gateway = Self::begin(&[&port, args].concat(), variables);
        gateway.address.set_port(wait_for(|| read_port(&port_file)));
        gateway
    }

    /// Starts a gateway that may not come to listen.
    pub fn begin(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut process = auditgate()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .envs(variables.iter().copied())
            .spawn()
            .expect("the binary was built");
        let said = BufReader::new(process.stderr.take().expect("piped"));
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)), said }
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        line
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for its end; gives how it ended and what it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = wait_for(|| self.process.try_wait().expect("a child"));
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        (status, said)
    }

    pub async fn client(&self) -> AuditServiceClient<tonic::transport::Channel> {
        AuditServiceClient::connect(format!("http://{}", self.address)).await.expect("it listens")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn auditgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for key in auditgate::config::keys() {
        command.env_remove(key.variable());
    }
    command.env_remove("AUDITGATE_CONFIG");
    command
}

fn read_port(file: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().parse().expect("the file is complete as soon as it is there"))
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < WAIT_MAX, "not within {WAIT_MAX:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn refused(args: &[&str]) -> String {
    let output = auditgate().arg("serve").args(args).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn it_says_where_it_listens_what_it_keeps_and_how_to_try_it() {
    let variables = [("AUDITGATE_LOG_FORMAT", "text")];
    let mut gateway =
        Gateway::start(&["--ring-records", "5000", "--ring-bytes", "8MiB"], &variables);
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains("grpcurl")) {
        let mut line = String::new();
        assert_ne!(gateway.said.read_line(&mut line).expect("text"), 0, "{lines:?}");
        lines.push(line);
    }
    let said = lines.concat();
    assert!(said.contains(&format!("listens on {}", gateway.address)), "{said}");
    assert!(said.contains("newest 5000 records within 8 MiB"), "{said}");
    assert!(said.contains("auditgate tail"), "{said}");
}

#[tokio::test]
async fn variables_stand_for_flags() {
    let gateway =
        Gateway::start(&[], &[("AUDITGATE_RING_RECORDS", "77"), ("AUDITGATE_RING_BYTES", "2MiB")]);
    let status = gateway
        .client()
        .await
        .get_status(pb::GetStatusRequest {})
        .await
        .expect("status")
        .into_inner();
    assert_eq!((status.record_limit, status.byte_limit), (77, 2 * 1024 * 1024));
}

/// The client answers the gateway's goodbye on another thread than the one that
/// waits for the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_streams_with_a_cursor_and_the_process_with_success() {
    for signal in ["-TERM", "-INT"] {
        let gateway = Gateway::start(&[], &[]);
        let mut client = gateway.client().await;
        let mut stream =
            client.subscribe(pb::SubscribeRequest::default()).await.expect("open").into_inner();
        let event =
            pb::Event { payload: Some(Payload::Exec(pb::Exec::default())), ..Default::default() };
        client
            .emit(pb::EmitRequest { event: Some(event), ..Default::default() })
            .await
            .expect("accepted");
        gateway.signal(signal);
        let mut records = 0;
        let mut cursor = String::new();
        let status = loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    records += message.records.len();
                    cursor = message.cursor;
                }
                Ok(None) => panic!("a stream ends with a status that says why"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.message().contains(&cursor), "{status:?}");
        assert_eq!(records, 1, "what was acknowledged is delivered");
        let (exit, said) = gateway.end();
        assert!(exit.success(), "{said}");
        assert!(said.contains("stopped"), "{said}");
    }
}

/// A connection that never says anything must not keep the gateway alive, nor
/// must a second signal wait for it.
#[test]
fn a_second_signal_ends_it_at_once() {
    let gateway = Gateway::start(&["--drain-timeout", "10m"], &[]);
    let mut silent = TcpStream::connect(gateway.address).expect("it listens");
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("open");
    let started = Instant::now();
    gateway.signal("-TERM");
    gateway.signal("-INT");
    let (exit, said) = gateway.end();
    assert!(exit.success(), "{said}");
    assert!(started.elapsed() < WAIT_MAX, "{said}");
    drop(silent);
}

#[test]
fn what_it_cannot_do_it_says_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let said = refused(&["--listen", &address]);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(refused(&["--listen", "nowhere"]).contains("--listen"));
    assert!(refused(&["--ring-bytes", "10"]).contains("at least 1048576"));
    assert!(refused(&["--ring-bytes", "4XB"]).contains("use KiB, MiB or GiB"));
    assert!(refused(&["--ring-records", "0"]).contains("from 1 to"));
    let said = refused(&["--listen", "127.0.0.1:0", "--port-file", "/nonexistent/port"]);
    assert!(said.contains("cannot write /nonexistent/port"), "{said}");
}

#[test]
fn beyond_loopback_it_asks_for_tls_and_authentication() {
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("no TLS and authentication"), "{said}");
    assert!(said.contains("--insecure"), "{said}");
    let gateway = Gateway::start(&["--listen", "0.0.0.0:0", "--insecure"], &[]);
    gateway.signal("-TERM");
    let (_, said) = gateway.end();
    let warned = "without TLS and authentication, as --insecure allows";
    let line = said.lines().find(|line| line.contains(warned)).expect(&said);
    assert!(line.contains("WARN"), "{line}");
    let started = said.lines().find(|line| line.contains("\"listens\"")).expect(&said);
    assert!(started.contains("\"tls\":false,\"authentication\":false"), "{started}");
}

#[test]
fn a_configuration_file_is_read_and_what_is_wrong_with_it_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auditgate.toml");
    let path = file.to_str().expect("text");
    std::fs::write(&file, "[ring]\nrecords = 5000\n").expect("written");
    let mut gateway = Gateway::start(&["--config", path, "--log-format", "text"], &[]);
    let mut said = String::new();
    while !said.contains("within") {
        assert_ne!(gateway.said.read_line(&mut said).expect("text"), 0, "{said}");
    }
    assert!(said.contains("newest 5000 records"), "{said}");
    std::fs::write(&file, "[ring]\nrecord = 5000\n").expect("written");
    let said = refused(&["--config", path]);
    assert!(said.contains("ring.record, which does not exist; nearest: ring.records"), "{said}");
}

#[test]
fn a_reload_that_fails_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auditgate.toml");
    let path = file.to_str().expect("text");
    std::fs::write(&file, "[ring]\nrecords = 5000\n").expect("written");
    let mut gateway = Gateway::start(&["--config", path, "--log-level", "error"], &[]);
    std::fs::write(&file, "[ring]\nrecord = 5000\n").expect("written");
    gateway.signal("-HUP");
    let mut line = String::new();
    gateway.said.read_line(&mut line).expect("text");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["level"], "ERROR");
    let message = line["message"].as_str().expect("text");
    assert!(message.ends_with("; keeping the previous configuration"), "{message}");
    assert!(!message.starts_with("error: "), "{message}");
}

/// Every line is a JSON object, none of them says what is in an event, and a call can
/// be found by the ids that its client gave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elsewhere_than_on_a_terminal_the_log_is_json() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let gateway = Gateway::start(&["--log-level", "debug"], &[]);
    let event = pb::Event {
        id: Some("secret-id".to_owned()),
        user: Some(pb::User { name: Some("secret-user".to_owned()), ..Default::default() }),
        payload: Some(Payload::Exec(pb::Exec::default())),
        ..Default::default()
    };
    let emit = pb::EmitRequest { event: Some(event), ..Default::default() };
    let mut request = tonic::Request::new(emit);
    request.metadata_mut().insert("x-request-id", "order-77".parse().expect("a value"));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().expect("a value"));
    let address = gateway.address.to_string();
    gateway.client().await.emit(request).await.expect("accepted");
    gateway.signal("-TERM");
    let (exit, said) = gateway.end();
    assert!(exit.success(), "{said}");
    assert!(!said.contains("secret"), "{said}");
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let line = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no {message:?} in {said}"))
    };
    assert_eq!(line("listens")["listen"], address);
    assert_eq!(line("listens")["level"], "INFO");
    let call = line("call");
    assert_eq!((&call["method"], &call["code"]), (&"Emit".into(), &"OK".into()));
    assert_eq!((&call["request_id"], &call["trace_id"]), (&"order-77".into(), &TRACE.into()));
    assert!(call["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{call}");
    line("stopped");
}

#[test]
fn a_drain_lasts_as_long_as_it_is_told() {
    let gateway = Gateway::start(&["--drain-timeout", "1s"], &[]);
    let mut silent = TcpStream::connect(gateway.address).expect("it listens");
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("open");
    // The gateway has accepted it: its settings are here.
    silent.read_exact(&mut [0; 9]).expect("the head of a frame");
    let started = Instant::now();
    gateway.signal("-TERM");
    let (exit, said) = gateway.end();
    assert!(exit.success(), "{said}");
    assert!(started.elapsed() < Duration::from_secs(8), "{said}");
    let cut = said.lines().find(|line| line.contains("cut off after the drain timeout"));
    assert!(cut.is_some_and(|line| line.contains("\"connections\":1")), "{said}");
    assert!(refused(&["--drain-timeout", "0s"]).contains("from 1s to 1h"));
}

/// Whoever starts the gateway as systemd does is told when it listens, and when it
/// begins to stop.
#[test]
fn a_supervisor_is_told_that_it_listens_and_that_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(WAIT_MAX)).expect("a timeout");
    let told = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("it tells");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let gateway = Gateway::start(&[], &[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    assert!(told().contains("READY=1"));
    gateway.signal("-TERM");
    assert!(told().contains("STOPPING=1"));
    assert!(gateway.end().0.success());
}
