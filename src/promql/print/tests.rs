use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::Matcher;
use crate::promql::ast::{AggregateOp, BinaryOp, Span};
use crate::promql::parse::{ParseOptions, parse_with};
use crate::promql::pretty::pretty;

/// The tree without places, so that trees of different texts compare.
fn placeless(mut expr: Expr) -> Expr {
    forget(&mut expr);
    expr
}

fn forget(expr: &mut Expr) {
    expr.span = Span::default();
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => forget_modifiers(&mut selector.at),
        ExprKind::Matrix { selector, range } => {
            forget_modifiers(&mut selector.at);
            forget_duration(range);
        }
        ExprKind::Subquery { expr, range, step, at } => {
            forget(expr);
            forget_duration(range);
            step.iter_mut().for_each(forget_duration);
            forget_modifiers(at);
        }
        ExprKind::Paren(expr) | ExprKind::Unary { expr, .. } => forget(expr),
        ExprKind::Binary(binary) => {
            forget(&mut binary.left);
            forget(&mut binary.right);
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.parameter.iter_mut().for_each(forget);
            forget(&mut aggregate.expr);
        }
        ExprKind::Call { args, .. } => args.iter_mut().for_each(forget),
    }
}

fn forget_modifiers(at: &mut Modifiers) {
    at.offset.iter_mut().for_each(forget_duration);
}

fn forget_duration(duration: &mut DurationExpr) {
    duration.span = Span::default();
    match &mut duration.kind {
        DurationKind::Unary(_, inner) | DurationKind::Paren(inner) => forget_duration(inner),
        DurationKind::Binary(_, left, right)
        | DurationKind::MinOf(left, right)
        | DurationKind::MaxOf(left, right) => {
            forget_duration(left);
            forget_duration(right);
        }
        _ => {}
    }
}

fn node(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn length(kind: DurationKind) -> DurationExpr {
    DurationExpr { kind, span: Span::default() }
}

fn paren(expr: Expr) -> Expr {
    node(ExprKind::Paren(Box::new(expr)))
}

fn name() -> impl Strategy<Value = Arc<str>> {
    let words = ["up", "a:b", "sum", "by", "offset", "start", "fill", "x_total"];
    prop::sample::select(words.to_vec()).prop_map(Arc::from)
}

fn labels() -> impl Strategy<Value = Vec<Arc<str>>> {
    let words = ["job", "le", "by", "bool", "a.b", "é", "quote\"d"];
    let label = prop::sample::select(words.to_vec()).prop_map(Arc::from);
    prop::collection::vec(label, 0..3)
}

fn selector() -> impl Strategy<Value = VectorSelector> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex]);
    let label = prop::sample::select(vec!["job", "le", "a.b", "é"]);
    let matcher = (label, op, "[a-z|\"\\n\u{e9}]{0,5}").prop_map(|(label, op, value)| {
        Matcher::new(label, op, &value).unwrap_or_else(|_| Matcher::equal(label, &value))
    });
    let matchers = prop::collection::vec(matcher, 0..3);
    let extended =
        prop::option::of(
            prop::bool::ANY.prop_map(|anchored| {
                if anchored { Extended::Anchored } else { Extended::Smoothed }
            }),
        );
    (name(), matchers, modifiers(), extended).prop_map(|(name, mut matchers, at, extended)| {
        matchers.sort_by_key(ToString::to_string);
        matchers.push(Matcher::equal(METRIC_NAME, &name));
        VectorSelector { name: Some(name), matchers, at, extended }
    })
}

fn modifiers() -> impl Strategy<Value = Modifiers> {
    let instant = prop_oneof![
        (-10_000_000_i64..10_000_000).prop_map(AtModifier::Timestamp),
        Just(AtModifier::Start),
        Just(AtModifier::End),
    ];
    let plain = prop_oneof![
        (1..100_000_000_i64).prop_map(DurationKind::Literal),
        (-100_000_000..-1_i64).prop_map(DurationKind::Literal),
        Just(DurationKind::Step),
    ];
    let computed = arithmetic().prop_map(|inner| DurationKind::Paren(Box::new(inner)));
    let offset = prop_oneof![plain, computed].prop_map(length);
    (prop::option::of(instant), prop::option::of(offset))
        .prop_map(|(at, offset)| Modifiers { at, offset })
}

