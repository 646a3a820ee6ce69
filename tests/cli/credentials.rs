//! A gateway's user in NATS by a file with credentials, on a server with an operator.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::serve::{Gateway, refused};
use crate::shared::{emit, records, run, stop, text, write_private};
use crate::support::nats::{NatsServer, program_or_skip};

/// A token in which `issuer` says something of `subject`, as the NATS servers read it.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": name,
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "name": name,
        "sub": subject.public_key(),
        "nats": nats,
    });
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let mut token = format!("{}.{}", encoded(header), encoded(claims));
    let signature = issuer.sign(token.as_bytes()).expect("it signs");
    write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature)).expect("text");
    token
}

/// A token with which a user may publish and subscribe to these subjects, and its file.
fn credentials(account: &KeyPair, name: &str, publish: &[&str], subscribe: &[&str]) -> String {
    let user = KeyPair::new_user();
    let nats = json!({
        "pub": {"allow": publish},
        "sub": {"allow": subscribe},
        "subs": -1, "data": -1, "payload": -1,
        "type": "user",
        "version": 2,
    });
    let token = token(account, &user, name, &nats);
    let seed = user.seed().expect("a seed");
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// The quoted subjects of a part of the permissions that `cluster init` wrote.
fn subjects<'a>(permissions: &'a str, part: &str) -> Vec<&'a str> {
    let (_, rest) = permissions.split_once(&format!("{part}: {{")).expect(part);
    let (list, _) = rest.split_once(']').expect("a list");
    list.split('"').skip(1).step_by(2).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_connects_with_a_file_of_credentials() {
    let Some(program) = program_or_skip("credentials for NATS") else { return };
    let (operator, account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
        "consumer": -1,
    });
    let of_account = json!({"limits": limits, "type": "account", "version": 2});
    let of_system = json!({"limits": {"subs": -1, "data": -1, "payload": -1, "conn": -1,
        "imports": -1, "exports": -1, "wildcards": true}, "type": "account", "version": 2});
    let of_operator =
        json!({"type": "operator", "version": 2, "system_account": system.public_key()});
    let settings = format!(
        "max_payload: 8MB\njetstream {{ STORE }}\noperator: {}\nsystem_account: {system}\n\
         resolver: MEMORY\nresolver_preload: {{\n{account}: {}\n{system}: {}\n}}\n",
        token(&operator, &operator, "operator", &of_operator),
        token(&operator, &account, "account", &of_account),
        token(&operator, &system, "system", &of_system),
        account = account.public_key(),
        system = system.public_key(),
    );
    let store = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(&program, &settings, store).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, contents: String| {
        let path = folder.path().join(name);
        write_private(&path, contents);
        path
    };
    let (cluster, data) = (folder.path().join("cluster"), folder.path().join("data"));
    let init = |with: &[&str]| {
        let flags = ["--shared", server.url(), "--replicas", "1", "--out", text(&cluster)];
        run(&[&["cluster", "init"], &flags[..], with].concat())
    };
    // Without one, with one that another account's key made, and with half of one.
    let operator = write("operator.creds", credentials(&account, "operator", &[">"], &[">"]));
    let all = ["--shared-credentials", text(&operator)];
    let foreign = write("foreign.creds", credentials(&KeyPair::new_account(), "x", &[], &[]));
    let half = write("half.creds", "-----BEGIN NATS USER JWT-----\n".to_owned());
    for (with, why) in [
        (&[][..], "set shared.credentials"),
        (&["--shared-credentials", text(&foreign)][..], "the servers do not know this user"),
        (&["--shared-credentials", text(&half)][..], "half.creds"),
    ] {
        let (code, said) = init(with);
        assert!(code == Some(2) && said.contains(why), "{why}: {said}");
        assert!(!cluster.exists(), "{said}");
    }
    let (code, said) = init(&all);
    assert_eq!(code, Some(0), "{said}");

    // A gateway has the permissions that were written, and no others.
    let permissions = std::fs::read_to_string(cluster.join("nats-permissions.conf")).unwrap();
    let (publish, subscribe) =
        (subjects(&permissions, "publish"), subjects(&permissions, "subscribe"));
    assert!(publish.len() == 4 && subscribe.len() == 2, "{permissions}");
    let own = write("gateway.creds", credentials(&account, "gateway", &publish, &subscribe));
    let config = cluster.join("gateway.toml");
    let given = |path: &Path| {
        ["--config", text(&config), "--data-dir", text(&data), "--shared-credentials", text(path)]
            .map(str::to_owned)
    };
    let flags = |given: &[String; 6]| given.to_vec();
    let own = flags(&given(&own));
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let gateway = Gateway::start(&own, &[]);
    assert_eq!(emit(&gateway, "one").await.sequence, 1);
    assert_eq!(records(&gateway, 1).await.len(), 1);
    stop(gateway);

    // One permission less: what is missing is named, and is not waited for.
    let few = write("few.creds", credentials(&account, "few", &publish[..1], &subscribe));
    let few = flags(&given(&few));
    let mut few: Vec<&str> = few.iter().map(String::as_str).collect();
    few.extend(["--shared-connect-timeout", "1s"]);
    let said = refused(&few);
    assert!(said.contains("nats-permissions.conf") && said.contains("STREAM.INFO"), "{said}");
}
