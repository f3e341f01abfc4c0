//! A hub: receives remote write, keeps the samples, answers PromQL.
//!
//! `cargo run --release --features full --example hub -- --config hub.yml --data-dir data`

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use promlite::disk::RealDisk;
use promlite::hub::{Hub, HubConfig, HubOptions};

/// Receive remote write, keep the samples, answer PromQL
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A prometheus.yml, or Helm values with prometheus.prometheusSpec
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the data; made if there is none
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Where to serve the API, the page and remote write
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    listen: String,
    /// Where to serve Thanos queriers; needs external labels that no other hub has
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Option<String>,
}

/// The configuration or the command line is wrong.
const WRONG_USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = match HubConfig::load(&RealDisk, &arguments.config) {
        Ok(config) => config,
        Err(error) => return fail(WRONG_USAGE, &error),
    };
    let mut options = HubOptions::new(config, arguments.data_dir, arguments.listen);
    options.grpc_listen = arguments.grpc;
    let hub = match Hub::start(options).await {
        Ok(hub) => hub,
        Err(error) => return fail(1, &error),
    };
    support::told_to_stop().await;
    match hub.stop().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

#[expect(clippy::print_stderr, reason = "the reason of the exit must be seen without logs too")]
fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("hub: {error}");
    ExitCode::from(code)
}
