//! What is one target, and how does it come from what was discovered?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::duration::{format_duration, parse_duration_ms};
use crate::model::Labels;
use crate::model::relabel::relabel;
use crate::wire::config::ScrapeConfig;

use super::schedule::StableHash;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const META: &str = "__meta_";
const RESERVED: &str = "__";

/// How the last scrape of a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// As the API writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What is known of the last scrape.
#[derive(Debug, Clone, Default)]
pub struct LastScrape {
    /// How it went.
    pub health: Health,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// When it began; nothing before the first one.
    pub time_ms: Option<i64>,
    /// How long it took.
    pub duration_seconds: f64,
}

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Labels before relabelling.
    pub discovered: Labels,
    /// Labels that its series get.
    pub labels: Labels,
    /// Address that is scraped.
    pub url: String,
    /// Time between two scrapes.
    pub interval_ms: i64,
    /// When to give up on a scrape.
    pub timeout_ms: i64,
    hash: u64,
    last: Mutex<LastScrape>,
}

/// What became of a discovered target.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is to be scraped.
    Target(Target),
    /// Relabelling dropped it; its labels before that.
    Dropped(Labels),
    /// It is not valid.
    Invalid(String),
}

impl Target {
    /// Makes a target of its own and its group's labels, as the job wants it.
    pub(crate) fn make(config: &ScrapeConfig, own: &Labels, group: &Labels) -> Made {
        let discovered = match discovered_labels(config, own, group) {
            Ok(labels) => labels,
            Err(error) => return Made::Invalid(error),
        };
        let Some(all) = relabel(&config.relabel, &discovered) else {
            return Made::Dropped(discovered);
        };
        match Self::checked(config, discovered, &all) {
            Ok(target) => Made::Target(target),
            Err(error) => Made::Invalid(error),
        }
    }

    fn checked(config: &ScrapeConfig, discovered: Labels, all: &Labels) -> Result<Self, String> {
        let get = |name: &'static str| all.get(name).unwrap_or_default();
        let address = get(ADDRESS);
        if address.is_empty() {
            return Err("no address".into());
        }
        if address.contains('/') {
            return Err(format!("{address:?} is not a valid hostname"));
        }
        let positive = |name: &'static str, what: &str| match parse_duration_ms(get(name)) {
            Ok(0) => Err(format!("scrape {what} cannot be 0")),
            Ok(duration_ms) => Ok(duration_ms),
            Err(error) => Err(format!("error parsing scrape {what}: {error}")),
        };
        let interval_ms = positive(INTERVAL, "interval")?;
        let timeout_ms = positive(TIMEOUT, "timeout")?;
        if timeout_ms > interval_ms {
            let (timeout, interval) = (get(TIMEOUT), get(INTERVAL));
            return Err(format!(
                "scrape timeout cannot be greater than scrape interval \
                 ({timeout:?} > {interval:?})"
            ));
        }
        let url = url(config, all);
        let instance = all.get("instance").unwrap_or(address);
        let labels = all.filter(|name| !name.starts_with(RESERVED)).with("instance", instance);
        // Interval and other inner labels count: a change of them needs another loop.
        let inner = all.filter(|name| !name.starts_with(META));
        let hash = StableHash::new().add_labels(&inner).add(&url).value();
        let last = Mutex::default();
        Ok(Self { discovered, labels, url, interval_ms, timeout_ms, hash, last })
    }

    /// The same for equal labels and address, in every process.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How the last scrape went.
    #[must_use]
    pub fn last(&self) -> LastScrape {
        self.last.lock().clone()
    }

    pub(crate) fn report(&self, last: LastScrape) {
        *self.last.lock() = last;
    }
}

/// All that is known of a target before relabelling; its own labels win over its group's.
fn discovered_labels(
    config: &ScrapeConfig,
    own: &Labels,
    group: &Labels,
) -> Result<Labels, String> {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in group.iter().chain(own.iter()) {
        all.insert(name, value.to_owned());
    }
    let mut add_absent = |name: &'static str, value: String| {
        all.entry(name).or_insert(value);
    };
    add_absent("job", config.job_name.clone());
    add_absent(INTERVAL, format_duration(config.scrape_interval_ms));
    add_absent(TIMEOUT, format_duration(config.scrape_timeout_ms));
    add_absent(METRICS_PATH, config.metrics_path.clone());
    add_absent(SCHEME, config.scheme.clone());
    let params = config
        .params
        .iter()
        .filter_map(|(name, values)| Some((format!("{PARAM}{name}"), values.first()?.clone())));
    let params: Vec<_> = params.filter(|(name, _)| !all.contains_key(name.as_str())).collect();
    let pairs = all.into_iter().map(|(name, value)| (name.to_owned(), value));
    Labels::from_pairs(pairs.chain(params)).map_err(|error| error.to_string())
}

