use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

use super::*;
use crate::config::{Algorithm, Jwt, Period, Right, Role, StaticToken};

/// An issuer with a key of each kind.
struct Issuer {
    random: SystemRandom,
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        // ring makes no RSA keys; this one is used nowhere else.
        let pem = include_str!("../../tests/fixtures/rsa_key.pem");
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let rsa = STANDARD.decode(body).expect("PEM");
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).expect("a key"),
            ec: EcdsaKeyPair::from_pkcs8(algorithm, ec.as_ref(), &random).expect("a key"),
            rsa: RsaKeyPair::from_pkcs8(&rsa).expect("a key"),
            random,
        }
    }

    fn keys(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = point.get(1..).expect("uncompressed").split_at(32);
        let RsaPublicKeyComponents { n, e } = self.public_rsa();
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(self.ed.public_key())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": encode(x), "y": encode(y)},
            {"kty": "RSA", "kid": "rsa", "use": "sig", "n": encode(n), "e": encode(e)},
            {"kty": "oct", "kid": "secret", "alg": "HS256", "k": encode("a shared secret")},
        ]})
    }

    fn public_rsa(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        self.rsa.public().into()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let bytes = message.as_bytes();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &self.random, bytes, &mut signature).expect("signed");
            signature
        };
        let hmac = |secret: &[u8]| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
            ring::hmac::sign(&key, bytes).as_ref().to_vec()
        };
        let signature = match (header["alg"].as_str(), header["kid"].as_str()) {
            (Some("EdDSA"), _) => self.ed.sign(bytes).as_ref().to_vec(),
            (Some("ES256"), _) => {
                self.ec.sign(&self.random, bytes).expect("signed").as_ref().to_vec()
            }
            (Some("RS256"), _) => rsa(&signature::RSA_PKCS1_SHA256),
            (Some("PS256"), _) => rsa(&signature::RSA_PSS_SHA256),
            // What is public, taken for a secret; and a secret that is in the set.
            (Some("HS256"), Some("rsa")) => hmac(&self.public_rsa().n),
            (Some("HS256"), _) => hmac(b"a shared secret"),
            _ => Vec::new(),
        };
        format!("{message}.{}", encode(signature))
    }
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({"iss": "https://idp", "aud": ["other", "audit"], "sub": "alice", "exp": now() + 600})
}

fn with(mut value: Value, name: &str, to: Value) -> Value {
    value[name] = to;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("an object").remove(name);
    value
}

fn jwt(jwks: &std::path::Path) -> Jwt {
    Jwt {
        issuer: "https://idp".to_owned(),
        audiences: vec!["audit".to_owned()],
        jwks: jwks.to_owned(),
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256],
        claim: "sub".to_owned(),
        prefix: "jwt:".to_owned(),
        leeway: Period(Duration::from_secs(30)),
    }
}

fn file(value: &Value) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(value.to_string().as_bytes()).expect("written");
    file
}

fn issuers(issuer: &Issuer) -> jwt::Issuers {
    jwt::Issuers::read(&[jwt(file(&issuer.keys()).path())]).expect("keys")
}

fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "kid": kid, "typ": "JWT"})
}

#[test]
fn a_token_of_each_allowed_algorithm_is_taken() {
    let issuer = Issuer::new();
    let issuers = issuers(&issuer);
    for header in [
        header("ES256", "ec"),
        header("EdDSA", "ed"),
        header("RS256", "rsa"),
        json!({"alg": "RS256"}),
        json!({"alg": "ES256"}),
    ] {
        let (principal, expires) =
            issuers.verify(&issuer.token(&header, &claims())).expect("taken");
        assert_eq!(&*principal, "jwt:alice");
        assert!(expires.expect("it expires") > SystemTime::now());
    }
    let soon = issuer.token(&header("ES256", "ec"), &with(claims(), "exp", json!(now() - 10)));
    assert!(issuers.verify(&soon).is_ok(), "within the leeway");
}

