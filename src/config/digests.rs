//! Digests of the settings that the gateways of one log should have in common. Each gateway
//! publishes its own, and warns if they differ.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::log::shared::message::SettingsDigest;
use crate::proto::DESCRIPTOR_SET;

impl Settings {
    /// A digest of each part: `roles`, `keys` (tokens, issuers, the client CA), `redaction` (with
    /// its keys), and `types` (the event types of this version). The digests cover the content of
    /// files, not their paths.
    pub fn digests(&self) -> Vec<SettingsDigest> {
        let Self { access, redact, oversize, max_skew, tls, .. } = self;
        let roles = Part::new("roles").with(&access.roles);
        let issuers = access.jwt.iter().map(|jwt| {
            (&jwt.issuer, &jwt.audiences, &jwt.algorithms, &jwt.claim, &jwt.prefix, &jwt.leeway)
        });
        let files = access.jwt.iter().map(|jwt| Some(&jwt.jwks)).chain([tls.client_ca.as_ref()]);
        let keys = Part::new("keys")
            .with(&access.tokens)
            .with(&issuers.collect::<Vec<_>>())
            .with(&access.certificates);
        let keys = files.fold(keys, |part, file| part.with_file(file.map(AsRef::as_ref)));
        let redact_file = redact.hmac_key_file.as_deref();
        let redact = super::Redact { hmac_key_file: None, ..redact.clone() };
        let redaction =
            Part::new("redaction").with(&(redact, oversize, max_skew)).with_file(redact_file);
        let types = Part::new("types").with_bytes(DESCRIPTOR_SET);
        [roles, keys, redaction, types].map(Part::digest).into()
    }
}

/// A part of the settings.
struct Part {
    name: &'static str,
    hash: Sha256,
}

impl Part {
    fn new(name: &'static str) -> Self {
        Self { name, hash: Sha256::new_with_prefix(name) }
    }

    fn with_bytes(mut self, bytes: &[u8]) -> Self {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self
    }

    fn with(self, value: &impl Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("settings can be written as JSON");
        self.with_bytes(&text)
    }

    /// A file that cannot be read counts as absent.
    fn with_file(self, file: Option<&Path>) -> Self {
        let bytes = file.and_then(|file| std::fs::read(file).ok());
        self.with(&bytes.is_some()).with_bytes(&bytes.unwrap_or_default())
    }

    fn digest(self) -> SettingsDigest {
        let digest = self.hash.finalize();
        let digest = digest.first_chunk().copied().unwrap_or_default();
        SettingsDigest { name: self.name.to_owned(), digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).unwrap()
    }

    /// The parts in which two settings differ.
    fn differences(one: &Settings, other: &Settings) -> Vec<String> {
        let (one, other) = (one.digests(), other.digests());
        let differing = one.iter().zip(&other).filter(|(one, other)| one != other);
        differing.map(|(one, _)| one.name.clone()).collect()
    }

    #[test]
    fn each_part_counts_by_what_it_means() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            format!("hmac_key_file = {:?}", path.display().to_string())
        };
        let plain = settings("");
        let names: Vec<_> = plain.digests().into_iter().map(|digest| digest.name).collect();
        assert_eq!(names, ["roles", "keys", "redaction", "types"]);
        // What each gateway has for itself does not count.
        let own = "listen = \"127.0.0.1:1\"\ndata_dir = \"/a\"\n[limits]\nconnections = 7";
        assert_eq!(differences(&plain, &settings(own)), [""; 0]);
        let sha256 = "00".repeat(32);
        for (toml, part) in [
            ("[redact]\nsql = \"mask\"".to_owned(), "redaction"),
            ("oversize = \"trim\"".to_owned(), "redaction"),
            (format!("[redact]\n{}", file("a", "k one")), "redaction"),
            (format!("[[access.tokens]]\nprincipal = \"p\"\nsha256 = \"{sha256}\""), "keys"),
            ("[access.certificates]\nprefix = \"c:\"".to_owned(), "keys"),
            ("[tls]\nclient_ca = \"/nowhere/else.pem\"".to_owned(), ""),
        ] {
            let found = differences(&plain, &settings(&toml));
            let expected: &[&str] = if part.is_empty() { &[] } else { &[part] };
            assert_eq!(found, expected, "{toml}");
        }
        // The content of a file counts, and not where it lies.
        let with =
            |name: &str, content: &str| settings(&format!("[redact]\n{}", file(name, content)));
        let one = with("a", "k one");
        assert_eq!(differences(&one, &with("b", "k one")), [""; 0]);
        assert_eq!(differences(&one, &with("b", "k two")), ["redaction"]);
    }

    #[test]
    fn a_role_counts() {
        let one = settings("[[access.roles]]\nname = \"r\"\nprincipals = [\"p\"]\nemit = [\"*\"]");
        let two = settings("[[access.roles]]\nname = \"r\"\nprincipals = [\"q\"]\nemit = [\"*\"]");
        assert_eq!(differences(&one, &two), ["roles"]);
    }
}
