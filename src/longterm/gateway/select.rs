//! Questions to the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::parallel::in_parallel;
use crate::model::{Labels, LabelsRef, MatchOp, Matcher};
use crate::series::{QueryError, Queryable, Select, SeriesSet, TimeRange};
use crate::storage::index::SeriesScratch;

use super::block::{GateBlock, Reading};
use super::chunks::Answer;
use super::error::GatewayError;
use super::find::Question;
use super::handle::Gateway;
use super::join::join;
use super::limits::Meters;
use super::set::BlockSet;

/// A block that is asked, and what for.
#[derive(Debug)]
struct Job {
    block: Arc<GateBlock>,
    range: TimeRange,
    question: Arc<Question>,
}

/// What one question needs.
struct Plan {
    jobs: Vec<Job>,
    meters: Arc<Meters>,
    warnings: Vec<String>,
}

/// The matchers that are left for the series of blocks with these external labels; `None` if the
/// labels themselves do not match.
fn left_for(labels: &Labels, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match labels.get(matcher.name()) {
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
            None => left.push(matcher.clone()),
        }
    }
    Some(left)
}

impl Gateway {
    /// Which blocks are asked what.
    fn plan(&self, ask: &Select) -> Plan {
        let shared = self.shared();
        self.drop_idle_headers();
        let set: Arc<BlockSet> = self.block_set();
        let mut plan = Plan {
            jobs: Vec::new(),
            meters: Meters::new(self.memory(), &shared.options),
            warnings: Vec::new(),
        };
        let mut coarser: BTreeMap<i64, (TimeRange, usize)> = BTreeMap::new();
        for of_labels in &set.of_labels {
            let Some(matchers) = left_for(&of_labels.labels, &ask.matchers) else { continue };
            let range = match &shared.options.beside {
                Some(beside) => beside.left_of(ask.range, &of_labels.labels),
                None => Some(ask.range),
            };
            let Some(range) = range else { continue };
            let question = Arc::new(Question::new(matchers));
            let fallback = shared.options.coarser_fallback;
            let max_resolution_ms = ask.hints.max_resolution_ms;
            for choice in of_labels.choose(range, max_resolution_ms, fallback) {
                let Some(block) = set.blocks.get(choice.block) else { continue };
                if let Some(why) = block.set_aside() {
                    plan.warnings.push(format!("block {} is left out: {why}", block.about.ulid));
                    continue;
                }
                if choice.is_fallback {
                    let (range, count) =
                        coarser.entry(block.about.resolution_ms).or_insert((choice.range, 0));
                    range.start_ms = range.start_ms.min(choice.range.start_ms);
                    range.end_ms = range.end_ms.max(choice.range.end_ms);
                    *count += 1;
                }
                let (block, question) = (Arc::clone(block), Arc::clone(&question));
                plan.jobs.push(Job { block, range: choice.range, question });
            }
        }
        plan.warnings.extend(coarser.into_iter().map(|(resolution_ms, (range, count))| {
            let (start_ms, end_ms) = (range.start_ms, range.end_ms);
            format!(
                "from {start_ms} to {end_ms} ms, {count} blocks have nothing finer than windows of \
                 {resolution_ms} ms"
            )
        }));
        // In order of time, and of blocks of the same time the lower name wins: so do blocks on a
        // local disk.
        plan.jobs.sort_by_key(|job| {
            (job.block.about.range.start_ms, job.block.about.ulid, job.range.start_ms)
        });
        shared.metrics.blocks_queried.add(plan.jobs.len() as u64);
        plan
    }

    /// Calls `work` for all blocks of a plan, some at a time; blocks that turn out to be broken
    /// are set aside.
    fn for_each_block<R: Send>(
        &self,
        plan: &mut Plan,
        is_last_try: bool,
        work: impl Fn(&Job, &Meters) -> Result<R, GatewayError> + Sync,
    ) -> Result<Vec<Option<R>>, GatewayError> {
        let shared = self.shared();
        let meters = Arc::clone(&plan.meters);
        let results = in_parallel(&plan.jobs, shared.options.concurrency, |job| {
            match job.block.header(shared, &meters) {
                Ok(_) => work(job, &meters).map(Ok),
                Err(error) if error.is_lasting() || error.is_not_found() && is_last_try => {
                    Ok(Err(error))
                }
                Err(error) => Err(error),
            }
        });
        let mut all = Vec::with_capacity(results.len());
        for (job, result) in plan.jobs.iter().zip(results) {
            all.push(match result? {
                Ok(result) => Some(result),
                Err(error) => {
                    plan.warnings
                        .push(format!("block {} is left out: {error}", job.block.about.ulid));
                    self.set_aside(&job.block, &error);
                    None
                }
            });
        }
        Ok(all)
    }

    /// Asks once more with a fresh list of blocks if a block has vanished meanwhile: the one that
    /// took its place has the same samples.
    fn with_fresh_blocks<R>(
        &self,
        ask: impl Fn(bool) -> Result<R, GatewayError>,
    ) -> Result<R, QueryError> {
        let refused = |error| self.shared().refused(error);
        match ask(false) {
            Err(error) if error.is_not_found() => {
                self.refresh().map_err(refused)?;
                ask(true).map_err(refused)
            }
            answer => answer.map_err(refused),
        }
    }

