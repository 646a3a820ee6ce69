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
mod method_rule;
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

use crate::config::{self, Audience, CertificateNames, Right, Settings};

pub use certificate::ClientCas;
pub use error::Error;
pub use grants::{Grants, RoleTable};
pub use method_rule::{MethodRule, method_rule};
pub use stream_auth::{StreamAuth, StreamAuthEnd};
pub use tokens::{TOKEN_PREFIX, hash_token, new_token};

/// How many callers a connection remembers: more than one where a proxy brings
/// several over it.
const REMEMBERED_MAX: usize = 4;

/// Authenticates calls and looks up their grants.
pub struct AccessControl {
    state: ArcSwap<AccessState>,
    /// Tells how often the state was replaced.
    generation: watch::Sender<u64>,
}

/// The tokens, issuers and roles in force.
#[derive(Debug)]
pub struct AccessState {
    /// Anybody may do anything.
    open: bool,
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

/// The credential of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Credential {
    /// Nothing, and nothing is asked for.
    None,
    /// A token: the header `authorization`.
    Bearer(Arc<[u8]>),
    /// A certificate, followed by those between it and its CA.
    Certificate(Arc<[CertificateDer<'static>]>),
}

/// The client certificate of a connection, and the callers that it authenticated lately.
#[derive(Debug, Default)]
pub struct ConnectionIdentity {
    certificates: Option<Arc<[CertificateDer<'static>]>>,
    remembered: Mutex<Vec<Arc<Caller>>>,
}

impl ConnectionIdentity {
    /// A connection on which the client showed these certificates.
    pub fn new(certificates: Option<Arc<[CertificateDer<'static>]>>) -> Self {
        Self { certificates, remembered: Mutex::default() }
    }

    /// The caller with this header, or with the certificate of the connection.
    fn recall(&self, header: Option<&[u8]>, generation: u64) -> Option<Arc<Caller>> {
        let mut remembered = self.remembered.lock();
        remembered.retain(|caller| caller.generation == generation && !caller.has_expired());
        remembered.iter().find(|caller| caller.credential.is_of(header)).cloned()
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
    /// Whether a call of the same connection with this header shows the same; how
    /// long that takes tells nothing of a token.
    fn is_of(&self, header: Option<&[u8]>) -> bool {
        match (self, header) {
            (Self::Bearer(own), Some(header)) => own.ct_eq(header).into(),
            (Self::Certificate(_), None) => true,
            _ => false,
        }
    }
}

impl Caller {
    /// The caller where there is no authentication.
    pub fn anybody() -> Arc<Self> {
        static ANYBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Caller::nameless(Grants::all()));
        Arc::clone(&ANYBODY)
    }

    /// The caller of what asks for no authentication where there is some.
    fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Caller::nameless(Arc::default()));
        Arc::clone(&NOBODY)
    }

    fn nameless(grants: Arc<Grants>) -> Arc<Self> {
        let (credential, expires) = (Credential::None, None);
        Arc::new(Self { principal: "".into(), grants, credential, expires, generation: 0 })
    }

    /// Its name; empty where there is no authentication.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Its name, to keep.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.principal)
    }

    /// What it may do.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.grants
    }

    fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| SystemTime::now() >= expires)
    }
}

impl AccessControl {
    /// Where everybody may do everything.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            state: ArcSwap::from_pointee(AccessState::open()),
            generation: watch::Sender::new(0),
        })
    }

    /// As configured.
    ///
    /// # Errors
    /// If a file cannot be read, or does not hold what it should.
    pub fn load(tls: &config::Tls, access: &config::Access) -> Result<Arc<Self>, config::Error> {
        let own = Self::open();
        own.replace(AccessState::load(tls, access)?);
        Ok(own)
    }

    /// Goes on with other knowledge. Callers that were known before, and open
    /// streams, are asked for again.
    pub fn replace(&self, mut state: AccessState) {
        self.generation.send_modify(|generation| {
            *generation += 1;
            state.generation = *generation;
            self.state.store(Arc::new(state));
        });
    }

    /// Whether there is no authentication.
    pub fn is_open(&self) -> bool {
        self.state.load().open
    }

    /// Who makes a call of `rule` over this connection, with this header
    /// `authorization`.
    ///
    /// # Errors
    /// If it is not known who that is, or may not make such a call at all. What is
    /// read or emitted by it is another question.
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
            // Nobody has a right to what does not exist; that is said where it is
            // noticed.
            None => Ok(()),
        };
        match permitted {
            Ok(()) => Ok(caller),
            Err(error) => Err(Denied { principal: Some(Arc::clone(&caller.principal)), error }),
        }
    }

    /// The caller as it is known now: the same, unless something has changed.
    ///
    /// # Errors
    /// If its credentials are not taken any more.
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

    /// Changes whenever callers have to be asked for again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

/// Why a call is refused, and the principal, if known.
#[derive(Debug)]
pub struct Denied {
    /// The principal, where it is known.
    pub principal: Option<Arc<str>>,
    /// Why.
    pub error: Error,
}

impl AccessState {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// If a file cannot be read, or does not hold what it should.
    pub fn load(tls: &config::Tls, access: &config::Access) -> Result<Self, config::Error> {
        let cas = tls.client_ca.as_deref().map(|file| ClientCas::read("tls.client_ca", file));
        Ok(Self {
            // Roles that nobody can have are no reason to let everybody in.
            open: !access.has_bearers() && tls.client_ca.is_none() && access.roles.is_empty(),
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

    /// The caller, remembered or found out.
    fn known(
        &self,
        authorization: Option<&[u8]>,
        channel: &ConnectionIdentity,
    ) -> Result<Arc<Caller>, Error> {
        if let Some(caller) = channel.recall(authorization, self.generation) {
            return Ok(caller);
        }
        let credential = match (authorization, &channel.certificates) {
            // Who shows a token wants to be known by it.
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

impl Grants {
    /// Whether a call of this rule may be made at all.
    ///
    /// # Errors
    /// If not.
    pub fn permit(&self, rule: MethodRule) -> Result<(), Error> {
        let (may, what) = match rule {
            MethodRule::Emit => (!self.emit().is_empty(), "emit"),
            MethodRule::Read => (!self.read().is_empty(), "read"),
            MethodRule::Status => (self.has(Right::Status), "see the status"),
            MethodRule::Proof => (self.has(Right::Proof), "ask for proofs"),
            MethodRule::Catalog => (!self.is_empty(), "list event types"),
            MethodRule::Health => (self.has(Right::Health), "ask for the health"),
            MethodRule::Reflection => (self.has(Right::Reflection), "use reflection"),
        };
        if may { Ok(()) } else { Err(Error::Forbidden(what)) }
    }
}

#[cfg(test)]
mod tests;
