//! Ed25519 keys in the encodings of C2SP signed-note.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, Verifier as _};
use signed_note::{Signer, Verifier};

use crate::reserved_names::RESERVED_NAMES;

/// The kind of a signature, which is the key's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// A log's signature, of the note itself.
    Log,
    /// A witness's `cosignature/v1`, of the note and a time.
    Cosignature,
}

impl SignatureKind {
    /// The signature type of signed-note and tlog-cosignature.
    fn byte(self) -> u8 {
        match self {
            SignatureKind::Log => 0x01,
            SignatureKind::Cosignature => 0x04,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [SignatureKind::Log, SignatureKind::Cosignature]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }

    fn name(self) -> &'static str {
        match self {
            SignatureKind::Log => "a log's key",
            SignatureKind::Cosignature => "a witness's key",
        }
    }

    fn check(self, wanted: SignatureKind) -> Result<(), Error> {
        if self == wanted {
            Ok(())
        } else {
            Err(Error::Use { found: self.name(), wanted: wanted.name() })
        }
    }
}

/// The longest name of a key, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Length of the time before the signature of a witness.
const TIMESTAMP_BYTES: usize = 8;

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text does not have the form of a verifier key.
    #[error("not a verifier key: it has the form NAME+HASH+BASE64, as keygen writes it")]
    NotVerifierKey,
    /// The text does not have the form of a signing key.
    #[error("not a signing key: it has the form PRIVATE+KEY+NAME+HASH+BASE64, as keygen writes it")]
    NotSigningKey,
    /// The hash of a key does not match its name and bytes.
    #[error(
        "the key's hash does not belong to its name and bytes: a character was changed or lost"
    )]
    Hash,
    /// The name is not valid for a key.
    #[error(
        "{0:?} cannot name a key: a name has 1 to {NAME_BYTES_MAX} bytes, without spaces, plus signs and control characters"
    )]
    Name(String),
    /// The key is of another kind.
    #[error("the key is {found}, but {wanted} is needed")]
    Use {
        /// The kind of the key.
        found: &'static str,
        /// The expected kind.
        wanted: &'static str,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// A private key.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    kind: SignatureKind,
    key: ed25519_dalek::SigningKey,
}

/// A public key, with its name and kind.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: SignatureKind,
    key: ed25519_dalek::VerifyingKey,
}

/// Checks a name: signed-note must allow it, and it must be short.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_name = signed_note::is_key_name_valid(name)
        && name.len() <= NAME_BYTES_MAX
        && crate::printable::first_hidden(name).is_none()
        && !RESERVED_NAMES.contains(&name);
    if is_name { Ok(()) } else { Err(Error::Name(name.to_owned())) }
}

impl SigningKey {
    /// A new key for a log or a witness.
    ///
    /// # Errors
    /// If the name is not valid, or the system gives no random numbers.
    pub fn generate(name: &str, kind: SignatureKind) -> Result<Self, Error> {
        check_name(name)?;
        let mut seed = [0; ed25519_dalek::SECRET_KEY_LENGTH];
        getrandom::fill(&mut seed).map_err(|error| Error::Random(error.to_string()))?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// Parses a key in the form of [`SigningKey::encoded`].
    ///
    /// # Errors
    /// If the text is not a key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(Error::NotSigningKey)?;
        let (name, hash, bytes) = parts(rest).ok_or(Error::NotSigningKey)?;
        check_name(name)?;
        let (kind, seed) = bytes.split_first().ok_or(Error::NotSigningKey)?;
        let seed: &[u8; 32] = seed.try_into().map_err(|_| Error::NotSigningKey)?;
        let kind = SignatureKind::of(*kind).ok_or(Error::NotSigningKey)?;
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let key = Self { name: name.to_owned(), kind, key };
        if hash != key.verifier().id() {
            return Err(Error::Hash);
        }
        Ok(key)
    }

    /// The key as text, which is secret.
    pub fn encoded(&self) -> String {
        let bytes = [&[self.kind.byte()], self.key.to_bytes().as_slice()].concat();
        let (name, id) = (&self.name, self.verifier().id());
        format!("PRIVATE+KEY+{name}+{id:08x}+{}", BASE64_STANDARD.encode(bytes))
    }

    /// Its name; that of a log's key is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), kind: self.kind, key: self.key.verifying_key() }
    }

    /// Returns the key if it is of this kind.
    ///
    /// # Errors
    /// [`Error::Use`].
    pub fn used_for(self, wanted: SignatureKind) -> Result<Self, Error> {
        self.kind.check(wanted).map(|()| self)
    }

    /// Signs a note; a witness does so at a time, in seconds since 1970.
    pub(super) fn at(&self, time: u64) -> impl Signer + '_ {
        TimedSigner(self, time)
    }
}

/// A key must not get into a message by accident.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

struct TimedSigner<'a>(&'a SigningKey, u64);

impl Signer for TimedSigner<'_> {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn key_id(&self) -> u32 {
        self.0.verifier().id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        let TimedSigner(SigningKey { kind, key, .. }, time) = self;
        match kind {
            SignatureKind::Log => Ok(key.try_sign(text)?.to_vec()),
            SignatureKind::Cosignature => {
                let signature = key.try_sign(&cosigned(*time, text))?;
                Ok([time.to_be_bytes().as_slice(), &signature.to_bytes()].concat())
            }
        }
    }
}

/// The text that a witness signs.
fn cosigned(time: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
}

