//! Reads messages in the bytes of a record, and counts the steps of an evaluation.

use std::cell::Cell;
use std::sync::Arc;

use super::{Failed, TICKS_PER_STEP};
use crate::wire;

/// The remaining work of an evaluation, in ticks: a tenth of a step, measured as some 2 ns.
///
/// Every loop over bytes of a record pays before it reads them, and ends when the budget is used
/// up. Its result is then useless, and [`StepBudget::check`] fails from then on, also at the end of
/// the evaluation.
#[derive(Debug)]
pub(super) struct StepBudget(Cell<u64>);

impl StepBudget {
    pub(super) fn new(steps: u64) -> Self {
        Self(Cell::new(steps.saturating_mul(TICKS_PER_STEP)))
    }

    #[inline]
    fn spend(&self, ticks: u64) {
        self.0.set(self.0.get().saturating_sub(ticks));
    }

    /// Ticks that are left.
    pub(super) fn left(&self) -> u64 {
        self.0.get()
    }

    /// Fails after the budget is used up.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Failed> {
        if self.0.get() == 0 { Err(Failed) } else { Ok(()) }
    }

    /// Counts whole steps.
    #[inline]
    pub(super) fn spend_steps(&self, steps: u64) {
        self.spend(steps.saturating_mul(TICKS_PER_STEP));
    }

    /// Counts a field that is skipped or read. Returns whether it may be read.
    #[inline]
    fn pass_field(&self) -> bool {
        self.spend(1);
        self.0.get() > 0
    }

    /// Counts memory that is allocated and filled.
    pub(super) fn spend_on_memory(&self, bytes: usize) {
        /// The measured cost of an allocation of any size, in ticks.
        const ALLOCATION: u64 = 20;
        self.spend(ALLOCATION);
        self.spend_on_room(bytes);
    }

    /// Counts memory that is filled.
    pub(super) fn spend_on_room(&self, bytes: usize) {
        const BYTES_PER_TICK: u64 = 8;
        /// From this size on, the system has to find pages for it and to fill them with zeros first.
        const FRESH_BYTES_MIN: u64 = 128 * 1024;
        let bytes = bytes as u64;
        self.spend(bytes / BYTES_PER_TICK * if bytes < FRESH_BYTES_MIN { 1 } else { 2 });
    }

    /// Counts bytes that are compared, or skipped many at a time.
    pub(super) fn spend_on_pass(&self, bytes: usize) {
        const BYTES_PER_TICK: u64 = 32;
        self.spend(bytes as u64 / BYTES_PER_TICK);
    }

    /// Counts bytes in which a text is searched.
    pub(super) fn spend_on_search(&self, bytes: usize) {
        const BYTES_PER_TICK: u64 = 4;
        self.spend(bytes as u64 / BYTES_PER_TICK);
    }

    /// Counts bytes that are parsed or hashed one by one.
    pub(super) fn spend_on_each(&self, bytes: usize) {
        self.spend(bytes as u64);
    }

    /// Counts a search by a pattern that takes this many thousandths of a tick a byte.
    pub(super) fn spend_on_pattern(&self, bytes: usize, milliticks_per_byte: u64) {
        self.spend((bytes as u64).saturating_mul(milliticks_per_byte) / 1_000);
    }

    /// A text of the record; empty if the budget is used up.
    pub(super) fn text<'a>(&self, value: wire::WireValue<'a>) -> &'a str {
        let bytes = value.bytes().unwrap_or_default();
        self.spend_on_pass(bytes.len());
        if !bytes.is_ascii() {
            self.spend_on_search(bytes.len());
        }
        if self.check().is_err() { "" } else { std::str::from_utf8(bytes).unwrap_or_default() }
    }
}

/// The encoded fields of a message.
///
/// An encoder may send a message field in several parts, which a reader has to merge.
/// Nearly always there is one.
#[derive(Debug, Clone)]
pub(super) enum Body<'a> {
    Whole(&'a [u8]),
    Parts(Arc<[&'a [u8]]>),
}

impl<'a> Body<'a> {
    /// A message without fields.
    pub(super) const EMPTY: Self = Body::Whole(&[]);

    fn parts(&self) -> &[&'a [u8]] {
        match self {
            Body::Whole(bytes) => std::slice::from_ref(bytes),
            Body::Parts(parts) => parts,
        }
    }

    /// All its fields, in order, until the budget is used up.
    pub(super) fn fields<'b>(
        &'b self,
        meter: &'b StepBudget,
    ) -> impl Iterator<Item = (u32, wire::WireValue<'a>)> + use<'a, 'b> {
        let parts = self.parts().iter().flat_map(|part| wire::trusted(part));
        parts.take_while(|_| meter.pass_field())
    }

    /// The values of one field.
    pub(super) fn values<'b>(
        &'b self,
        number: u32,
        meter: &'b StepBudget,
    ) -> impl Iterator<Item = wire::WireValue<'a>> + use<'a, 'b> {
        self.fields(meter).filter(move |(found, _)| *found == number).map(|(_, value)| value)
    }

    /// The value of a field that is not repeated: the last one counts.
    pub(super) fn value(&self, number: u32, meter: &StepBudget) -> Option<wire::WireValue<'a>> {
        self.values(number, meter).last()
    }

    /// The message in a field that is not repeated.
    pub(super) fn message(&self, number: u32, meter: &StepBudget) -> Option<Body<'a>> {
        let mut merged = None;
        for part in self.values(number, meter).filter_map(wire::WireValue::bytes) {
            merged.get_or_insert_with(Merge::default).add(part, meter);
        }
        merged.map(Merge::finish)
    }
}

/// A message that is merged from parts. Events of current versions have few parts; logs of earlier
/// versions may have records with very many.
#[derive(Default)]
pub(super) struct Merge<'a> {
    first: &'a [u8],
    /// The first part, and the following ones if there are several.
    parts: Vec<&'a [u8]>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(part: &'a [u8]) -> Self {
        Self { first: part, parts: Vec::new() }
    }

    /// Adds a part. An empty one changes nothing.
    pub(super) fn add(&mut self, part: &'a [u8], meter: &StepBudget) {
        if part.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = part;
            return;
        }
        if self.parts.is_empty() {
            meter.spend_on_memory(0);
            self.parts.push(self.first);
        }
        meter.spend(1);
        self.parts.push(part);
    }

    pub(super) fn finish(self) -> Body<'a> {
        if self.parts.is_empty() { Body::Whole(self.first) } else { Body::Parts(self.parts.into()) }
    }
}
