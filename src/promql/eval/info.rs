//! `info`: labels of info metrics for the series of the same target.
//!
//! Which info series describe a series is decided by labels, once. Which of several with the same
//! name is in force is decided by the steps: the one with the newest sample.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{Labels, METRIC_NAME};
use crate::promql::engine::EngineError;
use crate::promql::plan::{InfoNode, Reading, Steps, window_range};

use super::merge::merge;
use super::newest::newest;
use super::operator::{Bound, Head, Operator, Work};
use super::run::Run;
use super::{StepColumn, bind as bind_node};

/// The labels that say which target a series belongs to.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Binds `info(vector, {…})`.
pub(super) fn bind<'r>(run: &'r Run<'r>, node: &'r InfoNode, steps: Steps) -> Bound<'r> {
    let inner = bind_node(run, &node.vector)?;
    let is_info = |labels: &Labels| {
        let name = labels.metric_name().unwrap_or_default();
        node.names.iter().all(|matcher| matcher.matches(name))
    };
    let targets =
        Targets::of(inner.heads().iter().map(|head| &head.labels).filter(|l| !is_info(l)));
    let groups = groups(run, node.reading, &targets, steps)?;
    let mut table = Table { run, node, groups: &groups, rows: Vec::new() };
    for (index, head) in inner.heads().iter().enumerate() {
        if is_info(&head.labels) {
            table.rows.push((head.clone(), Row { index, when: None, conflict: None }));
        } else {
            table.enrich(index, head, steps)?;
        }
    }
    let rows = table.rows;
    refuse_doubles(run, inner.as_ref(), &groups, steps)?;
    let (heads, rows) = rows.into_iter().unzip();
    // Series with equal labels are an error even where names are dropped at the end.
    merge(Box::new(Enriched { inner, heads, rows }))
}

/// The values that the identifying labels have on the series to be enriched.
struct Targets<'a>(BTreeMap<&'static str, BTreeSet<&'a str>>);

