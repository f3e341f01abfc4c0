//! Do the parts of an expression fit together?

use crate::base::quote::quoted;
use crate::model::METRIC_NAME;

use super::ast::{
    Aggregate, AggregateOp, Binary, Cardinality, Expr, ExprKind, Matching, Span, ValueType,
    VectorSelector,
};
use super::parse::ParseError;
use super::signature::{Arity, Signature, signature};

use ValueType::{InstantVector, Scalar, String as Text};

/// The type of an expression's value.
#[must_use]
pub fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Number { .. } => Scalar,
        ExprKind::String(_) => Text,
        ExprKind::Vector(_) | ExprKind::Aggregate(_) => InstantVector,
        ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => ValueType::RangeVector,
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => value_type(inner),
        ExprKind::Binary(binary) => {
            let scalars = [&binary.left, &binary.right].map(|side| value_type(side) == Scalar);
            if scalars == [true, true] { Scalar } else { InstantVector }
        }
        ExprKind::Call { function, .. } => {
            signature(function).map_or(InstantVector, |known| known.returns)
        }
    }
}

impl ValueType {
    /// The type as the documentation calls it.
    #[must_use]
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::InstantVector => "instant vector",
            Self::RangeVector => "range vector",
            Self::String => "string",
        }
    }

    /// The type as the API calls it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::InstantVector => "vector",
            Self::RangeVector => "matrix",
            Self::String => "string",
        }
    }
}

type Checked = Result<(), ParseError>;

/// Checks a tree, and settles what depends on types: matching is dropped unless both sides are
/// vectors, and set operators are many-to-many.
pub(super) fn check(query: &str, expr: &mut Expr) -> Checked {
    Checker { query }.expr(expr).map(|_| ())
}

