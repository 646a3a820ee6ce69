//! Serves the files of the page, which are embedded in the program.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// A file that build.rs embeds.
#[derive(Debug)]
pub struct WebFile {
    /// Its path.
    path: &'static str,
    media: &'static str,
    /// The tag of its content, for `etag`.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// All of them.
static FILES: &[WebFile] = include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// The file at the root.
const INDEX: &str = "/index.html";
/// Browsers must check each time whether a file has changed, so that a page never runs with files
/// of another version.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The answer to a request for a file; `None` if there is no such file.
pub fn answer(path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let path = if path == "/" { INDEX } else { path };
    FILES.iter().find(|file| file.path == path).map(|file| file.answer(headers))
}

impl WebFile {
    fn answer(&self, headers: &HeaderMap) -> Response<Bytes> {
        let packed = takes_gzip(headers);
        // The two encodings are different bytes, so they have different tags.
        let tag =
            if packed { format!("\"{}-gzip\"", self.tag) } else { format!("\"{}\"", self.tag) };
        let known = is_known(headers, &tag);
        let bytes = match (known, packed) {
            (true, _) => &[],
            (false, true) => self.gzip,
            (false, false) => self.plain,
        };
        let mut response = Response::new(Bytes::from_static(bytes));
        let own = response.headers_mut();
        own.insert(CACHE_CONTROL, NO_CACHE);
        own.insert(VARY, HeaderValue::from_static("accept-encoding"));
        own.extend(HeaderValue::from_str(&tag).map(|tag| (ETAG, tag)));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        own.insert(CONTENT_TYPE, HeaderValue::from_static(self.media));
        if packed {
            own.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether a client accepts gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut gzip = values.flat_map(|value| value.split(',')).filter_map(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        name.trim().eq_ignore_ascii_case("gzip").then(|| weight.trim().to_ascii_lowercase())
    });
    let is_zero = |weight: String| {
        let weight = weight.strip_prefix("q=").unwrap_or("1").trim();
        weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    };
    gzip.next().is_some_and(|weight| !is_zero(weight))
}

/// Whether the client has the content with this tag already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|known| {
        // Proxies that compress make tags weak.
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::HeaderName;

    use super::*;

    fn asked(path: &str, headers: &[(HeaderName, &str)]) -> Option<Response<Bytes>> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        answer(path, &headers.collect())
    }

    #[test]
    fn the_index_is_at_the_root_and_files_have_their_names() {
        let index = asked("/", &[]).unwrap();
        assert_eq!(index.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(index.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(index.body(), asked("/index.html", &[]).unwrap().body());
        assert!(index.body().starts_with(b"<!doctype html>"));
        for missing in [
            "",
            "/index",
            "/dist/index.html",
            "/../index.html",
            "//",
            "/%69ndex.html",
            "/INDEX.HTML",
        ] {
            assert!(asked(missing, &[]).is_none(), "{missing}");
        }
    }

    #[test]
    fn a_file_comes_packed_where_it_may() {
        let plain = asked("/", &[]).unwrap();
        assert!(plain.headers().get(CONTENT_ENCODING).is_none());
        let packed = asked("/", &[(ACCEPT_ENCODING, "br, gzip;q=0.5")]).unwrap();
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.body()[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body()[..]);
        assert_ne!(packed.headers()[ETAG], plain.headers()[ETAG]);
        for refused in ["br", "gzip;q=0", "gzip; q=0.0", "identity", "gzip2", ""] {
            let answer = asked("/", &[(ACCEPT_ENCODING, refused)]).unwrap();
            assert!(answer.headers().get(CONTENT_ENCODING).is_none(), "{refused}");
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let tag = asked("/", &[]).unwrap().headers()[ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = asked("/", &[(IF_NONE_MATCH, &known)]).unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(answer.body().is_empty() && answer.headers()[ETAG] == *tag);
        }
        for other in ["\"x\"", tag.trim_matches('"')] {
            assert_eq!(asked("/", &[(IF_NONE_MATCH, other)]).unwrap().status(), StatusCode::OK);
        }
        // The tag of the other form.
        let packed = asked("/", &[(IF_NONE_MATCH, &tag), (ACCEPT_ENCODING, "gzip")]).unwrap();
        assert_eq!(packed.status(), StatusCode::OK);
    }
}
