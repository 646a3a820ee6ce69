//! The static types of expressions.

use std::fmt;

use crate::wire::{DURATION, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE};

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExprType {
    /// Known only at evaluation.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Message(MessageId),
    List(Box<ExprType>),
    /// A map with string keys, as all maps of the schema.
    Map(Box<ExprType>),
}

impl ExprType {
    /// The type of a field.
    pub(super) fn of(field: &Field) -> Self {
        match field.kind {
            FieldKind::Message(entry) if field.repeated && entry.get().map_entry => {
                /// Field number of the value in a map entry.
                const VALUE_NUMBER: u32 = 2;
                let value = entry.get().field(VALUE_NUMBER).map_or(ExprType::Dyn, ExprType::of);
                ExprType::Map(Box::new(value))
            }
            kind if field.repeated => ExprType::List(Box::new(ExprType::of_kind(kind))),
            kind => ExprType::of_kind(kind),
        }
    }

    fn of_kind(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Double | FieldKind::Float => ExprType::Double,
            FieldKind::Int32
            | FieldKind::Int64
            | FieldKind::Sint32
            | FieldKind::Sint64
            | FieldKind::Sfixed32
            | FieldKind::Sfixed64
            | FieldKind::Enum(_) => ExprType::Int,
            FieldKind::Uint32 | FieldKind::Uint64 | FieldKind::Fixed32 | FieldKind::Fixed64 => {
                ExprType::Uint
            }
            FieldKind::Bool => ExprType::Bool,
            FieldKind::String => ExprType::String,
            FieldKind::Bytes => ExprType::Bytes,
            FieldKind::Message(TIMESTAMP) => ExprType::Timestamp,
            FieldKind::Message(DURATION) => ExprType::Duration,
            FieldKind::Message(VALUE) => ExprType::Dyn,
            FieldKind::Message(STRUCT) => ExprType::Map(Box::new(ExprType::Dyn)),
            FieldKind::Message(LIST_VALUE) => ExprType::List(Box::new(ExprType::Dyn)),
            FieldKind::Message(message) => ExprType::Message(message),
        }
    }

    /// Whether a value of this type may be a value of `other`.
    pub(super) fn may_be(&self, other: &ExprType) -> bool {
        *self == ExprType::Dyn || self == other
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, ExprType::Int | ExprType::Uint | ExprType::Double)
    }

    /// The common type of both; `None` if there is none.
    pub(super) fn join(self, other: ExprType) -> Option<ExprType> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (ExprType::Dyn, _) | (_, ExprType::Dyn) => Some(ExprType::Dyn),
            (ExprType::List(a), ExprType::List(b)) => Some(ExprType::List(Box::new(a.join(*b)?))),
            _ => None,
        }
    }

    /// Whether `==` is defined between them.
    pub(super) fn equals(&self, other: &ExprType) -> bool {
        match (self, other) {
            (ExprType::Message(_) | ExprType::Map(_), _)
            | (_, ExprType::Message(_) | ExprType::Map(_)) => false,
            (ExprType::Dyn, _) | (_, ExprType::Dyn) => true,
            (ExprType::List(a), ExprType::List(b)) => a.equals(b),
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Whether `<` is defined between them.
    pub(super) fn is_ordered_with(&self, other: &ExprType) -> bool {
        let ordered = |kind: &ExprType| !matches!(kind, ExprType::Null | ExprType::List(_));
        ordered(self) && ordered(other) && self.equals(other)
    }
}

impl fmt::Display for ExprType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExprType::Dyn => f.write_str("dyn"),
            ExprType::Null => f.write_str("null"),
            ExprType::Bool => f.write_str("bool"),
            ExprType::Int => f.write_str("int"),
            ExprType::Uint => f.write_str("uint"),
            ExprType::Double => f.write_str("double"),
            ExprType::String => f.write_str("string"),
            ExprType::Bytes => f.write_str("bytes"),
            ExprType::Timestamp => f.write_str("timestamp"),
            ExprType::Duration => f.write_str("duration"),
            ExprType::Message(message) => f.write_str(message.get().full_name),
            ExprType::List(element) => write!(f, "list({element})"),
            ExprType::Map(value) => write!(f, "map(string, {value})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EVENT, MESSAGES};

    #[test]
    fn fields_have_the_types_of_cel() {
        for (name, expected) in [
            ("id", "string"),
            ("time", "timestamp"),
            ("index", "int"),
            ("user", "auditgate.v1.User"),
            ("labels", "map(string, string)"),
        ] {
            let field = EVENT.get().field_by_name(name).expect(name);
            assert_eq!(ExprType::of(field).to_string(), expected, "{name}");
        }
    }

    /// [`ExprType::Map`] rests on it.
    #[test]
    fn maps_of_the_schema_have_string_keys() {
        for entry in MESSAGES.iter().filter(|message| message.map_entry) {
            let key = entry.field(1).map(|key| key.kind);
            assert_eq!(key, Some(FieldKind::String), "{}", entry.full_name);
        }
    }
}
