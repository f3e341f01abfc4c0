//! What each operation and each question to the source cost, for who wants to know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Stopwatch;
use crate::promql::engine::EngineError;
use crate::promql::plan::Node;

use super::StepColumn;
use super::operator::{Head, Operator, Work};

/// What one operation cost, with everything below it.
#[derive(Debug, Default)]
pub(crate) struct NodeProfile {
    series: AtomicU64,
    columns: AtomicU64,
    values: AtomicU64,
    nanos: AtomicU64,
}

/// What one question to the source cost.
#[derive(Debug, Default)]
pub(crate) struct AskProfile {
    reads: AtomicU64,
    samples: AtomicU64,
    nanos: AtomicU64,
}

/// The numbers of a [`NodeProfile`] at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeCost {
    pub(crate) series: u64,
    pub(crate) columns: u64,
    pub(crate) values: u64,
    pub(crate) spent: Duration,
}

/// The numbers of an [`AskProfile`] at the end, and what is known of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AskCost {
    pub(crate) series: u64,
    /// `None` if the source does not keep chunks.
    pub(crate) chunks: Option<u64>,
    pub(crate) reads: u64,
    pub(crate) samples: u64,
    pub(crate) select: Duration,
    pub(crate) read: Duration,
}

/// The cost of everything, in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Costs {
    pub(crate) nodes: Vec<NodeCost>,
    pub(crate) asks: Vec<AskCost>,
}

fn add_time(nanos: &AtomicU64, watch: Stopwatch) {
    let spent = u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    nanos.fetch_add(spent, Ordering::Relaxed);
}

impl NodeProfile {
    pub(super) fn cost(&self) -> NodeCost {
        NodeCost {
            series: self.series.load(Ordering::Relaxed),
            columns: self.columns.load(Ordering::Relaxed),
            values: self.values.load(Ordering::Relaxed),
            spent: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl AskProfile {
    pub(super) fn add_read(&self, watch: Stopwatch, samples: usize) {
        add_time(&self.nanos, watch);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.samples.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Without what only the source knows.
    pub(super) fn cost(&self) -> AskCost {
        AskCost {
            reads: self.reads.load(Ordering::Relaxed),
            samples: self.samples.load(Ordering::Relaxed),
            read: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
            ..AskCost::default()
        }
    }
}

/// An operation that is measured.
struct Measured<'r> {
    inner: Box<dyn Operator + 'r>,
    profile: &'r NodeProfile,
}

/// Measures binding an operation and, from then on, what it computes.
pub(super) fn measure<'r>(
    profiles: &'r [NodeProfile],
    node: &Node,
    bind: impl FnOnce() -> Result<Box<dyn Operator + 'r>, EngineError>,
) -> Result<Box<dyn Operator + 'r>, EngineError> {
    let Some(profile) = profiles.get(node.id) else { return bind() };
    let watch = Stopwatch::start();
    let inner = bind()?;
    add_time(&profile.nanos, watch);
    profile.series.fetch_add(inner.heads().len() as u64, Ordering::Relaxed);
    Ok(Box::new(Measured { inner, profile }))
}

impl Operator for Measured<'_> {
    fn heads(&self) -> &[Head] {
        self.inner.heads()
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let watch = Stopwatch::start();
        self.inner.column(index, into, work)?;
        add_time(&self.profile.nanos, watch);
        self.profile.columns.fetch_add(1, Ordering::Relaxed);
        self.profile.values.fetch_add(into.count() as u64, Ordering::Relaxed);
        Ok(())
    }
}
