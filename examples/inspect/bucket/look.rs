//! Commands that change nothing.

use std::process::ExitCode;

use promlite::longterm::compact::{CompactOptions, Resolution};
use promlite::longterm::{BucketBlock, BucketView, FetchOptions, Fetcher};

use super::bars::with_bars;
use super::{Place, Rules, Store, compactor};
use crate::Done;
use crate::out::{put, say};

pub(super) fn list(store: &Store, json: bool, exclude_delete: bool) -> Done {
    let view = Fetcher::new(store.open()?, &FetchOptions::default()).fetch()?;
    if !json {
        say!(
            "{:26} {:>13} {:>13} {:>4} {:>3} {:>12} {:>9}  LABELS",
            "ULID",
            "FROM",
            "UNTIL",
            "RES",
            "LVL",
            "SAMPLES",
            "SERIES"
        );
    }
    for block in &view.blocks {
        if exclude_delete && view.deletion_marks.contains_key(&block.ulid()) {
            continue;
        }
        say!("{}", if json { json_line(block, &view) } else { line(block, &view) });
    }
    for partial in &view.partial {
        eprintln!("{}: {}", partial.ulid, partial.why);
    }
    Ok(ExitCode::SUCCESS)
}

fn marks(block: &BucketBlock, view: &BucketView) -> Vec<&'static str> {
    let ulid = block.ulid();
    let marks = [
        (view.deletion_marks.contains_key(&ulid), "deletion"),
        (view.no_compact.contains_key(&ulid), "no-compact"),
        (view.no_downsample.contains_key(&ulid), "no-downsample"),
    ];
    marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
}

fn line(block: &BucketBlock, view: &BucketView) -> String {
    let meta = &block.meta;
    let resolution = Resolution::of(block.resolution_ms()).map_or("?".into(), |r| r.to_string());
    let labels: Vec<String> =
        block.thanos.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!(
        "{} {:>13} {:>13} {:>4} {:>3} {:>12} {:>9}  {{{}}} {}",
        meta.ulid,
        meta.min_time_ms,
        meta.max_time_ms,
        resolution,
        meta.compaction.level,
        meta.stats.num_samples,
        meta.stats.num_series,
        labels.join(", "),
        marks(block, view).join(" ")
    )
    .trim_end()
    .to_owned()
}

fn json_line(block: &BucketBlock, view: &BucketView) -> String {
    let meta = &block.meta;
    let sources: Vec<String> = block.sources().iter().map(ToString::to_string).collect();
    serde_json::json!({
        "ulid": meta.ulid.to_string(),
        "minTime": meta.min_time_ms,
        "maxTime": meta.max_time_ms,
        "resolution": block.resolution_ms(),
        "level": meta.compaction.level,
        "samples": meta.stats.num_samples,
        "series": meta.stats.num_series,
        "sources": sources,
        "labels": block.thanos.labels,
        "source": block.thanos.source.text(),
        "marks": marks(block, view),
    })
    .to_string()
}

pub(super) fn verify(store: &Store, place: &Place, read: bool) -> Done {
    let compactor = compactor(store.open()?, CompactOptions::new(&place.data_dir));
    let verified =
        with_bars(|watch, bars| compactor.verify(read, watch, &mut |finding| bars.print(finding)))?;
    say!(
        "{} blocks, {} series, {} samples: {} faults",
        verified.blocks,
        verified.series,
        verified.samples,
        verified.findings
    );
    Ok(if verified.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn explain(store: &Store, rules: &Rules, ids: &[String]) -> Done {
    let explained = compactor(store.open()?, rules.options()).explain()?;
    for explanation in &explained {
        if ids.is_empty() || ids.contains(&explanation.block.to_string()) {
            put(format_args!("{explanation}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
