//! Writing to a server over remote write 1.0, as any client would.

use std::io;
use std::net::SocketAddr;

use promlite::wire::prompb::{Label, Sample, TimeSeries, WriteRequest};
use prost::Message;

use crate::http::{self, Answer};

pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label =
        |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let sample = |(timestamp, value): &(i64, f64)| Sample { timestamp: *timestamp, value: *value };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

pub(crate) fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let request = WriteRequest { timeseries, ..WriteRequest::default() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

pub(crate) fn write(address: SocketAddr, timeseries: Vec<TimeSeries>) -> io::Result<Answer> {
    write_body(address, &body(timeseries))
}

pub(crate) fn write_body(address: SocketAddr, body: &[u8]) -> io::Result<Answer> {
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    http::send(address, "POST", "/api/v1/write", &headers, body)
}
