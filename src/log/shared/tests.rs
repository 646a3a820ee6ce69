//! Whole gateways without I/O, on a simulated stream and a simulated clock: each seed is a
//! history that can be replayed.
//!
//! `AUDITGATE_SIMULATION_SEEDS=1000` runs so many; `AUDITGATE_SIMULATION_SEED=7` one.

mod world;

use std::collections::BTreeSet;

use bytes::Bytes;

use super::machine::{JoinSearch, Machine};
use super::message::SharedMessage;
use super::message::group::EventKey;
use world::{Call, Happening, LIMITS, STEP, World};

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    let ids = world.rng.u8(5..=250);
    for _ in 0..world.rng.u32(200..1_200) {
        if world.rng.u8(0..4) == 0 {
            let keys: BTreeSet<_> =
                (0..world.rng.usize(1..6)).map(|_| EventKey([world.rng.u8(0..ids); 16])).collect();
            world.calls.push(Call {
                keys: keys.into_iter().collect(),
                is_all_or_none: world.rng.bool(),
                node: None,
                retry_at: world.now,
                is_done: false,
                attempts: 0,
            });
        }
        if world.rng.u16(0..300) == 0 {
            let place = world.rng.usize(0..world.nodes.len());
            world.crash(place);
        }
        if world.rng.u16(0..200) == 0 {
            world.later(STEP, Happening::Store { number: 0, bytes: Bytes::from_static(b"forged") });
        }
        world.step();
    }
    world.settle();
    world.check();
    world
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("AUDITGATE_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("AUDITGATE_SIMULATION_SEEDS").unwrap_or(40)).collect(),
    }
}

#[test]
fn whatever_the_stream_does_no_receipt_is_lost() {
    let (mut records, mut repeats, mut positions) = (0, 0, 0);
    for seed in seeds() {
        let done = std::panic::catch_unwind(|| run(seed));
        let world =
            done.unwrap_or_else(|_| panic!("seed {seed}: AUDITGATE_SIMULATION_SEED={seed}"));
        records += world.nodes[0].log.len();
        repeats += world.nodes.iter().map(|node| node.publisher.repeats()).sum::<u64>();
        positions += world.stream.ends().last;
    }
    println!("{records} records in {positions} messages, {repeats} published again");
    assert!(records > 0 && repeats > 0);
}

/// A gateway joins a stream that was trimmed up to where all others are.
#[test]
fn a_gateway_joins_while_others_write() {
    let mut joined = 0;
    for seed in seeds() {
        let mut world = run(seed);
        let end = world.stream.ends().last;
        world.stream.trim(world.rng.u64(1..=end));
        let first = world.stream.ends().first;
        let mut search = JoinSearch::new(first, LIMITS.messages);
        for entry in world.stream.at_once(first, end) {
            let message = SharedMessage::decode(&entry.bytes, &world.keys).ok();
            if search.see(entry.position, message.map(|message| message.basis)) {
                break;
            }
        }
        let Some(state) = search.state() else { continue };
        joined += 1;
        let place = world.nodes.len();
        let node = world.node(Machine::new(LIMITS));
        world.nodes.push(node);
        world.nodes[place].mark = state;
        world.crash(place);
        world.settle();
        let (old, new) = (&world.nodes[0], &world.nodes[place]);
        assert_eq!(old.machine.state(), new.machine.state());
        assert!(new.log.iter().eq(old.log.range(state.count + 1..)));
    }
    assert!(joined > 0, "{joined} joined");
}
