//! Messages of the stream under a shared log, authentic: what can be read is written the
//! same, and a machine judges it.
#![no_main]

use auditgate::log::shared::machine::{Machine, WindowLimits};
use auditgate::log::shared::message::group::MessageGroup;
use auditgate::log::shared::message::{AuthenticationKey, ClusterKeys, SharedMessage};
use auditgate::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let key = AuthenticationKey::new(&[7; 32], Default::default());
    let keys = ClusterKeys::new(key, Vec::new());
    assert!(SharedMessage::decode(bytes, &keys).is_err(), "nobody guesses a tag");
    if let Ok(group) = MessageGroup::decode(bytes.to_vec()) {
        assert_eq!(group.bytes(), bytes);
    }
    let mut authentic = bytes.to_vec();
    keys.authenticate(&mut authentic);
    let Ok(message) = SharedMessage::decode(&authentic, &keys) else { return };
    let again = SharedMessage::decode(&message.encode(&keys), &keys);
    assert_eq!(again.as_ref(), Ok(&message));
    let mut machine = Machine::new(WindowLimits::default());
    let applied = machine.apply(1, Time::EPOCH, &message, |record| record.head.len() as u32);
    let stored = applied.map(|applied| applied.placements.len() as u64).unwrap_or_default();
    assert!(machine.state().count <= stored);
});
