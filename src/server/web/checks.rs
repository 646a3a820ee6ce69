//! Checks a request to the page before its content is processed.
//!
//! Pages of other sites can make a browser send requests to any address that it reaches, with the
//! certificate of its user. Each check stops some of these requests; none stops all: after DNS
//! rebinding a GET has no `origin`, and browsers send `sec-fetch-site` only to trustworthy origins.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};

use super::hosts::Known;
use super::refusal::WebRefusal;
use crate::server::grpc_only::only;

/// The content type of calls: gRPC-Web in its binary form. An HTML form cannot have it. A script of
/// another origin can have it only if an OPTIONS request is answered in its favour, which the
/// gateway never does.
pub const CALL_TYPE: &str = "application/grpc-web+proto";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The kind of an admitted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A call.
    Call,
    /// A request for a file.
    File,
}

/// Checks a request.
///
/// # Errors
/// The first check that fails.
pub fn admit(request: &Parts, known: Known<'_>) -> Result<Admitted, WebRefusal> {
    known.check(request)?;
    check_site(&request.method, &request.headers)?;
    match request.method {
        Method::POST if is_call(&request.headers) => Ok(Admitted::Call),
        Method::POST => Err(WebRefusal::ContentType),
        Method::GET | Method::HEAD => Ok(Admitted::File),
        Method::OPTIONS => Err(WebRefusal::Preflight),
        _ => Err(WebRefusal::Method),
    }
}

/// Refuses requests that another site caused, according to the browser; following a link from
/// another site is allowed.
fn check_site(method: &Method, headers: &HeaderMap) -> Result<(), WebRefusal> {
    let all_are = |name: HeaderName, allowed: &[&str]| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| allowed.iter().any(|allowed| value == allowed))
    };
    let only_is = |name, expected: &str| only(headers, name).is_some_and(|value| value == expected);
    let is_own = all_are(FETCH_SITE, &["same-origin", "none"]);
    let is_link = *method == Method::GET
        && only_is(FETCH_MODE, "navigate")
        && only_is(FETCH_DEST, "document");
    if is_own || is_link { Ok(()) } else { Err(WebRefusal::FetchSite) }
}

/// Whether the content type is that of a call, exactly.
fn is_call(headers: &HeaderMap) -> bool {
    only(headers, CONTENT_TYPE).is_some_and(|value| value == CALL_TYPE)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admitted(method: &str, headers: &[(&str, &str)]) -> Result<Admitted, WebRefusal> {
        let mut request = Request::builder().method(method).uri("/").header("host", "127.0.0.1:1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let known = Known { origins: &[], names: &[], encrypted: false };
        admit(&request.body(()).unwrap().into_parts().0, known)
    }

    const CALL: (&str, &str) = ("content-type", CALL_TYPE);

    #[test]
    fn the_first_check_that_fails_refuses() {
        let foreign = ("origin", "http://evil.example");
        let site = ("sec-fetch-site", "cross-site");
        for (method, headers, expected) in [
            ("POST", &[CALL][..], Ok(Admitted::Call)),
            ("GET", &[], Ok(Admitted::File)),
            ("HEAD", &[], Ok(Admitted::File)),
            ("GET", &[CALL], Ok(Admitted::File)),
            ("POST", &[CALL, ("origin", "http://127.0.0.1:1")], Ok(Admitted::Call)),
            ("POST", &[CALL, foreign, site], Err(WebRefusal::Origin)),
            ("GET", &[foreign], Err(WebRefusal::Origin)),
            ("POST", &[CALL, ("origin", "null")], Err(WebRefusal::Origin)),
            ("POST", &[CALL, site], Err(WebRefusal::FetchSite)),
            ("OPTIONS", &[site], Err(WebRefusal::FetchSite)),
            ("OPTIONS", &[], Err(WebRefusal::Preflight)),
            ("PUT", &[CALL], Err(WebRefusal::Method)),
            ("DELETE", &[], Err(WebRefusal::Method)),
            ("CONNECT", &[], Err(WebRefusal::Method)),
            ("TRACE", &[], Err(WebRefusal::Method)),
            ("post", &[CALL], Err(WebRefusal::Method)),
            ("POST", &[], Err(WebRefusal::ContentType)),
        ] {
            assert_eq!(admitted(method, headers), expected, "{method} {headers:?}");
        }
        let evil = [("host", "evil.example")];
        assert_eq!(admitted("GET", &evil), Err(WebRefusal::HostMalformed), "two hosts");
    }

    #[test]
    fn a_call_has_its_content_type_to_the_letter() {
        for wrong in [
            "application/grpc-web",
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
            "application/grpc-web+proto;a=b",
            "application/grpc-web+proto; charset=utf-8",
            "application/grpc-web+proto,text/plain",
            "Application/grpc-web+proto",
            "application/grpc-web+json",
            "application/grpc",
            "application/grpc+proto",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain",
            "",
        ] {
            let refused = admitted("POST", &[("content-type", wrong)]);
            assert_eq!(refused, Err(WebRefusal::ContentType), "{wrong}");
        }
        assert_eq!(admitted("POST", &[CALL, CALL]), Err(WebRefusal::ContentType));
    }

    #[test]
    fn what_another_site_causes_is_refused_unless_it_is_a_link() {
        let site = |value| ("sec-fetch-site", value);
        let (navigate, document) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
        for value in ["same-origin", "none"] {
            assert_eq!(admitted("GET", &[site(value)]), Ok(Admitted::File));
            assert_eq!(admitted("POST", &[site(value), CALL]), Ok(Admitted::Call));
        }
        for value in ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site"] {
            assert_eq!(admitted("GET", &[site(value)]), Err(WebRefusal::FetchSite), "{value}");
            assert_eq!(
                admitted("GET", &[site(value), navigate, document]),
                Ok(Admitted::File),
                "{value}"
            );
            for more in [
                &[navigate][..],
                &[document],
                &[navigate, ("sec-fetch-dest", "iframe")],
                &[navigate, ("sec-fetch-dest", "object")],
                &[("sec-fetch-mode", "no-cors"), document],
                &[navigate, navigate, document],
            ] {
                let headers = [&[site(value)], more].concat();
                assert_eq!(admitted("GET", &headers), Err(WebRefusal::FetchSite), "{headers:?}");
            }
            for method in ["POST", "HEAD"] {
                let headers = [site(value), navigate, document, CALL];
                assert_eq!(
                    admitted(method, &headers),
                    Err(WebRefusal::FetchSite),
                    "{method} {value}"
                );
            }
        }
        let both = [site("same-origin"), site("cross-site")];
        assert_eq!(admitted("GET", &both), Err(WebRefusal::FetchSite));
    }
}
