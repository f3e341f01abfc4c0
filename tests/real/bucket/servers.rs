//! Starting the clouds' stand-ins, and describing their buckets as a user would.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use promlite::base::base64;
use promlite::base::calendar::date_of_day;
use promlite::longterm::bucket::BucketConfig;
use sha2::{Digest, Sha256};

use crate::http;
use crate::programs::{Program, free_address, now_ms, peer, wait_until};

pub(crate) const KEY: &str = "cHJvbWxpdGUtdGVzdC1rZXk=";
const KEY_BYTES: &[u8] = b"promlite-test-key";
const ACCOUNT: &str = "promlite";

/// Whose protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cloud {
    S3,
    Azure,
}

/// A running server, empty at first; ended when dropped.
pub(crate) struct Server {
    cloud: Cloud,
    pub(crate) address: SocketAddr,
    _program: Program,
}

impl Cloud {
    /// How a user describes a bucket on a server at `address`.
    pub(crate) fn config(self, address: SocketAddr, bucket: &str, key: &str) -> BucketConfig {
        let text = match self {
            Self::S3 => format!(
                "type: S3\nconfig:\n  bucket: {bucket}\n  endpoint: {address}\n  \
                 access_key: {ACCOUNT}\n  secret_key: {key}\n  insecure: true\n"
            ),
            Self::Azure => format!(
                "type: AZURE\nconfig:\n  container: {bucket}\n  storage_connection_string: \
                 'DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};\
                 BlobEndpoint=http://{address}/{ACCOUNT};'\n"
            ),
        };
        BucketConfig::parse(&text, Path::new("bucket.yml"), &|_| None).unwrap()
    }

    fn command(self, dir: &Path, address: SocketAddr) -> Command {
        let port = address.port().to_string();
        match self {
            Self::S3 => {
                let mut command = peer("PROMLITE_MOTO", "moto_server");
                command.args(["-H", "127.0.0.1", "-p", &port]);
                command
            }
            Self::Azure => {
                let mut command = peer("PROMLITE_AZURITE", "azurite-blob");
                command.args(["--blobHost", "127.0.0.1", "--blobPort", &port, "--silent"]);
                command.args(["--skipApiVersionCheck", "--disableTelemetry", "--location"]);
                command.arg(dir.join("azurite"));
                command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
                command
            }
        }
    }
}

impl Server {
    /// Starts a server on a free port and waits for it.
    pub(crate) fn start(cloud: Cloud, dir: &Path) -> Self {
        let address = free_address();
        let name = format!("{cloud:?}-server");
        let program = Program::start(dir, &name, &mut cloud.command(dir, address));
        wait_until(&format!("{name} listens"), || http::get(address, "/").is_ok());
        Self { cloud, address, _program: program }
    }

    /// A bucket of this server.
    pub(crate) fn config(&self, bucket: &str) -> BucketConfig {
        self.config_with_key(bucket, KEY)
    }

    pub(crate) fn config_with_key(&self, bucket: &str, key: &str) -> BucketConfig {
        self.cloud.config(self.address, bucket, key)
    }

    /// The same bucket, through a proxy.
    pub(crate) fn config_through(&self, proxy: SocketAddr, bucket: &str) -> BucketConfig {
        self.cloud.config(proxy, bucket, KEY)
    }

    pub(crate) fn make_bucket(&self, bucket: &str) {
        let answer = match self.cloud {
            Cloud::S3 => http::send(self.address, "PUT", &format!("/{bucket}"), &[], &[]),
            Cloud::Azure => {
                let date = http_date(now_ms());
                let signature = azure_signature(bucket, &date);
                let headers = [
                    ("x-ms-date", date.as_str()),
                    ("x-ms-version", "2021-08-06"),
                    ("Authorization", signature.as_str()),
                ];
                let path = format!("/{ACCOUNT}/{bucket}?restype=container");
                http::send(self.address, "PUT", &path, &headers, &[])
            }
        };
        let answer = answer.unwrap();
        assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.body);
    }
}

/// `Mon, 02 Jan 2026 03:04:05 GMT`.
fn http_date(time_ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, second) = (time_ms / 86_400_000, time_ms / 1000 % 86_400);
    let (year, month, date) = date_of_day(i128::from(day));
    let (weekday, month) = (DAYS[(day % 7) as usize], MONTHS[month as usize - 1]);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {date:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// What Azure wants to see before it makes a container.
fn azure_signature(container: &str, date: &str) -> String {
    let empty_headers = "\n".repeat(12);
    let text = format!(
        "PUT{empty_headers}x-ms-date:{date}\nx-ms-version:2021-08-06\n\
         /{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    );
    let signature = base64::encode(&hmac_sha256(KEY_BYTES, text.as_bytes()));
    format!("SharedKey {ACCOUNT}:{signature}")
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> {
        (0..64).map(|index| key.get(index).copied().unwrap_or(0) ^ pad).collect()
    };
    let inner = Sha256::digest([padded(0x36), text.to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}
