//! Random lives of a data directory, beside a store and a rule that are obviously right.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::disk::MemoryDisk;
use crate::model::{Labels, MatchOp, Matcher};
use crate::series::{
    Append, Batch, Column, OnReject, Queryable, Select, SeriesRef, TimeRange, Verdict,
};
use crate::storage::wal::{Compression, WalOptions};
use crate::testkit::ModelStore;

const RANGE_MS: i64 = 1000;
const SERIES: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    /// Samples as series, distance from the newest time, and value.
    Append {
        rows: Vec<(usize, i64, u8)>,
        on_reject: OnReject,
    },
    Query {
        matcher: u8,
        range: TimeRange,
    },
    Maintain,
    Flush,
    Restart,
}

fn rows() -> impl Strategy<Value = Vec<(usize, i64, u8)>> {
    let distance = prop_oneof![4 => 0..200_i64, 2 => -5..5_i64, 1 => -600..900_i64];
    vec((0..SERIES, distance, 0..3_u8), 1..12)
}

fn step() -> impl Strategy<Value = Step> {
    let on_reject = prop_oneof![3 => Just(OnReject::KeepRest), 1 => Just(OnReject::RejectAll)];
    let append = (rows(), on_reject).prop_map(|(rows, on_reject)| Step::Append { rows, on_reject });
    let query = (0..6_u8, 0..9000_i64, 0..3000_i64).prop_map(|(matcher, start_ms, length_ms)| {
        Step::Query { matcher, range: TimeRange::new(start_ms, start_ms + length_ms) }
    });
    prop_oneof![
        12 => append,
        4 => query,
        2 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

fn labels(number: usize) -> Labels {
    let parity = if number.is_multiple_of(2) { "even" } else { "" };
    let pairs = [("__name__", "m".to_owned()), ("n", number.to_string())];
    Labels::from_pairs(pairs).unwrap().with("parity", parity)
}

fn matcher(number: u8) -> Vec<Matcher> {
    let new = |name, op, value| vec![Matcher::new(name, op, value).unwrap()];
    match number {
        0 => Vec::new(),
        1 => new("n", MatchOp::Equal, "1"),
        2 => new("n", MatchOp::NotEqual, "1"),
        3 => new("parity", MatchOp::Regex, "e.*|"),
        4 => new("parity", MatchOp::Equal, ""),
        _ => new("n", MatchOp::NotRegex, "[0-2]"),
    }
}

/// The rules of appending, said once more.
#[derive(Debug, Default)]
struct Rules {
    newest: BTreeMap<usize, (i64, f64)>,
    max_time_ms: Option<i64>,
    min_valid_ms: Option<i64>,
}

impl Rules {
    fn judge(&self, bound_ms: i64, (series, time_ms, value): (usize, i64, f64)) -> Verdict {
        if time_ms < bound_ms || self.min_valid_ms.is_some_and(|valid_ms| time_ms < valid_ms) {
            return Verdict::OutOfBounds;
        }
        match self.newest.get(&series) {
            Some((newest_ms, _)) if time_ms < *newest_ms => Verdict::OutOfOrder,
            Some((newest_ms, newest)) if time_ms == *newest_ms && value != *newest => {
                Verdict::DuplicateTimestamp
            }
            _ => Verdict::Accepted,
        }
    }

    /// Verdicts of a batch, and whether it is refused as a whole.
    fn append(&mut self, rows: &[(usize, i64, f64)], all: bool) -> (Vec<Verdict>, bool) {
        let bound_ms = self.max_time_ms.unwrap_or(rows[0].1) - RANGE_MS / 2;
        let hard = rows.iter().map(|row| self.judge(bound_ms, *row));
        let hard: Vec<Verdict> = hard.collect();
        let before = (self.newest.clone(), self.max_time_ms);
        let mut is_refused = false;
        let mut verdicts = Vec::new();
        for (row, hard) in rows.iter().zip(hard) {
            let verdict = self.judge(bound_ms, *row);
            verdicts.push(verdict);
            if verdict.is_accepted() {
                self.newest.insert(row.0, (row.1, row.2));
                self.max_time_ms = self.max_time_ms.max(Some(row.1));
            } else {
                is_refused |= all && !hard.is_accepted();
            }
        }
        if is_refused {
            (self.newest, self.max_time_ms) = before;
        }
        (verdicts, is_refused)
    }

    fn cut(&mut self, db: &Db) {
        self.min_valid_ms = db.stats().blocks.iter().map(|meta| meta.max_time_ms).max();
    }

    fn restart(&mut self) {
        let kept = |time_ms: &i64| self.min_valid_ms.is_none_or(|valid_ms| *time_ms >= valid_ms);
        self.max_time_ms = self.newest.values().map(|newest| newest.0).filter(kept).max();
    }
}

struct Life {
    disk: MemoryDisk,
    db: Db,
    rules: Rules,
    model: ModelStore,
    now_ms: i64,
}

fn open(disk: &MemoryDisk) -> Db {
    let mut options = DbOptions { background: false, ..DbOptions::default() };
    options.block_range_ms = RANGE_MS;
    options.retention_ms = 0;
    options.wal = WalOptions {
        segment_bytes: 32 << 10,
        compression: Compression::None,
        ..WalOptions::default()
    };
    let clock = Arc::new(ManualClock::at(1));
    let disk = Arc::new(disk.clone());
    Db::open(disk, clock, Path::new("data"), options, &Registry::new()).unwrap()
}

fn answer(source: &dyn Queryable, ask: &Select) -> Vec<(Labels, Column)> {
    let mut found = Vec::new();
    for series in source.select(ask).unwrap().series {
        let mut column = Column::new();
        series.read(ask.range, &mut column).unwrap();
        if !column.is_empty() {
            found.push((series.labels().clone(), column));
        }
    }
    found
}

impl Life {
    fn begin() -> Self {
        let disk = MemoryDisk::new();
        let db = open(&disk);
        Self { disk, db, rules: Rules::default(), model: ModelStore::new(), now_ms: 1000 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { rows, on_reject } => self.append(&rows, on_reject),
            Step::Query { matcher: number, range } => {
                let ask = Select::new(matcher(number), range);
                assert_eq!(answer(&self.db, &ask), answer(&self.model, &ask), "{ask:?}");
            }
            Step::Maintain => {
                self.db.maintain().unwrap();
                self.rules.cut(&self.db);
            }
            Step::Flush => {
                self.db.flush().unwrap();
                assert_eq!(self.db.stats().head_span, None);
                self.rules.cut(&self.db);
                // Also if there was nothing to cut, nothing old is taken any more.
                let end_ms = self.rules.max_time_ms.map(|max| max + 1);
                self.rules.min_valid_ms = self.rules.min_valid_ms.max(end_ms);
            }
            Step::Restart => {
                self.db.close().unwrap();
                self.db = open(&self.disk);
                self.rules.cut(&self.db);
                self.rules.restart();
            }
        }
    }

    fn append(&mut self, rows: &[(usize, i64, u8)], on_reject: OnReject) {
        let at = |(series, distance, value): &(usize, i64, u8)| {
            (*series, (self.now_ms + distance).max(0), f64::from(*value))
        };
        let rows: Vec<(usize, i64, f64)> = rows.iter().map(at).collect();
        let mut batch = Batch::new();
        for (series, time_ms, value) in &rows {
            batch.push_series(SeriesRef::UNKNOWN, labels(*series).as_ref());
            batch.push_sample(*time_ms, *value);
        }
        let all = on_reject == OnReject::RejectAll;
        let (verdicts, is_refused) = self.rules.append(&rows, all);
        let outcome = self.db.append(&mut batch, on_reject).unwrap();
        assert_eq!(batch.verdicts(), verdicts, "{rows:?}");
        let accepted = verdicts.iter().filter(|verdict| verdict.is_accepted()).count();
        assert_eq!(outcome.accepted, if is_refused { 0 } else { accepted });
        assert_eq!(outcome.rejected, rows.len() - accepted);
        for ((series, time_ms, value), verdict) in rows.iter().zip(verdicts) {
            if verdict.is_accepted() && !is_refused {
                self.model.add(&labels(*series), *time_ms, *value);
                self.now_ms = self.now_ms.max(*time_ms);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_directory_answers_like_a_map_whatever_happens_to_it(steps in vec(step(), 1..80)) {
        let mut life = Life::begin();
        for step in steps {
            life.step(step);
        }
        let ask = Select::new(Vec::new(), TimeRange::ALL);
        assert_eq!(answer(&life.db, &ask), answer(&life.model, &ask));
        life.step(Step::Restart);
        assert_eq!(answer(&life.db, &ask), answer(&life.model, &ask));
        life.step(Step::Flush);
        assert_eq!(answer(&life.db, &ask), answer(&life.model, &ask));
    }
}
