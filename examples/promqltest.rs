//! Runs PromQL test scripts: prints each failure, and last how many cases passed and failed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use promlite::promql::{Answer, Engine, EngineError};
use promlite::series::Queryable;
use promlite::testkit::ModelStore;
use promlite::testkit::promqltest::{Subject, run_script_on, script_options};

/// Runs PromQL test scripts in Prometheus's format against an engine with everything switched on.
///
/// Each failure is printed as `FILE:LINE: MESSAGE`, and last `N passed, N failed`. The exit status
/// is 1 if a case failed.
#[derive(Parser)]
#[command(name = "promqltest")]
struct Arguments {
    /// Scripts to run.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the counts of each file too.
    #[arg(long)]
    counts: bool,
    /// Compare annotations without position and figures, as the scripts of Prometheus's releases
    /// up to 3.14.0 write them.
    #[arg(long)]
    bare_annotations: bool,
}

/// An engine whose annotations are those that upstream's has without the text of the query.
struct Bare(Engine);

impl Bare {
    fn stripped(answer: Answer) -> Answer {
        let bare = |texts: Vec<String>| texts.iter().map(|text| bare(text).to_owned()).collect();
        Answer { warnings: bare(answer.warnings), infos: bare(answer.infos), ..answer }
    }
}

/// `text` without the position at its end and without what repaired histograms are told of.
fn bare(text: &str) -> &str {
    let is_position = |position: &str| {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        position.split_once(':').is_some_and(|(line, at)| is_number(line) && is_number(at))
    };
    let parts = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let text = parts.filter(|(_, end)| is_position(end)).map_or(text, |(start, _)| start);
    match text.split_once(", from buckets ") {
        Some((start, _)) if text.contains("needed to be fixed for monotonicity") => start,
        _ => text,
    }
}

impl Subject for Bare {
    fn instant(
        &self,
        source: &dyn Queryable,
        query: &str,
        time_ms: i64,
    ) -> Result<Answer, EngineError> {
        Subject::instant(&self.0, source, query, time_ms).map(Self::stripped)
    }

    fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Answer, EngineError> {
        Subject::range(&self.0, source, query, start_ms, end_ms, step_ms).map(Self::stripped)
    }
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let (mut passed, mut failed) = (0, 0);
    let engine = Engine::new(script_options());
    let bare = Bare(engine.clone());
    let subject: &dyn Subject = if arguments.bare_annotations { &bare } else { &engine };
    for path in &arguments.files {
        let name = path.display().to_string();
        let report = match std::fs::read_to_string(path) {
            Ok(text) => run_script_on(&name, &text, subject, &mut ModelStore::new()),
            Err(error) => {
                writeln!(out, "{name}:0: {error}")?;
                failed += 1;
                continue;
            }
        };
        for failure in &report.failed {
            writeln!(out, "{name}:{}: {}", failure.line, failure.message)?;
        }
        if arguments.counts {
            writeln!(out, "{name}: {} passed, {} failed", report.passed, report.failed.len())?;
        }
        passed += report.passed;
        failed += report.failed.len();
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