impl<'a> Targets<'a> {
    fn of(series: impl Iterator<Item = &'a Labels>) -> Self {
        let mut values: BTreeMap<&'static str, BTreeSet<&'a str>> = BTreeMap::new();
        for labels in series {
            for name in IDENTIFYING {
                if let Some(value) = labels.get(name).filter(|value| !value.is_empty()) {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        Self(values)
    }

    /// True if an info series may belong to one of the targets.
    fn may_hold(&self, labels: &Labels) -> bool {
        let holds = |(name, values): (&&str, &BTreeSet<&str>)| {
            values.contains(labels.get(name).unwrap_or_default())
        };
        !self.0.is_empty() && self.0.iter().all(holds)
    }
}

/// The info series with one name for one target, and which of them is in force at each step.
struct Group {
    name: String,
    target: Labels,
    series: Vec<Labels>,
    /// The series in force and when its sample was taken.
    chosen: Vec<Option<(usize, i64)>>,
    /// Steps at which the newest samples of two series are of the same time: both, and the time.
    doubles: BTreeMap<usize, ([usize; 2], i64)>,
}

fn target_of(labels: &Labels) -> Labels {
    labels.filter(|name| IDENTIFYING.contains(&name))
}

/// Reads all info series that may be of use, in the order of names.
fn groups(
    run: &Run<'_>,
    reading: Reading,
    targets: &Targets<'_>,
    steps: Steps,
) -> Result<Vec<Group>, EngineError> {
    let selection = run.selection(reading.place.ask)?;
    let mut places: HashMap<(String, Labels), usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let (mut work, mut column) = (Work::default(), StepColumn::new());
    let tally = run.tallies.as_ref().map(|tallies| tallies.current());
    for (index, series) in selection.series.iter().enumerate() {
        let labels = series.labels();
        if !targets.may_hold(labels) {
            continue;
        }
        read_newest(run, (reading, index), steps, &mut column, &mut work)?;
        if column.is_empty() {
            continue;
        }
        if let Some(tally) = &tally {
            tally.add_present(&column);
        }
        let name = labels.metric_name().unwrap_or_default().to_owned();
        let key = (name.clone(), target_of(labels));
        let place = *places.entry(key.clone()).or_insert(groups.len());
        if place == groups.len() {
            run.limits.hold(steps.count)?;
            let chosen = vec![None; steps.count];
            groups.push(Group {
                name,
                target: key.1,
                series: Vec::new(),
                chosen,
                doubles: BTreeMap::new(),
            });
        }
        if let Some(group) = groups.get_mut(place) {
            group.add(labels.clone(), &column);
        }
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}

/// When the newest sample of an info series was taken, in milliseconds, at each step.
fn read_newest(
    run: &Run<'_>,
    (reading, index): (Reading, usize),
    steps: Steps,
    into: &mut StepColumn,
    work: &mut Work,
) -> Result<(), EngineError> {
    let selection = run.selection(reading.place.ask)?;
    let range = window_range(reading.shift.span(steps), run.lookback_ms, 0);
    let place = (reading.place.variant, index);
    let samples = selection.read(run.limits, place, selection.widened(range), work)?;
    let column = samples.column();
    let has_histogram = std::cell::Cell::new(false);
    newest(column, steps, reading.shift, run.lookback_ms, into, |index, _| {
        if column.histograms.get(index).is_some() {
            has_histogram.set(true);
        }
        column.timestamps.get(index).map_or(0.0, |time_ms| *time_ms as f64)
    });
    samples.give_back(work);
    if has_histogram.get() {
        let labels = selection.series.get(index).map(|series| series.labels().to_string());
        let labels = labels.unwrap_or_default();
        let text = format!("this should be an info metric, with float samples: {labels}");
        return Err(EngineError::Execution(text));
    }
    Ok(())
}

impl Group {
    fn add(&mut self, labels: Labels, times: &StepColumn) {
        let mine = self.series.len();
        self.series.push(labels);
        for (step, time_ms) in times.iter() {
            let time_ms = time_ms as i64;
            let Some(chosen) = self.chosen.get_mut(step) else { continue };
            match *chosen {
                Some((_, known_ms)) if known_ms > time_ms => {}
                Some((known, known_ms)) if known_ms == time_ms => {
                    self.doubles.entry(step).or_insert(([known, mine], time_ms));
                }
                _ => *chosen = Some((mine, time_ms)),
            }
        }
    }
}

/// An error if two info series say something of the same target at a step at which there is
/// something to be enriched.
fn refuse_doubles(
    run: &Run<'_>,
    inner: &(dyn Operator + '_),
    groups: &[Group],
    steps: Steps,
) -> Result<(), EngineError> {
    if groups.iter().all(|group| group.doubles.is_empty()) {
        return Ok(());
    }
    let (mut inhabited, mut spare) = (StepColumn::new(), Vec::new());
    inhabited.reset(steps.count);
    let indexes: Vec<usize> = (0..inner.heads().len()).collect();
    run.in_order(inner, &indexes, steps.count, |_, column| {
        inhabited.mark(column.all_words(&mut spare));
        Ok(())
    })?;
    let first = |group| -> Option<(usize, &Group, [usize; 2], i64)> {
        let group: &Group = group;
        let (step, (pair, time_ms)) = group.doubles.iter().find(|(s, _)| inhabited.has(**s))?;
        Some((*step, group, *pair, *time_ms))
    };
    let met = groups.iter().filter_map(first).min_by_key(|(step, ..)| *step);
    let Some((_, group, pair, time_ms)) = met else { return Ok(()) };
    let [existing, new] = pair.map(|index| group.series.get(index).cloned().unwrap_or_default());
    Err(EngineError::Execution(format!(
        "found duplicate series for info metric: existing {existing} @ {time_ms}, \
         new {new} @ {time_ms}"
    )))
}

/// Where an output series comes from.
struct Row {
    /// Index of the series that is enriched.
    index: usize,
    /// The steps at which it has these labels; `None` for all.
    when: Option<StepColumn>,
    /// A label for which two info metrics have different values.
    conflict: Option<String>,
}

/// The info series in force, one of each group or none.
type Choice = Vec<Option<usize>>;

struct Table<'t> {
    run: &'t Run<'t>,
    node: &'t InfoNode,
    groups: &'t [Group],
    rows: Vec<(Head, Row)>,
}

impl Table<'_> {
    /// Adds the series that one becomes, which differ by the info series in force.
    fn enrich(&mut self, index: usize, head: &Head, steps: Steps) -> Result<(), EngineError> {
        let target = target_of(&head.labels);
        let groups: Vec<&Group> =
            self.groups.iter().filter(|group| group.target == target).collect();
        let mut rows: Vec<(Choice, StepColumn)> = Vec::new();
        let mut places: HashMap<Choice, usize> = HashMap::new();
        let (mut choice, mut at) = (Choice::with_capacity(groups.len()), 0);
        for step in 0..steps.count {
            let chosen = |group: &&Group| {
                group.chosen.get(step).copied().flatten().map(|(series, _)| series)
            };
            choice.clear();
            choice.extend(groups.iter().map(chosen));
            // From step to step the choice mostly stays the same.
            if rows.get(at).is_none_or(|(known, _)| *known != choice) {
                at = *places.entry(choice.clone()).or_insert(rows.len());
                if at == rows.len() {
                    self.run.limits.hold(steps.count)?;
                    let mut when = StepColumn::new();
                    when.reset(steps.count);
                    rows.push((choice.clone(), when));
                }
            }
            if let Some((_, when)) = rows.get_mut(at) {
                when.set(step, 1.0);
            }
        }
        for (choice, when) in rows {
            let when = Some(when).filter(|when| !when.is_full());
            let chosen: Vec<&Labels> = groups
                .iter()
                .zip(&choice)
                .filter_map(|(group, series)| group.series.get((*series)?))
                .collect();
            if let Some((labels, conflict)) = self.labels(&head.labels, &chosen) {
                let head = Head { labels, drop_name: head.drop_name };
                self.rows.push((head, Row { index, when, conflict }));
            }
        }
        Ok(())
    }

    /// The labels of a series with those of its info series, and a label that these disagree on;
    /// nothing if the series is left out since no info series was found.
    fn labels(&self, base: &Labels, infos: &[&Labels]) -> Option<(Labels, Option<String>)> {
        let wanted = &self.node.labels;
        if infos.is_empty() {
            let keeps = wanted.iter().all(|matcher| matcher.matches_empty());
            return keeps.then(|| (base.clone(), None));
        }
        let (mut added, mut conflict) = (Labels::empty(), None);
        for (name, value) in infos.iter().flat_map(|labels| labels.iter()) {
            let takes = wanted.is_empty() || wanted.iter().any(|matcher| matcher.name() == name);
            if name == METRIC_NAME || !takes {
                continue;
            }
            if added.get(name).is_some_and(|known| known != value) && conflict.is_none() {
                conflict = Some(name.to_owned());
            }
            if base.get(name).is_none() {
                added = added.with(name, value);
            }
        }
        let enriched = added.iter().fold(base.clone(), |labels, (name, v)| labels.with(name, v));
        Some((enriched, conflict))
    }
}

struct Enriched<'r> {
    inner: Box<dyn Operator + 'r>,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

impl Operator for Enriched<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let Some(row) = self.rows.get(index) else {
            into.reset(0);
            return Ok(());
        };
        self.inner.column(row.index, into, work)?;
        if let Some(when) = &row.when {
            into.keep_where(when.words());
        }
        match &row.conflict {
            Some(label) if !into.is_empty() => {
                Err(EngineError::Execution(format!("conflicting label: {label}")))
            }
            _ => Ok(()),
        }
    }
}
