//! The shape of `prometheus.yml`.

use std::cell::RefCell;

use crate::model::Labels;

use super::Config;
use super::read::{At, Fields, Read, Surroundings};
use super::{remote_write, scrape, storage, thanos};

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<Config> {
    let mut fields = Fields::of(at)?;
    let mut config = Config::default();
    if let Some(at) = fields.get("global") {
        global(&at, around, &mut config)?;
    }
    if let Some(at) = fields.get("scrape_configs") {
        config.scrape = scrape::jobs(&at, around, &config.scrape_defaults)?;
    }
    if let Some(at) = fields.get("remote_write") {
        config.remote_write = destinations(&at, around)?;
    }
    config.storage = fields.read("storage", storage::read)?.unwrap_or_default();
    config.thanos = fields.read("thanos", |at| thanos::read(at, around))?.unwrap_or_default();
    if fields.get("runtime").is_some() {
        config.warnings.push("runtime: has no meaning here, ignored".to_owned());
    }
    fields.not_supported_yet(&[
        "alerting",
        "rule_files",
        "scrape_config_files",
        "remote_read",
        "otlp",
        "tracing",
    ])?;
    fields.finish()?;
    Ok(config)
}

fn global(at: &At<'_>, around: &Surroundings<'_>, config: &mut Config) -> Read<()> {
    let mut fields = Fields::of(at)?;
    config.scrape_defaults = scrape::defaults(&mut fields)?;
    if let Some(at) = fields.get("external_labels") {
        config.external_labels = external_labels(&at, around, &mut config.warnings)?;
    }
    // Rules are not evaluated yet, and `rule_files` is refused; so their pace has no effect.
    fields.read("evaluation_interval", At::duration_ms)?;
    fields.not_supported_yet(&["rule_query_offset", "query_log_file"])?;
    fields.finish()
}

/// Destinations; their names must differ, or their addresses where they have no names, since how
/// far sending has come is remembered by it.
pub(super) fn destinations(
    at: &At<'_>,
    around: &Surroundings<'_>,
) -> Read<Vec<remote_write::RemoteWriteConfig>> {
    let (mut names, mut unnamed) = (Vec::new(), Vec::new());
    at.list(|at| {
        let destination = remote_write::read(at, around)?;
        match &destination.name {
            Some(name) if names.contains(name) => {
                return Err(
                    at.fail(format!("found multiple remote write configs with job name {name:?}"))
                );
            }
            Some(name) => names.push(name.clone()),
            None if unnamed.contains(&destination.url) => {
                return Err(at.fail(
                    "found multiple remote write configs with the same url, give each a name",
                ));
            }
            None => unnamed.push(destination.url.clone()),
        }
        Ok(destination)
    })
}

/// Labels that go with everything that leaves, with `$NAME` and `${NAME}` replaced from the
/// environment and `$$` by a dollar sign.
pub(super) fn external_labels(
    at: &At<'_>,
    around: &Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Read<Labels> {
    let unset = RefCell::new(Vec::new());
    let value = |text: &str| {
        expand(text, &|name| {
            let value = (around.environment)(name);
            if value.is_none() {
                unset.borrow_mut().push(name.to_owned());
            }
            value.unwrap_or_default()
        })
    };
    let labels = at.labels(&value)?;
    for name in unset.into_inner() {
        warnings.push(format!("{at}: environment variable {name} is not set, taken as empty"));
    }
    Ok(labels)
}

/// Replaces variables as Go's `os.Expand` does.
fn expand(text: &str, variable: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, next) = variable_name(after);
        rest = next;
        match name {
            Some("$") => out.push('$'),
            Some(name) => out.push_str(&variable(name)),
            None => {}
        }
    }
    out.push_str(rest);
    out
}

/// The variable behind a dollar sign, and what follows it. A brace without a name is dropped.
fn variable_name(after: &str) -> (Option<&str>, &str) {
    const SPECIAL: &str = "*#$@!?-0123456789";
    if let Some(inner) = after.strip_prefix('{') {
        return match inner.split_once('}') {
            Some((name, rest)) if !name.is_empty() => (Some(name), rest),
            Some((_, rest)) => (None, rest),
            None => (None, inner),
        };
    }
    let special = after.chars().next().filter(|first| SPECIAL.contains(*first));
    let length = special.map_or_else(
        || after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()),
        char::len_utf8,
    );
    let (name, rest) = after.split_at(length);
    match name {
        // A dollar sign before anything else stands for itself.
        "" => (Some("$"), rest),
        name => (Some(name), rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_go() {
        let variable = |name: &str| format!("<{name}>");
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}-$B_1.c", "<A>-<B_1>.c"),
            ("a$$b", "a$b"),
            ("cost: $ 5", "cost: $ 5"),
            ("end$", "end$"),
            ("${}x", "x"),
            ("${open", "open"),
            ("$1a", "<1>a"),
        ] {
            assert_eq!(expand(text, &variable), expected, "{text}");
        }
    }
}
