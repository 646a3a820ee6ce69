//! The same trees as the parser of the `cel` crate, which is generated from cel-go's grammar.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::Parser;
use proptest::prelude::*;

use super::shown::{shown, shown_literal};
use crate::filter::expression::parse::{FaultKind, parse};
use crate::filter::expression::syntax::Literal;

/// Brackets that the other parser takes at most.
const RECURSION_MAX: u16 = 32;

/// A tree of the other parser in the same form; `None` where it has no counterpart.
fn theirs(tree: &IdedExpr) -> Option<String> {
    let list = |nodes: &[IdedExpr]| -> Option<String> {
        Some(nodes.iter().map(theirs).collect::<Option<Vec<_>>>()?.join(","))
    };
    Some(match &tree.expr {
        Expr::Literal(literal) => shown_literal(&match literal {
            LiteralValue::Boolean(value) => Literal::Bool(*value.inner()),
            LiteralValue::Bytes(value) => Literal::Bytes(value.inner().to_vec()),
            LiteralValue::Double(value) => Literal::Double(*value.inner()),
            LiteralValue::Int(value) => Literal::Int(*value.inner()),
            LiteralValue::Null => Literal::Null,
            LiteralValue::String(value) => Literal::String(value.inner().to_owned()),
            LiteralValue::UInt(value) => Literal::Uint(*value.inner()),
        }),
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => {
            let test = if select.test { "~test-only~" } else { "" };
            format!("{}.{}{test}", theirs(&select.operand)?, select.field)
        }
        Expr::List(elements) => format!("[{}]", list(&elements.elements)?),
        Expr::Call(call) => match (&call.target, call.func_name.as_str()) {
            (Some(target), name) => format!("{}.{name}({})", theirs(target)?, list(&call.args)?),
            (None, name) => format!("{name}({})", list(&call.args)?),
        },
        Expr::Map(map) => {
            let entry = |entry: &EntryExpr| match entry {
                EntryExpr::MapEntry(entry) => {
                    Some(format!("{}:{}", theirs(&entry.key)?, theirs(&entry.value)?))
                }
                EntryExpr::StructField(_) => None,
            };
            let entries = map.entries.iter().map(|it| entry(&it.expr));
            format!("{{{}}}", entries.collect::<Option<Vec<_>>>()?.join(","))
        }
        Expr::Comprehension(comprehension) => visit(comprehension)?,
        Expr::Struct(_) | Expr::Unspecified => return None,
    })
}

/// The call of the macro that became this loop.
fn visit(comprehension: &ComprehensionExpr) -> Option<String> {
    let call = |node: &IdedExpr| -> Option<CallExpr> {
        if let Expr::Call(call) = &node.expr { Some(call.clone()) } else { None }
    };
    let collected = |step: &CallExpr| match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => {
            list.elements.first().cloned()
        }
        _ => None,
    };
    let step = call(&comprehension.loop_step)?;
    let (name, rest) =
        match (&comprehension.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, test]) => {
                ("all", vec![test.clone()])
            }
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, test]) => {
                ("exists", vec![test.clone()])
            }
            (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [test, ..]) => {
                ("exists_one", vec![test.clone()])
            }
            (Expr::List(_), operators::CONDITIONAL, [test, step, _]) => {
                let result = collected(&call(step)?)?;
                // A map whose result is the element, with a condition, is a filter.
                match &result.expr {
                    Expr::Ident(name) if *name == comprehension.iter_var => {
                        ("filter", vec![test.clone()])
                    }
                    _ => ("map", vec![test.clone(), result]),
                }
            }
            (Expr::List(_), _, _) => ("map", vec![collected(&step)?]),
            _ => return None,
        };
    let rest = rest.iter().map(theirs).collect::<Option<Vec<_>>>()?.join(",");
    let range = theirs(&comprehension.iter_range)?;
    Some(format!("{range}.{name}({},{rest})", comprehension.iter_var))
}

/// Both parsers take the text for the same, or both refuse it.
fn compare(source: &str) {
    let other = Parser::new().max_recursion_depth(RECURSION_MAX).parse(source);
    let own = parse(source);
    if own.as_ref().is_err_and(|fault| fault.kind == FaultKind::TooDeep) {
        return;
    }
    match (own, other) {
        (Ok(own), Ok(other)) => {
            if let Some(other) = theirs(&other) {
                assert_eq!(shown(&own), other, "{source}");
            }
        }
        (Err(_), Err(_)) => {}
        // Macros are calls here: what is wrong with their arguments is seen later.
        (Ok(_), Err(error)) if error.to_string().contains("argument") => {}
        (Ok(own), Err(error)) => panic!("{source}: {}, the other parser: {error}", shown(&own)),
        (Err(fault), Ok(_)) => panic!("{source}: {fault:?}, the other parser takes it"),
    }
}

/// Expressions of all kinds, as text.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("event".to_owned()),
        Just("type".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        (-100_i64..100).prop_map(|number| number.to_string()),
        (0_u64..100).prop_map(|number| format!("{number:#x}u")),
        (0_u32..1_000).prop_map(|number| format!("{}.5e-3", number)),
        "[a-zé ]{0,5}".prop_map(|text| format!("'{text}'")),
        Just(r#"r"a\n""#.to_owned()),
        Just(r"b'\x41\101'".to_owned()),
        Just("'''a\n'b'''".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let three = (inner.clone(), inner.clone(), inner.clone());
        let operator = prop::sample::select(vec![
            "||", "&&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", " in ",
        ]);
        let visit = prop::sample::select(vec!["all", "exists", "exists_one", "filter", "map"]);
        prop_oneof![
            4 => (two.clone(), operator).prop_map(|((a, b), operator)| format!("{a} {operator}{b}")),
            1 => inner.clone().prop_map(|a| format!("({a})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            1 => inner.clone().prop_map(|a| format!("({a}).b.c")),
            1 => inner.clone().prop_map(|a| format!("has(event.{})", if a.len() % 2 == 0 { "a" } else { "b.c" })),
            1 => two.clone().prop_map(|(a, b)| format!("({a})[{b}]")),
            1 => two.clone().prop_map(|(a, b)| format!("f({a}, {b})")),
            1 => two.clone().prop_map(|(a, b)| format!("({a}).f({b})")),
            1 => two.clone().prop_map(|(a, b)| format!("[{a}, {b},]")),
            1 => two.clone().prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            1 => three.prop_map(|(a, b, c)| format!("({a}) ? ({b}) : {c}")),
            1 => (two, visit).prop_map(|((a, b), name)| format!("({a}).{name}(x, {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn expressions_are_the_same_trees(source in expressions()) {
        compare(&source);
    }

    /// One letter is left out or put in, so most of these do not parse.
    #[test]
    fn the_same_slips_are_refused(
        source in expressions(),
        at in any::<prop::sample::Index>(),
        put in prop::sample::select(vec!["", "(", ")", "]", ",", ".", "'", "&&", "-", "!", " ", "x", "1", "?", ":"]),
    ) {
        let mut letters: Vec<String> = source.chars().map(String::from).collect();
        let at = at.index(letters.len());
        if put.is_empty() {
            letters.remove(at);
        } else {
            letters.insert(at, put.to_owned());
        }
        let source = letters.concat();
        // Names in backquotes and optional values are another matter.
        prop_assume!(!source.contains('?') || !source.contains(".?") && !source.contains("[?"));
        compare(&source);
    }
}
