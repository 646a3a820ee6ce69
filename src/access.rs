//! Authentication and authorization.
//!
//! [`AccessControl`] turns the credentials of a call into a [`Caller`]: a principal with
//! the [`Grants`] of its roles. Its state is replaced as a whole when the configuration
//! or a key file changes. [`AccessControl::refresh`] then authenticates a known caller
//! again.

mod certificate;
mod crypto;
mod error;
mod grants;
mod jwt;
mod method;
mod permit;
mod san;
mod stream_auth;
mod tokens;

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::config::{self, Audience, CertificateNames, Settings};

pub use certificate::ClientCas;
pub use error::Error;
pub use grants::{Grants, RoleTable};
pub use method::{Method, MethodLoad, MethodRule, method_rule};
pub use san::is_dns as is_dns_name;
pub use stream_auth::{StreamAuth, StreamAuthEnd};
pub use tokens::{TOKEN_PREFIX, hash_token, new_token};

/// The number of callers that a connection remembers. A proxy may send calls of several callers
/// over one connection.
const REMEMBERED_MAX: usize = 4;

/// Authenticates calls and looks up their grants.
pub struct AccessControl {
    state: ArcSwap<AccessState>,
    /// Counts the replacements of the state.
    generation: watch::Sender<u64>,
}

/// The tokens, issuers and roles in force.
#[derive(Debug)]
pub struct AccessState {
    /// Authentication is off: every client may do everything.
    open: bool,
    /// Tokens or JWT issuers are configured.
    bearers: bool,
    tokens: tokens::TokenTable,
    issuers: jwt::Issuers,
    names: CertificateNames,
    cas: Option<ClientCas>,
    policy: RoleTable,
    health: Audience,
    reflection: Audience,
    generation: u64,
}

/// The client of a call: its principal and grants.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Arc<str>,
    grants: Arc<Grants>,
    credential: Credential,
    expires: Option<SystemTime>,
    generation: u64,
}

/// What clients may authenticate with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedCredentials {
    /// There is no authentication.
    None,
    /// A token, or a certificate if there is a client CA.
    Token,
    /// A certificate alone.
    Certificate,
}

/// The credential of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Credential {
    /// No credential, and none is required.
    None,
    /// A token: the header `authorization`.
    Bearer(Arc<[u8]>),
    /// A client certificate, followed by its intermediate certificates.
    Certificate(Arc<[CertificateDer<'static>]>),
}

/// The client certificate of a connection, and the callers that it authenticated lately.
#[derive(Debug, Default)]
pub struct ConnectionIdentity {
    certificates: Option<Arc<[CertificateDer<'static>]>>,
    remembered: Mutex<Vec<Arc<Caller>>>,
}

impl ConnectionIdentity {
    /// A connection with this client certificate chain.
    pub fn new(certificates: Option<Arc<[CertificateDer<'static>]>>) -> Self {
        Self { certificates, remembered: Mutex::default() }
    }

    /// The remembered caller with this header, or with the certificate of the connection.
    fn recall(&self, header: Option<&[u8]>, generation: u64) -> Option<Arc<Caller>> {
        let mut remembered = self.remembered.lock();
        remembered.retain(|caller| caller.generation == generation && !caller.has_expired());
        remembered.iter().find(|caller| caller.credential.is_of(header)).cloned()
    }

    /// Whether the client showed a certificate.
    pub fn has_certificate(&self) -> bool {
        self.certificates.is_some()
    }

    fn remember(&self, caller: &Arc<Caller>) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.remove(0);
        }
        remembered.push(Arc::clone(caller));
    }
}

impl Credential {
    /// Whether a call of the same connection with this header has the same credential. The
    /// comparison takes constant time.
    fn is_of(&self, header: Option<&[u8]>) -> bool {
        match (self, header) {
            (Self::Bearer(own), Some(header)) => own.ct_eq(header).into(),
            (Self::Certificate(_), None) => true,
            _ => false,
        }
    }
}

impl Caller {
    /// The caller of every call while authentication is off.
    pub fn anybody() -> Arc<Self> {
        static ANYBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Caller::nameless(Grants::all()));
        Arc::clone(&ANYBODY)
    }

    /// The caller of methods that need no authentication.
    fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Caller::nameless(Arc::default()));
        Arc::clone(&NOBODY)
    }

    /// A caller with these grants.
    #[cfg(test)]
    pub fn with_grants(principal: &str, grants: Grants) -> Arc<Self> {
        let nameless = Self::nameless(Arc::new(grants));
        Arc::new(Self { principal: principal.into(), ..Self::clone(&nameless) })
    }

    fn nameless(grants: Arc<Grants>) -> Arc<Self> {
        let (credential, expires) = (Credential::None, None);
        Arc::new(Self { principal: "".into(), grants, credential, expires, generation: 0 })
    }

    /// The principal; empty if authentication is off.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The principal, as a shared string.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.principal)
    }

    /// When the credential of the caller expires, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The grants of the caller.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.grants
    }

    fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| SystemTime::now() >= expires)
    }
}

