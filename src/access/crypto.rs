//! Verifies the signatures of JSON web tokens with ring, which TLS uses too. The
//! providers of the JWT library would add a second cryptography library.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as algorithms;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs the provider for the JWT library, unless one is installed.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// The gateway issues no tokens.
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

/// A key and the algorithm that verifies its signatures.
struct SignatureCheck {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    // The key types are strict: an RSA key is never used as a shared secret, nor a key of one
    // kind as another.
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(SignatureCheck { algorithm: *algorithm, key: key.clone() }))
}

impl JwtVerifier for SignatureCheck {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for SignatureCheck {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let checked = match self.key.kind() {
            DecodingKeyKind::SecretOrDer(key) => {
                let algorithm: &dyn algorithms::VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &algorithms::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &algorithms::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &algorithms::ED25519,
                    _ => return Err(signature::Error::new()),
                };
                algorithms::UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = match self.algorithm {
                    Algorithm::RS256 => &algorithms::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &algorithms::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &algorithms::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &algorithms::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &algorithms::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(signature::Error::new()),
                };
                algorithms::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
        };
        checked.map_err(|_| signature::Error::new())
    }
}
