//! Records as they are encoded and read back.

use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::event::Event;
use crate::proto::pb;
use crate::proto::pb::event::Payload;

const NOW: Time = Time(1_700_000_000_123_456_789);

fn framed(event: &pb::Event) -> (Vec<u8>, RecordColumns) {
    let event = Event::check(Bytes::from(event.encode_to_vec()), NOW, 4096).expect("valid");
    let emitter = pb::Emitter { principal: "svc".into(), peer: "127.0.0.1:9".into() };
    let draft = Draft::new(event, &emitter.into());
    let mut frame = Vec::new();
    let columns = draft.frame(Sequence(300), NOW, &mut FrameScratch::default(), |part| {
        frame.extend_from_slice(part)
    });
    assert!(frame.len() <= draft.frame_len_max());
    (frame, columns)
}

#[test]
fn a_frame_is_a_response_with_one_record() {
    let event = pb::Event {
        code: Some("T1000W".into()),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let (frame, columns) = framed(&event);
    let response = pb::SubscribeResponse::decode(frame.as_slice()).expect("decodes");
    let [record] = response.records.as_slice() else { panic!("one record") };
    assert_eq!(record.sequence, 300);
    assert_eq!(record.accept_time, Some(NOW.timestamp()));
    assert_eq!(record.r#type, "user.login");
    assert_eq!(record.severity(), pb::Severity::Warning);
    assert_eq!(record.result(), pb::Result::Failure);
    assert_eq!(record.emitter.as_ref().map(|emitter| emitter.principal.as_str()), Some("svc"));
    assert_eq!(record.client_bytes, Some(event.encoded_len() as u32));
    let kept = record.event.as_ref().expect("an event");
    assert_eq!(kept.time, Some(NOW.timestamp()), "the time of acceptance stands in");
    assert_eq!(kept.id().len(), 36);
    assert_eq!(kept.payload, event.payload);
    assert_eq!(columns.time, NOW);
    assert_eq!(columns.user, key("alice"));
    assert_eq!(columns.session, 0);
    assert_eq!(RecordColumns::of(&Record::read_frame(&frame)), columns);

    let read = Record::read_frame(&frame);
    assert_eq!(read.sequence, Sequence(300));
    assert_eq!(read.accept_time, NOW);
    assert_eq!(read.type_name, "user.login");
    assert_eq!(read.principal(), "svc");
    assert_eq!(read.client_bytes(), event.encode_to_vec());
    assert_eq!(read.envelope().user, Some("alice"));
}

#[test]
fn client_bytes_is_absent_where_nothing_was_appended() {
    let event = pb::Event {
        id: Some("x".into()),
        time: Some(NOW.timestamp()),
        payload: Some(Payload::Exec(pb::Exec::default())),
        ..Default::default()
    };
    let (frame, _) = framed(&event);
    let response = pb::SubscribeResponse::decode(frame.as_slice()).expect("decodes");
    let record = response.records.first().expect("one record");
    assert_eq!(record.client_bytes, None);
    assert_eq!(record.event.as_ref(), Some(&event));
}

const OLD_KEY: &str = "old AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
const NEW_KEY: &str = "new AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// The draft of a command, redacted with these keys, and trimmed to some 1,000
/// bytes.
fn redacted(line: &str, label: &str, keys: &str) -> Draft {
    use crate::content::{Action, Config, ContentPolicy, EventIntake, HmacKeys, OversizeAction};
    let command = pb::Command { line: Some(line.into()), ..Default::default() };
    let event = pb::Event {
        id: Some("x".into()),
        labels: [("filler".to_owned(), label.to_owned())].into(),
        payload: Some(Payload::Exec(pb::Exec { command: Some(command), ..Default::default() })),
        ..Default::default()
    };
    let config = Config {
        commands: Some(Action::Hmac),
        keys: Some(HmacKeys::parse(keys).expect("valid")),
        oversize: OversizeAction::Trim,
        ..Config::default()
    };
    let policy = ContentPolicy::compile(config).expect("valid");
    let intake = EventIntake { event_bytes: 1_000, policy };
    let event = intake.admit(event.encode_to_vec().into(), NOW).expect("accepted");
    Draft::new(event, &EmitterIdentity::from(pb::Emitter::default()))
}

fn kept(draft: &Draft) -> Vec<u8> {
    let mut frame = Vec::new();
    draft.frame(Sequence(1), NOW, &mut FrameScratch::default(), |part| {
        frame.extend_from_slice(part)
    });
    assert!(frame.len() <= draft.frame_len_max());
    frame
}

fn repeats(draft: &Draft, kept: &Record<'_>) -> bool {
    let is_same = |content: &[u8]| event::same_content(content, kept.client_bytes());
    let amendments: Vec<_> = kept.amendments().collect();
    let redacted = draft.redacted_like(&amendments);
    let redacted = || redacted.is_some_and(|redacted| is_same(&redacted));
    draft.is_cut_like(&amendments) && (is_same(&draft.content()) || redacted())
}

#[test]
fn a_retry_is_known_again_after_the_key_was_changed() {
    let frame = kept(&redacted("ls", "", OLD_KEY));
    let kept = Record::read_frame(&frame);
    let told: Vec<_> = kept.amendments().map(|amendment| amendment.key_id).collect();
    assert_eq!(told, ["old"]);
    let both = format!("{NEW_KEY}{OLD_KEY}");
    let retry = redacted("ls", "", &both);
    assert!(!retry.repeats_exactly(&kept), "it has another HMAC");
    assert!(repeats(&retry, &kept));
    assert!(!repeats(&redacted("rm", "", &both), &kept), "another command");
    assert!(!repeats(&redacted("ls", "", NEW_KEY), &kept), "the key is gone");
    assert!(redacted("ls", "", OLD_KEY).repeats_exactly(&kept));
}

#[test]
fn texts_that_were_cut_are_compared_whole() {
    let long = "y".repeat(2_000);
    let draft = redacted("ls", &format!("{long}a"), OLD_KEY);
    let frame = kept(&draft);
    let kept = Record::read_frame(&frame);
    assert_eq!(kept.amendments().count(), 2, "an HMAC and a cut");
    assert_eq!(kept.client_bytes(), draft.event().client_bytes());
    assert!(redacted("ls", &format!("{long}a"), OLD_KEY).repeats_exactly(&kept));
    let other = redacted("ls", &format!("{long}b"), OLD_KEY);
    assert_eq!(other.event().client_bytes(), kept.client_bytes(), "what is left is the same");
    assert!(!other.repeats_exactly(&kept) && !repeats(&other, &kept));
    assert!(!other.repeats_draft_exactly(&draft));
    let both = format!("{NEW_KEY}{OLD_KEY}");
    assert!(repeats(&redacted("ls", &format!("{long}a"), &both), &kept));
}

#[test]
fn the_parts_of_a_draft_make_the_same_frame() {
    let timed = pb::Event {
        time: Some(Time(5).timestamp()),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let untimed = pb::Event { time: None, id: Some("a".into()), ..timed.clone() };
    let ahead = Time(NOW.0 + 90_000_000_000);
    let ahead = pb::Event { time: Some(ahead.timestamp()), ..untimed.clone() };
    for event in [timed, untimed, ahead] {
        let event = Event::check(Bytes::from(event.encode_to_vec()), NOW, 4096).expect("valid");
        let draft = Draft::new(event, &pb::Emitter::default().into());
        let mut head = Vec::new();
        draft.describe(&mut head);
        let (event, is_untimed) = (&draft.event().bytes, draft.is_untimed());
        let unplaced = UnplacedRecord { head: &head, event, is_untimed };
        for accepted in [Acceptance::from(NOW), Acceptance::after(Time(NOW.0 + 7), NOW)] {
            let (mut frame, mut same) = (Vec::new(), Vec::new());
            let mut scratch = FrameScratch::default();
            let columns = draft.frame(Sequence(9), accepted, &mut scratch, |part| {
                frame.extend_from_slice(part);
            });
            unplaced.frame(Sequence(9), accepted, &mut FrameScratch::default(), |part| {
                same.extend_from_slice(part);
            });
            assert_eq!(same, frame);
            assert_eq!(RecordColumns::of(&Record::read_frame(&frame)), columns);
        }
    }
}
