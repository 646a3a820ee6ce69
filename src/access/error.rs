//! Why a caller is not known, or may not.

/// Why a caller is not known, or may not. Nothing of a token is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are none.
    #[error(
        "this gateway asks who you are: send a token as `authorization: Bearer TOKEN`, or show a client certificate"
    )]
    CredentialsMissing,
    /// The header is not that of a token.
    #[error("authorization is not `Bearer TOKEN`")]
    Scheme,
    /// There are several headers.
    #[error("there are several authorization headers: send one")]
    SeveralTokens,
    /// The static token is not known.
    #[error("the token is not known")]
    TokenUnknown,
    /// The JSON web token is not taken.
    #[error("the token is not taken: {0}")]
    Jwt(&'static str),
    /// The credentials were good once.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// The certificate is not taken.
    #[error("the client certificate is not taken: {0}")]
    Certificate(String),
    /// The roles allow to read less than when the stream was opened.
    #[error("you may not read all of this any more: the roles have changed")]
    TypesForbidden,
    /// No role allows such calls.
    #[error("you may not {0}: no role allows it")]
    Forbidden(&'static str),
}
