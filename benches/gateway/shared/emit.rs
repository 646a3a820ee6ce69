//! Emitting over gRPC to gateways on a shared log.

use super::{BROKER, DISK, Gateway, Place};
use crate::durable::{MESSAGE_EVENTS, MESSAGES_IN_FLIGHT, emit_stream};
use crate::emit::emit_all_to;
use crate::jetstream::publish_ahead;
use crate::rounds::{Better, Duel, Row, wall};
use crate::stage::Door;
use crate::{Result, Scale, events};

/// Unary calls to so many gateways in all, against one on a log on disk.
pub fn unary(place: &Place, name: &'static str, gateways: usize, scale: Scale) -> Result<Row> {
    let gateways = (0..gateways).map(|_| place.gateway(name)).collect::<Result<Vec<_>>>()?;
    let disk = place.disk_gateway()?;
    let count = scale.pick(20_000, 600);
    let next = events::numbers();
    let play = |gateways: &[&Gateway]| {
        let doors = gateways.iter().map(|gateway| gateway.served.address.into());
        let doors: Vec<Door> = doors.collect();
        let requests = events::emit_requests(next(count));
        place.stage.run(emit_all_to(&doors, requests)).map(wall)
    };
    let duel = Duel { name, unit: "events/s", better: Better::More, peer: DISK };
    let all: Vec<&Gateway> = gateways.iter().collect();
    duel.run(scale.rounds(), || play(&all), || play(&[&disk]))
}

/// A stream of messages, against as many events in flight that are a message each.
pub fn stream_and_broker(place: &Place, scale: Scale) -> Result<Row> {
    let gateway = place.gateway("stream")?;
    let peer = place.broker("peer_stream")?;
    let (ours, theirs) = (scale.pick(2_000 * MESSAGE_EVENTS, 640), scale.pick(60_000, 640));
    let next = events::numbers();
    let duel =
        Duel { name: "shared_emit_stream", unit: "events/s", better: Better::More, peer: BROKER };
    let emit = || {
        let requests = events::batch_requests(next(ours), MESSAGE_EVENTS);
        place.stage.run(emit_stream(gateway.served.address, requests)).map(wall)
    };
    let publish = || {
        let payloads = events::encoded(next(theirs)).collect();
        let in_flight = MESSAGES_IN_FLIGHT * MESSAGE_EVENTS;
        place.stage.run(publish_ahead(&peer, payloads, in_flight)).map(wall)
    };
    duel.run(scale.rounds(), emit, publish)
}

/// A stream of messages, against the same to a log on disk.
pub fn stream_and_disk(place: &Place, scale: Scale) -> Result<Row> {
    let (shared, disk) = (place.gateway("stream_disk")?, place.disk_gateway()?);
    let count = scale.pick(2_000 * MESSAGE_EVENTS, 640);
    let next = events::numbers();
    let play = |gateway: &Gateway| {
        let requests = events::batch_requests(next(count), MESSAGE_EVENTS);
        place.stage.run(emit_stream(gateway.served.address, requests)).map(wall)
    };
    let name = "shared_emit_stream_disk";
    let duel = Duel { name, unit: "events/s", better: Better::More, peer: DISK };
    duel.run(scale.rounds(), || play(&shared), || play(&disk))
}
