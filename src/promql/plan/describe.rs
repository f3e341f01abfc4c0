//! A plan in words.

use crate::base::duration::format_duration;
use crate::promql::ast::{Cardinality, Extended, Matching, Span};

use super::{
    AggregateNode, BinaryNode, Kind, Node, Parameter, Reading, Root, Shift, Sides, Window,
    WindowSource,
};

/// An operation in words.
#[derive(Debug)]
pub(crate) struct Described {
    /// The node that is measured, if there is one.
    pub(crate) id: Option<usize>,
    pub(crate) operation: String,
    pub(crate) span: Span,
    pub(crate) steps: usize,
    /// Index of the question to the source.
    pub(crate) read: Option<usize>,
    pub(crate) children: Vec<Described>,
}

/// Describes the plan of `query`.
pub(crate) fn describe(root: &Root, query: &str) -> Described {
    match root {
        Root::Scalar(node) | Root::Vector(node) => Describer { query }.node(node),
        Root::Window(window) => {
            let mut out = Described {
                id: None,
                operation: format!("samples{}", window_text(window)),
                span: window.span,
                steps: window.steps.count,
                read: None,
                children: Vec::new(),
            };
            Describer { query }.window(window, &mut out);
            out
        }
    }
}

struct Describer<'a> {
    query: &'a str,
}

impl Describer<'_> {
    fn node(&self, node: &Node) -> Described {
        let mut out = Described {
            id: Some(node.id),
            operation: String::new(),
            span: node.span,
            steps: node.steps.count,
            read: None,
            children: Vec::new(),
        };
        self.fill(node, &mut out);
        out
    }

    fn fill(&self, node: &Node, out: &mut Described) {
        let mut with = |operation: String, children: &[&Node]| {
            out.operation = operation;
            out.children.extend(children.iter().map(|child| self.node(child)));
        };
        match &node.kind {
            Kind::Number(value) => with(format!("number {value}"), &[]),
            Kind::Nothing => with("nothing".into(), &[]),
            Kind::Newest(reading) => reads(out, "newest", *reading),
            Kind::NewestTime(reading) => reads(out, "time of newest", *reading),
            Kind::NewestStart(reading) => reads(out, "start of newest", *reading),
            Kind::Smoothed(reading) => reads(out, "smoothed", *reading),
            Kind::Once(inner) => with("once for all steps".into(), &[inner]),
            Kind::Negate(inner) => with("-".into(), &[inner]),
            Kind::Binary(binary) => {
                with(binary_text(binary), &[&binary.left, &binary.right]);
            }
            Kind::Aggregate(aggregate) => {
                let parameter = match &aggregate.parameter {
                    Some(Parameter::Scalar(node)) => Some(&**node),
                    _ => None,
                };
                let children: Vec<&Node> =
                    parameter.into_iter().chain([&*aggregate.vector]).collect();
                with(aggregate_text(aggregate), &children);
            }
            Kind::OverTime { window, parameters, .. } => {
                let operation = format!("{}{}", self.name(node), window_text(window));
                with(operation, &parameters.iter().collect::<Vec<_>>());
                self.window(window, out);
            }
            Kind::AbsentOverTime { window, .. } => {
                with(format!("{}{}", self.name(node), window_text(window)), &[]);
                self.window(window, out);
            }
            Kind::Absent { vector, .. }
            | Kind::Scalar(vector)
            | Kind::Vector(vector)
            | Kind::StepTime(vector)
            | Kind::Relabel { vector, .. }
            | Kind::Sort { vector, .. }
            | Kind::HistogramStat { vector, .. } => with(self.name(node), &[vector]),
            Kind::Math { vector, parameters, .. } => {
                let children: Vec<&Node> = [&**vector].into_iter().chain(parameters).collect();
                with(self.name(node), &children);
            }
            Kind::Date { vector, .. } => {
                with(self.name(node), &vector.iter().map(|node| &**node).collect::<Vec<_>>());
            }
            Kind::Time => with(self.name(node), &[]),
            Kind::Extreme { scalars, .. } => {
                with(self.name(node), &scalars.iter().collect::<Vec<_>>());
            }
            Kind::HistogramQuantile { quantile, vector } => {
                with(self.name(node), &[quantile, vector]);
            }
            Kind::HistogramQuantiles { vector, quantiles, .. } => {
                let children: Vec<&Node> = [&**vector].into_iter().chain(quantiles).collect();
                with(self.name(node), &children);
            }
            Kind::HistogramFraction { bounds, vector } => {
                let [lower, upper] = &**bounds;
                with(self.name(node), &[lower, upper, vector]);
            }
            Kind::Info(info) => {
                with(self.name(node), &[&info.vector]);
                out.read = Some(info.reading.place.ask);
            }
        }
    }

    /// The word that the node's part of the query begins with.
    fn name(&self, node: &Node) -> String {
        let text = self.query.get(node.span.start..node.span.end).unwrap_or_default();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text.get(..end.unwrap_or(text.len())).unwrap_or_default().to_owned()
    }

    fn window(&self, window: &Window, out: &mut Described) {
        match &window.source {
            WindowSource::Series(place) => out.read = Some(place.ask),
            WindowSource::Subquery(node) => out.children.push(self.node(node)),
            WindowSource::Nothing => {}
        }
    }
}

fn reads(out: &mut Described, what: &str, reading: Reading) {
    let part = if reading.stats_only { " without buckets" } else { "" };
    out.operation = format!("{what}{part}{}", shift_text(reading.shift));
    out.read = Some(reading.place.ask);
}

fn shift_text(shift: Shift) -> String {
    let mut text = String::new();
    if let Some(at_ms) = shift.at_ms {
        text.push_str(&format!(" @ {:.3}", at_ms as f64 / 1000.0));
    }
    if shift.offset_ms != 0 {
        text.push_str(&format!(" offset {}", format_duration(shift.offset_ms)));
    }
    text
}

fn window_text(window: &Window) -> String {
    let step = match &window.source {
        WindowSource::Subquery(node) => format!(":{}", format_duration(node.steps.step_ms)),
        _ => String::new(),
    };
    let extended = match window.extended {
        None => "",
        Some(Extended::Anchored) => " anchored",
        Some(Extended::Smoothed) => " smoothed",
    };
    let (range, shift) = (format_duration(window.range_ms), shift_text(window.shift));
    format!(" [{range}{step}]{extended}{shift}")
}

fn aggregate_text(aggregate: &AggregateNode) -> String {
    let mut text = aggregate.op.text().to_owned();
    if aggregate.without || !aggregate.grouping.is_empty() {
        let how = if aggregate.without { "without" } else { "by" };
        text.push_str(&format!(" {how} ({})", aggregate.grouping.join(", ")));
    }
    text
}

fn binary_text(binary: &BinaryNode) -> String {
    let mut text = binary.op.text().to_owned();
    if binary.return_bool {
        text.push_str(" bool");
    }
    if let Sides::Vectors(matching) = &binary.sides {
        text.push_str(&matching_text(matching));
    }
    text
}

fn matching_text(matching: &Matching) -> String {
    let mut text = String::new();
    if matching.on || !matching.labels.is_empty() {
        let how = if matching.on { "on" } else { "ignoring" };
        text.push_str(&format!(" {how} ({})", matching.labels.join(", ")));
    }
    match matching.cardinality {
        Cardinality::ManyToOne => text.push_str(" group_left"),
        Cardinality::OneToMany => text.push_str(" group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => {}
    }
    text
}
