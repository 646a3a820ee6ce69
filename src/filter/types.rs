//! Filter by event type: `types`, `exclude_types` and `categories` combined.

use std::sync::Arc;

use crate::catalog::{self, TypeId};
use crate::glob::NamePattern;
use crate::proto::pb;

use super::error::{Error, excerpt, nearest};
use super::type_set::TypeSet;
use super::values;
use super::{VALUE_BYTES_MAX, Verdict};

/// How many names an error suggests.
const NEAREST_MAX: usize = 3;

/// The event types that match.
#[derive(Debug)]
pub(super) struct TypeFilter {
    /// Whether the type matches, by type id. The type of custom events does if
    /// some of them do.
    by_id: Vec<bool>,
    custom: CustomTypes,
    /// What was asked for.
    wanted: Arc<Wanted>,
    /// The custom types that may be read, unless those are all.
    readable: Option<Arc<TypeSet>>,
    /// Every type matches.
    all: bool,
}

/// The types that were asked for, whoever asks.
#[derive(Debug)]
struct Wanted {
    /// All, where there are none.
    include: Vec<NamePattern>,
    exclude: Vec<NamePattern>,
    /// All, where there are none.
    categories: Vec<i32>,
}

/// Which custom events match.
#[derive(Debug)]
enum CustomTypes {
    None,
    All,
    /// Those whose type is included, and not excluded. Without a look at what is
    /// included, if all of them are.
    Named {
        all_included: bool,
    },
}

impl TypeFilter {
    /// The types of a filter, of those that may be read. A type that is named and
    /// may not be read is an error; a pattern stands for those that may.
    pub(super) fn compile(filter: &pb::Filter, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        let include = patterns("types", &filter.types)?;
        check_readable(&include, readable)?;
        let exclude = patterns("exclude_types", &filter.exclude_types)?;
        let categories = categories(&filter.categories)?;
        Ok(Self::of(Arc::new(Wanted { include, exclude, categories }), readable))
    }

    /// The same for somebody who may read these types.
    pub(super) fn for_reader(&self, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        check_readable(&self.wanted.include, readable)?;
        Ok(Self::of(Arc::clone(&self.wanted), readable))
    }

    /// What it takes in memory, in bytes, about.
    pub(super) fn held_bytes(&self) -> usize {
        let wanted = &self.wanted;
        let patterns = wanted.include.iter().chain(&wanted.exclude);
        self.by_id.len() + patterns.map(NamePattern::held_bytes).sum::<usize>()
    }

    fn of(wanted: Arc<Wanted>, readable: &Arc<TypeSet>) -> Self {
        let Wanted { include, exclude, categories } = &*wanted;
        let in_category = |category: i32| categories.is_empty() || categories.contains(&category);
        let mut by_id: Vec<bool> = catalog::all()
            .map(|(id, event_type)| {
                let included = |pattern: &NamePattern| pattern.matches(event_type.name);
                in_category(event_type.category)
                    && readable.has(id)
                    && (include.is_empty() || include.iter().any(included))
                    && !exclude.iter().any(included)
            })
            .collect();
        let custom = if in_category(pb::Category::Custom as i32) {
            CustomTypes::new(include, exclude)
        } else {
            CustomTypes::None
        };
        if let Some(slot) =
            catalog::by_name(catalog::CUSTOM).and_then(|id| by_id.get_mut(usize::from(id.0)))
        {
            *slot = !matches!(custom, CustomTypes::None) && readable.may_have_custom();
        }
        let readable = (!readable.has_all_custom()).then(|| Arc::clone(readable));
        let all = matches!(custom, CustomTypes::All)
            && readable.is_none()
            && by_id.iter().all(|matches| *matches);
        Self { by_id, custom, wanted, readable, all }
    }

    /// Whether every type matches.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// The types that match or, among custom ones, may match.
    pub(super) fn selection(&self) -> Option<Vec<TypeId>> {
        if self.by_id.iter().all(|matches| *matches) {
            return None;
        }
        let ids = catalog::all().map(|(id, _)| id).zip(&self.by_id);
        Some(ids.filter(|(_, matches)| **matches).map(|(id, _)| id).collect())
    }

