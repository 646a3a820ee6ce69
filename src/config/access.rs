//! `[access]`: who clients are, and what they may do.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Period};
use crate::filter::TypeSet;
use crate::printable::first_hidden;

/// Longest name of a principal, in bytes.
pub const PRINCIPAL_BYTES_MAX: usize = 256;
/// The maximum number of entries of a list below `access`.
const ENTRIES_MAX: usize = 10_000;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Authentication and authorization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Who may call the health service.
    pub health: Audience,
    /// Who may call the reflection service.
    pub reflection: Audience,
    /// Whether the gateway records refused calls, reads, its start and stop, and changes of its
    /// configuration, as events of its own types. By default, it does if authentication is
    /// configured.
    pub self_audit: Option<bool>,
    /// How a client certificate names a principal.
    pub certificates: CertificateNames,
    /// Static tokens; `auditgate token` creates them.
    pub tokens: Vec<StaticToken>,
    /// Trusted issuers of JSON web tokens.
    pub jwt: Vec<Jwt>,
    /// Roles of principals. Whatever no role allows is refused.
    pub roles: Vec<Role>,
}

/// Who may use a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Everyone who can connect.
    Anyone,
    /// Every authenticated client.
    Authenticated,
    /// Principals with the right of this name.
    Permitted,
}

/// How a client certificate names a principal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateNames {
    /// Kinds of subject alternative name: the first name of the first kind that the
    /// certificate has is the principal's.
    pub san: Vec<SanKind>,
    /// Prefix of the name, so that it differs from the names of other sources.
    pub prefix: String,
}

/// A kind of subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SanKind {
    /// A URI, such as a SPIFFE id.
    Uri,
    /// An e-mail address.
    Email,
    /// A host name.
    Dns,
}

/// A static token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticToken {
    /// Name of the principal that has the token; at most 256 bytes.
    pub principal: String,
    /// SHA-256 of the token, in 64 hexadecimal digits.
    #[schemars(extend("secret" = true))]
    pub sha256: String,
}

/// An issuer of JSON web tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The issuer, exactly as in the claim `iss`.
    pub issuer: String,
    /// Accepted audiences: the claim `aud` must have at least one of them.
    pub audiences: Vec<String>,
    /// File with the public keys of the issuer, a JWK set. The gateway reloads it when it
    /// changes.
    #[schemars(extend("value_name" = "FILE"))]
    pub jwks: PathBuf,
    /// Accepted signature algorithms. Algorithms with a shared secret are never accepted.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the principal.
    #[serde(default = "claim")]
    pub claim: String,
    /// Prefix of the name, so that it differs from the names of other sources.
    #[serde(default = "jwt_prefix")]
    pub prefix: String,
    /// Maximum clock difference between issuer and gateway; at most 10m.
    #[serde(default = "leeway")]
    pub leeway: Period,
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// RSA, PKCS #1, with SHA-256.
    RS256,
    /// RSA, PKCS #1, with SHA-384.
    RS384,
    /// RSA, PKCS #1, with SHA-512.
    RS512,
    /// RSA, PSS, with SHA-256.
    PS256,
    /// RSA, PSS, with SHA-384.
    PS384,
    /// RSA, PSS, with SHA-512.
    PS512,
}

/// The rights of some principals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Name of the role, for people.
    pub name: String,
    /// Names of the principals with this role; `*` stands for any characters.
    pub principals: Vec<String>,
    /// Event types that they may emit; `*` stands for any characters.
    #[serde(default)]
    pub emit: Vec<String>,
    /// Event types that they may read; `*` stands for any characters.
    #[serde(default)]
    pub read: Vec<String>,
    /// Further rights.
    #[serde(default)]
    pub allow: Vec<Right>,
}

/// A right beside emitting and reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Call GetStatus; it lists only the subscriptions of the caller.
    Status,
    /// See all subscriptions in GetStatus.
    Subscribers,
    /// List deliveries, and pause, resume, replay or move them.
    Deliveries,
    /// Get checkpoints and proofs.
    Proof,
    /// Call the reflection service, if that needs a right.
    Reflection,
    /// Call the health service, if that needs a right.
    Health,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Status,
        Self::Subscribers,
        Self::Deliveries,
        Self::Proof,
        Self::Reflection,
        Self::Health,
    ];

    /// The name that roles have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Subscribers => "subscribers",
            Self::Deliveries => "deliveries",
            Self::Proof => "proof",
            Self::Reflection => "reflection",
            Self::Health => "health",
        }
    }
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256]
}

fn claim() -> String {
    "sub".to_owned()
}

fn jwt_prefix() -> String {
    "jwt:".to_owned()
}

fn leeway() -> Period {
    Period(Duration::from_secs(60))
}

impl Default for CertificateNames {
    fn default() -> Self {
        Self { san: vec![SanKind::Uri, SanKind::Email, SanKind::Dns], prefix: "cert:".to_owned() }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            health: Audience::Anyone,
            reflection: Audience::Permitted,
            self_audit: None,
            certificates: CertificateNames::default(),
            tokens: Vec::new(),
            jwt: Vec::new(),
            roles: Vec::new(),
        }
    }
}

