use super::*;
use crate::config::{LoadedSettings, Overrides};
use crate::delivery::destination::Config;

fn read(text: &str) -> Result<Settings, Error> {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    LoadedSettings::read(Some(file.path()), &Overrides::default()).map(|loaded| loaded.settings)
}

/// A configuration with one delivery.
fn with(delivery: &str, filter: &str, destination: &str) -> String {
    format!(
        "data_dir = \"/d\"\n[[delivery]]\nname = \"siem\"\n{delivery}\n[delivery.filter]\n{filter}\n\
         [delivery.destination]\n{destination}\n"
    )
}

const HTTP: &str = "kind = \"http\"\nurl = \"https://siem.example.com/in\"";

#[test]
fn a_delivery_needs_a_name_and_a_destination() {
    let settings = read(&with("", "types = [\"user.*\"]", HTTP)).expect("valid");
    let configs = settings.deliveries().expect("valid");
    let [one] = configs.as_slice() else { panic!("one delivery") };
    assert_eq!((one.name.as_str(), one.in_flight), ("siem", 1));
    assert_eq!(one.start, DeliveryStart::Earliest);
    assert_eq!(one.filter.types, ["user.*"]);
    assert_eq!(one.destination.identity(), "http https://siem.example.com/in");
    let directory = settings.delivery_directory().expect("in the data directory");
    assert_eq!(directory, std::path::Path::new("/d/deliveries"));
}

#[test]
fn one_gateway_of_a_shared_log_runs_a_delivery() {
    let shared = |run_on: &str| {
        let text = with(run_on, "", HTTP);
        let (shared, key) = ("[shared]\nname = \"a\"", "cluster_key = \"/k\"");
        format!("{text}{shared}\n{key}\nservers = [\"nats://127.0.0.1\"]\n")
    };
    let elsewhere = |run_on: &str| {
        let configs = read(&shared(run_on))?.deliveries()?;
        Ok::<_, Error>(configs.first().expect("one").elsewhere.clone())
    };
    assert_eq!(elsewhere("run_on = \"a\"").expect("valid"), None);
    assert_eq!(elsewhere("run_on = \"b\"").expect("valid").as_deref(), Some("b"));
    let missing = elsewhere("").expect_err("missing").to_string();
    assert!(missing.contains("delivery[0].run_on") && missing.contains("\"a\""), "{missing}");
    let alone = read(&with("run_on = \"a\"", "", HTTP)).expect_err("not shared").to_string();
    assert!(alone.contains("this gateway shares no log"), "{alone}");
}

#[test]
fn every_mistake_is_refused_with_its_key() {
    let cases = [
        (("name = 1", "", HTTP), "duplicate key"),
        (("start = \"soon\"", "", HTTP), "delivery[0].start"),
        (("batch_records = 0", "", HTTP), "delivery[0].batch_records"),
        (("batch_bytes = 10", "", HTTP), "must be from 1KiB to 16MiB"),
        (("batch_time = \"2m\"", "", HTTP), "must be from 1ms to 1m"),
        (("in_flight = 65", "", HTTP), "must be from 1 to 64"),
        (("hold = true", "", HTTP), "set hold_bytes or hold_age"),
        (("hold_age = \"1d\"", "", HTTP), "needs hold = true"),
        (("hold = true\nhold_age = \"1s\"", "", HTTP), "must be from 1m to 3650d"),
        (("", "types = [\"usr.*\"]", HTTP), "delivery[0].filter.types[0]"),
        (("", "categories = [\"sql\"]", HTTP), "delivery[0].filter.categories[0]"),
        (("", "min_severity = \"high\"", HTTP), "\"high\" is not one of info, warning"),
        (("", "labels = [\"x\"]", HTTP), "is not KEY=VALUE"),
        (("", "expression = \"1 +\"", HTTP), "delivery[0].filter.expression"),
        (("", "", "kind = \"http\""), "delivery[0].destination.url"),
        (("", "", "kind = \"kafka\""), "is not one of http, otlp, splunk"),
        (("", "", "kind = \"http\"\nurl = \"siem\""), "must begin with http:// or https://"),
        (("", "", "kind = \"http\"\nurl = \"https://a:b@x/\""), "(hidden)@x"),
        (
            ("", "", "kind = \"http\"\nurl = \"https://x\"\npath = \"/p\""),
            "has no effect with kind",
        ),
        (
            ("", "", "kind = \"http\"\nurl = \"http://x\"\ntoken_env = \"T\""),
            "sends a token over http",
        ),
        (("", "", "kind = \"http\"\nurl = \"https://x\"\nuser = \"u\""), "needs token_file"),
        (("", "", "kind = \"http\"\nurl = \"http://x\"\nca_file = \"c\""), "without TLS"),
        (("", "", "kind = \"http\"\nurl = \"https://x\"\ncert_file = \"c\""), "key_file"),
        (("", "", "kind = \"http\"\nurl = \"https://x\"\ntimeout = \"1h\""), "from 1s to 10m"),
        (
            ("", "", "kind = \"http\"\nurl = \"https://x\"\ntoken_file = \"a\"\ntoken_env = \"b\""),
            "cannot be used with token_file",
        ),
        (("", "", "kind = \"otlp\"\nurl = \"http://localhost:4317\"\nbody = \"lines\""), "kind"),
        (
            ("format = \"ecs\"", "", "kind = \"otlp\"\nurl = \"http://localhost:4317\""),
            "ecs is not a format that kind = \"otlp\" takes",
        ),
        (("format = \"otlp\"", "", HTTP), "otlp is not a format that kind = \"http\" takes"),
        (
            ("format = \"cef\"", "", "kind = \"http\"\nurl = \"https://x\"\nbody = \"array\""),
            "or body = \"lines\" for text",
        ),
        (
            ("", "", "kind = \"splunk\"\nurl = \"https://x:8088\""),
            "delivery[0].destination.token_file",
        ),
        (("", "", "kind = \"elasticsearch\"\nurl = \"https://x:9200\""), "destination.index"),
        (
            ("", "", "kind = \"elasticsearch\"\nurl = \"https://x\"\nindex = \"../x\""),
            "must be lowercase letters",
        ),
        (("", "", "kind = \"syslog\"\nurl = \"https://x:1\""), "tls://HOST:PORT"),
        (("", "", "kind = \"syslog\"\nurl = \"tls://x\""), "tls://HOST:PORT"),
        (
            ("", "", "kind = \"syslog\"\nurl = \"tls://x:6514\"\nfacility = \"x\""),
            "is not one of kern",
        ),
        (("", "", "kind = \"syslog\"\nurl = \"tls://x:6514\"\nsd_id = \"x\""), "NAME@NUMBER"),
        (("", "", "kind = \"file\""), "delivery[0].destination.path"),
        (("", "", "kind = \"file\"\npath = \"/p\"\nrotate_bytes = 1"), "at least 1MiB"),
    ];
    for ((delivery, filter, destination), said) in cases {
        let text = with(delivery, filter, destination);
        let error = read(&text).expect_err(&text).to_string();
        assert!(error.contains(said), "{text}\n{error}\nlacks {said}");
    }
}

