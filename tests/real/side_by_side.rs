//! The node exporter scraped by our agent and by a real Prometheus, side by side: the hub behind
//! our agent and that Prometheus answer alike, up to the instants of their scrapes.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::agreement::Tolerance::{self, Absolute, Exact, Relative};
use crate::agreement::instant_difference;
use crate::programs::{
    free_address, now_ms, start_agent, start_hub, start_node_exporter, start_prometheus, wait_until,
};

/// Queries, and how far two servers may differ that scrape the same second at other instants.
/// A share of a CPU may jump within a second; what a machine is does not.
const QUERIES: [(&str, Tolerance); 32] = [
    ("up", Exact),
    ("node_uname_info", Exact),
    ("node_memory_MemTotal_bytes", Exact),
    ("node_boot_time_seconds", Relative(1e-6)),
    ("count(node_cpu_seconds_total)", Exact),
    ("count by (mode) (node_cpu_seconds_total)", Exact),
    ("count without (cpu) (node_cpu_seconds_total)", Exact),
    (r#"node_cpu_seconds_total{mode="idle"}"#, Absolute(5.0)),
    (r#"node_cpu_seconds_total{mode!~"idle|iowait|steal",cpu="0"}"#, Absolute(5.0)),
    (r#"{__name__=~"node_memory_(MemTotal|SwapTotal)_bytes"}"#, Exact),
    ("sum by (mode) (rate(node_cpu_seconds_total[20s]))", Absolute(0.6)),
    ("sum(rate(node_cpu_seconds_total[20s]))", Absolute(0.4)),
    ("avg(irate(node_cpu_seconds_total[20s])) by (cpu)", Absolute(0.3)),
    (r#"increase(node_cpu_seconds_total{mode="idle"}[20s])"#, Absolute(8.0)),
    ("delta(node_memory_MemTotal_bytes[20s])", Exact),
    ("node_load1", Absolute(1.0)),
    ("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", Absolute(0.1)),
    ("max_over_time(node_memory_MemTotal_bytes[20s])", Exact),
    ("min_over_time(up[20s])", Exact),
    ("count_over_time(up[20s])", Absolute(1.0)),
    ("avg_over_time(node_load1[20s])", Absolute(1.0)),
    ("sum_over_time(up[20s]) / count_over_time(up[20s])", Exact),
    ("node_boot_time_seconds * on (instance) group_left (nodename) node_uname_info", Exact),
    ("node_memory_MemTotal_bytes - ignoring (job) node_memory_MemTotal_bytes", Exact),
    ("node_memory_MemTotal_bytes > bool 0", Exact),
    ("node_memory_MemTotal_bytes offset 10s", Exact),
    ("topk(1, sum by (mode) (node_cpu_seconds_total))", Relative(0.05)),
    ("max(node_filesystem_size_bytes) by (fstype)", Exact),
    (
        r#"histogram_quantile(0.9, prometheus_http_response_size_bytes_bucket{handler="/metrics"})"#,
        Exact,
    ),
    (
        r#"histogram_quantile(0.5, sum by (le) (
            prometheus_http_response_size_bytes_bucket{handler="/metrics"}))"#,
        Exact,
    ),
    ("max_over_time(sum(rate(node_cpu_seconds_total[10s]))[20s:5s])", Absolute(0.8)),
    ("sum(scrape_samples_scraped) by (job) > 100", Relative(0.1)),
];

fn scrape_configs(node: SocketAddr, prometheus: SocketAddr) -> String {
    format!(
        "scrape_configs:\n\
         - job_name: node\n\
         \x20 scrape_interval: 1s\n\
         \x20 scrape_timeout: 1s\n\
         \x20 static_configs: [{{targets: ['{node}']}}]\n\
         - job_name: prometheus\n\
         \x20 scrape_interval: 1s\n\
         \x20 scrape_timeout: 1s\n\
         \x20 static_configs: [{{targets: ['{prometheus}']}}]\n"
    )
}

#[test]
#[ignore = "needs prometheus and prometheus-node-exporter"]
fn hub_and_prometheus_agree_on_the_same_node_exporter() {
    let dir = tempfile::tempdir().unwrap();
    let (_node_exporter, node) = start_node_exporter(dir.path());
    let (prometheus, hub) = (free_address(), free_address());
    let scrape = scrape_configs(node, prometheus);
    let _prometheus = start_prometheus(dir.path(), prometheus, &scrape, &[]);
    let _hub = start_hub(dir.path(), hub, "global: {}\n");
    let write = format!("remote_write:\n- url: http://{hub}/api/v1/write\n");
    let _agent = start_agent(dir.path(), free_address(), &format!("{scrape}{write}"));

    let full_window = r#"min(count_over_time(up[30s])) >= 28 and on () count(up) == 2"#;
    for address in [prometheus, hub] {
        wait_until("half a minute is scraped", || {
            let answer = crate::http::instant(address, full_window, now_ms());
            answer["result"].as_array().is_some_and(|result| !result.is_empty())
        });
    }
    // The batch of the last second may still be on its way.
    thread::sleep(Duration::from_secs(6));
    let time_ms = now_ms() - 6_000;
    let mut agreed = 0;
    let mut differences = Vec::new();
    for (query, tolerance) in QUERIES {
        match instant_difference((hub, prometheus), query, time_ms, tolerance) {
            None => agreed += 1,
            Some(difference) => differences.push(format!("{query}\n    {difference}")),
        }
    }
    eprintln!("{agreed} of {} queries agree", QUERIES.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
