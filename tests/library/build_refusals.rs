//! The build refuses an event type that is not described in full, with a
//! sentence that names the variant to blame.

#[path = "../../build/catalog.rs"]
mod catalog;

use catalog::{Code, EventType, Refusal};
use prost_reflect::DescriptorPool;

/// A variant `user_login` that nothing is wrong with.
const GOOD: &str = r#"
    UserLogin user_login = 101 [(auditgate.v1.event_type) = {
      type: "user.login"
      category: CATEGORY_USER
      severity: SEVERITY_INFO
      description: "A user tried to log in."
      codes: [
        {code: "T1I" result: RESULT_SUCCESS severity: SEVERITY_INFO description: "accepted"},
        {code: "T1W" result: RESULT_FAILURE severity: SEVERITY_WARNING description: "refused"}
      ]
    }];"#;

/// Reads the event types of a protocol whose `Event.payload` has `variants`.
fn read(variants: &str) -> Result<Vec<EventType>, Refusal> {
    read_file(&format!(
        "message Event {{ optional string id = 1; oneof payload {{ {variants} }} }}
         message UserLogin {{}}
         message UserLogout {{}}
         message User {{}}
         message UserEvent {{}}"
    ))
}

fn read_file(body: &str) -> Result<Vec<EventType>, Refusal> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("event.proto");
    let header = r#"syntax = "proto3";
        package auditgate.v1;
        import "auditgate/v1/annotations.proto";"#;
    std::fs::write(&file, format!("{header}\n{body}")).expect("the folder is writable");
    let mut compiler =
        protox::Compiler::new([folder.path(), "proto".as_ref()]).expect("both folders exist");
    compiler.include_imports(true).open_file(&file).unwrap_or_else(|error| panic!("{error:?}"));
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())
        .expect("the compiler writes what it compiled");
    catalog::read(&pool)
}

fn refusal(variants: &str) -> String {
    read(variants).expect_err("the build must refuse this").to_string()
}

#[test]
fn a_full_description_is_read_as_it_stands() {
    let logout = GOOD
        .replace("UserLogin user_login = 101", "UserLogout user_logout = 100")
        .replace("user.login", "user-logout");
    let types = read(&format!("{GOOD}{logout}")).expect("nothing is wrong");
    let names: Vec<_> = types.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["user-logout", "user.login"], "sorted by name, not by number");
    let code = |code: &str, result, severity, description: &str| Code {
        code: code.into(),
        result,
        severity,
        description: description.into(),
    };
    assert_eq!(
        types[1],
        EventType {
            name: "user.login".into(),
            field_name: "user_login".into(),
            number: 101,
            message: "UserLogin".into(),
            category: 19,
            severity: 1,
            description: "A user tried to log in.".into(),
            codes: vec![code("T1I", 1, 1, "accepted"), code("T1W", 2, 2, "refused")],
        }
    );

    let source = catalog::source(&types);
    assert!(source.contains(r#"EventType { name: "user.login", field_name: "user_login","#));
    assert!(source.contains("pb::event::Payload::UserLogout(_) => TypeId(0),"));
    assert!(source.contains("pb::event::Payload::UserLogin(_) => TypeId(1),"));
}

#[test]
fn a_variant_needs_the_option() {
    assert_eq!(
        refusal("UserLogin user_login = 101;"),
        "variant user_login of auditgate.v1.Event lacks the option (auditgate.v1.event_type)"
    );
}

#[test]
fn two_variants_may_not_share_a_type() {
    let twin = GOOD.replace("user_login = 101", "user_logged_in = 102");
    assert_eq!(
        refusal(&format!("{GOOD}{twin}")),
        r#"variant user_logged_in of auditgate.v1.Event has the type "user.login", as user_login has"#
    );
}

/// Each row changes one thing in [`GOOD`].
#[test]
fn a_variant_with_one_thing_wrong_is_refused() {
    let rows = [
        (r#"type: "user.login""#, "", "has an empty type"),
        (
            r#"type: "user.login""#,
            r#"type: "user.log-in""#,
            r#"has the type "user.log-in": its name must be user_log_in"#,
        ),
        ("= 101", "= 99", "has the number 99: variants begin at 100"),
        ("UserLogin user", "string user", "is not a message"),
        (
            "UserLogin user",
            "UserLogout user",
            "has the message UserLogout: its name must be UserLogin, with a suffix only if that \
             is taken",
        ),
        ("category: CATEGORY_USER", "", "has no category"),
        ("category: CATEGORY_USER", "category: CATEGORY_UNSPECIFIED", "has no category"),
        ("severity: SEVERITY_INFO\n", "\n", "has no severity"),
        (r#"description: "A user tried to log in.""#, "", "has no description"),
        (
            r#"code: "T1I""#,
            "",
            r#"has a code "" without all of code, result, severity and description"#,
        ),
        (
            "result: RESULT_SUCCESS",
            "",
            r#"has a code "T1I" without all of code, result, severity and description"#,
        ),
        (
            "severity: SEVERITY_WARNING",
            "",
            r#"has a code "T1W" without all of code, result, severity and description"#,
        ),
        (
            r#"description: "refused""#,
            "",
            r#"has a code "T1W" without all of code, result, severity and description"#,
        ),
        (r#"code: "T1W""#, r#"code: "T1I""#, r#"has the code "T1I" twice"#),
    ];
    for (right, wrong, sentence) in rows {
        assert!(GOOD.contains(right), "{right}");
        assert_eq!(
            refusal(&GOOD.replacen(right, wrong, 1)),
            format!("variant user_login of auditgate.v1.Event {sentence}")
        );
    }
}

#[test]
fn a_suffix_needs_the_plain_name_to_be_taken() {
    let user = |message: &str| {
        GOOD.replace("UserLogin user_login", &format!("{message} user"))
            .replace("user.login", "user")
    };
    let types = read(&user("UserEvent")).expect("the message User is something else");
    assert_eq!(types[0].message, "UserEvent");

    let free = GOOD
        .replace("UserLogin user_login", "UserEvent use")
        .replace(r#"type: "user.login""#, r#"type: "use""#);
    assert_eq!(
        refusal(&free),
        "variant use of auditgate.v1.Event has the message UserEvent: its name must be Use, with \
         a suffix only if that is taken"
    );
}

#[test]
fn types_of_custom_events_are_not_for_the_catalog() {
    let custom = GOOD
        .replace("UserLogin user_login", "UserLogin custom_user_login")
        .replace("user.login", "custom.user.login");
    assert_eq!(
        refusal(&custom),
        r#"variant custom_user_login of auditgate.v1.Event has the type "custom.user.login": custom. is for names that emitters give"#
    );
}

#[test]
fn the_envelope_stays_below_the_variants() {
    let refusal = read_file(&format!(
        "message Event {{ optional string id = 100; oneof payload {{ {GOOD} }} }}
         message UserLogin {{}}"
    ))
    .expect_err("the build must refuse this");
    assert_eq!(
        refusal.to_string(),
        "field id of auditgate.v1.Event has the number 100: those from 100 on are variants of \
         payload"
    );
}

#[test]
fn a_protocol_without_events_is_refused() {
    let sentence = |body| read_file(body).expect_err("the build must refuse this").to_string();
    assert_eq!(sentence("message Events {}"), "message auditgate.v1.Event is not defined");
    assert_eq!(sentence("message Event {}"), "auditgate.v1.Event has no oneof payload");
}