#[test]
fn what_is_not_the_issuer_s_word_is_not_taken() {
    let issuer = Issuer::new();
    let issuers = issuers(&issuer);
    let ec = || header("ES256", "ec");
    let of = |claims: Value| issuer.token(&ec(), &claims);
    let good = of(claims());
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let other = Issuer::new().token(&ec(), &claims());
    let swapped = format!(
        "{}.{}",
        good.rsplit_once('.').expect("parts").0,
        other.rsplit_once('.').expect("parts").1
    );
    let cases = [
        ("no signature", format!("{signed}.")),
        ("half a token", signed.to_owned()),
        ("a signature of another", swapped),
        ("another's key", other),
        ("a longer signature", format!("{signed}.{signature}AA")),
        ("no algorithm", issuer.token(&header("none", "ec"), &claims())),
        ("none in other letters", issuer.token(&header("nOnE", "ec"), &claims())),
        ("a public key as a secret", issuer.token(&header("HS256", "rsa"), &claims())),
        ("a shared secret", issuer.token(&header("HS256", "secret"), &claims())),
        ("an algorithm that is not allowed", issuer.token(&header("PS256", "rsa"), &claims())),
        ("a key of another kind", issuer.token(&header("ES256", "rsa"), &claims())),
        ("a key that is not there", issuer.token(&header("ES256", "new"), &claims())),
        ("an extension", issuer.token(&with(ec(), "crit", json!(["exp"])), &claims())),
        ("another issuer", of(with(claims(), "iss", json!("https://evil")))),
        ("several issuers", of(with(claims(), "iss", json!(["https://idp", "x"])))),
        ("no issuer", of(without(claims(), "iss"))),
        ("another audience", of(with(claims(), "aud", json!("other")))),
        ("no audience", of(without(claims(), "aud"))),
        ("an audience that is no text", of(with(claims(), "aud", json!(7)))),
        ("no expiry", of(without(claims(), "exp"))),
        ("an expiry that is text", of(with(claims(), "exp", json!("9999999999")))),
        ("a negative expiry", of(with(claims(), "exp", json!(-1)))),
        ("an expiry in the past", of(with(claims(), "exp", json!(now() - 31)))),
        ("a beginning in the future", of(with(claims(), "nbf", json!(now() + 60)))),
        ("a beginning that is text", of(with(claims(), "nbf", json!("0")))),
        ("nobody", of(without(claims(), "sub"))),
        ("an empty name", of(with(claims(), "sub", json!("")))),
        ("a name that is no text", of(with(claims(), "sub", json!({"a": 1})))),
        ("control characters", of(with(claims(), "sub", json!("a\nb")))),
        ("a long name", of(with(claims(), "sub", json!("x".repeat(300))))),
        ("a long token", of(with(claims(), "x", json!("x".repeat(9_000))))),
        ("claims that are none", format!("{}.{}.", encode(ec().to_string()), encode("[]"))),
        ("dots", "..".to_owned()),
    ];
    let hidden =
        ["a\u{202e}b", "al\u{200b}ice", "alice\u{2800}", "alice\u{fe0f}", "x\u{e0041}", "alice "];
    let hidden = hidden.map(|name| (name, of(with(claims(), "sub", json!(name)))));
    let pile = format!("e{}", "\u{301}".repeat(4));
    let pile = [("a pile of marks", of(with(claims(), "sub", json!(pile))))];
    for (what, token) in cases.into_iter().chain(hidden).chain(pile) {
        let refused = issuers.verify(&token).expect_err(what);
        assert!(matches!(refused, Error::Jwt(_) | Error::Expired(_)), "{what}: {refused}");
        assert!(!refused.to_string().contains(&token), "{what}: the token is not repeated");
    }
    assert!(issuers.verify(&good).is_ok());
}

#[test]
fn a_key_within_the_token_is_not_looked_at() {
    let (issuer, evil) = (Issuer::new(), Issuer::new());
    let key = evil.keys()["keys"][1].clone();
    let header = json!({"alg": "ES256", "jwk": key, "jku": "https://evil/keys"});
    let refused = issuers(&issuer).verify(&evil.token(&header, &claims()));
    assert_eq!(refused.expect_err("refused"), Error::Jwt("its signature is wrong"));
}

