//! What becomes of the content of events on the way in: redaction, trimming, and a
//! note where clocks differ, as the operator configured it.
//!
//! It happens once, after an event is checked and before anything of it is kept,
//! indexed, compared or shown. docs/content.md says what is guaranteed.

mod keys;
mod path;
mod policy;
mod redact;
mod secrets;
mod tree;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::event::{self, EVENT_BYTES_MAX, Event};
use crate::time::Time;

pub use keys::{HMAC_PREFIX, KEY_BYTES_MIN, KEY_ID_BYTES_MAX, KEYS_MAX, Keys, KeysError};
pub use policy::{Error, PATHS_MAX, Policy};
pub use secrets::MARKER;
pub use trim::{CUT_VALUES_MAX, KEPT_BYTES_MIN};

/// What is done to a value. The later ones are stricter: where several are asked for,
/// the strictest is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Secrets within the text are masked: passwords in URLs, tokens in arguments.
    Secrets,
    /// The text is a URL's query, whose values are masked.
    Query,
    /// The text is replaced by its HMAC, by which equal values can be joined.
    Hmac,
    /// The text is replaced by [`MARKER`].
    Mask,
    /// The value is left out.
    Drop,
}

/// Something that is done to some fields of some events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Event types, exact or as globs; all, if empty.
    pub types: Vec<String>,
    /// Paths of fields, as expressions write them.
    pub fields: Vec<String>,
    /// What is done to them.
    pub action: Action,
}

/// What is done with an event that is too large.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// It is refused.
    #[default]
    Reject,
    /// Its longest texts are cut.
    Trim,
}

/// How content is treated. The default is not to touch it.
#[derive(Debug, Default, Clone)]
pub struct Config {
    /// What is redacted.
    pub rules: Vec<Rule>,
    /// What is done to the texts and parameters of SQL.
    pub sql: Option<Action>,
    /// What is done to command lines.
    pub commands: Option<Action>,
    /// Whether secrets are masked wherever they are found.
    pub secrets: bool,
    /// Keys of HMACs.
    pub keys: Option<Keys>,
    /// What is done with an event that is too large.
    pub oversize: Oversize,
    /// How far an event's time may be from the gateway's without a note on the
    /// record; any, if `None`.
    pub skew_max: Option<Duration>,
}

/// How events are let in: the limit of their size, and what becomes of their content.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The largest event, encoded, in bytes.
    pub event_bytes: usize,
    /// What is done to content; nothing, if `None`.
    pub policy: Option<Arc<Policy>>,
}

/// The policy that is in force, and may be replaced while events come.
#[derive(Debug, Clone, Default)]
pub struct InForce(Arc<ArcSwapOption<Policy>>);

impl InForce {
    /// This policy, for now.
    pub fn new(policy: Option<Arc<Policy>>) -> Self {
        Self(Arc::new(ArcSwapOption::new(policy)))
    }

    /// The policy at this moment.
    pub fn now(&self) -> Option<Arc<Policy>> {
        self.0.load_full()
    }

    /// Goes on with another one, for events that come from now on.
    pub fn replace(&self, policy: Option<Arc<Policy>>) {
        self.0.store(policy);
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self { event_bytes: EVENT_BYTES_MAX, policy: None }
    }
}

impl Intake {
    /// Checks an encoded event that arrived at `now`, and does to it what the policy
    /// says. What is returned holds nothing of what was redacted.
    ///
    /// # Errors
    /// As [`Event::check`]; if redaction makes the event too large.
    #[inline]
    pub fn admit(&self, bytes: Bytes, now: Time) -> Result<Event, event::Error> {
        match &self.policy {
            None => Event::check(bytes, now, self.event_bytes),
            Some(policy) => policy.admit(bytes, now, self.event_bytes),
        }
    }
}

impl Action {
    /// As amendments tell it.
    fn done(self) -> &'static str {
        match self {
            Action::Secrets | Action::Query => "secrets_masked",
            Action::Hmac => "hmac",
            Action::Mask => "masked",
            Action::Drop => "dropped",
        }
    }
}

#[cfg(test)]
mod tests;
