//! Redaction: rewrites an encoded event by a tree of rules.
//!
//! The walk follows the wire format. It rewrites each occurrence of a field, also if only the last
//! one counts or if parts of a message are merged. Fields without a rule are copied byte for byte,
//! unknown fields included.

mod lists;

use super::hmac_keys::HmacKey;
use super::rule_tree::{PathName, RuleCursor};
use super::secrets::{self, Arguments, MARKER, MaskBudget};
use super::{Abandoned, Action};
use lists::Around;

use crate::event::field;
use crate::wire::{self, EVENT, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, VALUE, WireValue};

/// `number_value` and `string_value` of `google.protobuf.Value`.
const NUMBER_VALUE: u32 = 2;
const STRING_VALUE: u32 = 3;

/// The event would exceed the size limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldChange<'p> {
    /// Names from the event down.
    pub(super) path: Vec<PathName<'p>>,
    pub(super) action: Action,
    /// The number of changed values.
    pub(super) values: u32,
}

/// The redacted event, and its changes.
pub(super) type Redacted<'p> = (Vec<u8>, Vec<FieldChange<'p>>);

/// What to do with one occurrence of a field.
enum FieldAction<'p> {
    /// Keep it.
    Keep,
    /// Remove it.
    Drop,
    /// Replace it by this text, in the field with this number.
    Replace(u32, String),
    /// Write this value into a map entry that omits its value, an empty text.
    Complete(String),
    /// Rewrite the message in it.
    Enter(MessageId, RuleCursor<'p>),
    /// Rewrite the message in it, below a key that names a secret.
    EnterSecret(MessageId, RuleCursor<'p>),
}

/// Rewrites one event.
struct Redactor<'p, 'b> {
    key: Option<&'p HmacKey>,
    bytes_max: usize,
    out: Vec<u8>,
    path: Vec<PathName<'p>>,
    /// The lists of texts by position; the elements of one list may be apart.
    lists: Vec<(Vec<PathName<'p>>, Arguments)>,
    /// The enclosing messages, the innermost last.
    around: Vec<Around<'b>>,
    /// Whether the walk is within a value whose key names a secret.
    within_secret: bool,
    /// Whether the text is an element of a list.
    listed: bool,
    /// For the secrets of all texts.
    budget: MaskBudget,
    changes: Vec<FieldChange<'p>>,
}

/// Redacts a checked event; `None` if nothing changes. `key` is for rules with an HMAC.
/// What it returns is of no use once the work is abandoned.
pub(super) fn redact<'p>(
    event: &[u8],
    root: RuleCursor<'p>,
    key: Option<&'p HmacKey>,
    bytes_max: usize,
    abandoned: Option<&Abandoned>,
) -> Result<Option<Redacted<'p>>, TooLarge> {
    let mut redactor = Redactor {
        key,
        bytes_max,
        out: Vec::new(),
        path: Vec::new(),
        lists: Vec::new(),
        around: Vec::new(),
        within_secret: false,
        listed: false,
        budget: MaskBudget::new(event.len(), abandoned.cloned()),
        changes: Vec::new(),
    };
    let changed = redactor.message(EVENT, event, root)?;
    Ok(changed.then_some((redactor.out, redactor.changes)))
}

impl<'p, 'b> Redactor<'p, 'b> {
    /// Appends the redacted message. Returns whether it differs from the original; if not, nothing
    /// is appended.
    fn message(
        &mut self,
        id: MessageId,
        bytes: &'b [u8],
        place: RuleCursor<'p>,
    ) -> Result<bool, TooLarge> {
        self.around.push(Around { id, bytes, arguments: None });
        let lists = self.lists.len();
        let changed = self.fields(id, bytes, place);
        if id == LIST_VALUE {
            // Lists of JSON are distinguished only by the position of their end.
            self.lists.truncate(lists);
        }
        self.around.pop();
        changed
    }

    fn fields(
        &mut self,
        id: MessageId,
        bytes: &'b [u8],
        place: RuleCursor<'p>,
    ) -> Result<bool, TooLarge> {
        let start = self.out.len();
        // The number of bytes that are written, or removed.
        let mut done = 0;
        let mut from = 0;
        let mut changed = false;
        let mut fields = wire::fields(bytes);
        while let Some(Ok((number, value))) = fields.next() {
            let to = bytes.len() - fields.rest().len();
            let depth = self.path.len();
            let step = self.step(id, number, value, place);
            if !matches!(step, FieldAction::Keep) {
                self.out.extend_from_slice(bytes.get(done..from).unwrap_or_default());
                done = from;
                if self.take(step, number, value)? {
                    changed = true;
                    done = to;
                }
            }
            self.path.truncate(depth);
            from = to;
        }
        if changed {
            self.out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        } else {
            self.out.truncate(start);
        }
        Ok(changed)
    }

