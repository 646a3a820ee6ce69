//! The first pass over a record: captures the values that have a place in a plan.

use prost_reflect::DynamicMessage;

use crate::proto::descriptor_pool;
use crate::wire::{self, WireValue};

/// The most slots of a plan.
pub const SLOTS_MAX: usize = 128;

/// The actions of a plan for the fields of one message.
#[derive(Debug, Default, Clone)]
pub struct CaptureNode {
    /// By field number.
    actions: Vec<CaptureAction>,
}

/// The action of a plan for a field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum CaptureAction {
    /// It has no place: the catch-all gets it.
    #[default]
    Leave,
    /// It has a place.
    Slot(u8),
    /// Like `Slot`, for a list or a map.
    List(u8),
    /// Like `Slot`, for a message, which may be encoded in parts.
    Whole(u8),
    /// Its fields have places: the node of its message.
    Inner(u16),
}

impl CaptureNode {
    /// What to do with a field.
    pub fn action(&self, number: u32) -> CaptureAction {
        self.actions.get(number as usize).copied().unwrap_or_default()
    }

    /// Sets what to do with a field.
    pub fn set(&mut self, number: u32, action: CaptureAction) {
        let number = number as usize;
        if self.actions.len() <= number {
            self.actions.resize(number + 1, CaptureAction::Leave);
        }
        if let Some(place) = self.actions.get_mut(number) {
            *place = action;
        }
    }
}

/// The values of a record that have a place in a plan.
#[derive(Debug)]
pub struct Captured<'a> {
    values: [WireValue<'a>; SLOTS_MAX],
    /// A value for each occurrence of a list or a map.
    lists: Vec<(u8, WireValue<'a>)>,
    /// A bit for each slot that has a value.
    pub present: u128,
    /// Whether a message with a place was encoded in parts.
    in_parts: bool,
}

impl<'a> Captured<'a> {
    fn new() -> Self {
        Self {
            values: [WireValue::Varint(0); SLOTS_MAX],
            lists: Vec::new(),
            present: 0,
            in_parts: false,
        }
    }

    /// Reads an encoded record; `None` if a message with a place was encoded in parts.
    pub fn read(nodes: &[CaptureNode], record: &'a [u8]) -> Option<Self> {
        let mut captured = Self::new();
        captured.message(nodes, 0, record);
        (!captured.in_parts).then_some(captured)
    }

    /// The depth of the nodes bounds the recursion.
    fn message(&mut self, nodes: &[CaptureNode], node: usize, bytes: &'a [u8]) {
        let Some(actions) = nodes.get(node) else { return };
        for (number, value) in wire::trusted(bytes) {
            match actions.action(number) {
                CaptureAction::Leave => {}
                CaptureAction::Slot(slot) => self.set(slot, value),
                CaptureAction::List(slot) => {
                    self.present |= 1 << slot;
                    self.lists.push((slot, value));
                }
                CaptureAction::Whole(slot) => {
                    self.in_parts |= self.present & (1 << slot) != 0;
                    self.set(slot, value);
                }
                CaptureAction::Inner(inner) => {
                    if let WireValue::Bytes(bytes) = value {
                        self.message(nodes, usize::from(inner), bytes);
                    }
                }
            }
        }
    }

    fn set(&mut self, slot: u8, value: WireValue<'a>) {
        self.present |= 1 << slot;
        if let Some(place) = self.values.get_mut(usize::from(slot)) {
            *place = value;
        }
    }

    /// The value of a slot; for a list or a map see [`Self::list`].
    pub fn value(&self, slot: u8) -> Option<WireValue<'a>> {
        if self.present & (1 << slot) == 0 {
            return None;
        }
        self.values.get(usize::from(slot)).copied()
    }

    /// The occurrences of a list or a map.
    pub fn list(&self, slot: u8) -> impl Iterator<Item = WireValue<'a>> + Clone {
        let of_slot = self.lists.iter().filter(move |(of, _)| *of == slot);
        of_slot.map(|(_, value)| *value)
    }
}

/// Encodes a record anew, each message in one part. Fields that the schema does not know are
/// kept.
pub fn without_parts(record: &[u8]) -> Vec<u8> {
    use prost::Message as _;
    let shape = descriptor_pool().get_message_by_name("auditgate.v1.Record");
    let shape = shape.expect("the protocol has records");
    DynamicMessage::decode(shape, record).map(|record| record.encode_to_vec()).unwrap_or_default()
}

/// The part of a record that goes to the catch-all.
#[derive(Debug, Clone, Copy)]
pub struct Remainder<'p> {
    nodes: &'p [CaptureNode],
    /// The node of the message; `None` if all of it is left.
    node: Option<&'p CaptureNode>,
    /// A bit for each slot whose value was written without loss.
    kept: u128,
}

impl<'p> Remainder<'p> {
    /// Everything is left.
    pub const ALL: Remainder<'static> = Remainder { nodes: &[], node: None, kept: 0 };

    /// The slots that were not `kept`, and fields without a slot.
    pub fn left(nodes: &'p [CaptureNode], kept: u128) -> Self {
        Self { nodes, node: nodes.first(), kept }
    }

    /// The remainder of a field; `None` if nothing is left.
    pub fn inner(self, number: u32) -> Option<Self> {
        let Some(node) = self.node else { return Some(self) };
        let all = Remainder { nodes: &[], node: None, kept: 0 };
        match node.action(number) {
            CaptureAction::Leave => Some(all),
            CaptureAction::Slot(slot) | CaptureAction::List(slot) | CaptureAction::Whole(slot) => {
                (self.kept & (1 << slot) == 0).then_some(all)
            }
            CaptureAction::Inner(inner) => {
                Some(Self { node: self.nodes.get(usize::from(inner)), ..self })
            }
        }
    }

    /// Whether a part of a message may be omitted.
    pub fn is_partial(self) -> bool {
        self.node.is_some()
    }
}
