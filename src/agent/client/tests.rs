use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::disk::{Disk, RealDisk};
use crate::wire::config::Secret;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/tls").join(name)
}

/// A server that answers each connection with an empty page over TLS, until the test ends.
fn serve(name: &str) -> SocketAddr {
    let pem = |end: &str| RealDisk.read(&file(&format!("{name}.{end}"))).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&pem("pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&pem("key")).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            let mut request = [0; 4096];
            // A client that refuses the certificate breaks off here.
            if stream.read(&mut request).is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
            }
        }
    });
    address
}

async fn ask(address: SocketAddr, tls: TlsConfig) -> Result<(), String> {
    let config = HttpConfig { tls, ..HttpConfig::default() };
    let client = HttpClient::new(&config, true, RealDisk::shared()).map_err(|e| e.to_string())?;
    let request = client.get(&format!("https://{address}/")).unwrap();
    request.send().await.map(|_| ()).map_err(|error| chain(&error))
}

fn trusting(name: &str, server_name: Option<&str>) -> TlsConfig {
    TlsConfig {
        ca: Some(SecretSource::File(file(name))),
        server_name: server_name.map(str::to_owned),
        ..TlsConfig::default()
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_if_it_is_the_one_in_the_file() {
    let address = serve("self");
    assert_eq!(ask(address, trusting("self.pem", Some("node.test"))).await, Ok(()));
    let error = ask(address, trusting("self.pem", None)).await.unwrap_err();
    assert!(error.contains("not valid for name \"127.0.0.1\""), "{error}");
    let error = ask(address, trusting("ca.pem", Some("node.test"))).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let error = ask(address, TlsConfig::default()).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let anything = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    assert_eq!(ask(address, anything).await, Ok(()));
}

#[tokio::test]
async fn an_issued_certificate_is_trusted_for_its_name() {
    let address = serve("issued");
    assert_eq!(ask(address, trusting("ca.pem", None)).await, Ok(()));
    let error = ask(address, trusting("ca.pem", Some("other.test"))).await.unwrap_err();
    assert!(error.contains("not valid for name \"other.test\""), "{error}");
    let only_tls12 = TlsConfig { max_version: Some(TlsVersion::Tls12), ..trusting("ca.pem", None) };
    assert_eq!(ask(address, only_tls12).await, Ok(()));
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_at_once() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let inline = |text: &str| SecretSource::Inline(Secret::new(text));
    let config = |ca: SecretSource| TlsConfig { ca: Some(ca), ..TlsConfig::default() };
    let error = ask(address, config(inline("no pem"))).await.unwrap_err();
    assert_eq!(error, "unable to use specified CA cert: none found");
    let error = ask(address, config(SecretSource::File(file("none.pem")))).await.unwrap_err();
    assert!(error.starts_with("unable to read file"), "{error}");
    let tls = TlsConfig { server_name: Some("a".into()), ..TlsConfig::default() };
    let error = ask(address, tls).await.unwrap_err();
    assert_eq!(error, "server_name without ca_file is not supported yet");
}
