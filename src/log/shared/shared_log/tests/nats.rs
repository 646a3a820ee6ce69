//! Three gateways on three NATS servers, where a server is installed: each server is
//! killed, stopped in order and suspended under load.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::log::shared::stream::jetstream::test_server::{self, TestCluster, program_or_skip};

/// How long gateways may be without a receipt: an election takes up to nine seconds.
const OUTAGE_TIME_MAX: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receipt_is_lost_when_servers_die() {
    const EMITTERS: usize = 6;
    let Some(program) = program_or_skip() else { return };
    let mut cluster = TestCluster::start(program, 3);
    let servers = cluster.servers();
    let mut gateways = Vec::new();
    for _ in 0..3 {
        // The first of them makes it.
        let stream = test_server::stream(&servers, "faults", 3).await;
        let folder = folder();
        let log = open(&folder, RING, Arc::new(stream)).await;
        gateways.push(Gateway { log, folder });
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let tasks = (0..EMITTERS).map(|emitter| {
        let logs: Vec<_> = gateways.iter().map(|gateway| Arc::clone(&gateway.log)).collect();
        let (is_over, done) = (Arc::clone(&is_over), Arc::clone(&done));
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("{emitter}-{number}");
                let drafts = [draft(&id, "ls")];
                // As a client does: at another gateway, with the same id.
                for attempt in 0.. {
                    let log = &logs[(emitter + attempt) % logs.len()];
                    match log.append(&drafts, ALL).await {
                        Ok(appended) => {
                            receipts.push((id, appended[0].clone().expect("a receipt")));
                            break;
                        }
                        Err(Refusal::OutcomeUnknown { .. } | Refusal::Away { .. }) => {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            receipts
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let progress = async |more: usize| {
        let wanted = done.load(Ordering::Relaxed) + more;
        let begun = Instant::now();
        while done.load(Ordering::Relaxed) < wanted {
            assert!(begun.elapsed() < OUTAGE_TIME_MAX, "no receipts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    };
    progress(100).await;
    for round in 0..3 {
        let leader = cluster.leader("faults").await.unwrap_or(round);
        let victim = if round == 2 { (leader + 1) % 3 } else { leader };
        match round {
            0 => cluster.kill(victim),
            1 => cluster.terminate(victim),
            _ => cluster.suspend(victim),
        }
        let took = progress(60).await;
        println!("round {round}: {took:?} for 60 receipts");
        cluster.restore(victim);
        progress(60).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.extend(task.await.expect("no panic"));
    }
    let all = frames(&gateways[0].log).await;
    for other in &gateways[1..] {
        assert!(frames(&other.log).await == all, "the same bytes");
    }
    let mut ids = HashSet::new();
    for frame in &all {
        let record = crate::record::Record::read_frame(frame);
        assert!(ids.insert(record.envelope().id.expect("an id").to_owned()), "stored twice");
    }
    for (id, receipt) in &receipts {
        let frame = &all[receipt.sequence.0 as usize - 1];
        let record = crate::record::Record::read_frame(frame);
        assert_eq!(record.envelope().id, Some(id.as_str()), "a receipt is true");
    }
    assert_eq!(ids.len(), receipts.len());
    for gateway in &gateways {
        let report = gateway.log.report();
        println!("{report:?}");
        assert_eq!((report.disagreements, report.invalid), (0, 0));
        gateway.log.close().await;
    }
}

/// The connection to a server that the others do not reach stays open. It must not keep the
/// gateway from those which have a majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_leaves_a_server_that_is_cut_off() {
    let Some(program) = program_or_skip() else { return };
    let mut cluster = TestCluster::start(program, 3);
    let stream = test_server::stream(&cluster.servers(), "cut", 3).await;
    let folder = folder();
    let log = open(&folder, RING, Arc::new(stream)).await;
    receipt(&log, "before", "ls").await;
    cluster.terminate(0);
    cluster.isolate(0);
    // It is the only one to connect to, and then the others are back.
    cluster.terminate(1);
    cluster.terminate(2);
    let server = async || log.replication().expect("a shared log").server;
    let begun = Instant::now();
    while server().await != "n0" {
        assert!(begun.elapsed() < OUTAGE_TIME_MAX, "connected to {}", server().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.restore(1);
    cluster.restore(2);
    let begun = Instant::now();
    loop {
        match log.append(&[draft("after", "ls")], ALL).await {
            Ok(_) => break,
            Err(Refusal::OutcomeUnknown { .. } | Refusal::Away { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "connected to {}", server().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_ne!(server().await, "n0");
    println!("moved on after {:?}", begun.elapsed());
    log.close().await;
}
