//! Remote write both ways: our agent to a real Prometheus, a real Prometheus to our hub.

use std::thread;
use std::time::Duration;

use crate::agreement::{Tolerance, difference, instant_difference};
use crate::http;
use crate::programs::{
    free_address, now_ms, start_agent, start_hub, start_node_exporter, start_prometheus, wait_until,
};

#[test]
#[ignore = "needs prometheus and prometheus-node-exporter"]
fn prometheus_accepts_what_the_agent_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (_node_exporter, node) = start_node_exporter(dir.path());
    let (prometheus, agent) = (free_address(), free_address());
    let flags = ["--web.enable-remote-write-receiver"];
    let _prometheus = start_prometheus(dir.path(), prometheus, "global: {}\n", &flags);
    let values = format!(
        "prometheus:\n\
         \x20 prometheusSpec:\n\
         \x20   externalLabels: {{cluster: prod-eu}}\n\
         \x20   remoteWrite:\n\
         \x20   - url: http://{prometheus}/api/v1/write\n\
         \x20     headers: {{X-Scope-Cluster: prod-eu}}\n\
         \x20     queueConfig: {{maxSamplesPerSend: 5000, capacity: 20000}}\n\
         \x20   additionalScrapeConfigs:\n\
         \x20   - job_name: node\n\
         \x20     scrape_interval: 1s\n\
         \x20     scrape_timeout: 1s\n\
         \x20     static_configs: [{{targets: ['{node}']}}]\n"
    );
    let agent_program = start_agent(dir.path(), agent, &values);
    let arrived = r#"count_over_time(up{cluster="prod-eu",job="node"}[1m]) >= 5"#;
    wait_until("five scrapes arrived", || {
        let data = http::instant(prometheus, arrived, now_ms());
        !data["result"].as_array().unwrap().is_empty()
    });
    let info = http::instant(prometheus, "node_uname_info", now_ms());
    assert_eq!(info["result"][0]["metric"]["cluster"], "prod-eu");
    // What the agent says of itself must show that nothing was refused.
    let page = http::get(agent, "/metrics").unwrap().body;
    let failed = page.lines().filter(|line| {
        line.starts_with("prometheus_remote_storage_samples_failed_total") && !line.ends_with(" 0")
    });
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(agent_program.terminate().success());
}

/// Queries for data that both servers hold to the bit. Sums differ in their last digits, as
/// Prometheus before 3.0 adds without compensation.
const SAME_DATA: [&str; 23] = [
    "up",
    "node_load1",
    r#"node_cpu_seconds_total{mode=~"idle|user"}"#,
    r#"{job="node",__name__!~"go_.*"}"#,
    "rate(node_cpu_seconds_total[15s])",
    "irate(node_cpu_seconds_total[15s])",
    "increase(node_network_receive_bytes_total[15s])",
    "delta(node_memory_MemAvailable_bytes[15s])",
    "avg_over_time(node_memory_MemAvailable_bytes[15s])",
    "min_over_time(node_memory_MemAvailable_bytes[15s])",
    "max_over_time(node_memory_MemAvailable_bytes[15s])",
    "sum_over_time(node_load1[15s])",
    "last_over_time(node_load5[15s])",
    "stddev_over_time(node_memory_MemAvailable_bytes[15s])",
    "sum by (cpu) (rate(node_cpu_seconds_total[15s]))",
    "avg without (cpu) (rate(node_cpu_seconds_total[15s]))",
    "topk(3, node_filesystem_size_bytes) > 0",
    "count by (__name__) ({job=\"node\"})",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes * 100",
    "node_load1 * on (instance) group_left (nodename, machine) node_uname_info",
    "sum(node_memory_MemFree_bytes) / on () group_right node_memory_MemTotal_bytes",
    "rate(node_cpu_seconds_total[15s]) > 0.001",
    "node_load1 offset 5s - node_load1",
];

#[test]
#[ignore = "needs prometheus and prometheus-node-exporter"]
fn the_hub_answers_like_the_prometheus_that_writes_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_node_exporter, node) = start_node_exporter(dir.path());
    let (prometheus, hub) = (free_address(), free_address());
    let _hub = start_hub(dir.path(), hub, "global: {}\n");
    let config = format!(
        "scrape_configs:\n\
         - job_name: node\n\
         \x20 scrape_interval: 1s\n\
         \x20 scrape_timeout: 1s\n\
         \x20 static_configs: [{{targets: ['{node}']}}]\n\
         remote_write:\n\
         - url: http://{hub}/api/v1/write\n\
         \x20 queue_config: {{batch_send_deadline: 1s}}\n"
    );
    let _prometheus = start_prometheus(dir.path(), prometheus, &config, &[]);
    wait_until("half a minute arrived", || {
        let data = http::instant(hub, "count_over_time(up[30s]) >= 28", now_ms());
        !data["result"].as_array().unwrap().is_empty()
    });
    thread::sleep(Duration::from_secs(3));
    // A third of a second off every scrape, so that no sample lies on the edge of a window:
    // Prometheus before 3.0 counts the left edge, later ones and we do not.
    let scraped = http::instant(hub, "timestamp(up)", now_ms() - 3_000);
    let seconds: f64 = scraped["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
    let scraped_ms = (seconds * 1000.0).round() as i64;
    let phase_ms = scraped_ms.rem_euclid(1000);
    // Subqueries step on whole seconds, whatever the time of the query: it must not be one.
    let time_ms = scraped_ms + if phase_ms == 667 { 444 } else { 333 };
    // At those steps, half a second off every scrape.
    let inner = format!("node_context_switches_total[10s] offset {}ms", (1500 - phase_ms) % 1000);
    let subquery = format!("max_over_time(rate({inner})[15s:2s])");
    let mut differences = Vec::new();
    let tolerance = Tolerance::Relative(1e-9);
    for query in SAME_DATA.into_iter().chain([&*subquery]) {
        if let Some(difference) = instant_difference((hub, prometheus), query, time_ms, tolerance) {
            differences.push(format!("{query}\n    {difference}"));
        }
        let window = (time_ms - 10_000, time_ms);
        let ours = http::range(hub, query, window, 2);
        let theirs = http::range(prometheus, query, window, 2);
        if let Some(difference) = difference(&ours, &theirs, tolerance) {
            differences.push(format!("{query} (range)\n    {difference}"));
        }
    }
    eprintln!("{} questions asked", 2 * (SAME_DATA.len() + 1));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
