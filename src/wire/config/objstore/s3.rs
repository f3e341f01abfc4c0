//! Amazon's store, and those that speak its protocol.

use std::path::PathBuf;

use super::super::http::Secret;
use super::super::read::{At, Fields, Read, Surroundings};
use super::http::{self, BucketHttp};
use super::{refuse_set, required};

/// The smallest part that S3 takes of a large object.
const SMALLEST_PART_BYTES: u64 = 5 << 20;

/// Where in an address the bucket's name stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BucketLookup {
    /// In the host's name at Amazon, in the path elsewhere.
    #[default]
    Auto,
    /// In the host's name.
    VirtualHosted,
    /// In the path.
    Path,
}

/// How the store encrypts objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Encryption {
    /// With a key of the store.
    S3,
    /// With a key of the key service.
    Kms {
        /// The key's name.
        key_id: String,
    },
    /// With a key that goes with each request.
    Customer {
        /// A file of 32 bytes.
        key_file: PathBuf,
    },
}

/// A bucket of S3.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct S3Bucket {
    /// Its name.
    pub bucket: String,
    /// `host` or `host:port`.
    pub endpoint: String,
    /// Empty to take it from the endpoint.
    pub region: String,
    /// Empty, with the secret key, to look for credentials in the environment and around.
    pub access_key: String,
    /// The key that signs.
    pub secret_key: Secret,
    /// For keys that are lent.
    pub session_token: Secret,
    /// Talk without encryption.
    pub insecure: bool,
    /// Where the bucket's name stands.
    pub lookup: BucketLookup,
    /// The class of new objects; empty for the store's default.
    pub storage_class: String,
    /// Size of the parts of large objects.
    pub part_size_bytes: Option<u64>,
    /// How often a request is repeated.
    pub max_retries: Option<usize>,
    /// Where keys are lent.
    pub sts_endpoint: String,
    /// How objects are encrypted.
    pub encryption: Option<S3Encryption>,
    /// How the store is talked to.
    pub http: BucketHttp,
}

