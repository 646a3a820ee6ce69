//! Whether two encoded events say the same.

use prost_reflect::DynamicMessage;

use crate::proto::descriptor_pool;

/// Whether two validated events have the same content: equal bytes settle it;
/// otherwise they are compared by meaning, since one message has several
/// encodings (the order of fields and of map entries is free).
pub fn same_content(a: &[u8], b: &[u8]) -> bool {
    a == b || by_meaning(a, b).unwrap_or(false)
}

fn by_meaning(a: &[u8], b: &[u8]) -> Result<bool, prost::DecodeError> {
    let event = descriptor_pool()
        .get_message_by_name("auditgate.v1.Event")
        .expect("the protocol has the message Event");
    Ok(DynamicMessage::decode(event.clone(), a)? == DynamicMessage::decode(event, b)?)
}
