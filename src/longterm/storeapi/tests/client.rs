//! What our client makes of stores: of good ones, and of such as fail.

use super::*;

#[test]
fn a_store_that_is_not_there_is_a_warning_or_the_end() {
    let runtime = ClientRuntime::of(THREADS.handle().clone());
    let served = Served::new(Arc::new(replicas()), anything());
    let there = served.client();
    // Reserved for programs that do not exist.
    let gone = |partial| {
        let options = RemoteOptions { partial, ..RemoteOptions::default() };
        RemoteStore::new("127.0.0.1:1", &runtime, options).unwrap()
    };
    let ask = all(vec![Matcher::equal("a", "1")]);
    let stores = RemoteStores::new(vec![gone(PartialAnswers::Warn), there.clone()]);
    let found = stores.select(&ask).unwrap();
    assert_eq!((found.series.len(), found.warnings.len()), (2, 1), "{:?}", found.warnings);
    assert!(found.warnings[0].contains("127.0.0.1:1: "), "{:?}", found.warnings);
    let stores = RemoteStores::new(vec![gone(PartialAnswers::Refuse), there]);
    assert!(matches!(stores.select(&ask), Err(QueryError::Unavailable(_))));
    assert!(gone(PartialAnswers::Warn).label_names(&ask).unwrap().is_empty());
    assert!(gone(PartialAnswers::Refuse).label_values("a", &ask).is_err());
    assert!(RemoteStore::new("dns://a:1", &runtime, RemoteOptions::default()).is_err());
    assert!(RemoteStore::new("a b", &runtime, RemoteOptions::default()).is_err());
}

#[test]
fn a_store_is_not_asked_for_what_it_cannot_have() {
    let source = Arc::new(replicas());
    let info = StoreInfo::of_one(Component::Store, labels([("a", "1")]), TimeRange::new(0, 100));
    let served = Served::new(source.clone(), info);
    let client = served.client();
    let beyond = TimeRange::new(101, 200);
    let asks = [
        Select::new(vec![Matcher::equal("replica", "x")], beyond),
        all(vec![Matcher::equal("a", "2")]),
        all(vec![Matcher::new("a", MatchOp::NotRegex, "1|2").unwrap()]),
    ];
    for ask in asks {
        assert!(client.select(&ask).unwrap().series.is_empty());
        assert!(client.label_names(&ask).unwrap().is_empty());
    }
    assert_eq!(source.selects.load(Ordering::SeqCst), 0);
    assert_eq!(client.select(&all(vec![Matcher::equal("a", "1")])).unwrap().series.len(), 2);
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let served = Served::new(Arc::new(replicas()), anything());
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    // Of a frame, and of what is made of them.
    let cases = [(300, "the limit is: 300 bytes"), (400, "larger than the limit of 400 bytes")];
    for (answer_max_bytes, told) in cases {
        let options = RemoteOptions { answer_max_bytes, ..options.clone() };
        let error = served.client_with(options).select(&all(vec![])).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// A source that blocks longer than anybody waits.
struct Slow;

impl Queryable for Slow {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        assert!(ask.matchers.iter().all(|matcher| matcher.name() != "panic"), "a defect");
        std::thread::sleep(Duration::from_millis(800));
        Ok(SeriesSet::default())
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        panic!("a defect");
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(vec!["x".into()])
    }
}

#[test]
fn a_slow_store_is_left_and_a_defect_is_told() {
    let served = Served::new(Arc::new(Slow), anything());
    let options = RemoteOptions {
        partial: PartialAnswers::Refuse,
        timeout: Duration::from_millis(50),
        ..RemoteOptions::default()
    };
    let client = served.client_with(options);
    let error = client.select(&all(vec![])).unwrap_err();
    assert!(error.to_string().contains("no whole answer after 0.05 s"), "{error}");
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let client = served.client_with(options);
    let error = client.label_names(&all(vec![])).unwrap_err();
    assert!(error.to_string().contains("panic"), "{error}");
    let error = client.select(&all(vec![Matcher::equal("panic", "yes")])).unwrap_err();
    assert!(error.to_string().contains("the answer broke off"), "{error}");
    assert_eq!(texts(client.label_values("a", &all(vec![])).unwrap()), ["x"]);
}

/// Chunks that overlap, as of blocks that were not compacted yet.
#[test]
fn overlapping_chunks_are_one_series_of_samples() {
    let chunks = vec![
        chunk(1, &[(1, 1.0), (3, 3.0), (5, 5.0)]),
        chunk(1, &[(2, 2.0), (3, 30.0), (4, 4.0)]),
        chunk(1, &[(1, 1.0), (3, 3.0), (5, 5.0)]),
        chunk(1, &[(9, 9.0)]),
    ];
    let series = vec![(labels([("a", "1")]), chunks)];
    let served = Served::new(Arc::new(shelf(series)), anything());
    let found = served.client().select(&all(vec![])).unwrap();
    let mut column = Column::new();
    found.series[0].read(TimeRange::new(2, 9), &mut column).unwrap();
    assert_eq!(column.timestamps, [2, 3, 4, 5, 9]);
    assert_eq!(column.floats, [2.0, 3.0, 4.0, 5.0, 9.0]);
    let mut chunks = Vec::new();
    found.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
    assert!(chunks.is_sorted_by_key(|chunk| chunk.min_time_ms));
    let mut only_labels = all(vec![]);
    only_labels.hints.func = Some("series".into());
    let found = served.client().select(&only_labels).unwrap();
    let mut none = Column::new();
    found.series[0].read(TimeRange::ALL, &mut none).unwrap();
    assert!(none.is_empty());
    let mut read = Column::new();
    decode(chunks[0].encoding, &chunks[0].data, (i64::MIN, i64::MAX), &mut read).unwrap();
    assert_eq!(read.floats, [1.0, 3.0, 5.0]);
}

/// Stores send chunks without the length of their windows.
#[test]
fn the_length_of_windows_is_found_out_from_chunks_that_thanos_wrote() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/golden/thanos/downsample");
    let blocks =
        [("5m/01KEAW1NYG5JS0QEK8EA8X6NE9", 300_000), ("1h/01KEAW1PXRPNW60KZ77TEBVMT9", HOUR_MS)];
    for (folder, resolution_ms) in blocks {
        let dir = std::path::Path::new(root).join(folder);
        let block = Block::open(&RealDisk::shared(), &dir).unwrap();
        let served = Served::new(block, anything());
        let client = served.client();
        let mut known = 0;
        for func in ["", "sum_over_time", "count_over_time", "rate"] {
            let mut ask = all(vec![Matcher::equal("job", "demo")]);
            ask.hints.func = (!func.is_empty()).then(|| func.into());
            ask.hints.range_ms = 1;
            ask.hints.max_resolution_ms = HOUR_MS;
            let found = client.select(&ask).unwrap();
            assert!(found.series.len() > 10, "{:?}", found.warnings);
            for series in &found.series {
                let mut column = Column::new();
                series.read(TimeRange::ALL, &mut column).unwrap();
                // Of few windows nothing can be said.
                if column.len() > 3 {
                    known += 1;
                    let found = series.resolution_ms();
                    assert_eq!(found, resolution_ms, "{func} {}", series.labels());
                }
            }
        }
        assert!(known > 40, "{known}");
    }
}
