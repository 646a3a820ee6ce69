//! From nothing to a gateway with TLS and authentication, by the program alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::WAIT_MAX;

fn auditgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["SERVER", "TOKEN_FILE", "CACERT", "CERT", "KEY", "CONFIG"] {
        command.env_remove(format!("AUDITGATE_{name}"));
    }
    for key in auditgate::config::keys() {
        command.env_remove(key.variable());
    }
    command
}

fn run(args: &[&str]) -> Output {
    auditgate(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway that was started with a folder of `init`, ended with the test.
struct Gateway {
    process: Child,
    port: u16,
}

impl Gateway {
    fn start(folder: &Path) -> Self {
        let port_file = folder.join("port");
        let _ = std::fs::remove_file(&port_file);
        let config = folder.join("auditgate.toml");
        let mut command = auditgate(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--config", text(&config), "--port-file", text(&port_file)]);
        // Ended when this is dropped, also where the port does not come.
        let process = command.stderr(Stdio::null()).spawn().unwrap();
        let mut gateway = Self { process, port: 0 };
        let begun = Instant::now();
        while gateway.port == 0 {
            assert!(begun.elapsed() < WAIT_MAX);
            match std::fs::read_to_string(&port_file) {
                Ok(port) => gateway.port = port.trim().parse().unwrap(),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        gateway
    }

    /// Runs a client of it.
    fn client(&self, folder: &Path, token: &str, args: &[&str]) -> Output {
        let mut command = auditgate(args);
        command
            .env("AUDITGATE_SERVER", format!("https://localhost:{}", self.port))
            .env("AUDITGATE_CACERT", folder.join("ca.pem"));
        if !token.is_empty() {
            command.env("AUDITGATE_TOKEN_FILE", folder.join(token));
        }
        command.output().unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_secure_start_is_two_commands() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gateway");
    done(run(&["init", text(&folder)]));
    let config = folder.join("auditgate.toml");
    assert!(said(&run(&["config", "check", "--config", text(&config)])).contains("is valid"));
    let gateway = Gateway::start(&folder);
    let admin = |args: &[&str]| gateway.client(&folder, "admin.token", args);
    done(admin(&["emit", "user.login", "--user", "alice"]));
    let found = done(admin(&["search", "-o", "ndjson"]));
    assert!(found.contains("\"principal\":\"admin\""), "{found}");
    done(admin(&["status"]));
    done(admin(&["healthcheck"]));
    done(gateway.client(&folder, "", &["healthcheck"]));
    let nobody = gateway.client(&folder, "", &["search"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(said(&nobody).contains("asks who you are"), "{}", said(&nobody));
    let flags = auditgate(&["search", "--server", &format!("https://localhost:{}", gateway.port)])
        .args(["--cacert", text(&folder.join("ca.pem"))])
        .args(["--token-file", text(&folder.join("admin.token"))])
        .output();
    assert!(done(flags.unwrap()).contains("user.login"));
    let distrusting = run(&["search", "--server", &format!("https://localhost:{}", gateway.port)]);
    assert_eq!(distrusting.status.code(), Some(2), "{distrusting:?}");
}

#[test]
fn secrets_are_their_owner_s_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    done(run(&["init", text(folder.path())]));
    for (name, mode) in [
        ("ca.pem", 0o644),
        ("ca.key", 0o600),
        ("server.pem", 0o644),
        ("server.key", 0o600),
        ("admin.token", 0o600),
        ("auditgate.toml", 0o600),
    ] {
        let found = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let config = std::fs::read_to_string(folder.path().join("auditgate.toml")).unwrap();
    let token = std::fs::read_to_string(folder.path().join("admin.token")).unwrap();
    assert!(!config.contains(token.trim()), "only its hash");
    for kept in ["ca.key", "server.pem"] {
        for name in
            ["ca.pem", "ca.key", "server.pem", "server.key", "admin.token", "auditgate.toml"]
        {
            let file = folder.path().join(name);
            if name == kept {
                std::fs::write(file, "mine").unwrap();
            } else {
                let _ = std::fs::remove_file(file);
            }
        }
        let again = run(&["init", text(folder.path())]);
        assert_eq!(again.status.code(), Some(2), "{again:?}");
        assert!(said(&again).contains(kept), "{}", said(&again));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
    }
}

#[test]
fn a_new_token_is_taken_after_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    done(run(&["init", text(folder.path())]));
    let gateway = Gateway::start(folder.path());
    let file = folder.path().join("orders.token");
    let mut snippet = done(run(&["token", "orders", text(&file)]));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!run(&["token", "orders", text(&file)]).status.success(), "never overwritten");
    snippet
        .push_str("[[access.roles]]\nname = \"x\"\nprincipals = [\"orders\"]\nemit = [\"exec\"]\n");
    let refused = gateway.client(folder.path(), "orders.token", &["emit", "exec"]);
    assert!(said(&refused).contains("not known"), "{refused:?}");
    let config = folder.path().join("auditgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + &snippet).unwrap();
    gateway.signal("-HUP");
    let begun = Instant::now();
    while !gateway.client(folder.path(), "orders.token", &["emit", "exec"]).status.success() {
        assert!(begun.elapsed() < WAIT_MAX);
    }
    let refused = gateway.client(folder.path(), "orders.token", &["emit", "user.login"]);
    assert!(said(&refused).contains("may not emit"), "{}", said(&refused));
}
