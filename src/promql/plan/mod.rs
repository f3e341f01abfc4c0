//! What is to be read, and what is to be computed at which instants?
//!
//! A plan is the tree of an expression with everything decided that needs no data: the instants of
//! every node, lengths of windows in milliseconds, what is asked of the source (each selector once)
//! and which parts are the same at all steps. What the engine cannot do is refused here.

mod build;
mod call;
mod describe;
mod duration;
mod info;
mod invariant;
mod steps;

use std::sync::Arc;

use crate::model::{Labels, Matcher};
use crate::series::{Aggregate as Wanted, Hints, Select};

use super::ast::{AggregateOp, BinaryOp, Extended, Matching, Span};
use super::functions::{DateFunction, HistogramStat, MathFunction, RangeFunction};

pub(crate) use build::{Grid, plan, window_range};
pub(crate) use describe::{Described, describe};
pub(crate) use duration::{go_max, go_min, seconds};
pub(crate) use steps::Steps;

/// Everything about a query that needs no data.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The value wanted.
    pub(crate) root: Root,
    /// What is asked of the source.
    pub(crate) asks: Vec<Ask>,
    /// How many operations there are.
    pub(crate) nodes: usize,
}

/// The value of the whole query.
#[derive(Debug)]
pub(crate) enum Root {
    /// One number a step.
    Scalar(Node),
    /// A set of series.
    Vector(Node),
    /// The samples of a window, as they are.
    Window(Window),
}

impl Root {
    /// The instants at which it is wanted.
    pub(crate) const fn steps(&self) -> Steps {
        match self {
            Self::Scalar(node) | Self::Vector(node) => node.steps,
            Self::Window(window) => window.steps,
        }
    }
}

/// A question to the source, and how many nodes wait for its answer.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) select: Select,
    pub(crate) readers: u32,
    /// The shortest way that a reader looks back from an instant.
    pub(crate) reach_ms: i64,
    /// What readers want of downsampled samples; one answer serves all of them only if there are
    /// none.
    pub(crate) variants: Vec<Hints>,
}

/// What is read of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index in [`Plan::asks`].
    pub(crate) ask: usize,
    /// Index in [`Ask::variants`].
    pub(crate) variant: usize,
    /// Which number of downsampled samples is read.
    pub(crate) wanted: Wanted,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number, below [`Plan::nodes`].
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// The instants at which it is wanted.
    pub(crate) steps: Steps,
}

/// What an operation is. Vectors and scalars stand in one tree, as a scalar is a vector of one
/// series without labels that is there at every step.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A scalar that never changes.
    Number(f64),
    /// A vector without elements.
    Nothing,
    /// The newest sample of each series.
    Newest(Reading),
    /// When the newest sample of each series was taken.
    NewestTime(Reading),
    /// Since when the newest sample of each series counts.
    NewestStart(Reading),
    /// The line between the samples around each step.
    Smoothed(Reading),
    /// The child at the first step, repeated.
    Once(Box<Node>),
    /// `-vector` or `-scalar`
    Negate(Box<Node>),
    /// `left op right`
    Binary(Box<BinaryNode>),
    /// `op by (…) (vector)`
    Aggregate(Box<AggregateNode>),
    /// A function over windows; `parameters` are scalars.
    OverTime { function: RangeFunction, window: Window, parameters: Vec<Node> },
    /// `absent_over_time(window)`
    AbsentOverTime { window: Window, labels: Labels },
    /// `absent(vector)`
    Absent { vector: Box<Node>, labels: Labels },
    /// A function of one value.
    Math { function: MathFunction, vector: Box<Node>, parameters: Vec<Node> },
    /// A part of the date that each value is; without a vector of the step's time.
    Date { function: DateFunction, vector: Option<Box<Node>> },
    /// `scalar(vector)`
    Scalar(Box<Node>),
    /// `vector(scalar)`
    Vector(Box<Node>),
    /// `time()`
    Time,
    /// The time of the step for each element: `timestamp()` of anything but a selector.
    StepTime(Box<Node>),
    /// `max_of(a, b)` and `min_of(a, b)`
    Extreme { largest: bool, scalars: Box<[Node; 2]> },
    /// `histogram_count(vector)` and its like
    HistogramStat { stat: HistogramStat, vector: Box<Node> },
    /// `histogram_quantile(q, vector)`
    HistogramQuantile { quantile: Box<Node>, vector: Box<Node> },
    /// `histogram_quantiles(vector, label, q, …)`
    HistogramQuantiles { vector: Box<Node>, label: Arc<str>, quantiles: Vec<Node> },
    /// `info(vector, {…})`
    Info(Box<InfoNode>),
    /// `histogram_fraction(lower, upper, vector)`
    HistogramFraction { bounds: Box<[Node; 2]>, vector: Box<Node> },
    /// `label_replace` and `label_join`
    Relabel { change: super::functions::LabelChange, vector: Box<Node> },
    /// `sort` and its like
    Sort { order: super::functions::SortOrder, vector: Box<Node> },
}

/// `info(vector, {…})`
#[derive(Debug)]
pub(crate) struct InfoNode {
    pub(crate) vector: Node,
    /// The series with labels, and when they are looked at.
    pub(crate) reading: Reading,
    /// What the metrics with labels are called: all must hold.
    pub(crate) names: Vec<Matcher>,
    /// Conditions on other labels; only these labels are taken over, or all if there are none.
    pub(crate) labels: Vec<Matcher>,
}

/// Which series are read, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) place: Place,
    pub(crate) shift: Shift,
    /// Of histograms only count and sum are wanted.
    pub(crate) stats_only: bool,
}

/// What `@` and `offset` do to the instants of a selector.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shift {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

impl Shift {
    /// The instant that is looked at for the step at `time_ms`.
    #[inline]
    pub(crate) fn of(self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }

    /// The first and the last instant that are looked at.
    pub(crate) fn span(self, steps: Steps) -> (i64, i64) {
        (self.of(steps.start_ms), self.of(steps.last_ms()))
    }
}

/// The samples behind an instant.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) source: WindowSource,
    pub(crate) range_ms: i64,
    /// The steps at which a window ends, after `shift`.
    pub(crate) steps: Steps,
    pub(crate) shift: Shift,
    /// How it is completed at its edges.
    pub(crate) extended: Option<Extended>,
    /// Of histograms only count and sum are wanted.
    pub(crate) stats_only: bool,
    pub(crate) span: Span,
}

/// Where the samples of a window come from.
#[derive(Debug)]
pub(crate) enum WindowSource {
    /// The source.
    Series(Place),
    /// An expression at the steps of a grid of its own.
    Subquery(Box<Node>),
    /// A grid without steps.
    Nothing,
}

/// `left op right`
#[derive(Debug)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinaryOp,
    pub(crate) sides: Sides,
    pub(crate) left: Box<Node>,
    pub(crate) right: Box<Node>,
    pub(crate) return_bool: bool,
}

/// What the operands of a binary operation are.
#[derive(Debug)]
pub(crate) enum Sides {
    Scalars,
    VectorScalar,
    ScalarVector,
    Vectors(Matching),
}

/// `op by (…) (vector)`
#[derive(Debug)]
pub(crate) struct AggregateNode {
    pub(crate) op: AggregateOp,
    pub(crate) vector: Box<Node>,
    pub(crate) parameter: Option<Parameter>,
    /// Ascending, each once.
    pub(crate) grouping: Vec<Arc<str>>,
    pub(crate) without: bool,
}

/// What stands before the vector of an aggregation.
#[derive(Debug)]
pub(crate) enum Parameter {
    Scalar(Box<Node>),
    Text(Arc<str>),
}
