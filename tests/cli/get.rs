//! `auditgate get`, `whoami` and `doctor`.

use auditgate::client::{Client, Credentials};
use auditgate::config::{Right, Settings};

use crate::support::access::{access, role, settings, start as start_secure};
use crate::support::cli::{command, day, finish, login, run, run_at, start_with};
use crate::support::start;

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_shown_in_full() {
    let gateway = start_with(day()).await;
    let ran = run_at(gateway.address(), 80, &["get", "2", "--utc"]);
    let lines = ran.lines();
    assert_eq!(lines[0], "record 2  user.login  warning  failure");
    for line in [
        "  code             T1000W (local login refused)",
        "  name             mallory",
        "  remote_address   [2001:db8::17]:443",
        "  outcome.error    bad password",
        "  id               event-1",
    ] {
        assert!(lines.contains(&line), "{line} in\n{}", ran.out);
    }
    assert!(ran.out.contains("happened         2026-03-01 12:00:01.250 +00:00"), "{}", ran.out);
    let by_id = run_at(gateway.address(), 80, &["get", "event-1", "--utc"]);
    assert_eq!(by_id.out, ran.out);
    let json = run(&gateway, &["get", "2", "-o", "json"]);
    let record: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(record["event"]["user"]["name"], "mallory");
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_a_sequence_and_an_id_on_request() {
    let mut event = login(0, "alice");
    event.id = Some("4711".into());
    let gateway = start_with(vec![event]).await;
    let ran = run(&gateway, &["get", "4711"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("use --id 4711"), "{}", ran.err);
    assert!(run(&gateway, &["get", "--id", "4711"]).lines()[0].starts_with("record 1 "));
    let absent = run(&gateway, &["get", "nosuch"]);
    assert_eq!((absent.code, absent.out.as_str()), (Some(1), ""));
    assert!(absent.err.contains("nosuch"), "{}", absent.err);
    assert_eq!(run(&gateway, &["get"]).code, Some(2));
    assert_eq!(run(&gateway, &["get", "1", "--id", "x"]).code, Some(2));
}

fn secured() -> Settings {
    let emitter = role(&["one", "two"], &["user.login"], &[], &[]);
    let reader = role(&["reader"], &[], &["user.*"], &[Right::Status]);
    settings(access(&["one", "two", "reader"], vec![emitter, reader]))
}

/// The program with the token of this principal.
fn as_principal(
    gateway: &auditgate::server::Gateway,
    folder: &tempfile::TempDir,
    principal: &str,
    arguments: &[&str],
) -> crate::support::cli::Ran {
    let file = folder.path().join(principal);
    std::fs::write(&file, principal).expect("it is written");
    let mut command = command(gateway.address(), 80, arguments);
    finish(command.env("AUDITGATE_TOKEN_FILE", file).spawn().expect("it starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_records_with_an_id_are_shown() {
    let gateway = start_secure(&secured()).await;
    let folder = tempfile::tempdir().expect("a folder");
    for (principal, user) in [("one", "alice"), ("two", "bob")] {
        let file = folder.path().join("token");
        std::fs::write(&file, principal).expect("it is written");
        let credentials = Credentials::new().token_file(&file).expect("a token");
        let url = format!("http://{}", gateway.address());
        let client = Client::connect_with(&url, &credentials).await.expect("it listens");
        let event = auditgate::proto::pb::Event { id: Some("same".into()), ..login(0, user) };
        client.emit(event).await.expect("accepted");
    }
    let ran = as_principal(&gateway, &folder, "reader", &["get", "same"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let titles: Vec<_> = ran.out.lines().filter(|line| line.starts_with("record ")).collect();
    assert!(titles.len() > 1 && titles[0].starts_with("record 2 "), "{}", ran.out);
    assert!(ran.out.contains("alice") && ran.out.contains("bob"), "{}", ran.out);
    assert_eq!(ran.err, "2 records have this id, the newest first\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_told_what_it_may_do() {
    let gateway = start_secure(&secured()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ran = as_principal(&gateway, &folder, "reader", &["whoami"]);
    let lines = ran.lines();
    assert_eq!(lines[0], "name     reader");
    assert!(lines[1].starts_with("reads    user.create, user.delete, user.login"), "{lines:?}");
    assert!(lines.contains(&"emits    none") && lines.contains(&"rights   status"), "{lines:?}");
    let ran = as_principal(&gateway, &folder, "mallory", &["whoami"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert_eq!(ran.err, "error: the token is unknown\n");
    let open = start().await;
    let ran = run(&open, &["whoami", "-o", "json"]);
    let caller: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(caller["rights"][0], "status");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_s_exit_status_is_the_worst_that_it_finds() {
    let gateway = start_secure(&secured()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let doctor = |arguments: &[&str]| {
        as_principal(&gateway, &folder, "reader", &[&["doctor"], arguments].concat())
    };
    let ran = doctor(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.starts_with("auditgate 0.1.0: nothing needs attention\n"), "{}", ran.out);
    assert!(ran.out.contains("NOTE      you may not see other clients"), "{}", ran.out);
    gateway.count_unreadable_reload("broken");
    let ran = doctor(&["-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    let found: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(found[0]["severity"], "warning");
    assert_eq!(
        (&found[0]["check"], &found[0]["runbook"]),
        (&"reload".into(), &"AuditgateReloadRefused".into())
    );
    let refused = as_principal(&gateway, &folder, "one", &["doctor"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{refused:?}");
}
