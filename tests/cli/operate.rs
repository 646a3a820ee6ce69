//! `auditgate status`, `healthcheck`, `proto`, `completions` and `help`.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::cli::{
    self, Running, command, finish, login, run, run_at, start_with, subscribed,
};
use crate::support::{self, soon, start};
use auditgate::server::{Config, Gateway};
use prost::Message as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

#[tokio::test(flavor = "multi_thread")]
async fn a_status_shows_the_log_and_who_subscribes() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let tail = Running::start(&gateway, &["tail", "--type", "session.*", "--text", "x"]);
    subscribed(&gateway, 1).await;
    let ran = run_at(gateway.address(), 100, &["status"]);
    let lines = ran.lines();
    assert!(lines[0].starts_with("gateway      0.1.0, up "), "{lines:?}");
    assert!(lines[1].starts_with("log          memory "), "{lines:?}");
    assert!(lines[1].ends_with(": records 1 to 1"), "{lines:?}");
    assert!(lines[2].starts_with("kept         1 of 1,000,000 records, "), "{lines:?}");
    assert!(lines[3].starts_with("accepted     1 ("), "{lines:?}");
    assert!(lines[5].starts_with("connections  "), "{lines:?}");
    assert!(lines[6].starts_with("clients      "), "{lines:?}");
    assert_eq!(lines[8].split_whitespace().last(), Some("FILTER"));
    assert!(lines[9].starts_with("127.0.0.1:"), "{lines:?}");
    assert!(lines[9].ends_with(" types=session.* text=x"), "{lines:?}");
    tail.interrupt();

    let ran = run(&gateway, &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(status["record_count"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_one_that_is_not_set() {
    let gateway = start().await;
    let url = format!("http://{}", gateway.address());
    let mut status = command(gateway.address(), 80, &["status", "--server", &url]);
    // Alone, a certificate would ask for its key.
    for name in ["SERVER", "TOKEN_FILE", "CACERT", "CERT"] {
        status.env(format!("AUDITGATE_{name}"), "");
    }
    let ran = finish(status.spawn().expect("it starts"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    // That of the configuration's file, too.
    let mut check = command(gateway.address(), 80, &["config", "check"]);
    let checked = finish(check.env("AUDITGATE_CONFIG", "").spawn().expect("it starts"));
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), "the configuration is valid\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_can_be_watched() {
    let gateway = start().await;
    let mut running = Running::start(&gateway, &["status", "--watch=100ms", "-o", "json"]);
    for _ in 0..3 {
        assert!(running.line().starts_with("{\"version\":\"0.1.0\""));
    }
    assert_eq!(running.interrupt().code, Some(130));
    assert_eq!(run(&gateway, &["status", "--watch=1ms"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_the_exit_status() {
    let gateway = start().await;
    let ran = run(&gateway, &["healthcheck"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", "SERVING\n"));
    let address = gateway.address();
    gateway.stop().await;
    let ran = run_at(address, 80, &["healthcheck"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    // Refused, or reset where the socket is just being closed.
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
    assert_eq!(run_at(address, 80, &["healthcheck", "--wait", "300ms"]).code, Some(2));

    let mut waiting = cli::command(address, 80, &["healthcheck", "--wait", "20s"]);
    let waiting = waiting.spawn().expect("it starts");
    let _gateway = support::start_at(address).await;
    assert_eq!(finish(waiting).code, Some(0), "it came in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_serve_is_not_healthy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("auditgate.v1.AuditService", ServingStatus::NotServing).await;
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let ran = run_at(address, 80, &["healthcheck"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "NOT_SERVING\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_for_operators_tells_the_health_too() {
    let free: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = Config { listen: free, admin: Some(free), ..Config::default() };
    let gateway = Gateway::start(config).await.expect("free ports");
    let asked = |address: SocketAddr| {
        // Nobody is asked at the address of the gateway itself.
        let admin = address.to_string();
        run_at(([127, 0, 0, 1], 1).into(), 80, &["healthcheck", "--admin", &admin])
    };
    let admin = gateway.admin_address().expect("it is configured");
    let ran = asked(admin);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), "SERVING\n"));
    let ran = asked(gateway.address());
    assert_eq!(ran.code, Some(2), "it speaks gRPC: {ran:?}");
    drop(gateway);
    assert_eq!(asked(admin).code, Some(2), "nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_written_whole() {
    let gateway = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("proto");
    let out = out.to_str().expect("a name");
    let ran = run(&gateway, &["proto", "--out", out]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    for file in ["event.proto", "audit_service.proto", "user.proto"] {
        let written = std::fs::read_to_string(format!("{out}/auditgate/v1/{file}"));
        let source = std::fs::read_to_string(format!("proto/auditgate/v1/{file}"));
        assert_eq!(written.expect("it is written"), source.expect("it is there"));
    }
    // What was written is all that it takes to compile it.
    let compiled = protox::compile(["auditgate/v1/audit_service.proto"], [out]);
    assert!(compiled.is_ok(), "{compiled:?}");
    let set = std::fs::read(format!("{out}/descriptor_set.binpb")).expect("it is written");
    let set = prost_types::FileDescriptorSet::decode(set.as_slice()).expect("descriptors");
    assert!(set.file.iter().any(|file| file.name() == "google/protobuf/timestamp.proto"));
    let ran = run(&gateway, &["proto", "--out", "/dev/null/proto"]);
    assert_eq!(ran.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_explains_itself() {
    let gateway = start().await;
    let help = run(&gateway, &["help"]);
    let commands = [
        "serve",
        "tail",
        "search",
        "count",
        "emit",
        "import",
        "export",
        "types",
        "example",
        "proto",
        "status",
        "keygen",
        "checkpoint",
        "receipt",
        "verify",
        "witness",
        "healthcheck",
        "completions",
        "get",
        "doctor",
        "whoami",
        "man",
    ];
    for command in commands {
        let listed = help.out.lines().any(|line| line.trim_start().starts_with(command));
        assert!(listed, "{command} in\n{}", help.out);
        let ran = run(&gateway, &[command, "--help"]);
        assert!(ran.out.contains("Exit status: 0"), "{command}: {}", ran.out);
        let widest = ran.out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{command}: {widest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_can_read_the_completions() {
    let gateway = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("completions");
    std::fs::write(&script, run(&gateway, &["completions", "bash"]).out).expect("it is written");
    let checked = Command::new("bash").arg("-n").arg(&script).status().expect("there is a bash");
    assert!(checked.success());
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(run(&gateway, &["completions", shell]).out.contains("healthcheck"), "{shell}");
    }
}

/// The one command that ends at a key: on a terminal, which is as before afterwards. Other
/// keys do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn q_ends_a_watch() {
    use std::io::{Read as _, Write as _};
    let gateway = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let program = env!("CARGO_BIN_EXE_auditgate");
    let script = "stty -a > before; $PROGRAM status --watch 200ms; echo status=$?; stty -a > after";
    // `script` gives what it runs a terminal.
    let started = std::process::Command::new("script")
        .args(["--quiet", "--flush", "--command", script, "/dev/null"])
        .current_dir(folder.path())
        .env("PROGRAM", program)
        .env("SHELL", "/bin/sh")
        .env("AUDITGATE_SERVER", format!("http://{}", gateway.address()))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("SKIPPED: there is no `script`");
        return;
    };
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let watched = tokio::task::spawn_blocking(move || {
        let mut seen = String::new();
        let mut until = |part: &str, times: usize| {
            let mut bytes = [0; 4_096];
            while seen.matches(part).count() < times {
                let count = screen.read(&mut bytes).unwrap();
                assert!(count > 0, "it ended: {seen}");
                seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            seen.clone()
        };
        until("q ends it", 1);
        keys.write_all(b"x \n").unwrap();
        // It goes on, and shows no key.
        let seen = until("q ends it", 3);
        assert!(!seen.contains("status="), "{seen}");
        keys.write_all(b"q").unwrap();
        until("status=", 1)
    });
    let seen = soon(watched).await.unwrap();
    assert!(seen.contains("status=0"), "{seen}");
    let ended = soon(tokio::task::spawn_blocking(move || child.wait())).await.unwrap();
    assert!(ended.unwrap().success());
    let terminal = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(terminal("before").contains("icanon"));
    assert_eq!(terminal("before"), terminal("after"));
}
