//! Google's XML interface in front of an emulator that has the JSON one only.
//!
//! Clients of the XML interface, as ours is, could not talk to the emulator. What they put, read,
//! list and delete is the emulator's; conditions and the parts of large objects are kept here.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::faults::read_request;
use super::servers::http_date;
use crate::http::escape;

type Parts = BTreeMap<u32, Vec<u8>>;

/// Translates for one emulator, until the test ends.
struct Translator {
    emulator: SocketAddr,
    /// Parts of the uploads that are not complete; held while an object is compared and written.
    uploads: Mutex<BTreeMap<String, Parts>>,
}

struct Request {
    method: String,
    bucket: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Status, headers, body.
type Response = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Starts a translator for `emulator`; returns where it listens.
pub(crate) fn translate(emulator: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let translator = Arc::new(Translator { emulator, uploads: Mutex::default() });
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let translator = Arc::clone(&translator);
            // A client that goes away is no failure of the test.
            thread::spawn(move || translator.serve(client));
        }
    });
    address
}

fn plain(status: u16, body: &str) -> Response {
    (status, Vec::new(), body.as_bytes().to_vec())
}

fn no_such_key() -> Response {
    plain(404, "<Error><Code>NoSuchKey</Code></Error>")
}

fn no_such_bucket() -> Response {
    plain(404, "<Error><Code>NoSuchBucket</Code></Error>")
}

