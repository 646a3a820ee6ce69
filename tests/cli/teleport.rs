//! `auditgate import` and `auditgate export` against a gateway: what goes in in
//! Teleport's form comes out with every key and value.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use auditgate::log::Bounds;
use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::server::{Config, Gateway};
use serde_json::Value;

use crate::support::WAIT_MAX;

const FIXTURE: &str = "tests/fixtures/teleport.jsonl";

async fn gateway() -> Gateway {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let ring = Bounds { bytes: 64 * 1024 * 1024, records: 100_000 };
    Gateway::start(Config { listen, ring, ..Config::default() }).await.expect("it starts")
}

fn auditgate(gateway: &Gateway, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditgate"));
    command
        .args(args)
        .env("AUDITGATE_SERVER", format!("http://{}", gateway.address()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn run(gateway: &Gateway, args: &[&str]) -> Output {
    let mut command = auditgate(gateway, args);
    tokio::task::spawn_blocking(move || command.output().expect("the binary was built"))
        .await
        .expect("no panic")
}

async fn import(gateway: &Gateway, file: &Path, more: &[&str]) -> (i32, String) {
    let file = file.to_str().expect("a path in UTF-8");
    let output = run(gateway, &[&["import", "--format", "teleport", file], more].concat()).await;
    assert!(output.stdout.is_empty(), "standard output is for records");
    (output.status.code().expect("an exit"), String::from_utf8(output.stderr).expect("text"))
}

async fn export(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let output = run(gateway, &[&["export", "--format", "teleport"], more].concat()).await;
    assert!(output.status.success(), "{output:?}");
    lines(std::str::from_utf8(&output.stdout).expect("text"))
}

/// Numbers are compared by what they are, which for those below 2^53 is enough;
/// larger ones are compared as text elsewhere.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("room");
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_each_type_returns_and_comes_twice_only_once() {
    let gateway = gateway().await;
    let fixture = std::fs::read_to_string(FIXTURE).expect("the fixture");
    let count = fixture.lines().count();
    let (exit, said) = import(&gateway, Path::new(FIXTURE), &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains(&format!("{count} imported, 0 duplicates, 0 invalid")), "{said}");
    assert_eq!(export(&gateway, &[]).await, lines(&fixture));

    let (exit, said) = import(&gateway, Path::new(FIXTURE), &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains(&format!("0 imported, {count} duplicates, 0 invalid")), "{said}");

    // Each type is found by search, under its type.
    let mut client = AuditServiceClient::connect(format!("http://{}", gateway.address()))
        .await
        .expect("it listens");
    for line in lines(&fixture) {
        let name = line["event"].as_str().expect("a type");
        let filter = pb::Filter { types: vec![name.to_owned()], ..Default::default() };
        let request = pb::SearchRequest { filter: Some(filter), ..Default::default() };
        let found = client.search(request).await.expect("a page").into_inner();
        assert_eq!(
            found.records.iter().map(|record| record.r#type.as_str()).collect::<Vec<_>>(),
            [name]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_schema_lacks_returns_as_it_was_written() {
    let gateway = gateway().await;
    let line = r#"{"code":"X1","event":"stock.moved","exact":1.50,"large":123456789012345678901234567890,"none":null,"time":"2024-01-01T00:00:00.120Z","within":{"a":[1,null,{"b":1e3}]}}"#;
    let file = written(&format!("{line}\n{line}\n"));
    let (exit, said) = import(&gateway, file.path(), &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("imported as custom") && said.contains("\"stock.moved\" 2"), "{said}");
    let output = run(&gateway, &["export", "--format", "teleport"]).await;
    assert_eq!(String::from_utf8(output.stdout).expect("text"), format!("{line}\n{line}\n"));
    // Equal lines without a uid are two events, and the same two again.
    let (_, said) = import(&gateway, file.path(), &[]).await;
    assert!(said.contains("0 imported, 2 duplicates"), "{said}");

    let (exit, said) = import(&gateway, file.path(), &["--unknown-types", "refuse"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("unknown event type \"stock.moved\""), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_told_by_file_and_number_and_the_rest_goes_in() {
    let gateway = gateway().await;
    let good = |uid: &str, name: &str| {
        format!(
            r#"{{"code":"T1002I","event":"user.create","name":"{name}","time":"2024-01-01T00:00:00Z","uid":"{uid}"}}"#
        )
    };
    let far = r#"{"event":"exec","time":"2200-01-01T00:00:00Z","uid":"far"}"#;
    let text = [
        &good("1", "a"),
        "{not json",
        &good("2", "b"),
        far,
        &good("1", "other"),
        "",
        &good("3", "c"),
    ]
    .map(|line| format!("{line}\n"))
    .concat();
    let file = written(&text);
    let (exit, said) = import(&gateway, file.path(), &[]).await;
    assert_eq!(exit, 1, "{said}");
    let name = file.path().display();
    for (line, why) in [(2, "not JSON"), (5, "different content")] {
        let told = said
            .lines()
            .any(|told| told.starts_with(&format!("{name}:{line}: ")) && told.contains(why));
        assert!(told, "line {line}, {why}: {said}");
    }
    assert!(said.contains("4 imported, 0 duplicates, 2 invalid"), "{said}");
    assert!(
        said.contains("imported without a time, by reason: refused by the gateway 1"),
        "{said}"
    );
    // What was sent again comes last, and has its time in an export.
    assert_eq!(
        export(&gateway, &[]).await,
        lines(&[good("1", "a"), good("2", "b"), good("3", "c"), far.to_owned()].join("\n"))
    );
    let (exit, said) = import(&gateway, file.path(), &["--strict"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains(":4: ") && said.contains("more than a day ahead"), "{said}");
    assert!(said.contains("0 imported, 3 duplicates, 3 invalid"), "{said}");
    let (exit, said) = import(&gateway, file.path(), &["--repeated-uids", "number"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("1 imported, 4 duplicates, 1 invalid"), "{said}");
    let found = export(&gateway, &["--id", "1#2"]).await;
    assert_eq!(found, lines(&good("1", "other")));
    assert_eq!(export(&gateway, &["--id", "2"]).await, lines(&good("2", "b")));
    let missing = run(&gateway, &["export", "--format", "teleport", "--id", "none"]).await;
    assert_eq!(missing.status.code(), Some(1));
}

/// `tail -F events.log | auditgate import --format teleport -` is a live feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_a_live_feed() {
    let gateway = gateway().await;
    let mut client = AuditServiceClient::connect(format!("http://{}", gateway.address()))
        .await
        .expect("it listens");
    let mut stream =
        client.subscribe(pb::SubscribeRequest::default()).await.expect("open").into_inner();
    let mut feed = auditgate(&gateway, &["import", "--format", "teleport", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("built");
    let mut input = feed.stdin.take().expect("piped");
    for number in 0..3 {
        let line =
            format!(r#"{{"event":"resize","uid":"{number}","time":"2024-01-01T00:00:00Z"}}"#);
        writeln!(input, "{line}").expect("it reads");
        input.flush().expect("it reads");
        // The pipe stays open: the line must not wait for another.
        let record = tokio::time::timeout(WAIT_MAX, async {
            loop {
                let message = stream.message().await.expect("open").expect("open");
                if let Some(record) = message.records.into_iter().next() {
                    return record;
                }
            }
        });
        let record = record.await.expect("it is sent while the pipe is open");
        assert_eq!(record.event.and_then(|event| event.id), Some(number.to_string()));
    }
    drop(input);
    let said = BufReader::new(feed.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
        .collect::<Vec<_>>();
    assert!(feed.wait().expect("a child").success(), "{said:?}");
    assert!(said.concat().contains("3 imported"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_into_a_closed_pipe_ends_quietly() {
    let gateway = gateway().await;
    let line = |number: usize| {
        format!(
            r#"{{"event":"resize","uid":"{number}","time":"2024-01-01T00:00:00Z","size":"{}"}}"#,
            "x".repeat(200)
        )
    };
    let file = written(&(0..5_000).map(|number| line(number) + "\n").collect::<String>());
    let (exit, said) = import(&gateway, file.path(), &[]).await;
    assert_eq!(exit, 0, "{said}");
    let mut child =
        auditgate(&gateway, &["export", "--format", "teleport"]).spawn().expect("built");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    output.read_line(&mut first).expect("a line");
    drop(output);
    assert!(child.wait().expect("a child").success());
    let said = BufReader::new(child.stderr.take().expect("piped")).lines().count();
    assert_eq!(said, 0, "nothing is wrong with having seen enough");
}

/// What a cluster leaves: container logs, packed files, lines without ids or times. What was
/// exported is known when it is imported again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_as_they_are_go_in_and_what_was_exported_is_known() {
    let gateway = gateway().await;
    let event = |members: &str| format!(r#"{{"event":"resize",{members}}}"#);
    let events = [
        event(r#""n":1.0,"time":"2024-01-01T00:00:00Z""#),
        event(r#""time":null,"uid":"a""#),
        event(r#""time":1704067200"#),
        event(r#""n":1.0,"time":"2024-01-01T00:00:00Z""#),
    ];
    let text = format!(
        "\u{feff}2024-01-01T00:00:00Z stdout F starting\n2024-01-01T00:00:00Z stdout F {}\n\
         [pod/auth-0] {}\n[\n{},\n {} ]\n",
        events[0], events[1], events[2], events[3]
    );
    let mut packed = tempfile::NamedTempFile::new().expect("a file");
    packed.write_all(&zstd::encode_all(text.as_bytes(), 3).expect("packs")).expect("room");
    let (exit, said) = import(&gateway, packed.path(), &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("4 imported, 0 duplicates, 0 invalid"), "{said}");
    assert!(said.contains("skipped, without a JSON object: 1"), "{said}");
    assert!(said.contains("without a time, by reason: missing or unusable 2"), "{said}");
    let output = run(&gateway, &["export", "--format", "teleport"]).await;
    let exported = String::from_utf8(output.stdout).expect("text");
    assert_eq!(exported.lines().collect::<Vec<_>>(), events);
    let (exit, said) = import(&gateway, written(&exported).path(), &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("0 imported, 4 duplicates, 0 invalid"), "{said}");
}
