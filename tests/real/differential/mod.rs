//! Random queries over random data: our engine over our storage answers like a real Prometheus
//! that was sent the same samples.
//!
//! `PROMLITE_SEED` and `PROMLITE_QUERIES` choose other questions and more of them.

mod query;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use promlite::promql::{EngineOptions, ParseOptions};
use promlite::{
    Append as _, Batch, Engine, Labels, OnReject, RunOptions, SeriesRef, Tsdb, TsdbOptions, Value,
};
use serde_json::Value as Json;

use crate::programs::{free_address, now_ms, start_prometheus};
use crate::{http, remote_write};

use query::{Random, Writer};

/// Samples lie between whole seconds, so that no window that ends at one begins or ends at a
/// sample: Prometheus before 3.0 counts the left edge.
const SAMPLE_PHASE_MS: i64 = 333;
const SAMPLE_GAP_MS: i64 = 5_000;
const SAMPLES: i64 = 240;
/// Queries lie beside whole seconds, for the points of subqueries.
const QUERY_PHASE_MS: i64 = 7;

struct Data {
    labels: Vec<(&'static str, String)>,
    samples: Vec<(i64, f64)>,
}

/// Counters without and with resets, gauges, series with gaps, and the buckets of a histogram.
/// All values are exact sums of powers of two, so that sums are exact in any order.
fn data(random: &mut Random, end_ms: i64) -> Vec<Data> {
    let mut all = Vec::new();
    for (name, buckets) in
        [("requests_total", 1), ("restarts_total", 1), ("level", 1), ("rare", 1), ("h_bucket", 5)]
    {
        for target in 0..6 {
            for bucket in 0..buckets {
                let own = f64::from(target * 5 + bucket) / 64.0;
                let mut labels = vec![
                    ("__name__", name.to_owned()),
                    ("instance", format!("i{}", target % 3)),
                    ("job", format!("j{}", target / 3)),
                ];
                if buckets > 1 {
                    labels.insert(
                        2,
                        ("le", ["0.1", "0.5", "1", "5", "+Inf"][bucket as usize].into()),
                    );
                    labels.sort();
                }
                let samples = samples(random, name, f64::from(bucket + 1), own, end_ms);
                all.push(Data { labels, samples });
            }
        }
    }
    all
}

fn samples(random: &mut Random, name: &str, speed: f64, own: f64, end_ms: i64) -> Vec<(i64, f64)> {
    let mut value = if name == "requests_total" { 1e6 } else { 0.0 } + own;
    let mut samples = Vec::new();
    for index in 0..SAMPLES {
        let time_ms = end_ms - (SAMPLES - index) * SAMPLE_GAP_MS + SAMPLE_PHASE_MS;
        match name {
            "level" => value = random.below(4000) as f64 / 4.0 - 300.0 + own,
            "rare" if random.below(10) < 7 => continue,
            "restarts_total" if random.below(25) == 0 => value = own,
            // Buckets have to grow alike, or they would not be cumulative.
            "h_bucket" => value += speed * (index % 7) as f64,
            _ => value += random.below(80) as f64 / 4.0,
        }
        samples.push((time_ms, value));
    }
    samples
}

fn store(data: &[Data], db: &Tsdb) {
    let mut batch = Batch::new();
    for series in data {
        let pairs = series.labels.iter().map(|(name, value)| (*name, value.as_str()));
        batch.push_series(SeriesRef::UNKNOWN, Labels::from_pairs(pairs).unwrap().as_ref());
        for (time_ms, value) in &series.samples {
            batch.push_sample(*time_ms, *value);
        }
    }
    let outcome = db.append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.accepted, data.iter().map(|series| series.samples.len()).sum::<usize>());
}

fn send(data: &[Data], prometheus: SocketAddr) {
    let series = |series: &Data| {
        let labels: Vec<(&str, &str)> =
            series.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        remote_write::series(&labels, &series.samples)
    };
    let answer = remote_write::write(prometheus, data.iter().map(series).collect()).unwrap();
    assert!(answer.status / 100 == 2, "{}", answer.body);
}

/// Values by label set and time, or the text of the error.
type Values = Result<BTreeMap<String, f64>, String>;

fn key<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, time_ms: i64) -> String {
    let sorted: BTreeMap<&str, &str> = labels.collect();
    format!("{sorted:?} @ {time_ms}")
}

#[derive(Clone, Copy)]
struct Times {
    start_ms: i64,
    end_ms: i64,
    /// 0 for an instant query.
    step_ms: i64,
}

fn our_values(engine: &Engine, db: &Tsdb, query: &str, times: Times) -> Values {
    let Times { start_ms, end_ms, step_ms } = times;
    let run = RunOptions::default();
    let answer = match step_ms {
        0 => engine.instant(db, query, start_ms, &run),
        _ => engine.range(db, query, start_ms, end_ms, step_ms, &run),
    };
    Ok(match answer.map_err(|error| error.to_string())?.value {
        Value::Scalar(sample) => [(key([].into_iter(), sample.timestamp_ms), sample.value)].into(),
        Value::String { .. } => BTreeMap::new(),
        Value::Vector(elements) => elements
            .iter()
            .map(|one| (key(one.labels.iter(), one.sample.timestamp_ms), one.sample.value))
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .flat_map(|series| {
                let samples = series.column.timestamps.iter().zip(&series.column.floats);
                samples.map(|(time_ms, v)| (key(series.labels.iter(), *time_ms), *v))
            })
            .collect(),
    })
}