#[test]
fn deliveries_need_a_directory_and_names_of_their_own() {
    let memory = with("", "", HTTP).replace("data_dir = \"/d\"\n", "");
    let error = read(&memory).expect_err("no directory").to_string();
    assert!(error.ends_with("set delivery_dir or data_dir"), "{error}");
    let apart = format!("delivery_dir = \"/x\"\n{memory}");
    let settings = read(&apart).expect("valid");
    assert_eq!(settings.delivery_directory().as_deref(), Some(std::path::Path::new("/x")));
    let held = apart.replace("name = \"siem\"", "name = \"siem\"\nhold = true\nhold_age = \"1d\"");
    assert!(read(&held).expect_err("in memory").to_string().contains("needs a log on disk"));
    let one = with("", "", HTTP);
    let (_, again) = one.split_once('\n').expect("two lines");
    let twice = format!("{one}\n{again}");
    assert!(read(&twice).expect_err("twice").to_string().contains("an earlier delivery"));
    for name in ["", "A", "a b", "../x", "-a", &"a".repeat(65)] {
        let text = one.replace("\"siem\"", &format!("{name:?}"));
        let error = read(&text).expect_err(name).to_string();
        assert!(error.contains("must be 1 to 64 lowercase letters"), "{error}");
    }
}

#[test]
fn each_kind_knows_its_address() {
    let cases = [
        ("kind = \"syslog\"\nurl = \"tls://[::1]:6514\"", "syslog tls://[::1]:6514"),
        ("kind = \"syslog\"\nurl = \"tcp://logs:601\"", "syslog tcp://logs:601"),
        ("kind = \"file\"\npath = \"/out\"", "file /out"),
        (
            "kind = \"otlp\"\nurl = \"http://localhost:4317\"",
            "otlp http://localhost:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        ),
        (
            "kind = \"splunk\"\nurl = \"https://x:8088/\"\ntoken_env = \"T\"\nindex = \"main\"",
            "splunk https://x:8088/services/collector/event index main",
        ),
    ];
    for (destination, identity) in cases {
        let settings = read(&with("", "", destination)).expect("valid");
        let configs = settings.deliveries().expect("valid");
        assert_eq!(configs[0].destination.identity(), identity);
    }
    let text = "kind = \"elasticsearch\"\nurl = \"https://x:9200\"\nindex = \"logs-audit\"\n\
                token_env = \"T\"";
    let configs = read(&with("", "", text)).expect("valid").deliveries().expect("valid");
    let Config::Elasticsearch(elastic) = &configs[0].destination else { panic!("its kind") };
    assert!(elastic.adds_timestamp);
    assert!(elastic.endpoint.url.path().ends_with("/logs-audit/_bulk"), "{}", elastic.endpoint.url);
}
