//! The content policy: the content configuration, checked against the schema and compiled.

use std::sync::Arc;

use bytes::Bytes;

use super::hmac_keys::HmacKey;
use super::redact::{FieldChange, redact};
use super::rule_tree::{PathName, RuleCursor, RuleNode};
use super::secrets::MARKER;
use super::{Abandoned, Action, Config, HmacKeys, OversizeAction, RedactionRule, field_path, trim};
use crate::catalog::{self, TypeId};
use crate::event::{
    self, Amended, Envelope, Event, Reredact, VARIANT_NUMBER_MIN, custom_name, field,
};
use crate::glob::NamePattern;
use crate::proto::pb;
use crate::text;
use crate::time::Time;

/// The most paths of all rules together.
pub const PATHS_MAX: usize = 1_000;
/// The most patterns of types of one rule.
const TYPES_MAX: usize = 1_000;

/// The fields with texts and parameters of SQL, for the preset `sql`.
const SQL: [&str; 3] = [
    "db_session_query.db_query",
    "db_session_query.db_query_parameters",
    "db_session_sqlserver_rpc_request.parameters",
];
/// The fields with command lines and arguments, for the preset `commands`.
const COMMANDS: [&str; 4] = [
    "exec.command.line",
    "session_command.argv",
    "session_start.initial_command",
    "session_end.initial_command",
];
/// The fields that are queries of URLs, for the preset `secrets`.
const QUERIES: [&str; 1] = ["app_session_request.raw_query"];
/// The fields that the preset `secrets` does not change: the id, and the type of a custom event.
const NOT_SECRET: [&[u32]; 2] = [&[field::ID], &[field::CUSTOM, field::CUSTOM_NAME]];

/// Why a configuration of content is refused. The key is that of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {what}")]
pub struct Error {
    /// The key to blame, such as `redact.rules[0].fields[1]`.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// The stored form of an event, and its amendments.
type StoredEvent = (Vec<u8>, Vec<pb::Amendment>);

/// A compiled content policy.
#[derive(Debug)]
pub struct ContentPolicy {
    /// The rule trees by type id; `None` for types without rules.
    trees: Vec<Option<RuleNode>>,
    /// The custom types to which each rule applies; all if `None`.
    custom: Vec<Option<Vec<NamePattern>>>,
    /// Whether the rules differ between custom types.
    by_name: bool,
    keys: Option<HmacKeys>,
    oversize: OversizeAction,
    /// The largest clock skew without a note, in nanoseconds.
    skew_max: Option<i64>,
}

impl ContentPolicy {
    /// Compiles a configuration; `None` if it changes nothing.
    ///
    /// # Errors
    /// The first key that does not fit the schema, or contradicts others.
    pub fn compile(config: Config) -> Result<Option<Arc<Self>>, Error> {
        let mut compiler = PolicyCompiler::default();
        for (position, rule) in config.rules.iter().enumerate() {
            compiler.rule(&format!("redact.rules[{position}]"), rule)?;
        }
        for (key, action, fields) in [
            ("redact.sql", config.sql, &SQL[..]),
            ("redact.commands", config.commands, &COMMANDS[..]),
        ] {
            if let Some(action) = action {
                compiler.rule(key, &preset(action, fields))?;
            }
        }
        if config.secrets {
            compiler.rule("redact.secrets", &preset(Action::Query, &QUERIES))?;
            compiler.secrets();
        }
        if let Some(key) = compiler.needs_keys.filter(|_| config.keys.is_none()) {
            let what = "asks for HMACs, but there is no redact.hmac_key_file".to_owned();
            return Err(Error { key, what });
        }
        let policy = Self {
            by_name: compiler.custom.iter().any(Option::is_some),
            trees: compiler.trees.into_iter().map(finished).collect(),
            custom: compiler.custom,
            keys: config.keys,
            oversize: config.oversize,
            skew_max: config
                .skew_max
                .map(|skew| i64::try_from(skew.as_nanos()).unwrap_or(i64::MAX)),
        };
        let does_nothing = policy.trees.iter().all(Option::is_none)
            && policy.oversize == OversizeAction::Reject
            && policy.skew_max.is_none();
        Ok((!does_nothing).then(|| Arc::new(policy)))
    }

    /// A refusal is shown and written to the log: it quotes nothing of the event where something is redacted.
    fn without_text(&self, error: event::Error) -> event::Error {
        match error {
            event::Error::CustomName { .. } if self.trees.iter().any(Option::is_some) => {
                event::Error::CustomName { name: MARKER.to_owned() }
            }
            other => other,
        }
    }

