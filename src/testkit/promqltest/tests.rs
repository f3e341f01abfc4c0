//! The runner itself, against subjects that answer what the test tells them.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::model::{Labels, Sample};
use crate::promql::{Answer, EngineError, MatrixSeries, Value, VectorElement};
use crate::series::{Column, Queryable};
use crate::testkit::ModelStore;

type Asked = (String, i64, i64, i64);

/// Answers every question with one series, and keeps what it was asked.
struct Fixed {
    value: f64,
    warnings: Vec<String>,
    error: Option<&'static str>,
    asked: RefCell<Vec<Asked>>,
}

fn fixed(value: f64) -> Fixed {
    Fixed { value, warnings: Vec::new(), error: None, asked: RefCell::default() }
}

impl Fixed {
    fn answer(&self, value: Value) -> Result<Answer, EngineError> {
        match self.error {
            Some(error) => Err(EngineError::Execution(error.into())),
            None => Ok(Answer {
                value,
                warnings: self.warnings.clone(),
                infos: Vec::new(),
                samples_read: 0,
                stats: None,
            }),
        }
    }
}

impl Subject for Fixed {
    fn instant(&self, _: &dyn Queryable, query: &str, at: i64) -> Result<Answer, EngineError> {
        self.asked.borrow_mut().push((query.into(), at, at, 0));
        let sample = Sample { timestamp_ms: at, value: self.value };
        self.answer(Value::Vector(vec![VectorElement {
            labels: Labels::empty(),
            sample,
            histogram: None,
        }]))
    }

    fn range(
        &self,
        _: &dyn Queryable,
        query: &str,
        start: i64,
        end: i64,
        step: i64,
    ) -> Result<Answer, EngineError> {
        self.asked.borrow_mut().push((query.into(), start, end, step));
        let mut column = Column::new();
        let steps = (end - start) / step.max(1);
        (0..=steps).for_each(|index| column.push(start + index * step, self.value));
        self.answer(Value::Matrix(vec![MatrixSeries { labels: Labels::empty(), column }]))
    }
}

fn run(subject: &Fixed, script: &str) -> Report {
    run_script_on("test", script, subject, &mut ModelStore::new())
}

#[test]
fn an_instant_query_is_asked_in_all_forms() {
    let subject = fixed(1.0);
    let report = run(&subject, "eval instant at 50s sum(m offset 5s)\n  {} 1\n");
    assert_eq!(report.to_string(), "1 passed, 0 failed");
    let pinned = "sum(m @ 50.000 offset 5s)";
    let mut want = vec![
        ("sum(m offset 5s)".into(), 50_000, 50_000, 0),
        ("sum(m offset 5s)".into(), -10_000, 110_000, 60_000),
    ];
    for at_ms in [-500_000, 0, 10_000, 50_000, 500_000] {
        want.push((pinned.into(), at_ms, at_ms, 0));
        want.push((pinned.into(), at_ms - 60_000, at_ms + 60_000, 60_000));
    }
    assert_eq!(*subject.asked.borrow(), want);
}

#[test]
fn only_what_is_not_pinned_is_pinned() {
    let cases = [
        ("a @ 7 + b @ start()", "a @ 7.000 + b @ 9.000"),
        ("rate(a[1m]) > bool 1", "rate(a[1m] @ 9.000) > bool 1"),
        ("max_over_time(a[1h:]) + a", "max_over_time(a[1h:] @ 9.000) + a @ 9.000"),
        ("sum_over_time(a[1h:] @ 5)", "sum_over_time(a[1h:] @ 5.000)"),
    ];
    for (query, want) in cases {
        let query = crate::promql::parse(query).unwrap();
        let forms = forms::pinned(query, 9000);
        assert_eq!(
            forms.iter().map(|form| form.at_ms).collect::<Vec<_>>(),
            [-90_000, 0, 1800, 9000, 90_000]
        );
        assert!(forms.iter().all(|form| form.query == want), "{}", forms[0].query);
    }
    let forms = forms::pinned(crate::promql::parse("a").unwrap(), 0);
    assert_eq!(forms.iter().map(|form| form.at_ms).collect::<Vec<_>>(), [-1000, 0, 1000]);
    assert!(forms::pinned(crate::promql::parse("a > time()").unwrap(), 0).is_empty());
}

