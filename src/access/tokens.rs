//! Static tokens. Only their hashes are stored. A token has 256 random bits, so a plain
//! SHA-256 hash cannot be reversed by guessing.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Error;
use crate::config::StaticToken;

/// The prefix of a token, by which people and secret scanners recognize it.
pub const TOKEN_PREFIX: &str = "agt_";
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Principals by the hash of their tokens.
#[derive(Debug, Default)]
pub(super) struct TokenTable {
    principals: HashMap<[u8; 32], Arc<str>>,
}

impl TokenTable {
    /// The table of tokens that were checked.
    pub(super) fn new(tokens: &[StaticToken]) -> Self {
        let entry =
            |token: &StaticToken| Some((decode(&token.sha256)?, token.principal.as_str().into()));
        Self { principals: tokens.iter().filter_map(entry).collect() }
    }

    pub(super) fn principal(&self, token: &str) -> Result<Arc<str>, Error> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // The time of a lookup reveals something about hashes, not about tokens.
        let found = self.principals.get_key_value(&hash);
        let found = found.filter(|(known, _)| bool::from(known.ct_eq(&hash)));
        found.map(|(_, principal)| Arc::clone(principal)).ok_or(Error::TokenUnknown)
    }
}

/// The token of a header `authorization`.
pub(super) fn of_header(header: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(header).map_err(|_| Error::Scheme)?;
    let (scheme, token) = text.split_once(' ').ok_or(Error::Scheme)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Error::Scheme)
    }
}

/// A new token.
///
/// # Errors
/// If the system gives no randomness.
pub fn new_token() -> std::io::Result<String> {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0_u8; TOKEN_BYTES];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no randomness"))?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash of a token in hexadecimal digits, as in the configuration.
pub fn hash_token(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(position * 2..position * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let token = new_token().expect("randomness");
        assert!(token.starts_with(TOKEN_PREFIX) && token.len() == 47, "{token}");
        let sha256 = hash_token(&token).to_uppercase();
        let table = TokenTable::new(&[StaticToken { principal: "a".to_owned(), sha256 }]);
        assert_eq!(table.principal(&token).as_deref(), Ok("a"));
        assert_eq!(table.principal(&format!("{token}x")), Err(Error::TokenUnknown));
        assert_eq!(table.principal(""), Err(Error::TokenUnknown));
        assert_ne!(token, new_token().expect("randomness"));
        let known = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(hash_token("test"), known);
    }

    #[test]
    fn a_header_is_bearer_and_token() {
        assert_eq!(of_header(b"Bearer x"), Ok("x"));
        assert_eq!(of_header(b"bearer  x "), Ok("x"));
        for bad in [&b""[..], b"Bearer", b"Bearer ", b"Basic x", b"x", b"Bearer \xff"] {
            assert_eq!(of_header(bad), Err(Error::Scheme));
        }
    }
}
