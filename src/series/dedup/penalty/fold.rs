//! Streams taken turn by turn.

#![expect(clippy::indexing_slicing, reason = "node numbers come from the tree that they walk")]

use crate::model::histogram::ResetHint;
use crate::model::{Column, Value};

/// How long a replica waits that was not chosen first, when no distance is known yet.
const FIRST_PENALTY_MS: i64 = 5000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    End,
    Float,
    Histogram,
}

/// A stream, which is only ever read forwards.
struct Leaf<'a> {
    column: &'a Column,
    /// Index of the sample behind the current one.
    next: usize,
    /// Of the current sample, or the last one.
    time_ms: i64,
    /// Of the current sample.
    kind: Kind,
    /// What was added to a counter so that it did not fall where it took over.
    offset: f64,
}

impl<'a> Leaf<'a> {
    const fn new(column: &'a Column) -> Self {
        Self { column, next: 0, time_ms: i64::MIN, kind: Kind::Float, offset: 0.0 }
    }

    fn value(&self) -> f64 {
        let at = self.next.checked_sub(1);
        let value = at.and_then(|at| self.column.floats.get(at)).copied().unwrap_or_default();
        // Adding nothing would make an ordinary NaN of a staleness marker.
        if self.offset == 0.0 { value } else { value + self.offset }
    }

    fn next(&mut self) -> Kind {
        self.kind = match self.column.timestamps.get(self.next) {
            None => Kind::End,
            Some(time_ms) => {
                let histograms = &self.column.histograms;
                let is_float = histograms.is_empty() || histograms.get(self.next).is_none();
                (self.time_ms, self.next) = (*time_ms, self.next + 1);
                if is_float { Kind::Float } else { Kind::Histogram }
            }
        };
        self.kind
    }

    fn seek(&mut self, time_ms: i64) -> Kind {
        while self.kind != Kind::End && (self.next == 0 || self.time_ms < time_ms) {
            self.next();
        }
        self.kind
    }

    fn adjust(&mut self, before: f64) {
        let value = self.value();
        if before > value {
            self.offset += before - value;
        }
    }
}

/// The choice between everything before it (`a`) and one more stream (`b`).
struct Pair {
    a_kind: Kind,
    b_kind: Kind,
    a_penalty_ms: i64,
    b_penalty_ms: i64,
    last_ms: Option<i64>,
    /// Whose turn it is.
    uses_a: bool,
    /// Which leaf had the last sample.
    leaf: usize,
    /// Time and kind of whose turn it is. Who asks for them asks often, and the leaf that has them
    /// is far down.
    time_ms: i64,
    kind: Kind,
}

/// Streams folded from the left: the first two, their result and the third, and so on.
struct Fold<'a> {
    leaves: Vec<Leaf<'a>>,
    /// Pair `n` chooses between node `n` and leaf `n + 1`; node 0 is leaf 0, node `n` pair
    /// `n - 1`.
    pairs: Vec<Pair>,
    adjusts: bool,
}

impl<'a> Fold<'a> {
    fn new(columns: impl Iterator<Item = &'a Column>, adjusts: bool) -> Self {
        let leaves: Vec<_> = columns.map(Leaf::new).collect();
        let mut fold = Self { pairs: Vec::with_capacity(leaves.len()), leaves, adjusts };
        for node in 0..fold.leaves.len().saturating_sub(1) {
            let a_kind = fold.next(node);
            let b_kind = fold.leaves[node + 1].next();
            fold.pairs.push(Pair {
                a_kind,
                b_kind,
                a_penalty_ms: 0,
                b_penalty_ms: 0,
                last_ms: None,
                uses_a: true,
                leaf: fold.current(node),
                time_ms: fold.time_ms(node),
                kind: a_kind,
            });
        }
        fold
    }

    /// Which leaf has the current sample of a node, by who had the last one.
    fn current(&self, node: usize) -> usize {
        node.checked_sub(1).map_or(0, |pair| self.pairs[pair].leaf)
    }

    /// The time of a node, by whose turn it is.
    fn time_ms(&self, node: usize) -> i64 {
        node.checked_sub(1).map_or_else(|| self.leaves[0].time_ms, |pair| self.pairs[pair].time_ms)
    }

    fn seek(&mut self, node: usize, time_ms: i64) -> Kind {
        let Some(number) = node.checked_sub(1) else { return self.leaves[0].seek(time_ms) };
        // Step by step, so that every distance is seen.
        loop {
            let pair = &self.pairs[number];
            if pair.time_ms >= time_ms {
                return pair.kind;
            }
            if self.next(node) == Kind::End {
                return Kind::End;
            }
        }
    }

    fn next(&mut self, node: usize) -> Kind {
        if node == 0 {
            return self.leaves[0].next();
        }
        let number = node - 1;
        let pair = &self.pairs[number];
        let used_a = pair.uses_a;
        let used_kind = if used_a { pair.a_kind } else { pair.b_kind };
        let before = (self.adjusts && used_kind == Kind::Float)
            .then(|| self.leaves[self.current(node)].value());
        let kind = self.choose(node);
        if let Some(before) = before.filter(|_| self.pairs[number].uses_a != used_a) {
            self.adjust(node, before);
        }
        kind
    }