    /// What the type alone says.
    pub(super) fn verdict(&self, type_id: TypeId) -> Verdict {
        let by_name = matches!(self.custom, CustomTypes::Named { .. }) || self.readable.is_some();
        match self.by_id.get(usize::from(type_id.0)) {
            Some(true) if type_id.is_custom() && by_name => Verdict::Unsure,
            Some(true) => Verdict::Yes,
            _ => Verdict::No,
        }
    }

    /// Whether a record of this type matches.
    pub(super) fn matches(&self, type_name: &str) -> bool {
        if self.all {
            return true;
        }
        match (catalog::by_name(type_name), &self.custom) {
            (Some(id), _) => self.by_id.get(usize::from(id.0)).is_some_and(|matches| *matches),
            (None, _) if !self.may_read_custom(type_name) => false,
            (None, CustomTypes::None) => false,
            (None, CustomTypes::All) => true,
            (None, CustomTypes::Named { all_included }) => {
                let Wanted { include, exclude, .. } = &*self.wanted;
                let matches = |pattern: &NamePattern| pattern.matches(type_name);
                (*all_included || include.iter().any(matches)) && !exclude.iter().any(matches)
            }
        }
    }

    /// Whether every type that matches is in a set.
    pub(super) fn is_within(&self, set: &TypeSet) -> bool {
        let ids = catalog::all().map(|(id, _)| id).zip(&self.by_id);
        let mut matching = ids.filter(|(_, matches)| **matches).map(|(id, _)| id);
        matching.all(|id| match (id.is_custom(), &self.readable) {
            (false, _) => set.has(id),
            (true, None) => set.has_all_custom(),
            (true, Some(readable)) => set.has_custom_of(readable),
        })
    }

    fn may_read_custom(&self, type_name: &str) -> bool {
        self.readable.as_ref().is_none_or(|readable| readable.has_custom(type_name))
    }
}

impl CustomTypes {
    fn new(include: &[NamePattern], exclude: &[NamePattern]) -> Self {
        // `custom` is the name under which the catalog lists them all.
        let covers = |pattern: &NamePattern| {
            pattern.matches(catalog::CUSTOM) || pattern.matches_all_after(catalog::CUSTOM_PREFIX)
        };
        let touches = |pattern: &NamePattern| pattern.may_match_after(catalog::CUSTOM_PREFIX);
        let all_included = include.is_empty() || include.iter().any(covers);
        if exclude.iter().any(covers) || !(all_included || include.iter().any(touches)) {
            CustomTypes::None
        } else if all_included && !exclude.iter().any(touches) {
            CustomTypes::All
        } else {
            CustomTypes::Named { all_included }
        }
    }
}

/// Refuses patterns that stand for no type that is known and, where the types that may be
/// read are given, names of others.
pub(super) fn check_patterns(
    field: &'static str,
    values: &[String],
    readable: Option<&TypeSet>,
) -> Result<(), Error> {
    let patterns = patterns(field, values)?;
    readable.map_or(Ok(()), |readable| check_readable(&patterns, readable))
}

/// Refuses names of types that may not be read.
fn check_readable(include: &[NamePattern], readable: &TypeSet) -> Result<(), Error> {
    for (position, pattern) in include.iter().enumerate() {
        let NamePattern::Exact(name) = pattern else { continue };
        let may = match catalog::by_name(name) {
            Some(id) => readable.has(id),
            None => readable.has_custom(name),
        };
        if !may {
            let field = values::path("types", position);
            return Err(Error::TypeForbidden { field, value: excerpt(name) });
        }
    }
    Ok(())
}

fn patterns(field: &'static str, values: &[String]) -> Result<Vec<NamePattern>, Error> {
    values::check(field, values, VALUE_BYTES_MAX)?;
    values.iter().enumerate().map(|(position, value)| known(field, position, value)).collect()
}

