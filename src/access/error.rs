//! Errors of authentication and authorization.

/// Why authentication or authorization failed. The text never contains a part of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call has no credentials.
    #[error(
        "authentication is required: send a token as `authorization: Bearer TOKEN`, or use a client certificate"
    )]
    CredentialsMissing,
    /// The header is not `Bearer TOKEN`.
    #[error("the header authorization is not `Bearer TOKEN`")]
    Scheme,
    /// There are several headers.
    #[error("there are several authorization headers: send one")]
    SeveralTokens,
    /// The static token is unknown.
    #[error("the token is unknown")]
    TokenUnknown,
    /// The JSON web token is rejected.
    #[error("the token is rejected: {0}")]
    Jwt(&'static str),
    /// The credentials have expired.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// The client certificate is rejected.
    #[error("the client certificate is rejected: {0}")]
    Certificate(String),
    /// The roles allow less reading than when the stream was opened.
    #[error("the roles have changed: you may no longer read all of this")]
    TypesForbidden,
    /// No role allows such calls.
    #[error("you may not {0}: no role allows it")]
    Forbidden(&'static str),
}
