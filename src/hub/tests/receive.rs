//! Requests of senders, good and bad, over a real storage on a disk in memory.

use std::path::Path;

use prost::Message;

use super::*;
use crate::disk::{Crash, FaultyDisk, MemoryDisk, SharedDisk};
use crate::model::histogram::HistogramError;
use crate::model::{Labels, Matcher, Sample};
use crate::series::{AppendError, Batch, Column, OnReject, Outcome, Select, TimeRange, Verdict};
use crate::storage::db::{Tsdb, TsdbOptions};
use crate::wire::prompb;
use crate::wire::remote_write::{snappy, v1};

const HEADERS: [(&str, &str); 2] =
    [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
const T: i64 = NOW_MS;

fn open_on(disk: SharedDisk) -> Arc<Tsdb> {
    let options = TsdbOptions { background: false, ..TsdbOptions::default() };
    let clock = Arc::new(ManualClock::at(NOW_MS));
    Arc::new(Tsdb::open(disk, clock, Path::new("data"), options, &Registry::new()).unwrap())
}

fn open() -> Arc<Tsdb> {
    open_on(Arc::new(MemoryDisk::default()))
}

fn packed(message: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    snappy::encode(&mut snap::raw::Encoder::new(), message, &mut body).unwrap();
    body
}

type Samples<'a> = &'a [(i64, f64)];

/// A request in which series are written as `name;label=value` with their samples.
fn request(series: &[(&str, Samples<'_>)]) -> Vec<u8> {
    let label = |(name, value): (&str, &str)| prompb::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let one = |(text, samples): &(&str, &[(i64, f64)])| {
        let (name, rest) = text.split_once(';').unwrap_or((text, ""));
        let name = Some(("__name__", name)).filter(|pair| !pair.1.is_empty());
        let pairs = rest.split(';').filter_map(|pair| pair.split_once('='));
        prompb::TimeSeries {
            labels: name.into_iter().chain(pairs).map(label).collect(),
            samples: samples
                .iter()
                .map(|(timestamp, value)| prompb::Sample { value: *value, timestamp: *timestamp })
                .collect(),
            ..prompb::TimeSeries::default()
        }
    };
    let timeseries = series.iter().map(one).collect();
    packed(&prompb::WriteRequest { timeseries, ..Default::default() }.encode_to_vec())
}

fn post(hub: &TestHub, body: &[u8]) -> (u16, String) {
    let answer = hub.ask("POST", "/api/v1/write", &HEADERS, body);
    (answer.status, answer.text().to_owned())
}

/// All samples of a metric, whatever the other labels.
fn samples(store: &dyn Queryable, name: &str) -> Vec<(i64, f64)> {
    let ask = Select::new(vec![Matcher::equal("__name__", name)], TimeRange::ALL);
    let mut column = Column::new();
    for series in store.select(&ask).unwrap().series {
        series.read(TimeRange::ALL, &mut column).unwrap();
    }
    column.timestamps.into_iter().zip(column.floats).collect()
}

#[test]
fn an_acknowledged_sample_outlives_the_process() {
    let disk = FaultyDisk::new();
    let db = open_on(disk.shared());
    let hub = TestHub::with(db.clone(), ReceiveOptions::default());
    assert_eq!(post(&hub, &request(&[("a;x=1", &[(T - 2, 1.0), (T - 1, 2.0)])])).0, 204);
    let body = request(&[("a;x=1", &[(T, 3.0)]), ("b", &[(T, 4.0)])]);
    for path in ["/api/v1/write", "/api/v1/receive"] {
        let answer = hub.ask("POST", path, &HEADERS, &body);
        assert_eq!((answer.status, answer.text()), (204, ""), "a repetition is no failure");
    }
    let wanted = [(T - 2, 1.0), (T - 1, 2.0), (T, 3.0)];
    assert_eq!(samples(&*db, "a"), wanted);
    assert_eq!(hub.counted("promlite_receive_requests_total", "stored"), 3.0);
    let reopened = open_on(disk.crash(Crash::Process).shared());
    assert_eq!(samples(&*reopened, "a"), wanted);
    assert_eq!(samples(&*reopened, "b"), [(T, 4.0)]);
}

#[test]
fn one_sample_out_of_order_rolls_its_request_back() {
    let db = open();
    let hub = TestHub::with(db.clone(), ReceiveOptions::default());
    assert_eq!(post(&hub, &request(&[("a", &[(T, 1.0)])])).0, 204);
    let rows: [(Samples<'_>, &str, &str); 4] = [
        (&[(T - 5000, 2.0)], "out of order sample\n", "out_of_order"),
        (&[(T - 5_000_000, 2.0)], "out of bounds\n", "out_of_bounds"),
        (
            &[(T, 2.0)],
            "duplicate sample for timestamp 1700000100000; overrides not allowed\n",
            "duplicate_timestamp",
        ),
        (
            &[(T + 600_001, 2.0)],
            "out of bounds: timestamp is too far in the future\n",
            "out_of_bounds",
        ),
    ];
    for (bad, text, reason) in rows {
        let before = hub.counted("promlite_receive_samples_rejected_total", reason);
        let got = post(&hub, &request(&[("good", &[(T, 1.0)]), ("a", bad)]));
        assert_eq!(got, (400, text.to_owned()));
        let after = hub.counted("promlite_receive_samples_rejected_total", reason);
        assert_eq!(after - before, 1.0, "{reason}");
    }
    assert_eq!(samples(&*db, "good"), []);
    assert_eq!(samples(&*db, "a"), [(T, 1.0)]);
    assert_eq!(hub.counted("promlite_receive_samples_rejected_total", "rolled_back"), 4.0);
    assert_eq!(post(&hub, &request(&[("a", &[(T + 600_000, 2.0)])])).0, 204);
}

#[test]
fn samples_that_conflict_within_a_request_cost_only_themselves() {
    let db = open();
    let hub = TestHub::with(db.clone(), ReceiveOptions::default());
    let body = request(&[
        ("a", &[(T, 1.0), (T - 10, 2.0), (T, 3.0), (T + 10, 4.0)]),
        ("a", &[(T + 10, 5.0), (T + 20, 6.0)]),
        ("b", &[(T, 7.0)]),
    ]);
    assert_eq!(post(&hub, &body), (204, String::new()));
    assert_eq!(samples(&*db, "a"), [(T, 1.0), (T + 10, 4.0), (T + 20, 6.0)]);
    assert_eq!(samples(&*db, "b"), [(T, 7.0)]);
    let reason = "conflict_in_request";
    assert_eq!(hub.counted("promlite_receive_samples_rejected_total", reason), 3.0);
    // What conflicts with what was stored before still rolls its request back.
    let body = request(&[("a", &[(T, 8.0), (T + 30, 9.0), (T + 30, 1.0)]), ("c", &[(T, 1.0)])]);
    assert_eq!(post(&hub, &body).0, 400);
    assert_eq!(samples(&*db, "c"), []);
}

#[test]
fn a_series_with_invalid_labels_is_skipped_and_counted() {
    let db = open();
    let hub = TestHub::with(db.clone(), ReceiveOptions::default());
    let one: &[(i64, f64)] = &[(T, 1.0)];
    let body = request(&[
        (";x=1", one),
        ("twice;x=1;x=2", one),
        ("nameless;=1", one),
        ("unsorted;z=1;a=2", one),
    ]);
    assert_eq!(post(&hub, &body), (204, String::new()));
    // A label whose value is no UTF-8, which no honest sender can write.
    let latin1 = b"\x0a\x20\x0a\x0d\x0a\x08__name__\x12\x01u\x0a\x03\x12\x01\xff\x12\x0a\
        \x09\0\0\0\0\0\0\xf0\x3f\x10";
    let broken = [&latin1[..], &[1]].concat();
    let status = post(&hub, &packed(&broken)).0;
    assert!(status == 204 || status == 400, "{status}");
    assert_eq!(samples(&*db, "unsorted"), one);
    assert_eq!(samples(&*db, "twice"), []);
    let name = "prometheus_api_remote_write_invalid_labels_samples_total";
    assert!(hub.counted(name, "") >= 3.0);
}

/// What a store was given, as text; and which samples it refuses for what.
#[derive(Default)]
struct Recording {
    rows: parking_lot::Mutex<Vec<String>>,
    refuse: Vec<(usize, Verdict)>,
}

impl Append for Recording {
    fn append(&self, batch: &mut Batch, _: OnReject) -> Result<Outcome, AppendError> {
        batch.reset_verdicts();
        let is_fatal = |verdict: &Verdict| *verdict != Verdict::SeriesLimit;
        let accepted = match self.refuse.iter().any(|(_, verdict)| is_fatal(verdict)) {
            true => 0,
            false => batch.sample_count() - self.refuse.len(),
        };
        for (index, verdict) in &self.refuse {
            batch.set_verdict(*index, *verdict);
        }
        let mut rows = self.rows.lock();
        for entry in 0..batch.series_count() {
            for index in batch.sample_range(entry) {
                let (labels, sample) = (batch.labels(entry), batch.samples()[index]);
                let what = match batch.histogram(index) {
                    Some(one) => format!("{:?} {:?}", one.layout.positive, one.counts),
                    None => sample.value.to_string(),
                };
                rows.push(format!("{labels} {} {what}", sample.timestamp_ms - T));
            }
        }
        for (entry, exemplar) in batch.exemplars() {
            let labels = batch.labels(*entry);
            rows.push(format!("{labels} {} {}", exemplar.labels, exemplar.value));
        }
        Ok(Outcome { accepted, rejected: self.refuse.len(), ..Outcome::default() })
    }
}

fn hub_over(store: Arc<Recording>) -> TestHub {
    let hub = TestHub::not_ready(ReceiveOptions::default());
    hub.service.open(Store::only(Arc::new(ModelStore::new()), store, HeadStatus::default));
    hub
}

#[test]
fn histograms_and_exemplars_are_handed_to_the_store() {
    let store = Arc::new(Recording::default());
    let hub = hub_over(store.clone());
    let label = |name: &str, value: &str| prompb::Label { name: name.into(), value: value.into() };
    let histogram = |timestamp| prompb::Histogram {
        count: Some(prompb::HistogramCount::Int(3)),
        positive_spans: vec![prompb::BucketSpan { offset: 1, length: 2 }],
        positive_deltas: vec![1, 1],
        timestamp,
        ..Default::default()
    };
    let exemplar =
        |name: &str| prompb::Exemplar { labels: vec![label(name, "x")], value: 0.5, timestamp: T };
    let timeseries = vec![
        prompb::TimeSeries {
            labels: vec![label("__name__", "h")],
            histograms: vec![histogram(T), histogram(T + 1)],
            // The second has no label set, which is worth no refusal.
            exemplars: vec![exemplar("trace_id"), exemplar("")],
            ..Default::default()
        },
        prompb::TimeSeries {
            labels: vec![label("__name__", "e")],
            exemplars: vec![exemplar("id")],
            ..Default::default()
        },
        prompb::TimeSeries { labels: vec![label("__name__", "empty")], ..Default::default() },
    ];
    let message = |timeseries| {
        packed(&prompb::WriteRequest { timeseries, ..Default::default() }.encode_to_vec())
    };
    assert_eq!(post(&hub, &message(timeseries)), (204, String::new()));
    let counts = "Integer { count: 3, zero_count: 0, buckets: [1, 2] }";
    let spans = "[Span { offset: 1, length: 2 }]";
    let want = [
        format!(r#"{{__name__="h"}} 0 {spans} {counts}"#),
        format!(r#"{{__name__="h"}} 1 {spans} {counts}"#),
        r#"{__name__="h"} {trace_id="x"} 0.5"#.to_owned(),
        r#"{__name__="e"} {id="x"} 0.5"#.to_owned(),
    ];
    assert_eq!(*store.rows.lock(), want);
    assert_eq!(hub.counted("promlite_receive_samples_accepted_total", ""), 2.0);
    assert_eq!(hub.counted("promlite_receive_exemplars_accepted_total", ""), 2.0);
    let too_far = prompb::TimeSeries {
        labels: vec![label("__name__", "h")],
        histograms: vec![histogram(T + 600_001)],
        ..Default::default()
    };
    let (status, text) = post(&hub, &message(vec![too_far]));
    assert_eq!(
        (status, text.as_str()),
        (400, "out of bounds: timestamp is too far in the future\n")
    );
    assert_eq!(store.rows.lock().len(), 4);
}

#[test]
fn a_limit_of_series_keeps_only_new_series_out() {
    let refuse = vec![(1, Verdict::SeriesLimit)];
    let hub = hub_over(Arc::new(Recording { refuse, ..Recording::default() }));
    let body = request(&[("old", &[(T, 1.0)]), ("new;a=b", &[(T, 2.0)])]);
    let want = "series limit reached: 1 samples of new series were not stored, such as of \
        {__name__=\"new\", a=\"b\"}\n";
    assert_eq!(post(&hub, &body), (400, want.to_owned()));
    assert_eq!(hub.counted("promlite_receive_samples_accepted_total", ""), 1.0);
    assert_eq!(hub.counted("promlite_receive_samples_rejected_total", "series_limit"), 1.0);
    assert_eq!(hub.counted("promlite_receive_requests_total", "partial"), 1.0);
}

#[test]
fn an_invalid_histogram_refuses_the_request_in_prometheus_words() {
    let error = HistogramError::NegativeBucket;
    let refuse = vec![(0, Verdict::SeriesLimit), (1, Verdict::InvalidHistogram(error))];
    let hub = hub_over(Arc::new(Recording { refuse, ..Recording::default() }));
    let body = request(&[("a", &[(T, 1.0)]), ("b", &[(T, 2.0)])]);
    let want = "histogram has a bucket whose observation count is negative\n";
    assert_eq!(post(&hub, &body), (400, want.to_owned()));
    assert_eq!(hub.counted("promlite_receive_samples_rejected_total", "invalid_histogram"), 1.0);
    assert_eq!(hub.counted("promlite_receive_requests_total", "refused"), 1.0);
}

#[test]
fn headers_decide_before_the_body_is_read() {
    let hub = TestHub::with(open(), ReceiveOptions::default());
    let body = request(&[("a", &[(T, 1.0)])]);
    let (encoding, content_type) = ("Content-Encoding", "Content-Type");
    let v2 = "io.prometheus.write.v2.Request protobuf message is not accepted by this server; \
              only accepts prometheus.WriteRequest: remote write 2.0 is not supported yet\n";
    let rows = [
        (encoding, "snappy", 204, ""),
        (content_type, "application/x-protobuf", 204, ""),
        (content_type, "application/x-protobuf;proto=prometheus.WriteRequest", 204, ""),
        (content_type, "application/x-protobuf; charset=utf-8", 204, ""),
        (content_type, "application/x-protobuf;proto=io.prometheus.write.v2.Request", 415, v2),
        (content_type, "application/x-protobuf; proto=io.prometheus.write.v2.Request", 415, v2),
        (
            encoding,
            "gzip",
            415,
            "gzip encoding (compression) is not accepted by this server; \
             only snappy is acceptable\n",
        ),
        (
            content_type,
            "text/plain",
            415,
            "expected application/x-protobuf as the first (media) part, \
             got text/plain content-type\n",
        ),
        (
            content_type,
            "application/x-protobuf;proto=x.Y",
            415,
            "got application/x-protobuf;proto=x.Y content type; unknown type for remote write \
             protobuf message x.Y, supported: prometheus.WriteRequest, \
             io.prometheus.write.v2.Request\n",
        ),
        (
            content_type,
            "application/x-protobuf;proto",
            415,
            "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be \
             key-values, got proto in application/x-protobuf;proto content-type\n",
        ),
    ];
    for (name, value, status, text) in rows {
        let answer = hub.ask("POST", "/api/v1/write", &[(name, value)], &body);
        assert_eq!((answer.status, answer.text()), (status, text), "{name}: {value}");
    }
}

#[test]
fn bodies_that_are_no_requests_are_refused() {
    let small = ReceiveOptions { request_bytes_max: 1000, ..ReceiveOptions::default() };
    let hub = TestHub::with(open(), small);
    let too_large = "request body exceeds the 1000 bytes limit\n";
    let bomb = packed(&[0; 1001]);
    let cut = {
        let mut message = v1::Request::new();
        let labels = Labels::from_pairs([("__name__", "a")]).unwrap();
        message.push(labels.as_ref(), &[Sample { timestamp_ms: T, value: 1.0 }]);
        packed(&message.message()[..20])
    };
    let rows: [(&[u8], u16, &str); 7] = [
        (b"", 400, "s2: corrupt input\n"),
        (b"hello", 400, "s2: corrupt input\n"),
        (&[0; 1001], 413, too_large),
        (&bomb, 400, "decoded size exceeds the 1000 bytes limit\n"),
        (&cut, 400, "unexpected EOF\n"),
        (&packed(b"\xff\xff\xff\xff garbage"), 400, "proto: illegal wireType 7\n"),
        (&packed(b""), 204, ""),
    ];
    for (body, status, text) in rows {
        assert_eq!(post(&hub, body), (status, text.to_owned()));
    }
    let chunked = [HEADERS[0], ("Transfer-Encoding", "chunked")];
    let endless = [&b"7d0\r\n"[..], &[0; 2000], b"\r\n0\r\n\r\n"].concat();
    let answer = hub.ask("POST", "/api/v1/write", &chunked, &endless);
    assert_eq!((answer.status, answer.text()), (413, too_large));
    let body = request(&[("a", &[(T, 1.0)])]);
    let whole = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(hub.ask("POST", "/api/v1/write", &chunked, &whole).status, 204);
    assert_eq!(hub.counted("promlite_receive_requests_total", "refused"), 7.0);
}

#[test]
fn labels_over_a_limit_keep_only_their_series_out() {
    let limits = ReceiveOptions {
        labels_max: 3,
        label_name_bytes_max: 10,
        label_value_bytes_max: 12,
        ..ReceiveOptions::default()
    };
    let db = open();
    let hub = TestHub::with(db.clone(), limits);
    let rows = [
        ("bad;a=1;b=2;c=3", "label_limit exceeded (metric: bad, number of labels: 4, limit: 3)\n"),
        (
            "bad;name_of_eleven=1",
            "label_name_length_limit exceeded (metric: bad, label name: name_of_eleven, \
             length: 14, limit: 10)\n",
        ),
        (
            "bad;a=a value too long",
            "label_value_length_limit exceeded (metric: bad, label name: a, \
             value: \"a value too long\", length: 16, limit: 12)\n",
        ),
    ];
    for (index, (bad, text)) in rows.into_iter().enumerate() {
        let time = T + index as i64;
        let body = request(&[(bad, &[(time, 1.0)]), ("good;a=1;b=2", &[(time, 1.0)])]);
        assert_eq!(post(&hub, &body), (400, text.to_owned()));
    }
    assert_eq!(samples(&*db, "bad"), []);
    assert_eq!(samples(&*db, "good").len(), 3);
    assert_eq!(hub.counted("promlite_receive_series_over_limit_total", ""), 3.0);
}

/// Refuses everything for one reason.
struct Refusing(AppendError);

impl Append for Refusing {
    fn append(&self, _: &mut Batch, _: OnReject) -> Result<Outcome, AppendError> {
        Err(self.0.clone())
    }
}

#[test]
fn a_store_that_fails_makes_the_sender_try_again() {
    let rows = [
        (AppendError::Log("disk full".into()), 500, "write to WAL: disk full\n"),
        (AppendError::Unavailable("closing".into()), 503, "not available: closing\n"),
        (AppendError::TooManySeries { limit: 7 }, 429, "series limit of 7 reached\n"),
    ];
    for (error, status, text) in rows {
        let hub = TestHub::not_ready(ReceiveOptions::default());
        hub.service.open(Store::only(
            Arc::new(ModelStore::new()),
            Arc::new(Refusing(error)),
            HeadStatus::default,
        ));
        let got = post(&hub, &request(&[("a", &[(T, 1.0)])]));
        assert_eq!(got, (status, text.to_owned()));
        assert_eq!(hub.counted("promlite_receive_samples_accepted_total", ""), 0.0);
    }
}

#[test]
fn many_senders_at_once_lose_nothing() {
    let options = ReceiveOptions {
        // Less than two requests, so that they wait for one another.
        waiting_bytes_max: 4096,
        parallel_max: 2,
        ..ReceiveOptions::default()
    };
    let db = open();
    let hub = TestHub::with(db.clone(), options);
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let hub = &hub;
            scope.spawn(move || {
                let name = format!("m;sender={sender}");
                for step in 0..20 {
                    let time = T + step * 1000;
                    assert_eq!(post(hub, &request(&[(&name, &[(time, 1.0)])])).0, 204);
                }
            });
        }
    });
    assert_eq!(samples(&*db, "m").len(), 160);
    assert_eq!(hub.counted("promlite_receive_samples_accepted_total", ""), 160.0);
}
