//! Types of expressions, as far as they are known before a record is.

use std::fmt;

use crate::wire::{DURATION, Field, Kind, LIST_VALUE, MessageId, STRUCT, TIMESTAMP, VALUE};

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only when it is evaluated.
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
    List(Box<Type>),
    /// From strings, as all maps of the schema.
    Map(Box<Type>),
}

impl Type {
    /// The type of a field.
    pub(super) fn of(field: &Field) -> Self {
        match field.kind {
            Kind::Message(entry) if field.repeated && entry.get().map_entry => {
                /// Field number of the value in a map entry.
                const VALUE_NUMBER: u32 = 2;
                let value = entry.get().field(VALUE_NUMBER).map_or(Type::Dyn, Type::of);
                Type::Map(Box::new(value))
            }
            kind if field.repeated => Type::List(Box::new(Type::of_kind(kind))),
            kind => Type::of_kind(kind),
        }
    }

    fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Double | Kind::Float => Type::Double,
            Kind::Int32
            | Kind::Int64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Enum(_) => Type::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Type::Uint,
            Kind::Bool => Type::Bool,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Message(TIMESTAMP) => Type::Timestamp,
            Kind::Message(DURATION) => Type::Duration,
            Kind::Message(VALUE) => Type::Dyn,
            Kind::Message(STRUCT) => Type::Map(Box::new(Type::Dyn)),
            Kind::Message(LIST_VALUE) => Type::List(Box::new(Type::Dyn)),
            Kind::Message(message) => Type::Message(message),
        }
    }

    /// Whether a value of this type may be a value of `other`.
    pub(super) fn may_be(&self, other: &Type) -> bool {
        *self == Type::Dyn || self == other
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// The type that covers both; `None` where there is none.
    pub(super) fn join(self, other: Type) -> Option<Type> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
            (Type::List(a), Type::List(b)) => Some(Type::List(Box::new(a.join(*b)?))),
            _ => None,
        }
    }

    /// Whether `==` is defined between them.
    pub(super) fn equals(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Message(_) | Type::Map(_), _) | (_, Type::Message(_) | Type::Map(_)) => false,
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(a), Type::List(b)) => a.equals(b),
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Whether `<` is defined between them.
    pub(super) fn is_ordered_with(&self, other: &Type) -> bool {
        let ordered = |kind: &Type| !matches!(kind, Type::Null | Type::List(_));
        ordered(self) && ordered(other) && self.equals(other)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::Message(message) => f.write_str(message.get().full_name),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(value) => write!(f, "map(string, {value})"),
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
            assert_eq!(Type::of(field).to_string(), expected, "{name}");
        }
    }

    /// [`Type::Map`] rests on it.
    #[test]
    fn maps_of_the_schema_have_string_keys() {
        for entry in MESSAGES.iter().filter(|message| message.map_entry) {
            let key = entry.field(1).map(|key| key.kind);
            assert_eq!(key, Some(Kind::String), "{}", entry.full_name);
        }
    }
}
