//! Programs are killed; what they acknowledged must be there afterwards.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::programs::{free_address, now_ms, start_agent, start_hub, wait_until};
use crate::remote_write;

const WRITERS: usize = 3;
const SERIES_A_WRITER: usize = 40;
const SAMPLES_A_BATCH: u64 = 10;
const KILLS: usize = 3;

/// Sends samples numbered from `first` until the hub is gone; returns behind the last
/// acknowledged one.
fn load(address: SocketAddr, writer: usize, first: u64, start_ms: i64, stop: &AtomicBool) -> u64 {
    let mut acknowledged = first;
    while !stop.load(Ordering::SeqCst) {
        let numbers = acknowledged..acknowledged + SAMPLES_A_BATCH;
        let samples: Vec<(i64, f64)> =
            numbers.map(|number| (start_ms + number as i64 * 5, number as f64)).collect();
        let writer = writer.to_string();
        let series = (0..SERIES_A_WRITER).map(|index| {
            let index = index.to_string();
            let labels = [("__name__", "load"), ("series", &*index), ("writer", &writer)];
            remote_write::series(&labels, &samples)
        });
        match remote_write::write(address, series.collect()) {
            Ok(answer) if answer.status == 204 => acknowledged += SAMPLES_A_BATCH,
            Ok(answer) => panic!("{}: {}", answer.status, answer.body),
            // The kill; the batch may be stored or not, it was not acknowledged.
            Err(_) => break,
        }
    }
    acknowledged
}

/// The values of every series that the query selects.
fn raw_values(address: SocketAddr, query: &str) -> Vec<Vec<u64>> {
    let data = http::instant(address, query, now_ms());
    let number = |point: &Value| point[1].as_str().unwrap().parse::<f64>().unwrap() as u64;
    let values = |series: &Value| series["values"].as_array().unwrap().iter().map(number).collect();
    data["result"].as_array().unwrap().iter().map(values).collect()
}

#[test]
#[ignore = "needs the built examples"]
fn a_killed_hub_keeps_every_acknowledged_sample() {
    let dir = tempfile::tempdir().unwrap();
    let hub = free_address();
    let start_ms = now_ms() - 9 * 60_000;
    let mut acknowledged: [Vec<Range<u64>>; WRITERS] = Default::default();
    for _ in 0..KILLS {
        let program = start_hub(dir.path(), hub, "global: {}\n");
        check_all_there(hub, &acknowledged);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    // The batch in flight at the last kill may be stored; it is not sent again.
                    let last = acknowledged[writer].last();
                    let first = last.map_or(0, |range| range.end + SAMPLES_A_BATCH);
                    let stop = &stop;
                    scope.spawn(move || first..load(hub, writer, first, start_ms, stop))
                })
                .collect();
            thread::sleep(Duration::from_secs(2));
            program.kill();
            stop.store(true, Ordering::SeqCst);
            for (writer, handle) in writers.into_iter().enumerate() {
                acknowledged[writer].push(handle.join().unwrap());
            }
        });
    }
    let ranges = acknowledged.iter().flatten();
    let counts: Vec<u64> = ranges.map(|range| range.end - range.start).collect();
    assert!(counts.iter().all(|count| *count > 20), "too little load: {counts:?}");
    let _program = start_hub(dir.path(), hub, "global: {}\n");
    check_all_there(hub, &acknowledged);
    let samples = counts.iter().sum::<u64>() * SERIES_A_WRITER as u64;
    eprintln!("{KILLS} kills, {samples} acknowledged samples, all there");
}

fn check_all_there(hub: SocketAddr, acknowledged: &[Vec<Range<u64>>; WRITERS]) {
    for (writer, ranges) in acknowledged.iter().enumerate().filter(|pair| !pair.1.is_empty()) {
        let series = raw_values(hub, &format!(r#"load{{writer="{writer}"}}[15m]"#));
        assert_eq!(series.len(), SERIES_A_WRITER);
        for values in series {
            let there: BTreeSet<u64> = values.into_iter().collect();
            let missing = ranges.iter().cloned().flatten().find(|number| !there.contains(number));
            assert_eq!(missing, None, "writer {writer}, acknowledged {ranges:?}");
        }
    }
}

/// A target whose every page says how many pages it has served.
fn start_counting_target(served: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).is_err() {
                continue;
            }
            let number = served.fetch_add(1, Ordering::SeqCst) + 1;
            let page = format!("# TYPE pages_served counter\npages_served {number}\n");
            let length = page.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n";
            // A killed client is no failure of the target.
            let _ =
                write!(stream, "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{page}");
        }
    });
    address
}

#[test]
#[ignore = "needs the built examples"]
fn an_agent_killed_while_the_hub_is_down_loses_nothing_it_scraped() {
    let dir = tempfile::tempdir().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let target = start_counting_target(Arc::clone(&served));
    let (hub, agent) = (free_address(), free_address());
    let config = format!(
        "global: {{external_labels: {{cluster: edge}}}}\n\
         scrape_configs:\n\
         - job_name: pages\n\
         \x20 scrape_interval: 200ms\n\
         \x20 scrape_timeout: 200ms\n\
         \x20 static_configs: [{{targets: ['{target}']}}]\n\
         remote_write:\n\
         - url: http://{hub}/api/v1/write\n\
         \x20 queue_config: {{batch_send_deadline: 500ms, max_backoff: 1s}}\n"
    );
    let hub_program = start_hub(dir.path(), hub, "global: {}\n");
    let agent_program = start_agent(dir.path(), agent, &config);
    let query = r#"pages_served{cluster="edge"}[10m]"#;
    wait_until("the first pages arrived", || {
        raw_values(hub, query).first().is_some_and(|values| values.len() >= 5)
    });
    hub_program.kill();
    let before = served.load(Ordering::SeqCst);
    wait_until("more pages were scraped", || served.load(Ordering::SeqCst) >= before + 20);
    agent_program.kill();
    // The page that was on its way when the agent died had not been scraped yet.
    let scraped = served.load(Ordering::SeqCst) - 1;

    let _agent_program = start_agent(dir.path(), agent, &config);
    let _hub_program = start_hub(dir.path(), hub, "global: {}\n");
    wait_until("new pages arrive", || {
        let series = raw_values(hub, query);
        series.first().is_some_and(|values| values.last() > Some(&(scraped + 5)))
    });
    let there: BTreeSet<u64> = raw_values(hub, query).into_iter().flatten().collect();
    let missing: Vec<u64> = (1..=scraped).filter(|number| !there.contains(number)).collect();
    assert_eq!(missing, Vec::<u64>::new(), "of {scraped} pages");
    eprintln!("{scraped} pages scraped before the kill, all there");
}