#[test]
fn a_set_without_a_usable_key_is_refused() {
    for set in [
        json!({"keys": []}),
        json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
        json!({"keys": [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}]}),
        json!({"nothing": 1}),
    ] {
        let file = file(&set);
        let error = jwt::Issuers::read(&[jwt(file.path())]).expect_err("no key");
        assert_eq!(error.key(), Some("access.jwt[0].jwks"), "{error}");
    }
    let none = std::path::Path::new("/nonexistent");
    let error = jwt::Issuers::read(&[jwt(none)]).expect_err("no file");
    assert_eq!(error.key(), Some("access.jwt[0].jwks"), "{error}");
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn role(principals: &[&str], emit: &[&str], read: &[&str], allow: &[Right]) -> Role {
    Role {
        name: "role".to_owned(),
        principals: strings(principals),
        emit: strings(emit),
        read: strings(read),
        allow: allow.to_vec(),
    }
}

/// Two principals with tokens, and these roles.
fn configured(roles: Vec<Role>) -> config::Access {
    let token = |name: &str| StaticToken { principal: name.to_owned(), sha256: hash_token(name) };
    config::Access { tokens: vec![token("alice"), token("bob")], roles, ..Default::default() }
}

fn access(roles: Vec<Role>) -> Arc<AccessControl> {
    AccessControl::load(&config::Tls::default(), &configured(roles)).expect("valid")
}

fn admit(access: &AccessControl, rule: MethodRule, token: &str) -> Result<Arc<Caller>, Error> {
    let header = format!("Bearer {token}");
    let header = (!token.is_empty()).then_some(header.as_bytes());
    let channel = ConnectionIdentity::default();
    access.admit(Some(rule), header, &channel).map_err(|refused| refused.error)
}

#[test]
fn without_authentication_everybody_may_do_everything() {
    let access = AccessControl::open();
    for rule in [
        MethodRule::Emit,
        MethodRule::Read,
        MethodRule::Status,
        MethodRule::Proof,
        MethodRule::Reflection,
    ] {
        let caller = admit(&access, rule, "").expect("open");
        assert_eq!(caller.principal(), "");
        assert!(caller.grants().read().is_all());
        assert!(admit(&access, rule, "whatever").is_ok(), "a token is not looked at");
    }
}

#[test]
fn what_no_role_allows_is_refused() {
    let access = access(vec![
        role(&["al*"], &["user.login"], &[], &[Right::Status]),
        role(&["alice"], &["custom.a"], &["exec"], &[]),
    ]);
    let alice = admit(&access, MethodRule::Emit, "alice").expect("a role allows it");
    assert_eq!(alice.principal(), "alice");
    let may = |name: &str| alice.grants().emit().contains_name(name);
    assert!(may("user.login") && may("custom.a") && !may("exec") && !may("custom.b"));
    assert!(alice.grants().read().contains_name("exec"));
    for (rule, allowed) in [
        (MethodRule::Read, true),
        (MethodRule::Status, true),
        (MethodRule::Catalog, true),
        (MethodRule::Proof, false),
        (MethodRule::Reflection, false),
        (MethodRule::Health, true),
    ] {
        assert_eq!(admit(&access, rule, "alice").is_ok(), allowed, "{rule:?}");
        // bob is known, and has no role; only the health is open to anyone.
        assert_eq!(admit(&access, rule, "bob").is_ok(), rule == MethodRule::Health, "{rule:?}");
    }
    assert_eq!(
        admit(&access, MethodRule::Read, "").expect_err("unknown"),
        Error::CredentialsMissing
    );
    assert_eq!(admit(&access, MethodRule::Read, "eve").expect_err("unknown"), Error::TokenUnknown);
}