impl AccessControl {
    /// Access control that admits every caller, with all grants.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            state: ArcSwap::from_pointee(AccessState::open()),
            generation: watch::Sender::new(0),
        })
    }

    /// Access control with the credentials and roles of the configuration.
    ///
    /// # Errors
    /// If a file cannot be read or has invalid content.
    pub fn load(tls: &config::Tls, access: &config::Access) -> Result<Arc<Self>, config::Error> {
        let own = Self::open();
        own.replace(AccessState::load(tls, access)?);
        Ok(own)
    }

    /// Replaces the state. Remembered callers and open streams are authenticated again.
    pub fn replace(&self, mut state: AccessState) {
        self.generation.send_modify(|generation| {
            *generation += 1;
            state.generation = *generation;
            self.state.store(Arc::new(state));
        });
    }

    /// Whether authentication is off.
    pub fn is_open(&self) -> bool {
        self.state.load().open
    }

    /// What clients may authenticate with.
    pub fn credentials(&self) -> AcceptedCredentials {
        let state = self.state.load();
        match (state.open, state.bearers) {
            (true, _) => AcceptedCredentials::None,
            (false, true) => AcceptedCredentials::Token,
            (false, false) => AcceptedCredentials::Certificate,
        }
    }

    /// Authenticates a call that needs `rule`, over this connection and with this header
    /// `authorization`.
    ///
    /// # Errors
    /// If authentication fails, or no role allows such a call. Rights for event types are
    /// checked later.
    pub fn admit(
        &self,
        rule: Option<MethodRule>,
        authorization: Option<&[u8]>,
        channel: &ConnectionIdentity,
    ) -> Result<Arc<Caller>, Denied> {
        let state = self.state.load();
        if state.open {
            return Ok(Caller::anybody());
        }
        let audience = match rule {
            Some(MethodRule::Health) => state.health,
            Some(MethodRule::Reflection) => state.reflection,
            _ => Audience::Permitted,
        };
        if audience == Audience::Anyone {
            return Ok(Caller::nobody());
        }
        let caller = match state.known(authorization, channel) {
            Ok(caller) => caller,
            Err(error) => return Err(Denied { principal: None, error }),
        };
        let permitted = match rule {
            _ if audience == Audience::Authenticated => Ok(()),
            Some(rule) => caller.grants.permit(rule),
            // Unknown methods need no right; the service refuses them.
            None => Ok(()),
        };
        match permitted {
            Ok(()) => Ok(caller),
            Err(error) => Err(Denied { principal: Some(Arc::clone(&caller.principal)), error }),
        }
    }

    /// Authenticates a caller again: the same caller, unless the state has changed.
    ///
    /// # Errors
    /// If its credentials are no longer valid.
    pub fn refresh(&self, caller: &Arc<Caller>) -> Result<Arc<Caller>, Error> {
        let state = self.state.load();
        if caller.generation == state.generation && !caller.has_expired() {
            return Ok(Arc::clone(caller));
        }
        if state.open {
            return Ok(Caller::anybody());
        }
        state.identify(caller.credential.clone()).map(Arc::new)
    }

    /// Changes whenever callers must be authenticated again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

/// Why a call is refused, and the principal, if known.
#[derive(Debug)]
pub struct Denied {
    /// The principal, if known.
    pub principal: Option<Arc<str>>,
    /// The error.
    pub error: Error,
}

impl AccessState {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// If a file cannot be read or has invalid content.
    pub fn load(tls: &config::Tls, access: &config::Access) -> Result<Self, config::Error> {
        let cas = tls.client_ca.as_deref().map(|file| ClientCas::read("tls.client_ca", file));
        Ok(Self {
            // Roles without any authentication must not give access to everyone.
            open: !access.has_bearers() && tls.client_ca.is_none() && access.roles.is_empty(),
            bearers: access.has_bearers(),
            tokens: tokens::TokenTable::new(&access.tokens),
            issuers: jwt::Issuers::read(&access.jwt)?,
            names: access.certificates.clone(),
            cas: cas.transpose()?,
            policy: RoleTable::compile(&access.roles)?,
            health: access.health,
            reflection: access.reflection,
            generation: 0,
        })
    }

    fn open() -> Self {
        let Settings { tls, access, .. } = Settings::default();
        Self::load(&tls, &access).expect("the defaults name no file")
    }

    /// The caller, remembered or authenticated now.
    fn known(
        &self,
        authorization: Option<&[u8]>,
        channel: &ConnectionIdentity,
    ) -> Result<Arc<Caller>, Error> {
        if let Some(caller) = channel.recall(authorization, self.generation) {
            return Ok(caller);
        }
        let credential = match (authorization, &channel.certificates) {
            // A token takes precedence over the certificate.
            (Some(header), _) => Credential::Bearer(header.into()),
            (None, Some(certificates)) => Credential::Certificate(Arc::clone(certificates)),
            (None, None) => return Err(Error::CredentialsMissing),
        };
        let caller = Arc::new(self.identify(credential)?);
        channel.remember(&caller);
        Ok(caller)
    }

    fn identify(&self, credential: Credential) -> Result<Caller, Error> {
        let (principal, expires) = match &credential {
            Credential::None => return Err(Error::CredentialsMissing),
            Credential::Bearer(header) => {
                let token = tokens::of_header(header)?;
                if jwt::is_one(token) {
                    self.issuers.verify(token)?
                } else {
                    (self.tokens.principal(token)?, None)
                }
            }
            Credential::Certificate(chain) => {
                let cas = self.cas.as_ref().ok_or(Error::CredentialsMissing)?;
                cas.verify(chain, &self.names)?
            }
        };
        let grants = Arc::new(self.policy.grants(&principal));
        Ok(Caller { principal, grants, credential, expires, generation: self.generation })
    }
}

#[cfg(test)]
mod tests;