impl Access {
    /// Whether static tokens or JWT issuers are configured.
    pub fn has_bearers(&self) -> bool {
        !self.tokens.is_empty() || !self.jwt.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let lists =
            [("tokens", self.tokens.len()), ("jwt", self.jwt.len()), ("roles", self.roles.len())];
        for (name, count) in lists {
            if count > ENTRIES_MAX {
                let what = format!("has {count} entries, limit {ENTRIES_MAX}");
                return Err(Error::value(format!("access.{name}"), what));
            }
        }
        if self.certificates.san.is_empty() {
            return Err(Error::value("access.certificates.san", "is empty"));
        }
        check_prefix("access.certificates.prefix", &self.certificates.prefix)?;
        let mut hashes = HashSet::new();
        for (position, token) in self.tokens.iter().enumerate() {
            token.check(position)?;
            if !hashes.insert(token.sha256.to_ascii_lowercase()) {
                let key = format!("access.tokens[{position}].sha256");
                return Err(Error::value(key, "is that of an earlier token"));
            }
        }
        let mut issuers = HashSet::new();
        for (position, jwt) in self.jwt.iter().enumerate() {
            jwt.check(position)?;
            if !issuers.insert(jwt.issuer.as_str()) {
                let key = format!("access.jwt[{position}].issuer");
                return Err(Error::value(key, format!("{:?} is listed twice", jwt.issuer)));
            }
        }
        self.roles.iter().enumerate().try_for_each(|(position, role)| role.check(position))
    }
}

impl Access {
    /// Without authentication, every client may do everything. Roles without authentication are
    /// a mistake of the operator.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        let is_set = [
            ("access.roles", !self.roles.is_empty()),
            ("access.health", self.health == Audience::Authenticated),
            ("access.reflection", self.reflection == Audience::Authenticated),
        ];
        let Some((key, _)) = is_set.into_iter().find(|(_, is_set)| *is_set) else { return Ok(()) };
        let what = "no authentication is configured: add [[access.tokens]], [[access.jwt]] or \
                    tls.client_ca";
        Err(Error::value(key, what))
    }
}

impl StaticToken {
    fn check(&self, position: usize) -> Result<(), Error> {
        check_principal(&format!("access.tokens[{position}].principal"), &self.principal)?;
        let is_hash = self.sha256.len() == SHA256_DIGITS
            && self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash {
            return Ok(());
        }
        let what = format!("is not {SHA256_DIGITS} hexadecimal digits: `auditgate token` makes it");
        Err(Error::value(format!("access.tokens[{position}].sha256"), what))
    }
}

impl Jwt {
    fn check(&self, position: usize) -> Result<(), Error> {
        const LEEWAY_MAX: Duration = Duration::from_secs(600);
        let key = |name: &str| format!("access.jwt[{position}].{name}");
        for (name, empty) in [
            ("issuer", self.issuer.is_empty()),
            ("audiences", self.audiences.is_empty()),
            ("algorithms", self.algorithms.is_empty()),
            ("claim", self.claim.is_empty()),
        ] {
            if empty {
                return Err(Error::value(key(name), "is empty"));
            }
        }
        if self.leeway.0 > LEEWAY_MAX {
            return Err(Error::value(key("leeway"), format!("{}, limit 10m", self.leeway)));
        }
        check_prefix(&key("prefix"), &self.prefix)
    }
}

impl Role {
    fn check(&self, position: usize) -> Result<(), Error> {
        let key = |name: &str| format!("access.roles[{position}].{name}");
        check_visible(&self.name).map_err(|what| Error::value(key("name"), what))?;
        if self.principals.is_empty() {
            return Err(Error::value(key("principals"), "is empty: give the role a principal"));
        }
        for (place, pattern) in self.principals.iter().enumerate() {
            let key = format!("{}[{place}]", key("principals"));
            check_visible(pattern).map_err(|what| Error::value(key, what))?;
        }
        for (name, patterns) in [("emit", &self.emit), ("read", &self.read)] {
            TypeSet::compile(&key(name), patterns).map_err(Error::Types)?;
        }
        Ok(())
    }
}

/// A prefix must be visible, too; it may end with a space.
fn check_prefix(key: &str, prefix: &str) -> Result<(), Error> {
    check_visible(prefix.trim_end_matches(' ')).map_err(|what| Error::value(key, what))
}

fn check_principal(key: &str, name: &str) -> Result<(), Error> {
    check_principal_name(name).map_err(|what| Error::value(key, what))
}

/// Whether a principal can have this name.
///
/// # Errors
/// What is wrong with it: it is empty, too long or the gateway's own, or does not look
/// like itself.
pub fn check_principal_name(name: &str) -> Result<(), String> {
    let bytes = name.len();
    match name {
        "" => Err("is empty".to_owned()),
        crate::record::GATEWAY_PRINCIPAL => Err(format!("{name:?} is reserved for the gateway")),
        _ if bytes > PRINCIPAL_BYTES_MAX => {
            Err(format!("{bytes} bytes, limit {PRINCIPAL_BYTES_MAX}"))
        }
        _ => check_visible(name),
    }
}

/// Checks that two names which look the same are the same.
fn check_visible(name: &str) -> Result<(), String> {
    if let Some(letter) = first_hidden(name) {
        let shown = letter.escape_unicode();
        return Err(format!(
            "{} has the character {shown}, which is not shown as it is: use visible characters",
            name.escape_debug()
        ));
    }
    if name.starts_with(' ') || name.ends_with(' ') {
        return Err(format!("{name:?} begins or ends with a space"));
    }
    Ok(())
}
