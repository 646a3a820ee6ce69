//! Trimming: cuts the longest texts of an event that is too large.
//!
//! Actor, type and outcome are never cut: of the envelope only labels and unmapped are cut, of the
//! payload everything but the name of a custom event.

use sha2::{Digest as _, Sha256};

use crate::event::{VARIANT_NUMBER_MIN, field};
use crate::proto::pb;
use crate::text::prefix;
use crate::wire::{self, EVENT, FieldKind, LIST_VALUE, MessageId, STRUCT, VALUE, WireValue};

/// A text is never cut to fewer bytes than this.
pub const KEPT_BYTES_MIN: usize = 256;
/// The most texts of an event that are cut.
pub const CUT_VALUES_MAX: usize = 100;
/// The action in an amendment.
const ACTION: &str = "trimmed";
/// How much of a key an amendment repeats, in characters.
const KEY_CHARS_MAX: usize = 64;
/// Longest path of an amendment, in bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// A text that may be cut.
#[derive(Debug, Clone, Copy)]
struct TrimCandidate {
    /// Its position in the event.
    start: usize,
    len: usize,
}

/// Cuts a checked event so that it is at most `bytes_max` long, and returns what was cut; `None` if
/// that is not possible within the bounds above.
pub(super) fn trim(event: &[u8], bytes_max: usize) -> Option<(Vec<u8>, Vec<pb::Amendment>)> {
    let mut texts = Vec::new();
    find(EVENT, event, 0, &mut texts);
    let longest_first = |text: &TrimCandidate| std::cmp::Reverse(text.len);
    if texts.len() > CUT_VALUES_MAX {
        texts.select_nth_unstable_by_key(CUT_VALUES_MAX, longest_first);
        texts.truncate(CUT_VALUES_MAX);
    }
    texts.sort_unstable_by_key(longest_first);
    let level = level(&texts, event.len().checked_sub(bytes_max)?)?;
    let mut cutter = TrimWriter {
        level,
        chosen: texts.iter().filter(|text| text.len > level).map(|text| text.start).collect(),
        out: Vec::with_capacity(bytes_max),
        path: String::from("event"),
        amendments: Vec::new(),
    };
    cutter.chosen.sort_unstable();
    cutter.message(EVENT, event, 0);
    (cutter.out.len() <= bytes_max).then_some((cutter.out, cutter.amendments))
}

/// The length to which the longest texts are cut so that `excess` bytes go. `texts`
/// are sorted, the longest first.
fn level(texts: &[TrimCandidate], excess: usize) -> Option<usize> {
    let mut total = 0;
    for (count, text) in (1..).zip(texts) {
        total += text.len;
        let next = texts.get(count).map_or(KEPT_BYTES_MIN, |next| next.len);
        let Some(left) = total.checked_sub(excess) else { continue };
        if left / count >= next {
            return Some(left / count);
        }
    }
    None
}

/// Finds the texts that may be cut; `offset` is the position of the message.
fn find(id: MessageId, message: &[u8], offset: usize, found: &mut Vec<TrimCandidate>) {
    let mut fields = wire::fields(message);
    while let Some(Ok((number, value))) = fields.next() {
        let WireValue::Bytes(bytes) = value else { continue };
        let start = offset + message.len() - fields.rest().len() - bytes.len();
        match kind(id, number) {
            Some(FieldKind::String) if bytes.len() > KEPT_BYTES_MIN => {
                found.push(TrimCandidate { start, len: bytes.len() });
            }
            Some(FieldKind::Message(inner)) if bytes.len() > KEPT_BYTES_MIN => {
                find(inner, bytes, start, found);
            }
            _ => {}
        }
    }
}

/// The kind of a field that is, or may hold, text to cut.
fn kind(id: MessageId, number: u32) -> Option<FieldKind> {
    let shape = id.get();
    let may_be_cut = match number {
        _ if id == EVENT => {
            matches!(number, field::LABELS | field::UNMAPPED) || number >= VARIANT_NUMBER_MIN
        }
        field::MAP_KEY if shape.map_entry => false,
        field::CUSTOM_NAME => !is_custom(id),
        _ => true,
    };
    shape.field(number).map(|found| found.kind).filter(|_| may_be_cut)
}

