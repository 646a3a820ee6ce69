//! JSON web tokens of configured issuers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::{Error, crypto};
use crate::config::{self, Algorithm, Jwt};

/// The maximum length of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The maximum number of keys of an issuer.
const KEYS_MAX: usize = 100;
/// The maximum number of keys to try for a token without a key id.
const TRIED_MAX: usize = 8;

/// The issuers whose tokens are accepted.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
}

#[derive(Debug)]
struct Issuer {
    name: String,
    claim: String,
    prefix: String,
    leeway: Duration,
    audiences: Vec<String>,
    algorithms: Vec<jsonwebtoken::Algorithm>,
    keys: Vec<IssuerKey>,
}

#[derive(Debug)]
struct IssuerKey {
    id: Option<String>,
    /// The accepted signature algorithms.
    algorithms: Vec<jsonwebtoken::Algorithm>,
    key: DecodingKey,
}

/// The claims that are read before the signature is verified.
#[derive(Deserialize)]
struct UnverifiedClaims {
    #[serde(default)]
    iss: serde_json::Value,
}

/// Whether a token is a JSON web token: static ones have no dots.
pub(super) fn is_one(token: &str) -> bool {
    token.contains('.')
}

impl Issuers {
    /// Reads the keys of the issuers.
    pub(super) fn read(issuers: &[Jwt]) -> Result<Self, config::Error> {
        crypto::install();
        let read = |(position, jwt): (usize, &Jwt)| {
            let key = format!("access.jwt[{position}].jwks");
            Ok(Issuer {
                name: jwt.issuer.clone(),
                claim: jwt.claim.clone(),
                prefix: jwt.prefix.clone(),
                leeway: jwt.leeway.0,
                audiences: jwt.audiences.clone(),
                algorithms: jwt.algorithms.iter().map(|name| algorithm(*name)).collect(),
                keys: keys(&key, &jwt.jwks)?,
            })
        };
        Ok(Self { issuers: issuers.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// The principal of a token, and when it expires.
    pub(super) fn verify(&self, token: &str) -> Result<(Arc<str>, Option<SystemTime>), Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Jwt("it is longer than 8192 bytes"));
        }
        const MALFORMED: Error = Error::Jwt("it is malformed, or signed by an unknown algorithm");
        let header = decode_header(token).map_err(|_| MALFORMED)?;
        let claimed: UnverifiedClaims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| MALFORMED)?;
        let issuer = claimed.iss.as_str().and_then(|name| self.named(name));
        let issuer = issuer.ok_or(Error::Jwt("its issuer is not configured"))?;
        if header.crit.is_some() {
            return Err(Error::Jwt("it asks for extensions that this gateway does not know"));
        }
        if !issuer.algorithms.contains(&header.alg) {
            return Err(Error::Jwt("its algorithm is not allowed"));
        }
        let fits = |key: &&IssuerKey| {
            key.algorithms.contains(&header.alg) && (header.kid.is_none() || key.id == header.kid)
        };
        let mut refused = Error::Jwt("the issuer has no such key");
        for key in issuer.keys.iter().filter(fits).take(TRIED_MAX) {
            match issuer.check(token, header.alg, key) {
                Ok(claims) => return issuer.accept(&claims),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn named(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.name == name)
    }
}

type Claims = serde_json::Map<String, serde_json::Value>;

impl Issuer {
    fn check(
        &self,
        token: &str,
        algorithm: jsonwebtoken::Algorithm,
        key: &IssuerKey,
    ) -> Result<Claims, Error> {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.leeway.as_secs();
        let decoded = decode::<Claims>(token, &key.key, &validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Error::Expired("token"),
            ErrorKind::ImmatureSignature => Error::Jwt("it is not valid yet"),
            ErrorKind::InvalidSignature => Error::Jwt("its signature is wrong"),
            ErrorKind::InvalidAudience => Error::Jwt("its audience is another"),
            ErrorKind::InvalidIssuer => Error::Jwt("its issuer is not configured"),
            ErrorKind::MissingRequiredClaim(_) => Error::Jwt("it has no exp, iss or aud"),
            ErrorKind::InvalidClaimFormat(_) => Error::Jwt("exp or nbf is not a number"),
            _ => Error::Jwt("it is malformed"),
        })
    }

    fn accept(&self, claims: &Claims) -> Result<(Arc<str>, Option<SystemTime>), Error> {
        let name = claims.get(&self.claim).and_then(serde_json::Value::as_str).unwrap_or_default();
        let principal = format!("{}{name}", self.prefix);
        if name.is_empty() {
            return Err(Error::Jwt("it does not name the principal"));
        }
        config::check_principal_name(&principal)
            .map_err(|_| Error::Jwt("its principal has no acceptable name"))?;
        let expires = claims.get("exp").and_then(serde_json::Value::as_f64).unwrap_or_default();
        let expires = Duration::try_from_secs_f64(expires.max(0.0)).unwrap_or(Duration::MAX);
        let expires = SystemTime::UNIX_EPOCH.checked_add(expires.saturating_add(self.leeway));
        Ok((principal.as_str().into(), expires))
    }
}

fn keys(key: &str, file: &Path) -> Result<Vec<IssuerKey>, config::Error> {
    let refused = |what: String| config::Error::value(key, format!("{}: {what}", file.display()));
    let text = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let set: JwkSet = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
    if set.keys.len() > KEYS_MAX {
        return Err(refused(format!("{} keys, limit {KEYS_MAX}", set.keys.len())));
    }
    let keys: Vec<IssuerKey> = set.keys.iter().filter_map(usable).collect();
    if keys.is_empty() {
        return Err(refused("no public key that could have signed a token".to_owned()));
    }
    Ok(keys)
}

/// A key of a set, if it is a public signature key. Shared secrets are skipped: tokens signed
/// with them are never accepted.
fn usable(jwk: &Jwk) -> Option<IssuerKey> {
    use jsonwebtoken::Algorithm as Named;
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Named::ES256],
            EllipticCurve::P384 => vec![Named::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Named::EdDSA]
        }
        AlgorithmParameters::RSA(_) => {
            vec![Named::RS256, Named::RS384, Named::RS512, Named::PS256, Named::PS384, Named::PS512]
        }
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        let named = Named::try_from(named).ok();
        algorithms.retain(|algorithm| named == Some(*algorithm));
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(IssuerKey { id: jwk.common.key_id.clone(), algorithms, key })
}

fn algorithm(name: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Named;
    match name {
        Algorithm::ES256 => Named::ES256,
        Algorithm::ES384 => Named::ES384,
        Algorithm::EdDSA => Named::EdDSA,
        Algorithm::RS256 => Named::RS256,
        Algorithm::RS384 => Named::RS384,
        Algorithm::RS512 => Named::RS512,
        Algorithm::PS256 => Named::PS256,
        Algorithm::PS384 => Named::PS384,
        Algorithm::PS512 => Named::PS512,
    }
}
