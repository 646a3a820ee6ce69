//! What is masked within text, and what is not. The secret is `S3cr3t!Value`.

mod dense;

use super::*;

/// The text masked as that of an event by itself.
fn mask(text: &str) -> Option<String> {
    super::mask(text, &MaskBudget::new(text.len(), None))
}

const SECRET: &str = "S3cr3t!Value";

/// The secret is gone, and the rest is as written: `*` stands for the marker, `$` for
/// the secret.
#[track_caller]
fn masks(text: &str, expected: &str) {
    let text = text.replace('$', SECRET);
    let masked = mask(&text).unwrap_or_else(|| panic!("not masked: {text}"));
    assert_eq!(masked, expected.replace('*', MARKER), "{text}");
    assert!(!masked.contains(SECRET), "{masked}");
    assert_eq!(mask(&masked), None, "what is masked stays: {masked}");
}

#[test]
fn urls_lose_user_info_and_values() {
    masks("postgres://alice:$@db:5432/orders", "postgres://*@db:5432/orders");
    masks("git clone https://$@github.com/a/b.git x", "git clone https://*@github.com/a/b.git x");
    masks("https://a:b@$@h/", "https://*@h/");
    masks("redis://:$@cache", "redis://*@cache");
    masks("amqp://u:$/a@mq/vhost", "amqp://*@mq/vhost");
    masks("amqp://u:$?a#b@mq/vhost", "amqp://*@mq/vhost");
    masks("see https://h/p?sig=$&x=$;y#top", "see https://h/p?sig=*&x=*;y#top");
    masks("https://h/cb#access=$&state=1", "https://h/cb#access=*&state=*");
    masks(r#"{"url":"https://u:$@h/?a=1"}"#, r#"{"url":"https://*@h/?a=*"}"#);
    masks("jdbc:mysql://h/d?user=u&password=$", "jdbc:mysql://h/d?user=*&password=*");
}

#[test]
fn arguments_lose_their_secrets() {
    masks("login --password=$ -v", "login --password=* -v");
    masks("login --password $ -v", "login --password * -v");
    masks("login -password '$ x' -v", "login -password '*' -v");
    masks(r#"login --api-key "$ x" -v"#, r#"login --api-key "*" -v"#);
    masks("x --client-secret=$", "x --client-secret=*");
    masks("x --db.pass $", "x --db.pass *");
    masks("PGPASSWORD=$ psql -h db", "PGPASSWORD=* psql -h db");
    masks("AWS_SECRET_ACCESS_KEY=$ aws s3 ls", "AWS_SECRET_ACCESS_KEY=* aws s3 ls");
    masks("sh -c \"PASS='$' run\"", "sh -c \"PASS='*' run\"");
    masks("host=db password=$ user=u", "host=db password=* user=u");
    masks("vault login token $9", "vault login token *");
    masks("password '$'", "password '*'");
    masks("curl -u alice:$ https://h", "curl -u alice:* https://h");
    masks("curl -s --user 'alice:$' https://h", "curl -s --user 'alice:*' https://h");
    masks("mysql -u root -p$ orders", "mysql -u root -p* orders");
    masks("sshpass -p $ ssh h", "sshpass -p * ssh h");
}

#[test]
fn headers_json_and_sql_lose_theirs() {
    masks("curl -H 'Authorization: Bearer $ x' u", "curl -H 'Authorization: *' u");
    masks("Cookie: a=$; b=$", "Cookie: *");
    masks("X-Api-Key: $", "X-Api-Key: *");
    masks("sent Bearer $", "sent Bearer *");
    masks(r#"{"password": "$ \" x", "n": 1}"#, r#"{"password": "*", "n": 1}"#);
    masks(r#"{"password":"$","n":1}"#, r#"{"password":"*","n":1}"#);
    masks(r#""{\"token\":\"$\",\"n\":1}""#, r#""{\"token\":\"*\",\"n\":1}""#);
    masks("ALTER USER u IDENTIFIED BY '$'", "ALTER USER u IDENTIFIED BY '*'");
    masks("SET PASSWORD FOR u = PASSWORD('$')", "SET PASSWORD FOR u = PASSWORD('*')");
    masks("WHERE password == '$'", "WHERE password == '*'");
    masks("ALTER ROLE u PASSWORD '$'", "ALTER ROLE u PASSWORD '*'");
}

#[test]
fn keys_and_tokens_are_told_by_their_form() {
    masks("x -----BEGIN RSA PRIVATE KEY-----\n$\n-----END RSA PRIVATE KEY----- y", "x * y");
    masks("-----BEGIN PRIVATE KEY-----\n$", "*");
    masks("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here", "got * here");
}

#[test]
fn a_quote_that_is_not_closed_goes_on_to_the_end() {
    masks("--password='$ and more $", "--password=*");
    masks("--password=\"$ and more $", "--password=*");
    masks(r#"\"token\":\"$ and $"#, r#"\"token\":*"#);
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "ls -l /srv",
        "token expired",
        "the secret is out",
        "a basic login by the bearer of bad news",
        "https://example.com:8443/path/@user/x#top",
        "http://[fd00::1]:80/a@b",
        "ssh -p 22 alice@host",
        "--password --verbose",
        "max_tokens=5",
        "bypass=true",
        "--token-file=/run/token",
        "-s token bucket",
        "SELECT key FROM orders",
        "--password=[redacted]",
        "https://[redacted]@h/?a=[redacted]",
    ] {
        assert_eq!(mask(text), None, "{text}");
    }
}

#[test]
fn queries_by_themselves_lose_their_values() {
    assert_eq!(mask_query("a=1&b=&c").as_deref(), Some("a=[redacted]&b=&c"));
    assert_eq!(mask_query("a"), None);
    assert_eq!(mask_query("a=b=c;d==").as_deref(), Some("a=[redacted];d=[redacted]"));
}

fn list(program: Option<&str>, texts: &[&str]) -> Vec<String> {
    let mut arguments = Arguments::default();
    let budget = &MaskBudget::new(0, None);
    program.into_iter().for_each(|program| arguments.tell(program, budget));
    let mask = |text: &&str| arguments.mask(text, budget).unwrap_or_else(|| (*text).to_owned());
    texts.iter().map(mask).map(|text| text.replace(MARKER, "*")).collect()
}

#[test]
fn a_flag_announces_a_secret() {
    for flag in ["--password", "-token", "--api-key", "--AWS.secret", "--pass"] {
        assert_eq!(list(None, &[flag, SECRET]), [flag, "*"]);
    }
    for other in ["--password=x y", "password", "--token-file", "-p", "--bypass", "token x"] {
        assert_eq!(list(None, &[other, SECRET])[1], SECRET, "{other}");
    }
}

#[test]
fn arguments_are_those_of_their_program() {
    assert_eq!(list(None, &["mysql", "-pa b", "x"]), ["mysql", "-p*", "x"]);
    assert_eq!(list(Some("/usr/bin/mysql"), &["-pa b", "-P", "3306"]), ["-p*", "-P", "3306"]);
    assert_eq!(list(Some("curl"), &["-su", "bob:a b", "u"]), ["-su", "bob:*", "u"]);
    assert_eq!(list(None, &["sudo", "redis-cli", "-a", "x"]), ["sudo", "redis-cli", "-a", "*"]);
    assert_eq!(list(None, &["docker", "run", "-p", "80:80"]), ["docker", "run", "-p", "80:80"]);
    assert_eq!(list(None, &["docker", "login", "-p", "x"]), ["docker", "login", "-p", "*"]);
    assert_eq!(list(None, &["env", "PASSWORD=a b"]), ["env", "PASSWORD=*"]);
    let update = "UPDATE users SET password = $1 WHERE id = $2";
    assert_eq!(list(Some(update), &["x", "7"]), ["*", "*"]);
    assert_eq!(list(Some("SELECT password FROM users WHERE id = $1"), &["7"]), ["7"]);
}

#[test]
fn values_are_read_as_sql_has_them() {
    for (text, expected) in [
        ("CREATE LOGIN b WITH PASSWORD = N'$'", "CREATE LOGIN b WITH PASSWORD = N'*'"),
        ("ALTER USER b IDENTIFIED BY '$''$' x", "ALTER USER b IDENTIFIED BY '*' x"),
        ("ALTER ROLE b PASSWORD E'$\\'$' VALID", "ALTER ROLE b PASSWORD E'*' VALID"),
        ("ALTER ROLE b PASSWORD $$ $$$", "ALTER ROLE b PASSWORD $$*$$"),
        ("ALTER USER b IDENTIFIED BY q'[$]'", "ALTER USER b IDENTIFIED BY q'[*]'"),
        ("SET PASSWORD FOR 'b'@'h' = '$'", "SET PASSWORD FOR 'b'@'h' = '*'"),
        ("IDENTIFIED BY '$' REPLACE '$'", "IDENTIFIED BY '*' REPLACE '*'"),
        ("IDENTIFIED VIA p USING '$' OR q USING '$'", "IDENTIFIED VIA p USING '*' OR q USING '*'"),
        ("ALTER ROLE b PASSWORD -- it's\n '$'", "ALTER ROLE b PASSWORD -- it's\n '*'"),
        (
            "INSERT INTO t (a, password) VALUES (1, '$'), (2, '$')",
            "INSERT INTO t (a, password) VALUES (1, '*'), (2, '*')",
        ),
        (
            "UPDATE t SET password = '$' WHERE n = 'bob'",
            "UPDATE t SET password = '*' WHERE n = 'bob'",
        ),
        (
            "SELECT 1 FROM t WHERE password IN ('$', '$') AND n = 'x'",
            "SELECT 1 FROM t WHERE password IN ('*', '*') AND n = 'x'",
        ),
    ] {
        // The secret stands for `$` only where it is not a quote.
        let text = text.replace("$$ $$$", "\u{1}").replace('$', SECRET);
        let text = text.replace('\u{1}', &format!("$${SECRET}$$"));
        let masked = mask(&text).unwrap_or_else(|| panic!("not masked: {text}"));
        assert_eq!(masked, expected.replace('*', MARKER), "{text}");
        assert_eq!(mask(&masked), None, "what is masked stays: {masked}");
    }
}

#[test]
fn comments_stand_between_a_word_and_its_value() {
    let masked = mask("ALTER ROLE b /* a */ PASSWORD /* it's new */ = /**/ 'x' VALID");
    let expected = "ALTER ROLE b /* a */ PASSWORD /* it's new */ = /**/ '[redacted]' VALID";
    assert_eq!(masked.as_deref(), Some(expected));
}

#[test]
fn values_are_read_as_shells_have_them() {
    for (text, expected) in [
        ("PASSWORD=$'a\\'$' run", "PASSWORD=$'*' run"),
        ("mysql -p'a $' db", "mysql -p'*' db"),
        ("PASS=a\"b $\"'c'\\ d run", "PASS=* run"),
        ("sh -c 'PASS='\\''$'\\'' run'", "sh -c 'PASS='\\''*'\\'' run'"),
        (r#""sh -c 'PASS='\\''$'\\'' run'""#, r#""sh -c 'PASS='\\''*'\\'' run'""#),
        (r#"["mysql", "-p$", "db"]"#, r#"["mysql", "-p*", "db"]"#),
        (r#"["login", "--password", "$", "db"]"#, r#"["login", "--password", "*", "db"]"#),
        ("echo $ | sudo -S ls", "echo * | sudo -S ls"),
    ] {
        let text = text.replace("$'a", "\u{1}").replace('$', SECRET).replace('\u{1}', "$'a");
        let masked = mask(&text).unwrap_or_else(|| panic!("not masked: {text}"));
        assert_eq!(masked, expected.replace('*', MARKER), "{text}");
    }
}

#[test]
fn long_texts_are_masked_in_full() {
    let text = format!("{} --password={}", "token ".repeat(20_000), "x".repeat(100_000));
    let masked = mask(&text).expect("masked");
    assert!(masked.ends_with(" --password=[redacted]"));
}

/// In some bytes each that announces something there is dozens of times as much work as in ordinary text.
#[test]
fn a_text_that_is_all_secrets_is_masked_to_its_end() {
    const TIMES: usize = 10_000;
    let names = ["pass=a&", "pass ", "psw a1 ", "user:pw=x ", "http://'", "http://a.b ", "sk-.."]
        .map(|unit| unit.repeat(TIMES));
    for text in names {
        let masked = mask(&format!("{text} kept for now")).expect("masked");
        assert!(masked.ends_with(MARKER), "{}", &masked[masked.len() - 40..]);
        assert!(masked.len() < 2 * text.len(), "{} bytes", masked.len());
        let spent = &MaskBudget::new(text.len(), None);
        super::mask(&text, spent);
        assert!(super::mask("token then", spent).is_some_and(|masked| masked.ends_with(MARKER)));
        assert_eq!(super::mask("then", spent), None, "nothing is announced");
    }
    // As dense as they come.
    for line in ["{\"token\":\"a1b2c3d4\"},", "token=a1b2c3d4&n=1&", "--password hunter2 -v "] {
        let masked = mask(&format!("{} kept", line.repeat(TIMES))).expect("masked");
        assert_eq!(masked.matches(MARKER).count(), TIMES);
        assert!(masked.ends_with(" kept"));
    }
    assert_eq!(mask("a pass "), None);
}

/// A call that has ended does not keep its thread.
#[test]
fn what_nobody_waits_for_is_not_looked_through() {
    let text = format!("{} password=x", "word ".repeat(100_000));
    let abandoned = crate::content::Abandoned::default();
    let waits = abandoned.on_drop();
    let masked =
        |text: &str| super::mask(text, &MaskBudget::new(text.len(), Some(abandoned.clone())));
    assert_eq!(masked(&text), Some(format!("{} password=[redacted]", "word ".repeat(100_000))));
    drop(waits);
    // Nothing of it is shown, either, though it is not known yet whether there are secrets in it.
    let plain = "x ".repeat(100_000);
    assert!(masked(&plain).is_some_and(|masked| masked.len() < plain.len() / 10));
    let rest = masked(&text).expect("masked");
    assert!(rest.ends_with(MARKER) && rest.len() < text.len() / 10, "{} bytes", rest.len());
}

/// Hints are looked for in slices of 64 KiB.
#[test]
fn a_hint_is_found_wherever_it_is() {
    let hints = || HINTS.iter().chain(&MORE_HINTS);
    assert!(hints().all(|hint| hint.len() <= 16));
    for begin in (64 * 1024 - 16)..=(64 * 1024) {
        for hint in ["://", "openssl", "securestring"] {
            let text = format!("{}{hint}", " ".repeat(begin));
            assert!(has_hint(&text, &MaskBudget::new(0, None)), "{hint} at {begin}");
        }
        assert!(!has_hint(&" ".repeat(begin + 16), &MaskBudget::new(0, None)));
    }
}

/// What was read again and again: 128 KiB of some of them took 13 s of a release build.
#[test]
fn what_is_read_in_vain_is_not_read_again() {
    const BYTES: usize = 64 * 1024;
    const TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);
    for unit in [
        "//",
        "http://'",
        "http://;",
        "http://'x@",
        "\\",
        "\\\\x",
        "//\\\\",
        "sk-..",
        "eyJ--",
        "eyJaaaaaaaa.",
        "AKIA.",
        "npm_.",
        "|sudo -S ",
        "/*'//*/",
        "http://\\\"",
        "pass=\\",
        "Cookie: \\",
        "a:b@tcp(",
        "épass",
        "connect a/b ",
        "pass='x'/*",
        "pass $$",
        "<pass ",
        "-----BEGIN ",
        "pass=$(",
        "pass=\\'",
    ] {
        for before in ["token \"", "echo "] {
            for filler in [" ", "/"] {
                let text = format!(
                    "{before}{}{}",
                    filler.repeat(BYTES / 2),
                    unit.repeat(BYTES / unit.len())
                );
                let started = std::time::Instant::now();
                let _ = mask(&text);
                let took = started.elapsed();
                assert!(took < TIME_MAX, "{before:?}, {filler:?}, {unit:?}: {took:?}");
            }
        }
    }
}

/// What a person wrote who did not know how secrets are found: `CNRY` is in each part of each secret.
fn held_out<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/tests/fixtures/secrets/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let lines = std::fs::read_to_string(path).expect("the fixture");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn nothing_is_left_in_lines_that_were_held_out() {
    let lines: Vec<String> = held_out("lines");
    assert!(lines.len() > 550, "{}", lines.len());
    for line in &lines {
        let shown = mask(line).unwrap_or_else(|| line.clone());
        assert!(!shown.contains("CNRY"), "{line}\n{shown}");
        assert_eq!(mask(&shown), None, "{line}\n{shown}");
    }
}

#[test]
fn nothing_is_left_in_arguments_that_were_held_out() {
    let lists: Vec<Vec<String>> = held_out("arguments");
    assert!(lists.len() > 500, "{}", lists.len());
    for list in &lists {
        let mut arguments = Arguments::default();
        let budget = &MaskBudget::new(0, None);
        let mask = |text: &String| arguments.mask(text, budget).unwrap_or_else(|| text.clone());
        let shown: Vec<String> = list.iter().map(mask).collect();
        assert!(!shown.concat().contains("CNRY"), "{list:?}\n{shown:?}");
    }
}

/// The other ones hold a form that the pages say is masked: user info and queries of URLs, and a
/// quoted word behind `secret`.
#[test]
fn harmless_lines_that_were_held_out_stay() {
    let lines: Vec<String> = held_out("harmless");
    let changed: Vec<&String> = lines.iter().filter(|line| mask(line).is_some()).collect();
    assert!(changed.len() * 90 <= lines.len(), "{changed:#?}");
}
