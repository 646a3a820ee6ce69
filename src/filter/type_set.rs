//! Sets of event types, named by patterns: what roles may emit and read.

use super::error::{self, Error, excerpt, nearest};
use crate::catalog::{self, TypeId};
use crate::glob::NamePattern;

/// The most names that an error suggests.
pub(super) const NEAREST_MAX: usize = 3;

/// A set of event types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeSet {
    /// Whether the type is in it, by type id. The type of custom events is if some
    /// of them may be.
    by_id: Vec<bool>,
    /// Patterns of the custom types in it.
    custom: Vec<NamePattern>,
    /// Whether all custom types are in it.
    all_custom: bool,
}

impl TypeSet {
    /// The types that match one of the patterns. Errors blame `field`.
    ///
    /// # Errors
    /// If a pattern names no event type.
    pub fn compile(field: &str, patterns: &[String]) -> Result<Self, Error> {
        let known = |(position, value): (usize, &String)| known(field, position, value);
        let patterns: Vec<NamePattern> =
            patterns.iter().enumerate().map(known).collect::<Result<_, _>>()?;
        let of_custom = |pattern: &NamePattern| {
            pattern.matches(catalog::CUSTOM) || pattern.may_match_after(catalog::CUSTOM_PREFIX)
        };
        let all_of_custom = |pattern: &NamePattern| {
            pattern.matches(catalog::CUSTOM) || pattern.matches_all_after(catalog::CUSTOM_PREFIX)
        };
        let by_id = catalog::all().map(|(id, event_type)| {
            if id.is_custom() {
                patterns.iter().any(of_custom)
            } else {
                patterns.iter().any(|pattern| pattern.matches(event_type.name))
            }
        });
        Ok(Self {
            by_id: by_id.collect(),
            all_custom: patterns.iter().any(all_of_custom),
            custom: patterns.into_iter().filter(of_custom).collect(),
        })
    }

    /// Every type.
    pub fn all() -> Self {
        Self { by_id: vec![true; catalog::EVENT_TYPES.len()], custom: Vec::new(), all_custom: true }
    }

    /// The types that only the gateway itself emits.
    pub fn reserved() -> Self {
        let by_id = catalog::all().map(|(_, event_type)| event_type.is_reserved()).collect();
        Self { by_id, custom: Vec::new(), all_custom: false }
    }

    /// Removes the types that only the gateway itself emits.
    #[must_use]
    pub fn without_reserved(mut self) -> Self {
        for (has, (_, event_type)) in self.by_id.iter_mut().zip(catalog::all()) {
            *has &= !event_type.is_reserved();
        }
        self
    }

    /// Adds the types of another set.
    pub fn extend(&mut self, other: &TypeSet) {
        if self.by_id.is_empty() {
            self.by_id = vec![false; catalog::EVENT_TYPES.len()];
        }
        for (own, other) in self.by_id.iter_mut().zip(&other.by_id) {
            *own |= other;
        }
        self.custom.extend(other.custom.iter().cloned());
        self.all_custom |= other.all_custom;
    }

    /// Whether a type is in it: by id and, for custom events, by name, such as `custom.deploy`.
    pub fn contains(&self, type_id: TypeId, name: &str) -> bool {
        let has_id = self.has(type_id);
        has_id && (!type_id.is_custom() || self.has_custom(name))
    }

    /// Whether a type is in it, by the name that its records carry.
    pub fn contains_name(&self, name: &str) -> bool {
        match catalog::by_name(name) {
            Some(id) => self.has(id),
            None => self.has_custom(name),
        }
    }

    /// Whether every type is in it.
    pub fn is_all(&self) -> bool {
        self.all_custom && !self.by_id.is_empty() && self.by_id.iter().all(|has| *has)
    }

    /// Whether no type is in it.
    pub fn is_empty(&self) -> bool {
        !self.by_id.iter().any(|has| *has)
    }

    /// The names of the types in it: names of the catalog, in order, and patterns of custom events.
    pub fn names(&self) -> Vec<String> {
        let ids = catalog::all().filter(|(id, _)| !id.is_custom() && self.has(*id));
        let mut names: Vec<String> = ids.map(|(_, own)| own.name.to_owned()).collect();
        if self.all_custom {
            names.push(format!("{}*", catalog::CUSTOM_PREFIX));
        } else {
            names.extend(self.custom.iter().map(NamePattern::to_string));
        }
        names
    }

    /// Bytes that differ for all different sets.
    pub fn identity(&self) -> Vec<u8> {
        let mut identity: Vec<u8> = self.by_id.iter().map(|has| u8::from(*has)).collect();
        identity.push(u8::from(self.all_custom));
        if !self.all_custom {
            identity.extend(format!("{:?}", self.custom).into_bytes());
        }
        identity
    }

