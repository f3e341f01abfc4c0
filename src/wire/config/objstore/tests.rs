use super::*;

fn read(text: &str) -> Result<BucketConfig, String> {
    let environment = |name: &str| match name {
        "KEY" => Some("s3cr3t-from-environment".to_owned()),
        "STORAGE_EMULATOR_HOST" => Some("localhost:9".to_owned()),
        _ => None,
    };
    let config = BucketConfig::parse(text, Path::new("/etc/bucket.yml"), &environment);
    config.map_err(|error| error.to_string())
}

#[test]
fn a_bucket_of_s3_is_read_and_its_secrets_are_not_shown() {
    let text = "type: s3\nconfig:\n  bucket: b\n  endpoint: localhost:9000\n  region: eu\n  \
                access_key: me\n  secret_key: $(KEY)\n  insecure: true\n  \
                bucket_lookup_type: path\n  part_size: 67108864\n  max_retries: 5\n  \
                send_content_md5: true\n  signature_version2: false\n  \
                put_user_metadata: {X-Amz-Storage-Class: STANDARD_IA}\n  \
                list_objects_version: ''\n  trace: {enable: false}\n  \
                http_config: {idle_conn_timeout: 1m30s, response_header_timeout: 2m, \
                insecure_skip_verify: false, tls_config: {ca_file: ca.pem}}\n  \
                sse_config: {type: SSE-C, encryption_key: key.bin}\nprefix: a/b\n";
    let config = read(text).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cr3t") && shown.contains("<secret>"), "{shown}");
    assert_eq!(config.prefix, "a/b");
    let BucketProvider::S3(bucket) = config.provider else { panic!() };
    assert_eq!(
        (&*bucket.bucket, &*bucket.endpoint, &*bucket.region),
        ("b", "localhost:9000", "eu")
    );
    assert_eq!(
        (&*bucket.access_key, bucket.secret_key.reveal()),
        ("me", "s3cr3t-from-environment")
    );
    assert_eq!((bucket.lookup, bucket.insecure), (BucketLookup::Path, true));
    assert_eq!((bucket.part_size_bytes, bucket.max_retries), (Some(64 << 20), Some(5)));
    assert_eq!(bucket.storage_class, "STANDARD_IA");
    assert_eq!(bucket.http.idle_timeout_ms, Some(90_000));
    assert_eq!(bucket.http.ca_file, Some("/etc/ca.pem".into()));
    let key_file = "/etc/key.bin".into();
    assert_eq!(bucket.encryption, Some(S3Encryption::Customer { key_file }));
}

#[test]
fn containers_of_azure_are_read_with_their_connection_strings() {
    let azure = |config: &str| -> Result<_, String> {
        match read(&format!("type: AZURE\nconfig: {config}\n"))?.provider {
            BucketProvider::Azure(bucket) => Ok(bucket),
            _ => panic!(),
        }
    };
    let plain = azure(
        "{storage_account: a, storage_account_key: s3cr3t, container: c, max_retries: 3, \
               storage_create_container: true, pipeline_config: {max_tries: 9, retry_delay: 4s}}",
    )
    .unwrap();
    assert_eq!(plain.url, "https://a.blob.core.windows.net");
    assert_eq!((plain.auth.clone(), plain.max_retries), (AzureAuth::Key(key("s3cr3t")), Some(3)));
    assert!(!format!("{plain:?}").contains("s3cr3t"));
    let local = azure(
        "{container: c, storage_connection_string: 'DefaultEndpointsProtocol=http;\
         AccountName=dev;AccountKey=a2V5==;BlobEndpoint=http://127.0.0.1:10000/dev/;'}",
    )
    .unwrap();
    assert_eq!((&*local.account, &*local.url), ("dev", "http://127.0.0.1:10000/dev"));
    assert_eq!(local.auth, AzureAuth::Key(key("a2V5==")));
    let signed = azure(
        "{container: c, storage_connection_string: 'AccountName=dev;\
         EndpointSuffix=core.cn;SharedAccessSignature=sv=1&sig=2'}",
    )
    .unwrap();
    assert_eq!(signed.url, "https://dev.blob.core.cn");
    assert_eq!(signed.auth, AzureAuth::Signature(key("sv=1&sig=2")));
    let managed = azure("{storage_account: a, container: c, user_assigned_id: i}").unwrap();
    assert_eq!(managed.auth, AzureAuth::Managed { client_id: "i".to_owned() });
    let wrong = azure("{container: c, storage_connection_string: 'AccountName=a;s3cr3t'}");
    assert!(!wrong.unwrap_err().contains("s3cr3t"));
}