fn is_custom(id: MessageId) -> bool {
    EVENT.get().field(field::CUSTOM).is_some_and(|custom| custom.kind == FieldKind::Message(id))
}

/// Writes the event with the chosen texts cut.
struct TrimWriter {
    level: usize,
    /// Positions of the texts to cut, in order.
    chosen: Vec<usize>,
    out: Vec<u8>,
    /// The path of the walk.
    path: String,
    amendments: Vec<pb::Amendment>,
}

impl TrimWriter {
    fn message(&mut self, id: MessageId, message: &[u8], offset: usize) {
        let shape = id.get();
        let is_json = matches!(id, STRUCT | VALUE | LIST_VALUE);
        // The last field, and how many times in a row it occurred.
        let mut run = (0, 0_usize);
        let mut from = 0;
        let mut fields = wire::fields(message);
        while let Some(Ok((number, value))) = fields.next() {
            let to = message.len() - fields.rest().len();
            run = if run.0 == number { (number, run.1 + 1) } else { (number, 0) };
            let raw = message.get(from..to).unwrap_or_default();
            from = to;
            let (WireValue::Bytes(bytes), Some(kind)) = (value, kind(id, number)) else {
                self.out.extend_from_slice(raw);
                continue;
            };
            let start = offset + to - bytes.len();
            if !self.is_chosen(start, bytes.len()) {
                self.out.extend_from_slice(raw);
                continue;
            }
            let depth = self.path.len();
            let field = shape.field(number).expect("its kind is known");
            if !is_json && !shape.map_entry {
                self.path.push('.');
                self.path.push_str(field.name);
            }
            match kind {
                FieldKind::Message(inner) => {
                    if inner.get().map_entry {
                        self.push_key(bytes);
                    } else if field.repeated {
                        self.push_index(run.1);
                    }
                    self.submessage(number, inner, bytes, start);
                }
                _ => {
                    if field.repeated {
                        self.push_index(run.1);
                    }
                    self.cut(number, value.text().unwrap_or_default());
                }
            }
            self.path.truncate(depth);
        }
    }

    /// Whether a text to cut begins within these bytes.
    fn is_chosen(&self, start: usize, len: usize) -> bool {
        let first = self.chosen.partition_point(|chosen| *chosen < start);
        self.chosen.get(first).is_some_and(|chosen| *chosen < start + len)
    }

    fn push_index(&mut self, index: usize) {
        self.path.push_str(&format!("[{index}]"));
    }

    fn push_key(&mut self, entry: &[u8]) {
        let keys = wire::trusted(entry).filter(|(number, _)| *number == field::MAP_KEY);
        let key = keys.last().and_then(|(_, value)| value.text()).unwrap_or_default();
        let is_word = !key.is_empty()
            && key.len() <= KEY_CHARS_MAX
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_word {
            self.path.push('.');
            self.path.push_str(key);
        } else {
            let shown: String = key.chars().take(KEY_CHARS_MAX).collect();
            self.path.push_str(&format!("[{shown:?}]"));
        }
    }

    fn submessage(&mut self, number: u32, inner: MessageId, bytes: &[u8], start: usize) {
        let mark = self.out.len();
        self.message(inner, bytes, start);
        let body = self.out.split_off(mark);
        wire::put_bytes_field(&mut self.out, number, &body);
    }

    fn cut(&mut self, number: u32, text: &str) {
        let kept = prefix(text, self.level);
        wire::put_bytes_field(&mut self.out, number, kept.as_bytes());
        self.amendments.push(pb::Amendment {
            path: prefix(&self.path, PATH_BYTES_MAX).to_owned(),
            action: ACTION.to_owned(),
            values: 1,
            original_bytes: text.len() as u64,
            original_sha256: Sha256::digest(text.as_bytes()).to_vec(),
            ..Default::default()
        });
    }
}
