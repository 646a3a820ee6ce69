//! Proofs of a log on disk: across restarts, and against who changes it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::{
    self, Client, Tail, after, emit_all, gap, latest, numbered, pb, sequences, soon,
};
use auditgate::log::disk::{self, DiskLog, Retention};
use auditgate::log::{Bounds, Sequencer as _, Store as _};
use auditgate::proof::directory_check::{CheckReport, Error, check_directory};
use auditgate::proof::key::SignatureKind;
use auditgate::proof::{Hash, SignedCheckpoint, SigningKey, check_consistency};
use auditgate::server::{Config, Gateway};
use tonic_types::StatusExt as _;

/// A gateway on a data directory.
struct Served {
    gateway: Gateway,
    log: Arc<DiskLog>,
    client: Client,
}

/// A folder with a log, and the key that is not in it.
struct Scene {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Scene {
    fn new() -> Self {
        let key = SigningKey::generate("test.example/log", SignatureKind::Log).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), key }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    async fn start(&self, config: disk::Config) -> Served {
        let folder = self.data();
        let opening = tokio::task::spawn_blocking(move || DiskLog::open(&folder, config));
        let (log, _) = opening.await.unwrap().unwrap();
        let log = Arc::new(log);
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            signing_key: Some(self.key.clone()),
            tiles: Some(self.data()),
            ..Config::default()
        };
        let gateway = Gateway::start_on(config, Arc::clone(&log) as _).await.unwrap();
        let client = support::connect(&gateway).await;
        Served { gateway, log, client }
    }

    fn audit(&self, kept: &[SignedCheckpoint]) -> CheckReport {
        let kept: Vec<_> =
            kept.iter().map(|signed| (signed.clone(), "a kept checkpoint".to_owned())).collect();
        check_directory(&self.data(), &self.key.verifier(), &kept).unwrap()
    }

    fn verify(&self, text: &str) -> SignedCheckpoint {
        SignedCheckpoint::verify(text, &self.key.verifier()).unwrap()
    }

    async fn checkpoint(&self, served: &mut Served) -> SignedCheckpoint {
        let response = soon(served.client.get_checkpoint(pb::GetCheckpointRequest {})).await;
        self.verify(&response.unwrap().into_inner().checkpoint)
    }

    /// Why the gateway does not show that the log begins with a checkpoint.
    async fn refusal(&self, served: &mut Served, old: &SignedCheckpoint) -> Option<String> {
        let request = pb::GetConsistencyProofRequest { old_size: old.size() };
        match soon(served.client.get_consistency_proof(request)).await {
            Ok(response) => {
                let response = response.into_inner();
                let new = self.verify(&response.checkpoint);
                let hashes: Vec<Hash> = response
                    .hashes
                    .iter()
                    .map(|hash| Hash(hash.as_slice().try_into().unwrap()))
                    .collect();
                let shown = check_consistency(old.checkpoint(), new.checkpoint(), &hashes);
                shown.err().map(|error| error.to_string())
            }
            Err(status) => Some(status.get_error_details().error_info().unwrap().reason.clone()),
        }
    }
}