impl S3Bucket {
    /// A bucket with fixed keys and all else at its default.
    #[must_use]
    pub fn new(bucket: &str, endpoint: &str, access_key: &str, secret_key: Secret) -> Self {
        Self {
            bucket: bucket.to_owned(),
            endpoint: endpoint.to_owned(),
            region: String::new(),
            access_key: access_key.to_owned(),
            secret_key,
            session_token: Secret::new(""),
            insecure: false,
            lookup: BucketLookup::default(),
            storage_class: String::new(),
            part_size_bytes: None,
            max_retries: None,
            sts_endpoint: String::new(),
            encryption: None,
            http: BucketHttp::default(),
        }
    }
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<S3Bucket> {
    let mut fields = Fields::of(at)?;
    let name = required(&mut fields, "bucket")?.string()?;
    let endpoint = required(&mut fields, "endpoint")?;
    if endpoint.text()?.contains("://") {
        return Err(endpoint.fail("expected host or host:port, without a scheme"));
    }
    let mut bucket = S3Bucket::new(&name, endpoint.text()?, "", Secret::new(""));
    fields.set("region", &mut bucket.region, At::string)?;
    fields.set("access_key", &mut bucket.access_key, At::string)?;
    fields.set("secret_key", &mut bucket.secret_key, At::secret)?;
    fields.set("session_token", &mut bucket.session_token, At::secret)?;
    fields.set("insecure", &mut bucket.insecure, At::boolean)?;
    fields.set("bucket_lookup_type", &mut bucket.lookup, lookup)?;
    fields.set("sts_endpoint", &mut bucket.sts_endpoint, At::string)?;
    bucket.max_retries = fields.read("max_retries", At::count)?;
    bucket.part_size_bytes = fields.read("part_size", |at| match at.unsigned()? {
        size if size < SMALLEST_PART_BYTES => Err(at.fail("parts are at least 5 MiB")),
        size => Ok(size),
    })?;
    let uses_chain = fields.read("aws_sdk_auth", At::boolean)?.unwrap_or(false);
    let has_keys = !bucket.access_key.is_empty() || !bucket.secret_key.reveal().is_empty();
    if uses_chain && has_keys {
        return Err(at.fail("aws_sdk_auth looks for credentials, but there are keys"));
    }
    if bucket.access_key.is_empty() == has_keys || bucket.secret_key.reveal().is_empty() == has_keys
    {
        return Err(at.fail("access_key and secret_key go together"));
    }
    if let Some(at) = fields.get("put_user_metadata") {
        bucket.storage_class = storage_class(&at)?;
    }
    if let Some(at) = fields.get("sse_config") {
        bucket.encryption = encryption(&at, around)?;
    }
    fields.read("http_config", |at| http::read(at, around))?.into_iter().for_each(|found| {
        bucket.http = found;
    });
    ignore_and_refuse(&mut fields)?;
    fields.finish()?;
    Ok(bucket)
}

fn ignore_and_refuse(fields: &mut Fields<'_>) -> Read<()> {
    // Bodies are covered by the signature, and the dual-stack hosts of Amazon are never asked.
    fields.read("send_content_md5", At::boolean)?;
    fields.read("disable_dualstack", At::boolean)?;
    if let Some(at) = fields.get("trace") {
        let mut trace = Fields::of(&at)?;
        refuse_set(&mut trace, &[("enable", "requests are logged by the program's own logging")])?;
        trace.finish()?;
    }
    if let Some(at) = fields.get("list_objects_version")
        && !matches!(at.text()?, "" | "v2")
    {
        return Err(at.fail("not supported: only version 2 of listings"));
    }
    refuse_set(
        fields,
        &[
            ("signature_version2", "only signatures of version 4"),
            ("disable_multipart", "large files are sent in parts"),
        ],
    )
}

fn lookup(at: &At<'_>) -> Read<BucketLookup> {
    match at.text()? {
        "" | "auto" => Ok(BucketLookup::Auto),
        "virtual-hosted" => Ok(BucketLookup::VirtualHosted),
        "path" => Ok(BucketLookup::Path),
        _ => Err(at.fail("expected auto, virtual-hosted or path")),
    }
}

/// The one piece of metadata that means something to the store.
fn storage_class(at: &At<'_>) -> Read<String> {
    let mut class = String::new();
    at.table(|name, at| {
        if !name.eq_ignore_ascii_case("x-amz-storage-class") {
            return Err(at.fail("not supported: only X-Amz-Storage-Class"));
        }
        class = at.string()?;
        Ok(())
    })?;
    Ok(class)
}

fn encryption(at: &At<'_>, around: &Surroundings<'_>) -> Read<Option<S3Encryption>> {
    let mut fields = Fields::of(at)?;
    let key_id = fields.read("kms_key_id", At::string)?.unwrap_or_default();
    let key_file = fields.read("encryption_key", |at| at.path(around))?;
    refuse_set(&mut fields, &[("kms_encryption_context", "keys are named without a context")])?;
    let kind = fields.get("type").filter(|at| !at.text().is_ok_and(str::is_empty));
    fields.finish()?;
    let Some(kind) = kind else { return Ok(None) };
    match (kind.text()?.to_ascii_uppercase().as_str(), key_file) {
        ("SSE-S3", _) => Ok(Some(S3Encryption::S3)),
        ("SSE-KMS", _) if !key_id.is_empty() => Ok(Some(S3Encryption::Kms { key_id })),
        ("SSE-KMS", _) => Err(at.fail("kms_key_id is missing")),
        ("SSE-C", Some(key_file)) => Ok(Some(S3Encryption::Customer { key_file })),
        ("SSE-C", None) => Err(at.fail("encryption_key is missing")),
        _ => Err(kind.fail("expected SSE-S3, SSE-KMS or SSE-C")),
    }
}
