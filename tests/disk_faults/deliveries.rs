//! Deliveries while gateway and receiver are killed under load: nothing is lost, the order holds,
//! and no more is repeated than was in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::emitter::{Known, batches, emit};
use crate::gateway::{Gateway, Place, WAIT_MAX};
use crate::is_long;

/// Records of a batch: what may be in flight.
const BATCH_RECORDS: u64 = 20;

/// Records that a receiver stored: sequence and id of the event, in the order in which they came.
type Stored = Arc<Mutex<Vec<(u64, String)>>>;

/// An HTTP receiver that is killed as often as not: it answers, or ends the connection before or
/// after it has stored a request.
async fn receiver(stored: Stored) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stored = Arc::clone(&stored);
            tokio::spawn(async move {
                let _ = serve(stream, &stored).await;
            });
        }
    });
    address
}

async fn serve(mut stream: TcpStream, stored: &Stored) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.split('\r').next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let chance = fastrand::u8(0..10);
        if chance == 0 {
            return Ok(());
        }
        let records: Vec<Value> = serde_json::from_slice(&body).unwrap();
        stored.lock().unwrap().extend(records.iter().map(read));
        if chance == 1 {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}

fn read(record: &Value) -> (u64, String) {
    let sequence = record["sequence"].as_str().unwrap().parse().unwrap();
    (sequence, record["event"]["id"].as_str().unwrap().to_owned())
}

/// What the files of a delivery have.
fn files(folder: &Path) -> Vec<(u64, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).map(|one| read(&one)).collect()
}

/// Checks what arrived: all that was acknowledged, once or more, in order, and repeated by no more
/// than one batch at a time.
fn check(arrived: &[(u64, String)], known: &Known, name: &str) {
    let ids: BTreeMap<u64, &str> =
        arrived.iter().map(|(sequence, id)| (*sequence, id.as_str())).collect();
    for (id, sequence) in &known.acknowledged {
        assert_eq!(ids.get(sequence), Some(&id.as_str()), "{name}: {id} was acknowledged");
    }
    let mut newest = 0;
    for (sequence, _) in arrived {
        assert!(*sequence <= newest + 1, "{name}: {sequence} comes before {}", newest + 1);
        let repeated = newest.saturating_sub(*sequence);
        assert!(repeated < BATCH_RECORDS, "{name}: goes back from {newest} to {sequence}");
        newest = newest.max(*sequence);
    }
    let different: BTreeSet<u64> = arrived.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(different.len() as u64, newest, "{name}: no sequence is left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_moments_deliveries_lose_nothing() {
    let rounds = if is_long() { 500 } else { 12 };
    let place = Place::new();
    let stored = Stored::default();
    let address = receiver(Arc::clone(&stored)).await;
    let out = place.folder.path().join("out");
    let config = place.folder.path().join("auditgate.toml");
    let text = format!(
        "[[delivery]]\nname = \"web\"\nbatch_records = {BATCH_RECORDS}\n[delivery.destination]\n\
         kind = \"http\"\nurl = \"http://{address}/\"\n\
         [[delivery]]\nname = \"files\"\nbatch_records = {BATCH_RECORDS}\n\
         [delivery.destination]\nkind = \"file\"\npath = \"{}\"\n",
        out.display()
    );
    std::fs::write(&config, text).unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let mut known = Known::default();
    let mut open = Vec::new();
    for round in 0..rounds {
        let gateway = Gateway::start_with(&place, &place.data(), &[], &flags).unwrap();
        let mut work = std::mem::take(&mut open);
        work.extend(batches(&format!("{round}"), 400));
        let emitting = tokio::spawn(emit(gateway.address, work));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..400))).await;
        gateway.kill();
        let mut told = emitting.await.unwrap();
        open = std::mem::take(&mut told.open)
            .into_iter()
            .filter(|batch| told.sent.contains(batch))
            .collect();
        told.sent.clear();
        known.merge(told);
    }
    let gateway = Gateway::start_with(&place, &place.data(), &[], &flags).unwrap();
    let last = *known.acknowledged.values().max().expect("some are acknowledged");
    let begun = Instant::now();
    let has = |arrived: &[(u64, String)]| arrived.iter().any(|(sequence, _)| *sequence >= last);
    while !has(&stored.lock().unwrap()) || !has(&files(&out)) {
        assert!(begun.elapsed() < WAIT_MAX, "record {last} does not arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.kill();
    let web = stored.lock().unwrap().clone();
    check(&web, &known, "web");
    check(&files(&out), &known, "files");
    let repeated = web.len() as u64 - web.iter().map(|(sequence, _)| *sequence).max().unwrap_or(0);
    eprintln!(
        "killed {rounds} times under load: {} acknowledged, none lost, {repeated} repeated",
        known.acknowledged.len()
    );
    assert!(known.acknowledged.len() > 10 * rounds);
}
