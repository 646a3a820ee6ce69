//! Filter by fields of the event's envelope.

use super::address::CidrBlocks;
use super::error::Error;
use super::values::ExactValues;
use crate::event::field;
use crate::proto::pb;
use crate::wire::{self, WireValue};

/// The conditions on the fields of the envelope: each field must have one of its values.
#[derive(Debug)]
pub(super) struct EnvelopeFilter {
    pub users: ExactValues,
    pub session_ids: ExactValues,
    pub server_ids: ExactValues,
    codes: ExactValues,
    cluster_names: ExactValues,
    sources: ExactValues,
    remote_addresses: CidrBlocks,
    /// Whether every envelope matches.
    is_any: bool,
}

/// The values of an event in these fields, as bytes, which is enough to compare them.
#[derive(Default)]
struct EnvelopeValues<'a> {
    code: Option<&'a [u8]>,
    cluster_name: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    impersonator: Option<&'a [u8]>,
    session_id: Option<&'a [u8]>,
    server_id: Option<&'a [u8]>,
    remote_address: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
}

impl EnvelopeFilter {
    pub(super) fn compile(filter: &pb::Filter) -> Result<Self, Error> {
        let mut compiled = Self {
            users: ExactValues::compile("users", &filter.users)?,
            session_ids: ExactValues::compile("session_ids", &filter.session_ids)?,
            server_ids: ExactValues::compile("server_ids", &filter.server_ids)?,
            codes: ExactValues::compile("codes", &filter.codes)?,
            cluster_names: ExactValues::compile("cluster_names", &filter.cluster_names)?,
            sources: ExactValues::compile("sources", &filter.sources)?,
            remote_addresses: CidrBlocks::compile("remote_addresses", &filter.remote_addresses)?,
            is_any: false,
        };
        let values = [
            &compiled.users,
            &compiled.session_ids,
            &compiled.server_ids,
            &compiled.codes,
            &compiled.cluster_names,
            &compiled.sources,
        ];
        compiled.is_any =
            values.iter().all(|values| values.is_any()) && compiled.remote_addresses.is_any();
        Ok(compiled)
    }

    /// Memory that it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let values = [
            &self.users,
            &self.session_ids,
            &self.server_ids,
            &self.codes,
            &self.cluster_names,
            &self.sources,
        ];
        values.into_iter().map(ExactValues::held_bytes).sum::<usize>()
            + self.remote_addresses.held_bytes()
    }

    /// Whether every envelope matches.
    pub(super) fn is_any(&self) -> bool {
        self.is_any
    }

    /// Whether the envelope of an encoded event matches.
    pub(super) fn matches(&self, event: &[u8]) -> bool {
        if self.is_any {
            return true;
        }
        let found = self.read(event);
        let address = found.remote_address.and_then(|address| std::str::from_utf8(address).ok());
        (self.users.matches(found.user) || self.users.matches(found.impersonator))
            && self.session_ids.matches(found.session_id)
            && self.server_ids.matches(found.server_id)
            && self.codes.matches(found.code)
            && self.cluster_names.matches(found.cluster_name)
            && self.sources.matches(found.source)
            && self.remote_addresses.matches(address)
    }

    /// Reads the fields with a condition. As everywhere in protobuf, the last of several values
    /// counts, and parts of one message are merged.
    fn read<'a>(&self, event: &'a [u8]) -> EnvelopeValues<'a> {
        let mut found = EnvelopeValues::default();
        for (number, value) in wire::trusted(event) {
            let WireValue::Bytes(bytes) = value else { continue };
            match number {
                field::CODE => found.code = Some(bytes),
                field::CLUSTER_NAME => found.cluster_name = Some(bytes),
                field::USER if !self.users.is_any() => {
                    take(&mut found.user, bytes, field::USER_NAME);
                    take(&mut found.impersonator, bytes, field::USER_IMPERSONATOR);
                }
                field::SESSION if !self.session_ids.is_any() => {
                    take(&mut found.session_id, bytes, field::SESSION_ID);
                }
                field::SERVER if !self.server_ids.is_any() => {
                    take(&mut found.server_id, bytes, field::SERVER_ID);
                }
                field::CONNECTION if !self.remote_addresses.is_any() => {
                    take(&mut found.remote_address, bytes, field::CONNECTION_REMOTE_ADDRESS);
                }
                field::SOURCE if !self.sources.is_any() => {
                    take(&mut found.source, bytes, field::SOURCE_NAME);
                }
                _ => {}
            }
        }
        found
    }
}

fn take<'a>(found: &mut Option<&'a [u8]>, message: &'a [u8], wanted: u32) {
    for (number, value) in wire::trusted(message) {
        if let (true, WireValue::Bytes(bytes)) = (number == wanted, value) {
            *found = Some(bytes);
        }
    }
}