/// The pattern, if it stands for a type that is known.
pub(super) fn known(field: &str, position: usize, value: &str) -> Result<NamePattern, Error> {
    let pattern = NamePattern::new(value);
    let field = || values::path(field, position);
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

/// The categories of a filter.
pub(super) fn categories(numbers: &[i32]) -> Result<Vec<i32>, Error> {
    values::check_count("categories", numbers.len())?;
    for (position, number) in numbers.iter().enumerate() {
        match pb::Category::try_from(*number) {
            Ok(category) if category != pb::Category::Unspecified => {}
            _ => {
                return Err(Error::EnumUnknown {
                    field: values::path("categories", position),
                    number: *number,
                    of: "category",
                });
            }
        }
    }
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(types: &[&str], exclude: &[&str]) -> Result<TypeFilter, Error> {
        compile_for(types, exclude, &["*"])
    }

    fn set(patterns: &[&str]) -> Arc<TypeSet> {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        Arc::new(TypeSet::compile("read", &patterns).expect("valid"))
    }

    fn compile_for(
        types: &[&str],
        exclude: &[&str],
        readable: &[&str],
    ) -> Result<TypeFilter, Error> {
        let filter = pb::Filter {
            types: types.iter().map(|value| (*value).to_owned()).collect(),
            exclude_types: exclude.iter().map(|value| (*value).to_owned()).collect(),
            ..Default::default()
        };
        TypeFilter::compile(&filter, &set(readable))
    }

    fn id(name: &str) -> TypeId {
        catalog::by_name(name).expect("in the catalog")
    }

    #[test]
    fn types_and_exclusions_are_resolved_to_ids() {
        let types = compile(&["session.*", "user.login"], &["session.start"]).expect("valid");
        assert_eq!(types.verdict(id("user.login")), Verdict::Yes);
        assert_eq!(types.verdict(id("session.end")), Verdict::Yes);
        assert_eq!(types.verdict(id("session.start")), Verdict::No);
        assert_eq!(types.verdict(id("custom")), Verdict::No);
        assert!(types.matches("session.end"));
        assert!(!types.matches("custom.session.end"));
        let selected = types.selection().expect("narrowed");
        assert!(selected.contains(&id("session.end")) && !selected.contains(&id("exec")));
        assert!(selected.is_sorted());
    }

    #[test]
    fn custom_types_match_by_name() {
        let all = [&["custom"] as &[_], &["custom.*"], &["*"], &["c*"], &[]];
        for types in all {
            let types = compile(types, &[]).expect("valid");
            assert_eq!(types.verdict(id("custom")), Verdict::Yes);
            assert!(types.matches("custom.anything"));
        }
        let named = compile(&["custom.a", "custom.b*"], &["custom.bb"]).expect("valid");
        assert_eq!(named.verdict(id("custom")), Verdict::Unsure);
        assert_eq!(named.selection(), Some(vec![id("custom")]));
        for (name, expected) in
            [("custom.a", true), ("custom.b", true), ("custom.bb", false), ("custom.c", false)]
        {
            assert_eq!(named.matches(name), expected, "{name}");
        }
        let excluded = compile(&[], &["custom.a"]).expect("valid");
        assert_eq!(excluded.verdict(id("custom")), Verdict::Unsure);
        assert!(!excluded.is_all());
        assert_eq!(excluded.selection(), None);
        assert!(excluded.matches("custom.b") && !excluded.matches("custom.a"));
        assert!(!compile(&[], &["c*"]).expect("valid").matches("custom.a"));
        let ends = compile(&["*.login"], &[]).expect("valid");
        assert!(ends.matches("custom.x.login") && ends.matches("user.login"));
    }

    #[test]
    fn only_what_may_be_read_matches() {
        let read = ["session.*", "user.login", "custom.a*"];
        for types in [&[] as &[_], &["*"], &["*.*", "user.login"]] {
            let types = compile_for(types, &[], &read).expect("valid");
            assert!(!types.is_all());
            for (name, expected) in [
                ("session.start", true),
                ("user.login", true),
                ("user.create", false),
                ("exec", false),
                ("custom.a", true),
                ("custom.b", false),
            ] {
                assert_eq!(types.matches(name), expected, "{name}");
            }
            assert_eq!(types.verdict(id("exec")), Verdict::No);
            assert_eq!(types.verdict(id("user.login")), Verdict::Yes);
            assert_eq!(types.verdict(id("custom")), Verdict::Unsure);
            assert!(!types.selection().expect("narrowed").contains(&id("exec")));
        }
        let none = compile_for(&[], &[], &["exec"]).expect("valid");
        assert_eq!(none.verdict(id("custom")), Verdict::No);
        assert!(!none.matches("custom.a"));
        let all = compile_for(&["custom"], &[], &["custom.a*"]).expect("narrowed");
        assert!(all.matches("custom.a") && !all.matches("custom.b"));
    }

    #[test]
    fn a_name_that_may_not_be_read_is_refused_and_a_pattern_is_not() {
        for (types, field) in [
            (&["session.*", "exec"] as &[_], "types[1]"),
            (&["custom.b"], "types[0]"),
            (&["user.create"], "types[0]"),
        ] {
            let error = compile_for(types, &[], &["session.*", "custom.a"]).expect_err("named");
            assert!(matches!(&error, Error::TypeForbidden { .. }), "{error}");
            assert_eq!(error.field(), field);
        }
        assert!(compile_for(&["user.*"], &["exec"], &["session.*"]).is_ok());
        let error = compile_for(&["custom"], &[], &["session.*"]).expect_err("named");
        assert_eq!(error.field(), "types[0]");
    }

    #[test]
    fn what_a_filter_needs_is_compared_with_what_may_be_read() {
        let types = |wanted: &[&str], read: &[&str]| compile_for(wanted, &[], read).expect("valid");
        let sessions = types(&["session.*"], &["session.*", "exec"]);
        assert!(sessions.is_within(&set(&["session.*"])), "exec was not asked for");
        assert!(!sessions.is_within(&set(&["session.start"])));
        let custom = types(&[], &["custom.a"]);
        assert!(custom.is_within(&set(&["custom.a", "custom.b"])));
        assert!(custom.is_within(&set(&["*"])));
        assert!(!custom.is_within(&set(&["custom.b"])));
        assert!(!types(&[], &["custom"]).is_within(&set(&["custom.a"])));
    }

    #[test]
    fn unknown_types_are_refused_with_the_nearest_names() {
        match compile(&["exec", "user.logn"], &[]).expect_err("unknown") {
            Error::TypeUnknown { field, nearest, .. } => {
                assert_eq!(field, "types[1]");
                assert_eq!(nearest.first(), Some(&"user.login"));
                assert!(nearest.len() <= NEAREST_MAX);
            }
            other => panic!("{other}"),
        }
        match compile(&[], &["sesion.*"]).expect_err("unknown") {
            Error::GlobUnmatched { field, .. } => assert_eq!(field, "exclude_types[0]"),
            other => panic!("{other}"),
        }
        for bad in ["", "custom.", "custom.a b", "Custom.a", "*zzz*"] {
            assert!(compile(&[bad], &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn categories_must_be_known() {
        let categories = |numbers: &[i32]| {
            let filter = pb::Filter { categories: numbers.to_vec(), ..Default::default() };
            TypeFilter::compile(&filter, &Arc::new(TypeSet::all()))
        };
        let types = categories(&[pb::Category::Session as i32]).expect("valid");
        assert!(types.matches("session.start") && !types.matches("user.login"));
        assert!(!types.matches("custom.a"));
        assert!(categories(&[pb::Category::Custom as i32]).expect("valid").matches("custom.a"));
        for bad in [0, -1, 1_000] {
            let error = categories(&[1, bad]).expect_err("unknown");
            assert_eq!(error.field(), "categories[1]");
        }
    }
}
