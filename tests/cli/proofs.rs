//! `auditgate keygen`, `checkpoint`, `receipt`, `verify` and `witness`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{Ran, emit, login, run};
use crate::support::{self};
use auditgate::proof::key::SignatureKind;
use auditgate::proof::{SignedCheckpoint, SigningKey, VerifierKey};
use auditgate::server::{Config, Gateway};

/// A folder with a log's key and a witness's, made by the program.
struct Scene {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (name, file, more) in
            [("test.example/log", "log.key", None), ("w.example", "witness.key", Some("--witness"))]
        {
            let made = std::process::Command::new(env!("CARGO_BIN_EXE_auditgate"))
                .args(["keygen", "--name", name, "--out", &path(file)])
                .args(more)
                .output()
                .unwrap();
            let public = fs::read_to_string(path(&format!("{file}.pub"))).unwrap();
            assert_eq!(String::from_utf8(made.stdout).unwrap(), public);
        }
        let key = SigningKey::parse(&fs::read_to_string(path("log.key")).unwrap()).unwrap();
        Self { folder, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A gateway with the log's key, and a log of its own.
    async fn gateway(&self, users: &[&str]) -> Gateway {
        let listen = ([127, 0, 0, 1], 0).into();
        let signing_key = Some(self.key.clone());
        let config = Config { listen, signing_key, ..Config::default() };
        let gateway = Gateway::start(config).await.unwrap();
        self.emit(&gateway, users, 0).await;
        gateway
    }

    async fn emit(&self, gateway: &Gateway, users: &[&str], from: i64) {
        let events = (from..).zip(users).map(|(number, user)| login(number, user));
        emit(gateway, events.collect()).await;
    }

    /// Runs a command in the folder's terms: a word that begins with `@` is a file
    /// of it.
    fn run(&self, gateway: &Gateway, words: &str) -> Ran {
        let words: Vec<String> = words
            .split_whitespace()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => self.path(name).to_str().unwrap().to_owned(),
                None => word.to_owned(),
            })
            .collect();
        run(gateway, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn checkpoint(&self, file: &str) -> SignedCheckpoint {
        read(&self.path(file), &self.key.verifier())
    }
}

fn read(file: &Path, key: &VerifierKey) -> SignedCheckpoint {
    SignedCheckpoint::verify(&fs::read_to_string(file).unwrap(), key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_checked_without_a_gateway() {
    let scene = Scene::new();
    let gateway = scene.gateway(&["alice", "bob", "carol"]).await;
    let ran =
        scene.run(&gateway, "receipt --sequence 2 --verifier-key @log.key.pub --out @2.proof");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("checked against its signed checkpoint of 3 records"), "{ran:?}");
    let printed = scene.run(&gateway, "receipt --sequence 2");
    assert_eq!(printed.out, fs::read_to_string(scene.path("2.proof")).unwrap());
    assert!(printed.err.contains("not checked"), "{printed:?}");
    let absent = scene.run(&gateway, "receipt nothing");
    assert_eq!(absent.code, Some(2), "{absent:?}");
    gateway.stop().await;

    // Nobody listens any more; a command needs no server for this.
    let gateway = support::start().await;
    let ran = scene.run(&gateway, "verify --proof @2.proof --verifier-key @log.key.pub");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("proven: record 2, user.login "), "{ran:?}");
    assert!(ran.out.contains("test.example/log, whose first 3 records its key signed"), "{ran:?}");

    let text = fs::read_to_string(scene.path("2.proof")).unwrap();
    fs::write(scene.path("bad.proof"), text.replacen("index 1", "index 2", 1)).unwrap();
    let ran = scene.run(&gateway, "verify --proof @bad.proof --verifier-key @log.key.pub");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("BAD: ") && ran.err.contains("is not a valid proof"), "{ran:?}");
    let ran = scene.run(&gateway, "verify --proof @2.proof --verifier-key @witness.key.pub");
    assert_eq!((ran.code, ran.err.contains("a log's key is needed")), (Some(2), true), "{ran:?}");
    let ran = scene.run(&gateway, "verify --proof @none --verifier-key @log.key.pub");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let words = "verify --proof @2.proof --verifier-key @log.key.pub --witness @witness.key.pub";
    let ran = scene.run(&gateway, words);
    assert_eq!((ran.code, ran.err.contains("was not witnessed")), (Some(1), true), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_checkpoint_shows_whether_the_log_is_what_it_was() {
    let scene = Scene::new();
    let gateway = scene.gateway(&["alice", "bob"]).await;
    let ran = scene.run(&gateway, "checkpoint --verifier-key @log.key.pub --out @monday");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(scene.checkpoint("monday").size(), 2);
    scene.emit(&gateway, &["carol"], 2).await;
    let words = "verify --since @monday --verifier-key @log.key.pub --out @tuesday";
    let ran = scene.run(&gateway, words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("has 3 records, and the first 2 are those of"), "{ran:?}");
    assert_eq!(scene.checkpoint("tuesday").size(), 3);

    // The same origin and key, with another past and as many records.
    let rewritten = scene.gateway(&["alice", "mallory", "carol", "dave"]).await;
    let ran =
        scene.run(&rewritten, "verify --since @monday --verifier-key @log.key.pub --out @never");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("the log was rewritten"), "{ran:?}");
    assert!(!scene.path("never").exists());
    let shorter = scene.gateway(&["alice"]).await;
    let ran = scene.run(&shorter, "verify --since @monday --verifier-key @log.key.pub");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("rolled back"), "{ran:?}");
    let off = support::start().await;
    let ran = scene.run(&off, "verify --since @monday --verifier-key @log.key.pub");
    assert_eq!((ran.code, ran.err.contains("--merkle")), (Some(2), true), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_signs_one_past_only() {
    let scene = Scene::new();
    let words =
        "witness --log @log.key.pub --signing-key @witness.key --state @state --out @out --once";
    let gateway = scene.gateway(&["alice", "bob"]).await;
    let ran = scene.run(&gateway, words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("begins with 2 records"), "{ran:?}");
    scene.emit(&gateway, &["carol"], 2).await;
    let ran = scene.run(&gateway, words);
    assert!(ran.err.contains("which begin with the 2 seen before"), "{ran:?}");
    let witness = fs::read_to_string(scene.path("witness.key.pub")).unwrap();
    let witness = VerifierKey::parse(&witness).unwrap();
    let cosigned = scene.checkpoint("out");
    assert_eq!((cosigned.size(), scene.checkpoint("state").size()), (3, 3));
    assert_eq!(cosigned.cosignature(&witness).unwrap().name, "w.example");
    assert_eq!(witness.kind(), SignatureKind::Cosignature);

    for users in [&["alice", "mallory", "carol", "dave"][..], &["alice"][..]] {
        let other = scene.gateway(users).await;
        let ran = scene.run(&other, words);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("ALARM"), "{ran:?}");
        assert!(ran.out.contains("test.example/log\n3\n"), "the evidence: {ran:?}");
        assert_eq!(scene.checkpoint("out"), cosigned, "nothing was signed");
        assert_eq!(scene.checkpoint("state").size(), 3, "nothing was forgotten");
    }
    // A receipt by what the witness signed shows that, too.
    let receipt =
        "receipt --sequence 2 --verifier-key @log.key.pub --checkpoint @out --out @2.proof";
    scene.emit(&gateway, &["dave"], 3).await;
    assert_eq!(scene.run(&gateway, receipt).code, Some(0));
    let verify = "verify --proof @2.proof --verifier-key @log.key.pub --witness @witness.key.pub";
    let ran = scene.run(&gateway, verify);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("the witness w.example saw that checkpoint at 20"), "{ran:?}");
    // The honest log goes on, and so does the witness.
    assert_eq!(scene.run(&gateway, words).code, Some(0));
}
