//! Extracts the fields that the gateway needs during the validation of an event, so that each event
//! is walked once.

use std::ops::Range;

use super::envelope::number;
use super::key::key_of;
use super::{Error, VARIANT_NUMBER_MIN};
use crate::catalog::{self, TypeId};
use crate::wire::{FieldNumbers, WireValue};

/// Fields of an event, as bytes; the validation checks whether they are text. As everywhere in
/// protobuf, the last of several values counts, and parts of one message are merged. Absent and
/// empty differ.
#[derive(Debug, Default)]
pub struct ExtractedFields<'a> {
    pub id: &'a [u8],
    /// The encoded payload.
    pub time: Option<&'a [u8]>,
    pub code: Option<&'a [u8]>,
    pub success: Option<bool>,
    pub payload: &'a [u8],
    user: Option<&'a [u8]>,
    impersonator: Option<&'a [u8]>,
    session: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    /// Field numbers of the first variant of the payload and of the first other
    /// one.
    variants: (Option<u32>, Option<u32>),
}

/// The index keys of a record, see `key`. 0 if a field is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IndexKeys {
    /// Of `event.id`.
    pub id: u32,
    /// Of `event.user.name`.
    pub user: u32,
    /// Of `event.user.impersonator`.
    pub impersonator: u32,
    /// Of `event.session.id`.
    pub session: u32,
    /// Of `event.server.id`.
    pub server: u32,
}

impl<'a> ExtractedFields<'a> {
    /// Fields whose messages have fields to extract.
    pub const WITHIN: FieldNumbers = FieldNumbers::NONE
        .and(number::USER)
        .and(number::SESSION)
        .and(number::SERVER)
        .and(number::OUTCOME);

    /// Takes a field of the event, or of the message in its field `within`.
    #[inline(always)]
    pub fn take(&mut self, within: u32, number: u32, value: WireValue<'a>) {
        match within {
            0 => self.take_outer(number, value),
            number::USER => match number {
                number::USER_NAME => self.user = value.bytes(),
                number::USER_IMPERSONATOR => self.impersonator = value.bytes(),
                _ => {}
            },
            number::SESSION if number == number::SESSION_ID => self.session = value.bytes(),
            number::SERVER if number == number::SERVER_ID => self.server = value.bytes(),
            number::OUTCOME => {
                if let (number::OUTCOME_SUCCESS, WireValue::Varint(success)) = (number, value) {
                    self.success = Some(success != 0);
                }
            }
            _ => {}
        }
    }

    #[inline(always)]
    fn take_outer(&mut self, number: u32, value: WireValue<'a>) {
        if number >= VARIANT_NUMBER_MIN {
            match self.variants.0 {
                None => self.variants.0 = Some(number),
                Some(first) if first == number => {}
                Some(_) => _ = self.variants.1.get_or_insert(number),
            }
            self.payload = value.bytes().unwrap_or_default();
            return;
        }
        let WireValue::Bytes(bytes) = value else { return };
        match number {
            number::ID => self.id = bytes,
            number::TIME => self.time = Some(bytes),
            number::CODE => self.code = Some(bytes),
            _ => {}
        }
    }

    /// The type of the one variant of the payload.
    pub fn only_variant(&self) -> Result<TypeId, Error> {
        let first = self.variants.0.ok_or(Error::PayloadMissing)?;
        let known = catalog::by_number(first).ok_or(Error::PayloadUnknown { number: first })?;
        match self.variants.1 {
            None => Ok(known),
            Some(second) if catalog::by_number(second).is_none() => {
                Err(Error::PayloadUnknown { number: second })
            }
            Some(second) => Err(Error::PayloadAmbiguous { first, second }),
        }
    }

    /// The keys of the fields; not yet that of the id, which may be appended.
    pub fn keys(&self) -> IndexKeys {
        let key = |text: Option<&[u8]>| text.map_or(0, key_of);
        IndexKeys {
            id: 0,
            user: key(self.user),
            impersonator: key(self.impersonator),
            session: key(self.session),
            server: key(self.server),
        }
    }
}

/// Where `part`, a slice of `whole`, lies in it.
pub fn range_within(whole: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}
