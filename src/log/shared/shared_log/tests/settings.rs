//! Gateways whose settings are not the same.

use prost::Message as _;

use super::*;
use crate::content::{Action, Config as PolicyConfig, ContentPolicy, EventIntake, HmacKeys};
use crate::log::shared::message::{MemberReport, SettingsDigest};
use crate::proto::pb;
use crate::record::{Draft, EmitterIdentity};
use crate::time::Time;

const OLD_KEY: &str = "old AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
const NEW_KEY: &str = "new AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// The event as a gateway with these redaction keys takes it.
fn redacted(id: &str, command: &str, keys: &str) -> Draft {
    let command = pb::Command { line: Some(command.to_owned()), ..pb::Command::default() };
    let exec = pb::Exec { command: Some(command), ..pb::Exec::default() };
    let event = pb::Event {
        id: Some(id.to_owned()),
        time: Some(Time(5).timestamp()),
        payload: Some(pb::event::Payload::Exec(exec)),
        ..Default::default()
    };
    let config = PolicyConfig {
        commands: Some(Action::Hmac),
        keys: Some(HmacKeys::parse(keys).expect("valid")),
        ..PolicyConfig::default()
    };
    let policy = ContentPolicy::compile(config).expect("valid");
    let intake = EventIntake { event_bytes: 1_000, policy };
    let event = intake.admit(event.encode_to_vec().into(), Time::now()).expect("accepted");
    Draft::new(event, &EmitterIdentity::from(pb::Emitter::default()))
}

/// A client repeats an event at a gateway with another redaction key: nothing is stored
/// twice, and no receipt is given for what is not known to be the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_at_a_gateway_with_another_redaction_key_is_no_second_record() {
    let stream = SimulatedStream::new(51, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    let both = format!("{NEW_KEY}{OLD_KEY}");
    let first = one.log.append(&[redacted("a", "ls", OLD_KEY)], ALL).await.expect("accepted");
    caught_up(&two.log).await;
    // Without the key it cannot tell that it is the same.
    let refused = two.log.append(&[redacted("a", "ls", NEW_KEY)], ALL).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    // With both, it can; and that another event is another one.
    let again = two.log.append(&[redacted("a", "ls", &both)], ALL).await.expect("accepted");
    let receipt_of = |appended: &[crate::log::Appended]| *appended[0].as_ref().expect("a receipt");
    let receipt = receipt_of(&again);
    assert!(receipt.duplicate && receipt.sequence == receipt_of(&first).sequence);
    let other = two.log.append(&[redacted("a", "rm", &both)], ALL).await;
    assert!(matches!(other, Err(Refusal::Conflict(_))), "{other:?}");
    // At the same time: one of them is stored, and the other one is told so.
    for number in 0..20 {
        let id = format!("at-once-{number}");
        let (a, b) = ([redacted(&id, "ls", OLD_KEY)], [redacted(&id, "ls", NEW_KEY)]);
        let (a, b) = tokio::join!(one.log.append(&a, ALL), two.log.append(&b, ALL));
        let are_ok = (a.is_ok(), b.is_ok());
        assert!(are_ok == (true, false) || are_ok == (false, true), "{a:?} {b:?}");
        let failed = a.and(b);
        assert!(matches!(failed, Err(Refusal::Conflict(_))), "{failed:?}");
    }
    let all = frames(&one.log).await;
    assert!(all.len() == 21 && frames(&two.log).await == all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_tell_each_other_of_themselves() {
    let stream = SimulatedStream::new(52, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    let profile = |name: &str, digest: u8| MemberReport {
        name: name.to_owned(),
        digests: vec![SettingsDigest { name: "redaction".to_owned(), digest: [digest; 8] }],
        ..MemberReport::default()
    };
    one.log.announce(profile("one", 1));
    two.log.announce(profile("two", 2));
    let until = async |log: &SharedLog, is_so: &dyn Fn(&SharedReport) -> bool| {
        for _ in 0..500 {
            if is_so(&log.report()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", log.report());
    };
    for log in [&one.log, &two.log] {
        until(log, &|report| report.members.len() == 2 && report.differences.len() == 1).await;
    }
    let report = one.log.report();
    assert_eq!(report.differences, ["gateway two has other settings than this one: redaction"]);
    let names: Vec<_> = report.members.iter().map(|member| member.report.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert!(report.members.iter().any(|member| member.sender == report.sender));
    // After a reload, it tells so at once.
    two.log.announce(profile("two", 1));
    for log in [&one.log, &two.log] {
        until(log, &|report| report.differences.is_empty()).await;
    }
    // What tells of gateways is no record, and others can join with it.
    assert_eq!(receipt(&one.log, "a", "ls").await.sequence, Sequence(1));
}
