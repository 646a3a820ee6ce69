//! The reasons and answers of refused requests to the page.

use http::StatusCode;

use crate::counters::countable;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebRefusal {
    /// It names no host, several hosts, or an invalid one.
    HostMalformed,
    /// It is for a host that is not the gateway's.
    Host,
    /// A page of another origin sent it.
    Origin,
    /// Another site caused it, according to the browser.
    FetchSite,
    /// It is a preflight request of a page of another origin.
    Preflight,
    /// It is neither a call nor a request for a file.
    Method,
    /// It is a POST, but not a call.
    ContentType,
    /// There is no such file.
    NotFound,
    /// The address exceeds its rate limit.
    Rate,
}

countable!(WebRefusal);

impl WebRefusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::HostMalformed,
        Self::Host,
        Self::Origin,
        Self::FetchSite,
        Self::Preflight,
        Self::Method,
        Self::ContentType,
        Self::NotFound,
        Self::Rate,
    ];

    /// A name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostMalformed => "host_malformed",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::FetchSite => "fetch_site",
            Self::Preflight => "preflight",
            Self::Method => "method",
            Self::ContentType => "content_type",
            Self::NotFound => "not_found",
            Self::Rate => "rate",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::HostMalformed => StatusCode::BAD_REQUEST,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::FetchSite | Self::Preflight => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// A sentence about what is wrong, and what to do.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::HostMalformed => "the request must name one host\n",
            Self::Host => {
                "this gateway does not answer for this host: open the page by an IP address, by localhost or by a \
                 name of its certificate, or add the origin of the proxy to web.hosts\n"
            }
            Self::Origin => "requests of pages of another origin are refused\n",
            Self::FetchSite => {
                "requests that another site caused are refused: open the page itself\n"
            }
            Self::Preflight => "pages of other origins may not call this gateway\n",
            Self::Method => "the page takes GET, and calls by POST\n",
            Self::ContentType => {
                "calls have the content type application/grpc-web+proto; gRPC itself has a port of its own\n"
            }
            Self::NotFound => "there is no such file: the page is at /\n",
            Self::Rate => "too many requests come from this address: try again in a second\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_names_and_sentences_of_their_own() {
        for (place, one) in WebRefusal::ALL.into_iter().enumerate() {
            assert_eq!(one as usize, place);
            assert!(one.status().is_client_error() && one.sentence().ends_with('\n'));
        }
    }
}