    fn try_select(&self, ask: &Select, is_last_try: bool) -> Result<SeriesSet, GatewayError> {
        let mut plan = self.plan(ask);
        let shared = Arc::clone(self.shared());
        let found = self.for_each_block(&mut plan, is_last_try, |job, meters| {
            let mut held = meters.memory.hold(0)?;
            let mut found = job.block.find(&shared, meters, &job.question, job.range, &mut held)?;
            // With the external labels the order may be another one.
            if !found.is_sorted_by(|a, b| a.labels <= b.labels) {
                found.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            shared.metrics.series_found.add(found.len() as u64);
            Ok((found, held))
        })?;
        let mut held = plan.meters.memory.hold(0)?;
        let mut by_block = Vec::with_capacity(found.len());
        for one in found {
            let (found, of_block) = one.unwrap_or((Vec::new(), plan.meters.memory.hold(0)?));
            held.join(of_block);
            by_block.push(found);
        }
        let limit = if ask.hints.limit == 0 { usize::MAX } else { ask.hints.limit };
        let joined = join(by_block, limit, &shared);
        held.shrink(joined.memory_bytes);
        let Plan { jobs, meters, warnings } = plan;
        let blocks = jobs.iter().map(|job| (Arc::clone(&job.block), job.range)).collect();
        let wanted = ask.hints.aggregate();
        let uses_pages = joined.chunks_bytes <= shared.options.cache_bytes as u64;
        let answer = Arc::new(Answer { shared, meters, blocks, wanted, uses_pages, _held: held });
        Ok(SeriesSet { series: joined.into_series(&answer), warnings })
    }

    fn names_in(&self, job: &Job, meters: &Meters) -> Result<BTreeSet<Arc<str>>, GatewayError> {
        let mut names = BTreeSet::new();
        if job.question.matchers.is_empty() {
            let header = job.block.header(self.shared(), meters)?;
            names.extend(header.tables().label_names().map(Arc::from));
        } else {
            self.series_in(job, meters, &job.question, &mut |labels| {
                for (name, _) in labels.iter() {
                    if !names.contains(name) {
                        names.insert(name.into());
                    }
                }
                true
            })?;
            if names.is_empty() {
                return Ok(names);
            }
        }
        names.extend(job.block.about.labels.iter().map(|(name, _)| Arc::from(name)));
        Ok(names)
    }

    fn values_in(
        &self,
        name: &str,
        job: &Job,
        meters: &Meters,
    ) -> Result<BTreeSet<Arc<str>>, GatewayError> {
        let mut values = BTreeSet::new();
        let matchers = &job.question.matchers;
        if name.is_empty() {
            return Ok(values);
        }
        if let Some(value) = job.block.about.labels.get(name) {
            let mut is_there = matchers.is_empty();
            if !is_there {
                self.series_in(job, meters, &job.question, &mut |_| {
                    is_there = true;
                    false
                })?;
            }
            values.extend(is_there.then(|| Arc::from(value)));
            return Ok(values);
        }
        if matchers.is_empty() {
            let header = job.block.header(self.shared(), meters)?;
            let walked = header.tables().places(name, "", &mut |value, _| {
                values.insert(value.into());
                true
            });
            walked.map_err(GatewayError::index(job.block.index_key()))?;
            return Ok(values);
        }
        // Series without the label need not be looked at.
        let has_it = Matcher::new(name, MatchOp::NotEqual, "");
        let has_it = has_it.map_err(|error| GatewayError::Limit(error.to_string()))?;
        let narrowed = Question::new(matchers.iter().cloned().chain([has_it]).collect());
        self.series_in(job, meters, &narrowed, &mut |labels| {
            if let Some(value) = labels.get(name).filter(|value| !values.contains(*value)) {
                values.insert(value.into());
            }
            true
        })?;
        Ok(values)
    }

    /// Shows the labels of all series that match, whatever the time of their chunks.
    fn series_in(
        &self,
        job: &Job,
        meters: &Meters,
        question: &Question,
        each: &mut dyn FnMut(LabelsRef<'_>) -> bool,
    ) -> Result<(), GatewayError> {
        let shared = self.shared();
        let header = job.block.header(shared, meters)?;
        let expanded = job.block.expand(shared, meters, &header, question)?;
        let unchecked = question.unchecked(&expanded);
        let mut scratch = SeriesScratch::default();
        let index = GatewayError::index(job.block.index_key());
        let keeps = job.block.keeps_entries(shared, &header, expanded.ids.len());
        let reading = Reading { shared, meters, keeps };
        job.block.entries(reading, &header, &expanded.ids, &mut |id, body| {
            let labels = header.tables().decode_series(id, body, &mut scratch).map_err(index)?;
            if !unchecked.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or(""))) {
                return Ok(true);
            }
            meters.series(1)?;
            Ok(each(labels))
        })
    }

    fn texts(
        &self,
        ask: &Select,
        list: impl Fn(&Job, &Meters) -> Result<BTreeSet<Arc<str>>, GatewayError> + Sync,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        let found = self.with_fresh_blocks(|is_last_try| {
            let mut plan = self.plan(ask);
            let found = self.for_each_block(&mut plan, is_last_try, &list)?;
            // An answer of texts has no place for warnings.
            plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(found)
        })?;
        let mut texts = BTreeSet::new();
        found.into_iter().flatten().for_each(|mut of_block| texts.append(&mut of_block));
        let limit = if ask.hints.limit == 0 { usize::MAX } else { ask.hints.limit };
        Ok(texts.into_iter().take(limit).collect())
    }
}

impl Queryable for Gateway {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.with_fresh_blocks(|is_last_try| self.try_select(ask, is_last_try))
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |job, meters| self.names_in(job, meters))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |job, meters| self.values_in(name, job, meters))
    }
}
