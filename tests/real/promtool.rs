//! Prometheus's own tool reads a data directory that our hub wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::http;
use crate::programs::{free_address, now_ms, promtool, start_hub, wait_until};
use crate::remote_write;

const SERIES_COUNT: usize = 40;
const INTERVAL_MS: i64 = 15_000;
const SPAN_MS: i64 = 5 * 3_600_000;

/// Samples by label set; the values as bits.
pub(crate) type Samples = BTreeMap<String, Vec<(i64, u64)>>;

/// Counters with resets, decimals, and the values that number formats stumble over. Not -0: on
/// the wire protobuf leaves it out as if it were 0, from Prometheus too.
pub(crate) fn value(series: usize, step: i64) -> f64 {
    match series % 5 {
        0 => (step % 700) as f64 * 3.0,
        1 => (step as f64 * 0.37).sin() * 1e3 / 7.0,
        2 => [f64::INFINITY, f64::NEG_INFINITY, 0.0, 5e-324, 1e-7, 1e21, f64::MAX, 0.1]
            [step as usize % 8],
        3 => 42.0,
        _ => (series as f64 + 1.0) / (step as f64 + 3.0),
    }
}

/// Times with and without jitter.
pub(crate) fn time_ms(start_ms: i64, series: usize, step: i64) -> i64 {
    let jitter = if series.is_multiple_of(2) { 0 } else { step * 7919 % 23 };
    start_ms + step * INTERVAL_MS + jitter
}

pub(crate) fn label_values(series: usize) -> (String, String) {
    (format!("written_{}_total", series % 8), format!("instance-{series}"))
}

/// Writes five hours in order, half an hour a request, and says what it wrote.
fn write_five_hours(address: std::net::SocketAddr, start_ms: i64) -> Samples {
    let mut written = Samples::new();
    let steps: Vec<i64> = (0..SPAN_MS / INTERVAL_MS).collect();
    for part in steps.chunks(120) {
        let mut request = Vec::new();
        for series in 0..SERIES_COUNT {
            let (name, instance) = label_values(series);
            let labels = [("__name__", name.as_str()), ("instance", &instance), ("job", "test")];
            let samples: Vec<(i64, f64)> =
                part.iter().map(|s| (time_ms(start_ms, series, *s), value(series, *s))).collect();
            request.push(remote_write::series(&labels, &samples));
            let key = format!(r#"{{__name__="{name}", instance="{instance}", job="test"}}"#);
            let bits = samples.iter().map(|(time, value)| (*time, value.to_bits()));
            written.entry(key).or_default().extend(bits);
        }
        let answer = remote_write::write(address, request).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    written
}

/// What `promtool tsdb dump` printed: `{labels} value time` a line.
pub(crate) fn parse_dump(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let (labels, rest) = line.rsplit_once("} ").unwrap();
        let (value, time) = rest.split_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let row = (time.parse().unwrap(), value.to_bits());
        samples.entry(format!("{labels}}}")).or_default().push(row);
    }
    samples
}

/// The same from a range selector of our own API.
pub(crate) fn parse_matrix(data: &Value) -> Samples {
    let mut samples = Samples::new();
    for series in data["result"].as_array().unwrap() {
        let labels = series["metric"].as_object().unwrap();
        let pairs: Vec<String> = labels.iter().map(|(name, v)| format!("{name}={v}")).collect();
        let row = |point: &Value| {
            let time_ms = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
            let value: f64 = point[1].as_str().unwrap().parse().unwrap();
            (time_ms, value.to_bits())
        };
        let rows = series["values"].as_array().unwrap().iter().map(row).collect();
        samples.insert(format!("{{{}}}", pairs.join(", ")), rows);
    }
    samples
}

/// Where two sets of samples differ first, in words that fit on a screen.
pub(crate) fn assert_same(what: &str, left: &Samples, right: &Samples) {
    let names = |samples: &Samples| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right), "{what}: label sets");
    for (labels, rows) in left {
        let others = &right[labels];
        assert_eq!(rows.len(), others.len(), "{what}: samples of {labels}");
        let differing = rows.iter().zip(others).find(|(left, right)| left != right);
        assert_eq!(differing, None, "{what}: {labels}");
    }
}

pub(crate) fn run_promtool(arguments: &[&str], data: &Path) -> String {
    let output = promtool().args(arguments).arg(data).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {text}{complaint}");
    text
}

pub(crate) fn blocks_in(data: &Path) -> usize {
    let is_block = |name: &str| name.len() == 26 && data.join(name).join("meta.json").exists();
    let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| is_block(&name.to_string_lossy())).count()
}

#[test]
#[ignore = "needs promtool"]
fn promtool_reads_what_the_hub_wrote_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub-data");
    let hub = free_address();
    let program = start_hub(dir.path(), hub, "global: {}\n");
    let start_ms = now_ms() - SPAN_MS - 60_000;
    let written = write_five_hours(hub, start_ms);
    wait_until("a block is cut", || blocks_in(&data) >= 1);

    let selector = r#"{__name__=~"written_.*"}[6h]"#;
    let ours = parse_matrix(&http::instant(hub, selector, now_ms()));
    assert_same("our own query against what was written", &ours, &written);
    assert!(program.terminate().success());

    let list = run_promtool(&["tsdb", "list"], &data);
    assert!(list.lines().count() > blocks_in(&data), "no block listed:\n{list}");
    let analysis = run_promtool(&["tsdb", "analyze"], &data);
    assert!(analysis.contains(&format!("Series: {SERIES_COUNT}")), "{analysis}");
    let dump = parse_dump(&run_promtool(&["tsdb", "dump"], &data));
    assert_same("promtool dump against our query", &dump, &ours);
    let samples: usize = dump.values().map(Vec::len).sum();
    eprintln!("{} blocks, {} series, {samples} samples", blocks_in(&data), dump.len());

    // The directory is still ours: the same answer after a restart.
    let _program = start_hub(dir.path(), hub, "global: {}\n");
    let again = parse_matrix(&http::instant(hub, selector, now_ms()));
    assert_same("the answer after a restart against the one before", &again, &ours);
}
