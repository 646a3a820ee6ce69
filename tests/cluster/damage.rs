//! Servers that lose what they had: their quorum, their newest messages, a byte, the stream.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::copies::{agreed, copies};
use crate::load::{Door, Load, Receipts, call_in_time, emit, subscribe};
use crate::scene::{CALM_TIME_MAX, MEMBERS, STREAM, Scene};

const EMITTERS: usize = 6;
/// Batches that must be acknowledged after each fault.
const PROGRESS: usize = 40;
/// Longer than a gateway waits before it gives a message up.
const NO_QUORUM_TIME: Duration = Duration::from_secs(12);
/// A gateway that was suspended for so long must catch up.
const SLOW_TIME: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_quorum_that_is_lost_and_servers_that_lose_data_lose_no_event() {
    let test = "a_quorum_that_is_lost_and_servers_that_lose_data_lose_no_event";
    let Some(mut scene) = Scene::start(test, &[]) else { return };
    let load = Load::start(scene.doors(), "damage", EMITTERS);
    let subscriber = subscribe(scene.doors(), 0, false);
    load.progress(PROGRESS).await;

    // Two servers stop: gateways say so, and serve what they have.
    for victim in [0, 1] {
        block_in_place(|| scene.servers.terminate(victim).unwrap());
    }
    tokio::time::sleep(NO_QUORUM_TIME).await;
    for number in 0..MEMBERS {
        let status = scene.status(number).await.unwrap();
        let state = status.disk.map(|disk| disk.state());
        assert_eq!(state, Some(pb::StorageState::Away), "gateway {number}");
        assert!(search(&scene.doors()[number]).await > 0, "reads work");
    }
    for victim in [0, 1] {
        block_in_place(|| scene.servers.restore(victim).unwrap());
    }
    let took = load.progress(PROGRESS).await;
    eprintln!("cluster: no quorum for {NO_QUORUM_TIME:?}, receipts {took:?} after it came back");

    // A server gets an older copy of its store.
    let victim = scene.leader().await;
    block_in_place(|| scene.servers.kill(victim).unwrap());
    let (store, old) = (scene.servers.store(victim).unwrap(), scene.folder().join("old"));
    copy(&store, &old);
    block_in_place(|| scene.servers.restore(victim).unwrap());
    load.progress(5 * PROGRESS).await;
    block_in_place(|| scene.servers.kill(victim).unwrap());
    std::fs::remove_dir_all(&store).unwrap();
    copy(&old, &store);
    block_in_place(|| scene.servers.restore(victim).unwrap());
    let took = load.progress(PROGRESS).await;
    eprintln!("cluster: a store restored from an older copy, receipts {took:?} later");

    // A byte of a server's newest block file flips.
    let victim = (scene.leader().await + 1) % MEMBERS;
    block_in_place(|| scene.servers.kill(victim).unwrap());
    let blocks = blocks(&scene.servers.store(victim).unwrap());
    let block = blocks.last().expect("the stream has a block file");
    flip(block);
    block_in_place(|| scene.servers.restore(victim).unwrap());
    let took = load.progress(PROGRESS).await;
    eprintln!("cluster: a byte flipped in {}, receipts {took:?} later", block.display());

    // A gateway's tail is slow, and then far behind.
    scene.gateways[2].suspend();
    tokio::time::sleep(SLOW_TIME).await;
    scene.gateways[2].restore();
    load.progress(PROGRESS).await;

    let receipts = load.end().await;
    let last = receipts.values().copied().max().unwrap();
    // One that begins now has the same.
    let joined = block_in_place(|| scene.new_gateway("joined"));
    scene.gateways.push(joined);
    scene.caught_up(last).await;
    scene.roots_agree(last).await;
    let told = subscriber.await.unwrap();
    let ids = agreed(&mut scene, &receipts).await;
    told.check(&ids, false);
    eprintln!("cluster: {} acknowledged, none lost or doubled", receipts.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_retention_has_emptied_goes_on() {
    let Some(mut scene) = Scene::start("a_stream_that_retention_has_emptied_goes_on", &[]) else {
        return;
    };
    let client = async_nats::connect(scene.servers.urls()).await.unwrap();
    let mut receipts = Receipts::new();
    let doors = scene.doors();
    let ids = |from: usize| (from..from + 20).map(|id| format!("kept-{id}")).collect::<Vec<_>>();
    receipts.extend(emit(&doors, &mut 0, &ids(0)).await);
    scene.caught_up(20).await;
    // Gateways stop, and find the stream empty when they come back.
    let log_id = scene.status(0).await.unwrap().log_id;
    for gateway in &mut scene.gateways {
        block_in_place(|| gateway.terminate());
    }
    let info = api(&client, "STREAM.INFO", json!({})).await;
    let mut config = info["config"].clone();
    config["max_age"] = json!(1_000_000_000_u64);
    config["duplicate_window"] = json!(1_000_000_000_u64);
    let updated = api(&client, "STREAM.UPDATE", config).await;
    assert_eq!(updated.get("error"), None);
    let begun = Instant::now();
    while api(&client, "STREAM.INFO", json!({})).await["state"]["messages"] != 0 {
        assert!(begun.elapsed() < CALM_TIME_MAX, "retention removes nothing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for gateway in &mut scene.gateways {
        block_in_place(|| gateway.run());
    }
    for (from, door) in [(20, 0), (40, 1), (60, 2)] {
        receipts.extend(emit(&doors, &mut { door }, &ids(from)).await);
    }
    let sequences: BTreeSet<u64> = receipts.values().copied().collect();
    assert!(sequences.into_iter().eq(1..=80), "sequences go on: {receipts:?}");
    scene.caught_up(80).await;
    assert_eq!(scene.status(0).await.unwrap().log_id, log_id);
    // Copies follow the stream's retention: each has what it still has.
    let copies = copies(&mut scene).await;
    for copy in &copies {
        copies[0].agrees_with(copy);
        for (id, sequence) in copy.ids().iter().zip(copy.first..) {
            assert_eq!(receipts.get(id), Some(&sequence));
        }
        assert_eq!(copy.first + copy.frames.len() as u64, 81);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_fails_the_log_until_the_loss_is_accepted() {
    let test = "a_stream_that_was_deleted_fails_the_log_until_the_loss_is_accepted";
    let Some(mut scene) = Scene::start(test, &[]) else { return };
    let doors = scene.doors();
    let ids: Vec<_> = (0..20).map(|id| format!("kept-{id}")).collect();
    let mut receipts = emit(&doors, &mut 0, &ids).await;
    scene.caught_up(20).await;
    let client = async_nats::connect(scene.servers.urls()).await.unwrap();
    let deleted = api(&client, "STREAM.DELETE", json!({})).await;
    assert_eq!(deleted["success"], true);
    for (number, door) in doors.iter().enumerate() {
        let begun = Instant::now();
        loop {
            let disk = scene.status(number).await.unwrap().disk.unwrap();
            if disk.state() == pb::StorageState::Failed {
                assert!(disk.reason.contains("deleted"), "{disk:?}");
                break;
            }
            assert!(begun.elapsed() < CALM_TIME_MAX, "{disk:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let request = pb::EmitRequest { event: Some(Default::default()), validate_only: false };
        let refused = call_in_time(door.client().emit(request)).await;
        assert!(refused.is_err(), "a gateway without a stream accepts nothing");
        assert_eq!(search(door).await, ids.len(), "reads work");
    }
    // An operator accepts the loss, with the records of one of them.
    for gateway in &mut scene.gateways {
        block_in_place(|| gateway.terminate());
    }
    let (data, key) = (scene.gateways[0].data(), scene.key("signing.key"));
    let data = data.display().to_string();
    let accept = ["accept-loss", "--create", "--data-dir", &data, "--signing-key", &key];
    let said = block_in_place(|| scene.command(&accept));
    assert!(said.contains("begins after record 20"), "{said}");
    for gateway in &mut scene.gateways {
        block_in_place(|| gateway.run());
    }
    let more: Vec<_> = (20..40).map(|id| format!("kept-{id}")).collect();
    receipts.extend(emit(&doors, &mut 1, &more).await);
    // What was stored before is still known.
    let again = emit(&doors, &mut 2, &ids).await;
    assert!(again.iter().all(|(id, sequence)| receipts[id] == *sequence));
    assert!(receipts.values().copied().collect::<BTreeSet<_>>().into_iter().eq(1..=40));
    scene.caught_up(40).await;
    scene.roots_agree(40).await;
    agreed(&mut scene, &receipts).await;
}

/// How many records a page of a search has.
async fn search(door: &Door) -> usize {
    let request = pb::SearchRequest { page_size: 100, ..Default::default() };
    call_in_time(door.client().search(request)).await.unwrap().records.len()
}

async fn api(client: &async_nats::Client, request: &str, body: Value) -> Value {
    let subject = format!("$JS.API.{request}.{STREAM}");
    let answer = client.request(subject, body.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The block files of the stream, oldest first.
fn blocks(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_of_stream = path.components().any(|part| part.as_os_str() == STREAM);
            if path.is_dir() {
                folders.push(path);
            } else if is_of_stream && path.extension().is_some_and(|extension| extension == "blk") {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| {
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        number.unwrap_or_default()
    });
    found
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    assert!(!bytes.is_empty());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}
