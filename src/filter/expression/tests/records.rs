//! Records that expressions are evaluated on.

use prost_types::value::Kind as Json;

use crate::proto::pb;
use crate::proto::pb::event::Payload;

pub(super) fn json(kind: Json) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

pub(super) fn timestamp(text: &str) -> prost_types::Timestamp {
    text.parse().expect("a timestamp")
}

pub(super) fn record(event: pb::Event, record_type: &str) -> pb::Record {
    pb::Record {
        sequence: 42,
        accept_time: Some(timestamp("2026-11-23T18:30:00.5Z")),
        emitter: Some(pb::Emitter { principal: "billing".into(), peer: "10.0.0.9:1234".into() }),
        r#type: record_type.into(),
        severity: pb::Severity::Warning as i32,
        result: pb::Result::Failure as i32,
        event: Some(event),
        ..Default::default()
    }
}

pub(super) fn login() -> pb::Record {
    let strings = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let user = pb::User {
        name: Some("alice".into()),
        login: Some(String::new()),
        roles: strings(&["admin", "editor"]),
        kind: Some(pb::UserKind::Human as i32),
        traits: [("teams".to_owned(), pb::StringList { values: strings(&["red", "blue"]) })].into(),
        ..Default::default()
    };
    let event = pb::Event {
        id: Some("e1".into()),
        time: Some(timestamp("2026-11-23T18:29:59Z")),
        code: Some("T1000W".into()),
        index: Some(-3),
        user: Some(user),
        connection: Some(pb::Connection {
            remote_address: Some("10.1.2.3:4022".into()),
            ..Default::default()
        }),
        outcome: Some(pb::Outcome { success: Some(false), ..Default::default() }),
        resource: Some(pb::Resource {
            ttl: Some(prost_types::Duration { seconds: 5_400, nanos: 0 }),
            ..Default::default()
        }),
        labels: [("env", "prod"), ("region", "eu")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    record(event, "user.login")
}

pub(super) fn run() -> pb::Record {
    let payload =
        pb::SsmRun { exit_code: Some(0), status: Some("Success".into()), ..Default::default() };
    record(pb::Event { payload: Some(Payload::SsmRun(payload)), ..Default::default() }, "ssm.run")
}

pub(super) fn custom() -> pb::Record {
    let list = [Json::NumberValue(1.0), Json::StringValue("two".into())].map(json).to_vec();
    let inner = [("flag".to_owned(), json(Json::BoolValue(true)))].into();
    let fields = [
        ("count".to_owned(), json(Json::NumberValue(7.0))),
        ("name".to_owned(), json(Json::StringValue("widget".into()))),
        ("none".to_owned(), json(Json::NullValue(0))),
        ("list".to_owned(), json(Json::ListValue(prost_types::ListValue { values: list }))),
        ("inner".to_owned(), json(Json::StructValue(prost_types::Struct { fields: inner }))),
    ];
    let payload = pb::Custom {
        name: Some("sale".into()),
        data: Some(prost_types::Struct { fields: fields.into() }),
    };
    record(
        pb::Event { payload: Some(Payload::Custom(payload)), ..Default::default() },
        "custom.sale",
    )
}
