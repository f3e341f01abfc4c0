//! A proxy on loopback between a client and a server that breaks connections as a network does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// Nothing.
    Never,
    /// Answered with 503 before the server sees it.
    Unavailable,
    /// The server answers, and the client sees only so many bytes of it.
    AnswerAfter(usize),
    /// Closed at once.
    Refused,
}

/// Passes connections on, one request each, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    ends: Arc<AtomicBool>,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    /// Asks `script` for each connection, by its number.
    pub(crate) fn start(
        server: SocketAddr,
        script: impl Fn(u64) -> Break + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (ends, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_ending, count) = (Arc::clone(&ends), Arc::clone(&broken));
        thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if is_ending.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), how) = (client, script(number)) else { continue };
                count.fetch_add(u64::from(how != Break::Never), Ordering::Relaxed);
                // What the client makes of a broken connection is what is tested.
                thread::spawn(move || pass(client, server, how));
            }
        });
        Self { address, ends, broken }
    }

    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(mut client: TcpStream, server: SocketAddr, how: Break) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    if how == Break::Refused {
        return client.shutdown(Shutdown::Both);
    }
    let request = read_request(&mut client)?;
    if how == Break::Unavailable {
        let answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(answer.as_bytes());
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&request)?;
    let mut answer = Vec::new();
    upstream.set_read_timeout(Some(Duration::from_secs(30)))?;
    upstream.read_to_end(&mut answer)?;
    let end = match how {
        Break::AnswerAfter(bytes) => bytes.min(answer.len()),
        _ => answer.len(),
    };
    client.write_all(&answer[..end])?;
    client.shutdown(Shutdown::Both)
}

/// One request, its header changed so that the server closes behind the answer.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + length {
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let lines = head
        .trim_end()
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut out = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    out.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    out.extend_from_slice(&bytes[head_end..]);
    Ok(out)
}