fn their_values(address: SocketAddr, query: &str, times: Times) -> Values {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let Times { start_ms, end_ms, step_ms } = times;
    let (query, start, end) = (http::escape(query), seconds(start_ms), seconds(end_ms));
    let path = match step_ms {
        0 => format!("/api/v1/query?query={query}&time={start}"),
        _ => format!(
            "/api/v1/query_range?query={query}&start={start}&end={end}&step={}",
            seconds(step_ms)
        ),
    };
    let json = http::get(address, &path).unwrap().json();
    if json["status"] != "success" {
        return Err(json["error"].as_str().unwrap().to_owned());
    }
    let mut values = BTreeMap::new();
    let mut put = |labels: &Json, point: &Json| {
        let none = serde_json::Map::new();
        let labels = labels.as_object().unwrap_or(&none).iter();
        let pairs = labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let time_ms = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
        let value = point[1].as_str().unwrap().parse().unwrap();
        values.insert(key(pairs, time_ms), value);
    };
    let data = &json["data"];
    match data["resultType"].as_str().unwrap() {
        "scalar" => put(&Json::Null, &data["result"]),
        "vector" => {
            data["result"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|one| put(&one["metric"], &one["value"]));
        }
        _ => {
            for series in data["result"].as_array().unwrap() {
                let points = series["values"].as_array().unwrap().iter();
                points.for_each(|point| put(&series["metric"], point));
            }
        }
    }
    Ok(values)
}

fn alike(ours: f64, theirs: f64) -> bool {
    if ours == theirs || ours.is_nan() && theirs.is_nan() {
        return true;
    }
    let (largest, distance) = (ours.abs().max(theirs.abs()), (ours - theirs).abs());
    // What cancels out leaves a rest that depends on the order of operations.
    largest < 1e-6 && distance < 1e-9 || distance <= 1e-9 * largest
}

fn difference(ours: &Values, theirs: &Values, same_words: bool) -> Option<String> {
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) if !same_words => return None,
        (Err(ours), Err(theirs)) if ours == theirs => return None,
        (ours, theirs) => return Some(format!("{ours:?}\n    against {theirs:?}")),
    };
    if let Some(only) = ours.keys().find(|key| !theirs.contains_key(*key)) {
        return Some(format!("only ours: {only} {}", ours[only]));
    }
    if let Some(only) = theirs.keys().find(|key| !ours.contains_key(*key)) {
        return Some(format!("only theirs: {only} {}", theirs[only]));
    }
    let apart = ours.iter().find(|(key, value)| !alike(**value, theirs[*key]));
    apart.map(|(key, value)| format!("{key}: {value} against {}", theirs[key]))
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn times(random: &mut Random, end_ms: i64, phase_ms: i64) -> Times {
    let seconds = |random: &mut Random, most: u64| random.below(most) as i64 * 1000;
    let last_ms = end_ms - seconds(random, 400) + phase_ms;
    if random.below(2) == 0 {
        return Times { start_ms: last_ms, end_ms: last_ms, step_ms: 0 };
    }
    let step_ms = 1000 + seconds(random, 40);
    Times { start_ms: last_ms - step_ms * random.below(30) as i64, end_ms: last_ms, step_ms }
}

#[test]
#[ignore = "needs prometheus"]
fn random_queries_are_answered_alike() {
    let dir = tempfile::tempdir().unwrap();
    let prometheus = free_address();
    let flags = ["--web.enable-remote-write-receiver"];
    let _program = start_prometheus(dir.path(), prometheus, "global: {}\n", &flags);
    let build = http::get(prometheus, "/api/v1/status/buildinfo").unwrap().json();
    // Builds of one's own have no version.
    let version = build["data"]["version"].as_str().unwrap().to_owned();
    let is_modern = !version.starts_with('2');

    let seed = number("PROMLITE_SEED", 1);
    let mut random = Random::new(seed);
    let end_ms = now_ms() / 60_000 * 60_000;
    let data = data(&mut random, end_ms);
    let db = Tsdb::open_at(dir.path().join("ours"), TsdbOptions::default()).unwrap();
    store(&data, &db);
    send(&data, prometheus);

    let mut options = EngineOptions::default();
    options.parse = ParseOptions::default();
    let engine = Engine::new(options);
    let (mut differences, mut filled, mut refused) = (Vec::new(), 0, 0);
    let count = number("PROMLITE_QUERIES", 600);
    for _ in 0..count {
        let mut writer = Writer { random: &mut random, is_modern, end_ms, in_subquery: false };
        let query = writer.query();
        let phase_ms = if is_modern && random.below(2) == 0 { 0 } else { QUERY_PHASE_MS };
        let times = times(&mut random, end_ms, phase_ms);
        let ours = our_values(&engine, &db, &query, times);
        // Prometheus does not always agree with itself; once is enough.
        let found = (0..3).map(|_| {
            let theirs = their_values(prometheus, &query, times);
            difference(&ours, &theirs, is_modern)
        });
        let found: Vec<Option<String>> = found
            .scan(false, |met, found| {
                let go_on = !*met;
                *met = found.is_none();
                go_on.then_some(found)
            })
            .collect();
        if let Some(Some(difference)) = found.last() {
            let Times { start_ms, end_ms, step_ms } = times;
            differences
                .push(format!("{query}\n    {start_ms} {end_ms} {step_ms}\n    {difference}"));
        }
        filled += usize::from(ours.as_ref().is_ok_and(|values| !values.is_empty()));
        refused += usize::from(ours.is_err());
    }
    eprintln!("seed {seed}: {count} queries to {version}, {filled} with values, {refused} refused");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(filled as u64 * 2 > count, "only {filled} of {count} answers had values");
}
