//! Checks whether grants allow a call.

use crate::access::{Error, Grants, MethodRule};
use crate::config::Right;

impl Grants {
    /// Whether the grants allow a call that needs this rule.
    ///
    /// # Errors
    /// If the grants do not allow it.
    pub fn permit(&self, rule: MethodRule) -> Result<(), Error> {
        let (may, what) = match rule {
            MethodRule::Emit => (!self.emit().is_empty(), "emit"),
            MethodRule::Read => (!self.read().is_empty(), "read"),
            MethodRule::Status => (self.has(Right::Status), "see the status"),
            MethodRule::Deliveries => (self.has(Right::Deliveries), "see or control deliveries"),
            MethodRule::Proof => (self.has(Right::Proof), "ask for proofs"),
            MethodRule::Catalog => (!self.is_empty(), "list event types"),
            // A caller without a role learns from the answer that it has none.
            MethodRule::Caller => (true, "ask who it is"),
            MethodRule::Health => (self.has(Right::Health), "ask for the health"),
            MethodRule::Reflection => (self.has(Right::Reflection), "use reflection"),
        };
        if may { Ok(()) } else { Err(Error::Forbidden(what)) }
    }
}
