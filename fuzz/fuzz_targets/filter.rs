//! A filter, its expression in the first place, and records that it is asked about.
#![no_main]

use std::sync::LazyLock;

use auditgate::filter::Filter;
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

/// A record with something in most places that filters look at.
static RECORD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let event = pb::Event {
        id: Some("e-1".to_owned()),
        user: Some(pb::User { name: Some("alice".to_owned()), ..Default::default() }),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let record = pb::Record {
        sequence: 7,
        r#type: "user.login".to_owned(),
        severity: 1,
        event: Some(event),
        ..Default::default()
    };
    record.encode_to_vec()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        ask(&pb::Filter { expression: text.to_owned(), ..Default::default() });
        ask(&pb::Filter { types: vec![text.to_owned()], ..Default::default() });
        ask(&pb::Filter { remote_addresses: vec![text.to_owned()], ..Default::default() });
    }
    if let Ok(filter) = pb::Filter::decode(data) {
        ask(&filter);
    }
});

fn ask(filter: &pb::Filter) {
    match Filter::compile(filter) {
        Ok(filter) => drop(filter.record(&RECORD)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
