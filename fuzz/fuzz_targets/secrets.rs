//! A text with a secret in it: what is masked stays masked, its event stays valid, and a
//! canary in a place that every reading has for a value is gone.
#![no_main]

use std::sync::LazyLock;

use auditgate::content::{Config, ContentPolicy, EventIntake};
use auditgate::proto::pb;
use auditgate::time::Time;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const NOW: Time = Time(1_700_000_000_000_000_000);
const CANARY: &str = "c4n4ry5ecret";

static INTAKE: LazyLock<EventIntake> = LazyLock::new(|| {
    let config = Config { secrets: true, ..Config::default() };
    EventIntake { policy: ContentPolicy::compile(config).expect("valid"), ..EventIntake::default() }
});

/// The text as it is kept, in a field and in a list of arguments.
fn kept(text: &str) -> (String, Vec<String>) {
    let command = pb::SessionCommand {
        path: Some("/usr/bin/mysql".to_owned()),
        argv: text.split('\n').map(str::to_owned).collect(),
        ..Default::default()
    };
    let event = pb::Event {
        outcome: Some(pb::Outcome { error: Some(text.to_owned()), ..Default::default() }),
        payload: Some(pb::event::Payload::SessionCommand(command)),
        ..Default::default()
    };
    let event = INTAKE.admit(event.encode_to_vec().into(), NOW).expect("it stays valid");
    let event = pb::Event::decode(event.bytes).expect("what is left decodes");
    let Some(pb::event::Payload::SessionCommand(command)) = event.payload else {
        panic!("its payload stays")
    };
    (event.outcome.and_then(|outcome| outcome.error).unwrap_or_default(), command.argv)
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (masked, argv) = kept(text);
    assert_eq!(kept(&masked).0, masked, "what is masked stays");
    assert_eq!(kept(&argv.join("\n")).1, argv, "arguments that are masked stay");
    // A text may hold the canary itself, where it is no secret.
    if text.contains(CANARY) {
        return;
    }
    // On a line of its own nothing before it can hide it: a quote that is open there is
    // one of a secret, or of nothing.
    if !text.contains(['"', '\'', '\\', '`', '$', '*', '/', '-', '#', '[', '(', '{']) {
        let line = format!("{text}\nPGPASSWORD={CANARY}");
        assert!(!kept(&line).0.contains(CANARY), "{line:?}");
    }
});
