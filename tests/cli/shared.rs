//! A log that several gateways share, as its operator meets it: `cluster init`, and `serve
//! --shared` on a real NATS server, where one is installed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use auditgate::log::shared::cluster_key::ClusterSecrets;
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;

use crate::serve::{Gateway, auditgate, refused};
use crate::support::WAIT_MAX;
use crate::support::access::Authority;
use crate::support::nats::{NatsServer, program_or_skip};

/// Runs the program; gives its exit status and what it said.
pub fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = auditgate().args(args).output().expect("the binary was built");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, contents: impl AsRef<[u8]>) {
    std::fs::write(path, contents).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("own");
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Has a gateway end in order.
pub fn stop(gateway: Gateway) {
    gateway.signal("-TERM");
    let (exit, said) = gateway.end();
    assert!(exit.success(), "{said}");
}

fn exec(id: &str) -> pb::EmitRequest {
    let event = pb::Event {
        id: Some(id.to_owned()),
        payload: Some(Payload::Exec(pb::Exec::default())),
        ..Default::default()
    };
    pb::EmitRequest { event: Some(event), ..Default::default() }
}

/// All records of a gateway, once there are so many.
pub async fn records(gateway: &Gateway, count: usize) -> Vec<pb::Record> {
    let begun = Instant::now();
    loop {
        let found = gateway.client().await.search(pb::SearchRequest::default()).await;
        let mut records = found.expect("answered").into_inner().records;
        if records.len() >= count {
            records.sort_by_key(|record| record.sequence);
            return records;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{} of {count} records", records.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Emits an event; gives its receipt.
pub async fn emit(gateway: &Gateway, id: &str) -> pb::Receipt {
    let response = gateway.client().await.emit(exec(id)).await.expect(id);
    response.into_inner().receipt.expect("a receipt")
}

/// Origin, size and root of the checkpoint that covers so many records.
pub async fn head(gateway: &Gateway, size: u64) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let found = gateway.client().await.get_checkpoint(pb::GetCheckpointRequest {}).await;
        let note = found.expect("a checkpoint").into_inner().checkpoint;
        let lines: Vec<String> = note.lines().take(3).map(str::to_owned).collect();
        if lines[1] == size.to_string() {
            return lines;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn what_a_shared_log_lacks_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let [key, data] = ["cluster.key", "data"].map(|name| folder.path().join(name));
    let secrets = ClusterSecrets::generate().expect("random numbers");
    std::fs::write(&key, secrets.encoded()).expect("written");
    let (key, data) = (text(&key), text(&data));
    let nowhere = ["--shared", "nats://127.0.0.1:1"];
    let refused = |more: &[&str]| refused(&[&nowhere, more].concat());
    let said = refused(&[]);
    assert!(
        said.contains("data_dir is not valid: missing") && said.contains("--data-dir"),
        "{said}"
    );
    let said = refused(&["--data-dir", data]);
    assert!(said.contains("shared.cluster_key") && said.contains("cluster init"), "{said}");
    let given = ["--data-dir", data, "--cluster-key", key];
    let with = |more: &[&str]| refused(&[&given, more].concat());
    let said = with(&["--merkle"]);
    assert!(said.contains("signing_key") && said.contains("sign with one key"), "{said}");
    let said = with(&["--retain-age", "1d"]);
    assert!(said.contains("the stream decides"), "{said}");
    let said = with(&["--shared-stream", "a.b"]);
    assert!(said.contains("shared.stream") && said.contains("letters, digits"), "{said}");
    // A password that stands where others see it is not repeated.
    let said = with(&["--shared", "nats://me:hunter2@127.0.0.1:1"]);
    assert!(said.contains("shared.password_file") && !said.contains("hunter2"), "{said}");
    let said = with(&["--shared", "http://127.0.0.1:1"]);
    assert!(said.contains("shared.servers") && said.contains("http"), "{said}");
    // A key that others may read, and one that is none.
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).expect("own");
    assert!(with(&[]).contains("chmod 600"));
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).expect("own");
    let said = with(&["--shared-connect-timeout", "1s"]);
    assert!(said.contains("cannot connect to NATS at nats://127.0.0.1:1: "), "{said}");
    assert!(said.contains("gave up after 1s"), "{said}");
    assert!(!Path::new(data).exists(), "a gateway that cannot start leaves nothing behind");
    std::fs::write(key, "secret\n").expect("written");
    let said = with(&[]);
    assert!(said.contains("line 1 is not a cluster key") && !said.contains("secret"), "{said}");
    let (code, said) = run(&["cluster", "init", "--out", data]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--shared URLS"), "{said}");
}

#[test]
fn a_gateway_that_waits_for_its_servers_says_so_and_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let [key, data] = ["cluster.key", "data"].map(|name| folder.path().join(name));
    let secrets = ClusterSecrets::generate().expect("random numbers");
    write_private(&key, secrets.encoded());
    let given = ["--data-dir", text(&data), "--cluster-key", text(&key)];
    let gateway = Gateway::begin(&[&given[..], &["--shared", "nats://127.0.0.1:1"]].concat(), &[]);
    let mut gateway = gateway;
    let line = gateway.line();
    assert!(line.contains("cannot connect to NATS") && line.contains("trying again"), "{line}");
    gateway.signal("-TERM");
    let (exit, said) = gateway.end();
    assert!(exit.success() && said.contains("stopped before the log was open"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_a_log() {
    const SETTINGS: &str = "max_payload: 8MB\njetstream { STORE, sync_interval: always }\n";
    let Some(program) = program_or_skip("gateways that share a log") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let [cluster, a, b] = ["cluster", "a", "b"].map(|name| folder.path().join(name));
    let store = tempfile::tempdir().expect("a folder");
    let mut server = NatsServer::start(&program, SETTINGS, store).expect("a server");

    // Without a stream, a gateway says how one is made.
    let key = folder.path().join("other.key");
    write_private(&key, ClusterSecrets::generate().expect("random numbers").encoded());
    let other = ["--shared", server.url(), "--data-dir", text(&a), "--cluster-key", text(&key)];
    let said = refused(&other);
    assert!(said.contains("there is no stream AUDIT_main: `auditgate cluster init`"), "{said}");

    let init = |out: &Path, replicas: &str| {
        let flags = ["--shared", server.url(), "--replicas", replicas, "--out", text(out)];
        run(&[&["cluster", "init"], &flags[..]].concat())
    };
    let (code, said) = init(&cluster, "1");
    assert_eq!(code, Some(0), "{said}");
    for (name, mode) in [("cluster.key", 0o600), ("signing.key", 0o600), ("gateway.toml", 0o644)] {
        let found = cluster.join(name).metadata().expect(name).permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
        assert!(said.contains(name), "{said}");
    }
    let second = folder.path().join("second");
    let (code, said) = init(&second, "1");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is a stream AUDIT_main already"), "{said}");
    assert!(!second.exists());
    let (code, said) = init(&second, "2");
    assert!(code == Some(2) && said.contains("choose an odd number"), "{said}");

    // While the key is changed, a gateway has two.
    let next = folder.path().join("next.key");
    let (code, said) = run(&["cluster", "key", "--out", text(&next)]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(next.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let old = std::fs::read_to_string(cluster.join("cluster.key")).unwrap();
    let next = std::fs::read_to_string(&next).unwrap();
    std::fs::write(cluster.join("cluster.key"), old + &next).unwrap();

    // From here on with the permissions that were written, and no others.
    let permissions = std::fs::read_to_string(cluster.join("nats-permissions.conf")).unwrap();
    // Earlier versions wrote that each gateway may see the answers to all.
    let own = "\"_INBOX.auditgate.gateway.>\"";
    assert_eq!(permissions.matches(own).count(), 1, "{permissions}");
    let of_all = permissions.replace(own, "\"_INBOX.>\"");
    let users = format!(
        "{SETTINGS}authorization {{ users = [
          {{ user: gateway, password: \"a word\"\n{permissions} }}
          {{ user: gateway-2, password: \"a word\"\n{of_all} }} ] }}\n"
    );
    server.restart(&program, &users).expect("a server");
    let password = folder.path().join("password");
    write_private(&password, "a word\n");
    let config = cluster.join("gateway.toml");
    let start_as = |user: &str, data: &Path| {
        let user = ["--shared-user", user, "--shared-password-file", text(&password)];
        let given = ["--config", text(&config), "--data-dir", text(data), "--log-format", "text"];
        Gateway::start(&[&given[..], &user].concat(), &[])
    };
    let start = |data: &Path| start_as("gateway", data);
    let mut first = start(&a);
    let said = first.line() + &first.line() + &first.line() + &first.line();
    for part in [
        "listens on",
        "shared log: stream AUDIT_main of nats://",
        "durability: on one server before acknowledgement, on stable storage if they run with \
         sync_interval: always",
        text(&a),
        "proves it",
    ] {
        // Lines are wrapped where they are wide.
        let said = said.replace('\n', " ");
        assert!(said.contains(part), "{part}: {said}");
    }
    let second = start_as("gateway-2", &b);
    for id in ["one", "two", "three"] {
        assert!(!emit(&first, id).await.duplicate);
    }
    let refused_subjects = refused_subscriptions(
        server.url(),
        ["_INBOX.auditgate.gateway-2.>", "_INBOX.>", "_INBOX.auditgate.gateway.mine"],
    );
    let refused_subjects = refused_subjects.await;
    assert!(
        refused_subjects.len() == 2 && refused_subjects[0].contains("auditgate.gateway-2.>"),
        "{refused_subjects:?}"
    );
    let on_a = records(&first, 3).await;
    let on_b = records(&second, 3).await;
    assert_eq!(on_a, on_b, "sequences and times are the same");
    let status = second.client().await.get_status(pb::GetStatusRequest {}).await;
    let status = status.expect("a status").into_inner();
    assert_eq!(status.log_kind, "shared");
    let shared = status.shared.expect("it is shared");
    assert_eq!((&*shared.stream, shared.replicas, shared.lag), ("AUDIT_main", 1, 0));
    assert_eq!((shared.invalid, shared.disagreements, shared.warnings.len()), (0, 0, 0));
    assert!(shared.position >= 3 && shared.position == shared.stream_end && shared.pending == 0);
    let server_flag = format!("http://{}", second.address());
    let shown = auditgate()
        .args(["status", "--server", &server_flag])
        .stdout(std::process::Stdio::piped())
        .output()
        .expect("built");
    let shown = String::from_utf8(shown.stderr).expect("text")
        + &String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("AUDIT_main, 1 replica, connected to "), "{shown}");
    // A retry on the other gateway is the same event.
    let again = emit(&second, "two").await;
    assert_eq!((again.duplicate, again.sequence), (true, on_a[1].sequence));
    // A gateway that was killed has what came meanwhile.
    first.signal("-KILL");
    drop(first.end());
    let receipt = emit(&second, "four").await;
    let first = start(&a);
    let on_a = records(&first, 4).await;
    assert_eq!(on_a.last().expect("four").sequence, receipt.sequence);
    assert_eq!(on_a, records(&second, 4).await);
    let size = receipt.sequence;
    let (own, other) = (head(&first, size).await, head(&second, size).await);
    assert_eq!(own, other, "the same key over the same tree");
    stop(first);
    stop(second);
    // A log on disk of its own is not opened as a copy, nor the other way round.
    let said = refused(&["--data-dir", text(&a)]);
    assert!(said.contains("copy of a shared log"), "{said}");
    drop(server);
}

/// What the server says to a client with a gateway's user that subscribes to these.
async fn refused_subscriptions(url: &str, subjects: [&'static str; 3]) -> Vec<String> {
    let (sender, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::new()
        .user_and_password("gateway".to_owned(), "a word".to_owned())
        .event_callback(move |event| {
            if let async_nats::Event::ServerError(error) = event {
                let _ = sender.send(error.to_string());
            }
            std::future::ready(())
        });
    let client = options.connect(url).await.expect("a connection");
    let mut subscriptions = Vec::new();
    for subject in subjects {
        subscriptions.push(client.subscribe(subject).await.expect("it is sent"));
    }
    client.flush().await.expect("an answer");
    let mut said = Vec::new();
    let pause = std::time::Duration::from_millis(500);
    while let Ok(Some(refusal)) = tokio::time::timeout(pause, refusals.recv()).await {
        said.push(refusal);
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_reached_by_tls_with_a_certificate() {
    let Some(program) = program_or_skip("a shared log over TLS") else { return };
    let authority = Authority::new();
    let tls = authority.mutual_tls();
    let path = |path: &Option<std::path::PathBuf>| text(path.as_deref().unwrap()).to_owned();
    let settings = format!(
        "max_payload: 8MB\njetstream {{ STORE }}\ntls {{ cert_file: {:?}, key_file: {:?}, \
         ca_file: {:?}, verify: true }}\n",
        path(&tls.cert),
        path(&tls.key),
        path(&tls.client_ca)
    );
    let store = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(&program, &settings, store).expect("a server");
    let url = format!("tls://localhost:{}", server.url().rsplit(':').next().unwrap());
    let own = authority.client(vec![]);
    let (cert, key) = (authority.write("own.pem", &own.cert), authority.write("own.key", &own.key));
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = folder.path().join("cluster");
    let given = ["cluster", "init", "--shared", &url, "--replicas", "1", "--out", text(&cluster)];
    let ca = ["--shared-ca", &path(&tls.client_ca)].map(str::to_owned);
    let ca: Vec<&str> = ca.iter().map(String::as_str).collect();
    let shown = ["--shared-cert", text(&cert), "--shared-key", text(&key)];
    for flags in [&[][..], &ca, &shown] {
        let (code, said) = run(&[&given[..], flags].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("cannot connect to NATS at tls://localhost:"), "{said}");
        assert!(!cluster.exists(), "{said}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("own");
    let (code, said) = run(&[&given[..], &ca, &shown].concat());
    assert!(code == Some(2) && said.contains("chmod 600"), "{said}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("own");
    let (code, said) = run(&[&given[..], &ca, &shown].concat());
    assert_eq!(code, Some(0), "{said}");
    // The configuration that was written has what it takes.
    let (config, data) = (cluster.join("gateway.toml"), folder.path().join("data"));
    let gateway = Gateway::start(&["--config", text(&config), "--data-dir", text(&data)], &[]);
    assert_eq!(emit(&gateway, "one").await.sequence, 1);
}
