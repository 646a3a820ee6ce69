//! Redaction of encoded events against a model that redacts decoded ones: for any
//! valid event and any rules, decoding what is kept gives what the model makes of
//! the decoded event.

use auditgate::content::{
    Action, Config, ContentPolicy, EventIntake, HmacKeys, MARKER, RedactionRule,
};
use auditgate::proto::descriptor_pool;
use auditgate::time::Time;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

const NOW: Time = Time(1_700_000_000_000_000_000);
const KEYS: &str = "k AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const UNKNOWN_FIELD: u32 = 50;

/// Paths, each with the type for whose payload it is.
const PATHS: [&str; 22] = [
    "user",
    "user.name",
    "user.roles",
    "user.traits",
    "user.traits.a",
    "user.traits.*.values",
    "user.scope_pin.assignments",
    "user.scope_pin.assignments.a.b",
    "labels",
    "labels.a",
    "labels.*",
    "server.labels.b",
    "resource",
    "resource.name",
    "outcome.error",
    "db_session_query",
    "db_session_query.db_query",
    "db_session_query.db_query_parameters",
    "db_session_query.database.labels.a",
    "custom.data",
    "custom.data.a",
    "custom.data.*.b",
];

/// A source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn text(&mut self) -> String {
        ["", "x", "secret", "€uro"][self.roll(4) as usize].to_owned()
    }

    fn key(&mut self) -> String {
        ["a", "b", "", "c"][self.roll(4) as usize].to_owned()
    }
}

/// A message with some of its fields set.
fn message(shape: &MessageDescriptor, dice: &mut Dice, depth: usize) -> DynamicMessage {
    match shape.full_name() {
        "google.protobuf.Struct" => return json_object(shape, dice, depth),
        "google.protobuf.Value" => return json(shape, dice, depth),
        _ => {}
    }
    let mut made = DynamicMessage::new(shape.clone());
    for field in shape.fields().filter(|field| field.number() < 100) {
        if dice.roll(2) == 0 {
            made.set_field(&field, value(&field, dice, depth));
        }
    }
    made
}

fn value(field: &FieldDescriptor, dice: &mut Dice, depth: usize) -> Value {
    if field.is_map() {
        let kind = field.kind();
        let entry = kind.as_message().unwrap();
        let of = entry.map_entry_value_field();
        let entries =
            (0..dice.roll(3)).map(|_| (MapKey::String(dice.key()), single(&of, dice, depth)));
        return Value::Map(entries.collect());
    }
    if field.is_list() {
        return Value::List((0..dice.roll(3)).map(|_| single(field, dice, depth)).collect());
    }
    single(field, dice, depth)
}

fn single(field: &FieldDescriptor, dice: &mut Dice, depth: usize) -> Value {
    match field.kind() {
        Kind::String => Value::String(dice.text()),
        Kind::Bytes => Value::Bytes(dice.text().into_bytes().into()),
        Kind::Message(shape) => Value::Message(message(&shape, dice, depth + 1)),
        Kind::Bool => Value::Bool(dice.roll(2) == 0),
        Kind::Enum(_) => Value::EnumNumber(dice.roll(2) as i32),
        Kind::Int64 => Value::I64(dice.roll(100) as i64),
        Kind::Uint64 => Value::U64(dice.roll(100)),
        Kind::Int32 => Value::I32(dice.roll(100) as i32),
        other => panic!("the schema has no {other:?}"),
    }
}

fn json_object(shape: &MessageDescriptor, dice: &mut Dice, depth: usize) -> DynamicMessage {
    let mut made = DynamicMessage::new(shape.clone());
    let fields = shape.get_field_by_name("fields").unwrap();
    made.set_field(&fields, value(&fields, dice, depth));
    made
}

fn json(shape: &MessageDescriptor, dice: &mut Dice, depth: usize) -> DynamicMessage {
    let mut made = DynamicMessage::new(shape.clone());
    let kinds =
        ["null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value"];
    let sides = if depth > 6 { 4 } else { 6 };
    let field = shape.get_field_by_name(kinds[dice.roll(sides) as usize]).unwrap();
    let value = match field.kind() {
        Kind::Double => Value::F64(dice.roll(1_000) as f64 / 4.0),
        Kind::Enum(_) => Value::EnumNumber(0),
        _ => single(&field, dice, depth),
    };
    made.set_field(&field, value);
    made
}

