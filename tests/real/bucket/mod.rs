//! Buckets on servers that speak the clouds' own protocols.

mod faults;
mod gcs;
mod servers;
mod ship;
mod upkeep;

use promlite::longterm::bucket::{Bucket, BucketError};
use promlite::longterm::{FetchOptions, Fetcher, delete_block};
use promlite::testkit::bucket::behaves_as_a_bucket;

use servers::{Cloud, Server};

fn open(server: &Server, name: &str) -> Bucket {
    server.make_bucket(name);
    let bucket = Bucket::open(&server.config(name)).unwrap();
    bucket.check().unwrap();
    bucket
}

fn behaves(cloud: Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(cloud, dir.path());
    behaves_as_a_bucket(&open(&server, "plain"));
    server.make_bucket("shared");
    let mut config = server.config("shared");
    config.prefix = "some/folder".to_owned();
    let inner = Bucket::open(&config).unwrap();
    let outer = Bucket::open(&server.config("shared")).unwrap();
    outer.put("some/other", bytes::Bytes::from_static(b"x")).unwrap();
    behaves_as_a_bucket(&inner);
    let left: Vec<String> = outer.list("").unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(left, ["some/other"]);
}

#[test]
#[ignore = "needs moto_server"]
fn s3_behaves_as_a_bucket() {
    behaves(Cloud::S3);
}

#[test]
#[ignore = "needs azurite"]
fn azure_behaves_as_a_bucket() {
    behaves(Cloud::Azure);
}

#[test]
#[ignore = "needs gcp-storage-emulator"]
fn gcs_behaves_as_a_bucket() {
    behaves(Cloud::Gcs);
}

#[test]
#[ignore = "needs moto_server"]
fn placeholders_of_folders_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Cloud::S3, dir.path());
    let bucket = open(&server, "folders");
    let ulid = ulid::Ulid::from_parts(1_767_312_000_000, 1);
    for key in ["", "chunks/"] {
        let path = format!("/folders/{ulid}/{key}");
        assert_eq!(crate::http::send(server.address, "PUT", &path, &[], &[]).unwrap().status, 200);
    }
    bucket.put(&format!("{ulid}/chunks/000001"), bytes::Bytes::from_static(b"x")).unwrap();
    let mut fetcher = Fetcher::new(bucket.clone(), &FetchOptions::default());
    assert_eq!(fetcher.fetch().unwrap().partial.len(), 1);
    delete_block(&bucket, ulid).unwrap();
    assert!(!bucket.exists(&format!("{ulid}/chunks/000001")).unwrap());
}

fn no_such_bucket(cloud: Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(cloud, dir.path());
    let bucket = Bucket::open(&server.config("nowhere")).unwrap();
    let error = bucket.check().unwrap_err();
    assert!(matches!(error, BucketError::NoBucket { .. }), "{error:?}");
    let kind = if matches!(cloud, Cloud::Azure) { "container" } else { "bucket" };
    let told = format!("nowhere: there is no such {kind}: make it, or correct its name");
    assert!(error.to_string().contains(&told), "{error}");
    assert_eq!(bucket.stats().requests, 1, "it is no matter of patience");
    let error = bucket.put("a/b", bytes::Bytes::from_static(b"x")).unwrap_err();
    assert!(matches!(error, BucketError::NoBucket { .. }), "{error:?}");
    assert!(error.to_string().contains(&told), "{error}");
}

#[test]
#[ignore = "needs moto_server"]
fn a_bucket_of_s3_that_is_not_there_is_named() {
    no_such_bucket(Cloud::S3);
}

#[test]
#[ignore = "needs azurite"]
fn a_container_of_azure_that_is_not_there_is_named() {
    no_such_bucket(Cloud::Azure);
}

#[test]
#[ignore = "needs gcp-storage-emulator"]
fn a_bucket_of_gcs_that_is_not_there_is_named() {
    no_such_bucket(Cloud::Gcs);
}

#[test]
#[ignore = "needs azurite"]
fn wrong_credentials_are_one_clear_error_without_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Cloud::Azure, dir.path());
    server.make_bucket("there");
    let bucket = Bucket::open(&server.config_with_key("there", "d3Jvbmcga2V5")).unwrap();
    for error in [bucket.check().unwrap_err(), bucket.get("a/b").unwrap_err()] {
        assert!(matches!(error, BucketError::Denied { .. }), "{error:?}");
        let text = error.to_string();
        assert!(!text.contains("d3Jvbmcga2V5") && text.contains("refused by the store"), "{text}");
    }
    let error = bucket.get("a/b").unwrap_err().to_string();
    assert!(error.starts_with("a/b: "), "{error}");
}

#[test]
#[ignore = "needs no server, but a port that nobody listens at"]
fn a_server_that_is_not_there_is_named_after_a_few_tries() {
    let config = Cloud::S3.config(crate::programs::free_address(), "b", servers::KEY);
    let bucket = Bucket::open(&config).unwrap();
    let error = bucket.get("a/b").unwrap_err();
    assert!(error.is_transient() && error.to_string().starts_with("a/b: "), "{error}");
}