struct Checker<'a> {
    query: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.query, span, message.into()))
    }

    // It recurses, so what needs room on the stack is in functions of its own.
    fn expr(&self, expr: &mut Expr) -> Result<ValueType, ParseError> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number { .. } => Ok(Scalar),
            ExprKind::String(_) => Ok(Text),
            ExprKind::Vector(selector) => {
                self.selector(selector, span, true).map(|()| InstantVector)
            }
            ExprKind::Matrix { selector, .. } => {
                self.selector(selector, span, true).map(|()| ValueType::RangeVector)
            }
            ExprKind::Subquery { expr, .. } => {
                let found = self.expr(expr)?;
                self.subquery(found, span)
            }
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Unary { expr, .. } => {
                let found = self.expr(expr)?;
                self.unary(found, span)
            }
            ExprKind::Binary(binary) => {
                let left = self.expr(&mut binary.left)?;
                let right = self.expr(&mut binary.right)?;
                self.binary(binary, left, right, span)
            }
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Call { function, args } => match signature(function) {
                Some(known) => self.call(known, args, span),
                None => {
                    let message = format!("unknown function with name {}", quoted(&**function));
                    self.fail(span, message)
                }
            },
        }
    }

    fn subquery(&self, found: ValueType, span: Span) -> Result<ValueType, ParseError> {
        if found == InstantVector {
            return Ok(ValueType::RangeVector);
        }
        let found = found.text();
        let message = format!("subquery is only allowed on instant vector, got {found} instead");
        self.fail(span, message)
    }

    fn unary(&self, found: ValueType, span: Span) -> Result<ValueType, ParseError> {
        if matches!(found, Scalar | InstantVector) {
            return Ok(found);
        }
        let message = format!(
            "unary expression only allowed on expressions of type scalar or instant vector, \
             got \"{}\"",
            found.documented()
        );
        self.fail(span, message)
    }

    fn selector(&self, selector: &VectorSelector, span: Span, needs_matcher: bool) -> Checked {
        let Some(name) = &selector.name else {
            if needs_matcher && selector.matchers.iter().all(|m| m.matches_empty()) {
                let message = "vector selector must contain at least one non-empty matcher";
                return self.fail(span, message);
            }
            return Ok(());
        };
        let Some((_, inside)) = selector.matchers.split_last() else { return Ok(()) };
        match inside.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            Some(twice) => {
                let (first, second) = (quoted(&**name), quoted(twice.value()));
                let message = format!("metric name must not be set twice: {first} or {second}");
                self.fail(span, message)
            }
            None => Ok(()),
        }
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<ValueType, ParseError> {
        self.expect(&mut aggregate.expr, InstantVector, "aggregation expression")?;
        if let Some(parameter) = &mut aggregate.parameter {
            let is_text = aggregate.op == AggregateOp::CountValues;
            let wanted = if is_text { Text } else { Scalar };
            self.expect(parameter, wanted, "aggregation parameter")?;
        }
        Ok(InstantVector)
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, place: &str) -> Checked {
        let found = self.expr(expr)?;
        if found == wanted { Ok(()) } else { self.mismatch(expr.span, wanted, place, found) }
    }

    fn mismatch(&self, span: Span, wanted: ValueType, place: &str, found: ValueType) -> Checked {
        let (wanted, found) = (wanted.documented(), found.documented());
        self.fail(span, format!("expected type {wanted} in {place}, got {found}"))
    }

    fn call(
        &self,
        known: &Signature,
        args: &mut [Expr],
        span: Span,
    ) -> Result<ValueType, ParseError> {
        self.argument_count(known, args.len(), span)?;
        let place = format!("call to function {}", quoted(known.name));
        if known.name == "info" {
            self.info_selector(args, span, &place)?;
        }
        for (index, arg) in args.iter_mut().enumerate() {
            if known.name == "info" && index == 1 {
                continue;
            }
            let wanted = known.arguments.get(index).or(known.arguments.last());
            if let Some(wanted) = wanted {
                self.expect(arg, *wanted, &place)?;
            }
        }
        Ok(known.returns)
    }

    fn argument_count(&self, known: &Signature, found: usize, span: Span) -> Checked {
        let listed = known.arguments.len();
        let (least, most) = match known.arity {
            Arity::Exact => (listed, listed),
            Arity::UpTo(count) => (listed.saturating_sub(1), listed.saturating_sub(1) + count),
            Arity::Any => (listed.saturating_sub(1), usize::MAX),
        };
        let (relation, wanted) = match known.arity {
            Arity::Exact if found != listed => ("", listed),
            _ if found < least => ("at least ", least),
            _ if found > most => ("at most ", most),
            _ => return Ok(()),
        };
        let name = quoted(known.name);
        let message =
            format!("expected {relation}{wanted} argument(s) in call to {name}, got {found}");
        self.fail(span, message)
    }

    /// The second argument of `info` is a selector without a name. It may match everything.
    fn info_selector(&self, args: &mut [Expr], span: Span, place: &str) -> Checked {
        let [_, labels, ..] = args else { return Ok(()) };
        let found = value_type(labels);
        if found != InstantVector {
            let found = found.documented();
            let message = format!("expected type instant vector in {place}, got {found}");
            return self.fail(span, message);
        }
        match &labels.kind {
            ExprKind::Vector(selector) if selector.name.is_some() => {
                let message = "expected label selectors only, got vector selector instead";
                self.fail(labels.span, message)
            }
            ExprKind::Vector(selector) => self.selector(selector, labels.span, false),
            _ => self.fail(labels.span, "expected label selectors only"),
        }
    }

    fn binary(
        &self,
        binary: &mut Binary,
        left: ValueType,
        right: ValueType,
        span: Span,
    ) -> Result<ValueType, ParseError> {
        let Binary { op, return_bool, .. } = *binary;
        let operator = self.operator_span(binary);
        if return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return self.fail(operator, message);
        }
        if op.is_comparison() && !return_bool && (left, right) == (Scalar, Scalar) {
            let message = "comparisons between scalars must use BOOL modifier";
            return self.fail(operator, message);
        }
        self.label_twice(binary, operator)?;
        for (side, found) in [(&binary.left, left), (&binary.right, right)] {
            if !matches!(found, Scalar | InstantVector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.span, message);
            }
        }
        if (left, right) == (InstantVector, InstantVector) {
            if op.is_set() {
                self.set_operator(binary, span)?;
            }
            return Ok(InstantVector);
        }
        if let Some(matching) = binary.matching.take() {
            if !matching.labels.is_empty() {
                let message = "vector matching only allowed between instant vectors";
                return self.fail(span, message);
            }
            if fills(&matching) {
                let message = "filling in missing series only allowed between instant vectors";
                return self.fail(span, message);
            }
        }
        if op.is_set() {
            let op = op.text();
            let message = format!("set operator \"{op}\" not allowed in binary scalar expression");
            return self.fail(span, message);
        }
        let is_scalar = (left, right) == (Scalar, Scalar);
        Ok(if is_scalar { Scalar } else { InstantVector })
    }

    fn label_twice(&self, binary: &Binary, operator: Span) -> Checked {
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else {
            return Ok(());
        };
        match matching.labels.iter().find(|label| matching.include.contains(label)) {
            Some(twice) => {
                let label = quoted(&**twice);
                let message =
                    format!("label {label} must not occur in ON and GROUP clause at once");
                self.fail(operator, message)
            }
            None => Ok(()),
        }
    }

    fn set_operator(&self, binary: &mut Binary, span: Span) -> Checked {
        let op = binary.op.text();
        let matching = binary.matching.get_or_insert_default();
        if matching.cardinality != Cardinality::OneToOne {
            return self.fail(span, format!("no grouping allowed for \"{op}\" operation"));
        }
        matching.cardinality = Cardinality::ManyToMany;
        if fills(matching) {
            let message = "filling in missing series not allowed for set operators";
            return self.fail(span, message);
        }
        Ok(())
    }

    /// From behind the left operand to the right one, without the spaces at both ends.
    fn operator_span(&self, binary: &Binary) -> Span {
        let (from, to) = (binary.left.span.end, binary.right.span.start);
        let between = self.query.get(from..to).unwrap_or_default();
        let start = to - between.trim_ascii_start().len();
        Span { start, end: from + between.trim_ascii_end().len() }
    }
}

const fn fills(matching: &Matching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}