#[test]
fn queries_that_know_their_times_are_not_asked_as_ranges() {
    let subject = fixed(1.0);
    run(&subject, "eval instant at 0 a + step()\n  {} 1\n");
    assert!(subject.asked.borrow().iter().all(|asked| asked.3 == 0));
}

#[test]
fn wrong_answers_are_failures_with_their_line() {
    let cases = [
        ("{} 2", "expected 2 for {} but got 1"),
        ("{a=\"b\"} 1", "unexpected metric {} in result, has value 1"),
        ("", "unexpected metric {} in result, has value 1"),
        ("{} 1\n  {a=\"b\"} 1", "expected metric {a=\"b\"} with 1 not found"),
        ("1", "expected scalar 1, but got series"),
        ("{} {{count:1}}", "expected {count:1, sum:0} (schema 0, Unknown) for {} but got 1"),
        ("expect fail\n  {} 1", "expected an error but got none"),
        ("expect warn\n  {} 1", "expected warning annotations are missing, found: []"),
    ];
    for (lines, want) in cases {
        let report = run(&fixed(1.0), &format!("# first\neval instant at 0 a\n  {lines}\n"));
        assert_eq!((report.passed, report.failed.len()), (0, 1), "{lines}");
        assert_eq!(report.failed[0].line, 2);
        assert!(report.failed[0].message.ends_with(want), "{}", report.failed[0].message);
    }
}

#[test]
fn a_range_is_compared_step_by_step() {
    let script = |values| format!("eval range from 0 to 2m step 1m a\n  {{}} {values}\n");
    assert_eq!(run(&fixed(1.0), &script("1 1 1")).passed, 1);
    assert_eq!(run(&fixed(1.0), &script("1x2")).passed, 1);
    for values in ["1 1", "1 1 1 1", "1 _ 1", "1 2 1", "_ 1 1 1"] {
        assert_eq!(run(&fixed(1.0), &script(values)).passed, 0, "{values}");
    }
}

#[test]
fn annotations_are_all_expected_or_none_is_looked_at() {
    let warned = |warnings: &[&str]| Fixed {
        warnings: warnings.iter().map(|text| (*text).into()).collect(),
        ..fixed(1.0)
    };
    let cases = [
        (&["odd (1:2)"][..], "", true),
        (&["odd (1:2)"], "expect warn", true),
        (&["odd (1:2)"], "expect warn msg: odd (1:2)", true),
        (&["odd (1:2)"], "expect warn msg: odd", false),
        (&["odd (1:2)"], "expect warn regex: ^o.d .*", true),
        (&["odd (1:2)"], "expect no_warn", false),
        (&["odd (1:2)"], "expect no_info", true),
        (&["odd (1:2)", "other"], "expect warn msg: odd (1:2)", false),
        (&["odd", "other"], "expect warn msg: odd\n  expect warn msg: other", true),
        (&[], "expect warn", false),
        (&[], "expect no_warn", true),
    ];
    for (warnings, line, want) in cases {
        let script = format!("eval instant at 0 a\n  {line}\n  {{}} 1\n");
        // An empty line would end the case.
        let report = run(&warned(warnings), &script.replace("\n  \n", "\n"));
        assert_eq!(report.passed == 1, want, "{warnings:?} {line}");
    }
}

