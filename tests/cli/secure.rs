//! From nothing to a gateway with TLS and authentication, by the program alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

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
    assert!(said(&nobody).contains("authentication is required"), "{}", said(&nobody));
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
    assert!(said(&refused).contains("token is unknown"), "{refused:?}");
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

/// At whatever time it is interrupted, it has written all or nothing.
#[test]
fn an_interrupted_init_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let mut interrupted = 0;
    for delay in (0..24).map(|step| Duration::from_micros(step * 750)) {
        let folder = parent.path().join("a/gateway");
        let mut init = auditgate(&["init", text(&folder)]).spawn().unwrap();
        std::thread::sleep(delay);
        let pid = init.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
        let ended = init.wait().unwrap();
        if folder.exists() {
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 6, "after {delay:?}");
            std::fs::remove_dir_all(parent.path().join("a")).unwrap();
        } else {
            assert!(!ended.success(), "after {delay:?}");
            interrupted += 1;
        }
        let left = std::fs::read_dir(parent.path()).unwrap().count();
        assert_eq!(left, 0, "after {delay:?}");
    }
    println!("{interrupted} of 24 were interrupted");
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("file"), "").unwrap();
    let long = "x".repeat(300);
    for folder in ["file/a", "file", &long] {
        let failed = run(&["init", text(&parent.path().join("b").join(folder).join("c"))]);
        let failed = if folder.starts_with("file") {
            run(&["init", text(&parent.path().join(folder))])
        } else {
            failed
        };
        assert_eq!(failed.status.code(), Some(2), "{folder}: {failed:?}");
    }
    std::fs::remove_dir_all(parent.path().join("b")).ok();
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "the file alone");
}

#[test]
fn a_data_directory_is_its_owner_s() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let set = |mode| {
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", text(&data)];
    for mode in [0o770, 0o707] {
        set(mode);
        let refused = run(&arguments);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let sentence = format!("may write {}, mode {mode:04o}: chmod 700", text(&data));
        assert!(said(&refused).contains(&sentence), "{}", said(&refused));
    }
    set(0o755);
    let port = folder.path().join("port");
    let mut command = auditgate(&arguments);
    let mut process = command.args(["--port-file", text(&port)]).spawn().unwrap();
    let begun = Instant::now();
    while !port.exists() && begun.elapsed() < WAIT_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
    let server = std::fs::read_to_string(&port).unwrap();
    let server = format!("http://127.0.0.1:{}", server.trim());
    done(run(&["emit", "exec", "--server", &server]));
    let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    process.wait().unwrap();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut process.stderr.take().unwrap(), &mut told).unwrap();
    assert!(told.contains("may read") && told.contains("chmod 700"), "{told}");
    for file in std::fs::read_dir(data.join("segments")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
}

