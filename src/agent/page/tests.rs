use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::agent::scrape::{Made, Target, test_job};
use crate::disk::RealDisk;

async fn start() -> String {
    let config = test_job("job_name: \"<j>\"");
    let own = Labels::from_pairs([("__address__", "h:1"), ("a", "<b>")]).unwrap();
    let Made::Target(target) = Target::make(&config, &own, &Labels::empty()) else { panic!() };
    let dropped = Labels::empty().with("__address__", "gone");
    let view =
        PoolView { active: vec![Arc::new(target)], dropped: vec![dropped], dropped_count: 5 };
    let registry = Registry::new();
    registry.counter("test_total", "A counter.").add(3);
    let shown = Shown {
        registry,
        disk: RealDisk::shared(),
        clock: crate::base::clock::SystemClock::shared(),
        pools: vec![("<j>".to_owned(), Arc::new(RwLock::new(view)))],
        destinations: vec!["http://u:xxxxx@hub/write".to_owned()],
        external_labels: Labels::empty().with("cluster", "c"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(shown)).await.unwrap() });
    format!("http://{address}")
}

async fn get_page(url: String) -> (u16, String, String) {
    let client =
        crate::agent::client::HttpClient::new(&Default::default(), true, RealDisk::shared());
    let response = client.unwrap().get(&url).unwrap().send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
    (status, content_type, response.text().await.unwrap())
}

#[tokio::test]
async fn targets_have_the_shape_of_prometheus() {
    let base = start().await;
    let (status, content_type, body) = get_page(format!("{base}/api/v1/targets")).await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({
        "status": "success",
        "data": {
            "activeTargets": [{
                "discoveredLabels": {
                    "__address__": "h:1",
                    "__metrics_path__": "/metrics",
                    "__scheme__": "http",
                    "__scrape_interval__": "1m",
                    "__scrape_timeout__": "10s",
                    "a": "<b>",
                    "job": "<j>",
                },
                "labels": {"a": "<b>", "instance": "h:1", "job": "<j>"},
                "scrapePool": "<j>",
                "scrapeUrl": "http://h:1/metrics",
                "globalUrl": "http://h:1/metrics",
                "lastError": "",
                "lastScrape": "0001-01-01T00:00:00Z",
                "lastScrapeDuration": 0.0,
                "health": "unknown",
                "scrapeInterval": "1m",
                "scrapeTimeout": "10s",
            }],
            "droppedTargets": [
                {"discoveredLabels": {"__address__": "gone"}, "scrapePool": "<j>"},
            ],
            "droppedTargetCounts": {"<j>": 5},
        },
    });
    assert_eq!(body, expected);
    let (_, _, body) = get_page(format!("{base}/api/v1/targets?state=dropped")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["data"]["activeTargets"], json!([]));
    let (_, _, body) = get_page(format!("{base}/api/v1/targets?scrapePool=x&state=any")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["data"]["activeTargets"], json!([]));
    assert_eq!(body["data"]["droppedTargets"], json!([]));
}

#[tokio::test]
async fn queries_are_answered_with_an_error() {
    let base = start().await;
    for path in ["query?query=up", "label/job/values", "rules"] {
        let (status, _, body) = get_page(format!("{base}/api/v1/{path}")).await;
        assert_eq!(status, 422, "{path}");
        assert!(body.contains("unavailable with Prometheus Agent"), "{body}");
    }
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    let base = start().await;
    let (status, content_type, body) = get_page(format!("{base}/metrics")).await;
    assert_eq!((status, content_type.as_str()), (200, METRICS_TYPE));
    assert!(body.contains("\ntest_total 3\n"), "{body}");
    let (status, content_type, body) = get_page(format!("{base}/host/metrics")).await;
    assert_eq!((status, content_type.as_str()), (200, METRICS_TYPE));
    assert!(body.contains("\nnode_time_seconds "), "{body}");
    for path in ["/-/healthy", "/-/ready", "/api/v1/status/buildinfo", "/api/v1/scrape_pools"] {
        assert_eq!(get_page(format!("{base}{path}")).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn pages_show_what_they_are_told_as_text() {
    let base = start().await;
    for path in ["/", "/targets"] {
        let (status, content_type, body) = get_page(format!("{base}{path}")).await;
        assert_eq!((status, content_type.as_str()), (200, HTML_TYPE));
        assert!(body.contains("&lt;j&gt;") && !body.contains("<j>"), "{body}");
        assert!(!body.contains("<b>"), "{body}");
    }
    let (_, _, body) = get_page(base).await;
    assert!(body.contains("http://u:xxxxx@hub/write") && body.contains("0 of 1"), "{body}");
}
