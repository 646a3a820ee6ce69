//! Lines of Teleport's audit log: what is imported can be emitted and exported.
#![no_main]

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::teleport::json::Json;
use auditgate::teleport::{LineOrdinals, export, import_line};
use auditgate::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let mut ordinals = LineOrdinals::default();
    let Ok(imported) = import_line(line, &mut ordinals) else { return };
    let exported = export(&imported.event()).expect("what was imported can be exported");
    let line = Json::parse(line).expect("it was imported");
    assert_eq!(exported, line);
    let _ = Event::check(imported.encoded, Time::now(), EVENT_BYTES_MAX);
});
