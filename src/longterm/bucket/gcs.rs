//! Buckets of Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::GoogleCloudStorageBuilder;

use crate::wire::config::GcsBucket;

use super::BucketError;
use super::cloud::{client_options, refused, retry, runner};
use super::handle::Store;

pub(super) fn open(bucket: &GcsBucket) -> Result<Store, BucketError> {
    let url = bucket.emulator.as_deref().unwrap_or("https://storage.googleapis.com");
    let key = bucket.service_account.reveal();
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&bucket.bucket)
        .with_client_options(client_options(&bucket.http, url)?)
        .with_retry(retry(bucket.max_retries));
    if bucket.emulator.is_some() {
        let key = serde_json::json!({
            "gcs_base_url": url, "disable_oauth": true, "client_email": "", "private_key": "",
            "private_key_id": "",
        });
        builder = builder.with_service_account_key(key.to_string());
    } else if !key.is_empty() {
        builder = builder.with_service_account_key(key);
    }
    let gcs = builder
        .build()
        .map_err(|error| refused(&bucket.bucket)(error).without(&[key.to_owned()]))?;
    let mut store = Store::new(Arc::new(gcs), runner()?, format!("gs://{}", bucket.bucket));
    store.secrets = vec![key.to_owned()];
    if let Some(part_bytes) = bucket.part_size_bytes {
        store.part_bytes = part_bytes;
    }
    Ok(store)
}
