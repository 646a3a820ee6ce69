//! The methods of the service, in one table: the right that each requires, and how it runs.

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

/// How much work a method may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodLoad {
    /// Little: it runs at once.
    Light,
    /// It may scan the whole log: the clients take turns.
    Heavy,
}

/// Defines [`Method`] from the table of methods.
macro_rules! methods {
    ($($name:ident: $rule:ident, $load:ident;)*) => {
        /// A method of the service.
        #[allow(missing_docs, reason = "the protocol describes its methods")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Method {
            $($name,)*
        }

        impl Method {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The method with this name.
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The path of its calls.
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("/auditgate.v1.AuditService/", stringify!($name)),)*
                }
            }

            /// The right that it requires.
            pub const fn rule(self) -> MethodRule {
                match self {
                    $(Self::$name => MethodRule::$rule,)*
                }
            }

            /// How much work it may do.
            pub const fn load(self) -> MethodLoad {
                match self {
                    $(Self::$name => MethodLoad::$load,)*
                }
            }
        }
    };
}

methods! {
    Emit: Emit, Light;
    EmitBatch: Emit, Light;
    EmitStream: Emit, Light;
    Subscribe: Read, Light;
    Search: Read, Heavy;
    CountRecords: Read, Heavy;
    TopValues: Read, Heavy;
    GetRecord: Read, Light;
    CheckFilter: Read, Light;
    GetStatus: Status, Light;
    ListDeliveries: Deliveries, Light;
    ControlDelivery: Deliveries, Light;
    GetCheckpoint: Proof, Light;
    GetInclusionProof: Proof, Light;
    GetConsistencyProof: Proof, Light;
    ListEventTypes: Catalog, Light;
    GetCaller: Caller, Light;
}

impl Method {
    /// The method at this path.
    pub fn by_path(path: &str) -> Option<Self> {
        Self::by_name(path.strip_prefix('/')?.strip_prefix(SERVICE)?.strip_prefix('/')?)
    }
}

/// The rule of the method at this path, which may be of another service; `None` for an unknown
/// method.
pub fn method_rule(path: &str) -> Option<MethodRule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    match service {
        SERVICE => Method::by_name(method).map(Method::rule),
        "grpc.health.v1.Health" => Some(MethodRule::Health),
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
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
    fn the_table_has_the_methods_of_the_protocol() {
        let service = proto::descriptor_pool().get_service_by_name(SERVICE).expect("the service");
        let mut of_protocol: Vec<_> =
            service.methods().map(|method| format!("/{SERVICE}/{}", method.name())).collect();
        let mut of_table: Vec<_> = Method::ALL.iter().map(|method| method.path()).collect();
        of_protocol.sort_unstable();
        of_table.sort_unstable();
        assert_eq!(of_table, of_protocol);
        for method in Method::ALL {
            assert_eq!(Method::by_path(method.path()), Some(*method));
            assert_eq!(method_rule(method.path()), Some(method.rule()));
        }
    }

    #[test]
    fn what_does_not_exist_has_none() {
        for path in
            ["", "/", "/x", "/auditgate.v1.AuditService/", "/auditgate.v1.AuditService/emit"]
        {
            assert_eq!((method_rule(path), Method::by_path(path)), (None, None), "{path}");
        }
    }
}
