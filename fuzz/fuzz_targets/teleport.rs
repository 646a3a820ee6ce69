//! Lines of Teleport's audit log: what is imported can be emitted and exported.
#![no_main]

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::teleport::{LineOrdinals, export, import_line};
use auditgate::time::Time;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|line: &str| {
    let mut ordinals = LineOrdinals::default();
    let Ok(imported) = import_line(line, &mut ordinals) else { return };
    let exported = export(&imported.event).expect("what was imported can be exported");
    assert!(!exported.to_string().is_empty());
    let bytes = imported.event.encode_to_vec();
    let _ = Event::check(bytes.into(), Time::now(), EVENT_BYTES_MAX);
});
