//! Input that is wrong: refused as Prometheus refuses it, counted, and nothing else stops.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::http::{self, Answer};
use crate::programs::{free_address, now_ms, start_agent, start_hub, start_prometheus, wait_until};
use crate::remote_write::{body, series};

const GOOD: [(&str, &str); 2] = [("__name__", "m"), ("a", "b")];

struct Case {
    what: &'static str,
    body: Vec<u8>,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    /// How the answer begins in Prometheus 3.14.
    message: &'static str,
    /// True if the Prometheus beside us, of any version, must give the same answer.
    is_old: bool,
}

const SNAPPY: (&str, &str) = ("Content-Encoding", "snappy");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const USUAL: &[(&str, &str)] = &[SNAPPY, PROTOBUF];

fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// The cases in the order in which they are sent; the first ones store a sample at `now_ms`.
fn cases(now_ms: i64) -> Vec<Case> {
    let one = |time_ms: i64, value: f64| body(vec![series(&GOOD, &[(time_ms, value)])]);
    let odd = |labels: &[(&str, &str)]| body(vec![series(labels, &[(now_ms + 2, 1.0)])]);
    let old = |what, body, status, message| Case {
        what,
        body,
        headers: USUAL,
        status,
        message,
        is_old: true,
    };
    let new = |what, body, headers, status, message| Case {
        what,
        body,
        headers,
        status,
        message,
        is_old: false,
    };
    let mut invalid_utf8 = series(&GOOD, &[(now_ms + 2, 1.0)]);
    invalid_utf8.labels[1].value = "\u{1}\u{1}".into();
    let mut torn = prost::Message::encode_to_vec(&invalid_utf8);
    let at = torn.windows(2).position(|pair| pair == b"\x01\x01").unwrap();
    torn[at..at + 2].copy_from_slice(b"\xff\xfe");
    let mut request = vec![0x0a, torn.len() as u8];
    request.extend(&torn);
    vec![
        old("a good sample", one(now_ms, 1.0), 204, ""),
        old("the same again", one(now_ms, 1.0), 204, ""),
        old("another value", one(now_ms, 2.0), 400, "duplicate sample for timestamp"),
        old("out of order", one(now_ms - 1000, 2.0), 400, "out of order sample\n"),
        old("two hours ago", one(now_ms - 7_200_000, 2.0), 400, "out of bounds\n"),
        new("in an hour", one(now_ms + 3_600_000, 2.0), USUAL, 400, "out of bounds: timestamp"),
        new("no snappy", b"hello world, no snappy".to_vec(), USUAL, 400, "s2: corrupt input\n"),
        new("no body", Vec::new(), USUAL, 400, "s2: corrupt input\n"),
        old("no protobuf", compress(b"\xff\xff\xff\xff garbage"), 400, "proto: illegal wireType 7"),
        old("torn protobuf", compress(&request[..request.len() - 3]), 400, "unexpected EOF\n"),
        old("no metric name", odd(&[("a", "b")]), 204, ""),
        new("a label twice", odd(&[("__name__", "m"), ("a", "1"), ("a", "2")]), USUAL, 204, ""),
        old("invalid UTF-8", compress(&request), 204, ""),
        new(
            "gzip",
            b"x".to_vec(),
            &[("Content-Encoding", "gzip"), PROTOBUF],
            415,
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable",
        ),
        new(
            "JSON",
            one(now_ms + 3, 1.0),
            &[SNAPPY, ("Content-Type", "application/json")],
            415,
            "expected application/x-protobuf as the first (media) part, got application/json",
        ),
        new(
            "a bomb",
            vec![0x80, 0x80, 0x80, 0x20, 0, b'a'],
            USUAL,
            400,
            "decoded size exceeds the 33554432 bytes limit\n",
        ),
        old("good after all", one(now_ms + 5, 1.0), 204, ""),
    ]
}

fn send(address: SocketAddr, case: &Case) -> Answer {
    http::send(address, "POST", "/api/v1/write", case.headers, &case.body).unwrap()
}

