//! Finds the ids that an expression requires, so that an index of ids can exclude segments.

use super::Expression;
use super::node::{ExprNode, ExprPath, Variable};
use super::value::ExprValue;

/// The most ids; expressions with more ids do not use the index.
const IDS_MAX: usize = 64;

impl Expression {
    /// The ids, one of which an event must have; `None` if the expression may also be true or fail
    /// for other ids. Of `a && b` only `a` counts, because it is evaluated first.
    pub fn ids(&self) -> Option<Vec<&str>> {
        let (mut ids, mut open) = (Vec::new(), vec![&self.root]);
        while let Some(node) = open.pop() {
            match node {
                ExprNode::Or(parts) => open.extend([&parts.0, &parts.1]),
                ExprNode::And(parts) => open.push(&parts.0),
                ExprNode::Equal(parts) => {
                    let other = match (is_id(&parts.0), is_id(&parts.1)) {
                        (true, false) => &parts.1,
                        (false, true) => &parts.0,
                        _ => return None,
                    };
                    ids.push(text(other)?);
                }
                ExprNode::In(parts) if is_id(&parts.0) => match &parts.1 {
                    ExprNode::List(list) => {
                        for item in list {
                            ids.push(text(item)?);
                        }
                    }
                    _ => return None,
                },
                _ => return None,
            }
            if ids.len() + open.len() > IDS_MAX {
                return None;
            }
        }
        Some(ids)
    }
}

/// Whether a node is `event.id`.
fn is_id(node: &ExprNode) -> bool {
    let ExprNode::Read(path) = node else { return false };
    let ExprPath { base, through, field } = &**path;
    matches!(base, ExprNode::Variable(Variable::Event)) && through.is_empty() && field.name == "id"
}

fn text(node: &ExprNode) -> Option<&str> {
    match node {
        ExprNode::Literal(ExprValue::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_where_nothing_else_matches() {
        let ids = |source: &str| {
            let compiled = Expression::compile(source).expect(source).expect("not blank");
            compiled.ids().map(|ids| {
                let mut ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
                ids.sort();
                ids.join(" ")
            })
        };
        let known = |text: &str| Some(text.to_owned());
        assert_eq!(ids("event.id == 'a'"), known("a"));
        assert_eq!(ids("'a' == event.id"), known("a"));
        assert_eq!(ids("event.id == 'a' || event.id == 'b' || 'c' == event.id"), known("a b c"));
        assert_eq!(ids("event.id in ['a', 'b']"), known("a b"));
        assert_eq!(ids("event.id == 'a' && event.user.name == 'x'"), known("a"));
        assert_eq!(ids("(event.id == 'a' || event.id == 'b') && sequence > 4"), known("a b"));
        for open in [
            "event.user.name == 'a'",
            "event.id != 'a'",
            "event.id == event.code",
            "event.id == event.id",
            "event.id == 'a' || sequence == 4",
            "event.id.startsWith('a')",
            "!(event.id == 'a')",
            "event.session.id == 'a'",
            "event.user.name == 'x' && event.id == 'a'",
            "sequence == 4 ? event.id == 'a' : true",
        ] {
            assert_eq!(ids(open), None, "{open}");
        }
        let many: Vec<_> = (0..=IDS_MAX).map(|number| format!("'{number}'")).collect();
        assert_eq!(ids(&format!("event.id in [{}]", many.join(","))), None);
    }
}
