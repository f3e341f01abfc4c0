//! Runs a script and counts.

use std::fmt;

use crate::model::Sample;
use crate::promql::ast::Expr;
use crate::promql::{
    Answer, Engine, EngineError, EngineOptions, MatrixSeries, ParseOptions, RunOptions, Value,
    VectorElement,
};
use crate::series::Queryable;
use crate::testkit::ModelStore;

use super::load::{ScriptStore, load};
use super::script::{CommandKind, Eval, Load, eval_lines, parse};
use super::{compare, forms};

/// Distance of the steps of the range queries that instant queries are repeated as.
const STEP_MS: i64 = 60_000;

/// What is put to the test.
pub trait Subject {
    /// The answer of a query at one instant, with all its annotations.
    ///
    /// # Errors
    /// See [`EngineError`].
    fn instant(
        &self,
        source: &dyn Queryable,
        query: &str,
        time_ms: i64,
    ) -> Result<Answer, EngineError>;

    /// The answer of a query at the steps of `start_ms..=end_ms`, with all its annotations.
    ///
    /// # Errors
    /// See [`EngineError`].
    fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Answer, EngineError>;
}

impl Subject for Engine {
    fn instant(
        &self,
        source: &dyn Queryable,
        query: &str,
        time_ms: i64,
    ) -> Result<Answer, EngineError> {
        self.instant(source, query, time_ms, &RunOptions::default())
    }

    fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Answer, EngineError> {
        self.range(source, query, start_ms, end_ms, step_ms, &RunOptions::default())
    }
}

/// The settings that upstream gives the engine for its scripts: the whole language, names dropped
/// late, few samples, all annotations.
#[must_use]
pub fn script_options() -> EngineOptions {
    EngineOptions {
        max_samples: 10_000,
        timeout_ms: 100_000,
        delayed_name_removal: true,
        start_timestamps: true,
        parse: ParseOptions::all(),
        shown_notes_max: usize::MAX,
        ..EngineOptions::default()
    }
}

/// Runs a script on a new [`ModelStore`] and an engine with these `options`, for upstream's
/// scripts [`script_options`].
#[must_use]
pub fn run_script(name: &str, text: &str, options: &EngineOptions) -> Report {
    run_script_on(name, text, &Engine::new(options.clone()), &mut ModelStore::new())
}

/// How a script went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The script.
    pub name: String,
    /// Cases that answered as expected in every form.
    pub passed: usize,
    /// The other cases.
    pub failed: Vec<Failure>,
}

/// A case that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The script's line, from 1 on.
    pub line: usize,
    /// What was wrong.
    pub message: String,
}

/// `NAME:LINE: message` for each failure, then `N passed, N failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failure { line, message } in &self.failed {
            writeln!(f, "{}:{line}: {message}", self.name)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// Runs a script against `subject`, its series in `store`, which is cleared first.
///
/// A script that cannot be read counts as a failure of each of its evaluations, or as one failure
/// if it has none.
pub fn run_script_on(
    name: &str,
    text: &str,
    subject: &dyn Subject,
    store: &mut dyn ScriptStore,
) -> Report {
    let mut report = Report { name: name.to_owned(), ..Report::default() };
    let commands = match parse(text) {
        Ok(commands) => commands,
        Err(error) => {
            let (line, message) = (error.line, error.message);
            let message = format!("line {line} of the script cannot be read: {message}");
            let mut lines = eval_lines(text);
            if lines.is_empty() {
                lines.push(line);
            }
            let failures = lines.into_iter().map(|line| Failure { line, message: message.clone() });
            report.failed = failures.collect();
            return report;
        }
    };
    let mut run = Run { subject, store, broken: None };
    run.clear();
    for command in commands {
        match command.kind {
            CommandKind::Clear => run.clear(),
            CommandKind::Load(load) => run.load(&load, command.line),
            CommandKind::Eval(eval) => match run.eval(&eval) {
                Ok(()) => report.passed += 1,
                Err(message) => report.failed.push(Failure { line: command.line, message }),
            },
        }
    }
    report
}

struct Run<'a> {
    subject: &'a dyn Subject,
    store: &'a mut dyn ScriptStore,
    /// Why nothing can be trusted until the store is cleared.
    broken: Option<String>,
}

