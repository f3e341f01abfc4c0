//! A fleet in one process: two spokes that scrape this machine and themselves, two hubs behind them
//! that share a bucket.
//!
//! `cargo run --release --features full --example quickstart`
//!
//! What to look at: every few seconds a line of answers from the first hub, and the page whose
//! address is printed first. Both spokes write to both hubs, which is how hubs are made highly
//! available; each hub asks the other one and the bucket too, and answers with one series where
//! there are two replicas of it. Everything goes over loopback, just as it would between machines.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod support;

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use promlite::agent::{Agent, AgentOptions};
use promlite::base::clock::{Clock, SystemClock};
use promlite::base::duration::parse_duration_ms;
use promlite::disk::{Disk, RealDisk};
use promlite::hub::{Hub, HubConfig, HubOptions};
use promlite::wire::config::Config;
use promlite::{Engine, Value};

const CLUSTERS: [&str; 2] = ["north", "south"];
const REPLICAS: [&str; 2] = ["a", "b"];

/// What is asked again and again: title, query, unit.
const QUESTIONS: [(&str, &str, &str); 4] = [
    (
        "CPU busy",
        r#"100 * (1 - sum by (cluster) (rate(node_cpu_seconds_total{mode="idle"}[10s]))
            / sum by (cluster) (rate(node_cpu_seconds_total[10s])))"#,
        "%",
    ),
    (
        "memory in use",
        r"sum by (cluster) (node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes) / 2^20",
        "MiB",
    ),
    ("received", "sum by (cluster) (rate(node_network_receive_bytes_total[10s])) / 1024", "KiB/s"),
    (
        "scraped",
        "sum by (cluster) (rate(prometheus_agent_samples_appended_total[10s]))",
        "samples/s",
    ),
];

/// Two spokes and two hubs in one process, on real metrics of this machine.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder for the data of all four; made if it is not there, and used again if it is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the first hub serves its page and its API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// How long to run, such as 30s or 5m; without it until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    run_for: Option<Duration>,
    /// Say on stderr what happens inside
    #[arg(long)]
    verbose: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_duration_ms(text).map_err(|error| error.to_string())?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|_| "must not be negative".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.verbose {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let data = args.data_dir.unwrap_or_else(|| std::env::temp_dir().join("promlite-quickstart"));
    let bucket = data.join("bucket");
    RealDisk.create_dir_all(&bucket)?;
    // Each hub is told where the other one serves, so that the ports must be known before.
    let (one, two) = (free_address()?, free_address()?);
    let mut hubs = Vec::new();
    for (replica, (own, other)) in REPLICAS.iter().zip([(one, two), (two, one)]) {
        let config = hub_config(replica, &other, &bucket)?;
        let listen = if hubs.is_empty() { args.listen.to_string() } else { "127.0.0.1:0".into() };
        let dir = data.join(format!("hub-{replica}"));
        let mut options = HubOptions::new(config, dir, listen);
        options.grpc_listen = Some(own.to_string());
        hubs.push(Hub::start(options).await?);
    }
    let addresses: Vec<SocketAddr> = hubs.iter().map(Hub::local_addr).collect();
    let mut spokes = Vec::new();
    for cluster in CLUSTERS {
        spokes.push(start_spoke(cluster, &data, &addresses).await?);
    }
    for (replica, address) in REPLICAS.iter().zip(&addresses) {
        println!("hub {replica}    http://{address}/");
    }
    for (cluster, spoke) in CLUSTERS.iter().zip(&spokes) {
        println!("{cluster}    http://{}/targets", spoke.address());
    }
    println!("bucket   {} (blocks come every two hours)", bucket.display());
    println!("data     {}", data.display());
    println!("\nAsk at http://{}/, for example:", args.listen);
    println!(r#"  sum by (cluster, mode) (rate(node_cpu_seconds_total{{mode!="idle"}}[1m]))"#);
    println!("\nThe first answers take a few seconds; Ctrl-C ends it.\n");

    let end = async {
        match args.run_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = end => {}
        () = support::told_to_stop() => {}
        asked = show_answers(&hubs) => asked?,
    }
    for spoke in spokes {
        spoke.stop().await;
    }
    let head = hubs.first().map(|hub| hub.db().stats());
    for hub in hubs {
        hub.stop().await?;
    }
    let series = head.map_or(0, |stats| stats.head_series);
    println!("\nhub a ends with {series} series; its data stays in {}", data.display());
    Ok(())
}

fn free_address() -> Result<SocketAddr, std::io::Error> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// What a hub's file says when there are two of them and a bucket.
fn hub_config(
    replica: &str,
    other: &SocketAddr,
    bucket: &Path,
) -> Result<HubConfig, Box<dyn Error>> {
    let text = format!(
        "global: {{external_labels: {{replica: {replica}}}}}\n\
         thanos:\n  \
           objstore: {{type: FILESYSTEM, config: {{directory: '{}'}}}}\n  \
           replica_labels: [replica]\n  \
           endpoints: ['{other}']\n  \
           compact: {{retention: {{raw: 30d, 5m: 90d, 1h: 1y}}}}\n",
        bucket.display()
    );
    let config = Config::parse(&text, Path::new("quickstart.yml"), &|_| None)?;
    Ok(HubConfig::from_config(&config)?)
}

/// What a values file says when a cluster is onboarded, plus the scrape jobs of this one.
async fn start_spoke(
    cluster: &str,
    data: &Path,
    hubs: &[SocketAddr],
) -> Result<Agent, Box<dyn Error>> {
    // The spoke scrapes itself, so its address must be known before it starts.
    let own = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let writes: Vec<String> = hubs
        .iter()
        .map(|hub| {
            format!(
                "{{url: 'http://{hub}/api/v1/receive', headers: {{X-Scope-Cluster: {cluster}}}, \
                 queue_config: {{batch_send_deadline: 1s}}}}"
            )
        })
        .collect();
    let text = format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s, external_labels: {{cluster: {cluster}}}}}\n\
         scrape_configs:\n\
         - {{job_name: machine, metrics_path: /host/metrics, static_configs: [{{targets: ['{own}']}}]}}\n\
         - {{job_name: agent, static_configs: [{{targets: ['{own}']}}]}}\n\
         - {{job_name: hub, static_configs: [{{targets: ['{}']}}]}}\n\
         remote_write: [{}]\n",
        hubs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join("', '"),
        writes.join(", ")
    );
    let config = Config::parse(&text, Path::new("quickstart.yml"), &|_| None)?;
    let options = AgentOptions {
        config,
        data_dir: data.join(cluster),
        listen: own,
        disk: RealDisk::shared(),
        clock: SystemClock::shared(),
    };
    Ok(Agent::start(options).await?)
}

/// Asks the first hub every few seconds, in-process, as a user of the library would.
async fn show_answers(hubs: &[Hub]) -> Result<(), Box<dyn Error>> {
    let engine = Arc::new(Engine::default());
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let Some(hub) = hubs.first() else { return Ok(()) };
        let now_ms = SystemClock.now_ms();
        for (title, query, unit) in QUESTIONS {
            let (engine, source) = (engine.clone(), hub.queryable());
            // It asks the other hub, and waits for it.
            let asking = tokio::task::spawn_blocking(move || {
                engine.instant(&*source, query, now_ms, &Default::default())
            });
            let Value::Vector(elements) = asking.await??.value else { continue };
            for element in elements {
                let cluster = element.labels.get("cluster").unwrap_or_default();
                println!("{cluster:<6} {title:<14} {:>12.2} {unit}", element.sample.value);
            }
        }
        println!();
    }
}
