//! The report that a gateway publishes of itself.
//!
//! ```text
//! flags u8 (1 = has the signing key), name, version: each a u8 length and text
//! digests u8, then each: name, digest [8]
//! ```

use super::MessageFault;

/// The greatest length of a name and of a version; longer ones are cut.
const TEXT_BYTES_MAX: usize = 64;
/// The most digests of a report.
const DIGESTS_MAX: usize = 16;
/// Flag of a gateway with the signing key.
const SIGNER: u8 = 1;

/// A digest of a part of the settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingsDigest {
    /// The part: `roles`, `redaction` and so on.
    pub name: String,
    /// Equal for gateways whose part is the same.
    pub digest: [u8; 8],
}

/// A gateway, as it reports itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberReport {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// Its version, at most 64 bytes.
    pub version: String,
    /// It has the log's signing key.
    pub is_signer: bool,
    /// Digests of its settings, at most 16.
    pub digests: Vec<SettingsDigest>,
}

impl MemberReport {
    /// The parts of the settings in which the other gateway differs.
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let of_other = |own: &SettingsDigest| {
            other.digests.iter().find(|digest| digest.name == own.name).map(|found| found.digest)
        };
        let differs =
            move |own: &&SettingsDigest| of_other(own).is_some_and(|digest| digest != own.digest);
        self.digests.iter().filter(differs).map(|own| own.name.as_str())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.is_signer { SIGNER } else { 0 }];
        let add = |bytes: &mut Vec<u8>, text: &str| {
            let text = crate::text::prefix(text, TEXT_BYTES_MAX);
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        };
        add(&mut bytes, &self.name);
        add(&mut bytes, &self.version);
        let digests = self.digests.get(..DIGESTS_MAX).unwrap_or(&self.digests);
        bytes.push(digests.len() as u8);
        for digest in digests {
            add(&mut bytes, &digest.name);
            bytes.extend_from_slice(&digest.digest);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageFault> {
        const SHORT: MessageFault = MessageFault::Malformed("what it tells of a gateway is short");
        let (flags, rest) = bytes.split_first().ok_or(SHORT)?;
        if flags & !SIGNER != 0 {
            return Err(MessageFault::Newer { what: "member flags", value: (*flags).into() });
        }
        let (name, rest) = text(rest)?;
        let (version, rest) = text(rest)?;
        let (count, mut rest) = rest.split_first().ok_or(SHORT)?;
        if usize::from(*count) > DIGESTS_MAX {
            return Err(MessageFault::Malformed("it tells too many digests"));
        }
        let mut digests = Vec::new();
        for _ in 0..*count {
            let (name, after) = text(rest)?;
            let (digest, after) = after.split_first_chunk().ok_or(SHORT)?;
            digests.push(SettingsDigest { name, digest: *digest });
            rest = after;
        }
        if !rest.is_empty() {
            return Err(MessageFault::Malformed("bytes follow what it tells of a gateway"));
        }
        Ok(Self { name, version, is_signer: *flags == SIGNER, digests })
    }
}

/// A text at the beginning of `bytes`, and what follows it. It is shown to people, so it
/// has no characters that are not.
fn text(bytes: &[u8]) -> Result<(String, &[u8]), MessageFault> {
    const FAULT: MessageFault = MessageFault::Malformed("a name in it is no text");
    let (len, rest) = bytes.split_first().ok_or(FAULT)?;
    if usize::from(*len) > TEXT_BYTES_MAX {
        return Err(FAULT);
    }
    let (text, rest) = rest.split_at_checked((*len).into()).ok_or(FAULT)?;
    let text = std::str::from_utf8(text).map_err(|_| FAULT)?;
    if crate::printable::first_hidden(text).is_some() {
        return Err(FAULT);
    }
    Ok((text.to_owned(), rest))
}
