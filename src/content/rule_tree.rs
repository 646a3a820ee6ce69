//! Redaction rules as a tree of the fields that they name.

use super::Action;
use super::field_path::PathSegment;

/// A field in the tree, with the actions for it and for the fields below it.
#[derive(Debug, Default, Clone)]
pub(super) struct RuleNode {
    /// The actions for the value here, each with the number of its rule; the strictest first.
    rules: Vec<(Action, usize)>,
    /// Exempts the value here from the rules of the fields above.
    exempt: bool,
    /// Fields of the message here.
    fields: Vec<(u32, RuleNode)>,
    /// Keys of the map or of the JSON object here.
    keys: Vec<(String, RuleNode)>,
    /// All other keys.
    any: Option<Box<RuleNode>>,
}

impl RuleNode {
    /// Adds a rule for the field at the end of `steps`.
    pub(super) fn add(&mut self, steps: &[PathSegment], action: Action, rule: usize) {
        let end = self.at(steps);
        end.rules.push((action, rule));
        end.rules.sort_by(|(a, _), (b, _)| b.cmp(a));
    }

    /// Exempts the field at the end of `steps` from the rules of the fields above.
    pub(super) fn exempt(&mut self, steps: &[PathSegment]) {
        self.at(steps).exempt = true;
    }

    fn at(&mut self, steps: &[PathSegment]) -> &mut RuleNode {
        let Some((step, rest)) = steps.split_first() else { return self };
        let next = match step {
            PathSegment::Field(number) => child(&mut self.fields, number),
            PathSegment::Key(key) => child(&mut self.keys, key),
            PathSegment::AnyKey => self.any.get_or_insert_default(),
        };
        next.at(rest)
    }

    /// Copies the actions for all keys to the keys with a node of their own. To be called once,
    /// after all rules are added.
    pub(super) fn finish(&mut self) {
        if let Some(any) = &self.any {
            for (_, node) in &mut self.keys {
                node.merge(any);
            }
        }
        let fields = self.fields.iter_mut().map(|(_, node)| node);
        let keys = self.keys.iter_mut().map(|(_, node)| node);
        fields.chain(keys).chain(self.any.as_deref_mut()).for_each(RuleNode::finish);
    }

    fn merge(&mut self, other: &RuleNode) {
        self.rules.extend(&other.rules);
        self.rules.sort_by(|(a, _), (b, _)| b.cmp(a));
        self.exempt |= other.exempt;
        for (number, node) in &other.fields {
            child(&mut self.fields, number).merge(node);
        }
        for (key, node) in &other.keys {
            child(&mut self.keys, key).merge(node);
        }
        if let Some(any) = &other.any {
            self.any.get_or_insert_default().merge(any);
        }
    }

    /// Whether it has no rule.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.fields.iter().all(|(_, node)| node.is_empty())
            && self.keys.iter().all(|(_, node)| node.is_empty())
            && self.any.as_ref().is_none_or(|node| node.is_empty())
    }

    fn field(&self, number: u32) -> Option<&RuleNode> {
        self.fields.iter().find(|(known, _)| *known == number).map(|(_, node)| node)
    }
}

fn child<'n, K: PartialEq + Clone>(nodes: &'n mut Vec<(K, RuleNode)>, key: &K) -> &'n mut RuleNode {
    let found = nodes.iter().position(|(known, _)| known == key);
    let position = found.unwrap_or_else(|| {
        nodes.push((key.clone(), RuleNode::default()));
        nodes.len() - 1
    });
    nodes.get_mut(position).map(|(_, node)| node).expect("it was found or added")
}

/// One name on the path to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathName<'p> {
    /// The name of a field.
    Field(&'static str),
    /// A key that a rule names.
    Key(&'p str),
    /// Any other key, which the client chose.
    AnyKey,
}

/// The position of a walk through an event in the rule tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleCursor<'p> {
    node: Option<&'p RuleNode>,
    /// The actions for the value here, by its own rules or by those of the fields above.
    pub(super) action: Option<Action>,
    /// Which rules apply; all if `None`.
    enabled: Option<&'p [bool]>,
}

impl<'p> RuleCursor<'p> {
    /// A cursor at the event itself.
    pub(super) fn root(node: &'p RuleNode, enabled: Option<&'p [bool]>) -> Self {
        Self { node: None, action: None, enabled }.down(Some(node))
    }

    /// A cursor without actions.
    pub(super) fn nothing(self) -> Self {
        Self { node: None, action: None, ..self }
    }

    /// The field with this number.
    pub(super) fn field(self, number: u32) -> Self {
        self.down(self.node.and_then(|node| node.field(number)))
    }

    /// The value of this key, and its name for amendments, if rules distinguish it.
    pub(super) fn key(self, key: &str) -> (Self, Option<PathName<'p>>) {
        let Some(node) = self.node else { return (self.down(None), None) };
        if let Some((known, node)) = node.keys.iter().find(|(known, _)| known == key) {
            return (self.down(Some(node)), Some(PathName::Key(known)));
        }
        (self.down(node.any.as_deref()), node.any.as_ref().map(|_| PathName::AnyKey))
    }

    /// Whether there are no actions here or below.
    pub(super) fn is_free(self) -> bool {
        self.node.is_none() && self.action.is_none()
    }

    fn down(self, node: Option<&'p RuleNode>) -> Self {
        let Some(child) = node else { return Self { node, ..self } };
        if child.exempt {
            return Self { node, action: None, ..self };
        }
        let applies = |rule: usize| {
            self.enabled.is_none_or(|enabled| enabled.get(rule).is_some_and(|applies| *applies))
        };
        let own = child.rules.iter().find(|(_, rule)| applies(*rule)).map(|(action, _)| *action);
        Self { node, action: self.action.max(own), ..self }
    }
}
