//! `auditgate search`: forms, filters, pages, exit statuses.

use crate::support::cli::{Running, day, emit, field, login, run, run_at, start_with, subscribed};
use crate::support::start;

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_fitted_to_80_columns() {
    let gateway = start_with(day()).await;
    let ran = run(&gateway, &["search", "--reverse", "--utc", "-o", "pretty"]);
    assert_eq!(
        ran.lines(),
        [
            "SEQ TIME           S TYPE             WHO          WHERE        RES  DETAIL",
            "  1 03-01 12:00:00 I user.login       alice        203.0.113.24 ok   local",
            "  2 03-01 12:00:01 W user.login       mallory      2001:db8::17 fail local bad …",
            "  3 03-01 12:00:02 I db.session.query alice        203.0.113.24 ok   orders sho…",
            "  4 03-01 12:00:03 I exec             carol as bob web-1        ok   root syste…",
            "  5 03-01 12:00:04 W lock.created     carol        main         -    mallory",
            "  6 03-01 12:00:05 I custom.deploy    ci           -            -",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_fitted_to_200_columns() {
    let gateway = start_with(day()).await;
    let arguments = ["search", "--reverse", "--utc", "-o", "pretty"];
    let ran = run_at(gateway.address(), 200, &arguments);
    assert_eq!(
        ran.lines(),
        [
            "SEQ  TIME                     SEVERITY  TYPE              WHO           WHERE         RESULT   DETAIL",
            "  1  2026-03-01 12:00:00.250  info      user.login        alice         203.0.113.24  success  local",
            "  2  2026-03-01 12:00:01.250  warning   user.login        mallory       2001:db8::17  failure  local bad password",
            "  3  2026-03-01 12:00:02.250  info      db.session.query  alice         203.0.113.24  success  orders shop select *\\nfrom customers where id = 7",
            "  4  2026-03-01 12:00:03.250  info      exec              carol as bob  web-1         success  root systemctl restart nginx exit_code=0",
            "  5  2026-03-01 12:00:04.250  warning   lock.created      carol         main          -        mallory",
            "  6  2026-03-01 12:00:05.250  info      custom.deploy     ci            -             -",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_used_only_where_they_are_wanted() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let plain = run(&gateway, &["search", "--utc", "-o", "pretty"]);
    assert!(!plain.out.contains('\u{1b}'), "{:?}", plain.out);
    let colored = run(&gateway, &["search", "--utc", "-o", "pretty", "--color", "always"]);
    assert!(colored.out.contains(" \u{1b}[2m03-01 12:00:00\u{1b}[0m "), "{:?}", colored.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_event_reaches_no_terminal_raw() {
    let hostile: String = ('\0'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
        .chain('\u{200b}'..='\u{200f}')
        .chain('\u{2028}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        .chain(['\u{feff}', '\u{e0041}'])
        .collect();
    let mut event = login(0, &hostile);
    event.labels = [(hostile.clone(), hostile.clone())].into();
    event.server = Some(auditgate::proto::pb::Server {
        hostname: Some(hostile.clone()),
        ..Default::default()
    });
    event.outcome = Some(auditgate::proto::pb::Outcome {
        success: Some(false),
        error: Some(hostile.clone()),
        ..Default::default()
    });
    let gateway = start_with(vec![event]).await;
    for form in ["pretty", "wide", "json", "ndjson", "teleport", "ocsf", "ecs", "cef"] {
        for columns in [80, 200] {
            let arguments = ["search", "-o", form];
            let ran = run_at(gateway.address(), columns, &arguments);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let raw = ran.out.chars().find(|letter| *letter != '\n' && hostile.contains(*letter));
            assert_eq!(raw, None, "{form}: {:?}", ran.out);
        }
    }
    let ran = run(&gateway, &["search", "-o", "ndjson"]);
    assert_eq!(field(&ran.out, "/event/user/name"), hostile, "and yet it means the same");
    let ran = run(&gateway, &["search", "--user", &hostile[1..], "--type", "nosuch\u{9b}31m"]);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains('\u{9b}'), "{:?}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_records_are_lines_with_the_id_of_the_log() {
    let gateway = start_with(vec![login(0, "alice"), login(1, "bob")]).await;
    let ran = run(&gateway, &["search", "-o", "ocsf", "--reverse"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.field("/user/name"), ["alice", "bob"]);
    let ids = ran.field("/metadata/uid");
    let log_id = ids[0].strip_suffix("/1").expect("the stable id of the first record");
    assert_eq!(ids[1], format!("{log_id}/2"));
    let ran = run(&gateway, &["search", "-o", "ecs", "--reverse"]);
    assert_eq!(ran.field("/event/id"), ids);
    let ran = run(&gateway, &["tail", "-o", "cef", "--from", "earliest", "--no-follow"]);
    let lines = ran.lines();
    assert_eq!(lines.len(), 2, "{ran:?}");
    for (line, (id, name)) in lines.iter().zip(ids.iter().zip(["alice", "bob"])) {
        assert!(line.starts_with("CEF:0|auditgate|auditgate|"), "{line}");
        assert!(line.contains(&format!("|externalId={id} ")), "{line}");
        assert!(line.contains(&format!(" suser={name} ")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_an_array_and_ndjson_a_record_a_line() {
    let gateway = start_with(vec![login(0, "alice"), login(1, "bob")]).await;
    let ran = run(&gateway, &["search", "-o", "json"]);
    let array: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let names: Vec<_> = array.as_array().expect("an array").iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0]["event"]["user"]["name"], "bob", "newest first");
    let ran = run(&gateway, &["search", "-o", "json", "--user", "nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "[]\n"));
    let ran = run(&gateway, &["search", "--reverse"]);
    assert_eq!(ran.field("/event/user/name"), ["alice", "bob"], "ndjson where no terminal is");
    assert!(ran.out.starts_with("{\"sequence\":\"1\",\"accept_time\":"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_the_columns_that_are_named() {
    let gateway = start_with(day()).await;
    let fields =
        "sequence,time,type,result,user.name,event.labels.env,user_login.method,outcome.error";
    let ran = run(&gateway, &["search", "--reverse", "--fields", fields]);
    assert_eq!(
        ran.lines(),
        [
            fields,
            "1,2026-03-01T12:00:00.250Z,user.login,success,alice,,local,",
            "2,2026-03-01T12:00:01.250Z,user.login,failure,mallory,,local,bad password",
            "3,2026-03-01T12:00:02.250Z,db.session.query,success,alice,,,",
            "4,2026-03-01T12:00:03.250Z,exec,success,bob,,,",
            "5,2026-03-01T12:00:04.250Z,lock.created,,carol,,,",
            "6,2026-03-01T12:00:05.250Z,custom.deploy,,,prod,,",
        ]
    );
    let ran = run(&gateway, &["search", "-o", "csv", "--limit", "1"]);
    assert!(ran.lines()[0].starts_with("sequence,event.time,type,severity,result,"));
    let ran = run(&gateway, &["search", "--fields", "user.nmae"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.err,
        "error: --fields user.nmae: there is no field \"nmae\" in User, but there is \"name\"\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_go_with_every_format_of_records() {
    let gateway = start_with(day()).await;
    let fields = |form: &str| {
        let fields = ["search", "-n", "1", "--user", "mallory", "--fields", "sequence,user.name"];
        run(&gateway, &[&fields[..], &["-o", form]].concat())
    };
    assert_eq!(fields("pretty").lines(), ["SEQUENCE USER.NAME", "2        mallory"]);
    assert_eq!(fields("wide").lines(), ["SEQUENCE  USER.NAME", "2         mallory"]);
    assert_eq!(fields("csv").lines(), ["sequence,user.name", "2,mallory"]);
    let line = r#"{"event":{"user":{"name":"mallory"}},"sequence":"2"}"#;
    assert_eq!(fields("ndjson").lines(), [line]);
    let array: serde_json::Value = serde_json::from_str(&fields("json").out).expect("JSON");
    assert_eq!(array[0], serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let refused = fields("teleport");
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    assert!(refused.err.contains("-o teleport, whose lines are whole events"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_bound_a_search() {
    let gateway = start_with((0..20).map(|number| login(number, "alice")).collect()).await;
    let found = |flags: &[&str]| {
        let ran = run(&gateway, &[&["search"], flags].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{flags:?}");
        ran.field("/sequence").join(" ")
    };
    assert_eq!(found(&["-n", "3"]), "20 19 18");
    assert_eq!(found(&["-n", "3", "--before", "18"]), "17 16 15");
    assert_eq!(found(&["--reverse", "--after", "17"]), "18 19 20");
    assert_eq!(found(&["--after", "3", "--before", "6"]), "5 4");
    assert_eq!(found(&["--around", "10", "-n", "5"]), "8 9 10 11 12");
    assert_eq!(found(&["--around", "1", "-n", "4"]), "1 2 3 4");
    assert_eq!(found(&["--around", "20", "-n", "4"]), "18 19 20");
    assert_eq!(found(&["--around", "10", "-n", "1"]), "10");
    assert_eq!(found(&["--id", "event-3", "--id", "event-7"]), "8 4");
    let refused = run(&gateway, &["search", "--after", "6", "--before", "3"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("--after 6 and --before 3"), "{}", refused.err);
    let away = run(&gateway, &["search", "--around", "99", "-n", "2"]);
    assert_eq!(away.field("/sequence"), ["19", "20"]);
    assert!(away.err.starts_with("record 99 is not among them"), "{}", away.err);
    for wrong in [["-n", "0"], ["--before", "0"], ["--around", "0"]] {
        assert_eq!(run(&gateway, &[&["search"], &wrong[..]].concat()).code, Some(2), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_sorted_by_time_on_request() {
    let gateway =
        start_with([3, 1, 2].map(|second| login(second, "alice")).into_iter().collect()).await;
    let order =
        |flags: &[&str]| run(&gateway, &[&["search"], flags].concat()).field("/event/id").join(" ");
    assert_eq!(order(&[]), "event-2 event-1 event-3");
    assert_eq!(order(&["--sort", "time"]), "event-3 event-2 event-1");
    assert_eq!(order(&["--sort", "time", "--reverse"]), "event-1 event-2 event-3");
    assert_eq!(order(&["--sort", "time", "-n", "2"]), "event-2 event-1", "the newest records");
    assert_eq!(run(&gateway, &["search", "--sort", "time", "-n", "10001"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caret_stands_under_the_fault_of_an_expression() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    for command in ["search", "tail", "count", "export"] {
        let form: &[&str] = if command == "export" { &["--format", "teleport"] } else { &[] };
        let wrong = ["--filter", "type == 'exec'\n  && event.usr.name == 'x'"];
        let ran = run(&gateway, &[&[command], form, &wrong[..]].concat());
        assert_eq!(ran.code, Some(2), "{command}");
        let ending = "\n    && event.usr.name == 'x'\n             ^^^\n";
        assert!(ran.err.ends_with(ending), "{command}: {}", ran.err);
    }
    let other = run(&gateway, &["search", "--type", "user.logni", "--filter", "true"]);
    assert!(!other.err.contains('^'), "{}", other.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn teleport_s_form_is_that_of_export() {
    let gateway = start_with(day()).await;
    let ran = run(&gateway, &["search", "--reverse", "-o", "teleport"]);
    let export = run(&gateway, &["export", "--format", "teleport"]);
    assert_eq!(ran.out, export.out);
    assert_eq!(ran.field("/event")[0], "user.login");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_narrows_the_results() {
    let gateway = start_with(day()).await;
    let found = |flags: &[&str]| {
        let ran = run(&gateway, &[&["search", "--reverse"], flags].concat());
        assert_eq!(ran.err, "", "{flags:?}");
        ran.field("/sequence").join(" ")
    };
    assert_eq!(found(&["--type", "user.login"]), "1 2");
    assert_eq!(found(&["--type", "*session*,exec", "--not-type", "exec"]), "3");
    assert_eq!(found(&["--category", "custom"]), "6");
    assert_eq!(found(&["--failed"]), "2");
    assert_eq!(found(&["--severity", "warning"]), "2 5");
    assert_eq!(found(&["--result", "success"]), "1 3 4");
    assert_eq!(found(&["--code", "T1000W"]), "2");
    assert_eq!(found(&["--user", "carol"]), "4 5");
    assert_eq!(found(&["--cluster", "main"]), "5");
    assert_eq!(found(&["--source", "ci"]), "6");
    assert_eq!(found(&["--address", "203.0.113.0/24"]), "1 3");
    assert_eq!(found(&["--label", "env=prod"]), "6");
    assert_eq!(found(&["--text", "CUSTOMERS"]), "3");
    assert_eq!(found(&["--filter", "event.user.login == 'root'"]), "4");
    assert_eq!(found(&["--since", "2026-03-01T12:00:04Z"]), "5 6");
    assert_eq!(found(&["--until", "2026-03-01 12:00:01", "--utc"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_goes_across_pages() {
    let gateway = start_with((0..2_500).map(|number| login(number, "alice")).collect()).await;
    let ran = run(&gateway, &["search", "--limit", "2200"]);
    let expected: Vec<String> = (301..=2_500).rev().map(|number: u64| number.to_string()).collect();
    assert_eq!(ran.field("/sequence"), expected);
    assert_eq!(run(&gateway, &["search", "--limit", "3"]).lines().len(), 3);
    assert_eq!(run(&gateway, &["search"]).lines().len(), 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_where_the_search_began() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let mut running = Running::start(&gateway, &["search", "--follow"]);
    assert_eq!(field(&running.line(), "/sequence"), "1");
    subscribed(&gateway, 1).await;
    emit(&gateway, vec![login(1, "bob")]).await;
    assert_eq!(field(&running.line(), "/sequence"), "2");
    let ran = running.interrupt();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(130), "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_tells() {
    let gateway = start().await;
    let nothing = run(&gateway, &["search"]);
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (Some(1), "", ""));
    let refused = run(&gateway, &["search", "--filter", "event.usr.name == 'x'"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    assert!(refused.err.starts_with("error: --filter "), "{}", refused.err);
    let refused = run(&gateway, &["search", "--type", "user.logni", "--user", "alice"]);
    let sentence = "error: --type \"user.logni\" is not an event type; nearest: user.login";
    assert!(refused.err.starts_with(sentence), "{}", refused.err);
    let refused = run(&gateway, &["count", "--since=2026-01-02", "--until=2026-01-01"]);
    assert!(refused.err.contains("--since") && refused.err.contains("--until"), "{}", refused.err);
    assert!(!refused.err.contains("start_time"), "{}", refused.err);
    let wrong = run(&gateway, &["search", "--since", "soon"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("\"soon\" is not a time"), "{}", wrong.err);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("a bound socket has an address");
    drop(listener);
    let away = run_at(nobody, 80, &["search"]);
    assert_eq!((away.code, away.out.as_str()), (Some(2), ""));
    let expected =
        format!("error: cannot connect to http://{nobody}: Connection refused (os error 111)\n");
    assert_eq!(away.err, expected);
}