/// Arithmetic that is never a literal alone.
fn arithmetic() -> impl Strategy<Value = DurationExpr> {
    let leaf = prop_oneof![
        (1..100_000_000_i64).prop_map(DurationKind::Literal),
        (1..1000_u32).prop_map(|number| DurationKind::Number(f64::from(number) / 8.0)),
        Just(DurationKind::Step),
        Just(DurationKind::Range),
    ];
    let op = prop::sample::select(vec![
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Pow,
    ]);
    let leaf = leaf.prop_map(length).boxed();
    let deeper = leaf.clone().prop_recursive(3, 12, 2, move |inner| {
        let boxed = |inner: BoxedStrategy<DurationExpr>| inner.prop_map(Box::new);
        let inner = inner.boxed();
        let grouped = inner.clone().prop_map(|inner| match inner.kind {
            DurationKind::Binary(..) | DurationKind::Unary(..) => {
                Box::new(length(DurationKind::Paren(Box::new(inner))))
            }
            _ => Box::new(inner),
        });
        prop_oneof![
            (op.clone(), grouped.clone(), grouped.clone())
                .prop_map(|(op, left, right)| DurationKind::Binary(op, left, right)),
            (boxed(inner.clone()), boxed(inner.clone()))
                .prop_map(|(left, right)| DurationKind::MinOf(left, right)),
            (boxed(inner.clone()), boxed(inner))
                .prop_map(|(left, right)| DurationKind::MaxOf(left, right)),
        ]
        .prop_map(length)
    });
    (deeper, leaf).prop_map(|(left, right)| {
        let grouped = |inner: DurationExpr| match inner.kind {
            DurationKind::Binary(..) => Box::new(length(DurationKind::Paren(Box::new(inner)))),
            _ => Box::new(inner),
        };
        length(DurationKind::Binary(BinaryOp::Add, grouped(left), grouped(right)))
    })
}

fn scalar() -> impl Strategy<Value = Expr> {
    let number = prop_oneof![
        any::<f64>().prop_filter("NaN is not equal to itself", |value| !value.is_nan()),
        (-1000..1000_i32).prop_map(f64::from),
    ];
    let plain = number.prop_map(|value| ExprKind::Number { value, as_duration: false });
    let long = (1..1_000_000_u32)
        .prop_map(|seconds| ExprKind::Number { value: f64::from(seconds), as_duration: true });
    let time = Just(ExprKind::Call { function: "time".into(), args: Vec::new() });
    prop_oneof![plain, long, time].prop_map(node)
}

/// An operand behind which an operator may follow.
fn operand(expr: Expr) -> Expr {
    let negative = |value: f64| value.is_sign_negative();
    match &expr.kind {
        ExprKind::Binary(_) | ExprKind::Unary { .. } => paren(expr),
        ExprKind::Number { value, .. } if negative(*value) => paren(expr),
        // Behind a computed offset, an operator would be read as part of it.
        _ if expr.to_string().contains(" offset (") => paren(expr),
        _ => expr,
    }
}

fn vector() -> impl Strategy<Value = Expr> {
    let leaf = selector().prop_map(|selector| node(ExprKind::Vector(selector))).boxed();
    leaf.prop_recursive(4, 24, 3, |inner| {
        let inner = inner.boxed();
        prop_oneof![
            inner.clone().prop_map(paren),
            (any::<bool>(), inner.clone()).prop_map(|(negative, expr)| {
                node(ExprKind::Unary { negative, expr: Box::new(operand(expr)) })
            }),
            binary(inner.clone()),
            aggregation(inner.clone()),
            (selector(), 1..100_000_000_i64).prop_map(|(selector, ms)| {
                let range = length(DurationKind::Literal(ms));
                let matrix = node(ExprKind::Matrix { selector, range });
                node(ExprKind::Call { function: "rate".into(), args: vec![matrix] })
            }),
            (inner, arithmetic(), prop::option::of(arithmetic()), modifiers()).prop_map(
                |(expr, range, step, at)| {
                    // The lexer wants to have seen a number before the colon.
                    let left = Box::new(length(DurationKind::Literal(60_000)));
                    let right = Box::new(length(DurationKind::Paren(Box::new(range))));
                    let range = length(DurationKind::Binary(BinaryOp::Mul, left, right));
                    // A modifier of the expression would read as one of the subquery.
                    let expr = Box::new(paren(expr));
                    let window = node(ExprKind::Subquery { expr, range, step, at });
                    node(ExprKind::Call { function: "max_over_time".into(), args: vec![window] })
                }
            ),
        ]
    })
}