    /// Decides on a field, and adds its names to the path.
    fn step(
        &mut self,
        id: MessageId,
        number: u32,
        value: WireValue<'b>,
        place: RuleCursor<'p>,
    ) -> FieldAction<'p> {
        if place.is_free() {
            return FieldAction::Keep;
        }
        let shape = id.get();
        let Some(found) = shape.field(number) else {
            // A message that a rule names as a whole may have anything in such a field.
            return self.unknown(place, value);
        };
        // JSON is nested messages, which do not appear in paths.
        let is_json = matches!(id, STRUCT | VALUE | LIST_VALUE);
        let mut here = match number {
            _ if is_json => place,
            field::MAP_VALUE if shape.map_entry => place,
            _ if shape.map_entry => place.nothing(),
            number => place.field(number),
        };
        if here.is_free() {
            return FieldAction::Keep;
        }
        if !is_json && !shape.map_entry {
            self.path.push(PathName::Field(found.name));
        }
        if let (Some(entry), WireValue::Bytes(bytes)) = (entry(found), value) {
            let name;
            (here, name) = here.key(key_of(bytes));
            // JSON below a field with a rule is reported as one field.
            self.path.extend(name.or((!is_json).then_some(PathName::AnyKey)));
            if here.is_free() {
                return FieldAction::Keep;
            }
            if here.action == Some(Action::Drop) {
                return self.drop();
            }
            if lacks_text(entry, bytes) {
                return match self.replace(field::MAP_VALUE, "", here) {
                    FieldAction::Replace(_, value) => FieldAction::Complete(value),
                    other => other,
                };
            }
            let names_secret =
                here.action == Some(Action::Secrets) && secrets::is_secret_name(key_of(bytes));
            return if names_secret {
                FieldAction::EnterSecret(entry, here)
            } else {
                FieldAction::Enter(entry, here)
            };
        }
        if here.action == Some(Action::Drop) {
            return self.drop();
        }
        match (found.kind, value) {
            (FieldKind::String, _) => {
                let text = value.text().unwrap_or_default();
                self.listed = found.repeated || self.is_in_json_list(id);
                self.replace(number, text, here)
            }
            (FieldKind::Message(inner), _) => FieldAction::Enter(inner, here),
            (FieldKind::Double, WireValue::Fixed64(bits))
                if id == VALUE && number == NUMBER_VALUE =>
            {
                if here.action >= Some(Action::Hmac) || self.within_secret {
                    self.replace(STRING_VALUE, &f64::from_bits(bits).to_string(), here)
                } else {
                    FieldAction::Keep
                }
            }
            _ => FieldAction::Keep,
        }
    }

    /// An unknown field is removed with a message that is redacted. If secrets are masked, it is
    /// removed if it may hold one.
    fn unknown(&mut self, place: RuleCursor<'p>, value: WireValue<'_>) -> FieldAction<'p> {
        let has_secret = || {
            let text = value.bytes().map(String::from_utf8_lossy);
            let budget = &self.budget;
            self.within_secret || text.is_some_and(|text| secrets::mask(&text, budget).is_some())
        };
        match place.action {
            Some(Action::Hmac | Action::Mask | Action::Drop) => self.drop(),
            Some(Action::Secrets) if has_secret() => self.drop(),
            Some(Action::Secrets | Action::Query) | None => FieldAction::Keep,
        }
    }

    fn drop(&mut self) -> FieldAction<'p> {
        self.note(Action::Drop);
        FieldAction::Drop
    }

    fn replace(&mut self, number: u32, text: &str, place: RuleCursor<'p>) -> FieldAction<'p> {
        let replaced = place.action.and_then(|action| self.replacement(text, action));
        match (replaced, place.action) {
            (Some(replaced), Some(action)) if replaced != text => {
                self.note(action);
                FieldAction::Replace(number, replaced)
            }
            _ => FieldAction::Keep,
        }
    }

    /// The replacement of a text; `None` if it is kept.
    fn replacement(&mut self, text: &str, action: Action) -> Option<String> {
        match action {
            Action::Drop => None,
            Action::Mask => Some(self.quoted(MARKER.to_owned())),
            Action::Hmac => {
                let key = self.key.expect("a policy with such a rule has keys");
                let is_abandoned = || self.budget.is_abandoned();
                Some(self.quoted(key.stand_in(text, is_abandoned)))
            }
            Action::Query => secrets::mask_query(text),
            Action::Secrets if self.within_secret => {
                (!text.is_empty() && text != MARKER).then(|| self.quoted(MARKER.to_owned()))
            }
            Action::Secrets if self.listed => {
                let (list, budget) = self.list();
                list.mask(text, budget)
            }
            Action::Secrets => {
                let masked = secrets::mask(text, &self.budget)?;
                let is_json =
                    |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                if self.is_unmapped() && !is_json(&masked) {
                    return Some(self.quoted(MARKER.to_owned()));
                }
                Some(masked)
            }
        }
    }

    fn is_unmapped(&self) -> bool {
        let unmapped = EVENT.get().field(field::UNMAPPED).map(|found| PathName::Field(found.name));
        self.path.first().copied() == unmapped
    }

    /// The values of `unmapped` are JSON, and remain JSON.
    fn quoted(&self, text: String) -> String {
        if self.is_unmapped() { format!("\"{text}\"") } else { text }
    }

    fn note(&mut self, action: Action) {
        let same =
            |change: &&mut FieldChange<'_>| change.action == action && change.path == self.path;
        match self.changes.iter_mut().rev().find(same) {
            Some(change) => change.values += 1,
            None => self.changes.push(FieldChange { path: self.path.clone(), action, values: 1 }),
        }
    }

    /// Applies an action. Returns whether the field has changed; if not, nothing was written.
    fn take(
        &mut self,
        step: FieldAction<'p>,
        number: u32,
        value: WireValue<'b>,
    ) -> Result<bool, TooLarge> {
        let mark = self.out.len();
        let changed = match (step, value) {
            (FieldAction::Drop, _) => true,
            (FieldAction::Replace(number, text), _) => {
                wire::put_bytes_field(&mut self.out, number, text.as_bytes());
                true
            }
            (FieldAction::Complete(text), WireValue::Bytes(bytes)) => {
                let mut entry = bytes.to_vec();
                wire::put_bytes_field(&mut entry, field::MAP_VALUE, text.as_bytes());
                wire::put_bytes_field(&mut self.out, number, &entry);
                true
            }
            (FieldAction::Enter(inner, place), WireValue::Bytes(bytes)) => {
                self.enter(number, inner, bytes, place)?
            }
            (FieldAction::EnterSecret(inner, place), WireValue::Bytes(bytes)) => {
                let outer = std::mem::replace(&mut self.within_secret, true);
                let entered = self.enter(number, inner, bytes, place);
                self.within_secret = outer;
                entered?
            }
            (
                FieldAction::Keep
                | FieldAction::Complete(_)
                | FieldAction::Enter(..)
                | FieldAction::EnterSecret(..),
                _,
            ) => false,
        };
        if !changed {
            self.out.truncate(mark);
        }
        if self.out.len() > self.bytes_max { Err(TooLarge) } else { Ok(changed) }
    }

    fn enter(
        &mut self,
        number: u32,
        inner: MessageId,
        bytes: &'b [u8],
        place: RuleCursor<'p>,
    ) -> Result<bool, TooLarge> {
        wire::put_bytes_header(&mut self.out, number, bytes.len());
        let body = self.out.len();
        if !self.message(inner, bytes, place)? {
            return Ok(false);
        }
        let length = self.out.len() - body;
        let mut header = Vec::with_capacity(wire::VARINT_BYTES_MAX);
        wire::put_varint(&mut header, length as u64);
        let before = body - wire::varint_len(bytes.len() as u64);
        self.out.splice(before..body, header);
        Ok(true)
    }
}

/// The entries of a map.
fn entry(field: &Field) -> Option<MessageId> {
    match field.kind {
        FieldKind::Message(inner) if inner.get().map_entry => Some(inner),
        _ => None,
    }
}

/// Whether an entry omits its value, a text, because it is empty.
fn lacks_text(entry: MessageId, bytes: &[u8]) -> bool {
    let is_text =
        entry.get().field(field::MAP_VALUE).is_some_and(|it| it.kind == FieldKind::String);
    is_text && !wire::trusted(bytes).any(|(number, _)| number == field::MAP_VALUE)
}

/// The key of an entry; empty if it is absent.
fn key_of(entry: &[u8]) -> &str {
    let keys = wire::trusted(entry).filter(|(number, _)| *number == field::MAP_KEY);
    keys.last().and_then(|(_, value)| value.text()).unwrap_or_default()
}
