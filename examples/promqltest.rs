//! Runs PromQL test scripts: prints each failure, and last how many cases passed and failed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use promlite::testkit::promqltest::{run_script, script_options};

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
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let (mut passed, mut failed) = (0, 0);
    for path in &arguments.files {
        let name = path.display().to_string();
        let report = match std::fs::read_to_string(path) {
            Ok(text) => run_script(&name, &text, &script_options()),
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
