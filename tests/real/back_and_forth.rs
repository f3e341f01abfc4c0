//! One data directory, written in turn by us and by a real Prometheus: each reads what the other
//! wrote, to the last sample, and writes on.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use promlite::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use promlite::series::Append;
use promlite::{
    Batch, Column, Labels, OnReject, Queryable, Select, SeriesRef, TimeRange, Tsdb, TsdbOptions,
};

use crate::agreement::{Tolerance, difference};
use crate::http;
use crate::programs::{
    Program, example, free_address, now_ms, start_hub, start_prometheus, wait_until,
};
use crate::promtool::{
    Samples, assert_same, blocks_in, label_values, parse_dump, parse_matrix, run_promtool, time_ms,
    value,
};
use crate::remote_write;

const SERIES_COUNT: usize = 40;
const INTERVAL_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// All series that the tests write.
const SELECTOR: &str = r#"{__name__=~"written_.*"}[9h]"#;

fn open(dir: &Path) -> Tsdb {
    let mut options = TsdbOptions::default();
    options.background = false;
    Tsdb::open_at(dir, options).unwrap()
}

fn key(name: &str, instance: &str) -> String {
    format!(r#"{{__name__="{name}", instance="{instance}", job="test"}}"#)
}

/// The samples of all series in some steps.
fn samples(start_ms: i64, steps: std::ops::Range<i64>) -> Samples {
    let mut samples = Samples::new();
    for series in 0..SERIES_COUNT {
        let (name, instance) = label_values(series);
        let row = |step| (time_ms(start_ms, series, step), value(series, step).to_bits());
        samples.entry(key(&name, &instance)).or_default().extend(steps.clone().map(row));
    }
    samples
}

fn add(all: &mut Samples, more: Samples) {
    for (labels, rows) in more {
        all.entry(labels).or_default().extend(rows);
    }
}

/// Appends those samples as scrapes do, one step after the other.
fn append(db: &Tsdb, start_ms: i64, steps: std::ops::Range<i64>) {
    let mut batch = Batch::new();
    for step in steps {
        batch.clear();
        for series in 0..SERIES_COUNT {
            let (name, instance) = label_values(series);
            let pairs = [("__name__", name.as_str()), ("instance", &instance), ("job", "test")];
            let labels = Labels::from_pairs(pairs).unwrap();
            batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
            batch.push_sample(time_ms(start_ms, series, step), value(series, step));
        }
        let outcome = db.append(&mut batch, OnReject::KeepRest).unwrap();
        assert_eq!(outcome.rejected, 0, "step {step}");
    }
}

/// Sends those samples to a server.
fn send(address: SocketAddr, start_ms: i64, steps: std::ops::Range<i64>) {
    for step in steps {
        let mut request = Vec::new();
        for series in 0..SERIES_COUNT {
            let (name, instance) = label_values(series);
            let labels = [("__name__", name.as_str()), ("instance", &instance), ("job", "test")];
            let sample = (time_ms(start_ms, series, step), value(series, step));
            request.push(remote_write::series(&labels, &[sample]));
        }
        let answer = remote_write::write(address, request).unwrap();
        assert!(answer.status / 100 == 2, "{}: {}", answer.status, answer.body);
    }
}

fn read_all(db: &dyn Queryable) -> Samples {
    let mut column = Column::new();
    let mut samples = Samples::new();
    for series in db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        column.clear();
        series.read(TimeRange::ALL, &mut column).unwrap();
        let rows = column.timestamps.iter().zip(&column.floats);
        let rows = rows.map(|(time_ms, value)| (*time_ms, value.to_bits())).collect();
        samples.insert(series.labels().to_string(), rows);
    }
    samples
}

fn start_server(dir: &Path, address: SocketAddr) -> Program {
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
    start_prometheus(dir, address, "global: {}\n", &flags)
}