fn key(text: &str) -> super::super::http::Secret {
    super::super::http::Secret::new(text)
}

#[test]
fn buckets_of_google_and_folders_are_read() {
    let text = "type: GCS\nconfig:\n  bucket: b\n  service_account: |-\n    {\"type\": \"x\"}\n";
    let BucketProvider::Gcs(bucket) = read(text).unwrap().provider else { panic!() };
    assert_eq!((&*bucket.bucket, bucket.service_account.reveal()), ("b", "{\"type\": \"x\"}"));
    assert_eq!(bucket.emulator.as_deref(), Some("http://localhost:9"));
    let folder = read("type: FILESYSTEM\nconfig: {directory: data}\nprefix: ''\n").unwrap();
    let BucketProvider::Filesystem(dir) = folder.provider else { panic!() };
    assert_eq!(dir, Path::new("/etc/data"));
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (text, want) in [
        ("config: {}\n", "/etc/bucket.yml:1: type is missing"),
        ("type: S3\n", "/etc/bucket.yml:1: config is missing"),
        (
            "type: OCI\nconfig: {}\n",
            "/etc/bucket.yml:1: type: \"OCI\" is not supported: expected S3, GCS, AZURE or FILESYSTEM",
        ),
        ("type: X\nconfig: {}\n", "\"X\" is no kind of bucket"),
        ("type: S3\nconfig: {endpoint: e}\n", "/etc/bucket.yml:2: config: bucket is missing"),
        ("type: S3\nconfig: {bucket: b}\n", "config: endpoint is missing"),
        (
            "type: S3\nconfig: {bucket: b, endpoint: 'http://e'}\n",
            "config.endpoint: expected host or host:port",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, acess_key: k}\n",
            "config.acess_key: unknown field, did you mean access_key?",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, access_key: k}\n",
            "access_key and secret_key go together",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, secret_key: k}\n",
            "access_key and secret_key go together",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, signature_version2: true}\n",
            "config.signature_version2: not supported",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, list_objects_version: v1}\n",
            "config.list_objects_version: not supported",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, put_user_metadata: {a: b}}\n",
            "config.put_user_metadata.a: not supported",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, sse_config: {type: SSE-KMS}}\n",
            "config.sse_config: kms_key_id is missing",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, sse_config: {kms_encryption_context: {a: b}}}\n",
            "kms_encryption_context: not supported",
        ),
        (
            "type: S3\nconfig: {bucket: b, endpoint: e, http_config: {tls_config: {cert_file: c}}}\n",
            "config.http_config.tls_config.cert_file: not supported",
        ),
        ("type: GCS\nconfig: {bucket: b, use_grpc: true}\n", "config.use_grpc: not supported"),
        ("type: FILESYSTEM\nconfig: {}\n", "config: directory is missing"),
        (
            "type: FILESYSTEM\nconfig: {directory: d}\nprefx: a\n",
            "prefx: unknown field, did you mean prefix?",
        ),
        (
            "type: FILESYSTEM\nconfig:\n  directory: $(NOT_SET)\n",
            "/etc/bucket.yml:3: $(NOT_SET): no such environment variable",
        ),
        (
            "type: FILESYSTEM\nconfig: {directory: d}\nhedging_config: {enabled: true}\n",
            "hedging_config.enabled: not supported",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(want), "{error}\n{want}");
    }
}

#[test]
fn only_whole_names_in_brackets_are_variables() {
    let unset = |_: &str| None;
    for text in ["a", "$", "$(", "$()", "$(a", "$(a-b)", "${KEY}", "$KEY"] {
        assert_eq!(substituted(text, &unset).unwrap(), text);
    }
    let twice = |name: &str| Some(format!("<{name}>"));
    assert_eq!(substituted("$(A)$(B_1)$(", &twice).unwrap(), "<A><B_1>$(");
}
