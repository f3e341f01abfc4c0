//! What to scrape, how often, and what to make of it.

use crate::model::relabel::Relabel;

use super::discover::{self, DiscoveryConfig};
use super::http::{self, HttpConfig};
use super::read::{At, Fields, Read, Surroundings};
use super::relabel;

/// Bounds of one scrape and of one job; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Size of an uncompressed page.
    pub body_size_bytes: u64,
    /// Samples of a page after relabelling.
    pub sample_count: usize,
    /// Targets of the job.
    pub target_count: usize,
    /// Labels of a series.
    pub label_count: usize,
    /// Length of a label's name.
    pub label_name_bytes: usize,
    /// Length of a label's value.
    pub label_value_bytes: usize,
    /// Targets dropped by relabelling that are remembered for display.
    pub kept_dropped_targets: usize,
}

/// What jobs take over unless they say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeDefaults {
    /// Time between two scrapes.
    pub scrape_interval_ms: i64,
    /// When to give up on a scrape.
    pub scrape_timeout_ms: i64,
    /// Bounds.
    pub limits: ScrapeLimits,
    /// Report more about each scrape than `up` and the like.
    pub extra_scrape_metrics: bool,
}

impl Default for ScrapeDefaults {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            limits: ScrapeLimits::default(),
            extra_scrape_metrics: false,
        }
    }
}

/// One job.
#[derive(Debug, Clone)]
pub struct ScrapeConfig {
    /// The job's name, unique in the file.
    pub job_name: String,
    /// Time between two scrapes.
    pub scrape_interval_ms: i64,
    /// When to give up on a scrape; not longer than the interval.
    pub scrape_timeout_ms: i64,
    /// Path of the page.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Parameters behind the path.
    pub params: Vec<(String, Vec<String>)>,
    /// On a collision the page's label wins over the target's.
    pub honor_labels: bool,
    /// Take timestamps that stand on the page.
    pub honor_timestamps: bool,
    /// Write staleness markers also for samples that carry a timestamp.
    pub track_timestamps_staleness: bool,
    /// Ask for compressed pages.
    pub enable_compression: bool,
    /// Read a page of unknown type as text.
    pub fallback_to_text: bool,
    /// Report more about each scrape than `up` and the like.
    pub extra_scrape_metrics: bool,
    /// Bounds.
    pub limits: ScrapeLimits,
    /// How to reach the targets.
    pub http: HttpConfig,
    /// Applied to each target.
    pub relabel: Vec<Relabel>,
    /// Applied to each series.
    pub metric_relabel: Vec<Relabel>,
    /// Where targets come from.
    pub discovery: Vec<DiscoveryConfig>,
}

/// Reads what `global` and the operator's values have in common with a job.
pub(super) fn defaults(fields: &mut Fields<'_>) -> Read<ScrapeDefaults> {
    let mut defaults = ScrapeDefaults::default();
    let interval = fields.read("scrape_interval", At::duration_ms)?.filter(|ms| *ms != 0);
    let timeout = fields.read("scrape_timeout", At::duration_ms)?.filter(|ms| *ms != 0);
    let interval_ms = interval.unwrap_or(defaults.scrape_interval_ms);
    if timeout.is_some_and(|timeout| timeout > interval_ms) {
        let message = "global scrape timeout greater than scrape interval";
        return Err(fields.place().fail(message));
    }
    defaults.scrape_timeout_ms = timeout.unwrap_or(defaults.scrape_timeout_ms.min(interval_ms));
    defaults.scrape_interval_ms = interval_ms;
    limits(fields, &mut defaults.limits)?;
    fields.set("extra_scrape_metrics", &mut defaults.extra_scrape_metrics, At::boolean)?;
    common(fields)?;
    Ok(defaults)
}

/// Keys of `global` and of jobs that must keep their defaults.
fn common(fields: &mut Fields<'_>) -> Read<()> {
    fields.read("scrape_protocols", protocols)?;
    fields.not_supported_yet(&[
        "scrape_native_histograms",
        "convert_classic_histograms_to_nhcb",
        "always_scrape_classic_histograms",
        "scrape_failure_log_file",
    ])?;
    for (key, only) in
        [("metric_name_validation_scheme", "utf8"), ("metric_name_escaping_scheme", "allow-utf-8")]
    {
        fields.read(key, |at| match at.text()? {
            text if text == only || text.is_empty() => Ok(()),
            _ => Err(at.fail(format!("not supported yet, other than {only}"))),
        })?;
    }
    Ok(())
}

const PROTOCOLS: [&str; 5] = [
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusProto",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
];

fn protocol<'a>(at: &At<'a>) -> Read<&'a str> {
    let name = at.text()?;
    if PROTOCOLS.contains(&name) {
        return Ok(name);
    }
    let known = PROTOCOLS.join(", ");
    Err(at.fail(format!("unknown scrape protocol {name:?}, expected one of {known}")))
}

/// The order is free, since only one format is read; that one must be among them.
fn protocols(at: &At<'_>) -> Read<()> {
    let names = at.list(|at| protocol(at).map(str::to_owned))?;
    if names.iter().any(|name| name == "PrometheusText0.0.4") {
        Ok(())
    } else {
        Err(at.fail("not supported yet without PrometheusText0.0.4"))
    }
}

