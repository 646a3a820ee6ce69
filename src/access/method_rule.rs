//! The right that each method requires.

use crate::proto::SERVICE;

/// The kind of access that a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodRule {
    /// Emits events.
    Emit,
    /// Reads records.
    Read,
    /// Reads the status.
    Status,
    /// Looks at deliveries, or controls them.
    Deliveries,
    /// Reads checkpoints and proofs.
    Proof,
    /// Lists event types.
    Catalog,
    /// Describes the caller.
    Caller,
    /// Reads the health.
    Health,
    /// Uses reflection.
    Reflection,
}

/// The rule of the method at this path; `None` for an unknown method. A new method needs a line
/// here: a test checks all methods of the protocol.
pub fn method_rule(path: &str) -> Option<MethodRule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    match (service, method) {
        (SERVICE, "Emit" | "EmitBatch" | "EmitStream") => Some(MethodRule::Emit),
        (
            SERVICE,
            "Subscribe" | "Search" | "GetRecord" | "CountRecords" | "CheckFilter" | "TopValues",
        ) => Some(MethodRule::Read),
        (SERVICE, "GetStatus") => Some(MethodRule::Status),
        (SERVICE, "ListDeliveries" | "ControlDelivery") => Some(MethodRule::Deliveries),
        (SERVICE, "GetCheckpoint" | "GetInclusionProof" | "GetConsistencyProof") => {
            Some(MethodRule::Proof)
        }
        (SERVICE, "ListEventTypes") => Some(MethodRule::Catalog),
        (SERVICE, "GetCaller") => Some(MethodRule::Caller),
        ("grpc.health.v1.Health", _) => Some(MethodRule::Health),
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => {
            Some(MethodRule::Reflection)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn every_method_has_a_rule() {
        let service = proto::descriptor_pool().get_service_by_name(SERVICE).expect("the service");
        assert!(service.methods().len() >= 9);
        for method in service.methods() {
            let path = format!("/{SERVICE}/{}", method.name());
            assert!(method_rule(&path).is_some(), "{path} has no rule: give it one in of_path");
        }
    }

    #[test]
    fn what_does_not_exist_has_none() {
        for path in
            ["", "/", "/x", "/auditgate.v1.AuditService/", "/auditgate.v1.AuditService/emit"]
        {
            assert_eq!(method_rule(path), None, "{path}");
        }
    }
}
