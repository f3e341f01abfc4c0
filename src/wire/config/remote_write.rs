//! Where to send samples, and how patiently.

use crate::model::relabel::Relabel;

use super::http::{self, Address, HttpConfig, check_header_name, is_reserved};
use super::read::{At, Fields, Read, Surroundings};
use super::relabel;

/// One destination of remote write.
#[derive(Debug, Clone)]
pub struct RemoteWriteConfig {
    /// Address to post to.
    pub url: Address,
    /// Name in metrics and logs, if one is given.
    pub name: Option<String>,
    /// Extra headers, such as a tenant.
    pub headers: Vec<(String, String)>,
    /// When to give up on a request.
    pub remote_timeout_ms: i64,
    /// Applied to each series before it is sent.
    pub write_relabel: Vec<Relabel>,
    /// Buffering and retries.
    pub queue: QueueConfig,
    /// Descriptions of metrics.
    pub metadata: MetadataConfig,
    /// Send exemplars too.
    pub send_exemplars: bool,
    /// Send native histograms too.
    pub send_native_histograms: bool,
    /// How to reach the server.
    pub http: HttpConfig,
}

/// Buffering, batching and retries of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples that one shard may hold.
    pub capacity: usize,
    /// Most requests at a time.
    pub max_shards: usize,
    /// Fewest requests at a time.
    pub min_shards: usize,
    /// Most samples in one request.
    pub max_samples_per_send: usize,
    /// How long a sample may wait for its request to fill up.
    pub batch_send_deadline_ms: i64,
    /// First pause before a retry.
    pub min_backoff_ms: i64,
    /// Longest pause before a retry.
    pub max_backoff_ms: i64,
    /// Retry what the server answered with 429, instead of dropping it.
    pub retry_on_http_429: bool,
    /// Samples that are older are dropped; 0 for no limit.
    pub sample_age_limit_ms: i64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline_ms: 5_000,
            min_backoff_ms: 30,
            max_backoff_ms: 5_000,
            retry_on_http_429: false,
            sample_age_limit_ms: 0,
        }
    }
}

/// Whether and how often descriptions of metrics are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Send them at all.
    pub send: bool,
    /// Pause between two rounds.
    pub send_interval_ms: i64,
    /// Most descriptions in one request.
    pub max_samples_per_send: usize,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { send: true, send_interval_ms: 60_000, max_samples_per_send: 2_000 }
    }
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<RemoteWriteConfig> {
    let mut fields = Fields::of(at)?;
    // Prometheus offers HTTP/2 to targets but not to destinations.
    let http = HttpConfig { enable_http2: false, ..HttpConfig::default() };
    let url = fields.read("url", At::url)?;
    let mut config = RemoteWriteConfig {
        url: url.ok_or_else(|| at.fail("url for remote_write is empty"))?,
        name: fields.read("name", At::string)?.filter(|name| !name.is_empty()),
        headers: fields.read("headers", headers)?.unwrap_or_default(),
        remote_timeout_ms: 30_000,
        write_relabel: fields.read("write_relabel_configs", relabel::list)?.unwrap_or_default(),
        queue: fields.read("queue_config", queue)?.unwrap_or_default(),
        metadata: fields.read("metadata_config", metadata)?.unwrap_or_default(),
        send_exemplars: false,
        send_native_histograms: false,
        http: http::read(&mut fields, around, http)?,
    };
    fields.set("send_exemplars", &mut config.send_exemplars, At::boolean)?;
    fields.set("send_native_histograms", &mut config.send_native_histograms, At::boolean)?;
    fields.set("remote_timeout", &mut config.remote_timeout_ms, At::positive_duration_ms)?;
    let message = if at.is_camel() { "message_version" } else { "protobuf_message" };
    fields.read(message, |at| match at.text()? {
        "prometheus.WriteRequest" | "V1.0" | "" => Ok(()),
        "io.prometheus.write.v2.Request" | "V2.0" => Err(at.fail("not supported yet")),
        _ => Err(at.fail(
            "unknown message, expected prometheus.WriteRequest or io.prometheus.write.v2.Request",
        )),
    })?;
    fields.not_supported_yet(&[
        "round_robin_dns",
        "failed_request_logging",
        "sigv4",
        "azuread",
        "google_iam",
    ])?;
    if at.is_camel() {
        fields.not_supported_yet(&["azure_ad"])?;
        for acronym in ["roundRobinDNS", "googleIAM"] {
            if let Some(at) = fields.exactly(acronym.to_owned()).filter(|at| !at.is_unset()) {
                return Err(at.fail("not supported yet"));
            }
        }
    }
    fields.finish()?;
    Ok(config)
}

fn headers(at: &At<'_>) -> Read<Vec<(String, String)>> {
    at.table(|name, at| {
        if name.eq_ignore_ascii_case("authorization") {
            return Err(at.fail("give credentials with basic_auth or authorization instead"));
        }
        if is_reserved(name) {
            return Err(at.fail(format!("{name} is a reserved header, it must not be changed")));
        }
        check_header_name(name, at)?;
        let value = at.text()?;
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            return Err(at.fail("a header must not hold control characters"));
        }
        Ok(value.to_owned())
    })
}

fn positive(at: &At<'_>) -> Read<usize> {
    match at.count()? {
        0 => Err(at.fail("expected a number above 0")),
        count => Ok(count),
    }
}

fn queue(at: &At<'_>) -> Read<QueueConfig> {
    let mut fields = Fields::of(at)?;
    let mut queue = QueueConfig::default();
    fields.set("capacity", &mut queue.capacity, positive)?;
    fields.set("max_shards", &mut queue.max_shards, positive)?;
    fields.set("min_shards", &mut queue.min_shards, positive)?;
    fields.set("max_samples_per_send", &mut queue.max_samples_per_send, positive)?;
    fields.set(
        "batch_send_deadline",
        &mut queue.batch_send_deadline_ms,
        At::positive_duration_ms,
    )?;
    fields.set("min_backoff", &mut queue.min_backoff_ms, At::positive_duration_ms)?;
    fields.set("max_backoff", &mut queue.max_backoff_ms, At::positive_duration_ms)?;
    let retry = if at.is_camel() { "retry_on_rate_limit" } else { "retry_on_http_429" };
    fields.set(retry, &mut queue.retry_on_http_429, At::boolean)?;
    fields.set("sample_age_limit", &mut queue.sample_age_limit_ms, At::duration_ms)?;
    fields.finish()?;
    if queue.min_shards > queue.max_shards {
        return Err(at.fail("the fewest shards must not be more than the most shards"));
    }
    if queue.max_backoff_ms < queue.min_backoff_ms {
        return Err(at.fail("the longest backoff must not be less than the first backoff"));
    }
    Ok(queue)
}

fn metadata(at: &At<'_>) -> Read<MetadataConfig> {
    let mut fields = Fields::of(at)?;
    let mut metadata = MetadataConfig::default();
    fields.set("send", &mut metadata.send, At::boolean)?;
    fields.set("send_interval", &mut metadata.send_interval_ms, At::positive_duration_ms)?;
    fields.set("max_samples_per_send", &mut metadata.max_samples_per_send, positive)?;
    fields.finish()?;
    Ok(metadata)
}