fn limits(fields: &mut Fields<'_>, limits: &mut ScrapeLimits) -> Read<()> {
    let limit = |fields: &mut Fields<'_>, key: &str, place: &mut usize| {
        let given = fields.read(key, At::count)?;
        *place = given.filter(|count| *count != 0).unwrap_or(*place);
        Ok(())
    };
    let bytes = fields.read("body_size_limit", At::size_bytes)?.filter(|bytes| *bytes != 0);
    limits.body_size_bytes = bytes.unwrap_or(limits.body_size_bytes);
    limit(fields, "sample_limit", &mut limits.sample_count)?;
    limit(fields, "target_limit", &mut limits.target_count)?;
    limit(fields, "label_limit", &mut limits.label_count)?;
    limit(fields, "label_name_length_limit", &mut limits.label_name_bytes)?;
    limit(fields, "label_value_length_limit", &mut limits.label_value_bytes)?;
    limit(fields, "keep_dropped_targets", &mut limits.kept_dropped_targets)
}

/// Reads the list of jobs; names must differ.
pub(super) fn jobs(
    at: &At<'_>,
    around: &Surroundings<'_>,
    defaults: &ScrapeDefaults,
) -> Read<Vec<ScrapeConfig>> {
    let mut names = Vec::new();
    at.list(|at| {
        let job = job(at, around, defaults)?;
        if names.contains(&job.job_name) {
            let name = &job.job_name;
            return Err(at.fail(format!("found multiple scrape configs with job name {name:?}")));
        }
        names.push(job.job_name.clone());
        Ok(job)
    })
}

fn job(at: &At<'_>, around: &Surroundings<'_>, defaults: &ScrapeDefaults) -> Read<ScrapeConfig> {
    let mut fields = Fields::of(at)?;
    let name = fields.read("job_name", At::string)?.filter(|name| !name.is_empty());
    let mut job = ScrapeConfig {
        job_name: name.ok_or_else(|| at.fail("job_name is empty"))?,
        scrape_interval_ms: defaults.scrape_interval_ms,
        scrape_timeout_ms: defaults.scrape_timeout_ms,
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: Vec::new(),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        enable_compression: true,
        fallback_to_text: false,
        extra_scrape_metrics: defaults.extra_scrape_metrics,
        limits: defaults.limits,
        http: http::read(&mut fields, around, HttpConfig::default())?,
        relabel: fields.read("relabel_configs", relabel::list)?.unwrap_or_default(),
        metric_relabel: fields.read("metric_relabel_configs", relabel::list)?.unwrap_or_default(),
        discovery: Vec::new(),
    };
    timing(&mut fields, &mut job)?;
    job.discovery = discover::read(&mut fields, around, !job.relabel.is_empty())?;
    limits(&mut fields, &mut job.limits)?;
    fields.set("metrics_path", &mut job.metrics_path, At::string)?;
    fields.set("scheme", &mut job.scheme, scheme)?;
    fields.set("params", &mut job.params, |at| at.table(|_, at| at.list(At::string)))?;
    fields.set("honor_labels", &mut job.honor_labels, At::boolean)?;
    fields.set("honor_timestamps", &mut job.honor_timestamps, At::boolean)?;
    let track = &mut job.track_timestamps_staleness;
    fields.set("track_timestamps_staleness", track, At::boolean)?;
    fields.set("enable_compression", &mut job.enable_compression, At::boolean)?;
    fields.set("extra_scrape_metrics", &mut job.extra_scrape_metrics, At::boolean)?;
    fields.set("fallback_scrape_protocol", &mut job.fallback_to_text, |at| {
        match protocol(at)? {
            "PrometheusText0.0.4" | "PrometheusText1.0.0" => Ok(true),
            _ => Err(at.fail("not supported yet, other than PrometheusText0.0.4")),
        }
    })?;
    common(&mut fields)?;
    fields.not_supported_yet(&[
        "native_histogram_bucket_limit",
        "native_histogram_min_bucket_factor",
    ])?;
    fields.finish()?;
    Ok(job)
}

fn scheme(at: &At<'_>) -> Read<String> {
    match at.text()? {
        scheme @ ("http" | "https") => Ok(scheme.to_owned()),
        other => Err(at.fail(format!("expected http or https, found {other:?}"))),
    }
}

fn timing(fields: &mut Fields<'_>, job: &mut ScrapeConfig) -> Read<()> {
    let interval = fields.read("scrape_interval", At::duration_ms)?.filter(|ms| *ms != 0);
    let timeout = fields.read("scrape_timeout", At::duration_ms)?.filter(|ms| *ms != 0);
    job.scrape_interval_ms = interval.unwrap_or(job.scrape_interval_ms);
    if timeout.is_some_and(|timeout| timeout > job.scrape_interval_ms) {
        let name = &job.job_name;
        return Err(fields.place().fail(format!(
            "scrape timeout greater than scrape interval for scrape config with job name {name:?}"
        )));
    }
    job.scrape_timeout_ms = timeout.unwrap_or(job.scrape_timeout_ms.min(job.scrape_interval_ms));
    Ok(())
}
