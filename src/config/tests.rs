use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use super::*;

/// The configuration that a file of this text makes, under these flags and
/// variables.
fn read(
    text: &str,
    flags: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> Result<LoadedSettings, Error> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    LoadedSettings::read(Some(file.path()), &overlay(flags, environment))
}

fn overlay(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> Overrides {
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    Overrides { flags: owned(flags), environment: owned(environment) }
}

fn refused(text: &str) -> String {
    let error = read(text, &[], &[]).expect_err(text);
    error.to_string()
}

#[test]
fn without_anything_the_defaults_are_in_force() {
    let loaded = LoadedSettings::read(None, &Overrides::default()).expect("valid");
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.origins.is_empty());
    assert!(loaded.settings.listen.ip().is_loopback());
}

#[test]
fn what_is_said_of_clients_needs_something_that_tells_them_apart() {
    let role = "[[access.roles]]\nname = \"a\"\nprincipals = [\"x\"]\nread = [\"user.*\"]\n";
    let token = format!("[[access.tokens]]\nprincipal = \"x\"\nsha256 = \"{}\"\n", "0".repeat(64));
    let said = refused(role);
    assert!(said.starts_with("access.roles of "), "{said}");
    assert!(said.ends_with("add [[access.tokens]], [[access.jwt]] or tls.client_ca"), "{said}");
    read(&format!("{role}{token}"), &[], &[]).expect("valid");
    for key in ["health", "reflection"] {
        let text = format!("[access]\n{key} = \"authenticated\"\n");
        assert!(refused(&text).starts_with(&format!("access.{key} of ")), "{key}");
        read(&format!("{text}{token}"), &[], &[]).expect("valid");
    }
}

