//! The smallest HTTP client that does: one request a connection, HTTP/1.0, so that no server
//! answers in chunks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON; a body that is none fails the test with its text.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in answer {}: {}", self.status, self.body))
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    send(address, "GET", path, &[], &[])
}

pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    // A server that refuses early may close before it has read all; its answer still counts.
    let written = stream.write_all(body);
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(_) if !bytes.is_empty() => {}
        Err(error) => return written.and(Err(error)),
    }
    parse(&bytes).ok_or_else(|| io::Error::other("no HTTP answer"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Asks an instant query at `time_ms`; an error answer fails the test.
pub(crate) fn instant(address: SocketAddr, query: &str, time_ms: i64) -> Value {
    let time = format!("{}.{:03}", time_ms / 1000, time_ms % 1000);
    let path = format!("/api/v1/query?query={}&time={time}", escape(query));
    data(address, query, &path)
}

/// Asks a range query; an error answer fails the test.
pub(crate) fn range(address: SocketAddr, query: &str, range_ms: (i64, i64), step_s: u32) -> Value {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let (start, end) = (seconds(range_ms.0), seconds(range_ms.1));
    let query_text = escape(query);
    let path =
        format!("/api/v1/query_range?query={query_text}&start={start}&end={end}&step={step_s}");
    data(address, query, &path)
}

fn data(address: SocketAddr, query: &str, path: &str) -> Value {
    let answer = get(address, path).unwrap();
    let json = answer.json();
    assert_eq!(json["status"], "success", "{query}: {}", answer.body);
    json["data"].clone()
}