    /// Whether a type of the catalog is in it; of custom events, whether some are.
    pub fn has(&self, type_id: TypeId) -> bool {
        self.by_id.get(usize::from(type_id.0)).is_some_and(|has| *has)
    }

    /// Whether all custom types are in it.
    pub(super) fn has_all_custom(&self) -> bool {
        self.all_custom
    }

    /// Whether custom types may be in it.
    pub(super) fn may_have_custom(&self) -> bool {
        self.all_custom || !self.custom.is_empty()
    }

    /// Whether all custom types of another set are in it; may be false although they are.
    pub(super) fn has_custom_of(&self, other: &TypeSet) -> bool {
        self.all_custom
            || (!other.all_custom
                && other.custom.iter().all(|pattern| self.custom.contains(pattern)))
    }

    /// Whether a custom type is in it.
    pub(super) fn has_custom(&self, name: &str) -> bool {
        self.all_custom || self.custom.iter().any(|pattern| pattern.matches(name))
    }
}

/// Parses a pattern, which must match a known type.
pub(super) fn known(field: &str, position: usize, value: &str) -> Result<NamePattern, Error> {
    let pattern = NamePattern::new(value);
    let field = || error::path(field, position);
    let names = || catalog::all().map(|(_, event_type)| event_type.name);
    let custom_name = value.strip_prefix(catalog::CUSTOM_PREFIX);
    match &pattern {
        NamePattern::Exact(name) => {
            let is_known = catalog::by_name(name).is_some()
                || custom_name.is_some_and(catalog::is_custom_name);
            if !is_known {
                return Err(Error::TypeUnknown {
                    field: field(),
                    value: excerpt(value),
                    nearest: nearest(value, names(), NEAREST_MAX),
                });
            }
        }
        NamePattern::Glob { .. } => {
            if custom_name.is_none() && !names().any(|name| pattern.matches(name)) {
                return Err(Error::GlobUnmatched {
                    field: field(),
                    value: excerpt(value),
                    nearest: nearest(&value.replace('*', ""), names(), NEAREST_MAX),
                });
            }
        }
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(patterns: &[&str]) -> TypeSet {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        TypeSet::compile("read", &patterns).expect("valid")
    }

    fn has(set: &TypeSet, name: &str) -> bool {
        let id = catalog::by_name(name).or_else(|| catalog::by_name(catalog::CUSTOM));
        set.contains(id.expect("in the catalog"), name)
    }

    #[test]
    fn patterns_name_types() {
        let some = set(&["session.*", "user.login", "custom.a*"]);
        for (name, expected) in [
            ("session.start", true),
            ("user.login", true),
            ("user.create", false),
            ("custom.a", true),
            ("custom.abc", true),
            ("custom.b", false),
        ] {
            assert_eq!(has(&some, name), expected, "{name}");
        }
        assert!(!some.is_all() && !some.is_empty());
    }

    #[test]
    fn all_and_none_are_told() {
        assert!(set(&["*"]).is_all() && TypeSet::all().is_all());
        assert!(set(&[]).is_empty() && TypeSet::default().is_empty());
        assert!(!set(&["*.login", "custom"]).is_all());
        assert!(has(&set(&["custom"]), "custom.any") && has(&set(&["custom.*"]), "custom.any"));
    }

    #[test]
    fn sets_are_named() {
        assert_eq!(
            set(&["user.*d*", "custom.a*"]).names(),
            ["user.delete", "user.password_change", "user.update", "custom.a*"]
        );
        assert_eq!(set(&["exec", "custom"]).names(), ["exec", "custom.*"]);
        assert!(TypeSet::default().names().is_empty());
        assert_eq!(TypeSet::all().names().len(), catalog::EVENT_TYPES.len());
    }

    #[test]
    fn sets_add_up() {
        let mut sum = TypeSet::default();
        sum.extend(&set(&["exec", "custom.a"]));
        sum.extend(&set(&["user.login", "custom.b"]));
        for name in ["exec", "user.login", "custom.a", "custom.b"] {
            assert!(has(&sum, name), "{name}");
        }
        assert!(!has(&sum, "custom.c") && !has(&sum, "session.start"));
    }

    #[test]
    fn a_pattern_without_a_type_is_refused() {
        let refused = TypeSet::compile("roles[0].read", &["user.logni".to_owned()]);
        let said = refused.expect_err("unknown").to_string();
        assert!(said.starts_with("roles[0].read[0] is \"user.logni\""), "{said}");
        assert!(said.contains("user.login"), "{said}");
    }
}