#[test]
fn a_misspelt_variable_is_refused_and_one_of_others_is_not() {
    let misspelt = [("AUDITGATE_REDACT_SECRET", "true")];
    let refused = read("", &[], &misspelt).expect_err("misspelt").to_string();
    let said = "there is no variable AUDITGATE_REDACT_SECRET; nearest: AUDITGATE_REDACT_SECRETS";
    assert_eq!(refused, said);
    // As Kubernetes sets them for a service of this name, and one that is empty.
    let others = [
        ("AUDITGATE_SERVICE_HOST", "10.0.0.1"),
        ("AUDITGATE_SERVICE_PORT", "50051"),
        ("AUDITGATE_PORT", "tcp://10.0.0.1:50051"),
        ("AUDITGATE_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("AUDITGATE_PORT_50051_TCP_PROTO", "tcp"),
        ("AUDITGATE_REDACT_SECRET", ""),
    ];
    read("", &[], &others).expect("valid");
}

#[test]
fn a_signing_key_is_for_a_tree() {
    let tree = [("signing_key", "a.key"), ("merkle", "true")];
    read("", &tree, &[]).expect("valid");
    read("", &[("signing_key", "a.key"), ("data_dir", "d")], &[]).expect("valid");
    let without = [
        vec![("signing_key", "a.key")],
        vec![("signing_key", "a.key"), ("data_dir", "d"), ("merkle", "false")],
    ];
    for flags in without {
        let error = read("", &flags, &[]).expect_err("no tree");
        assert_eq!(error.key(), Some("signing_key"));
    }
}

#[test]
fn flags_go_before_variables_and_these_before_the_file() {
    let text = "[ring]\nbytes = \"1MiB\"\nrecords = 1\n";
    let variables =
        [("AUDITGATE_RING_BYTES", "2MiB"), ("AUDITGATE_LISTEN", "127.0.0.1:2"), ("HOME", "/")];
    let loaded = read(text, &[("ring.bytes", "3MiB")], &variables).expect("valid");
    assert_eq!(loaded.settings.ring.bytes, ByteSize(3 << 20));
    assert_eq!(loaded.settings.ring.records, 1);
    assert_eq!(loaded.settings.listen.port(), 2);
    let origin = |key: &str| loaded.origins.get(key).map(ToString::to_string);
    assert_eq!(origin("ring.bytes").as_deref(), Some("--ring-bytes"));
    assert_eq!(origin("listen").as_deref(), Some("AUDITGATE_LISTEN"));
    assert!(matches!(loaded.origins.get("ring.records"), Some(Origin::File(_))));
}

#[test]
fn paths_in_a_file_are_relative_to_its_folder_and_others_are_as_given() {
    let text = "[tls]\ncert = \"a.pem\"\nkey = \"/b.key\"\n[[access.jwt]]\nissuer = \"i\"\n\
                audiences = [\"a\"]\njwks = \"keys.json\"\n";
    let settings = read(text, &[("port_file", "port")], &[]).expect("valid").settings;
    let folder = std::env::temp_dir();
    assert_eq!(settings.tls.cert, Some(folder.join("a.pem")));
    assert_eq!(settings.tls.key.as_deref(), Some(Path::new("/b.key")));
    assert_eq!(
        settings.access.jwt.first().map(|jwt| jwt.jwks.clone()),
        Some(folder.join("keys.json"))
    );
    assert_eq!(settings.port_file.as_deref(), Some(Path::new("port")));
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded =
        LoadedSettings::read(None, &overlay(&[], &[("AUDITGATE_LISTEN", "")])).expect("valid");
    assert_eq!(loaded.settings, Settings::default());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    for (text, key, nearest) in [
        ("lisen = \"127.0.0.1:1\"", "lisen", "listen"),
        ("[ring]\nbyte = 1", "ring.byte", "ring.bytes"),
        ("client_ca = \"x\"", "client_ca", "tls.client_ca"),
        (
            "[[access.roles]]\nname = \"a\"\nprincipal = []",
            "access.roles[].principal",
            "access.roles[].principals",
        ),
    ] {
        let said = refused(text);
        assert!(said.contains(&format!("the key {key}, which does not exist")), "{said}");
        assert!(said.ends_with(&format!("nearest: {nearest}")), "{said}");
    }
    assert!(refused("zzzzzzzz = 1").ends_with("does not exist"));
}

#[test]
fn a_bad_value_is_refused_with_key_and_origin() {
    for (text, key, what) in [
        ("[ring]\nbytes = \"1023KiB\"", "ring.bytes", "too few"),
        ("[ring]\nbytes = \"12XB\"", "ring.bytes", "unknown unit"),
        ("[ring]\nrecords = 0", "ring.records", "from 1 to"),
        ("[ring]\nrecords = -1", "ring.records", "-1"),
        ("ring.records = 1.5", "ring.records", "1.5 is not a whole number of at least 0"),
        ("ring = 3", "ring", "3 is not a table"),
        ("ring.bytes = true", "ring.bytes", "true is not a number of bytes"),
        ("listen = \"nowhere\"", "listen", "\"nowhere\" is not an address and a port, such as 1"),
        ("listen = 50055", "listen", "50055 is not an address and a port"),
        ("admin.listen = \":1\"", "admin.listen", "\":1\" is not an address and a port"),
        ("insecure = \"yes\"", "insecure", "\"yes\" is not true or false"),
        ("data_dir = 7", "data_dir", "7 is not text"),
        ("log.level = \"loud\"", "log.level", "is not one of off, error, warn, info, debug"),
        ("access.roles = 1", "access.roles", "1 is not a list of tables"),
        ("access.roles = [1]", "access.roles[0]", "1 is not a table"),
        (
            "[[access.roles]]\nname = \"a\"\nprincipals = [\"a\"]\nread = [7]",
            "access.roles[0].read[0]",
            "7 is not text",
        ),
        ("[tls]\ncert = \"x\"", "tls.key", "missing"),
        ("[tls]\nclient_ca = \"x\"", "tls.client_ca", "tls.cert is not"),
        ("[tls]\nhandshake_timeout = \"1h\"", "tls.handshake_timeout", "from 1s to 60s"),
        ("[tls]\nclient_certificates = \"never\"", "tls.client_certificates", "never"),
        ("[[access.tokens]]\nprincipal = \"a\"\nsha256 = \"00\"", "access.tokens[0].sha256", "64"),
        ("[[access.tokens]]\nprincipal = \"a\"", "access.tokens[0]", "sha256"),
        (
            "[[access.roles]]\nname = \"a\"\nprincipals = []",
            "access.roles[0].principals",
            "is empty",
        ),
        (
            "[[access.roles]]\nname = \"a\"\nprincipals = [\"a\"]\nallow = [\"all\"]",
            "access.roles[0].allow[0]",
            "all",
        ),
    ] {
        let error = read(text, &[], &[]).expect_err(text);
        assert_eq!(error.key(), Some(key), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let error = read("", &[("ring.records", "many")], &[]).expect_err("not a number").to_string();
    assert_eq!(error, "ring.records of --ring-records: \"many\" is not a whole number");
    let error = read("", &[("listen", "localhost")], &[]).expect_err("no port").to_string();
    assert_eq!(
        error,
        "listen of --listen: \"localhost\" is not an address and a port, such as 127.0.0.1:50051 or localhost:50051"
    );
    let named = "listen = \"localhost:50055\"\nadmin.listen = \"localhost:7\"";
    let settings = read(named, &[], &[]).expect("names of hosts will do").settings;
    assert_eq!(settings.listen, "127.0.0.1:50055".parse().unwrap());
    assert_eq!(settings.admin.listen, Some("127.0.0.1:7".parse().unwrap()));
    let error = LoadedSettings::read(None, &overlay(&[], &[("AUDITGATE_RING_BYTES", "1B")]));
    let said = error.expect_err("too few").to_string();
    assert!(said.starts_with("ring.bytes of AUDITGATE_RING_BYTES: 1 bytes"), "{said}");
}

#[test]
fn the_names_of_event_types_are_checked() {
    let text = "[[access.roles]]\nname = \"a\"\nprincipals = [\"*\"]\nread = [\"user.logni\"]";
    let said = refused(text);
    assert!(said.starts_with("access.roles[0].read[0] is \"user.logni\""), "{said}");
}

#[test]
fn a_token_is_nobody_else_s_and_never_the_gateway_s() {
    let token = |name: &str, digit: char| {
        let hash = digit.to_string().repeat(64);
        format!("[[access.tokens]]\nprincipal = \"{name}\"\nsha256 = \"{hash}\"\n")
    };
    assert!(refused(&token("auditgate", '0')).contains("is reserved for the gateway"));
    assert!(refused(&token("", '0')).contains("is empty"));
    let twice = token("a", 'a') + &token("b", 'A');
    assert!(refused(&twice).contains("that of an earlier token"), "hashes ignore case");
    assert!(read(&(token("a", '0') + &token("a", '1')), &[], &[]).is_ok(), "one may have two");
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_refused() {
    let missing =
        LoadedSettings::read(Some(Path::new("/nonexistent/x.toml")), &Overrides::default());
    assert!(missing.expect_err("missing").to_string().contains("/nonexistent/x.toml"));
    assert!(refused("[ring").contains("is not TOML"));
}

#[test]
fn beyond_loopback_tls_and_authentication_are_asked_for() {
    let token = format!("[[access.tokens]]\nprincipal = \"a\"\nsha256 = \"{}\"\n", "0".repeat(64));
    let open = "listen = \"0.0.0.0:1\"\n";
    let tls = "[tls]\ncert = \"c\"\nkey = \"k\"\n";
    for (text, missing) in [
        (open.to_owned(), "TLS and authentication"),
        (format!("{open}{tls}"), "authentication"),
        (format!("{open}{token}"), "TLS"),
    ] {
        let said = refused(&text);
        assert!(said.contains(&format!("there is no {missing}:")), "{said}");
        assert!(read(&text, &[("insecure", "true")], &[]).is_ok(), "--insecure allows it");
    }
    assert!(read(&format!("{open}{tls}{token}"), &[], &[]).is_ok());
    assert!(read("listen = \"[::1]:1\"", &[], &[]).is_ok());
}

#[test]
fn what_is_shown_can_be_read_again_and_holds_no_secret() {
    let hash = "ab".repeat(32);
    let text = format!(
        "[[access.tokens]]\nprincipal = \"a\"\nsha256 = \"{hash}\"\n\
         [[access.roles]]\nname = \"r\"\nprincipals = [\"a\"]\nread = [\"session.*\"]\n"
    );
    let loaded = read(&text, &[("ring.bytes", "1MiB")], &[]).expect("valid");
    let shown = display(&loaded);
    assert!(!shown.contains(&hash), "{shown}");
    assert!(shown.contains("bytes = \"1MiB\"  # --ring-bytes"), "{shown}");
    assert!(shown.contains("listen = \"127.0.0.1:50051\"  # default"), "{shown}");
    let again = shown.replace("(hidden)", &hash);
    assert_eq!(read(&again, &[], &[]).expect("valid").settings, loaded.settings, "{shown}");
}

#[test]
fn every_key_is_described_and_its_variable_and_flag_are_its_own() {
    let mut names = std::collections::HashSet::new();
    for key in keys() {
        assert!(key.description.ends_with('.'), "{}: {:?}", key.path, key.description);
        if key.is_single() {
            assert!(names.insert(key.variable()) && names.insert(key.flag()), "{}", key.path);
            assert_ne!(key.flag(), "config", "that names the file");
            // Those of clients, which may run beside the gateway.
            for other in ["SERVER", "TOKEN_FILE", "CACERT", "CERT", "KEY", "CONFIG"] {
                assert_ne!(key.variable(), format!("AUDITGATE_{other}"));
            }
        }
        for (choice, meaning) in &key.choices {
            assert!(!choice.is_empty() && meaning.ends_with('.'), "{}", key.path);
        }
    }
    assert!(keys().iter().any(|key| key.path == "access.roles[].read"));
}

#[test]
fn the_page_of_all_keys_is_current() {
    let page = include_str!("../../docs/configuration.md");
    assert!(
        page == reference(),
        "docs/configuration.md is not what the keys say: renew it with `make docs`"
    );
}

#[test]
fn the_example_of_the_page_is_valid() {
    let page = reference();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let loaded = read(example.expect("an example"), &[], &[]).expect("valid");
    assert!(loaded.settings.authenticates() && loaded.settings.tls.is_on());
}

#[test]
fn a_log_on_disk_is_set_up_by_flags() {
    let flags = [
        ("data_dir", "/data"),
        ("sync", "interval=200ms"),
        ("retain.bytes", "1GiB"),
        ("retain.age", "30d"),
        ("strict", "true"),
    ];
    let settings = read("", &flags, &[]).expect("valid").settings;
    assert_eq!(settings.data_dir.as_deref(), Some(Path::new("/data")));
    let disk = settings.disk();
    let days = std::time::Duration::from_secs(30 * 24 * 60 * 60);
    assert_eq!(
        disk.sync,
        crate::log::disk::SyncPolicy::Interval(std::time::Duration::from_millis(200))
    );
    assert_eq!(
        (disk.retain.bytes, disk.retain.age, disk.strict),
        (Some(1 << 30), Some(days), true)
    );
    assert_eq!(settings.sync.to_string(), "interval=200ms");
    for (text, wanted) in [
        ("sync = \"sometimes\"", "is not always, interval=TIME or none"),
        ("data_dir = \"/d\"\nsync = \"interval=2m\"", "from 1ms to 60s"),
        ("data_dir = \"/d\"\n[retain]\nbytes = 1000", "at least 64MiB"),
        ("data_dir = \"/d\"\n[retain]\nage = \"1ms\"", "at least 1s"),
        ("strict = true", "needs a log on disk: set data_dir too"),
    ] {
        let error = refused(text);
        assert!(error.contains(wanted), "{text}: {error}");
    }
}