    /// See [`super::EventIntake::admit`].
    pub(super) fn admit(
        self: &Arc<Self>,
        bytes: Bytes,
        now: Time,
        bytes_max: usize,
        abandoned: Option<&Abandoned>,
    ) -> Result<Event, event::Error> {
        let checked_max = match self.oversize {
            OversizeAction::Reject => bytes_max,
            // The size of requests is bounded, so this is, too.
            OversizeAction::Trim => usize::MAX,
        };
        let sent = bytes.clone();
        let mut event =
            Event::check(bytes, now, checked_max).map_err(|error| self.without_text(error))?;
        let key = self.keys.as_ref().map(HmacKeys::active);
        let amended = self.amend(&sent, event.type_id, key, bytes_max, abandoned)?;
        if let Some((kept, amendments)) = amended {
            let by_key = amendments.iter().any(|amendment| !amendment.key_id.is_empty());
            // Everything derived from the event is derived from its stored form.
            event = Event::check(kept.into(), now, bytes_max)?;
            let again = by_key.then(|| -> Arc<dyn Reredact> {
                let policy = Arc::clone(self);
                Arc::new(ClientEvent { policy, sent, type_id: event.type_id, bytes_max })
            });
            event.amended = Some(Box::new(Amended { amendments, again }));
        } else if sent.len() > bytes_max {
            return Err(event::Error::TooLarge { bytes: sent.len(), limit: bytes_max });
        }
        if let (Some(skew_max), Some(time)) = (self.skew_max, event.time) {
            let skew = time.0.saturating_sub(now.0);
            event.clock_skew = (skew.saturating_abs() > skew_max).then_some(skew);
        }
        Ok(event)
    }

    /// The stored form of a checked event, and its changes; `None` if nothing was changed. It may
    /// still be too large.
    fn amend(
        &self,
        sent: &[u8],
        type_id: TypeId,
        key: Option<&HmacKey>,
        bytes_max: usize,
        abandoned: Option<&Abandoned>,
    ) -> Result<Option<StoredEvent>, event::Error> {
        let tree = self.trees.get(usize::from(type_id.0)).and_then(Option::as_ref);
        let enabled = self.enabled(type_id, sent);
        let redacted = match tree {
            None => None,
            Some(tree) => {
                let root = RuleCursor::root(tree, enabled.as_deref());
                // Replacements may be longer than the originals; the bound keeps the work bounded.
                let limit = match self.oversize {
                    OversizeAction::Reject => bytes_max,
                    OversizeAction::Trim => sent.len().saturating_add(bytes_max),
                };
                let redacted = redact(sent, root, key, limit, abandoned);
                redacted.map_err(|_| event::Error::GrownTooLarge { limit })?
            }
        };
        let redacted = redacted.map(|(kept, changes)| (kept, amendments(&changes, key)));
        let size = redacted.as_ref().map_or(sent.len(), |(kept, _)| kept.len());
        if size <= bytes_max || self.oversize == OversizeAction::Reject {
            return Ok(redacted);
        }
        let (whole, mut amendments) = match &redacted {
            Some((kept, amendments)) => (kept.as_slice(), amendments.clone()),
            None => (sent, Vec::new()),
        };
        let Some((kept, cuts)) = trim::trim(whole, bytes_max) else {
            return Err(event::Error::TooLarge { bytes: sent.len(), limit: bytes_max });
        };
        amendments.extend(cuts);
        Ok(Some((kept, amendments)))
    }

