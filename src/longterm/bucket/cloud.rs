//! What the clouds' clients have in common.

use std::path::Path;
use std::time::Duration;

use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use crate::disk::{Disk, RealDisk};
use crate::wire::config::BucketHttp;

use super::BucketError;
use super::runner::Runner;

/// Repetitions inside one try, for a part of a transfer or a token: the handle repeats whole tries.
const REPETITIONS: usize = 2;
const REPETITION_TIMEOUT: Duration = Duration::from_secs(60);
/// What Thanos waits for.
const SILENCE_MS: i64 = 120_000;
const CONNECT_MS: i64 = 10_000;
const IDLE_MS: i64 = 90_000;

fn duration(given_ms: Option<i64>, usual_ms: i64) -> Duration {
    Duration::from_millis(given_ms.unwrap_or(usual_ms).unsigned_abs())
}

/// How to talk to a store at `url`.
pub(super) fn client_options(http: &BucketHttp, url: &str) -> Result<ClientOptions, BucketError> {
    // There may be one already, ours or another's: either can encrypt.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ClientOptions::new()
        .with_allow_http(url.starts_with("http://"))
        .with_allow_invalid_certificates(http.insecure_skip_verify)
        // A large body may take long; silence may not.
        .with_timeout_disabled()
        .with_read_timeout(duration(http.silence_timeout_ms, SILENCE_MS))
        .with_connect_timeout(duration(http.connect_timeout_ms, CONNECT_MS))
        .with_pool_idle_timeout(duration(http.idle_timeout_ms, IDLE_MS));
    if let Some(count) = http.max_idle_per_host {
        options = options.with_pool_max_idle_per_host(count);
    }
    if let Some(path) = &http.ca_file {
        let pem = read_file(path)?;
        let wrong = |error| BucketError::Config(format!("{}: {error}", path.display()));
        for certificate in Certificate::from_pem_bundle(&pem).map_err(wrong)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

pub(super) fn retry(max_retries: Option<usize>) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        max_retries: max_retries.unwrap_or(REPETITIONS),
        retry_timeout: REPETITION_TIMEOUT,
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, BucketError> {
    RealDisk.read(path).map_err(BucketError::io(path))
}

pub(super) fn runner() -> Result<Runner, BucketError> {
    Runner::threads().map_err(|error| BucketError::Config(format!("threads: {error}")))
}

/// What a builder had to say of its values.
pub(super) fn refused(bucket: &str) -> impl Fn(object_store::Error) -> BucketError {
    move |error| BucketError::Config(format!("{bucket}: {error}"))
}
