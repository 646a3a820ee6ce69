//! `[redact]`, `oversize` and `max_skew`: what becomes of the content of events.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Settings};
use crate::content::{self, Action, ContentPolicy, HmacKeys};

/// What is redacted in events before they are kept. docs/content.md says what that
/// guarantees, and what not.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// What is done to SQL: texts and parameters of queries, and parameters of stored
    /// procedures.
    pub sql: Treatment,
    /// What is done to command lines and arguments.
    pub commands: Treatment,
    /// Whether secrets within texts are masked, wherever they are: in URLs, such as
    /// `https://user:password@host`, and in arguments, such as `--password=...`.
    pub secrets: bool,
    /// File with the keys of HMACs, which nobody but its owner may use: a line for each
    /// key, with its id and the key in base64. The first key is used.
    #[schemars(extend("value_name" = "FILE"))]
    pub hmac_key_file: Option<PathBuf>,
    /// What is redacted beside that. Where several rules are for a field, the strictest
    /// action is done.
    pub rules: Vec<RedactRule>,
}

/// What is done to the fields of a preset.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Nothing.
    #[default]
    Keep,
    /// They are left out.
    Drop,
    /// Each text is replaced by `[redacted]`.
    Mask,
    /// Each text is replaced by an HMAC of it, so that equal ones can be told.
    Hmac,
    /// Secrets within the texts are masked.
    Secrets,
}

/// Fields that are redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// Event types whose fields are meant; `*` stands for any characters. All types,
    /// if it is empty.
    #[serde(default)]
    pub types: Vec<String>,
    /// Paths of the fields, as expressions write them: `exec.command.line`,
    /// `user.traits.*`, `labels['team.name']`, `custom.data.card`.
    pub fields: Vec<String>,
    /// What is done to them.
    pub action: RedactAction,
}

/// What is done to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedactAction {
    /// It is left out.
    Drop,
    /// Each text in it is replaced by `[redacted]`.
    Mask,
    /// Each text in it is replaced by an HMAC of it, so that equal ones can be told.
    Hmac,
    /// Secrets within its texts are masked.
    Secrets,
}

/// What is done with an event that is too large.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Oversize {
    /// It is refused.
    #[default]
    Reject,
    /// Its longest texts are cut, but for those that tell who, what and with which
    /// outcome. The record tells which, and the SHA-256 of what they were.
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
    /// What is done to the content of events; `None` where nothing is. Reads the file
    /// of keys.
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
