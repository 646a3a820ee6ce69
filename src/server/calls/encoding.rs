//! Compressions and frames of gRPC messages: a flag, the length in four bytes, and the message.

use std::borrow::Cow;

use http::HeaderMap;

use crate::proto::codec::PREFIX_BYTES;

/// Header that names the compression of the messages.
pub const ENCODING: &str = "grpc-encoding";
/// Header that lists the compressions that its sender accepts.
pub const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// The name for messages that are not compressed.
const IDENTITY: &str = "identity";
/// The accepted compressions of requests, for [`ACCEPT_ENCODING`].
pub const ACCEPTED: &str = "gzip,zstd,identity";
/// Flag before a message that is compressed.
pub const COMPRESSED: u8 = 1;

/// A compression of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageEncoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl MessageEncoding {
    /// The known compression of a request's messages, if any. Removes the header, because later
    /// layers see decompressed messages.
    pub fn take(headers: &mut HeaderMap) -> Option<Self> {
        let encoding = Self::of(headers.get(ENCODING)?.to_str().ok()?)?;
        headers.remove(ENCODING);
        Some(encoding)
    }

    /// The name of the unknown compression of a request, if any.
    pub fn unknown(headers: &HeaderMap) -> Option<Cow<'_, str>> {
        let name = String::from_utf8_lossy(headers.get(ENCODING)?.as_bytes());
        (name != IDENTITY && Self::of(&name).is_none()).then_some(name)
    }

    /// The first compression that the client of this request accepts.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get_all(ACCEPT_ENCODING).iter();
        accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|name| Self::of(name.trim()))
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Zstd].into_iter().find(|encoding| encoding.name() == name)
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The length of the first message without its prefix, if the prefix is complete.
pub fn message_len(bytes: &[u8]) -> Option<usize> {
    let [_, a, b, c, d] = bytes.first_chunk::<PREFIX_BYTES>()?;
    Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize)
}

/// The length of the first message with its prefix, if it is complete.
pub fn whole_len(bytes: &[u8]) -> Option<usize> {
    let whole = message_len(bytes)?.saturating_add(PREFIX_BYTES);
    (bytes.len() >= whole).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_taken_off_the_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(MessageEncoding::take(&mut headers), None);
        for (name, taken) in [
            ("gzip", Some(MessageEncoding::Gzip)),
            ("zstd", Some(MessageEncoding::Zstd)),
            ("snappy", None),
        ] {
            headers.insert(ENCODING, name.parse().unwrap());
            assert_eq!(MessageEncoding::take(&mut headers), taken);
            assert_eq!(headers.contains_key(ENCODING), taken.is_none());
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let mut headers = HeaderMap::new();
        assert_eq!(MessageEncoding::unknown(&headers), None);
        for name in ["gzip", "zstd", "identity"] {
            headers.insert(ENCODING, name.parse().unwrap());
            assert_eq!(MessageEncoding::unknown(&headers), None, "{name}");
            assert!(ACCEPTED.split(',').any(|accepted| accepted == name), "{name}");
        }
        for name in ["snappy", "GZIP", "gzip,zstd", "", "deflate"] {
            headers.insert(ENCODING, name.parse().unwrap());
            assert_eq!(MessageEncoding::unknown(&headers).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_client_gets_the_first_that_it_takes_and_we_know() {
        let mut headers = HeaderMap::new();
        assert_eq!(MessageEncoding::accepted(&headers), None);
        for (names, accepted) in [
            ("identity", None),
            ("identity,deflate,gzip", Some(MessageEncoding::Gzip)),
            ("zstd, gzip", Some(MessageEncoding::Zstd)),
            ("gzip2", None),
        ] {
            headers.insert(ACCEPT_ENCODING, names.parse().unwrap());
            assert_eq!(MessageEncoding::accepted(&headers), accepted, "{names}");
        }
        headers.append(ACCEPT_ENCODING, "zstd".parse().unwrap());
        assert_eq!(MessageEncoding::accepted(&headers), Some(MessageEncoding::Zstd));
    }
}
