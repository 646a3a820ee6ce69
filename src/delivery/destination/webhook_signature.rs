//! Signs webhooks: Standard Webhooks 1.0,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::delivery::destination::OpenError;
use crate::delivery::destination::secret::Secret;

/// The prefix of a secret for HMAC-SHA-256.
const SYMMETRIC: &str = "whsec_";
/// The prefix of a secret key of Ed25519.
const ASYMMETRIC: &str = "whsk_";
/// Allowed lengths of secrets for HMAC, in bytes, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs webhooks.
pub enum WebhookSigner {
    /// By HMAC-SHA-256 with a shared secret.
    Hmac(Box<Hmac<Sha256>>),
    /// By Ed25519.
    Ed25519(Box<SigningKey>),
}

impl WebhookSigner {
    /// A signer with a secret in the encoding of the specification: `whsec_` and base64, or `whsk_`
    /// and base64 of an Ed25519 key (its seed, which may be followed by the public key).
    ///
    /// # Errors
    /// If the secret is neither.
    pub fn new(secret: &Secret, key: &'static str) -> Result<Self, OpenError> {
        let invalid = |what: &str| OpenError::new(key, what);
        let (decoded, is_symmetric) = match secret.reveal() {
            text if text.starts_with(SYMMETRIC) => (text.get(SYMMETRIC.len()..), true),
            text if text.starts_with(ASYMMETRIC) => (text.get(ASYMMETRIC.len()..), false),
            _ => return Err(invalid("must begin with whsec_ (HMAC) or whsk_ (Ed25519)")),
        };
        let bytes = BASE64
            .decode(decoded.unwrap_or_default())
            .map_err(|_| invalid("is not base64 after its prefix"))?;
        if is_symmetric {
            if !SECRET_BYTES.contains(&bytes.len()) {
                return Err(invalid("must have 24 to 64 bytes, in base64"));
            }
            let hmac = Hmac::new_from_slice(&bytes).map_err(|_| invalid("has a bad length"))?;
            return Ok(Self::Hmac(Box::new(hmac)));
        }
        let seed = bytes.first_chunk::<32>().filter(|_| matches!(bytes.len(), 32 | 64));
        let seed = seed.ok_or_else(|| invalid("must be an Ed25519 key of 32 or 64 bytes"))?;
        Ok(Self::Ed25519(Box::new(SigningKey::from_bytes(seed))))
    }

    /// The headers of a request with this body.
    pub fn headers(&self, id: &str, seconds: i64, body: &[u8]) -> HeaderMap {
        let head = format!("{id}.{seconds}.");
        let signature = match self {
            Self::Hmac(hmac) => {
                let mut hmac = hmac.clone();
                hmac.update(head.as_bytes());
                hmac.update(body);
                format!("v1,{}", BASE64.encode(hmac.finalize().into_bytes()))
            }
            Self::Ed25519(key) => {
                let signed = [head.as_bytes(), body].concat();
                format!("v1a,{}", BASE64.encode(key.sign(&signed).to_bytes()))
            }
        };
        let fields = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ];
        let header = |(name, text): (&'static str, String)| {
            let value = HeaderValue::try_from(text).expect("ids and base64 are visible ASCII");
            (HeaderName::from_static(name), value)
        };
        fields.into_iter().map(header).collect()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier as _};

    use super::*;
    use crate::delivery::destination::secret::SecretSource;

    fn signer(text: &str) -> Result<WebhookSigner, OpenError> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, text).expect("it is written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
        WebhookSigner::new(&SecretSource::File(file).read("k")?, "k")
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn an_hmac_is_that_of_the_reference() {
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("it is one");
        let body = br#"{"test": 2432232314}"#;
        let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn a_signature_of_ed25519_is_verified_by_its_public_key() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let pair = BASE64.encode(key.to_keypair_bytes());
        for text in [format!("whsk_{pair}"), format!("whsk_{}", BASE64.encode([7; 32]))] {
            let headers = signer(&text).expect("it is one").headers("id", 5, b"body");
            let value = headers["webhook-signature"].to_str().expect("it is text");
            let bytes = BASE64.decode(value.strip_prefix("v1a,").expect("its kind")).expect("it");
            let signature = Signature::from_slice(&bytes).expect("a signature");
            key.verifying_key().verify(b"id.5.body", &signature).expect("it is valid");
        }
    }

    #[test]
    fn other_secrets_are_refused() {
        for (bad, why) in [
            ("secret", "must begin with whsec_"),
            ("whsec_!", "is not base64"),
            ("whsec_c2hvcnQ=", "must have 24 to 64 bytes"),
            ("whsk_c2hvcnQ=", "must be an Ed25519 key"),
        ] {
            let refused = signer(bad).map(drop).expect_err("no secret").to_string();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
    }
}