    fn choose(&mut self, node: usize) -> Kind {
        let number = node - 1;
        let Pair { a_kind, b_kind, a_penalty_ms, b_penalty_ms, last_ms, .. } = self.pairs[number];
        let from = |penalty_ms: i64| {
            last_ms.map_or(i64::MIN, |last| last.saturating_add(1).saturating_add(penalty_ms))
        };
        if a_kind != Kind::End {
            self.pairs[number].a_kind = self.seek(number, from(a_penalty_ms));
        }
        if b_kind != Kind::End {
            self.pairs[number].b_kind = self.leaves[node].seek(from(b_penalty_ms));
        }
        let (a_ms, b_ms) = (self.time_ms(number), self.leaves[node].time_ms);
        let a_leaf = self.current(number);
        let pair = &mut self.pairs[number];
        let penalty_ms = |time_ms: i64| {
            last_ms.map_or(FIRST_PENALTY_MS, |last| time_ms.saturating_sub(last).saturating_mul(2))
        };
        match (pair.a_kind, pair.b_kind) {
            (Kind::End, Kind::End) => {
                (pair.uses_a, pair.time_ms, pair.kind) = (false, b_ms, Kind::End);
                return Kind::End;
            }
            (Kind::End, _) => (pair.uses_a, pair.b_penalty_ms) = (false, 0),
            (_, Kind::End) => (pair.uses_a, pair.a_penalty_ms) = (true, 0),
            _ if a_ms <= b_ms => {
                (pair.uses_a, pair.a_penalty_ms) = (true, 0);
                pair.b_penalty_ms = penalty_ms(a_ms);
            }
            _ => {
                (pair.uses_a, pair.b_penalty_ms) = (false, 0);
                pair.a_penalty_ms = penalty_ms(b_ms);
            }
        }
        (pair.leaf, pair.time_ms, pair.kind) =
            if pair.uses_a { (a_leaf, a_ms, pair.a_kind) } else { (node, b_ms, pair.b_kind) };
        pair.last_ms = Some(pair.time_ms);
        pair.kind
    }

    /// Lifts whoever is below what was last read: a counter does not fall.
    fn adjust(&mut self, node: usize, before: f64) {
        if node == 0 {
            return self.leaves[0].adjust(before);
        }
        let Pair { a_kind, b_kind, .. } = self.pairs[node - 1];
        if a_kind == Kind::Float {
            self.adjust(node - 1, before);
        }
        if b_kind == Kind::Float {
            self.leaves[node].adjust(before);
        }
    }
}

/// Appends what is chosen of `columns`, in whose order they are preferred. With `adjusts` they are
/// totals of counters, and one that takes over is lifted to where the other one was.
pub(in crate::series::dedup) fn fold<'a>(
    columns: impl Iterator<Item = &'a Column> + Clone,
    adjusts: bool,
    into: &mut Column,
) {
    let is_plain = columns.clone().all(Column::is_plain);
    let mut fold = Fold::new(columns, adjusts);
    let Some(top) = fold.leaves.len().checked_sub(1) else { return };
    let mut last = None;
    while fold.next(top) != Kind::End {
        let number = fold.current(top);
        let leaf = &fold.leaves[number];
        if is_plain {
            into.push(leaf.time_ms, leaf.value());
            continue;
        }
        let Some(at) = leaf.next.checked_sub(1) else { return };
        let follows = last == Some((number, leaf.next - 1)) || last.is_none();
        last = Some((number, leaf.next));
        let start_ms = leaf.column.start_ms(at);
        match leaf.column.value(at) {
            Some(Value::Histogram(mut one)) => {
                if !follows && one.hint != ResetHint::Gauge {
                    one.hint = ResetHint::Unknown;
                }
                into.push_value(leaf.time_ms, start_ms, Value::Histogram(one));
            }
            _ => into.push_value(leaf.time_ms, start_ms, Value::Float(leaf.value())),
        }
        into.set_last_summary(leaf.column.summary(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::Histogram;

    fn column(samples: &[(i64, f64)]) -> Column {
        let mut column = Column::new();
        samples.iter().for_each(|(time_ms, value)| column.push(*time_ms, *value));
        column
    }

    fn folded(columns: &[Column], adjusts: bool) -> Vec<(i64, f64)> {
        let mut into = Column::new();
        fold(columns.iter(), adjusts, &mut into);
        into.timestamps.into_iter().zip(into.floats).collect()
    }

    #[test]
    fn a_replica_that_begins_earlier_is_lifted_to_what_the_first_one_will_have() {
        let a = column(&[(10_100, 100.0), (20_100, 110.0)]);
        let b = column(&[(10_000, 99.0), (20_000, 109.0), (30_000, 119.0)]);
        let want = [(10_000, 100.0), (20_000, 110.0), (30_000, 120.0)];
        assert_eq!(folded(&[a, b], true), want);
    }

    #[test]
    fn floats_and_histograms_take_turns() {
        let mut histograms = Column::new();
        for time_ms in [10_000, 20_000, 30_000] {
            histograms.push_histogram(time_ms, Histogram::stale(false).as_ref());
        }
        for columns in
            [[column(&[(0, 0.0)]), histograms.clone()], [histograms, column(&[(0, 0.0)])]]
        {
            let mut into = Column::new();
            fold(columns.iter(), false, &mut into);
            assert_eq!(into.timestamps, [0, 10_000, 20_000, 30_000]);
            assert_eq!(into.histograms.len(), 3);
        }
    }

    #[test]
    fn one_stream_is_passed_on() {
        let samples = [(1, 1.0), (2, 0.5)];
        assert_eq!(folded(&[column(&samples)], true), samples);
        assert!(folded(&[], true).is_empty());
    }
}
