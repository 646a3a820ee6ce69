//! The gateways of a shared log, as their operator sees and moves them: `cluster status`,
//! `join` and `accept-loss` on a real NATS server, where one is installed.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use auditgate::proof::SigningKey;
use auditgate::proof::key::SignatureKind;
use auditgate::proto::pb;

use tempfile::TempDir;

use crate::serve::{Gateway, auditgate, refused};
use crate::shared::{emit, head, records, run, stop, text, write_private};
use crate::support::nats::{NatsCluster, NatsServer, program_or_skip};

const SETTINGS: &str = "max_payload: 8MB\njetstream { STORE }\n";

fn done(args: &[&str]) -> String {
    let (code, said) = run(args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A server with the stream of a new log; the gateways' files are in `cluster`.
fn server_of_new_log(program: &Path, cluster: &Path) -> NatsServer {
    let server = NatsServer::start(program, SETTINGS, temporary()).expect("a server");
    let at = ["--shared", server.url(), "--replicas", "1", "--out", text(cluster)];
    done(&[&["cluster", "init"], &at[..]].concat());
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_seen_and_seeded_and_go_on_after_a_loss() {
    let Some(program) = program_or_skip("gateways after a loss") else { return };
    let folder = temporary();
    let [cluster, a, b, c] = ["cluster", "a", "b", "c"].map(|name| folder.path().join(name));
    let server = server_of_new_log(&program, &cluster);
    let at = ["--shared", server.url()];
    let [config, key] = ["gateway.toml", "signing.key"].map(|name| cluster.join(name));
    let config = ["--config", text(&config)];
    let start = |data: &Path, url: &str| {
        let given = ["--data-dir", text(data), "--log-format", "text", "--shared", url];
        Gateway::start(&[&config[..], &given].concat(), &[])
    };
    let (one, two) = (start(&a, server.url()), start(&b, server.url()));
    for id in ["one", "two", "three"] {
        emit(&one, id).await;
    }
    let all = records(&one, 3).await;
    assert_eq!(records(&two, 3).await, all);

    let status = [&["cluster", "status"], &config[..], &at, &["-o", "json"]].concat();
    let output =
        auditgate().args(&status).stdout(Stdio::piped()).output().expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let gateways = status["gateways"].as_array().expect("gateways");
    assert_eq!(gateways.len(), 2, "{status}");
    assert!(gateways.iter().all(|gateway| gateway["is_signer"] == true), "{status}");
    assert_eq!(status["differences"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!((&status["epoch"], &status["invalid_messages"]), (&1.into(), &0.into()));
    let table = [&["cluster", "status"], &config[..], &at].concat();
    let output =
        auditgate().args(&table).stdout(Stdio::piped()).output().expect("the binary was built");
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(table.contains("GATEWAY") && table.contains("epoch 1"), "{table}");

    let join = |from: &Path, to: &Path| {
        let places = ["--from", text(from), "--to", text(to)];
        run(&[&["cluster", "join"], &config[..], &at, &places].concat())
    };
    let (code, said) = join(&a, &c);
    assert!(code == Some(2) && said.contains("in use by a gateway"), "{said}");
    stop(two);
    let (code, said) = join(&b, &c);
    assert!(code == Some(0) && said.contains("copied"), "{said}");
    let (code, said) = join(&b, &c);
    assert!(code == Some(2) && said.contains("is not empty"), "{said}");

    // All servers are lost, with their disks. The copies are not.
    let accept = |url: &str, key: &Path, more: &[&str]| {
        let given = ["--shared", url, "--data-dir", text(&a), "--signing-key", text(key)];
        run(&[&["cluster", "accept-loss"], &config[..], &given, more].concat())
    };
    emit(&one, "four").await;
    let all = records(&one, 4).await;
    let (_, said) = accept(server.url(), &key, &[]);
    assert!(said.contains("nothing is lost"), "{said}");
    stop(one);
    drop(server);
    let server = NatsServer::start(&program, SETTINGS, temporary()).expect("a server");
    let create = ["--create", "--replicas", "1"];
    let (code, said) = accept(server.url(), &key, &[]);
    assert!(code == Some(2) && said.contains("there is no stream"), "{said}");
    let other = folder.path().join("other.key");
    let other_key = SigningKey::generate("other", SignatureKind::Log).expect("a key");
    write_private(&other, other_key.encoded());
    let (code, said) = accept(server.url(), &other, &create);
    assert!(code == Some(2) && said.contains("checkpoint"), "{said}");
    let (code, said) = accept(server.url(), &key, &create);
    assert!(code == Some(0) && said.contains("epoch 2") && said.contains("record 4"), "{said}");
    // The one with all records goes on; one without the last is told to be seeded.
    let one = start(&a, server.url());
    let given = ["--listen", "127.0.0.1:0", "--data-dir", text(&b), "--shared", server.url()];
    let failed = refused(&[&config[..], &given].concat());
    assert!(failed.contains("cluster join --from"), "{failed}");
    assert_eq!(records(&one, 4).await, all);
    assert_eq!(emit(&one, "five").await.sequence, 5);
    assert!(emit(&one, "four").await.duplicate);
    stop(one);
}

/// A server that was killed is shown with its state, to whoever looks once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_shown() {
    let Some(program) = program_or_skip("the servers of a stream") else { return };
    let folder = temporary();
    let cluster = folder.path().join("cluster");
    let mut servers = NatsCluster::start(&program, 3, temporary()).expect("servers");
    let url = servers.urls().join(",");
    let init = ["cluster", "init", "--shared", &url, "--out", text(&cluster)];
    let begun = Instant::now();
    // Servers that have just started elect a leader first.
    while run(&init).0 != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", run(&init).1);
    }
    let config = cluster.join("gateway.toml");
    let status = |more: &[&str]| {
        let given = [&["cluster", "status", "--config", text(&config)], more].concat();
        let output = auditgate().args(&given).stdout(Stdio::piped()).output().expect("built");
        String::from_utf8(output.stdout).expect("text")
    };
    // Name, state, and whether it was not seen for 10 s.
    type Server = (String, String, bool);
    let states = || -> Option<Vec<Server>> {
        let status: serde_json::Value =
            serde_json::from_str(&status(&["-o", "json"])).unwrap_or_default();
        let of = |server: &serde_json::Value| {
            let [name, state] =
                ["name", "state"].map(|key| server[key].as_str().map(str::to_owned));
            Some((name?, state?, server["seconds_ago"].as_f64().is_some_and(|ago| ago > 10.0)))
        };
        status["servers"].as_array()?.iter().map(of).collect()
    };
    let until = |what: &str, is_so: &dyn Fn(&[Server]) -> bool| loop {
        let found = states();
        if found.as_ref().is_some_and(|found| is_so(found)) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(150), "not {what}: {found:?}");
        std::thread::sleep(Duration::from_millis(300));
    };
    until("whole", &|servers| {
        let [(_, leader, _), others @ ..] = servers else { return false };
        let are_current =
            others.iter().all(|(_, state, is_silent)| state == "current" && !is_silent);
        leader == "leader" && others.len() == 2 && are_current
    });
    let leader = servers.leader("AUDIT_main").await.expect("an answer").expect("a leader");
    let killed = (leader + 1) % 3;
    servers.kill(killed).expect("killed");
    let name = format!("n{killed}");
    until("down", &|servers| {
        servers.len() == 3
            && servers.iter().any(|(server, state, is_silent)| {
                *server == name && matches!(state.as_str(), "offline" | "behind") && *is_silent
            })
    });
    let shown = status(&[]);
    assert!(shown.contains(&format!("! NATS server {name} is down")), "{shown}");
    let line = shown.lines().find(|line| line.starts_with(&name)).expect("its line");
    assert!(line.contains("s ago") && shown.contains("SERVER"), "{shown}");
    servers.restore(killed).expect("it starts");
    until("whole again", &|servers| {
        servers.iter().skip(1).all(|(_, state, is_silent)| state == "current" && !is_silent)
    });
    assert!(!status(&[]).contains("! NATS server"));
}

/// How a gateway's proofs are.
async fn proof(gateway: &Gateway) -> pb::ProofStatus {
    let status = gateway.client().await.get_status(pb::GetStatusRequest {}).await;
    status.expect("a status").into_inner().proof.expect("a tree")
}

/// A checkpoint was signed of a record that is lost: its key signs nothing any more, and the log
/// goes on with another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_signs_after_the_former_one_has_signed_what_is_lost() {
    let Some(program) = program_or_skip("a new signing key") else { return };
    let folder = temporary();
    let [cluster, a, b, c] = ["cluster", "a", "b", "c"].map(|name| folder.path().join(name));
    let server = server_of_new_log(&program, &cluster);
    let at = ["--shared", server.url()];
    let [config, key, former] =
        ["gateway.toml", "signing.key", "signing.key.pub"].map(|name| cluster.join(name));
    let config = ["--config", text(&config)];
    let given = |data: &'static str, url: &str| {
        let data = folder.path().join(data);
        let given = ["--data-dir", text(&data), "--shared", url];
        config.iter().chain(&given).map(|flag| (*flag).to_owned()).collect::<Vec<_>>()
    };
    let start = |data: &'static str, url: &str, more: &[&str]| {
        let given = given(data, url);
        let given = given.iter().map(String::as_str).chain(more.iter().copied());
        Gateway::start(&given.collect::<Vec<_>>(), &[])
    };
    let (one, two) = (start("a", server.url(), &[]), start("b", server.url(), &[]));
    for id in ["one", "two", "three"] {
        emit(&one, id).await;
    }
    let kept = records(&two, 3).await;
    stop(two);
    let join = ["--from", text(&b), "--to", text(&c)];
    done(&[&["cluster", "join"], &config[..], &at, &join].concat());
    assert_eq!(emit(&one, "four").await.sequence, 4);
    head(&one, 4).await;
    stop(one);
    drop(server);
    // The operator goes on with the copy that lacks the fourth record.
    let server = NatsServer::start(&program, SETTINGS, temporary()).expect("a server");
    let loss = ["--shared", server.url(), "--data-dir", text(&b), "--signing-key", text(&key)];
    let create = ["--create", "--replicas", "1", "--retain-age", "30d"];
    let said = done(&[&["cluster", "accept-loss"], &config[..], &loss, &create].concat());
    assert!(said.contains("after record 3"), "{said}");
    let (two, one) = (start("b", server.url(), &[]), start("a", server.url(), &[]));
    assert_eq!(emit(&two, "five").await.sequence, 4);
    assert_eq!(records(&one, 4).await[..3], kept);
    let ended = proof(&one).await;
    assert!(ended.broken && ended.trouble.contains("signed"), "{ended:?}");
    let retire = |data: &Path| run(&["cluster", "retire-key", "--data-dir", text(data)]);
    let (code, said) = retire(&a);
    assert!(code == Some(2) && said.contains("in use by a gateway"), "{said}");
    stop(one);
    stop(two);

    let next = folder.path().join("next.key");
    done(&["keygen", "--name", "another.example/log", "--out", text(&next)]);
    for data in [&a, &b, &c] {
        let (code, said) = retire(data);
        assert!(code == Some(0) && said.contains("retired/1"), "{said}");
        assert!(data.join("retired/1/checkpoint").exists());
    }
    let (code, said) = retire(&b);
    assert!(code == Some(2) && said.contains("no checkpoint"), "{said}");
    let keys = ["--signing-key", text(&next), "--shared-verifier-key", text(&former)];
    let (one, two) = (start("a", server.url(), &keys), start("b", server.url(), &keys));
    assert_eq!(emit(&two, "six").await.sequence, 5);
    let (own, other) = (head(&one, 5).await, head(&two, 5).await);
    assert!(own == other && own[0] == "another.example/log", "{own:?} {other:?}");
    assert!(!proof(&one).await.broken && !proof(&two).await.broken);
    // A gateway that was stopped before the loss verifies the epoch by the former key.
    let alone = given("c", server.url());
    let more = ["--listen", "127.0.0.1:0", keys[0], keys[1]];
    let alone: Vec<&str> = alone.iter().map(String::as_str).chain(more).collect();
    let said = refused(&alone);
    assert!(said.contains("until an operator accepts the loss"), "{said}");
    let three = start("c", server.url(), &keys);
    assert_eq!(records(&three, 5).await, records(&one, 5).await);
    [one, two, three].into_iter().for_each(stop);
}
