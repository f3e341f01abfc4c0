//! Google's store.

use super::super::http::Secret;
use super::super::read::{At, Fields, Read, Surroundings};
use super::http::{self, BucketHttp};
use super::{refuse_set, required};

/// Google's own programs take the address of another server from here, for tests.
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GcsBucket {
    /// Its name.
    pub bucket: String,
    /// The key file's JSON; empty to look for credentials in the environment and around.
    pub service_account: Secret,
    /// Size of the parts of large objects.
    pub part_size_bytes: Option<u64>,
    /// How often a request is repeated.
    pub max_retries: Option<usize>,
    /// The address of a server for tests, which asks for no credentials.
    pub emulator: Option<String>,
    /// How the store is talked to.
    pub http: BucketHttp,
}

impl GcsBucket {
    /// A bucket with all else at its default.
    #[must_use]
    pub fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            service_account: Secret::new(""),
            part_size_bytes: None,
            max_retries: None,
            emulator: None,
            http: BucketHttp::default(),
        }
    }
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<GcsBucket> {
    let mut fields = Fields::of(at)?;
    let mut bucket = GcsBucket::new(required(&mut fields, "bucket")?.text()?);
    fields.set("service_account", &mut bucket.service_account, At::secret)?;
    bucket.part_size_bytes =
        fields.read("chunk_size_bytes", At::unsigned)?.filter(|size| *size > 0);
    bucket.max_retries = fields.read("max_retries", At::count)?;
    bucket.emulator = (around.environment)(EMULATOR).filter(|host| !host.is_empty());
    if let Some(host) = bucket.emulator.as_mut().filter(|host| !host.contains("://")) {
        host.insert_str(0, "http://");
    }
    fields.read("http_config", |at| http::read(at, around))?.into_iter().for_each(|found| {
        bucket.http = found;
    });
    let why = "only the XML and JSON interfaces";
    refuse_set(&mut fields, &[("use_grpc", why), ("grpc_conn_pool_size", why)])?;
    fields.finish()?;
    Ok(bucket)
}
