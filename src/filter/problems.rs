//! Finds all errors of a filter, not only the first one.

use std::sync::Arc;

use super::address::CidrBlocks;
use super::error::Error;
use super::{Filter, TypeSet, VALUE_BYTES_MAX, types, values};
use crate::proto::pb;

/// Most problems of a filter that are returned.
pub const PROBLEMS_MAX: usize = 100;

/// The errors of a filter for a reader of these types, in the order of its fields: at most
/// [`PROBLEMS_MAX`], and the first one of an expression. There are none if [`Filter::compile_for`]
/// accepts the filter.
pub fn problems(filter: &pb::Filter, readable: &Arc<TypeSet>) -> Vec<Error> {
    let mut found = Problems { readable, found: Vec::new() };
    found.types("types", &filter.types, Some(readable));
    found.types("exclude_types", &filter.exclude_types, None);
    found.list("categories", &filter.categories, |one| types::categories(one).map(drop));
    found.whole(&pb::Filter { min_severity: filter.min_severity, ..Default::default() });
    found.list("results", &filter.results, |one| super::results(one).map(drop));
    for (field, list) in [
        ("codes", &filter.codes),
        ("users", &filter.users),
        ("session_ids", &filter.session_ids),
        ("server_ids", &filter.server_ids),
        ("cluster_names", &filter.cluster_names),
        ("sources", &filter.sources),
    ] {
        found.list(field, list, |one| values::check(field, one, VALUE_BYTES_MAX));
    }
    let field = "remote_addresses";
    found.list(field, &filter.remote_addresses, |one| CidrBlocks::compile(field, one).map(drop));
    found.whole(&pb::Filter { labels: filter.labels.clone(), ..Default::default() });
    found.whole(&pb::Filter { text: filter.text.clone(), ..Default::default() });
    found.whole(&pb::Filter { expression: filter.expression.clone(), ..Default::default() });
    found.found
}

struct Problems<'r> {
    readable: &'r Arc<TypeSet>,
    found: Vec<Error>,
}

impl Problems<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    /// Checks a filter of which one field is set.
    fn whole(&mut self, filter: &pb::Filter) {
        if !self.is_full() {
            self.found.extend(Filter::compile_for(filter, self.readable).err());
        }
    }

    fn types(&mut self, field: &'static str, list: &[String], readable: Option<&TypeSet>) {
        self.list(field, list, |one| types::check_patterns(field, one, readable));
    }

    /// Checks each value of a field alone, as the first one.
    fn list<T>(
        &mut self,
        field: &'static str,
        list: &[T],
        check: impl Fn(&[T]) -> Result<(), Error>,
    ) {
        if self.is_full() {
            return;
        }
        if let Err(error) = values::check_count(field, list.len()) {
            return self.found.push(error);
        }
        for (position, value) in list.iter().enumerate() {
            if self.is_full() {
                return;
            }
            if let Err(error) = check(std::slice::from_ref(value)) {
                self.found.push(error.of_value(field, position));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn every_problem_is_found() {
        let filter = pb::Filter {
            types: strings(&["user.login", "user.logn", "exec", "sesion.*"]),
            exclude_types: strings(&["exek"]),
            categories: vec![1, 99],
            min_severity: 77,
            results: vec![-1, 1],
            codes: strings(&["T1000I", ""]),
            users: vec!["u".to_owned(); values_max() + 1],
            remote_addresses: strings(&["10.0.0.0/8", "10.0.0"]),
            text: "x".repeat(2_000),
            expression: "type == 'a'".to_owned(),
            ..Default::default()
        };
        let found = problems(&filter, &Arc::new(TypeSet::all()));
        let fields: Vec<String> = found.iter().map(Error::field).collect();
        let expected = [
            "types[1]",
            "types[3]",
            "exclude_types[0]",
            "categories[1]",
            "min_severity",
            "results[0]",
            "codes[1]",
            "users",
            "remote_addresses[1]",
            "text",
            "expression",
        ];
        assert_eq!(fields, expected);
        assert!(found[0].to_string().starts_with("types[1] is \"user.logn\""), "{}", found[0]);
        assert_eq!(found[0].nearest().first().map(String::as_str), Some("user.login"));
        assert_eq!(found[10].position().map(|at| (at.line, at.column, at.length)), Some((1, 9, 3)));
    }

    fn values_max() -> usize {
        super::super::VALUES_MAX
    }

    #[test]
    fn problems_are_bounded_and_follow_what_may_be_read() {
        let filter = pb::Filter { types: vec!["x".to_owned(); 500], ..Default::default() };
        assert_eq!(problems(&filter, &Arc::new(TypeSet::all())).len(), PROBLEMS_MAX);
        let read = TypeSet::compile("read", &strings(&["session.*"])).expect("valid");
        let filter =
            pb::Filter { types: strings(&["session.start", "exec"]), ..Default::default() };
        let found = problems(&filter, &Arc::new(read));
        assert!(
            matches!(found.as_slice(), [Error::TypeForbidden { field, .. }] if field == "types[1]")
        );
    }

    #[test]
    fn a_filter_without_problems_compiles_and_no_other() {
        let all = Arc::new(TypeSet::all());
        for (filter, good) in [
            (pb::Filter::default(), true),
            (pb::Filter { expression: "true".to_owned(), ..Default::default() }, true),
            (pb::Filter { types: strings(&["*.login", "custom.a"]), ..Default::default() }, true),
            (pb::Filter { types: strings(&[""]), ..Default::default() }, false),
            (pb::Filter { expression: "1".to_owned(), ..Default::default() }, false),
        ] {
            assert_eq!(problems(&filter, &all).is_empty(), good, "{filter:?}");
            assert_eq!(Filter::compile_for(&filter, &all).is_ok(), good, "{filter:?}");
        }
    }
}
