//! Thanos's tables of what a store answers.

use super::*;

#[derive(Deserialize)]
struct Group {
    desc: String,
    samples: Vec<SampleRow>,
    label_names: Vec<Call>,
    label_values: Vec<Call>,
    series: Vec<SeriesCall>,
}

#[derive(Deserialize)]
struct SampleRow {
    labels: std::collections::BTreeMap<String, String>,
    time: String,
}

#[derive(Deserialize)]
struct Call {
    start: String,
    end: String,
    #[serde(default)]
    label: String,
    matchers: Vec<(String, String, String)>,
    #[serde(default)]
    expect: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct SeriesCall {
    start: String,
    end: String,
    matchers: Vec<(String, String, String)>,
    skip_chunks: bool,
    expect: Vec<std::collections::BTreeMap<String, String>>,
}

fn time_ms(text: &str) -> i64 {
    match text {
        "min" => i64::MIN,
        "max" => i64::MAX,
        "now" => NOW_MS,
        "now-4h" => NOW_MS - 4 * HOUR_MS,
        "epoch" => 0,
        other => panic!("{other}"),
    }
}

fn op(text: &str) -> MatchOp {
    let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    all.into_iter().find(|op| op.text() == text).unwrap()
}

fn conditions(rows: &[(String, String, String)]) -> (Vec<Matcher>, Vec<LabelMatcher>) {
    let matcher = |(name, text, value): &(String, String, String)| {
        Matcher::new(name, op(text), value).unwrap()
    };
    let matchers: Vec<Matcher> = rows.iter().map(matcher).collect();
    let kind = |op| match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    let written = rows.iter().map(|(name, text, value)| LabelMatcher {
        kind: kind(op(text)),
        name: name.clone(),
        value: value.clone(),
    });
    (matchers, written.collect())
}

fn acceptance() -> Vec<Group> {
    let text = include_str!("../../../../testdata/thanos/storeapi/acceptance.json");
    serde_json::from_str(text).unwrap()
}

fn fill(group: &Group) -> Tsdb {
    let db = tsdb();
    let mut appender = db.appender();
    for sample in &group.samples {
        let labels = Labels::from_pairs(&sample.labels).unwrap();
        let series = appender.series(&labels).unwrap();
        appender.push(series, time_ms(&sample.time), 1.0);
    }
    appender.commit().unwrap();
    db
}

/// The groups of Thanos's acceptance suite for every kind of store, asked as that suite asks.
fn accept(served: &Served, group: &Group) -> usize {
    let replica = vec!["replica".to_owned()];
    for call in &group.label_names {
        let request = LabelNamesRequest {
            start_ms: time_ms(&call.start),
            end_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            without_replica_labels: replica.clone(),
            ..LabelNamesRequest::default()
        };
        let answer = served.unary("/thanos.Store/LabelNames", &request);
        let answer: LabelNamesResponse = answer.unwrap();
        assert_eq!(answer.names, call.expect, "{}: {request:?}", group.desc);
    }
    for call in &group.label_values {
        let request = LabelValuesRequest {
            label: call.label.clone(),
            start_ms: time_ms(&call.start),
            end_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            without_replica_labels: replica.clone(),
            ..LabelValuesRequest::default()
        };
        let answer = served.unary::<LabelValuesResponse>("/thanos.Store/LabelValues", &request);
        match (answer, &call.error) {
            (Ok(answer), None) => {
                assert_eq!(answer.values, call.expect, "{}: {request:?}", group.desc);
            }
            (Err(status), Some(error)) => {
                let told =
                    format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
                assert_eq!(told, *error);
            }
            (answer, error) => panic!("{}: {answer:?}, not {error:?}", group.desc),
        }
    }
    for call in &group.series {
        let request = SeriesRequest {
            min_time_ms: time_ms(&call.start),
            max_time_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            skip_chunks: call.skip_chunks,
            without_replica_labels: replica.clone(),
            ..SeriesRequest::default()
        };
        let (series, warnings) = served.series(&request).unwrap();
        let found: Vec<Labels> = series.iter().map(labels_of).collect();
        let expect = call.expect.iter().map(|set| Labels::from_pairs(set).unwrap());
        assert_eq!(found, expect.collect::<Vec<_>>(), "{}: {request:?}", group.desc);
        assert!(warnings.is_empty());
        assert!(series.iter().all(|one| one.chunks.is_empty() == call.skip_chunks));
    }
    group.label_names.len() + group.label_values.len() + group.series.len()
}

#[test]
fn a_storage_is_accepted_as_a_store() {
    let external = labels([("region", "eu-west")]);
    let calls: usize =
        acceptance().iter().map(|group| accept(&leaf(&fill(group), &external), group)).sum();
    assert_eq!(calls, 72);
}

/// As Thanos's suite for queriers: two replicas of the same data, merged.
#[test]
fn two_replicas_are_accepted_as_one_store() {
    let mut calls = 0;
    for group in acceptance() {
        let replica = |name| labels([("region", "eu-west"), ("replica", name)]);
        let source = |labels: &Labels| -> Arc<dyn Queryable> {
            Arc::new(External::new(Arc::new(fill(&group)), labels.clone()))
        };
        let sets = vec![replica("r1"), replica("r2")];
        let merged = Merged::new(sets.iter().map(source).collect());
        let info = StoreInfo { label_sets: sets, ..anything() };
        let served = Served::new(Arc::new(merged), info);
        // Who has several sets of labels does not know the values of one without a look.
        if group.samples.is_empty() {
            continue;
        }
        let mut group = group;
        for call in &mut group.series {
            // Both replicas are there, side by side.
            let twice = call.expect.iter().flat_map(|set| [set.clone(), set.clone()]);
            let twice = if call.skip_chunks { call.expect.clone() } else { twice.collect() };
            call.expect = twice;
        }
        calls += accept(&served, &group);
    }
    assert_eq!(calls, 68);
}

#[test]
fn our_client_gets_what_the_suite_expects() {
    let external = labels([("region", "eu-west")]);
    for group in acceptance() {
        let served = leaf(&fill(&group), &external);
        let client = served.client();
        let ask = |call: &Call| {
            let range = TimeRange::new(time_ms(&call.start), time_ms(&call.end));
            Select::new(conditions(&call.matchers).0, range)
        };
        for call in &group.label_names {
            assert_eq!(texts(client.label_names(&ask(call)).unwrap()), call.expect);
        }
        for call in group.label_values.iter().filter(|call| call.error.is_none()) {
            let values = client.label_values(&call.label, &ask(call)).unwrap();
            assert_eq!(texts(values), call.expect, "{}", group.desc);
        }
        for call in &group.series {
            let found = client.select(&all(conditions(&call.matchers).0)).unwrap();
            let labels = found.series.iter().map(|series| series.labels().clone());
            let expect = call.expect.iter().map(|set| Labels::from_pairs(set).unwrap());
            assert!(labels.eq(expect), "{}: {found:?}", group.desc);
            let mut column = Column::new();
            for series in &found.series {
                series.read(TimeRange::ALL, &mut column).unwrap();
            }
            assert_eq!(column.floats, vec![1.0; found.series.len()]);
        }
    }
}

#[test]
fn samples_come_in_chunks_of_120() {
    let db = tsdb();
    let mut appender = db.appender();
    let series = appender.series(&labels([("a", "b")])).unwrap();
    let count: i64 = 2 * 65_535 + 5;
    for index in 0..count {
        appender.push(series, NOW_MS + index, 1.0);
    }
    appender.commit().unwrap();
    let served = leaf(&db, &labels([("region", "eu-west")]));
    let request = asking(&[("a", 0, "b"), ("region", 0, "eu-west")]);
    let (series, _) = served.series(&request).unwrap();
    assert_eq!(labels_of(&series[0]), labels([("a", "b"), ("region", "eu-west")]));
    let chunks: Vec<&AggrChunk> = series.iter().flat_map(|series| &series.chunks).collect();
    let counts = chunks.iter().map(|chunk| {
        let raw = chunk.raw.as_ref().unwrap();
        assert_eq!(raw.hash, xxhash_rust::xxh64::xxh64(&raw.data, 0));
        u16::from_be_bytes([raw.data[0], raw.data[1]])
    });
    let counts: Vec<u16> = counts.collect();
    assert_eq!((counts.len(), counts[1092]), (1093, 35));
    assert!(counts[..1092].iter().all(|count| *count == 120));
}

#[derive(Deserialize)]
struct ShardCase {
    name: String,
    matches: bool,
    series: std::collections::BTreeMap<String, String>,
    shard: Option<ShardRow>,
}

#[derive(Deserialize)]
struct ShardRow {
    index: i64,
    total: i64,
    by: bool,
    labels: Vec<String>,
}

#[test]
fn series_fall_into_the_shards_of_thanos() {
    let text = include_str!("../../../../testdata/thanos/storeapi/shards.json");
    let cases: Vec<ShardCase> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let series = Labels::from_pairs(&case.series).unwrap();
        let info = case.shard.map(|row| ShardInfo {
            shard_index: row.index,
            total_shards: row.total,
            by: row.by,
            labels: row.labels,
        });
        let served = Served::new(
            Arc::new(shelf(vec![(series.clone(), vec![chunk(1, &[(1, 1.0)])])])),
            anything(),
        );
        let mut request = asking(&[("any", 2, ".*")]);
        request.shard_info = info;
        let (found, _) = served.series(&request).unwrap();
        assert_eq!(!found.is_empty(), case.matches, "{}", case.name);
    }
    let mut request = asking(&[("any", 2, ".*")]);
    let wrong = ShardInfo { shard_index: 2, total_shards: 2, ..ShardInfo::default() };
    request.shard_info = Some(wrong);
    let served = Served::new(Arc::new(Shelf::default()), anything());
    assert_eq!(served.series(&request).unwrap_err().code(), Code::InvalidArgument);
}
