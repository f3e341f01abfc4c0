//! Targets that a server answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::watch;

use crate::agent::client::{HttpClient, chain};
use crate::agent::scrape::told;
use crate::base::gonum::format_float;
use crate::base::metrics::{Counter, Registry};
use crate::wire::config::HttpDiscovery;

use super::group::GroupText;
use super::{Sender, TargetGroup};

/// An answer is never larger.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// One `http_sd_configs` entry.
#[derive(Debug)]
pub(super) struct Server {
    config: HttpDiscovery,
    client: HttpClient,
    failures: Counter,
}

/// Asks again and again until `closing` is told. A server that does not answer keeps its last word.
pub(super) async fn run(server: Server, mut sender: Sender, mut closing: watch::Receiver<bool>) {
    let pause = Duration::from_millis(server.config.refresh_interval_ms.unsigned_abs());
    loop {
        let asked = tokio::select! {
            biased;
            () = told(&mut closing) => return,
            asked = tokio::time::timeout(pause, server.ask()) => asked,
        };
        match asked.unwrap_or_else(|_| Err("no answer before the next question".to_owned())) {
            Ok(groups) => {
                if !sender.tell(groups).await {
                    return;
                }
            }
            Err(error) => {
                server.failures.inc();
                let url = server.config.url.to_string();
                tracing::error!(url, error, "asking for targets failed");
            }
        }
        tokio::select! {
            biased;
            () = told(&mut closing) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Server {
    pub(super) fn new(config: HttpDiscovery, client: HttpClient, registry: &Registry) -> Self {
        let failures = registry.counter(
            "prometheus_sd_http_failures_total",
            "Times that a server did not answer which targets there are.",
        );
        Self { config, client, failures }
    }

    async fn ask(&self) -> Result<BTreeMap<Arc<str>, TargetGroup>, String> {
        let url = self.config.url.reveal();
        let mut interval = String::new();
        format_float(&mut interval, self.config.refresh_interval_ms as f64 / 1000.0);
        let request = self.client.get(url).map_err(|error| error.to_string())?;
        let request = request
            .header(ACCEPT, "application/json")
            .header("X-Prometheus-Refresh-Interval-Seconds", interval);
        let mut response = request.send().await.map_err(|error| chain(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("server returned HTTP status {}", response.status()));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/json") {
            return Err(format!("unsupported content type {:?}", content_type.unwrap_or_default()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err("the answer is too large".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        let groups: Vec<GroupText> =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let place = self.config.url.to_string();
        let named = |(index, group): (usize, GroupText)| {
            let source = Arc::from(format!("{place}:{index}"));
            Ok((source, group.group("__meta_url", &place)?))
        };
        groups.into_iter().enumerate().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::disk::RealDisk;
    use crate::wire::config::{Address, HttpConfig};

    async fn ask(content_type: &'static str, body: &'static str) -> Result<Vec<String>, String> {
        let router =
            Router::new().route("/", get(async move || ([("content-type", content_type)], body)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = HttpDiscovery {
            url: Address::new(format!("http://u:secret@{address}/")),
            refresh_interval_ms: 60_000,
            http: HttpConfig::default(),
        };
        let client = HttpClient::new(&config.http, true, RealDisk::shared()).unwrap();
        let groups = Server::new(config, client, &Registry::new()).ask().await?;
        let shown = |(source, group): (Arc<str>, TargetGroup)| {
            let text = format!("{source} {:?} {}", group.targets, group.labels);
            text.replace(&address.to_string(), "HOST")
        };
        Ok(groups.into_iter().map(shown).collect())
    }

    #[tokio::test]
    async fn groups_are_read_and_passwords_kept_out_of_labels() {
        let body = r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": []}]"#;
        let expected = [
            "http://u:xxxxx@HOST/:0 [{__address__=\"a:1\"}] \
             {__meta_url=\"http://u:xxxxx@HOST/\", x=\"y\"}",
            "http://u:xxxxx@HOST/:1 [] {__meta_url=\"http://u:xxxxx@HOST/\"}",
        ];
        assert_eq!(ask("application/json; charset=utf-8", body).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn other_answers_are_refused() {
        assert!(ask("text/plain", "[]").await.unwrap_err().contains("content type"));
        assert!(ask("application/json", "{}").await.is_err());
        assert!(ask("application/json", r#"[{"target": []}]"#).await.is_err());
    }
}
