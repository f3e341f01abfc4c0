//! Commands that change the bucket. All but marks take the compactor's lease.

use std::process::ExitCode;
use std::time::Duration;

use promlite::base::clock::{Clock as _, SystemClock};
use promlite::longterm::compact::{CompactError, Report, Round, lift_quarantine};
use promlite::longterm::{Mark, MarkKind, remove_mark, write_mark};
use ulid::Ulid;

use super::bars::with_bars;
use super::{Marker, Rules, Store, compactor};
use crate::Done;
use crate::out::say;

pub(super) fn compact(store: &Store, rules: &Rules, pause_ms: Option<i64>) -> Done {
    let compactor = compactor(store.open()?, rules.options());
    let Some(pause_ms) = pause_ms else {
        let report = with_bars(|watch, _| compactor.run_once(watch))?;
        return Ok(tell(&report));
    };
    let pause = Duration::from_millis(u64::try_from(pause_ms)?);
    with_bars(|watch, bars| {
        compactor.run(pause, watch, &mut |round| match round {
            Ok(report) if report == Report::default() => {}
            Ok(report) => lines(&report).iter().for_each(|line| bars.print(line)),
            Err(error) => bars.print(&error.to_string()),
        });
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn downsample(store: &Store, rules: &Rules) -> Done {
    steps(store, rules, |round| {
        round.downsample()?;
        round.sync()?;
        round.downsample()
    })
}

pub(super) fn retention(store: &Store, rules: &Rules) -> Done {
    steps(store, rules, |round| round.apply_retention())
}

pub(super) fn cleanup(store: &Store, rules: &Rules) -> Done {
    steps(store, rules, |round| {
        round.collect_garbage()?;
        round.delete_marked()?;
        // Seen twice before it is taken for given up.
        round.sync()?;
        round.clean_partial()
    })
}

fn steps(
    store: &Store,
    rules: &Rules,
    work: impl FnOnce(&mut Round<'_>) -> Result<(), CompactError>,
) -> Done {
    let compactor = compactor(store.open()?, rules.options());
    let report = with_bars(|watch, _| {
        let mut round = compactor.begin(watch)?;
        let done = work(&mut round);
        let report = round.finish();
        done.map(|()| report)
    })?;
    Ok(tell(&report))
}

fn tell(report: &Report) -> ExitCode {
    lines(report).iter().for_each(|line| say!("{line}"));
    let is_well = report.failures.is_empty() && report.quarantined.is_empty();
    if is_well { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for merged in &report.merged {
        let sources: Vec<String> = merged.sources.iter().map(Ulid::to_string).collect();
        let block = merged.block.map_or("nothing".to_owned(), |block| block.to_string());
        lines.push(format!("merged {} into {block}", sources.join(" ")));
    }
    let derived = [("relabelled", &report.relabelled), ("downsampled", &report.downsampled)];
    for (what, derived) in derived {
        lines.extend(derived.iter().map(|one| format!("{what} {} into {}", one.source, one.block)));
    }
    for (block, why) in &report.taken_out {
        lines.push(format!("marked not to be merged {block}: {why}"));
    }
    let marked = [
        ("marked for deletion, superfluous:", &report.outdated),
        ("marked for deletion, too old:", &report.too_old),
        ("removed, marked long ago:", &report.deleted),
        ("removed, never uploaded as a whole:", &report.given_up),
    ];
    for (what, blocks) in marked {
        lines.extend(blocks.iter().map(|block| format!("{what} {block}")));
    }
    for (block, reason, details) in &report.quarantined {
        lines.push(format!("set aside {block}: {reason}: {details}"));
    }
    lines.extend(report.failures.iter().map(|failure| format!("failed: {failure}")));
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines
}

pub(super) fn mark(
    store: &Store,
    ids: &[String],
    marker: Marker,
    details: &str,
    remove: bool,
) -> Done {
    let bucket = store.open()?;
    for id in ids {
        let block = Ulid::from_string(id).map_err(|error| format!("{id}: {error}"))?;
        let (kind, reason) = match marker {
            Marker::Deletion => (MarkKind::Deletion, ""),
            Marker::NoCompact => (MarkKind::NoCompact, "manual"),
            Marker::NoDownsample => (MarkKind::NoDownsample, "manual"),
            Marker::Quarantine if remove => {
                lift_quarantine(&bucket, block)?;
                say!("{block}: takes part again, but for its marks");
                continue;
            }
            Marker::Quarantine => return Err("blocks are set aside by `compact` only".into()),
        };
        if remove {
            remove_mark(&bucket, block, kind)?;
            say!("{block}: no {}", kind.file_name());
            continue;
        }
        if !bucket.exists(&format!("{block}/meta.json"))? {
            return Err(format!("{block}: no such block").into());
        }
        let (details, reason) = (details.to_owned(), reason.to_owned());
        let time_s = SystemClock.now_ms() / 1000;
        let is_new = write_mark(&bucket, &Mark { kind, block, details, time_s, reason })?;
        say!("{block}: {}{}", if is_new { "" } else { "had " }, kind.file_name());
    }
    Ok(ExitCode::SUCCESS)
}