#[test]
fn failures_are_matched_by_their_text() {
    let failing = || Fixed { error: Some("no such thing"), ..fixed(1.0) };
    let cases = [
        ("eval instant at 0 a\n  expect fail", true),
        ("eval instant at 0 a\n  expect fail msg: no such thing", true),
        ("eval instant at 0 a\n  expect fail msg: no such", false),
        ("eval instant at 0 a\n  expect fail regex: such", true),
        ("eval_fail instant at 0 a", true),
        ("eval_fail instant at 0 a\n  expected_fail_message no such thing", true),
        ("eval_fail instant at 0 a\n  expected_fail_regexp thing$", true),
        ("eval_fail instant at 0 a\n  expected_fail_message other", false),
        ("eval instant at 0 a", false),
        ("eval range from 0 to 1m step 1m a\n  expect fail", true),
    ];
    for (script, want) in cases {
        assert_eq!(run(&failing(), script).passed == 1, want, "{script}");
    }
}

#[test]
fn histograms_are_loaded_and_compared() {
    let load = "load_with_nhcb 1m\n  h {{schema:0 sum:2 count:2 buckets:[1 1]}}x3\n  \
                c_bucket{le=\"1\"} 1\n  c_bucket{le=\"+Inf\"} 3\n  c_sum 9\n\n";
    let case = |query: &str, want: &str| {
        let script = format!("{load}eval instant at 1m {query}\n  {want}\n");
        run_script("test", &script, &script_options()).to_string()
    };
    let passed = "1 passed, 0 failed";
    let want = "{{schema:0 sum:2 count:2 buckets:[1 1 0] counter_reset_hint:not_reset}}";
    assert_eq!(case("h", &format!("h {want}")), passed);
    let listed = "{{schema:-53 sum:9 count:3 custom_values:[1] buckets:[1 2]}}";
    assert_eq!(case("c", &format!("c {listed}")), passed);
    for wrong in [
        "{{schema:0 sum:2 count:2 buckets:[1 1] counter_reset_hint:gauge}}",
        "{{schema:1 sum:2 count:2 buckets:[1 1]}}",
        "{{schema:0 sum:2 count:2 buckets:[1 1.01]}}",
        "{{schema:0 sum:2 count:2 buckets:[1 1] offset:1}}",
        "{{schema:0 sum:2 count:2 buckets:[1 1] z_bucket_w:1}}",
    ] {
        assert!(case("h", &format!("h {wrong}")).ends_with("0 passed, 1 failed"), "{wrong}");
    }
    assert!(case("h", "h 2").ends_with("0 passed, 1 failed"));
    assert!(case("c", &format!("c {want}")).ends_with("0 passed, 1 failed"));
}

#[test]
fn a_script_that_cannot_be_read_fails_each_of_its_cases() {
    let report = run(&fixed(1.0), "eval instant at 0 a\n  {} 1\n\nwhat\n\neval instant at 0 b\n");
    assert_eq!(report.passed, 0);
    assert_eq!(report.failed.iter().map(|failure| failure.line).collect::<Vec<_>>(), [1, 6]);
    assert_eq!(
        report.failed[0].message,
        "line 4 of the script cannot be read: invalid command \"what\""
    );
    let report = run(&fixed(1.0), "load 5x\n  a 1\n");
    assert_eq!(
        report.to_string(),
        "test:1: line 1 of the script cannot be read: unknown \
             unit \"x\" in duration \"5x\"\n0 passed, 1 failed"
    );
}

#[test]
fn a_query_that_cannot_be_read_fails_alone() {
    let report = run(&fixed(1.0), "eval instant at 0 a(\n\neval instant at 0 b\n  {} 1\n");
    assert_eq!((report.passed, report.failed.len()), (1, 1));
    assert!(report.failed[0].message.contains("unclosed left parenthesis"));
}