/// A gateway on an empty volume, as in a container.
fn set_up(folder: &Path, log: &Path) -> Gateway {
    let port_file = folder.with_file_name("port");
    let _ = std::fs::remove_file(&port_file);
    let mut command = auditgate(&["serve", "--listen", "127.0.0.1:0", "--setup", text(folder)]);
    command.args(["--setup-host", "audit.example.org", "--port-file", text(&port_file)]);
    let stderr = std::fs::File::create(log).unwrap();
    let mut gateway = Gateway { process: command.stderr(stderr).spawn().unwrap(), port: 0 };
    let begun = Instant::now();
    while gateway.port == 0 {
        assert!(begun.elapsed() < WAIT_MAX, "{:?}", std::fs::read_to_string(log));
        match std::fs::read_to_string(&port_file) {
            Ok(port) => gateway.port = port.trim().parse().unwrap(),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    gateway
}

#[test]
fn the_first_start_sets_up_what_a_container_lacks() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, log) = (parent.path().join("setup"), parent.path().join("log"));
    let gateway = set_up(&folder, &log);
    let token = std::fs::read_to_string(folder.join("admin.token")).unwrap();
    done(gateway.client(&folder, "admin.token", &["emit", "user.login"]));
    assert_eq!(gateway.client(&folder, "", &["search"]).status.code(), Some(2));
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("admin.token") && told.contains("audit.example.org"), "{told}");
    assert!(!told.contains(token.trim()), "the log has the token");
    assert_eq!(done(run(&["init", text(&folder), "--print", "admin.token"])), token);
    drop(gateway);

    // The second start uses what is there.
    let gateway = set_up(&folder, &log);
    assert_eq!(std::fs::read_to_string(folder.join("admin.token")).unwrap(), token);
    done(gateway.client(&folder, "admin.token", &["status"]));
    assert!(!std::fs::read_to_string(&log).unwrap().contains("admin.token"));
    drop(gateway);

    let both = ["serve", "--setup", text(&folder), "--config", "auditgate.toml"];
    let refused = run(&both);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("--config"), "{}", said(&refused));
    // Neither complete nor empty: nothing is overwritten.
    std::fs::remove_file(folder.join("auditgate.toml")).unwrap();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--setup", text(&folder)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("already exists"), "{}", said(&refused));
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gateway");
    done(run(&["init", text(&folder), "--host", "localhost", "--host", "127.0.0.1"]));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let gateway = Gateway::start(&folder);
    let (cert, key) = (read("server.pem"), read("server.key"));

    let renewed = run(&["certs", "renew", text(&folder)]);
    assert!(renewed.status.success(), "{renewed:?}");
    assert!(said(&renewed).contains("for localhost, 127.0.0.1"), "{}", said(&renewed));
    assert_ne!(read("server.pem"), cert);
    assert_eq!(read("server.key"), key);
    gateway.signal("-HUP");
    done(gateway.client(&folder, "admin.token", &["status"]));

    assert!(run(&["certs", "renew", text(&folder), "--new-key"]).status.success());
    assert_ne!(read("server.key"), key);
    let mode = std::fs::metadata(folder.join("server.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = folder.join("auditgate.toml");
    done(run(&["config", "check", "--config", text(&config)]));
    gateway.signal("-HUP");
    done(gateway.client(&folder, "admin.token", &["status"]));

    // The key of the CA lies elsewhere, as it should.
    let safe = parent.path().join("ca.key");
    std::fs::rename(folder.join("ca.key"), &safe).unwrap();
    let before = read("server.pem");
    let refused = run(&["certs", "renew", text(&folder)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("ca.key"), "{}", said(&refused));
    assert_eq!(read("server.pem"), before, "nothing was replaced");
    assert!(run(&["certs", "renew", text(&folder), "--ca-key", text(&safe)]).status.success());
}

/// Replaces the gateway's certificate by one that ends so many days from now.
fn ends_in(folder: &Path, days: i64) {
    use rcgen::{CertificateParams, KeyPair};
    let key = KeyPair::from_pem(&std::fs::read_to_string(folder.join("server.key")).unwrap());
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    // An hour more, so that the days are still whole when they are counted.
    let days_away = DAY * u32::try_from(days.abs()).unwrap() + Duration::from_secs(60 * 60);
    let now = SystemTime::now();
    let end = if days < 0 { now - days_away } else { now + days_away };
    params.not_after = end.into();
    params.not_before = (end - DAY * 365).into();
    let certificate = params.self_signed(&key.unwrap()).unwrap().pem();
    std::fs::write(folder.join("server.pem"), certificate).unwrap();
}

#[test]
fn certificates_are_warned_of_before_they_end_and_refused_after() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gateway");
    done(run(&["init", text(&folder)]));
    let config = folder.join("auditgate.toml");
    let check = || run(&["config", "check", "--config", text(&config)]);
    assert!(!said(&check()).contains("warning"), "{}", said(&check()));
    ends_in(&folder, 12);
    let warned = check();
    assert!(warned.status.success(), "{warned:?}");
    assert!(said(&warned).contains("ends in 12 days"), "{}", said(&warned));
    assert!(said(&warned).contains("auditgate certs renew"), "{}", said(&warned));
    ends_in(&folder, -2);
    for args in [["config", "check"].as_slice(), &["serve", "--listen", "127.0.0.1:0"]] {
        let refused = auditgate(args).args(["--config", text(&config)]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = said(&refused);
        assert!(said.contains("server.pem") && said.contains("ended on"), "{said}");
    }
    done(run(&["certs", "renew", text(&folder)]));
    assert!(!said(&check()).contains("warning"), "{}", said(&check()));
}
