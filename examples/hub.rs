//! A hub: receives remote write, keeps the samples, answers PromQL.
//!
//! `cargo run --release --features full --example hub -- --config hub.yml --data-dir data`

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use promlite::disk::RealDisk;
use promlite::hub::{Hub, HubConfig, HubOptions};
use promlite::wire::config::GrpcConfig;

/// The C library's gives the memory of an answer back and asks for it anew with the next query:
/// page by page, that takes longer than to answer a small one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    #[command(flatten)]
    tls: GrpcTls,
}

/// How gRPC is encrypted: Thanos's flags, which go before what the configuration says
#[derive(clap::Args)]
struct GrpcTls {
    /// Certificate for Thanos queriers, in PEM; served in clear without
    #[arg(long = "grpc-server-tls-cert", value_name = "FILE")]
    server_cert: Option<PathBuf>,
    /// Its key
    #[arg(long = "grpc-server-tls-key", value_name = "FILE")]
    server_key: Option<PathBuf>,
    /// Authority whose certificates queriers must have
    #[arg(long = "grpc-server-tls-client-ca", value_name = "FILE")]
    server_client_ca: Option<PathBuf>,
    /// Ask endpoints over TLS
    #[arg(long = "grpc-client-tls-secure")]
    client_secure: bool,
    /// Authority of the certificates of endpoints; those of the system without
    #[arg(long = "grpc-client-tls-ca", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Certificate that endpoints are shown
    #[arg(long = "grpc-client-tls-cert", value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Its key
    #[arg(long = "grpc-client-tls-key", value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// Name that the certificates of endpoints must have
    #[arg(long = "grpc-client-server-name", value_name = "NAME")]
    client_server_name: Option<String>,
}

impl GrpcTls {
    fn put_into(self, config: &mut GrpcConfig) {
        let paths = [
            (&mut config.server_cert, self.server_cert),
            (&mut config.server_key, self.server_key),
            (&mut config.server_client_ca, self.server_client_ca),
            (&mut config.client_ca, self.client_ca),
            (&mut config.client_cert, self.client_cert),
            (&mut config.client_key, self.client_key),
        ];
        for (place, given) in paths {
            *place = given.or_else(|| place.take());
        }
        config.client_secure |= self.client_secure;
        config.client_server_name = self.client_server_name.or(config.client_server_name.take());
    }
}

/// The configuration or the command line is wrong.
const WRONG_USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut config = match HubConfig::load(&RealDisk, &arguments.config) {
        Ok(config) => config,
        Err(error) => return fail(WRONG_USAGE, &error),
    };
    arguments.tls.put_into(&mut config.thanos.grpc);
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