/// Scripts of this project; Prometheus passes them too.
const SCRIPTS: [(&str, &str); 16] = [
    ("aggregations", include_str!("../../../testdata/promql/aggregations.test")),
    ("at_offset", include_str!("../../../testdata/promql/at_offset.test")),
    ("errors", include_str!("../../../testdata/promql/errors.test")),
    ("extended_ranges", include_str!("../../../testdata/promql/extended_ranges.test")),
    ("functions", include_str!("../../../testdata/promql/functions.test")),
    ("histogram_quantile", include_str!("../../../testdata/promql/histogram_quantile.test")),
    ("info", include_str!("../../../testdata/promql/info.test")),
    ("language", include_str!("../../../testdata/promql/language.test")),
    ("native_histograms", include_str!("../../../testdata/promql/native_histograms.test")),
    ("operators", include_str!("../../../testdata/promql/operators.test")),
    ("over_time", include_str!("../../../testdata/promql/over_time.test")),
    ("rates", include_str!("../../../testdata/promql/rates.test")),
    ("selectors", include_str!("../../../testdata/promql/selectors.test")),
    ("start_times", include_str!("../../../testdata/promql/start_times.test")),
    ("staleness", include_str!("../../../testdata/promql/staleness.test")),
    ("subqueries", include_str!("../../../testdata/promql/subqueries.test")),
];

#[test]
fn the_engine_answers_all_scripts_of_this_project() {
    let mut passed = 0;
    for (name, text) in SCRIPTS {
        let report = run_script(name, text, &script_options());
        assert!(report.failed.is_empty(), "{report}");
        assert_eq!(report.passed, script::eval_lines(text).len(), "{name}");
        passed += report.passed;
    }
    assert!(passed > 300, "only {passed} cases");
}

/// Scripts that are not part of this project, such as Prometheus's own: `PROMQLTEST_DIR` names
/// their folder.
#[test]
#[ignore = "needs PROMQLTEST_DIR, a folder with scripts"]
fn the_engine_answers_all_scripts_of_the_named_folder() {
    let dir = std::env::var_os("PROMQLTEST_DIR").expect("PROMQLTEST_DIR names a folder");
    let disk = crate::disk::RealDisk;
    let dir = std::path::PathBuf::from(dir);
    let (mut passed, mut failures) = (0, Vec::new());
    for entry in crate::disk::Disk::list(&disk, &dir).unwrap() {
        if entry.name.ends_with(".test") {
            let text = crate::disk::Disk::read(&disk, &dir.join(&entry.name)).unwrap();
            let text = String::from_utf8(text).unwrap();
            let report = run_script(&entry.name, &text, &script_options());
            assert_eq!(report.passed + report.failed.len(), script::eval_lines(&text).len());
            passed += report.passed;
            failures.extend((!report.failed.is_empty()).then(|| report.to_string()));
        }
    }
    assert!(failures.is_empty() && passed > 0, "{passed} passed\n{}", failures.join("\n"));
}

/// Pieces that scripts are made of.
const PIECES: [&str; 28] = [
    "load 1m",
    "load_with_nhcb 5m",
    "clear",
    "eval instant at 1m",
    "eval range from 0 to 1m step",
    "eval_fail instant at 0",
    "expect fail",
    "expect warn msg:",
    "expect regex: (",
    "expect string",
    "expect range vector from 0 to 1m step 1m",
    "\n",
    "\n\n",
    "\n  ",
    " ",
    "a{b=\"c\"}",
    "@st",
    "0s",
    "-1m+1sx3",
    "1+2x3",
    "_x2",
    "{{count:1 buckets:[1",
    "]}}",
    "x",
    "1",
    "a",
    "\"",
    "#",
];

proptest! {
    #[test]
    fn any_script_is_run_or_refused(pieces in prop::collection::vec(0..PIECES.len(), 0..30)) {
        let text: String = pieces.iter().map(|index| PIECES[*index]).collect();
        let report = run(&fixed(1.0), &text);
        let evals = script::eval_lines(&text).len();
        prop_assert!(report.passed + report.failed.len() <= evals.max(1));
    }
}