    /// Which rules apply to the event; all if `None`.
    fn enabled(&self, type_id: TypeId, sent: &[u8]) -> Option<Vec<bool>> {
        if !self.by_name || !type_id.is_custom() {
            return None;
        }
        let payload = Envelope::read(sent).payload.map(|(_, payload)| payload);
        let name = payload.and_then(custom_name).unwrap_or_default();
        let name = format!("{}{name}", catalog::CUSTOM_PREFIX);
        let applies = |patterns: &Option<Vec<NamePattern>>| {
            let any =
                |patterns: &Vec<NamePattern>| patterns.iter().any(|known| known.matches(&name));
            patterns.as_ref().is_none_or(any)
        };
        Some(self.custom.iter().map(applies).collect())
    }
}

/// The bytes that the client sent, while its event is being accepted.
struct ClientEvent {
    policy: Arc<ContentPolicy>,
    sent: Bytes,
    type_id: TypeId,
    bytes_max: usize,
}

impl Reredact for ClientEvent {
    fn with_key(&self, key_id: &str) -> Option<Vec<u8>> {
        let key = self.policy.keys.as_ref()?.get(key_id)?;
        let amended = self.policy.amend(&self.sent, self.type_id, Some(key), self.bytes_max, None);
        amended.ok()?.map(|(kept, _)| kept)
    }
}

/// The changes as amendments of the record.
fn amendments(changes: &[FieldChange<'_>], key: Option<&HmacKey>) -> Vec<pb::Amendment> {
    let tell = |change: &FieldChange<'_>| pb::Amendment {
        path: text_of(&change.path),
        action: change.action.done().to_owned(),
        values: change.values,
        key_id: key
            .filter(|_| change.action == Action::Hmac)
            .map_or_else(String::new, |key| key.id().to_owned()),
        ..Default::default()
    };
    changes.iter().map(tell).collect()
}

fn text_of(path: &[PathName<'_>]) -> String {
    let is_word = |key: &str| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut text = String::from("event");
    for name in path {
        match name {
            PathName::Field(name) => text.extend([".", name]),
            PathName::Key(key) if is_word(key) => text.extend([".", key]),
            PathName::Key(key) => text.push_str(&format!("[{key:?}]")),
            PathName::AnyKey => text.push_str(".*"),
        }
    }
    text
}

fn preset(action: Action, fields: &[&str]) -> RedactionRule {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    RedactionRule { types: Vec::new(), fields, action }
}

fn finished(mut tree: RuleNode) -> Option<RuleNode> {
    tree.finish();
    (!tree.is_empty()).then_some(tree)
}

/// Compiles rules into a policy.
struct PolicyCompiler {
    trees: Vec<RuleNode>,
    custom: Vec<Option<Vec<NamePattern>>>,
    paths: usize,
    /// The first key that asks for HMACs.
    needs_keys: Option<String>,
}

impl Default for PolicyCompiler {
    fn default() -> Self {
        Self {
            trees: vec![RuleNode::default(); catalog::EVENT_TYPES.len()],
            custom: Vec::new(),
            paths: 0,
            needs_keys: None,
        }
    }
}

impl PolicyCompiler {
    fn rule(&mut self, key: &str, rule: &RedactionRule) -> Result<(), Error> {
        let error = |key: String, what: String| Error { key, what };
        if rule.types.len() > TYPES_MAX {
            let what = format!("has {} patterns, limit {TYPES_MAX}", rule.types.len());
            return Err(error(format!("{key}.types"), what));
        }
        if rule.fields.is_empty() {
            return Err(error(format!("{key}.fields"), "is empty: name what is redacted".into()));
        }
        self.paths += rule.fields.len();
        if self.paths > PATHS_MAX {
            let what = format!("comes to {} paths, limit {PATHS_MAX}", self.paths);
            return Err(error(format!("{key}.fields"), what));
        }
        let patterns: Vec<NamePattern> =
            rule.types.iter().map(|text| NamePattern::new(text)).collect();
        for (position, (pattern, text)) in patterns.iter().zip(&rule.types).enumerate() {
            let known = catalog::all().any(|(_, known)| pattern.matches(known.name))
                || pattern.may_match_after(catalog::CUSTOM_PREFIX);
            if !known {
                let what = format!("is {text:?}, which is not an event type{}", nearest(text));
                return Err(error(format!("{key}.types[{position}]"), what));
            }
        }
        if rule.action == Action::Hmac && self.needs_keys.is_none() {
            self.needs_keys = Some(key.to_owned());
        }
        for (position, text) in rule.fields.iter().enumerate() {
            let steps = field_path::resolve(text, rule.action)
                .map_err(|what| error(format!("{key}.fields[{position}]"), what))?;
            self.add(&steps, rule.action, &patterns);
        }
        self.custom.push(custom_patterns(patterns));
        Ok(())
    }

    /// Adds a path to the trees of the types to which its rule applies and that have the field.
    fn add(&mut self, steps: &[field_path::PathSegment], action: Action, patterns: &[NamePattern]) {
        let rule = self.custom.len();
        let variant = match steps.first() {
            Some(field_path::PathSegment::Field(number)) if *number >= VARIANT_NUMBER_MIN => {
                Some(*number)
            }
            _ => None,
        };
        for ((id, known), tree) in catalog::all().zip(&mut self.trees) {
            let is_for = |pattern: &NamePattern| {
                pattern.matches(known.name)
                    || id.is_custom() && pattern.may_match_after(catalog::CUSTOM_PREFIX)
            };
            let can_have = variant.is_none_or(|variant| variant == known.number);
            if can_have && (patterns.is_empty() || patterns.iter().any(is_for)) {
                tree.add(steps, action, rule);
            }
        }
    }

    /// Adds a rule that masks secrets in every text.
    fn secrets(&mut self) {
        let rule = self.custom.len();
        for tree in &mut self.trees {
            tree.add(&[], Action::Secrets, rule);
            for numbers in NOT_SECRET {
                let steps: Vec<_> =
                    numbers.iter().copied().map(field_path::PathSegment::Field).collect();
                tree.exempt(&steps);
            }
        }
        self.custom.push(None);
    }
}

/// The patterns of custom types; all types if `None`.
fn custom_patterns(patterns: Vec<NamePattern>) -> Option<Vec<NamePattern>> {
    let all = |pattern: &NamePattern| {
        pattern.matches(catalog::CUSTOM) || pattern.matches_all_after(catalog::CUSTOM_PREFIX)
    };
    (!patterns.is_empty() && !patterns.iter().any(all)).then_some(patterns)
}

fn nearest(text: &str) -> String {
    let names = catalog::all().map(|(_, known)| known.name);
    let found = text::nearest_one(&text.replace('*', ""), names);
    found.map_or_else(String::new, |name| format!("; nearest: {name}"))
}
