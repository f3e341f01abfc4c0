//! The shape of the Helm values of kube-prometheus-stack.
//!
//! A values file holds the whole chart. Of it only `prometheus.prometheusSpec` concerns us, and
//! of that the keys read here; the others are skipped and listed in one warning. A key that looks
//! like a slip of one of ours is refused, as skipping it would lose what was meant.

use crate::model::Labels;

use super::Config;
use super::read::{At, Fields, Read, Style, Surroundings};
use super::{prometheus, scrape, storage, thanos};

/// True for a file of this shape.
pub(super) fn is_meant(at: &At<'_>) -> bool {
    at.node.get("prometheus").is_some_and(|node| node.get("prometheusSpec").is_some())
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<Config> {
    let mut skipped = Vec::new();
    let mut top = Fields::of(at)?;
    for key in ["scrape_configs", "remote_write"] {
        if let Some(at) = top.exactly(key.to_owned()) {
            return Err(at.fail("has no place beside prometheus.prometheusSpec"));
        }
    }
    let mut config = Config::default();
    if let Some(at) = top.get("prometheus") {
        let mut prometheus = Fields::of(&at)?;
        if let Some(at) = prometheus.exactly("prometheusSpec".to_owned()) {
            spec(&at, around, &mut config, &mut skipped)?;
        }
        skip_rest(&prometheus, &mut skipped)?;
    }
    skip_rest(&top, &mut skipped)?;
    if !skipped.is_empty() {
        let list = skipped.join(", ");
        config.warnings.push(format!("keys without a meaning here, ignored: {list}"));
    }
    Ok(config)
}

pub(super) fn skip_rest(fields: &Fields<'_>, skipped: &mut Vec<String>) -> Read<()> {
    for at in fields.rest() {
        if let Some(meant) = fields.meant_by(&at) {
            return Err(at.fail(format!("unknown field, did you mean {meant}?")));
        }
        if !at.is_unset() {
            skipped.push(at.to_string());
        }
    }
    Ok(())
}

fn spec(
    at: &At<'_>,
    around: &Surroundings<'_>,
    config: &mut Config,
    skipped: &mut Vec<String>,
) -> Read<()> {
    let mut fields = Fields::of(at)?;
    config.scrape_defaults = scrape::defaults(&mut fields)?;
    if let Some(at) = fields.get("external_labels") {
        config.external_labels = prometheus::external_labels(&at, around, &mut config.warnings)?;
    }
    if let Some(at) = fields.get("replica_external_label_name") {
        config.external_labels = with_replica(&at, around, &config.external_labels)?;
    }
    if let Some(at) = fields.get("additional_scrape_configs") {
        let at = at.styled(Style::Snake);
        config.scrape = scrape::jobs(&at, around, &config.scrape_defaults)?;
    }
    for key in ["remote_write", "additional_remote_write"] {
        if let Some(at) = fields.get(key) {
            config.remote_write.extend(prometheus::destinations(&at, around)?);
        }
    }
    config.storage = storage::from_operator(&mut fields)?;
    if let Some(at) = fields.get("thanos") {
        config.thanos = thanos::from_operator(&at, around, skipped)?;
    }
    // Without these, less would be scraped, sent or bounded than the file says.
    fields.not_supported_yet(&[
        "remote_read",
        "additional_remote_read",
        "additional_scrape_configs_secret",
        "additional_config",
        "enforced_sample_limit",
        "enforced_target_limit",
        "enforced_label_limit",
        "enforced_label_name_length_limit",
        "enforced_label_value_length_limit",
        "enforced_body_size_limit",
        "scrape_classic_histograms",
    ])?;
    skip_rest(&fields, skipped)
}

/// Adds the label that tells replicas apart; its value is the pod's name, as with the operator.
fn with_replica(at: &At<'_>, around: &Surroundings<'_>, labels: &Labels) -> Read<Labels> {
    let name = at.text()?;
    let pod = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| (around.environment)(name));
    match pod.filter(|pod| !pod.is_empty()) {
        Some(pod) => Ok(labels.with(name, &pod)),
        None => Err(at.fail(
            "the replica's name is taken from the environment, \
             but neither POD_NAME nor HOSTNAME is set",
        )),
    }
}
