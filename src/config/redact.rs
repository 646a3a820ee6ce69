//! `[redact]`, `oversize` and `max_skew`: how the gateway treats the content of events.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Settings};
use crate::content::{self, Action, ContentPolicy, HmacKeys};

/// Redaction of events before they are stored. docs/content.md has the guarantees and their
/// limits.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// How to treat SQL: texts and parameters of queries, and parameters of stored procedures.
    pub sql: Treatment,
    /// How to treat command lines and arguments.
    pub commands: Treatment,
    /// Whether secrets within texts are masked, wherever they are: in URLs, such as
    /// `https://user:password@host`, and in arguments, such as `--password=...`.
    pub secrets: bool,
    /// File with the HMAC keys; only its owner may have access. Each line has the id of a key and
    /// the key in base64. New HMACs use the first key.
    #[schemars(extend("value_name" = "FILE"))]
    pub hmac_key_file: Option<PathBuf>,
    /// Further redaction rules. If several rules name a field, the strictest action applies.
    pub rules: Vec<RedactRule>,
}

/// How to treat the fields of a preset.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Nothing.
    #[default]
    Keep,
    /// Remove them.
    Drop,
    /// Replace each text by `[redacted]`.
    Mask,
    /// Replace each text by its HMAC, so that equal texts can be recognized.
    Hmac,
    /// Mask secrets within the texts.
    Secrets,
}

/// A redaction rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// Event types that the rule applies to; `*` stands for any characters. If it is empty, the
    /// rule applies to all types.
    #[serde(default)]
    pub types: Vec<String>,
    /// Paths of the fields, as expressions write them: `exec.command.line`,
    /// `user.traits.*`, `labels['team.name']`, `custom.data.card`.
    pub fields: Vec<String>,
    /// The action for these fields.
    pub action: RedactAction,
}

/// An action for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedactAction {
    /// Remove it.
    Drop,
    /// Replace each text in it by `[redacted]`.
    Mask,
    /// Replace each text in it by its HMAC, so that equal texts can be recognized.
    Hmac,
    /// Mask secrets within its texts.
    Secrets,
}

/// How to treat an event that is too large.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Oversize {
    /// Refuse it.
    #[default]
    Reject,
    /// Cut its longest texts, except those that identify the actor, the action and the outcome.
    /// The record lists the cut texts with the SHA-256 of their originals.
    Trim,
}

impl Treatment {
    fn action(self) -> Option<Action> {
        match self {
            Treatment::Keep => None,
            Treatment::Drop => Some(Action::Drop),
            Treatment::Mask => Some(Action::Mask),
            Treatment::Hmac => Some(Action::Hmac),
            Treatment::Secrets => Some(Action::Secrets),
        }
    }
}

impl From<&RedactRule> for content::RedactionRule {
    fn from(rule: &RedactRule) -> Self {
        let action = match rule.action {
            RedactAction::Drop => Action::Drop,
            RedactAction::Mask => Action::Mask,
            RedactAction::Hmac => Action::Hmac,
            RedactAction::Secrets => Action::Secrets,
        };
        Self { types: rule.types.clone(), fields: rule.fields.clone(), action }
    }
}

impl Settings {
    /// The content policy; `None` if events are not changed. Reads the key file.
    ///
    /// # Errors
    /// If the file cannot be used, or a rule does not fit the schema.
    pub fn content(&self) -> Result<Option<Arc<ContentPolicy>>, Error> {
        let key = "redact.hmac_key_file";
        let file = self.redact.hmac_key_file.as_ref();
        let keys = file.map(|file| {
            HmacKeys::read(file)
                .map_err(|error| Error::value(key, format!("{}: {error}", file.display())))
        });
        let config = content::Config {
            rules: self.redact.rules.iter().map(content::RedactionRule::from).collect(),
            sql: self.redact.sql.action(),
            commands: self.redact.commands.action(),
            secrets: self.redact.secrets,
            keys: keys.transpose()?,
            oversize: match self.oversize {
                Oversize::Reject => content::OversizeAction::Reject,
                Oversize::Trim => content::OversizeAction::Trim,
            },
            skew_max: self.max_skew.map(|skew| skew.0),
        };
        ContentPolicy::compile(config).map_err(|error| Error::value(error.key, error.what))
    }
}
