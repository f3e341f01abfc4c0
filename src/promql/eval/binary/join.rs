//! Arithmetic and comparisons between two vectors.
//!
//! Partners are found once, by labels. Where a series can have only one partner at all, its values
//! are combined as they come. Where several series of the one side stand for the same partner, or
//! several results have the same labels, the steps decide; see [`super::clash`].

use crate::model::Labels;
use crate::promql::ast::{BinaryOp, Cardinality, Matching, Span};
use crate::promql::engine::EngineError;
use crate::promql::plan::{BinaryNode, Node};

use super::super::StepColumn;
use super::super::operator::{Bound, Head, Operator, Work, without_metadata};
use super::super::run::Run;
use super::arithmetic::{Place, combine};
use super::clash::{Doubles, Resolved, refuse_doubles, resolve};
use super::mixed::Combiner;
use super::signature::{Family, families};
use super::{bind_node, is_arithmetic};

/// How two vectors are joined. The side that may have many stands first, whichever it was.
pub(super) struct Join<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) op: BinaryOp,
    pub(super) return_bool: bool,
    pub(super) matching: &'r Matching,
    pub(super) many: Box<dyn Operator + 'r>,
    pub(super) one: Box<dyn Operator + 'r>,
    /// True if the side that may have many is the right operand.
    pub(super) swapped: bool,
    pub(super) steps: usize,
    pub(super) span: Span,
}

impl Join<'_> {
    /// The series that two partners make.
    pub(super) fn head(&self, many: &Labels, one: &Labels) -> Head {
        let drops = is_arithmetic(self.op) || self.return_bool && !self.run.delayed_name_removal;
        let mut labels = if drops { without_metadata(many) } else { many.clone() };
        if self.matching.cardinality == Cardinality::OneToOne {
            let on = self.matching.on;
            let named = |name: &str| self.matching.labels.iter().any(|known| **known == *name);
            labels = labels.filter(|name| named(name) == on);
        }
        for name in &self.matching.include {
            labels = labels.with(name, one.get(name).unwrap_or_default());
        }
        Head { labels, drop_name: self.return_bool }
    }

    pub(super) const fn is_filled(&self) -> bool {
        self.matching.fill_left.is_some() || self.matching.fill_right.is_some()
    }
}

/// Where the values of an output series come from.
enum Origin {
    /// Two series, of the side that may have many and of the other.
    Pair(usize, Partner),
    /// Index of a column that is known.
    Known(usize),
}

enum Partner {
    /// Index of a series.
    Series(usize),
    /// Index of a column that is known.
    Known(usize),
}

struct Joined<'r> {
    join: Join<'r>,
    heads: Vec<Head>,
    origins: Vec<Origin>,
    known: Vec<StepColumn>,
}

/// Binds an arithmetic operation or a comparison of two vectors.
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    node: &'r BinaryNode,
    matching: &'r Matching,
    whole: &'r Node,
) -> Bound<'r> {
    let (left, right) = (bind_node(run, &node.left)?, bind_node(run, &node.right)?);
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let (op, return_bool, steps) = (node.op, node.return_bool, whole.steps.count);
    let span = whole.span;
    let join = Join { run, op, return_bool, matching, many, one, swapped, steps, span };
    let mut table = Table::default();
    let mut clashes = Vec::new();
    for family in families(join.many.heads(), join.one.heads(), matching) {
        if !table.add_simple(&join, &family) {
            clashes.push(family);
        }
    }
    let shared = std::mem::take(&mut table.shared);
    let mut known = run.collect(shared.len(), |slot, work| {
        let mut column = StepColumn::new();
        if let Some(index) = shared.get(slot) {
            join.one.column(*index, &mut column, work)?;
        }
        run.limits.hold(column.size())?;
        Ok(column)
    })?;
    let resolved = run.collect(clashes.len(), |index, work| match clashes.get(index) {
        Some(family) => resolve(&join, family, work),
        None => Ok(Resolved::default()),
    })?;
    let mut doubles: Vec<(Family, Doubles)> = Vec::new();
    for (family, resolved) in clashes.into_iter().zip(resolved) {
        for (order, head, column) in resolved.outputs {
            table.rows.push((order, head, Origin::Known(known.len())));
            known.push(column);
        }
        doubles.extend(resolved.doubles.map(|doubles| (family, doubles)));
    }
    refuse_doubles(&join, &doubles)?;
    // Results stand where the series stands that may have many partners; filled ones behind.
    table.rows.sort_by_key(|row| row.0);
    let (heads, origins) = table.rows.into_iter().map(|(_, head, origin)| (head, origin)).unzip();
    run.unique(Box::new(Joined { join, heads, origins, known }), whole.steps)
}

/// Output series as they are found.
#[derive(Default)]
struct Table {
    /// Place in the output, series, values.
    rows: Vec<(usize, Head, Origin)>,
    /// Series of the one side with more than one partner: they are computed once.
    shared: Vec<usize>,
}

impl Table {
    /// Adds the results of a family unless the steps have to decide. False if they do.
    fn add_simple(&mut self, join: &Join<'_>, family: &Family) -> bool {
        if join.is_filled() || family.one.len() > 1 {
            return false;
        }
        let (Some(one), Some(_)) = (family.one.first(), family.many.first()) else { return true };
        let Some(one_head) = join.one.heads().get(*one) else { return true };
        let heads: Vec<(usize, Head)> = family
            .many
            .iter()
            .filter_map(|many| {
                let head = join.many.heads().get(*many)?;
                Some((*many, join.head(&head.labels, &one_head.labels)))
            })
            .collect();
        if heads.len() > 1 {
            let mut labels: Vec<&Labels> = heads.iter().map(|(_, head)| &head.labels).collect();
            labels.sort_unstable();
            let is_one_to_one = join.matching.cardinality == Cardinality::OneToOne;
            if is_one_to_one || labels.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                return false;
            }
        }
        let is_shared = heads.len() > 1;
        let slot = self.shared.len();
        if is_shared {
            self.shared.push(*one);
        }
        for (many, head) in heads {
            let partner = if is_shared { Partner::Known(slot) } else { Partner::Series(*one) };
            self.rows.push((many, head, Origin::Pair(many, partner)));
        }
        true
    }
}

impl Operator for Joined<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        match self.origins.get(index) {
            Some(Origin::Known(known)) => match self.known.get(*known) {
                Some(column) => into.copy_from(column),
                None => into.reset(self.join.steps),
            },
            Some(Origin::Pair(many, Partner::Known(known))) => {
                self.join.many.column(*many, into, work)?;
                if let Some(column) = self.known.get(*known) {
                    self.combine(into, column);
                }
            }
            Some(Origin::Pair(many, Partner::Series(one))) => {
                self.join.many.column(*many, into, work)?;
                let mut partner = work.take_column();
                self.join.one.column(*one, &mut partner, work)?;
                self.combine(into, &partner);
                work.give_column(partner);
            }
            None => into.reset(self.join.steps),
        }
        Ok(())
    }
}

impl Joined<'_> {
    fn combine(&self, many: &mut StepColumn, one: &StepColumn) {
        let place = if self.join.swapped { Place::Right } else { Place::Left };
        let both_float = many.rows().is_none() && one.rows().is_none();
        if !both_float || self.join.op.is_trim() {
            let mut combiner = Combiner::new(self.join.op, self.join.return_bool);
            combiner.combine(many, place, false, |step| one.value(step));
            combiner.note(self.join.run, self.join.span);
            return;
        }
        let present = Some(one.words());
        combine(self.join.op, self.join.return_bool, many, place, one.values(), present);
    }
}