impl VerifierKey {
    /// Parses a key in the form of its `Display`: a log's or a witness's.
    ///
    /// # Errors
    /// If the text is not a key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, hash, bytes) = parts(text.trim()).ok_or(Error::NotVerifierKey)?;
        check_name(name)?;
        let (kind, bytes) = bytes.split_first().ok_or(Error::NotVerifierKey)?;
        let kind = SignatureKind::of(*kind).ok_or(Error::NotVerifierKey)?;
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| Error::NotVerifierKey)?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Error::NotVerifierKey)?;
        let key = Self { name: name.to_owned(), kind, key };
        if hash != key.id() {
            return Err(Error::Hash);
        }
        Ok(key)
    }

    /// Returns the key if it is of this kind.
    ///
    /// # Errors
    /// [`Error::Use`].
    pub fn used_for(self, wanted: SignatureKind) -> Result<Self, Error> {
        self.kind.check(wanted).map(|()| self)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of signatures that it verifies.
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The hash that identifies it in signatures.
    pub fn id(&self) -> u32 {
        signed_note::key_id(&self.name, &self.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        [&[self.kind.byte()], self.key.to_bytes().as_slice()].concat()
    }

    /// The time within a witness's signature, in seconds since 1970.
    pub(super) fn cosigned_at(signature: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(*signature.first_chunk::<TIMESTAMP_BYTES>()?))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = BASE64_STANDARD.encode(self.bytes());
        write!(f, "{}+{:08x}+{bytes}", self.name, self.id())
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Verifier for VerifierKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id()
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let is_valid = |text: &[u8], signature: &[u8]| {
            ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| self.key.verify(text, &signature).is_ok())
        };
        match self.kind {
            SignatureKind::Log => is_valid(text, signature),
            SignatureKind::Cosignature => {
                signature.split_first_chunk::<TIMESTAMP_BYTES>().is_some_and(|(time, signature)| {
                    is_valid(&cosigned(u64::from_be_bytes(*time), text), signature)
                })
            }
        }
    }
}

/// Name, hash and bytes of an encoded key.
fn parts(text: &str) -> Option<(&str, u32, Vec<u8>)> {
    /// Digits of the hash.
    const HASH_DIGITS: usize = 8;
    let (name, rest) = text.split_once('+')?;
    let (hash, bytes) = rest.split_once('+')?;
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = u32::from_str_radix(hash, 16).ok().filter(|_| is_hash)?;
    Some((name, hash, BASE64_STANDARD.decode(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for (kind, other) in [
            (SignatureKind::Log, SignatureKind::Cosignature),
            (SignatureKind::Cosignature, SignatureKind::Log),
        ] {
            let key = SigningKey::generate("example.com/log", kind).unwrap();
            let again = SigningKey::parse(&format!("{}\n", key.encoded())).unwrap();
            assert_eq!(again.encoded(), key.encoded());
            assert!(!format!("{key:?}").contains(&key.encoded()[30..]));
            let public = key.verifier();
            assert_eq!(VerifierKey::parse(&public.to_string()), Ok(public.clone()));
            assert_eq!(public.clone().used_for(kind), Ok(public.clone()));
            assert!(matches!(public.used_for(other), Err(Error::Use { .. })));
            assert!(matches!(key.used_for(other), Err(Error::Use { .. })));
        }
    }

    #[test]
    fn the_keys_of_others_are_read() {
        // From C2SP signed-note and golang.org/x/mod/sumdb/note.
        let go = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(VerifierKey::parse(go).unwrap().to_string(), go);
        let private =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let private = SigningKey::parse(private).unwrap();
        assert_eq!(private.verifier().to_string(), go);
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let public = SigningKey::generate("a", SignatureKind::Log).unwrap().verifier().to_string();
        let mut renamed = public.clone();
        renamed.replace_range(0..1, "b");
        assert_eq!(VerifierKey::parse(&renamed), Err(Error::Hash));
        for bad in ["", "a", "a+b", "a+00000000+", "a+00000000+AAAA", &public[..public.len() - 4]] {
            assert_eq!(VerifierKey::parse(bad), Err(Error::NotVerifierKey), "{bad}");
            let refused = SigningKey::parse(&format!("PRIVATE+KEY+{bad}")).unwrap_err();
            assert_eq!(refused, Error::NotSigningKey, "{bad}");
        }
        for bad in ["", "two words", "a+b", "line\nbreak", "bell\u{7}", &"x".repeat(256)] {
            let refused = SigningKey::generate(bad, SignatureKind::Log).map(drop);
            assert_eq!(refused, Err(Error::Name(bad.to_owned())));
        }
    }

    #[test]
    fn the_cosignature_of_the_specification_is_verified() {
        // The example of C2SP tlog-cosignature shows its signed message; its key
        // is not given, so ours signs the same one.
        let key =
            SigningKey::generate("witness.example.com/w1", SignatureKind::Cosignature).unwrap();
        let text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let signature = key.at(1_679_315_147).sign(text).unwrap();
        assert_eq!(signature.len(), 72);
        let public = key.verifier();
        assert!(public.verify(text, &signature));
        assert_eq!(VerifierKey::cosigned_at(&signature), Some(1_679_315_147));
        let message = [b"cosignature/v1\ntime 1679315147\n".as_slice(), text].concat();
        let plain = SigningKey { kind: SignatureKind::Log, ..key.clone() }.verifier();
        assert_ne!(plain.id(), public.id());
        assert!(plain.verify(&message, &signature[8..]));
        let mut later = signature.clone();
        later[7] ^= 1;
        assert!(!public.verify(text, &later));
        assert!(!public.verify(&text[1..], &signature));
        assert!(!public.verify(text, &signature[..71]));
    }
}