fn binary(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Expr> {
    let ops = vec![
        BinaryOp::Add,
        BinaryOp::Atan2,
        BinaryOp::Pow,
        BinaryOp::Lt,
        BinaryOp::Ne,
        BinaryOp::TrimUpper,
        BinaryOp::TrimLower,
    ];
    let sides = (inner.clone(), inner.clone(), any::<bool>(), labels(), labels());
    let fills = (prop::option::of(-5..5_i32), prop::option::of(-5..5_i32));
    let joins = (prop::sample::select(ops), sides, fills, 0..3_u8).prop_map(
        |(op, (left, right, on, labels, mut include), fills, many)| {
            include.retain(|label| !labels.contains(label));
            let cardinality = match many {
                0 => Cardinality::OneToOne,
                1 => Cardinality::ManyToOne,
                _ => Cardinality::OneToMany,
            };
            if many == 0 {
                include.clear();
            }
            let (fill_left, fill_right) = (fills.0.map(f64::from), fills.1.map(f64::from));
            let matching = Matching { on, labels, cardinality, include, fill_left, fill_right };
            let return_bool = op.is_comparison() && many == 1;
            let (left, right) = (operand(left), operand(right));
            let matching = Some(matching);
            node(ExprKind::Binary(Box::new(Binary { op, left, right, return_bool, matching })))
        },
    );
    let scaled = (scalar(), inner.clone()).prop_map(|(left, right)| {
        let (left, right) = (operand(left), operand(right));
        let op = BinaryOp::Mul;
        let binary = Binary { op, left, right, return_bool: false, matching: None };
        node(ExprKind::Binary(Box::new(binary)))
    });
    let sets = (inner.clone(), inner, labels()).prop_map(|(left, right, labels)| {
        let (left, right) = (operand(left), operand(right));
        let cardinality = Cardinality::ManyToMany;
        let matching = Some(Matching { on: true, labels, cardinality, ..Matching::default() });
        let op = BinaryOp::Unless;
        let binary = Binary { op, left, right, return_bool: false, matching };
        node(ExprKind::Binary(Box::new(binary)))
    });
    prop_oneof![joins, scaled, sets]
}

fn aggregation(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Expr> {
    let op = prop::sample::select(AggregateOp::ALL.to_vec());
    let parts =
        (op, inner, scalar(), prop::collection::vec(any::<u8>(), 0..4), labels(), any::<bool>());
    parts.prop_map(|(op, expr, number, text, grouping, without)| {
        let parameter = match op {
            AggregateOp::CountValues => Some(node(ExprKind::String(text.into()))),
            _ => op.takes_parameter().then_some(number),
        };
        let aggregate = Aggregate { op, expr, parameter, grouping, without };
        node(ExprKind::Aggregate(Box::new(aggregate)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(expr in vector()) {
        let printed = expr.to_string();
        let read = parse_with(&printed, &ParseOptions::all());
        let read = read.map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        prop_assert_eq!(placeless(read), expr, "{}", printed);
    }

    #[test]
    fn what_stands_on_many_lines_reads_back_as_the_same_tree(expr in vector()) {
        let pretty = pretty(&expr);
        let read = parse_with(&pretty, &ParseOptions::all());
        let read = read.map_err(|error| TestCaseError::fail(format!("{pretty}: {error}")))?;
        prop_assert_eq!(placeless(read), expr, "{}", pretty);
    }
}

#[test]
fn printing_twice_changes_nothing() {
    use crate::promql::parse::table_tests as tables;
    let tables = [tables::MODIFIERS, tables::DURATIONS, tables::MATCHING, tables::AGGREGATIONS];
    for (query, _) in tables.into_iter().flatten() {
        let expr = parse_with(query, &ParseOptions::all()).unwrap();
        let again = parse_with(&expr.to_string(), &ParseOptions::all()).unwrap();
        let has_nan = expr.to_string().contains("NaN");
        assert!(has_nan || placeless(again) == placeless(expr), "{query}");
    }
}
