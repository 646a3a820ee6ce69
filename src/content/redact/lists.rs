//! Lists of texts in an event, and hints about them from the fields around them.

use super::super::secrets::{Arguments, MaskBudget};
use super::{Redactor, STRING_VALUE};
use crate::wire::{self, FieldKind, LIST_VALUE, MessageId, STRUCT, VALUE};

/// A message that encloses a field.
pub(super) struct Around<'b> {
    pub(super) id: MessageId,
    pub(super) bytes: &'b [u8],
    /// Hints of its other fields about a list in it, once they were read.
    pub(super) arguments: Option<Arguments>,
}

impl Redactor<'_, '_> {
    /// Whether a text of a message like this is in a JSON list.
    pub(super) fn is_in_json_list(&self, id: MessageId) -> bool {
        let list = self.around.len().checked_sub(2).and_then(|at| self.around.get(at));
        id == VALUE && list.is_some_and(|around| around.id == LIST_VALUE)
    }

    /// The list with the text, and the budget that is left.
    pub(super) fn list(&mut self) -> (&mut Arguments, &MaskBudget) {
        let position = match self.lists.iter().rposition(|(path, _)| *path == self.path) {
            Some(position) => position,
            None => {
                let told = self.told_around();
                self.lists.push((self.path.clone(), told));
                self.lists.len() - 1
            }
        };
        let (_, list) = self.lists.get_mut(position).expect("it was found or added");
        (list, &self.budget)
    }

    /// The hints of the fields around a list: which program has these arguments, or that a query
    /// has them as secrets.
    pub(super) fn told_around(&mut self) -> Arguments {
        let around = self.around.iter_mut().rev();
        let mut around = around.filter(|around| !matches!(around.id, VALUE | LIST_VALUE));
        let Some(around) = around.next() else { return Arguments::default() };
        let told = || told_by(around.id, around.bytes, &self.budget);
        around.arguments.get_or_insert_with(told).clone()
    }
}

/// The hints of the texts of a message about a list in it. Nested messages are read, too, because
/// they may describe the process.
fn told_by(id: MessageId, bytes: &[u8], budget: &MaskBudget) -> Arguments {
    let mut told = Arguments::default();
    for (number, value) in wire::trusted(bytes) {
        let Some(found) = id.get().field(number) else { continue };
        match found.kind {
            FieldKind::String if !found.repeated => {
                told.tell(value.text().unwrap_or_default(), budget);
            }
            FieldKind::Message(inner) if !found.repeated || id == STRUCT => {
                // An entry of a JSON object has a value, which has a text.
                let inner_bytes = value.bytes().unwrap_or_default();
                for (number, value) in wire::trusted(inner_bytes) {
                    let Some(found) = inner.get().field(number) else { continue };
                    let text = match found.kind {
                        FieldKind::String if id != STRUCT && !found.repeated => value.text(),
                        FieldKind::Message(VALUE) => json_text(value.bytes().unwrap_or_default()),
                        _ => None,
                    };
                    told.tell(text.unwrap_or_default(), budget);
                }
            }
            _ => {}
        }
    }
    told
}

/// The text of a JSON value, if it is a string.
fn json_text(value: &[u8]) -> Option<&str> {
    let texts = wire::trusted(value).filter(|(number, _)| *number == STRING_VALUE);
    texts.last().and_then(|(_, value)| value.text())
}