#[test]
fn health_and_reflection_can_be_opened_and_closed() {
    let load = |health, reflection| {
        let roles = vec![role(&["alice"], &[], &[], &[Right::Health, Right::Reflection])];
        let access = config::Access { health, reflection, ..configured(roles) };
        AccessControl::load(&config::Tls::default(), &access).expect("valid")
    };
    let closed = load(Audience::Permitted, Audience::Anyone);
    let refused = |access, token| admit(access, MethodRule::Health, token).expect_err("refused");
    assert_eq!(refused(&closed, ""), Error::CredentialsMissing);
    assert!(matches!(refused(&closed, "bob"), Error::Forbidden(_)));
    assert!(admit(&closed, MethodRule::Health, "alice").is_ok());
    assert!(admit(&closed, MethodRule::Reflection, "").is_ok());
    let known = load(Audience::Authenticated, Audience::Authenticated);
    assert_eq!(refused(&known, ""), Error::CredentialsMissing);
    assert!(admit(&known, MethodRule::Health, "bob").is_ok());
    assert!(admit(&known, MethodRule::Reflection, "bob").is_ok());
}

#[test]
fn a_connection_remembers_whom_it_brought_and_forgets_with_a_change() {
    let access = access(vec![role(&["*"], &[], &["*"], &[])]);
    let channel = ConnectionIdentity::default();
    let call = |token: &str| {
        access
            .admit(Some(MethodRule::Read), Some(format!("Bearer {token}").as_bytes()), &channel)
            .map_err(|refused| refused.error)
    };
    let first = call("alice").expect("known");
    assert!(Arc::ptr_eq(&first, &call("alice").expect("known")), "remembered");
    assert_eq!(call("bob").expect("known").principal(), "bob", "each by its own token");
    assert_eq!(call("alicf").expect_err("unknown"), Error::TokenUnknown);
    let mut without_alice = configured(vec![role(&["*"], &[], &["*"], &[])]);
    without_alice.tokens.retain(|token| token.principal != "alice");
    access.replace(AccessState::load(&config::Tls::default(), &without_alice).expect("valid"));
    assert_eq!(call("alice").expect_err("forgotten"), Error::TokenUnknown);
    assert_eq!(access.refresh(&first).expect_err("forgotten"), Error::TokenUnknown);
    assert!(call("bob").is_ok());
}

#[tokio::test]
async fn a_session_notices_a_change_whenever_it_comes() {
    let access = access(vec![role(&["*"], &[], &["*"], &[])]);
    let caller = admit(&access, MethodRule::Read, "alice").expect("known");
    let mut session = StreamAuth::new(&access, Arc::clone(&caller));
    assert!(session.check().is_none());
    let narrowed = configured(vec![role(&["*"], &[], &["exec"], &[])]);
    let state = AccessState::load(&config::Tls::default(), &narrowed).expect("valid");
    access.replace(state);
    let StreamAuthEnd::Changed(now) = session.changed().await else { panic!("still known") };
    assert!(!now.grants().read().is_all());
    assert!(session.check().is_none(), "told once");
    // A caller that was admitted before the change, and opens its stream after it.
    let mut late = StreamAuth::new(&access, caller);
    assert!(matches!(late.check(), Some(StreamAuthEnd::Changed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_token() {
    let issuer = Issuer::new();
    let keys = file(&issuer.keys());
    let own = Jwt { leeway: Period(Duration::ZERO), ..jwt(keys.path()) };
    let roles = vec![role(&["*"], &[], &["*"], &[])];
    let configured = config::Access { jwt: vec![own], ..configured(roles) };
    let access = AccessControl::load(&config::Tls::default(), &configured).expect("valid");
    let token = |exp: u64| issuer.token(&header("EdDSA", "ed"), &with(claims(), "exp", json!(exp)));
    let caller = admit(&access, MethodRule::Read, &token(now() + 600)).expect("known");
    let mut lasting = StreamAuth::new(&access, caller);
    assert!(lasting.check().is_none());
    let caller = admit(&access, MethodRule::Read, &token(now() + 600)).expect("known");
    let expired = Caller { expires: Some(SystemTime::now()), ..(*caller).clone() };
    let mut ended = StreamAuth::new(&access, Arc::new(expired));
    // What it showed is looked at again: this one is still good.
    assert!(matches!(ended.check(), Some(StreamAuthEnd::Changed(_))));
    assert!(ended.check().is_none());
}
