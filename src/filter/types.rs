//! Filter by event type: `types`, `exclude_types` and `categories` combined.

use std::sync::Arc;

use crate::catalog::{self, TypeId};
use crate::glob::NamePattern;
use crate::proto::pb;

use super::error::{self, Error, excerpt};
use super::type_set::{TypeSet, known};
use super::values;
use super::{VALUE_BYTES_MAX, Verdict};

/// The event types that match.
#[derive(Debug)]
pub(super) struct TypeFilter {
    /// Whether the type matches, by type id. The type of custom events does if
    /// some of them do.
    by_id: Vec<bool>,
    custom: CustomTypes,
    /// The types that the filter names.
    wanted: Arc<Wanted>,
    /// The custom types that the reader may read; `None` if these are all.
    readable: Option<Arc<TypeSet>>,
    /// Whether every type matches.
    all: bool,
}

/// The types that a filter names, independent of the reader.
#[derive(Debug)]
struct Wanted {
    /// All types if there are none.
    include: Vec<NamePattern>,
    exclude: Vec<NamePattern>,
    /// All types if there are none.
    categories: Vec<i32>,
}

/// Which custom events match.
#[derive(Debug)]
enum CustomTypes {
    None,
    All,
    /// Those whose type is included, and not excluded. The included patterns are not checked if all
    /// are included.
    Named {
        all_included: bool,
    },
}

impl TypeFilter {
    /// Compiles the types of a filter for a reader. Naming a type that may not be read is an error;
    /// a pattern matches only readable types.
    pub(super) fn compile(filter: &pb::Filter, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        let include = patterns("types", &filter.types)?;
        check_readable(&include, readable)?;
        let exclude = patterns("exclude_types", &filter.exclude_types)?;
        let categories = categories(&filter.categories)?;
        Ok(Self::of(Arc::new(Wanted { include, exclude, categories }), readable))
    }

    /// The same filter for another reader.
    pub(super) fn for_reader(&self, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        check_readable(&self.wanted.include, readable)?;
        Ok(Self::of(Arc::clone(&self.wanted), readable))
    }

    /// Estimated memory that it takes, in bytes.
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

    /// Decides by the type id alone.
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
        // `custom` is the catalog's name of all custom types.
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

/// Refuses patterns that match no known type and, if `readable` is given, names of types that may
/// not be read.
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
            let field = error::path("types", position);
            return Err(Error::TypeForbidden { field, value: excerpt(name) });
        }
    }
    Ok(())
}

fn patterns(field: &'static str, values: &[String]) -> Result<Vec<NamePattern>, Error> {
    values::check(field, values, VALUE_BYTES_MAX)?;
    values.iter().enumerate().map(|(position, value)| known(field, position, value)).collect()
}

/// The categories of a filter.
pub(super) fn categories(numbers: &[i32]) -> Result<Vec<i32>, Error> {
    values::check_count("categories", numbers.len())?;
    for (position, number) in numbers.iter().enumerate() {
        match pb::Category::try_from(*number) {
            Ok(category) if category != pb::Category::Unspecified => {}
            _ => {
                return Err(Error::EnumUnknown {
                    field: error::path("categories", position),
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
mod tests;