impl Run<'_> {
    fn clear(&mut self) {
        self.broken = self.store.clear().err().map(|error| format!("clear failed: {error}"));
    }

    fn load(&mut self, series: &Load, line: usize) {
        if let Err(error) = load(series, self.store) {
            self.broken = Some(format!("load in line {line} failed: {error}"));
        }
    }

    fn eval(&self, eval: &Eval) -> Result<(), String> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        let query = crate::promql::parse_with(&eval.query, &ParseOptions::all());
        let query = query.map_err(|error| format!("{}: {error}", eval.query))?;
        if eval.is_range {
            return self.range(eval).map_err(|error| format!("{}: {error}", eval.query));
        }
        self.instants(eval, query)
    }

    fn range(&self, eval: &Eval) -> Result<(), String> {
        let Eval { query, start_ms, end_ms, step_ms, .. } = eval;
        let answer = self.subject.range(self.store.source(), query, *start_ms, *end_ms, *step_ms);
        match checked(eval, answer)? {
            Some(answer) => compare::value(eval, &answer.value),
            None => Ok(()),
        }
    }

    fn instants(&self, eval: &Eval, query: Expr) -> Result<(), String> {
        let written = forms::Form { query: eval.query.clone(), at_ms: eval.at_ms };
        for form in [written].into_iter().chain(forms::pinned(query, eval.at_ms)) {
            let place = |error| format!("{} at {}: {error}", form.query, form.at_ms);
            let Some(answer) = self.instant(eval, &form).map_err(place)? else { continue };
            if !eval.instant_only && !forms::knows_its_times(&form.query) {
                let place =
                    |error| format!("{} at {}, as a range: {error}", form.query, form.at_ms);
                self.middle_step(eval, &form, &answer).map_err(place)?;
            }
        }
        Ok(())
    }

    /// Nothing if the query failed as expected.
    fn instant(&self, eval: &Eval, form: &forms::Form) -> Result<Option<Answer>, String> {
        let answer = self.subject.instant(self.store.source(), &form.query, form.at_ms);
        let answer = checked(eval, answer)?;
        if let Some(answer) = &answer {
            compare::value(eval, &answer.value)?;
        }
        Ok(answer)
    }

    /// Asks the same as a range query, and compares the step at the instant.
    fn middle_step(&self, eval: &Eval, form: &forms::Form, instant: &Answer) -> Result<(), String> {
        let (start_ms, end_ms) = (form.at_ms - STEP_MS, form.at_ms + STEP_MS);
        let source = self.store.source();
        let answer = self.subject.range(source, &form.query, start_ms, end_ms, STEP_MS);
        let Value::Matrix(series) = answer.map_err(|error| error.to_string())?.value else {
            return Err("a range query answered with something else than series".into());
        };
        if eval.ordered {
            return Ok(());
        }
        compare::sorted(&series)?;
        let elements: Vec<VectorElement> =
            series.into_iter().filter_map(|series| element(series, form.at_ms)).collect();
        match (&instant.value, elements.first()) {
            (Value::Scalar(_), Some(element)) => {
                compare::value(eval, &Value::Scalar(element.sample))
            }
            (Value::Scalar(_), None) => Err("no value at the step".into()),
            _ => compare::value(eval, &Value::Vector(elements)),
        }
    }
}

fn element(series: MatrixSeries, timestamp_ms: i64) -> Option<VectorElement> {
    let index = series.column.timestamps.binary_search(&timestamp_ms).ok()?;
    let value = *series.column.floats.get(index)?;
    let histogram = series.column.histograms.get(index).map(|one| Box::new(one.to_owned()));
    let sample = Sample { timestamp_ms, value };
    Some(VectorElement { labels: series.labels, sample, histogram })
}

/// The answer with its annotations checked; nothing if the query failed as it should.
fn checked(eval: &Eval, answer: Result<Answer, EngineError>) -> Result<Option<Answer>, String> {
    match (answer, &eval.fail) {
        // What is not there yet must not pass for a failure that was asked for.
        (Err(error @ EngineError::Unsupported(_)), _) => Err(error.to_string()),
        (Err(error), None) => Err(error.to_string()),
        (Err(error), Some(wanted)) => {
            let text = error.to_string();
            if wanted.matches(&text) { Ok(None) } else { Err(format!("another error: {text}")) }
        }
        (Ok(_), Some(_)) => Err("expected an error but got none".into()),
        (Ok(answer), None) => {
            compare::notes("warning", &eval.warnings, &answer.warnings)?;
            compare::notes("info", &eval.infos, &answer.infos)?;
            Ok(Some(answer))
        }
    }
}
