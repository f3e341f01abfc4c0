//! Comparing two servers' answers to the same questions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::http;

/// How far two values may lie apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tolerance {
    /// Not at all: the same text.
    Exact,
    /// A share of the larger one.
    Relative(f64),
    /// A plain distance.
    Absolute(f64),
}

impl Tolerance {
    fn accepts(self, ours: &str, theirs: &str) -> bool {
        if ours == theirs {
            return true;
        }
        let (Ok(ours), Ok(theirs)) = (ours.parse::<f64>(), theirs.parse::<f64>()) else {
            return false;
        };
        let distance = (ours - theirs).abs();
        match self {
            Self::Exact => false,
            Self::Relative(share) => distance <= share * ours.abs().max(theirs.abs()),
            Self::Absolute(limit) => distance <= limit,
        }
    }
}

/// Values by label set; a range answer's values by label set and time.
fn values(data: &Value) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut put = |labels: &Value, point: &Value, at: String| {
        // serde_json keeps maps sorted by key, so equal label sets are equal texts.
        let old = values.insert(format!("{labels}{at}"), point[1].as_str().unwrap().to_owned());
        assert!(old.is_none(), "{labels} twice in one answer");
    };
    match data["resultType"].as_str().unwrap() {
        "vector" => {
            for element in data["result"].as_array().unwrap() {
                put(&element["metric"], &element["value"], String::new());
            }
        }
        "matrix" => {
            for series in data["result"].as_array().unwrap() {
                for point in series["values"].as_array().unwrap() {
                    put(&series["metric"], point, format!(" @{}", point[0]));
                }
            }
        }
        _ => put(&Value::Null, &data["result"], String::new()),
    }
    values
}

/// Says where two answers differ; nothing if they agree. An empty answer agrees with nothing, as
/// it would prove nothing.
pub(crate) fn difference(ours: &Value, theirs: &Value, tolerance: Tolerance) -> Option<String> {
    if ours["resultType"] != theirs["resultType"] {
        return Some(format!("type {} against {}", ours["resultType"], theirs["resultType"]));
    }
    let (ours, theirs) = (values(ours), values(theirs));
    if ours.is_empty() || theirs.is_empty() {
        return Some(format!("{} values against {}", ours.len(), theirs.len()));
    }
    let only_ours = ours.keys().find(|key| !theirs.contains_key(*key));
    let only_theirs = theirs.keys().find(|key| !ours.contains_key(*key));
    if only_ours.is_some() || only_theirs.is_some() {
        return Some(format!("only ours: {only_ours:?}, only theirs: {only_theirs:?}"));
    }
    let apart = ours.iter().find(|(key, ours)| !tolerance.accepts(ours, &theirs[*key]));
    apart.map(|(key, ours)| format!("{key}: {ours} against {}", theirs[key]))
}

/// One instant query to both servers.
pub(crate) fn instant_difference(
    (ours, theirs): (SocketAddr, SocketAddr),
    query: &str,
    time_ms: i64,
    tolerance: Tolerance,
) -> Option<String> {
    let our_answer = http::instant(ours, query, time_ms);
    let their_answer = http::instant(theirs, query, time_ms);
    difference(&our_answer, &their_answer, tolerance)
}

#[test]
fn a_difference_is_seen() {
    let answer = |value: &str| {
        serde_json::json!({"resultType": "vector", "result": [
            {"metric": {"a": "1"}, "value": [1, value]}]})
    };
    assert_eq!(difference(&answer("1"), &answer("1"), Tolerance::Exact), None);
    assert!(difference(&answer("1"), &answer("1.1"), Tolerance::Exact).is_some());
    assert_eq!(difference(&answer("1"), &answer("1.1"), Tolerance::Absolute(0.2)), None);
    assert!(difference(&answer("1"), &answer("2"), Tolerance::Relative(0.4)).is_some());
    let empty = serde_json::json!({"resultType": "vector", "result": []});
    assert!(difference(&empty, &empty, Tolerance::Exact).is_some());
}
