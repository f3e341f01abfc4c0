//! Why a bucket did not do what it was asked to.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The longest text of a store that an error repeats, in bytes.
const LONGEST_WORDS_BYTES: usize = 600;

/// Why a bucket did not do what it was asked to. Names the object, never a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum BucketError {
    /// The store says that there is no such object.
    NotFound {
        /// The object.
        key: String,
    },
    /// The store refuses: wrong credentials, no right, or a request that it will never take.
    Denied {
        /// The object or prefix.
        key: String,
        /// The store's words.
        what: String,
    },
    /// No answer, or one that may be another the next time. It was tried several times.
    Unavailable {
        /// The object or prefix.
        key: String,
        /// The store's words.
        what: String,
    },
    /// There is no such bucket.
    NoBucket {
        /// The bucket.
        name: String,
        /// The store's words.
        what: String,
    },
    /// The configuration makes no sense.
    Config(String),
    /// The local disk refused.
    Io {
        /// The file.
        path: PathBuf,
        /// The disk's answer.
        error: io::Error,
    },
    /// Something that this kind of bucket, or this build, does not do.
    Unsupported(String),
}

impl BucketError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::Io { path: path.to_owned(), error }
    }

    pub(super) fn unavailable(key: &str, what: impl Into<String>) -> Self {
        Self::Unavailable { key: key.to_owned(), what: what.into() }
    }

    /// True if the same request may go well later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// True if the store said that the object is not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// What a failed request for `key` of the bucket `name` means.
    pub(super) fn of_store(name: &str, key: &str, error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        let words = words_of(error);
        let named = |what: String| (key.to_owned(), what);
        match error {
            // Listings and writes say it as errors of other kinds.
            _ if names_the_bucket(&words) => Self::NoBucket { name: name.to_owned(), what: words },
            Store::NotFound { .. } => Self::NotFound { key: key.to_owned() },
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
                let (key, what) = named(words);
                Self::Denied { key, what }
            }
            Store::NotSupported { .. } | Store::NotImplemented { .. } => {
                Self::Unsupported(format!("{key}: {words}"))
            }
            Store::InvalidPath { .. } | Store::UnknownConfigurationKey { .. } => {
                Self::Config(format!("{key}: {words}"))
            }
            _ if is_final(&words) => {
                let (key, what) = named(words);
                Self::Denied { key, what }
            }
            _ => {
                let (key, what) = named(words);
                Self::Unavailable { key, what }
            }
        }
    }

    /// Takes texts that must not be shown out of the store's words.
    pub(super) fn without(self, secrets: &[String]) -> Self {
        let hide = |mut text: String| {
            for secret in secrets.iter().filter(|secret| secret.len() > 3) {
                text = text.replace(secret.as_str(), "<secret>");
            }
            text
        };
        match self {
            Self::Denied { key, what } => Self::Denied { key, what: hide(what) },
            Self::Unavailable { key, what } => Self::Unavailable { key, what: hide(what) },
            Self::NoBucket { name, what } => Self::NoBucket { name, what: hide(what) },
            Self::Config(what) => Self::Config(hide(what)),
            Self::Unsupported(what) => Self::Unsupported(hide(what)),
            other => other,
        }
    }
}

/// The error and what is behind it, on one line, without what is said twice.
fn words_of(error: &object_store::Error) -> String {
    let mut words = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        below = cause.source();
    }
    let mut words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.len() > LONGEST_WORDS_BYTES {
        let end = words.floor_char_boundary(LONGEST_WORDS_BYTES);
        words.truncate(end);
        words.push('…');
    }
    words
}

/// A status of the stores for a bucket, not an object, that is not there.
fn names_the_bucket(words: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist", "container does not exist"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// True for the refusals that a repetition does not change: all of the 400s but two.
fn is_final(words: &str) -> bool {
    let status = words.split("non-2xx status code: ").nth(1).unwrap_or_default();
    let status = status.get(..3).unwrap_or_default();
    status.starts_with('4') && status != "408" && status != "429"
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { key } => write!(f, "{key}: no such object"),
            Self::Denied { key, what } => write!(f, "{key}: refused by the store: {what}"),
            Self::Unavailable { key, what } => write!(f, "{key}: store not available: {what}"),
            Self::NoBucket { name, what } => {
                // As the configuration calls it.
                let kind = if name.starts_with("azure://") { "container" } else { "bucket" };
                write!(f, "{name}: there is no such {kind}: make it, or correct its name in ")?;
                write!(f, "`{kind}` of the bucket's configuration: {what}")
            }
            Self::Config(what) => write!(f, "bucket: {what}"),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

impl std::error::Error for BucketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_not_there_is_named_with_what_to_do() {
        let cases = [
            ("azure://acme/metrics", "<Code>ContainerNotFound</Code>", "container"),
            ("s3://metrics", "<Code>NoSuchBucket</Code>", "bucket"),
            ("gs://metrics", "The specified bucket does not exist.", "bucket"),
        ];
        for (name, answer, kind) in cases {
            let source = || format!("non-2xx status code: 404 Not Found: {answer}").into();
            let path = "01ABC/meta.json".to_owned();
            let errors = [
                object_store::Error::Generic { store: "any", source: source() },
                object_store::Error::NotFound { path, source: source() },
            ];
            for error in errors {
                let error = BucketError::of_store(name, "01ABC/meta.json", &error);
                assert!(!error.is_transient() && !error.is_not_found());
                let told = error.to_string();
                let wanted = format!(
                    "{name}: there is no such {kind}: make it, or correct its name in `{kind}` of \
                     the bucket's configuration: "
                );
                assert!(told.starts_with(&wanted) && told.contains(answer), "{told}");
            }
        }
        let gone = object_store::Error::NotFound { path: "a".into(), source: "404".into() };
        assert!(BucketError::of_store("s3://metrics", "a", &gone).is_not_found());
    }
}
