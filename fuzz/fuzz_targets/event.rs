//! An event as it arrives: the walk over its bytes agrees with the decoder, and what
//! redaction and trimming leave of it is an event.
#![no_main]

use std::sync::LazyLock;

use auditgate::content::{Action, Config, ContentPolicy, EventIntake, HmacKeys, OversizeAction};
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::proto::pb;
use auditgate::time::Time;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const NOW: Time = Time(1_700_000_000_000_000_000);
const KEY: &str = "key AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

/// Redacts much, and cuts what is left to 512 bytes.
static INTAKE: LazyLock<EventIntake> = LazyLock::new(|| {
    let config = Config {
        sql: Some(Action::Hmac),
        commands: Some(Action::Drop),
        secrets: true,
        keys: Some(HmacKeys::parse(KEY).expect("a key")),
        oversize: OversizeAction::Trim,
        ..Config::default()
    };
    EventIntake { event_bytes: 512, policy: ContentPolicy::compile(config).expect("valid") }
});

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(event) = Event::check(bytes.clone(), NOW, EVENT_BYTES_MAX) else {
        // It may have been too large only before it was trimmed, not malformed.
        let _ = INTAKE.admit(bytes, NOW);
        return;
    };
    let decoded = pb::Event::decode(data).expect("what was accepted decodes");
    assert!(decoded.payload.is_some(), "what was accepted has a payload");
    if !event.id_was_appended() {
        assert_eq!(decoded.id.as_deref(), Some(event.id()));
    }
    if let Ok(amended) = INTAKE.admit(bytes, NOW) {
        assert!(amended.client_bytes().len() <= 512 || amended.amended.is_none());
        let left = pb::Event::decode(&*amended.bytes).expect("what is left decodes");
        assert!(left.payload.is_some(), "what is left has a payload");
        assert_eq!(amended.type_id, event.type_id);
    }
});
