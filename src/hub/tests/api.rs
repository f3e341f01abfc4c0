//! What the API answers, compared with what Prometheus 3.14 answered; see `testdata/api`.

use std::sync::Arc;

use super::*;
use crate::model::LabelsBuf;
use crate::series::TimeRange;
use crate::wire::exposition::text::{Entry, Parser, series_labels};

const SERIES: &str = include_str!("../../../testdata/api/series.txt");
const CASES: &str = include_str!("../../../testdata/api/cases.txt");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn recorded_series() -> Arc<ModelStore> {
    let store = ModelStore::new();
    let mut labels = LabelsBuf::new();
    for entry in Parser::new(SERIES.as_bytes()) {
        if let Entry::Sample(sample) = entry.unwrap() {
            series_labels(sample.series, sample.kind, &mut labels).unwrap();
            let labels = labels.finish().unwrap().to_labels();
            store.add(&labels, sample.timestamp_ms.unwrap(), sample.value);
        }
    }
    Arc::new(store)
}

struct Case<'a> {
    method: &'a str,
    target: &'a str,
    form: &'a str,
    body: &'a str,
    status: u16,
    content_type: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let read = |text: &'static str| {
        let (request, answer) = text.split_once('\n').unwrap();
        let (body, outcome) = answer.rsplit_once("\n> ").unwrap();
        let mut words = request.splitn(3, ' ');
        let (status, content_type) = outcome.split_once(' ').unwrap();
        Case {
            method: words.next().unwrap(),
            target: words.next().unwrap(),
            form: words.next().unwrap_or_default(),
            body,
            status: status.parse().unwrap(),
            content_type,
        }
    };
    let is_case = |text: &&str| !text.trim().is_empty();
    // The texts of plain refusals end with a line break, so an empty line alone does not divide.
    let mut found = Vec::new();
    let mut rest = CASES;
    while let Some(start) = rest.find("\n> ") {
        let end = start + 1 + rest[start + 1..].find('\n').unwrap();
        found.push(rest[..end].trim_start_matches('\n'));
        rest = &rest[end..];
    }
    found.into_iter().filter(is_case).map(read).collect()
}

#[test]
fn answers_are_those_of_prometheus() {
    let hub = TestHub::over(recorded_series());
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 140, "{} cases", cases.len());
    for case in &cases {
        let headers: &[_] = if case.form.is_empty() { &[] } else { &[FORM] };
        let got = hub.ask(case.method, case.target, headers, case.form.as_bytes());
        let content_type = got.header("content-type");
        let got = (got.status, content_type, got.text());
        if got != (case.status, case.content_type, case.body) {
            let Case { method, target, form, body, status, content_type } = case;
            wrong.push(format!(
                "{method} {target} {form}\n want {status} {content_type} {body}\n  got {} {} {}",
                got.0, got.1, got.2
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_overflows_in_prometheus_is_refused_or_right() {
    let hub = TestHub::over(recorded_series());
    let refused = |what: &str| format!(r#"{{"status":"error","errorType":{what}}}"#);
    let no_time = |text: &str| {
        refused(&format!(
            "\"bad_data\",\"error\":\"invalid parameter \\\"time\\\": invalid time value for \
             'time': cannot parse \\\"{text}\\\" to a valid timestamp\""
        ))
    };
    let no_step = refused(
        "\"bad_data\",\"error\":\"invalid parameter \\\"step\\\": zero or negative query \
         resolution step widths are not accepted. Try a positive integer\"",
    );
    let too_late = refused(r#""timeout","error":"query timed out in query execution""#);
    let later = r#"{"status":"success","data":{"resultType":"scalar","result":[10000000000,"1"]}}"#;
    let rows = [
        // Prometheus takes these three for the year 1677.
        ("query?query=1&time=NaN", 400, no_time("NaN")),
        ("query?query=1&time=Inf", 400, no_time("Inf")),
        ("query?query=1&time=1e18", 400, no_time("1e18")),
        // And this one, the year 2286, for 1702.
        ("query?query=1&time=1e10", 200, later.to_owned()),
        // Prometheus divides by zero.
        ("query_range?query=1&start=5&end=5&step=0.0001", 400, no_step),
        // Prometheus may name the query as the parameter that is wrong.
        ("query?query=1&timeout=0", 503, too_late.clone()),
        ("query?query=1&timeout=-1", 503, too_late),
    ];
    for (target, status, body) in rows {
        let got = hub.get(&format!("/api/v1/{target}"));
        assert_eq!((got.status, got.text()), (status, body.as_str()), "{target}");
    }
}

#[test]
fn statistics_come_when_asked_for() {
    let hub = TestHub::over(recorded_series());
    let data = |target: &str| {
        let answer = hub.get(&format!("/api/v1/query?query=odd&time=1700000060{target}"));
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    assert!(data("")["data"]["stats"].is_null());
    let with = data("&stats=true");
    assert_eq!(with["data"]["stats"]["samples"]["samplesRead"], 3);
    assert!(with["data"]["stats"]["timings"]["execTotalTime"].as_f64().unwrap() >= 0.0);
    assert!(with["warnings"].is_null());
    let warning = "value \"x\" for parameter \"stats\" is deprecated and will be rejected in the \
                   next major release, use \"true\" or \"all\"";
    assert_eq!(data("&stats=x")["warnings"][0], warning);
}

#[test]
fn clients_find_a_version_that_they_know() {
    let hub = TestHub::over(recorded_series());
    let answer = hub.get("/api/v1/status/buildinfo");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let version = json["data"]["version"].as_str().unwrap();
    assert!(version.starts_with("3.") && version.contains("+promlite."), "{version}");
}

#[test]
fn the_storage_is_counted() {
    let hub = TestHub::over(recorded_series());
    let answer = hub.get("/api/v1/status/tsdb?limit=2");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let data = &json["data"];
    assert_eq!(data["headStats"]["numSeries"], 17);
    // Nothing is in the head, as this store has none.
    assert_eq!(data["seriesCountByMetricName"], serde_json::json!([]));
    let store = recorded_series();
    let hub = TestHub::not_ready(ReceiveOptions::default());
    let span = Some(TimeRange::ALL);
    hub.service.open(Store::only(store.clone(), store, move || HeadStatus {
        series: 17,
        chunks: 17,
        span,
    }));
    let answer = hub.get("/api/v1/status/tsdb?limit=2");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let row = |name: &str, value: u64| serde_json::json!({"name": name, "value": value});
    let data = &json["data"];
    assert_eq!(data["headStats"]["numLabelPairs"], 23);
    let metrics = serde_json::json!([row("value", 9), row("http_requests_total", 3)]);
    assert_eq!(data["seriesCountByMetricName"], metrics);
    let names = serde_json::json!([row("kind", 9), row("__name__", 4)]);
    assert_eq!(data["labelValueCountByLabelName"], names);
    let pairs =
        serde_json::json!([row("__name__=value", 9), row("__name__=http_requests_total", 3)]);
    assert_eq!(data["seriesCountByLabelValuePair"], pairs);
    assert_eq!(data["memoryInBytesByLabelName"].as_array().unwrap().len(), 2);
}
