//! Batches that are not accepted: all or nothing.

use auditgate::log::Bounds;
use auditgate::service::BATCH_EVENTS_MAX;
use prost::Message as _;
use tonic::Code;

use super::events::nested;
use super::scene::{Row, Scene, reason, violations};
use crate::support::raw::field;
use crate::support::{large, login, pb};

fn batch(events: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    events.into_iter().flat_map(|event| field(1, &event)).collect()
}

#[tokio::test]
async fn a_batch_has_at_least_one_event_and_at_most_its_limit() {
    let mut scene = Scene::open().await;
    let many = (0..=BATCH_EVENTS_MAX).map(|_| login("same", "alice").encode_to_vec());
    let limit = ["events has 10001 events", "limit 10000"];
    scene
        .refuses([
            Row::invalid(
                "none",
                "EmitBatch",
                vec![],
                "BATCH_EMPTY",
                "events",
                &["events is empty"],
            ),
            Row::invalid("many", "EmitBatch", batch(many), "BATCH_TOO_LARGE", "events", &limit),
        ])
        .await;
}

#[tokio::test]
async fn a_batch_that_the_ring_cannot_hold_is_refused() {
    let mut scene = Scene::open_with(Bounds { bytes: 1024 * 1024, records: 64 }).await;
    let records = (0..61).map(|number| login(&format!("e-{number}"), "alice").encode_to_vec());
    let bytes = (0..4).map(|number| large(&format!("e-{number}"), 150_000).encode_to_vec());
    let says = ["61 events are more than", "limit 60"];
    scene
        .refuses([
            Row::invalid("61", "EmitBatch", batch(records), "BATCH_TOO_LARGE", "events", &says),
            Row::invalid(
                "600 KB",
                "EmitBatch",
                batch(bytes),
                "BATCH_TOO_LARGE",
                "events",
                &["524288"],
            ),
        ])
        .await;
    let one = field(1, &large("one", 600_000).encode_to_vec());
    scene
        .refuses([Row::invalid("one", "Emit", one, "BATCH_TOO_LARGE", "event", &["524288"])])
        .await;
}

/// Every other event of forty is bad, the first of them in another way.
#[tokio::test]
async fn of_several_bad_events_ten_are_named_and_all_are_counted() {
    let mut scene = Scene::open().await;
    let events = (0..40).map(|number| match number {
        1 => login(&"x".repeat(200), "alice").encode_to_vec(),
        _ if number % 2 == 1 => {
            pb::Event { payload: None, ..login("bad", "alice") }.encode_to_vec()
        }
        _ => login(&format!("fine-{number}"), "alice").encode_to_vec(),
    });
    let status = scene.ask("EmitBatch", batch(events)).await.expect_err("bad events");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "ID_TOO_LONG");
    for said in ["events[1]", "id is 200 bytes, limit 128", "20 events"] {
        assert!(status.message().contains(said), "{}", status.message());
    }
    let mut expected = vec!["events[1].id".to_owned()];
    expected.extend((1..10).map(|number| format!("events[{}].payload", number * 2 + 1)));
    let fields: Vec<_> = violations(&status).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, expected);
    scene.unchanged("several").await;
}

/// Long paths and values of many events still make a status that every client
/// takes: `reason` looks at its size.
#[tokio::test]
async fn a_status_is_small_whatever_it_repeats() {
    let scene = Scene::open().await;
    let named = |name: &str| {
        let custom = pb::Custom { name: Some(name.to_owned()), data: None };
        let payload = Some(pb::event::Payload::Custom(custom));
        pb::Event { payload, ..login("bad", "alice") }.encode_to_vec()
    };
    let events = [nested(40), named(&"\u{1}".repeat(2_000)), named(&"\u{10ffff}".repeat(500))];
    for event in events {
        let status = scene.ask("Emit", field(1, &event)).await.expect_err("a bad event");
        reason(&status);
        let many = batch((0..100).map(|_| event.clone()));
        let status = scene.ask("EmitBatch", many).await.expect_err("bad events");
        reason(&status);
        let fields = violations(&status);
        assert!(!fields.is_empty() && fields.len() <= 10);
        assert!(fields[0].0.starts_with("events[0].custom."), "{}", fields[0].0);
        assert!(status.message().contains("100 events"), "{}", status.message());
    }
    let id = "\u{7f}".repeat(128);
    scene.ask("Emit", field(1, &login(&id, "alice").encode_to_vec())).await.expect("accepted");
    let conflict = scene.ask("Emit", field(1, &login(&id, "bob").encode_to_vec())).await;
    assert_eq!(reason(&conflict.expect_err("a conflict")), "ID_CONFLICT");
}
