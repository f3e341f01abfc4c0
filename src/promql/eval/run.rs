//! One evaluation: its source, its limits, its notes, and how its work is spread over threads.

use parking_lot::Mutex;

use crate::base::parallel::{job_size, share};
use crate::promql::ast::Span;
use crate::promql::engine::{EngineError, StatsWanted};
use crate::promql::limits::Limits;
use crate::promql::notes::{Note, Notes};
use crate::promql::plan::Plan;

use super::column::StepColumn;
use super::operator::{Head, Operator, Work};
use super::profile::NodeProfile;
use super::root::Manners;
use super::select::Selection;
use super::tally::Tallies;

/// What all operations of one evaluation share.
pub(crate) struct Run<'r> {
    pub(super) selections: Vec<Selection>,
    pub(super) limits: &'r Limits,
    pub(super) lookback_ms: i64,
    pub(super) delayed_name_removal: bool,
    pub(super) start_timestamps: bool,
    pub(super) type_and_unit_labels: bool,
    /// The evaluation is big enough for several threads.
    parallel: bool,
    pub(super) notes: Mutex<Notes>,
    /// Only if somebody asks for statistics.
    pub(super) tallies: Option<Tallies>,
    /// By operation; none unless somebody asks.
    pub(super) profiles: Vec<NodeProfile>,
}

/// Less work, in samples or steps at a guess, stays on the calling thread.
const PARALLEL_WORK: usize = 50_000;
/// How many steps of series are computed before they are handed on in order, so that they are
/// still in the cache.
const BATCH_CELLS: usize = 1 << 17;
/// No thread should wait for the others because its share of a batch was too small.
const BATCH_PER_THREAD: usize = 8;

impl<'r> Run<'r> {
    pub(super) fn new(
        selections: Vec<Selection>,
        limits: &'r Limits,
        manners: Manners,
        plan: &Plan,
    ) -> Self {
        let steps = plan.root.steps().count;
        let work = selections.iter().map(|selection| selection.work(steps));
        let series: usize = selections.iter().map(|selection| selection.series.len()).sum();
        let parallel = series > 1 && work.fold(0, usize::saturating_add) >= PARALLEL_WORK;
        let Manners { lookback_ms, delayed_name_removal, .. } = manners;
        let by_step = manners.stats == StatsWanted::All;
        let tallies =
            (manners.stats != StatsWanted::None).then(|| Tallies::new(plan.root.steps(), by_step));
        let profiled = if manners.profiled { plan.nodes } else { 0 };
        Self {
            selections,
            limits,
            lookback_ms,
            delayed_name_removal,
            start_timestamps: manners.start_timestamps,
            type_and_unit_labels: manners.type_and_unit_labels,
            parallel,
            notes: Mutex::new(Notes::new()),
            tallies,
            profiles: std::iter::repeat_with(NodeProfile::default).take(profiled).collect(),
        }
    }

    pub(super) fn note(&self, note: Note) {
        self.notes.lock().add(note);
    }

    /// Notes an information, which may be known already.
    pub(super) fn note_info(&self, span: Span, text: &str) {
        self.notes.lock().add_info(span, text);
    }

    /// Accounts for the label sets of an operation. Those that it shares with the one below have
    /// been accounted for there.
    pub(super) fn hold_heads(&self, heads: &[Head]) -> Result<(), EngineError> {
        if !self.limits.counts_bytes() {
            return Ok(());
        }
        let own =
            |head: &Head| if head.labels.is_shared() { 0 } else { head.labels.memory_bytes() };
        let labels: usize = heads.iter().map(own).sum();
        self.limits.hold_bytes(labels + size_of_val(heads))
    }

    /// Computes the series of `child` with these indexes and hands them to `each` in that order,
    /// so that what `each` adds up does not depend on the number of threads.
    pub(super) fn in_order(
        &self,
        child: &(dyn Operator + '_),
        indexes: &[usize],
        steps: usize,
        mut each: impl FnMut(usize, &StepColumn) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if !self.parallel || indexes.len() < 2 {
            let (mut work, mut column) = (Work::default(), StepColumn::new());
            for index in indexes {
                child.column(*index, &mut column, &mut work)?;
                each(*index, &column)?;
            }
            return Ok(());
        }
        let threads = rayon::current_num_threads();
        let least = if steps < BATCH_CELLS { BATCH_PER_THREAD * threads } else { threads };
        let batch = (BATCH_CELLS / steps.max(1)).clamp(least, least.max(4096));
        let mut columns: Vec<StepColumn> = Vec::new();
        columns.resize_with(batch.min(indexes.len()), StepColumn::new);
        for part in indexes.chunks(batch) {
            let size = job_size(part.len());
            let jobs = columns.chunks_mut(size).zip(part.chunks(size));
            share(jobs, |(columns, indexes), work: &mut Work| {
                let mut pairs = columns.iter_mut().zip(indexes);
                pairs.try_for_each(|(column, index)| child.column(*index, column, work))
            })?;
            for (index, column) in part.iter().zip(&columns) {
                each(*index, column)?;
            }
        }
        Ok(())
    }

    /// Computes `make(index)` for all indexes below `count`, in order.
    pub(super) fn collect<T: Send>(
        &self,
        count: usize,
        make: impl Fn(usize, &mut Work) -> Result<T, EngineError> + Sync,
    ) -> Result<Vec<T>, EngineError> {
        if !self.parallel || count < 2 {
            let mut work = Work::default();
            return (0..count).map(|index| make(index, &mut work)).collect();
        }
        let mut results: Vec<Option<T>> = Vec::new();
        results.resize_with(count, || None);
        let size = job_size(count);
        share::<_, Work, EngineError>(
            results.chunks_mut(size).enumerate(),
            |(job, results), work| {
                let indexes = job * size..;
                let mut places = results.iter_mut().zip(indexes);
                places.try_for_each(|(result, index)| {
                    *result = Some(make(index, work)?);
                    Ok(())
                })
            },
        )?;
        Ok(results.into_iter().flatten().collect())
    }

    /// True if the evaluation is big enough for several threads.
    pub(super) const fn is_parallel(&self) -> bool {
        self.parallel
    }
}