fn ask_all(address: SocketAddr) -> Samples {
    parse_matrix(&http::instant(address, SELECTOR, now_ms()))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Range queries over the directory; no window's edge meets a sample, as Prometheus before 3.0
/// counts the left edge.
const QUERIES: [&str; 12] = [
    "written_1_total",
    r#"{__name__=~"written_[34]_total",instance!="instance-3"}"#,
    "rate(written_0_total[4m1s])",
    "increase(written_0_total[10m1s])",
    "irate(written_5_total[5m1s])",
    "resets(written_0_total[30m1s])",
    "max_over_time(written_1_total[7m1s])",
    "min_over_time(written_6_total[7m1s])",
    "count_over_time(written_4_total[61m1s])",
    "last_over_time(written_7_total[5m1s])",
    "count by (__name__) ({job=\"test\"})",
    "max by (job) (written_3_total)",
];

fn assert_same_answers(ours: SocketAddr, theirs: SocketAddr, window_ms: (i64, i64)) {
    let mut differences = Vec::new();
    for query in QUERIES {
        let our_answer = http::range(ours, query, window_ms, 60);
        let their_answer = http::range(theirs, query, window_ms, 60);
        let apart = difference(&our_answer, &their_answer, Tolerance::Relative(1e-12));
        differences.extend(apart.map(|difference| format!("{query}\n    {difference}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What our own tool prints.
fn run_inspect(arguments: &[&str], data: &Path) -> String {
    let output = example("inspect").args(arguments).arg(data).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "inspect {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A dump's lines in an order of their own: Prometheus prints series as it finds them.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn assert_promtool_reads(data: &Path, written: &Samples) {
    let list = run_promtool(&["tsdb", "list"], data);
    assert!(list.lines().count() > blocks_in(data), "not all blocks are listed:\n{list}");
    assert_eq!(run_inspect(&["list"], data), list);
    let verified = run_inspect(&["verify"], data);
    assert!(verified.ends_with(": 0 faults\n"), "{verified}");
    let analysis = run_promtool(&["tsdb", "analyze"], data);
    assert!(analysis.contains(&format!("Series: {SERIES_COUNT}")), "{analysis}");
    let dump = run_promtool(&["tsdb", "dump"], data);
    assert!(sorted(&run_inspect(&["dump"], data)) == sorted(&dump), "the dumps differ");
    let mut dump = parse_dump(&dump);
    dump.values_mut().for_each(|rows| rows.sort_unstable());
    assert_same("promtool dump against what was written", &dump, written);
}

#[test]
#[ignore = "needs prometheus and promtool"]
fn a_directory_goes_back_and_forth_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("prometheus-data");
    // Eight hours up to a while ago, on no round second.
    let start_ms = (now_ms() - 8 * HOUR_MS) / 60_000 * 60_000 + 7;
    let hour = HOUR_MS / INTERVAL_MS;

    let db = open(&data);
    append(&db, start_ms, 0..5 * hour);
    db.maintain().unwrap();
    append(&db, start_ms, 5 * hour..6 * hour);
    let mut written = samples(start_ms, 0..6 * hour);
    assert_same("our own reading", &read_all(&db), &written);
    db.close().unwrap();
    assert!(blocks_in(&data) >= 1);
    assert_promtool_reads(&data, &written);

    // Prometheus starts on it, answers as we do, and writes on.
    copy(&data, &dir.path().join("hub-data"));
    let (hub, prometheus) = (free_address(), free_address());
    let our_program = start_hub(dir.path(), hub, "global: {}\n");
    let their_program = start_server(dir.path(), prometheus);
    assert_same("Prometheus's reading", &ask_all(prometheus), &written);
    let window_ms = (start_ms + HOUR_MS + 333, start_ms + 6 * HOUR_MS + 333);
    assert_same_answers(hub, prometheus, window_ms);
    assert!(our_program.terminate().success());
    send(prometheus, start_ms, 6 * hour..7 * hour);
    add(&mut written, samples(start_ms, 6 * hour..7 * hour));
    wait_until("everything is stored", || ask_all(prometheus) == written);
    assert!(their_program.terminate().success());

    // We open the result, and write on.
    let db = open(&data);
    assert_same("our reading of what both wrote", &read_all(&db), &written);
    append(&db, start_ms, 7 * hour..7 * hour + 100);
    add(&mut written, samples(start_ms, 7 * hour..7 * hour + 100));
    db.maintain().unwrap();
    assert_same("our reading after a maintenance", &read_all(&db), &written);
    db.close().unwrap();
    assert_promtool_reads(&data, &written);

    // And back again.
    let their_program = start_server(dir.path(), prometheus);
    assert_same("Prometheus's second reading", &ask_all(prometheus), &written);
    assert!(their_program.terminate().success());
    assert_same("the last reading", &read_all(&open(&data)), &written);
}

#[test]
#[ignore = "needs prometheus and promtool"]
fn what_prometheus_wrote_is_taken_over_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("prometheus-data");
    let start_ms = (now_ms() - 2 * HOUR_MS) / 60_000 * 60_000 + 7;
    let hour = HOUR_MS / INTERVAL_MS;
    let prometheus = free_address();
    let program = start_server(dir.path(), prometheus);
    send(prometheus, start_ms, 0..hour);
    // Killed, so that the log ends where it ends.
    program.kill();
    let mut written = samples(start_ms, 0..hour);
    let db = open(&data);
    assert_same("our reading of a killed server's directory", &read_all(&db), &written);
    append(&db, start_ms, hour..hour + 60);
    add(&mut written, samples(start_ms, hour..hour + 60));
    db.close().unwrap();

    let program = start_server(dir.path(), prometheus);
    assert_same("Prometheus's reading", &ask_all(prometheus), &written);
    send(prometheus, start_ms, hour + 60..hour + 80);
    add(&mut written, samples(start_ms, hour + 60..hour + 80));
    assert!(program.terminate().success());
    let db = open(&data);
    assert_same("our second reading", &read_all(&db), &written);
    db.flush().unwrap();
    db.close().unwrap();
    assert_promtool_reads(&data, &written);
}

/// A native histogram that grows by the step.
fn histogram(step: i64, is_float: bool) -> Histogram {
    let growth = u32::try_from(step / 40).unwrap();
    let layout = Layout {
        schema: 2,
        zero_threshold: 0.001,
        positive: vec![Span::new(-2, 2), Span::new(1, 1 + growth)],
        negative: vec![Span::new(0, 1)],
        ..Layout::default()
    };
    let len = layout.bucket_len() as i64;
    let buckets: Vec<i64> = (0..len).map(|bucket| step % 50 + bucket).collect();
    let count = buckets.iter().sum::<i64>() as u64 + 3;
    let counts = if is_float {
        let buckets = buckets.iter().map(|bucket| *bucket as f64).collect();
        Counts::Float { count: count as f64, zero_count: 3.0, buckets }
    } else {
        Counts::Integer { count, zero_count: 3, buckets }
    };
    let sum = step as f64 * 1.25;
    Histogram { layout: std::sync::Arc::new(layout), hint: ResetHint::Unknown, sum, counts }
}

/// Count and sum of every histogram of a series, as the API of a server gives them.
fn histograms(address: SocketAddr, name: &str) -> Vec<(i64, f64, f64)> {
    let data = http::instant(address, &format!("{name}[9h]"), now_ms());
    let rows = data["result"][0]["histograms"].as_array().cloned().unwrap_or_default();
    let number = |json: &serde_json::Value| json.as_str().unwrap().parse::<f64>().unwrap();
    let row = |row: &serde_json::Value| {
        let time_ms = (row[0].as_f64().unwrap() * 1000.0).round() as i64;
        (time_ms, number(&row[1]["count"]), number(&row[1]["sum"]))
    };
    rows.iter().map(row).collect()
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_reads_the_native_histograms_that_we_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("prometheus-data");
    let start_ms = (now_ms() - 4 * HOUR_MS) / 60_000 * 60_000;
    let db = open(&data);
    let steps = 0..4 * HOUR_MS / INTERVAL_MS - 8;
    let mut written = Vec::new();
    for step in steps {
        let time_ms = start_ms + step * INTERVAL_MS;
        let mut batch = Batch::new();
        for (name, is_float) in [("whole_seconds", false), ("float_seconds", true)] {
            let labels = Labels::from_pairs([("__name__", name), ("job", "test")]).unwrap();
            batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
            let one = histogram(step, is_float);
            batch.push_histogram(time_ms, one.as_ref());
            if let Counts::Float { count, .. } = one.counts {
                written.push((time_ms, count, one.sum));
            }
        }
        assert_eq!(db.append(&mut batch, OnReject::KeepRest).unwrap().rejected, 0);
    }
    db.maintain().unwrap();
    db.close().unwrap();
    assert!(blocks_in(&data) >= 1);
    let prometheus = free_address();
    let program = start_server(dir.path(), prometheus);
    for name in ["whole_seconds", "float_seconds"] {
        assert_eq!(histograms(prometheus, name), written, "{name}");
    }
    assert!(program.terminate().success());
    // What it closed is still what we wrote.
    let db = open(&data);
    for series in db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!(column.histograms.len(), written.len());
    }
}
