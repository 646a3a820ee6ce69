//! What authentication and permission cost: a gateway with TLS, tokens and roles
//! against one with TLS alone.

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;

use auditgate::access::hash_token;
use auditgate::config::{self, Role, Settings, StaticToken};
use auditgate::server::{Config, Gateway};
use rcgen::{CertificateParams, KeyPair};

use crate::fanout::{self, Requests};
use crate::rounds::{Better, Duel, Row};
use crate::stage::{Door, Served, Stage};
use crate::{Result, Scale, emit, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["emit_unary_secured", "fanout_100_secured"];

const PEER: &str = "the same gateway with TLS alone";
/// The token of the only principal.
const TOKEN: &str = "bench";
/// Roles that are somebody else's: those of an operator with many services.
const OTHER_ROLES: usize = 50;
const SUBSCRIBERS: usize = 100;

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let folder = tempfile::tempdir()?;
    let own = CertificateParams::new(vec!["localhost".to_owned()])?;
    let key = KeyPair::generate()?;
    let pem = own.self_signed(&key)?.pem();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, &pem)?;
    std::fs::write(&key_file, key.serialize_pem())?;
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
    let tls = config::Tls { cert: Some(cert_file), key: Some(key_file), ..Default::default() };
    let start = |access: config::Access, token: &str| -> Result<(Served, Door)> {
        let listen = ([127, 0, 0, 1], 0).into();
        let settings = Settings { listen, tls: tls.clone(), access, ..Settings::default() };
        let gateway = stage.serve(Gateway::start(Config::from(&settings)))?;
        let door = Door::secured(gateway.address(), &pem, token)?;
        Ok((Served { address: gateway.address(), gateway }, door))
    };
    let (_asking, secured) = start(access(), TOKEN)?;
    let (_trusting, open) = start(config::Access::default(), "")?;
    wanted.iter().map(|name| measure(&stage, name, &secured, &open, scale)).collect()
}

/// A principal with a role that names most types one by one, so that a filter has
/// to be narrowed.
fn access() -> config::Access {
    let role = |name: String, principal: &str, types: Vec<String>| Role {
        name,
        principals: vec![principal.to_owned()],
        emit: types.clone(),
        read: types,
        allow: Vec::new(),
    };
    let types = auditgate::catalog::all().map(|(_, found)| found.name.to_owned());
    let types = types.filter(|name| name != "auth").chain(["custom.*".to_owned()]).collect();
    let others = (0..OTHER_ROLES)
        .map(|number| role(number.to_string(), &format!("service-{number}"), vec!["exec".into()]));
    let mut roles: Vec<Role> = others.collect();
    roles.push(role("bench".to_owned(), "bench", types));
    let token = StaticToken { principal: "bench".to_owned(), sha256: hash_token(TOKEN) };
    config::Access { tokens: vec![token], roles, self_audit: Some(false), ..Default::default() }
}

fn measure(
    stage: &Stage,
    name: &'static str,
    secured: &Door,
    open: &Door,
    scale: Scale,
) -> Result<Row> {
    /// Behind those of the fan-out: a repeated event would reach no subscriber.
    const UNARY_FROM: u64 = 1_000_000;
    let next = Cell::new(UNARY_FROM);
    let requests = Requests::new(scale.pick(fanout::HUNDRED_RECORDS, 500));
    let unary = |door: &Door| {
        let numbers = next.get()..next.get() + scale.pick(20_000, 600);
        next.set(numbers.end);
        stage.run(emit::emit_all(door.clone(), events::emit_requests(numbers)))
    };
    let fan_out = |door: &Door| {
        let records = scale.pick(fanout::HUNDRED_RECORDS, 500);
        let subscribers = scale.pick(SUBSCRIBERS, 10);
        let round = fanout::fan_out(door.clone(), subscribers, requests.take(), records);
        stage.run(round).map(|outcome| outcome.took.rate(outcome.records as f64))
    };
    let duel = |unit| Duel { name, unit, better: Better::More, peer: PEER };
    if name == "emit_unary_secured" {
        duel("events/s").run(scale.rounds(), || unary(secured), || unary(open))
    } else {
        duel("deliveries/s").run(scale.rounds(), || fan_out(secured), || fan_out(open))
    }
}
