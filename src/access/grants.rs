//! Roles, and the grants that a principal gets from them.

use std::sync::{Arc, LazyLock};

use crate::config::{self, Right, Role};
use crate::filter::TypeSet;
use crate::glob::NamePattern;

/// All roles.
#[derive(Debug, Default)]
pub struct RoleTable {
    roles: Vec<CompiledRole>,
}

#[derive(Debug)]
struct CompiledRole {
    principals: Vec<NamePattern>,
    grants: Grants,
}

/// The rights of a principal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    emit: TypeSet,
    read: Arc<TypeSet>,
    rights: Vec<Right>,
}

impl RoleTable {
    /// Compiles roles.
    ///
    /// # Errors
    /// If a role names an unknown event type.
    pub fn compile(roles: &[Role]) -> Result<Self, config::Error> {
        let compile = |(position, role): (usize, &Role)| {
            let types = |name: &str, patterns: &[String]| {
                TypeSet::compile(&format!("access.roles[{position}].{name}"), patterns)
                    .map_err(config::Error::Types)
            };
            Ok(CompiledRole {
                principals: role.principals.iter().map(|text| NamePattern::new(text)).collect(),
                grants: Grants {
                    emit: types("emit", &role.emit)?.without_reserved(),
                    read: Arc::new(types("read", &role.read)?),
                    rights: role.allow.clone(),
                },
            })
        };
        Ok(Self { roles: roles.iter().enumerate().map(compile).collect::<Result<_, _>>()? })
    }

    /// The grants of a principal from all of its roles.
    pub fn grants(&self, principal: &str) -> Grants {
        let of_principal =
            |role: &&CompiledRole| role.principals.iter().any(|pattern| pattern.matches(principal));
        let mut sum = Grants::default();
        let mut read = TypeSet::default();
        for role in self.roles.iter().filter(of_principal) {
            sum.emit.extend(&role.grants.emit);
            read.extend(&role.grants.read);
            sum.rights.extend(&role.grants.rights);
        }
        sum.read = Arc::new(read);
        sum
    }
}

impl Grants {
    /// All grants.
    pub fn all() -> Arc<Self> {
        static ALL: LazyLock<Arc<Grants>> = LazyLock::new(|| {
            Arc::new(Grants {
                emit: TypeSet::all().without_reserved(),
                read: Arc::new(TypeSet::all()),
                rights: Right::ALL.to_vec(),
            })
        });
        Arc::clone(&ALL)
    }

    /// The types that may be emitted.
    pub fn emit(&self) -> &TypeSet {
        &self.emit
    }

    /// The types that may be read.
    pub fn read(&self) -> &Arc<TypeSet> {
        &self.read
    }

    /// The rights that it includes, each once, in the order in which they are declared.
    pub fn rights(&self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(|right| self.has(*right))
    }

    /// Whether it includes a right.
    pub fn has(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Whether the principal has no right.
    pub fn is_empty(&self) -> bool {
        self.emit.is_empty() && self.read.is_empty() && self.rights.is_empty()
    }
}