#[test]
#[ignore = "needs prometheus"]
fn the_hub_refuses_bad_writes_as_prometheus_does() {
    let dir = tempfile::tempdir().unwrap();
    let (prometheus, hub) = (free_address(), free_address());
    let flags = ["--web.enable-remote-write-receiver"];
    let _prometheus = start_prometheus(dir.path(), prometheus, "global: {}\n", &flags);
    let _hub = start_hub(dir.path(), hub, "global: {}\n");
    let now_ms = now_ms();
    for case in cases(now_ms) {
        let ours = send(hub, &case);
        assert_eq!(ours.status, case.status, "{}: {}", case.what, ours.body);
        assert!(ours.body.starts_with(case.message), "{}: {}", case.what, ours.body);
        if case.is_old {
            let theirs = send(prometheus, &case);
            assert_eq!(ours.status, theirs.status, "{}: {}", case.what, theirs.body);
            assert!(theirs.body.starts_with(case.message), "{}: {}", case.what, theirs.body);
        }
    }
    let answer = http::get(hub, "/api/v1/write").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (405, "Method Not Allowed\n"));

    let stored = http::instant(hub, "m[5m]", now_ms + 5);
    assert_eq!(stored["result"].as_array().unwrap().len(), 1, "{stored}");
    assert_eq!(stored["result"][0]["values"].as_array().unwrap().len(), 2, "{stored}");
    let page = http::get(hub, "/metrics").unwrap().body;
    let counted = "prometheus_api_remote_write_invalid_labels_samples_total 3";
    assert!(page.lines().any(|line| line == counted), "{page}");
    let refused = r#"prometheus_http_requests_total{code="400",handler="/api/v1/write"} 9"#;
    assert!(page.lines().any(|line| line == refused), "{page}");
}

/// A target that always gives the same page.
fn start_target(page: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            // A client that goes away is no failure of the target.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(page);
        }
    });
    address
}

#[test]
#[ignore = "needs the built examples"]
fn a_bad_page_fails_its_target_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let pages: [(&str, &'static [u8], &str); 5] = [
        ("good", b"fine 1\n", ""),
        (
            "malformed",
            b"fine 1\nnot a sample line\n",
            r#"strconv.ParseFloat: parsing "a": invalid syntax"#,
        ),
        ("utf8", b"fine{a=\"\xff\xfe\"} 1\n", "invalid UTF-8 label value"),
        ("open", b"fine{a=\"b\n", ""),
        ("large", b"fine 1\n# a long comment that is over the limit of the job\n", "body size"),
    ];
    let (hub, agent) = (free_address(), free_address());
    let mut config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         remote_write: [{{url: 'http://{hub}/api/v1/receive'}}]\n\
         scrape_configs:\n"
    );
    for (job, page, _) in pages {
        let limit = if job == "large" { ", body_size_limit: 40B" } else { "" };
        let target = start_target(page);
        config.push_str(&format!(
            "- {{job_name: {job}, static_configs: [{{targets: ['{target}']}}]{limit}}}\n"
        ));
    }
    let _hub = start_hub(dir.path(), hub, "global: {}\n");
    let _agent = start_agent(dir.path(), agent, &config);
    wait_until("every target is scraped", || {
        let up = http::instant(hub, "count_over_time(up[1m]) >= 3", now_ms());
        up["result"].as_array().unwrap().len() == pages.len()
    });
    let up = http::instant(hub, "up == 1", now_ms());
    assert_eq!(up["result"].as_array().unwrap().len(), 1, "{up}");
    assert_eq!(up["result"][0]["metric"]["job"], "good");
    assert_eq!(http::instant(hub, "count(fine)", now_ms())["result"][0]["value"][1], "1");

    let targets = http::get(agent, "/api/v1/targets").unwrap().json();
    for target in targets["data"]["activeTargets"].as_array().unwrap() {
        let job = target["labels"]["job"].as_str().unwrap();
        let error = target["lastError"].as_str().unwrap();
        let (_, _, wanted) = pages.iter().find(|page| page.0 == job).unwrap();
        assert_eq!(error.is_empty(), job == "good", "{job}: {error}");
        assert!(error.contains(wanted), "{job}: {error}");
    }
}
