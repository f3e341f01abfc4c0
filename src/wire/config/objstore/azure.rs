//! Microsoft's store.

use super::super::error::ConfigError;
use super::super::http::Secret;
use super::super::read::{At, Fields, Read, Surroundings};
use super::http::{self, BucketHttp};
use super::required;

const ENDPOINT: &str = "blob.core.windows.net";

/// How a client of Azure says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureAuth {
    /// With the account's key, in Base64.
    Key(Secret),
    /// With a signature that somebody made beforehand.
    Signature(Secret),
    /// As the identity that this machine was given.
    Managed {
        /// Which one of several.
        client_id: String,
    },
    /// As an application.
    Application {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its password.
        client_secret: Secret,
    },
    /// However it can be found out.
    Default,
}

/// A container of Azure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AzureBucket {
    /// The account.
    pub account: String,
    /// The container; it must be there.
    pub container: String,
    /// The address of the account.
    pub url: String,
    /// Who we are.
    pub auth: AzureAuth,
    /// How often a request is repeated.
    pub max_retries: Option<usize>,
    /// How the store is talked to.
    pub http: BucketHttp,
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<AzureBucket> {
    let mut fields = Fields::of(at)?;
    let mut text =
        |key: &str| -> Read<String> { Ok(fields.read(key, At::string)?.unwrap_or_default()) };
    let (account, endpoint) = (text("storage_account")?, text("endpoint")?);
    let (managed, tenant_id, client_id) =
        (text("user_assigned_id")?, text("az_tenant_id")?, text("client_id")?);
    let mut secret = |key: &str| -> Read<Option<Secret>> {
        let found = fields.read(key, At::secret)?;
        Ok(found.filter(|secret| !secret.reveal().is_empty()))
    };
    let key = secret("storage_account_key")?;
    let connection = secret("storage_connection_string")?;
    let client_secret = secret("client_secret")?;
    let container = required(&mut fields, "container")?.string()?;
    // Containers are not made here, but that is no reason to refuse those that are there.
    fields.read("storage_create_container", At::boolean)?;
    fields.read("msi_resource", At::string)?;
    let mut max_retries = fields.read("max_retries", At::count)?;
    retries(&mut fields, &mut max_retries)?;
    let http = fields.read("http_config", |at| http::read(at, around))?.unwrap_or_default();
    fields.finish()?;
    let host = if endpoint.is_empty() { ENDPOINT } else { &endpoint };
    let url = format!("https://{account}.{host}");
    let auth = match (key, client_secret) {
        (Some(key), _) => AzureAuth::Key(key),
        (None, Some(client_secret)) => {
            AzureAuth::Application { tenant_id, client_id, client_secret }
        }
        (None, None) if !managed.is_empty() => AzureAuth::Managed { client_id: managed },
        (None, None) => AzureAuth::Default,
    };
    let mut bucket = AzureBucket { account, container, url, auth, max_retries, http };
    if let Some(connection) = connection {
        connect(&mut bucket, connection.reveal(), at)?;
    }
    if bucket.account.is_empty() {
        return Err(at.fail("storage_account is missing"));
    }
    Ok(bucket)
}

/// The two older tables that say how often and how fast to repeat. Only the numbers count here:
/// pauses grow by themselves.
fn retries(fields: &mut Fields<'_>, max_retries: &mut Option<usize>) -> Read<()> {
    if let Some(at) = fields.get("pipeline_config") {
        let mut pipeline = Fields::of(&at)?;
        if let Some(tries) = pipeline.read("max_tries", At::count)?.filter(|tries| *tries > 0) {
            max_retries.get_or_insert(tries - 1);
        }
        for pause in ["try_timeout", "retry_delay", "max_retry_delay"] {
            pipeline.read(pause, At::duration_ms)?;
        }
        pipeline.finish()?;
    }
    if let Some(at) = fields.get("reader_config") {
        let mut reader = Fields::of(&at)?;
        if let Some(count) = reader.read("max_retry_requests", At::count)?.filter(|n| *n > 0) {
            max_retries.get_or_insert(count);
        }
        reader.finish()?;
    }
    Ok(())
}

/// `Name=value;Name=value`, as the portal shows it. Values may hold `=`.
fn connect(bucket: &mut AzureBucket, text: &str, at: &At<'_>) -> Result<(), ConfigError> {
    let fail = |what: &str| Err(at.fail(format!("storage_connection_string: {what}")));
    let (mut scheme, mut suffix, mut address) = ("https", "core.windows.net", None);
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return fail("expected parts such as AccountName=…;AccountKey=…");
        };
        match name.to_ascii_lowercase().as_str() {
            "defaultendpointsprotocol" => scheme = value,
            "endpointsuffix" => suffix = value,
            "accountname" => value.clone_into(&mut bucket.account),
            "accountkey" => bucket.auth = AzureAuth::Key(Secret::new(value)),
            "sharedaccesssignature" => bucket.auth = AzureAuth::Signature(Secret::new(value)),
            "blobendpoint" => address = Some(value),
            "queueendpoint" | "tableendpoint" | "fileendpoint" => {}
            "blobsecondaryendpoint" | "usedevelopmentstorage" => {
                return fail(&format!("{name} is not supported"));
            }
            _ => return fail(&format!("unknown part {name:?}")),
        }
    }
    if !matches!(scheme, "http" | "https") {
        return fail("DefaultEndpointsProtocol is http or https");
    }
    bucket.url = match address {
        Some(address) => address.trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{}.blob.{suffix}", bucket.account),
    };
    Ok(())
}
