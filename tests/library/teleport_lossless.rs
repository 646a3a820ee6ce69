//! Whatever a line holds, an export returns it.

use std::borrow::Cow;

use auditgate::catalog;
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::teleport::json::{Json, Object};
use auditgate::teleport::key_map::KeyPlan;
use auditgate::teleport::{self, LineOrdinals};
use auditgate::time::Time;
use proptest::prelude::*;

/// A JSON number as somebody may write it.
fn number() -> impl Strategy<Value = Json<'static>> {
    let text = prop_oneof![
        "-?(0|[1-9][0-9]{0,30})",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,20}",
        "-?[1-9](\\.[0-9])?[eE][+-]?[0-9]{1,3}",
        (-3_i64..3).prop_map(|number| number.to_string()),
    ];
    text.prop_map(|text| Json::Number(text.into()))
}

/// A string, some of which mean something to a field.
fn string() -> impl Strategy<Value = Json<'static>> {
    let text = prop_oneof![
        any::<String>(),
        "[A-Za-z0-9+/]{0,8}={0,2}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,10})?(Z|\\+0[0-9]:00)",
        "-?([0-9]{1,3}h)?([0-9]{1,3}m)?([0-9]{1,3}(\\.[0-9]{1,9})?s)?",
    ];
    text.prop_map(|text| Json::String(text.into()))
}

/// Keys that mean something to some field, and others.
fn key() -> impl Strategy<Value = Cow<'static, str>> {
    let known: Vec<String> = catalog::all()
        .flat_map(|(type_id, _)| KeyPlan::of(type_id).entries())
        .map(|entry| entry.key.clone())
        .chain(
            [
                "cluster",
                "kind",
                "id",
                "constraints",
                "target",
                "values",
                "seconds",
                "auditgate.data",
            ]
            .map(str::to_owned),
        )
        .filter(|key| key != "uid" && key != "time")
        .collect();
    let key =
        prop_oneof![4 => prop::sample::select(known), 1 => any::<String>(), 1 => "[/~.a]{0,4}"];
    key.prop_map(Cow::Owned)
}

fn value() -> impl Strategy<Value = Json<'static>> {
    let leaf =
        prop_oneof![Just(Json::Null), any::<bool>().prop_map(Json::Bool), number(), string(),];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::btree_map(key(), inner, 0..6).prop_map(Json::Object),
        ]
    })
}

/// A line of a known type or another.
fn line() -> impl Strategy<Value = Object<'static>> {
    let names: Vec<&str> = catalog::all().map(|(_, event_type)| event_type.name).collect();
    let event_type =
        prop_oneof![8 => prop::sample::select(names).prop_map(str::to_owned), 1 => any::<String>()];
    let uid = prop_oneof![
        4 => "[a-z0-9-]{1,40}".prop_map(|uid| Some(Json::String(uid.into()))),
        1 => prop::option::of(value()),
    ];
    let time = "20[01][0-9]-0[1-9]-[01][1-9]T1[0-9]:00:00(\\.[0-9]{1,12})?Z";
    let time = time.prop_map(|time| Some(Json::String(time.into())));
    let time = prop_oneof![4 => time, 1 => prop::option::of(value())];
    let members = prop::collection::btree_map(key(), value(), 0..12);
    (members, event_type, uid, time).prop_map(|(mut line, event_type, uid, time)| {
        line.insert("event".into(), Json::String(event_type.into()));
        line.extend(uid.map(|uid| ("uid".into(), uid)));
        line.extend(time.map(|time| ("time".into(), time)));
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_is_what_was_imported(line in line()) {
        let line = Json::Object(line);
        let text = line.to_string();
        prop_assert_eq!(&Json::parse(&text).expect("JSON"), &line);
        let imported = teleport::import_line(&text, &mut LineOrdinals::default()).expect("imports");
        let event = imported.event();
        prop_assert_eq!(event.id(), &imported.id);
        let time = Time::try_from(&event.time.unwrap_or_default()).unwrap_or_default();
        let now = Time::now().max(time);
        Event::check(imported.encoded.clone(), now, EVENT_BYTES_MAX).expect("the gateway accepts it");
        let exported = teleport::export(&event).expect("exports");
        prop_assert_eq!(&exported, &line);
        // And what was exported is imported as the same event, byte for byte.
        let exported = exported.to_string();
        let again = teleport::import_line(&exported, &mut LineOrdinals::default()).expect("imports");
        prop_assert_eq!((again.id, again.encoded), (imported.id, imported.encoded));
    }

    #[test]
    fn no_text_breaks_the_import(text in prop_oneof![any::<String>(), "[\\[\\]{}\",:0-9a-e\\\\ ]{0,60}"]) {
        let _ = teleport::import_line(&text, &mut LineOrdinals::default());
    }
}