/// The address, with parameters sorted by name; `__param_` labels replace first values.
fn url(config: &ScrapeConfig, all: &Labels) -> String {
    let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in &config.params {
        params.insert(name, values.iter().map(String::as_str).collect());
    }
    for (name, value) in all.iter() {
        let Some(name) = name.strip_prefix(PARAM) else { continue };
        let values = params.entry(name).or_default();
        match values.first_mut() {
            Some(first) => *first = value,
            None => values.push(value),
        }
    }
    let get = |name| all.get(name).unwrap_or_default();
    let (scheme, address, path) = (get(SCHEME), get(ADDRESS), get(METRICS_PATH));
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{scheme}://{address}{slash}");
    put_escaped(&mut url, path, b"/:@!$&'()*+,;=");
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            url.push(separator);
            put_escaped(&mut url, name, b"");
            url.push('=');
            put_escaped(&mut url, value, b"");
            separator = '&';
        }
    }
    url
}

fn put_escaped(out: &mut String, text: &str, also_kept: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also_kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The targets of a job as the page shows them.
#[derive(Debug, Default, Clone)]
pub struct PoolView {
    /// Targets that are scraped, by address.
    pub active: Vec<Arc<Target>>,
    /// Labels before relabelling of targets that it dropped, as many as are kept.
    pub dropped: Vec<Labels>,
    /// How many it dropped.
    pub dropped_count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::scrape::test_job;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn target(job: &str, own: &[(&str, &str)]) -> Target {
        match Target::make(&test_job(job), &labels(own), &labels(&[("rack", "7")])) {
            Made::Target(target) => target,
            other => panic!("{other:?}"),
        }
    }

    fn invalid(job: &str, own: &[(&str, &str)]) -> String {
        match Target::make(&test_job(job), &labels(own), &Labels::empty()) {
            Made::Invalid(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn job_and_instance_are_filled_in() {
        let target = target("job_name: a", &[("__address__", "h:1"), ("__x", "y")]);
        assert_eq!(target.labels.to_string(), r#"{instance="h:1", job="a", rack="7"}"#);
        assert_eq!(target.url, "http://h:1/metrics");
        assert_eq!((target.interval_ms, target.timeout_ms), (60_000, 10_000));
        assert_eq!(
            target.discovered.to_string(),
            "{__address__=\"h:1\", __metrics_path__=\"/metrics\", __scheme__=\"http\", \
             __scrape_interval__=\"1m\", __scrape_timeout__=\"10s\", __x=\"y\", job=\"a\", \
             rack=\"7\"}"
        );
    }

    #[test]
    fn inner_labels_change_the_request() {
        let job = "{job_name: a, params: {module: [one, two], q: ['a b&c']}}";
        let own = [
            ("__address__", "h:1"),
            ("__param_module", "x"),
            ("__param_new", "n"),
            ("__scheme__", "https"),
            ("__metrics_path__", "/a b"),
            ("__scrape_interval__", "5s"),
            ("__scrape_timeout__", "1s"),
        ];
        let target = target(job, &own);
        assert_eq!(target.url, "https://h:1/a%20b?module=x&module=two&new=n&q=a%20b%26c");
        assert_eq!((target.interval_ms, target.timeout_ms), (5_000, 1_000));
    }

    #[test]
    fn rules_rewrite_and_drop_targets() {
        let job = "job_name: a
relabel_configs:
  - {source_labels: [__meta_role], regex: worker, action: drop}
  - {source_labels: [__meta_name], target_label: instance}
  - {source_labels: [__meta_port], target_label: __address__, replacement: 'h:$1'}
";
        let own = [("__address__", "x"), ("__meta_name", "n"), ("__meta_port", "80")];
        let target = target(job, &own);
        assert_eq!(target.labels.to_string(), r#"{instance="n", job="a", rack="7"}"#);
        assert_eq!(target.url, "http://h:80/metrics");
        let dropped = [("__address__", "x"), ("__meta_role", "worker")];
        let made = Target::make(&test_job(job), &labels(&dropped), &Labels::empty());
        let Made::Dropped(labels) = made else { panic!("{made:?}") };
        assert_eq!(labels.get("__meta_role"), Some("worker"));
    }

    #[test]
    fn invalid_targets_say_why() {
        assert_eq!(invalid("job_name: a", &[("a", "b")]), "no address");
        let cases = [
            ("__scrape_interval__", "0s", "scrape interval cannot be 0"),
            ("__scrape_timeout__", "x", "error parsing scrape timeout: "),
            ("__scrape_timeout__", "2m", "scrape timeout cannot be greater than"),
            ("__address__", "a/b", "\"a/b\" is not a valid hostname"),
        ];
        for (name, value, expected) in cases {
            let own = if name == ADDRESS { ("x", "y") } else { (ADDRESS, "h:1") };
            let error = invalid("job_name: a", &[own, (name, value)]);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn targets_that_differ_have_different_hashes() {
        let make = |own: &[(&str, &str)]| target("job_name: a", own).hash();
        let first = make(&[("__address__", "h:1")]);
        assert_eq!(first, make(&[("__address__", "h:1"), ("__meta_x", "y")]));
        assert_ne!(first, make(&[("__address__", "h:1"), ("__scrape_interval__", "30s")]));
        assert_ne!(first, make(&[("__address__", "h:1"), ("x", "y")]));
    }
}
