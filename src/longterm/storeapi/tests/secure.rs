//! Calls that are encrypted, and such as are compressed.

use super::*;

fn pem(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls");
    crate::disk::Disk::read(&RealDisk, &std::path::Path::new(root).join(name)).unwrap()
}

/// A store that shows `issued.pem`; with `client_ca`, only to those whom this authority knows.
fn secured(client_ca: Option<&str>) -> Served {
    let ca = client_ca.map(pem);
    let tls = ServerTls::new(&pem("issued.pem"), &pem("issued.key"), ca.as_deref()).unwrap();
    let options = StoreServerOptions { tls: Some(tls), ..StoreServerOptions::default() };
    let series = vec![(labels([("a", "1")]), vec![chunk(1, &[(1, 1.0)])])];
    Served::with(Arc::new(shelf(series)), anything(), options)
}

/// What a client gets that speaks so.
fn asked(served: &Served, scheme: &str, tls: Option<ClientTls>) -> Result<usize, String> {
    let options =
        RemoteOptions { tls, partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let runtime = ClientRuntime::of(THREADS.handle().clone());
    let address = format!("{scheme}{}", served.address);
    let store = RemoteStore::new(&address, &runtime, options).unwrap();
    let found = store.select(&all(vec![Matcher::equal("a", "1")]));
    found.map(|found| found.series.len()).map_err(|error| error.to_string())
}

fn trusting(ca: &str) -> ClientTls {
    ClientTls::new(Some(&pem(ca))).unwrap()
}

#[test]
fn who_trusts_the_authority_is_answered() {
    let served = secured(None);
    assert_eq!(asked(&served, "", Some(trusting("ca.pem"))), Ok(1));
    assert_eq!(asked(&served, "https://", Some(trusting("ca.pem"))), Ok(1));
    let named = trusting("ca.pem").with_server_name("127.0.0.1").unwrap();
    assert_eq!(asked(&served, "", Some(named)), Ok(1));
}

#[test]
fn a_wrong_authority_is_told() {
    let served = secured(None);
    let error = asked(&served, "", Some(trusting("self.pem"))).unwrap_err();
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    let other = trusting("ca.pem").with_server_name("other.test").unwrap();
    let error = asked(&served, "", Some(other)).unwrap_err();
    assert!(error.contains("invalid peer certificate: certificate not valid"), "{error}");
    asked(&served, "http://", None).unwrap_err();
    asked(&served, "", None).unwrap_err();
    let plain = Served::new(Arc::new(Shelf::default()), anything());
    asked(&plain, "", Some(trusting("ca.pem"))).unwrap_err();
    assert_eq!(asked(&plain, "http://", Some(trusting("ca.pem"))), Ok(0));
}

#[test]
fn who_must_show_a_certificate_is_not_answered_without() {
    let served = secured(Some("ca.pem"));
    asked(&served, "", Some(trusting("ca.pem"))).unwrap_err();
    let show = |name: &str| {
        let (certificate, key) = (pem(&format!("{name}.pem")), pem(&format!("{name}.key")));
        trusting("ca.pem").with_identity(&certificate, &key).unwrap()
    };
    assert_eq!(asked(&served, "", Some(show("issued"))), Ok(1));
    asked(&served, "", Some(show("self"))).unwrap_err();
}

#[test]
fn keys_that_do_not_fit_are_refused_before_anybody_calls() {
    let told = |made: Result<ServerTls, TlsError>| made.unwrap_err().to_string();
    let (certificate, key) = (pem("issued.pem"), pem("issued.key"));
    let none = "certificate of the server: no certificate in PEM in it";
    assert_eq!(told(ServerTls::new(&key, &key, None)), none);
    let none = "authority of clients: no certificate in PEM in it";
    assert_eq!(told(ServerTls::new(&certificate, &key, Some(b""))), none);
    let error = told(ServerTls::new(&certificate, &pem("self.key"), None));
    assert!(error.contains("keys may not be consistent"), "{error}");
    assert!(ServerTls::new(&certificate, b"", None).is_err());
    assert!(ClientTls::new(Some(b"-----BEGIN CERTIFICATE-----\n")).is_err());
    assert!(trusting("ca.pem").with_identity(&certificate, &pem("self.key")).is_err());
    assert!(trusting("ca.pem").with_server_name("a b").is_err());
}

/// Bytes that went through a connection to a server, towards the client.
fn bytes_sent(served: &Served, compression: bool) -> (usize, usize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sent = Arc::new(AtomicUsize::new(0));
    let listener = THREADS.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (between, server) = (listener.local_addr().unwrap(), served.address);
    let count = sent.clone();
    THREADS.spawn(async move {
        let (caller, _) = listener.accept().await.unwrap();
        let server = tokio::net::TcpStream::connect(server).await.unwrap();
        let (mut from_caller, mut to_caller) = caller.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_caller, &mut to_server).await });
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            count.fetch_add(length, Ordering::SeqCst);
            to_caller.write_all(&buffer[..length]).await.unwrap();
        }
    });
    let options =
        RemoteOptions { compression, partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let runtime = ClientRuntime::of(THREADS.handle().clone());
    let store = RemoteStore::new(&between.to_string(), &runtime, options).unwrap();
    let found = store.select(&all(vec![])).unwrap();
    let samples = found.series.iter().map(|series| {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        column.len()
    });
    (samples.sum(), sent.load(Ordering::SeqCst))
}

#[test]
fn answers_are_compressed_for_those_who_accept_it() {
    let one = |at: i64| {
        let samples: Vec<(i64, f64)> = (0..120).map(|time| (time, 1.0)).collect();
        let text = format!("a rather long text that all series have in common, and {at:04}");
        (labels([("a", &*text)]), vec![chunk(1, &samples)])
    };
    let series: Vec<_> = (0..500).map(one).collect();
    let served = |compression| {
        let options = StoreServerOptions { compression, ..StoreServerOptions::default() };
        Served::with(Arc::new(shelf(series.clone())), anything(), options)
    };
    let both = bytes_sent(&served(true), true);
    let others = [(false, false), (false, true), (true, false)]
        .map(|(server, client)| bytes_sent(&served(server), client));
    for other in others {
        assert_eq!((both.0, other.0), (60_000, 60_000));
        assert!(both.1 * 2 < other.1, "{both:?}, {other:?}");
    }
}
