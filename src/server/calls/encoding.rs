//! How messages may be compressed, and the frames that they come in: a flag, the length
//! in four bytes, and so many bytes.

use std::borrow::Cow;

use http::HeaderMap;

use crate::proto::codec::PREFIX_BYTES;

/// Header that names the compression of the messages.
pub const ENCODING: &str = "grpc-encoding";
/// Header that names the compressions which its sender takes.
pub const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// The name for messages that are not compressed.
const IDENTITY: &str = "identity";
/// What requests may be, as [`ACCEPT_ENCODING`] lists it.
pub const ACCEPTED: &str = "gzip,zstd,identity";
/// Flag before a message that is compressed.
pub const COMPRESSED: u8 = 1;

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageEncoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl MessageEncoding {
    /// How the messages of a request are compressed, if they are in a way that is
    /// known. Takes it off the headers: who comes after is to see them unpacked.
    pub fn take(headers: &mut HeaderMap) -> Option<Self> {
        let encoding = Self::of(headers.get(ENCODING)?.to_str().ok()?)?;
        headers.remove(ENCODING);
        Some(encoding)
    }

    /// The name of the compression of a request, where it is not known.
    pub fn unknown(headers: &HeaderMap) -> Option<Cow<'_, str>> {
        let name = String::from_utf8_lossy(headers.get(ENCODING)?.as_bytes());
        (name != IDENTITY && Self::of(&name).is_none()).then_some(name)
    }

    /// The first of those which the client of this request takes.
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

/// How long the first message is, without its prefix, once that has come.
pub fn message_len(bytes: &[u8]) -> Option<usize> {
    let [_, a, b, c, d] = bytes.first_chunk::<PREFIX_BYTES>()?;
    Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize)
}

/// How long the first message is, with its prefix, if it has come whole.
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
