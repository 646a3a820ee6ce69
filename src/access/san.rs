//! Names in a client certificate. No text is a valid name of two kinds: one CA may sign
//! host names for many people and mail addresses for few, and a host must not be able to
//! call itself like a person.

use crate::config::SanKind;

/// The most bytes of a host's name, and of one label of it: RFC 1035, section 2.3.4.
const DNS_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Whether `name` is a name of this kind, and so of no other.
///
/// - A DNS name consists of labels, without a wildcard: no `@`, `:` or `/`.
/// - A mail address is `local@domain`, where the local part is not quoted: no `:`.
/// - A URI has a scheme and `//`.
pub(super) fn is_of_kind(kind: SanKind, name: &str) -> bool {
    match kind {
        SanKind::Dns => is_dns(name),
        SanKind::Email => is_email(name),
        SanKind::Uri => is_uri(name),
    }
}

/// Why a name is not of this kind, for an error.
pub(super) fn expected(kind: SanKind) -> &'static str {
    match kind {
        SanKind::Dns => "its dNSName is not made of DNS labels",
        SanKind::Email => "its rfc822Name is not local@domain, without quotes",
        SanKind::Uri => "its URI is not SCHEME://REST",
    }
}

/// Whether a text consists of DNS labels.
pub fn is_dns(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= DNS_BYTES_MAX && name.split('.').all(is_label)
}

/// The local part is a dot-atom, RFC 5322, section 3.2.3.
fn is_email(name: &str) -> bool {
    let is_atom = |atom: &str| {
        let is_text =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        !atom.is_empty() && atom.bytes().all(is_text)
    };
    let Some((local, domain)) = name.split_once('@') else { return false };
    local.split('.').all(is_atom) && is_dns(domain)
}

/// RFC 3986, sections 2 and 3.1, with an authority.
fn is_uri(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once("://") else { return false };
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_of_uri =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(is_of_scheme)
        && !rest.is_empty()
        && rest.bytes().all(is_of_uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [SanKind; 3] = [SanKind::Uri, SanKind::Email, SanKind::Dns];

    fn kinds(name: &str) -> Vec<SanKind> {
        KINDS.into_iter().filter(|kind| is_of_kind(*kind, name)).collect()
    }

    #[test]
    fn a_name_is_of_one_kind() {
        let cases = [
            (
                SanKind::Dns,
                vec!["orders.internal", "localhost", "a-b.xn--e1afmkfd", "_x.y", "10.0.0.1"],
            ),
            (SanKind::Email, vec!["ops@example.org", "a.b+c@localhost", "a/b=c@x.y", "a'b@x"]),
            (
                SanKind::Uri,
                vec!["spiffe://example.org/a", "https://a@b.c/d@e", "x:///y", "a.b+c://d"],
            ),
        ];
        for (kind, names) in cases {
            for name in names {
                assert_eq!(kinds(name), [kind], "{name:?}");
            }
        }
    }

    #[test]
    fn what_could_be_taken_for_another_kind_is_no_name() {
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "*.example.org",
            "a b",
            "a\u{e9}",
            "a\0b",
            "spiffe:/a",
            "urn:uuid:x",
            "mailto:a@b",
            "://x",
            "1a://x",
            "a://",
            "a://b c",
            "a://b\"",
            "a://\u{202e}",
            "ops@",
            "@x",
            "a@b@c",
            "\"a\"@x",
            "\"a://b\"@x",
            "a..b@x",
            "a@b/c",
            "a@[10.0.0.1]",
            "a:b@c",
            "a/b",
            "a:1",
        ] {
            assert_eq!(kinds(name), [], "{name:?}");
        }
        assert_eq!(kinds(&format!("{}.x", "a".repeat(63))), [SanKind::Dns]);
        assert_eq!(kinds(&format!("{}.x", "a".repeat(64))), []);
        assert_eq!(kinds(&"a.".repeat(127)), []);
    }

    #[test]
    fn no_text_of_few_letters_is_of_two_kinds() {
        let letters = ['a', '1', '.', '@', ':', '/', '-', '"', '*', ' '];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts
                .iter()
                .flat_map(|text| letters.map(|letter| format!("{text}{letter}")))
                .collect();
            for text in &texts {
                assert!(kinds(text).len() <= 1, "{text:?}");
            }
        }
    }
}
