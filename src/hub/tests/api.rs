//! What the API answers, compared with what Prometheus 3.14 answered; see `testdata/api`.

use std::sync::Arc;

use super::*;
use crate::model::LabelsBuf;
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