async fn stop(served: Served) {
    let Served { gateway, log, client } = served;
    drop(client);
    gateway.stop().await;
    log.close().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_from_where_it_was_signed() {
    let scene = Scene::new();
    let mut kept = Vec::new();
    for last in [3, 300, 301, 1_000] {
        let mut served = scene.start(disk::Config::default()).await;
        let first = kept.last().map_or(1, |signed: &SignedCheckpoint| signed.size() + 1);
        emit_all(&mut served.client, numbered(first..=last)).await;
        for old in &kept {
            assert_eq!(scene.refusal(&mut served, old).await, None);
        }
        let in_use = check_directory(&scene.data(), &scene.key.verifier(), &[]);
        assert!(matches!(in_use, Err(Error::InUse { .. })), "its files change: {in_use:?}");
        kept.push(scene.checkpoint(&mut served).await);
        assert_eq!(kept.last().unwrap().size(), last);
        let proof = support::status(&mut served.client).await.proof.unwrap();
        assert_eq!((proof.tree_size, proof.checkpoint_size), (last, last));
        assert_eq!((proof.key_name.as_str(), proof.trouble.as_str()), ("test.example/log", ""));
        assert!(proof.checkpoint_time.is_some());
        stop(served).await;
        let report = scene.audit(&kept);
        assert!(report.is_good(), "{:#?}", report.findings);
        assert_eq!((report.last, report.records), (last, last));
        assert_eq!(report.checkpoint.unwrap().size(), last, "all is signed at the end");
        assert_eq!(report.sidecars, kept.len() as u64 - 1, "of all files but the last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_rolled_back_signs_nothing_more() {
    let scene = Scene::new();
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(1..=10)).await;
    let early = scene.checkpoint(&mut served).await;
    stop(served).await;
    let older = scene.folder.path().join("older");
    copy(&scene.data(), &older);
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(11..=20)).await;
    let late = scene.checkpoint(&mut served).await;
    stop(served).await;

    // The records alone are put back: the checkpoint beside them betrays it.
    fs::remove_dir_all(scene.data().join("segments")).unwrap();
    copy(&older.join("segments"), &scene.data().join("segments"));
    assert_eq!(scene.audit(&[]).first_bad(), Some(11));
    let mut served = scene.start(disk::Config::default()).await;
    for old in [&early, &late] {
        assert_eq!(scene.refusal(&mut served, old).await.as_deref(), Some("PROOF_BROKEN"));
    }
    let trouble = served.gateway.prover().unwrap().failure().unwrap();
    assert!(trouble.to_string().contains("was rolled back"), "{trouble}");
    emit_all(&mut served.client, numbered(30..=30)).await;
    assert_eq!(served.log.extent().last.0, 11, "it goes on to accept");
    stop(served).await;

    // All of it is put back: only what was kept elsewhere betrays it.
    fs::remove_dir_all(scene.data()).unwrap();
    copy(&older, &scene.data());
    assert!(scene.audit(std::slice::from_ref(&early)).is_good());
    assert_eq!(scene.audit(std::slice::from_ref(&late)).first_bad(), Some(11));
    let mut served = scene.start(disk::Config::default()).await;
    assert_eq!(scene.refusal(&mut served, &early).await, None);
    assert_eq!(scene.refusal(&mut served, &late).await.as_deref(), Some("OLD_SIZE_AHEAD"));
    stop(served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_told_that_the_log_was_rolled_back() {
    let scene = Scene::new();
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(1..=10)).await;
    stop(served).await;
    let older = scene.folder.path().join("older");
    copy(&scene.data().join("segments"), &older);
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(11..=20)).await;
    let (tail, first) = Tail::begin(&mut served.client, latest()).await;
    drop(tail);
    scene.checkpoint(&mut served).await;
    stop(served).await;

    fs::remove_dir_all(scene.data().join("segments")).unwrap();
    copy(&older, &scene.data().join("segments"));
    let mut served = scene.start(disk::Config::default()).await;
    // More than there were: a cursor behind them must not go on as if nothing was.
    emit_all(&mut served.client, numbered(111..=130)).await;
    let (mut tail, resumed) = Tail::begin(&mut served.client, after(&first.cursor)).await;
    assert_eq!(resumed.gap, Some(gap(11, 20, pb::GapReason::RolledBack)));
    let records = tail.records(20 - resumed.records.len()).await;
    let records: Vec<u64> =
        sequences(&resumed.records).into_iter().chain(sequences(&records)).collect();
    assert_eq!(records, (11..=30).collect::<Vec<_>>());
    drop(tail);
    stop(served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_tiles_are_made_again() {
    let scene = Scene::new();
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(1..=700)).await;
    let kept = scene.checkpoint(&mut served).await;
    stop(served).await;
    fs::remove_dir_all(scene.data().join("tile")).unwrap();
    assert!(!scene.audit(&[]).is_good());
    let mut served = scene.start(disk::Config::default()).await;
    emit_all(&mut served.client, numbered(701..=710)).await;
    assert_eq!(scene.refusal(&mut served, &kept).await, None);
    stop(served).await;
    let report = scene.audit(&[kept]);
    assert!(report.is_good(), "{:#?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_leaves_stays_provable() {
    let scene = Scene::new();
    let ring = Bounds { bytes: 16 * 1024 * 1024, records: 1_600 };
    let config = disk::Config {
        ring,
        retain: Retention { bytes: None, age: Some(std::time::Duration::from_millis(1)) },
        ..disk::Config::default()
    };
    let mut served = scene.start(config).await;
    let mut kept = Vec::new();
    for batch in 0..20 {
        emit_all(&mut served.client, numbered(batch * 100 + 1..=batch * 100 + 100)).await;
        kept.push(scene.checkpoint(&mut served).await);
    }
    let gone = async {
        while served.log.extent().first.0 < 1_000 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon(gone).await;
    for old in &kept {
        assert_eq!(scene.refusal(&mut served, old).await, None, "all tiles stay");
    }
    stop(served).await;
    let report = scene.audit(&kept);
    assert!(report.is_good(), "{:#?}", report.findings);
    assert!(report.first > 900 && report.last == 2_000, "{report:?}");

    let mut served = scene.start(disk::Config::default()).await;
    assert_eq!(scene.refusal(&mut served, &kept[3]).await, None);
    stop(served).await;
}