impl Translator {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let request = parse(&read_request(&mut client)?);
        let is_head = request.method == "HEAD";
        let (status, headers, body) = self.answer(&request)?;
        let mut out = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        client.write_all(out.as_bytes())?;
        if is_head { Ok(()) } else { client.write_all(&body) }
    }

    fn answer(&self, request: &Request) -> io::Result<Response> {
        if request.key.is_empty() {
            return self.list(request);
        }
        match request.method.as_str() {
            "GET" | "HEAD" => self.read(request),
            "DELETE" if request.query.contains_key("uploadId") => {
                self.uploads.lock().unwrap().remove(&request.query["uploadId"]);
                Ok(plain(204, ""))
            }
            "DELETE" => {
                let path = format!("/storage/v1/b/{}/o/{}", request.bucket, escape(&request.key));
                let (status, _) = self.ask("DELETE", &path, &[])?;
                Ok(if status == 404 { no_such_key() } else { plain(204, "") })
            }
            _ => self.write(request),
        }
    }

    fn list(&self, request: &Request) -> io::Result<Response> {
        let ask = |name: &str| escape(request.query.get(name).map_or("", String::as_str));
        let mut path = format!("/storage/v1/b/{}/o?prefix={}", request.bucket, ask("prefix"));
        if request.query.contains_key("delimiter") {
            path.push_str(&format!("&delimiter={}", ask("delimiter")));
        }
        let (status, body) = self.ask("GET", &path, &[])?;
        if status == 404 {
            return Ok(no_such_bucket());
        }
        let json: Value = serde_json::from_slice(&body).unwrap();
        let mut xml = "<ListBucketResult>".to_owned();
        for item in json["items"].as_array().into_iter().flatten() {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            xml.push_str(&format!(
                "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified>\
                 <ETag>\"{}\"</ETag></Contents>",
                text("name"),
                text("size"),
                text("updated"),
                text("generation"),
            ));
        }
        for prefix in json["prefixes"].as_array().into_iter().flatten() {
            let prefix = prefix.as_str().unwrap();
            xml.push_str(&format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"));
        }
        Ok(plain(200, &format!("{xml}</ListBucketResult>")))
    }

    fn generation(&self, request: &Request) -> io::Result<Option<u64>> {
        let path = format!("/storage/v1/b/{}/o/{}", request.bucket, escape(&request.key));
        let (status, body) = self.ask("GET", &path, &[])?;
        if status == 404 {
            return Ok(None);
        }
        let json: Value = serde_json::from_slice(&body).unwrap();
        Ok(Some(json["generation"].as_str().unwrap().parse().unwrap()))
    }

    fn read(&self, request: &Request) -> io::Result<Response> {
        let Some(generation) = self.generation(request)? else { return Ok(no_such_key()) };
        let path = format!("/download/storage/v1/b/{}/o/{}", request.bucket, escape(&request.key));
        let (_, body) = self.ask("GET", &path, &[])?;
        let mut headers = vec![
            ("ETag", format!("\"{generation}\"")),
            ("x-goog-generation", generation.to_string()),
            ("Last-Modified", http_date((generation / 1_000_000) as i64)),
        ];
        let Some(range) = request.headers.get("range") else { return Ok((200, headers, body)) };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let end = last.parse().map_or(body.len(), |last: usize| body.len().min(last + 1));
        if first >= body.len() {
            return Ok(plain(416, "<Error><Code>InvalidRange</Code></Error>"));
        }
        headers.push(("Content-Range", format!("bytes {first}-{}/{}", end - 1, body.len())));
        Ok((206, headers, body[first..end].to_vec()))
    }

    fn write(&self, request: &Request) -> io::Result<Response> {
        let mut uploads = self.uploads.lock().unwrap();
        if request.query.contains_key("uploads") {
            let id = format!("upload-{}", uploads.len());
            uploads.insert(id.clone(), Parts::new());
            let xml = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                 </InitiateMultipartUploadResult>"
            );
            return Ok(plain(200, &xml));
        }
        let Some(id) = request.query.get("uploadId") else {
            return self.insert(request, &request.body);
        };
        let parts = uploads.get_mut(id).unwrap();
        if let Some(number) = request.query.get("partNumber") {
            parts.insert(number.parse().unwrap(), request.body.clone());
            return Ok((200, vec![("ETag", format!("\"{number}\""))], Vec::new()));
        }
        let whole: Vec<u8> = parts.values().flatten().copied().collect();
        let (status, headers, _) = self.insert(request, &whole)?;
        let xml = "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag>\
                   </CompleteMultipartUploadResult>";
        Ok((status, headers, xml.as_bytes().to_vec()))
    }

    fn insert(&self, request: &Request, body: &[u8]) -> io::Result<Response> {
        if let Some(wanted) = request.headers.get("x-goog-if-generation-match") {
            let found = self.generation(request)?.unwrap_or(0);
            if found.to_string() != *wanted {
                return Ok(plain(412, "<Error><Code>PreconditionFailed</Code></Error>"));
            }
        }
        let (bucket, name) = (&request.bucket, escape(&request.key));
        let path = format!("/upload/storage/v1/b/{bucket}/o");
        let (status, body) = if body.is_empty() {
            // The emulator cannot take an empty body.
            let empty = format!(
                "--x\r\nContent-Type: application/json\r\n\r\n{{\"name\":\"{}\"}}\r\n--x\r\n\
                 Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n",
                request.key
            );
            let kind = "multipart/related; boundary=x";
            self.ask_as(kind, "POST", &format!("{path}?uploadType=multipart"), empty.as_bytes())?
        } else {
            self.ask("POST", &format!("{path}?uploadType=media&name={name}"), body)?
        };
        if status == 404 {
            return Ok(no_such_bucket());
        }
        let json: Value = serde_json::from_slice(&body).unwrap();
        let generation = json["generation"].as_str().unwrap().to_owned();
        let headers =
            vec![("ETag", format!("\"{generation}\"")), ("x-goog-generation", generation)];
        Ok((200, headers, Vec::new()))
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.ask_as("application/octet-stream", method, path, body)
    }

    fn ask_as(
        &self,
        kind: &str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.emulator)?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n",
            self.emulator
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)? + 4;
        let status = String::from_utf8_lossy(&answer[..end]);
        let status = status.split_whitespace().nth(1).unwrap().parse().unwrap();
        Ok((status, answer.split_off(end)))
    }
}

fn parse(bytes: &[u8]) -> Request {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split_whitespace();
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let path = decoded(path.trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    Request {
        method,
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        query: pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect(),
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' && after.len() > 1 {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).unwrap()
}
