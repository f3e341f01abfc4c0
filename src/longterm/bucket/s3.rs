//! Buckets of S3.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use crate::base::base64;
use crate::wire::config::{BucketLookup, S3Bucket, S3Encryption};

use super::BucketError;
use super::cloud::{client_options, read_file, refused, retry, runner};
use super::handle::Store;

const AMAZON: &str = "amazonaws.com";
const USUAL_REGION: &str = "us-east-1";
const KEY_BYTES: usize = 32;

pub(super) fn open(bucket: &S3Bucket) -> Result<Store, BucketError> {
    let scheme = if bucket.insecure { "http" } else { "https" };
    let in_host = match bucket.lookup {
        BucketLookup::Auto => bucket.endpoint.ends_with(AMAZON),
        BucketLookup::VirtualHosted => true,
        BucketLookup::Path => false,
    };
    let (name, host) = (&bucket.bucket, &bucket.endpoint);
    let url =
        if in_host { format!("{scheme}://{name}.{host}") } else { format!("{scheme}://{host}") };
    let has_keys = !bucket.access_key.is_empty();
    // Without keys, those of the environment, of the cluster or of the machine.
    let mut builder = if has_keys { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
    if has_keys {
        builder = builder
            .with_access_key_id(&bucket.access_key)
            .with_secret_access_key(bucket.secret_key.reveal());
        if !bucket.session_token.reveal().is_empty() {
            builder = builder.with_token(bucket.session_token.reveal());
        }
    }
    builder = builder
        .with_bucket_name(name)
        .with_region(region(bucket))
        .with_virtual_hosted_style_request(in_host)
        .with_client_options(client_options(&bucket.http, &url)?)
        .with_endpoint(url)
        .with_retry(retry(bucket.max_retries));
    if !bucket.sts_endpoint.is_empty() {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, &bucket.sts_endpoint);
    }
    builder = encrypted(builder, bucket)?;
    let s3 = builder.build().map_err(refused(name))?;
    let mut store = Store::new(Arc::new(s3), runner()?, format!("s3://{name}"));
    store.secrets = [&bucket.secret_key, &bucket.session_token]
        .map(|secret| secret.reveal().to_owned())
        .to_vec();
    store.storage_class.clone_from(&bucket.storage_class);
    if let Some(part_bytes) = bucket.part_size_bytes {
        store.part_bytes = part_bytes;
    }
    Ok(store)
}

/// The region that is given, or the one in `s3.<region>.amazonaws.com`.
fn region(bucket: &S3Bucket) -> &str {
    if !bucket.region.is_empty() {
        return &bucket.region;
    }
    let host = bucket.endpoint.strip_suffix(AMAZON).and_then(|host| host.strip_suffix('.'));
    let named = host.and_then(|host| host.strip_prefix("s3.").or(host.strip_prefix("s3-")));
    named.and_then(|named| named.rsplit('.').next()).unwrap_or(USUAL_REGION)
}

fn encrypted(builder: AmazonS3Builder, bucket: &S3Bucket) -> Result<AmazonS3Builder, BucketError> {
    Ok(match &bucket.encryption {
        None => builder,
        Some(S3Encryption::S3) => {
            let key: AmazonS3ConfigKey =
                "aws_server_side_encryption".parse().map_err(refused(&bucket.bucket))?;
            builder.with_config(key, "AES256")
        }
        Some(S3Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
        Some(S3Encryption::Customer { key_file }) => {
            let secret = read_file(key_file)?;
            if secret.len() != KEY_BYTES {
                let what = format!("{}: expected a key of 32 bytes", key_file.display());
                return Err(BucketError::Config(what));
            }
            builder.with_ssec_encryption(base64::encode(&secret))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::config::Secret;

    #[test]
    fn the_region_may_stand_in_the_endpoint() {
        for (endpoint, want) in [
            ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3.amazonaws.com", USUAL_REGION),
            ("localhost:9000", USUAL_REGION),
        ] {
            let bucket = S3Bucket::new("b", endpoint, "a", Secret::new("b"));
            assert_eq!(region(&bucket), want, "{endpoint}");
        }
    }
}
