//! Questions about series that have replicas.

use super::*;
use crate::hub::api::ReplicaOptions;
use crate::model::Labels;
use crate::series::Dedup;

fn hub(replica_label: Option<&str>) -> TestHub {
    let store = ModelStore::new();
    for (replica, offset_ms) in [("a", 0), ("b", 3000)] {
        let pairs = [("__name__", "up"), ("job", "x"), ("replica", replica)];
        let labels = Labels::from_pairs(pairs).unwrap();
        // The first one died three minutes ago.
        let scrapes = if replica == "a" { 8 } else { 20 };
        for n in 0..scrapes {
            store.add(&labels, NOW_MS - 300_000 + n * 15_000 + offset_ms, n as f64);
        }
    }
    let hub = TestHub::over(Arc::new(store));
    if let Some(label) = replica_label {
        let labels = Arc::from([Arc::from(label)]);
        hub.service.replicas.set(ReplicaOptions { labels, kind: Dedup::Identity }).unwrap();
    }
    hub
}

fn series_of(hub: &TestHub, parameters: &str) -> Vec<(serde_json::Value, String)> {
    let answer = hub.get(&format!("/api/v1/query?query=up{parameters}"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let rows = json["data"]["result"].as_array().unwrap().iter();
    rows.map(|row| (row["metric"].clone(), row["value"][1].as_str().unwrap().into())).collect()
}

#[test]
fn replicas_are_one_unless_they_are_asked_for() {
    let hub = hub(Some("replica"));
    let merged = series_of(&hub, "");
    let labels = serde_json::json!({"__name__": "up", "job": "x"});
    assert_eq!(merged, [(labels, "19".to_owned())]);
    assert_eq!(series_of(&hub, "&dedup=true"), merged);
    assert_eq!(series_of(&hub, "&dedup=false").len(), 2);
    // Other labels than those of the hub.
    assert_eq!(series_of(&hub, "&replicaLabels[]=job").len(), 2);
    assert_eq!(series_of(&hub, "&replicaLabels[]=job&replicaLabels[]=replica").len(), 1);
    let refused = hub.get("/api/v1/query?query=up&dedup=maybe");
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("dedup"));
}

#[test]
fn names_and_values_are_those_of_what_is_answered() {
    let hub = hub(Some("replica"));
    let data = |target: &str| {
        let answer = hub.get(target);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["data"].clone()
    };
    assert_eq!(data("/api/v1/labels"), serde_json::json!(["__name__", "job"]));
    assert_eq!(data("/api/v1/label/replica/values"), serde_json::json!([]));
    assert_eq!(data("/api/v1/label/replica/values?dedup=false"), serde_json::json!(["a", "b"]));
    assert_eq!(data("/api/v1/series?match[]=up").as_array().unwrap().len(), 1);
}

#[test]
fn a_hub_without_replicas_knows_no_such_parameter() {
    let hub = hub(None);
    assert_eq!(series_of(&hub, "&dedup=maybe").len(), 2);
}
