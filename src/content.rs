//! Redaction, trimming and clock-skew notes for incoming events, as the operator
//! configured them.
//!
//! They are applied once, after an event is validated and before it is stored, indexed,
//! compared or shown. docs/content.md has the guarantees.

mod abandoned;
mod field_path;
mod hmac_keys;
mod policy;
mod redact;
mod rule_tree;
mod secrets;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::event::{self, EVENT_BYTES_MAX, Event};
use crate::time::Time;

pub use abandoned::{AbandonOnDrop, Abandoned};
pub use hmac_keys::{
    HMAC_PREFIX, HmacKeys, HmacKeysError, KEY_BYTES_MIN, KEY_ID_BYTES_MAX, KEYS_MAX,
};
pub use policy::{ContentPolicy, Error, PATHS_MAX};
pub use secrets::MARKER;
pub use trim::{CUT_VALUES_MAX, KEPT_BYTES_MIN};

/// What redaction does to a value. Later variants are stricter; if several rules name a
/// value, the strictest applies.
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
    /// The value is removed.
    Drop,
}

/// An action for some fields of some event types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactionRule {
    /// Event types, exact or as globs; all, if empty.
    pub types: Vec<String>,
    /// Paths of fields, as expressions write them.
    pub fields: Vec<String>,
    /// The action.
    pub action: Action,
}

/// How to treat an event that is over the size limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum OversizeAction {
    /// Refuse the event.
    #[default]
    Reject,
    /// Cut its longest texts.
    Trim,
}

/// The content configuration. By default, content is not changed.
#[derive(Debug, Default, Clone)]
pub struct Config {
    /// What is redacted.
    pub rules: Vec<RedactionRule>,
    /// What is done to the texts and parameters of SQL.
    pub sql: Option<Action>,
    /// What is done to command lines.
    pub commands: Option<Action>,
    /// Whether secrets are masked wherever they are found.
    pub secrets: bool,
    /// Keys of HMACs.
    pub keys: Option<HmacKeys>,
    /// How to treat an event that is over the size limit.
    pub oversize: OversizeAction,
    /// How far an event's time may be from the gateway's without a note on the
    /// record; any, if `None`.
    pub skew_max: Option<Duration>,
}

/// How events are accepted: the size limit and the content policy.
#[derive(Debug, Clone)]
pub struct EventIntake {
    /// The largest event, encoded, in bytes.
    pub event_bytes: usize,
    /// What is done to content; nothing, if `None`.
    pub policy: Option<Arc<ContentPolicy>>,
}

/// The content policy in force; a reload can replace it at any time.
#[derive(Debug, Clone, Default)]
pub struct ActivePolicy(Arc<ArcSwapOption<ContentPolicy>>);

impl ActivePolicy {
    /// Starts with this policy.
    pub fn new(policy: Option<Arc<ContentPolicy>>) -> Self {
        Self(Arc::new(ArcSwapOption::new(policy)))
    }

    /// The current policy.
    pub fn now(&self) -> Option<Arc<ContentPolicy>> {
        self.0.load_full()
    }

    /// Replaces the policy, for events that arrive from now on.
    pub fn replace(&self, policy: Option<Arc<ContentPolicy>>) {
        self.0.store(policy);
    }
}

impl Default for EventIntake {
    fn default() -> Self {
        Self { event_bytes: EVENT_BYTES_MAX, policy: None }
    }
}

impl EventIntake {
    /// Checks an encoded event that arrived at `now`, and applies the policy to it. The result
    /// contains nothing that was redacted.
    ///
    /// # Errors
    /// As [`Event::check`]; if redaction makes the event too large.
    #[inline]
    pub fn admit(&self, bytes: Bytes, now: Time) -> Result<Event, event::Error> {
        self.admit_unless(bytes, now, None)
    }

    /// As [`Self::admit`], of a large event. It ends soon after it was abandoned: what it returns then is of no
    /// use.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_large(
        &self,
        bytes: Bytes,
        now: Time,
        abandoned: &Abandoned,
    ) -> Result<Event, event::Error> {
        self.admit_unless(bytes, now, Some(abandoned))
    }

    #[inline]
    fn admit_unless(
        &self,
        bytes: Bytes,
        now: Time,
        abandoned: Option<&Abandoned>,
    ) -> Result<Event, event::Error> {
        match &self.policy {
            None => Event::check(bytes, now, self.event_bytes),
            Some(policy) => policy.admit(bytes, now, self.event_bytes, abandoned),
        }
    }
}

impl Action {
    /// The word for this action in amendments.
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
