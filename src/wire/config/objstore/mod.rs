//! Which bucket, in the schema of Thanos's `objstore` files.
//!
//! Reading is strict: an unknown key, and one whose wish cannot be met, is an error that names it.

mod azure;
mod gcs;
mod http;
mod s3;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use azure::{AzureAuth, AzureBucket};
pub use gcs::GcsBucket;
pub use http::BucketHttp;
pub use s3::{BucketLookup, S3Bucket, S3Encryption};

use super::error::ConfigError;
use super::read::{At, Fields, Read, Style, Surroundings};
use super::tree;

/// A bucket and where in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BucketConfig {
    /// The kind of store, and how it is reached.
    pub provider: BucketProvider,
    /// A folder in the bucket that holds everything; empty for the bucket itself.
    pub prefix: String,
}

/// A kind of store, and how it is reached. The `Debug` form shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BucketProvider {
    /// Amazon's, or one that speaks its protocol.
    S3(Box<S3Bucket>),
    /// Google's.
    Gcs(Box<GcsBucket>),
    /// Microsoft's.
    Azure(Box<AzureBucket>),
    /// A local folder.
    Filesystem(PathBuf),
}

impl BucketConfig {
    /// A bucket without a prefix.
    #[must_use]
    pub const fn new(provider: BucketProvider) -> Self {
        Self { provider, prefix: String::new() }
    }

    /// Reads a text that stands, or could stand, in the file `path`. `$(NAME)` in it is taken from
    /// the environment first; relative paths start from the file's folder.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let fail =
            |line, what: String| ConfigError { file: file.clone(), line, key: String::new(), what };
        let text = substituted(text, environment).map_err(|(line, what)| fail(line, what))?;
        let tree = tree::read(&text).map_err(|refusal| fail(refusal.line, refusal.what))?;
        let around = Surroundings { dir: path.parent().unwrap_or(Path::new("")), environment };
        let top = At::top(&tree, Style::Snake);
        read(&top, &around).map_err(|error| error.in_file(&file))
    }
}

/// Puts the values of variables in place of `$(NAME)`.
fn substituted(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (Option<usize>, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(0);
        let (name, behind) = after.split_at(end);
        let Some(behind) = behind.strip_prefix(')').filter(|_| !name.is_empty()) else {
            out.push_str("$(");
            rest = after;
            continue;
        };
        let line = text.get(..text.len() - after.len()).map(|text| text.lines().count());
        let unset = || (line, format!("$({name}): no such environment variable"));
        out.push_str(&environment(name).ok_or_else(unset)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<BucketConfig> {
    let mut fields = Fields::of(at)?;
    let kind = required(&mut fields, "type")?;
    let Some(config) = fields.written("config") else {
        return Err(at.fail("config is missing"));
    };
    let prefix = fields.read("prefix", At::string)?.unwrap_or_default();
    if let Some(hedging) = fields.get("hedging_config") {
        let mut inner = Fields::of(&hedging)?;
        if let Some(enabled) = inner.get("enabled").filter(|at| !at.is_unset()) {
            return Err(enabled.fail("not supported: a request is asked once at a time"));
        }
        let _ = (inner.get("up_to"), inner.get("quantile"));
        inner.finish()?;
    }
    let provider = match kind.text()?.to_ascii_uppercase().as_str() {
        "S3" => BucketProvider::S3(Box::new(s3::read(&config, around)?)),
        "GCS" => BucketProvider::Gcs(Box::new(gcs::read(&config, around)?)),
        "AZURE" => BucketProvider::Azure(Box::new(azure::read(&config, around)?)),
        "FILESYSTEM" => {
            let mut fields = Fields::of(&config)?;
            let directory = required(&mut fields, "directory")?.path(around)?;
            fields.finish()?;
            BucketProvider::Filesystem(directory)
        }
        other => {
            let is_known = ["SWIFT", "COS", "ALIYUNOSS", "BOS", "OCI", "OBS"].contains(&other);
            let why = if is_known { "is not supported" } else { "is no kind of bucket" };
            let expected = "expected S3, GCS, AZURE or FILESYSTEM";
            return Err(kind.fail(format!("{other:?} {why}: {expected}")));
        }
    };
    fields.finish()?;
    Ok(BucketConfig { provider, prefix })
}

/// The value of a key that must be there and not be empty.
fn required<'a>(fields: &mut Fields<'a>, key: &str) -> Read<At<'a>> {
    let found = fields.get(key).filter(|at| !at.text().is_ok_and(str::is_empty));
    found.ok_or_else(|| fields.place().fail(format!("{key} is missing")))
}

/// Refuses the keys that ask for what cannot be had, unless they do so in so many words only.
fn refuse_set(fields: &mut Fields<'_>, keys: &[(&str, &str)]) -> Read<()> {
    for (key, why) in keys {
        if let Some(at) = fields.get(key).filter(|at| !at.is_unset()) {
            return Err(at.fail(format!("not supported: {why}")));
        }
    }
    Ok(())
}
