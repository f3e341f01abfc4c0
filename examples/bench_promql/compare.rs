//! Our answer beside the one that Prometheus gave over HTTP.

use std::collections::BTreeMap;
use std::error::Error;

use promlite::model::Value as Sampled;
use promlite::model::histogram::{CountsRef, HistogramRef};
use promlite::promql::MatrixSeries;
use promlite::{Labels, Value};
use serde::Deserialize;

/// Numbers may differ by this part of the larger one.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
    #[serde(default)]
    histograms: Vec<(f64, Histogram)>,
    histogram: Option<(f64, Histogram)>,
}

#[derive(Deserialize)]
struct Histogram {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

type Points = BTreeMap<i64, Vec<f64>>;

/// What differs first, if anything does.
pub(crate) fn difference(ours: &Value, reply: &[u8]) -> Result<Option<String>, Box<dyn Error>> {
    let theirs: Reply = serde_json::from_slice(reply)?;
    let mut theirs_by_labels = BTreeMap::new();
    for series in theirs.data.result {
        let labels = Labels::from_pairs(series.metric.iter())?;
        if theirs_by_labels.insert(labels, series).is_some() {
            return Err("Prometheus answers two series with equal labels".into());
        }
    }
    let mut seen = 0;
    let mut check = |labels: &Labels, points: Points| -> Result<Option<String>, Box<dyn Error>> {
        seen += 1;
        let Some(series) = theirs_by_labels.get(labels) else {
            return Ok(Some(format!("{labels}: not in Prometheus's answer")));
        };
        let found = differing(&points, &points_of(series)?);
        Ok(found.map(|what| format!("{labels} {what}")))
    };
    match ours {
        Value::Vector(elements) => {
            for element in elements {
                let values = match &element.histogram {
                    Some(one) => parts(one.as_ref().as_ref()),
                    None => vec![element.sample.value],
                };
                let points = [(element.sample.timestamp_ms, values)].into();
                if let Some(found) = check(&element.labels, points)? {
                    return Ok(Some(found));
                }
            }
        }
        Value::Matrix(matrix) => {
            for series in matrix {
                if let Some(found) = check(&series.labels, points(series))? {
                    return Ok(Some(found));
                }
            }
        }
        _ => return Err("neither a vector nor a matrix".into()),
    }
    let all = theirs_by_labels.len();
    Ok((seen != all).then(|| format!("{seen} series, Prometheus has {all}")))
}

fn points(series: &MatrixSeries) -> Points {
    let samples = series.column.samples();
    let values = samples.map(|(time_ms, _, value)| match value {
        Sampled::Float(value) => (time_ms, vec![value]),
        Sampled::Histogram(one) => (time_ms, parts(one)),
    });
    values.collect()
}

/// Count, sum, and each bucket that is not empty: bounds and count, the lowest first.
fn parts(one: HistogramRef<'_>) -> Vec<f64> {
    let (count, zero_count, counts): (f64, f64, Vec<f64>) = match one.counts {
        CountsRef::Integer { count, zero_count, buckets } => {
            let buckets = buckets.iter().map(|count| *count as f64);
            (count as f64, zero_count as f64, buckets.collect())
        }
        CountsRef::Float { count, zero_count, buckets } => (count, zero_count, buckets.to_vec()),
    };
    let layout = one.layout;
    let bounds = layout.positive_buckets().chain(layout.negative_buckets()).zip(counts);
    let mut buckets: Vec<[f64; 3]> =
        bounds.map(|(bucket, count)| [bucket.lower, bucket.upper, count]).collect();
    let zero = layout.zero_bucket();
    buckets.push([zero.lower, zero.upper, zero_count]);
    buckets.retain(|[_, _, count]| *count != 0.0);
    buckets.sort_by(|a, b| a[0].total_cmp(&b[0]));
    [count, one.sum].into_iter().chain(buckets.into_iter().flatten()).collect()
}

fn number(text: &str) -> Result<f64, Box<dyn Error>> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text => Ok(text.parse()?),
    }
}

fn points_of(series: &Series) -> Result<Points, Box<dyn Error>> {
    let at = |seconds: f64| (seconds * 1000.0).round() as i64;
    let mut points = Points::new();
    for (seconds, text) in series.values.iter().chain(&series.value) {
        points.insert(at(*seconds), vec![number(text)?]);
    }
    for (seconds, one) in series.histograms.iter().chain(&series.histogram) {
        let mut parts = vec![number(&one.count)?, number(&one.sum)?];
        for (_, lower, upper, count) in &one.buckets {
            parts.extend([number(lower)?, number(upper)?, number(count)?]);
        }
        points.insert(at(*seconds), parts);
    }
    Ok(points)
}

fn differing(ours: &Points, theirs: &Points) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("has {} samples, Prometheus {}", ours.len(), theirs.len()));
    }
    let pairs = ours.iter().zip(theirs);
    let mut unequal = pairs.filter(|((a_ms, a), (b_ms, b))| {
        a_ms != b_ms || a.len() != b.len() || a.iter().zip(*b).any(|(a, b)| !equal(*a, *b))
    });
    let ((a_ms, a), (b_ms, b)) = unequal.next()?;
    Some(format!("is {a:?} at {a_ms}, Prometheus has {b:?} at {b_ms}"))
}

fn equal(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
