//! Reads the files of `testdata/config`.

use std::path::{Path, PathBuf};

use super::*;
use crate::disk::RealDisk;
use crate::model::relabel::Action;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config").join(name)
}

fn environment(name: &str) -> Option<String> {
    (name == "POD_NAME").then(|| "spoke-0".to_owned())
}

fn good(name: &str) -> Config {
    let path = folder("good").join(name);
    let text = String::from_utf8(RealDisk.read(&path).unwrap()).unwrap();
    Config::parse(&text, &path, &environment).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn prometheus_yml_is_read() {
    let config = good("spoke.yml");
    assert_eq!(
        config.external_labels.to_string(),
        r#"{build="0042", cluster="prod-eu", pod="spoke-0", price="5$"}"#
    );
    let [node, app, empty] = config.scrape.as_slice() else { panic!("{:?}", config.scrape) };
    assert_eq!((node.scrape_interval_ms, node.scrape_timeout_ms), (5_000, 5_000));
    assert_eq!((empty.scrape_interval_ms, empty.scrape_timeout_ms), (120_000, 60_000));
    assert_eq!((node.limits.sample_count, app.limits.sample_count), (1000, 20));
    let [DiscoveryConfig::Static(groups)] = node.discovery.as_slice() else { panic!() };
    assert_eq!(groups[0].targets, ["127.0.0.1:9100", "[::1]:9100"]);
    assert_eq!(groups[0].labels.to_string(), r#"{rack="7"}"#);
    assert!(app.honor_labels && !app.honor_timestamps && app.fallback_to_text);
    assert_eq!((app.scheme.as_str(), app.metrics_path.as_str()), ("https", "/probe"));
    assert_eq!(app.params[1], ("target".to_owned(), vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(app.limits.body_size_bytes, 10 << 20);
    assert_eq!((node.metric_relabel.len(), app.relabel.len()), (1, 1));
    let [DiscoveryConfig::File(files), DiscoveryConfig::Http(server)] = app.discovery.as_slice()
    else {
        panic!("{:?}", app.discovery)
    };
    assert_eq!(
        files.files,
        [folder("good/targets/*.json"), PathBuf::from("/abs/more.yml")],
        "relative paths start from the folder of the file"
    );
    assert_eq!(files.refresh_interval_ms, 60_000);
    let Some(Auth::Basic { password, .. }) = &server.http.auth else { panic!() };
    assert_eq!(*password, SecretSource::File(folder("good/password")));
    assert_eq!(config.storage.retention_ms, Some(30 * 86_400_000));
    assert_eq!(config.storage.retention_bytes, Some(50 << 30));
    assert_eq!(config.storage.out_of_order_window_ms, Some(1_800_000));
    assert_eq!(config.warnings, ["runtime: has no meaning here, ignored"]);
}

#[test]
fn destinations_are_read() {
    let config = good("spoke.yml");
    let [hub, other] = config.remote_write.as_slice() else { panic!() };
    assert_eq!(hub.headers, [("X-Scope-Cluster".to_owned(), "prod-eu".to_owned())]);
    let queue = QueueConfig {
        max_samples_per_send: 5000,
        capacity: 20000,
        retry_on_http_429: true,
        ..QueueConfig::default()
    };
    assert_eq!((hub.queue, other.queue), (queue, QueueConfig::default()));
    assert_eq!((hub.remote_timeout_ms, other.remote_timeout_ms), (30_000, 5_000));
    assert_eq!((hub.name.as_deref(), other.name.as_deref()), (Some("hub"), None));
    assert_eq!(hub.write_relabel.len(), 1);
    assert!(!hub.http.enable_http2, "as Prometheus, which offers HTTP/2 only to targets");
}

#[test]
fn helm_values_lead_to_the_same_config() {
    let config = good("values.yaml");
    assert_eq!(config.external_labels.to_string(), r#"{cluster="prod-eu", replica="spoke-0"}"#);
    assert_eq!(config.scrape_defaults.scrape_interval_ms, 30_000);
    assert_eq!(config.scrape.len(), 1);
    assert_eq!(config.scrape[0].scrape_interval_ms, 10_000);
    let [hub] = config.remote_write.as_slice() else { panic!() };
    assert_eq!(hub.headers, [("X-Scope-Cluster".to_owned(), "prod-eu".to_owned())]);
    let queue = QueueConfig {
        max_samples_per_send: 5000,
        capacity: 20000,
        max_shards: 10,
        min_shards: 2,
        batch_send_deadline_ms: 3_000,
        min_backoff_ms: 50,
        max_backoff_ms: 10_000,
        retry_on_http_429: true,
        sample_age_limit_ms: 0,
    };
    assert_eq!((hub.queue, hub.remote_timeout_ms), (queue, 20_000));
    assert!(hub.http.tls.insecure_skip_verify && hub.http.auth.is_some());
    assert_eq!(hub.write_relabel.len(), 1);
    let storage = StorageConfig {
        retention_ms: Some(10 * 86_400_000),
        retention_bytes: Some(45 << 30),
        max_exemplars: None,
        out_of_order_window_ms: Some(300_000),
        wal_compression: Some(true),
        remote_write_receiver: Some(true),
    };
    assert_eq!(config.storage, storage);
    assert_eq!(
        config.warnings,
        ["keys without a meaning here, ignored: \
          prometheus.prometheusSpec.resources, prometheus.prometheusSpec.nodeSelector, \
          prometheus.agentMode, prometheus.service, grafana, alertmanager"]
    );
}

#[test]
fn an_empty_file_is_all_defaults() {
    let read = good("empty.yml");
    let defaults = Config { file: read.file.clone(), ..Config::default() };
    assert_eq!(format!("{read:?}"), format!("{defaults:?}"));
}

#[test]
fn anchors_and_merge_keys_work() {
    let config = good("anchors.yml");
    let jobs: Vec<_> =
        config.scrape.iter().map(|job| (job.job_name.as_str(), job.scrape_interval_ms)).collect();
    assert_eq!(jobs, [("first", 3_000), ("second", 3_000)]);
}

#[test]
fn secrets_are_never_shown() {
    for name in ["spoke.yml", "values.yaml"] {
        let config = good(name);
        assert!(!format!("{config:?}").contains("hush-hush"), "{name}");
        assert!(!config.warnings.concat().contains("hush-hush"), "{name}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_told() {
    let text = "global: {external_labels: {a: '$NOBODY'}}";
    let config = Config::parse(text, Path::new("a.yml"), &environment).unwrap();
    assert!(config.external_labels.is_empty());
    let expected = "global.external_labels: environment variable NOBODY is not set, taken as empty";
    assert_eq!(config.warnings, [expected]);
}

#[test]
fn a_replica_without_a_name_is_refused() {
    let text = "prometheus: {prometheusSpec: {replicaExternalLabelName: replica}}";
    let error = Config::parse(text, Path::new("a.yml"), &|_| None).unwrap_err();
    assert!(error.what.contains("neither POD_NAME nor HOSTNAME is set"), "{error}");
}

#[test]
fn bad_files_are_refused_with_line_key_and_reason() {
    let files = RealDisk.list(&folder("bad")).unwrap();
    assert!(files.len() >= 35, "only {} bad files were found", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let path = folder("bad").join(&file.name);
        let text = String::from_utf8(RealDisk.read(&path).unwrap()).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let got = match Config::parse(&text, Path::new(&file.name), &environment) {
            Ok(_) => "no error".to_owned(),
            Err(error) => error.to_string(),
        };
        if !got.starts_with(&format!("{}{expected}", file.name)) {
            wrong.push(format!("{}\n  expected {expected}\n  got      {got}", file.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(&RealDisk, Path::new("no/such/file.yml")).unwrap_err();
    assert!(error.to_string().starts_with("no/such/file.yml: No such file"), "{error}");
}

#[test]
fn both_shapes_name_a_bucket_and_who_keeps_it() {
    let read = |text: &str| {
        let config = Config::parse(text, Path::new("/etc/hub.yml"), &|_| None);
        config.map(|config| config.thanos).map_err(|error| error.to_string())
    };
    let plain = "thanos:\n  objstore: {type: S3, config: {bucket: a, insecure: true}}\n  \
                 replica_labels: [replica]\n  endpoints: ['b:10901']\n  \
                 compact: {retention: {raw: 30d, 5m: 90d, 1h: 1y}, deduplication: identity, \
                 selector_relabel_configs: [{source_labels: [cluster], regex: a, action: keep}]}\n";
    let helm = "prometheus: {prometheusSpec: {thanos: {image: x, objectStorageConfig: {secret: \
                {type: S3, config: {bucket: a, insecure: true}}}, replicaLabels: [replica], \
                endpoints: ['b:10901'], compact: {retention: {raw: 30d, 5m: 90d, 1h: 1y}, \
                selector_relabel_configs: [{source_labels: [cluster], regex: a, action: keep}], \
                deduplication: identity}}}}\n";
    for text in [plain, helm] {
        let thanos = read(text).unwrap();
        let Some(ObjstoreSource::Inline(bucket)) = &thanos.objstore else { panic!("{thanos:?}") };
        let wanted = r#"{"type": S3, "config": {"bucket": a, "insecure": true, }, }"#;
        assert_eq!(bucket.reveal(), wanted);
        assert_eq!((&*thanos.replica_labels[0], &*thanos.endpoints[0]), ("replica", "b:10901"));
        let compact = thanos.compact.unwrap();
        assert_eq!(compact.retention_raw_ms, Some(30 * 86_400_000));
        assert_eq!(compact.retention_1h_ms, Some(365 * 86_400_000));
        assert_eq!(compact.deduplication.as_deref(), Some("identity"));
        let [rule] = compact.selector.try_into().unwrap();
        assert_eq!((rule.action, rule.regex), (Action::Keep, Some(Some("a".to_owned()))));
    }
    let file = read("thanos: {objstore_config_file: bucket.yml, compact: }\n").unwrap();
    let Some(ObjstoreSource::File(path)) = file.objstore else { panic!() };
    assert_eq!((path, file.compact), (PathBuf::from("/etc/bucket.yml"), Some(Default::default())));
    assert!(read("global: {}\n").unwrap().compact.is_none());
    for (text, want) in [
        (
            "thanos: {objstore: {type: S3}, objstore_config_file: a}\n",
            "/etc/hub.yml:1: thanos: the bucket is described twice: objstore and objstore_config_file",
        ),
        (
            "thanos: {compact: {deduplication: chain}}\n",
            "/etc/hub.yml:1: thanos.compact.deduplication: \
             expected identity, penalty or none, found \"chain\"",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), want);
    }
}

#[test]
fn grpc_is_encrypted_by_keys_with_the_names_of_thanos_flags() {
    let read = |text: &str| {
        let config = Config::parse(text, Path::new("/etc/hub.yml"), &|_| None);
        config.map(|config| config.thanos.grpc).map_err(|error| error.to_string())
    };
    let plain = read(
        "thanos:\n  grpc_server_tls_cert: s.pem\n  grpc_server_tls_key: /k/s.key\n  \
         grpc_server_tls_client_ca: ca.pem\n  grpc_client_tls_secure: true\n  \
         grpc_client_tls_ca: ca.pem\n  grpc_client_tls_cert: c.pem\n  \
         grpc_client_tls_key: c.key\n  grpc_client_server_name: hub\n  grpc_compression: gzip\n",
    )
    .unwrap();
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(plain.server_cert, path("/etc/s.pem"));
    assert_eq!(plain.server_key, path("/k/s.key"));
    assert_eq!(plain.server_client_ca, path("/etc/ca.pem"));
    assert_eq!(plain.client_ca, path("/etc/ca.pem"));
    assert_eq!((&plain.client_cert, &plain.client_key), (&path("/etc/c.pem"), &path("/etc/c.key")));
    assert_eq!(plain.client_server_name.as_deref(), Some("hub"));
    assert!(plain.client_secure && plain.compression);
    let helm = "prometheus: {prometheusSpec: {thanos: {grpcServerTlsConfig: {certFile: s.pem, \
                keyFile: /k/s.key, caFile: ca.pem}}}}\n";
    let helm = read(helm).unwrap();
    assert_eq!((helm.server_cert, helm.server_key), (plain.server_cert, plain.server_key));
    assert_eq!(helm.server_client_ca, plain.server_client_ca);
    assert_eq!(read("thanos: {replica_labels: [a]}\n").unwrap(), Default::default());
    assert_eq!(
        read("thanos: {grpc_compression: snappy}\n").unwrap_err(),
        "/etc/hub.yml:1: thanos.grpc_compression: expected none or gzip, found \"snappy\""
    );
}