/// An event of the type whose payload has this name.
fn event(payload: &str, dice: &mut Dice) -> DynamicMessage {
    let shape = descriptor_pool().get_message_by_name("auditgate.v1.Event").unwrap();
    let mut made = message(&shape, dice, 0);
    made.set_field_by_name("id", Value::String("e-1".into()));
    made.clear_field_by_name("time");
    let field = shape.get_field_by_name(payload).unwrap();
    let mut of_type = message(field.kind().as_message().unwrap(), dice, 1);
    if payload == "custom" {
        of_type.set_field_by_name("name", Value::String("probe".into()));
    }
    made.set_field(&field, Value::Message(of_type));
    made
}

/// The same event in another encoding: fields in another order, with unknown ones
/// between, and a value that does not count before each text.
fn encoded(event: &DynamicMessage, dice: &mut Dice) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (field, value) in event.fields() {
        let mut single = DynamicMessage::new(event.descriptor());
        match value {
            // A message in as many parts as it has fields.
            // (the gateway wants the name of a custom event in the last part).
            Value::Message(message) if is_ours(message) && field.name() != "custom" => {
                for (inner, value) in message.fields() {
                    let mut part = DynamicMessage::new(message.descriptor());
                    part.set_field(&inner, value.clone());
                    single.set_field(&field, Value::Message(part));
                    parts.push(single.encode_to_vec());
                }
                single.set_field(&field, Value::Message(DynamicMessage::new(message.descriptor())));
                parts.push(single.encode_to_vec());
            }
            Value::String(_) if !field.is_list() => {
                let mut twice = single.clone();
                twice.set_field(&field, Value::String("does not count".into()));
                single.set_field(&field, value.clone());
                parts.push([twice.encode_to_vec(), single.encode_to_vec()].concat());
            }
            value => {
                single.set_field(&field, value.clone());
                parts.push(single.encode_to_vec());
            }
        }
    }
    for position in (1..parts.len()).rev() {
        let other = dice.roll(position as u64 + 1) as usize;
        // The parts of a list stay in one, and the last of several texts counts.
        parts.swap(position, other);
    }
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part);
        if dice.roll(3) == 0 {
            auditgate::wire::put_bytes_field(&mut bytes, UNKNOWN_FIELD, b"unknown");
        }
    }
    bytes
}

fn is_ours(message: &DynamicMessage) -> bool {
    message.descriptor().full_name().starts_with("auditgate.v1.")
}

/// What rules ask of one place: the rest of each path that leads here, and its action.
type Asked<'r> = Vec<(&'r [&'r str], Action)>;

fn here(asked: &Asked<'_>) -> Option<Action> {
    asked.iter().filter(|(rest, _)| rest.is_empty()).map(|(_, action)| *action).max()
}

/// What is asked of what lies below, by this name.
fn below<'r>(asked: &Asked<'r>, name: &str, is_key: bool) -> Asked<'r> {
    let step = |(rest, action): &(&'r [&'r str], Action)| match rest.split_first() {
        None => Some((*rest, *action)),
        Some((first, rest)) => {
            (*first == name || is_key && *first == "*").then_some((rest, *action))
        }
    };
    asked.iter().filter_map(step).collect()
}

/// Redacts a decoded message.
fn redact(message: &mut DynamicMessage, asked: &Asked<'_>, keys: &Stand) {
    if here(asked) >= Some(Action::Hmac) {
        let unknown: Vec<u32> = message.unknown_fields().map(|field| field.number()).collect();
        assert!(unknown.is_empty(), "the model has none below the top");
    }
    let shape = message.descriptor();
    let is_json = shape.full_name().starts_with("google.protobuf.")
        && !matches!(shape.name(), "Timestamp" | "Duration");
    let fields: Vec<FieldDescriptor> = message.fields().map(|(field, _)| field).collect();
    for field in fields {
        let asked = if is_json { asked.clone() } else { below(asked, field.name(), false) };
        // A path to a map is one to its values.
        if !field.is_map() && here(&asked) == Some(Action::Drop) {
            message.clear_field(&field);
            continue;
        }
        let number = is_json && field.name() == "number_value";
        if number && here(&asked) >= Some(Action::Hmac) {
            let Value::F64(number) = *message.get_field(&field) else { unreachable!() };
            let text = keys.text(&number.to_string(), here(&asked));
            message.set_field_by_name("string_value", Value::String(text));
            continue;
        }
        let in_unmapped = field.name() == "unmapped";
        assert!(!in_unmapped || asked.is_empty(), "the model leaves unmapped out");
        redact_value(message.get_field_mut(&field), &asked, keys);
    }
}

