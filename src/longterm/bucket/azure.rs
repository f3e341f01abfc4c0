//! Containers of Azure.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::wire::config::{AzureAuth, AzureBucket};

use super::BucketError;
use super::cloud::{client_options, refused, retry, runner};
use super::handle::Store;

pub(super) fn open(bucket: &AzureBucket) -> Result<Store, BucketError> {
    let mut secrets = Vec::new();
    let mut hide = |secret: &str| {
        secrets.push(secret.to_owned());
        secret.to_owned()
    };
    let builder = match &bucket.auth {
        // A token of the cluster, or the identity of the machine.
        AzureAuth::Default => MicrosoftAzureBuilder::from_env(),
        _ => MicrosoftAzureBuilder::new(),
    };
    let mut builder = builder
        .with_account(&bucket.account)
        .with_container_name(&bucket.container)
        .with_endpoint(bucket.url.clone())
        .with_client_options(client_options(&bucket.http, &bucket.url)?)
        .with_retry(retry(bucket.max_retries));
    builder = match &bucket.auth {
        AzureAuth::Default => builder,
        AzureAuth::Key(key) => builder.with_access_key(hide(key.reveal())),
        AzureAuth::Signature(signature) => {
            let signature = hide(signature.reveal());
            builder.with_config(AzureConfigKey::SasKey, signature)
        }
        AzureAuth::Managed { client_id } => builder.with_client_id(client_id),
        AzureAuth::Application { tenant_id, client_id, client_secret } => {
            let secret = hide(client_secret.reveal());
            builder.with_client_secret_authorization(client_id, secret, tenant_id)
        }
    };
    let azure =
        builder.build().map_err(|error| refused(&bucket.container)(error).without(&secrets))?;
    let name = format!("azure://{}/{}", bucket.account, bucket.container);
    let mut store = Store::new(Arc::new(azure), runner()?, name);
    store.secrets = secrets;
    Ok(store)
}
