//! The peer of searches by expression: each record decoded to maps, and handed
//! to the cel crate.

use std::collections::HashMap;
use std::sync::Arc;

use auditgate::log::Segment;
use auditgate::proto::{self, pb};
use auditgate::record::{Record, Sequence};
use cel::objects::Key;
use cel::{Context, Program, Value};
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor};

use crate::Result;
use crate::history::PAGE;

/// Evaluates one expression.
pub struct Evaluator {
    program: Program,
    /// Made once: it holds the functions.
    root: Context<'static, 'static>,
    event: MessageDescriptor,
}

impl Evaluator {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(expression: &str) -> Result<Self> {
        let event = proto::descriptor_pool()
            .get_message_by_name("auditgate.v1.Event")
            .ok_or("the protocol has events")?;
        let program = Program::compile(expression).map_err(|error| error.to_string())?;
        Ok(Self { program, root: Context::default(), event })
    }

    /// The frames of the newest records that match: a page of them.
    ///
    /// # Errors
    /// If a record does not decode.
    pub fn page(&self, segments: &[Arc<Segment>]) -> Result<Vec<u8>> {
        let mut frames = Vec::new();
        let mut found = 0;
        for segment in segments.iter().rev() {
            let view = segment.view(Sequence(u64::MAX - 1));
            for position in (0..view.len()).rev() {
                if self.matches(&view.record(position))? {
                    frames.extend_from_slice(view.frame(position));
                    found += 1;
                }
                if found == PAGE {
                    return Ok(frames);
                }
            }
        }
        Ok(frames)
    }

    fn matches(&self, record: &Record<'_>) -> Result<bool> {
        let event = DynamicMessage::decode(self.event.clone(), record.event)?;
        let mut scope = self.root.new_inner_scope();
        scope.add_variable_from_value("event", map(&event));
        scope.add_variable_from_value("type", record.type_name.to_owned());
        scope.add_variable_from_value("sequence", record.sequence.0);
        let result = pb::Result::try_from(i32::from(record.result)).unwrap_or_default();
        scope.add_variable_from_value("result", result.as_str_name().to_owned());
        // A key that an event lacks is an error, and no match.
        Ok(matches!(self.program.execute(&scope), Ok(Value::Bool(true))))
    }
}

fn map(message: &DynamicMessage) -> Value {
    let entries: HashMap<Key, Value> =
        message.fields().map(|(field, value)| (Key::from(field.name()), convert(value))).collect();
    Value::Map(entries.into())
}

fn convert(value: &prost_reflect::Value) -> Value {
    use prost_reflect::Value as Field;
    match value {
        Field::Bool(value) => Value::Bool(*value),
        Field::I32(value) | Field::EnumNumber(value) => Value::Int(i64::from(*value)),
        Field::I64(value) => Value::Int(*value),
        Field::U32(value) => Value::UInt(u64::from(*value)),
        Field::U64(value) => Value::UInt(*value),
        Field::F32(value) => Value::Float(f64::from(*value)),
        Field::F64(value) => Value::Float(*value),
        Field::String(value) => Value::String(Arc::new(value.clone())),
        Field::Bytes(value) => Value::Bytes(Arc::new(value.to_vec())),
        Field::Message(value) => map(value),
        Field::List(values) => Value::List(Arc::new(values.iter().map(convert).collect())),
        Field::Map(entries) => {
            let entries: HashMap<Key, Value> =
                entries.iter().map(|(name, value)| (key(name), convert(value))).collect();
            Value::Map(entries.into())
        }
    }
}

fn key(key: &MapKey) -> Key {
    match key {
        MapKey::Bool(key) => Key::Bool(*key),
        MapKey::I32(key) => Key::Int(i64::from(*key)),
        MapKey::I64(key) => Key::Int(*key),
        MapKey::U32(key) => Key::Uint(u64::from(*key)),
        MapKey::U64(key) => Key::Uint(*key),
        MapKey::String(key) => Key::from(key.as_str()),
    }
}