fn redact_value(value: &mut Value, asked: &Asked<'_>, keys: &Stand) {
    match value {
        Value::String(text) => *text = keys.text(text, here(asked)),
        Value::Message(inner) => redact(inner, asked, keys),
        Value::List(values) => {
            values.iter_mut().for_each(|value| redact_value(value, asked, keys));
        }
        Value::Map(entries) => entries.retain(|key, value| {
            let asked = below(asked, key.as_str().unwrap(), true);
            redact_value(value, &asked, keys);
            here(&asked) != Some(Action::Drop)
        }),
        _ => {}
    }
}

/// What stands for texts. HMACs are tested where they are made; here it counts that
/// they stand in the right place.
struct Stand;

impl Stand {
    fn text(&self, text: &str, action: Option<Action>) -> String {
        match action {
            Some(Action::Mask) => MARKER.to_owned(),
            Some(Action::Hmac) => hmac(text),
            _ => text.to_owned(),
        }
    }
}

/// As the gateway has it, by redacting an event with this text alone.
fn hmac(text: &str) -> String {
    let rule = RedactionRule { types: vec![], fields: vec!["code".into()], action: Action::Hmac };
    let config = Config {
        rules: vec![rule],
        keys: Some(HmacKeys::parse(KEYS).unwrap()),
        ..Config::default()
    };
    let intake =
        EventIntake { policy: ContentPolicy::compile(config).unwrap(), ..EventIntake::default() };
    let mut event = auditgate::proto::pb::Event { code: Some(text.into()), ..Default::default() };
    event.payload = Some(auditgate::proto::pb::event::Payload::Exec(Default::default()));
    let kept = intake.admit(event.encode_to_vec().into(), NOW).unwrap();
    auditgate::proto::pb::Event::decode(kept.bytes).unwrap().code.unwrap()
}

fn action(number: u64) -> Action {
    [Action::Hmac, Action::Mask, Action::Drop][number as usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_decodes_to_what_the_model_makes(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let payload = ["db_session_query", "custom", "exec"][dice.roll(3) as usize];
        let event = event(payload, &mut dice);
        let mut rules = Vec::new();
        for _ in 0..=dice.roll(4) {
            let path = PATHS[dice.roll(PATHS.len() as u64) as usize];
            let is_payload = ["db_session_query", "custom.data"].contains(&path);
            let action = action(dice.roll(if is_payload { 2 } else { 3 }));
            rules.push(RedactionRule { types: Vec::new(), fields: vec![path.to_owned()], action });
        }
        let config = Config {
            rules: rules.clone(),
            keys: Some(HmacKeys::parse(KEYS).unwrap()),
            ..Config::default()
        };
        let intake = EventIntake { policy: ContentPolicy::compile(config).unwrap(), ..EventIntake::default() };
        let sent = encoded(&event, &mut dice);

        let kept = match intake.admit(sent.clone().into(), NOW) {
            // The dice split messages into parts without counting them.
            Err(auditgate::event::Error::Malformed {
                fault: auditgate::wire::WireFault::TooManyParts, ..
            }) => return Ok(()),
            admitted => admitted.expect("a valid event"),
        };

        let shape = event.descriptor();
        let mut expected = DynamicMessage::decode(shape.clone(), sent.as_slice()).unwrap();
        let paths: Vec<(Vec<&str>, Action)> =
            rules.iter().map(|rule| (rule.fields[0].split('.').collect(), rule.action)).collect();
        let asked: Asked<'_> =
            paths.iter().map(|(path, action)| (path.as_slice(), *action)).collect();
        redact(&mut expected, &asked, &Stand);
        // A map of which all entries are gone is as one that never was.
        let expected = DynamicMessage::decode(shape.clone(), expected.encode_to_vec().as_slice());
        let expected = expected.unwrap();
        let found = DynamicMessage::decode(shape, kept.client_bytes()).unwrap();
        prop_assert!(found == expected, "rules {:?}: {} is not {}", rules, found, expected);
        prop_assert_eq!(
            found.unknown_fields().count(),
            expected.unknown_fields().count(),
            "unknown fields stay"
        );
        let was_amended = kept.amended.is_some();
        prop_assert_eq!(was_amended, kept.client_bytes() != sent.as_slice());
    }
}
