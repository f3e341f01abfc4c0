//! A spoke: scrapes what its configuration says and sends it on, keeping a log until it is sent.

#![expect(clippy::print_stderr, reason = "this is a program, its user reads the terminal")]

mod support;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use promlite::agent::{Agent, AgentOptions};
use promlite::base::clock::SystemClock;
use promlite::disk::RealDisk;
use promlite::wire::config::Config;

/// Scrape targets, keep a log, send to the hub.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// What to scrape and where to send it: a prometheus.yml, or Helm values of
    /// kube-prometheus-stack with prometheus.prometheusSpec in them
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder for the write-ahead log; made if it is not there
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where to serve the agent's own pages, metrics and API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9095", value_parser = address)]
    listen: SocketAddr,
    /// Only read the configuration and say what is wrong with it
    #[arg(long)]
    check: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "no such address".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let disk = RealDisk::shared();
    let config = match Config::load(&*disk, &args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    for warning in &config.warnings {
        eprintln!("{}: warning: {warning}", args.config.display());
    }
    if args.check {
        return ExitCode::SUCCESS;
    }
    let Args { data_dir, listen, .. } = args;
    let options = AgentOptions { config, data_dir, listen, disk, clock: SystemClock::shared() };
    let agent = match Agent::start(options).await {
        Ok(agent) => agent,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("agent: http://{}", agent.address());
    support::told_to_stop().await;
    agent.stop().await;
    ExitCode::SUCCESS
}
