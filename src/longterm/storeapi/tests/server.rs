//! What a server says of its source, and what it refuses.

use super::*;

#[test]
fn a_store_tells_of_itself() {
    let info = StoreInfo {
        component: Component::Store,
        label_sets: vec![labels([("a", "1")]), labels([("b", "2")])],
        range: TimeRange::new(-5, 10),
        tsdbs: vec![TsdbInfo { labels: labels([("a", "1")]), range: TimeRange::new(0, 3) }],
    };
    let served = Served::new(Arc::new(Shelf::default()), info.clone());
    assert_eq!(*served.client().info().unwrap(), info);
    let health: Result<Health, _> = served.unary("/grpc.health.v1.Health/Check", &Label::default());
    assert_eq!(health.unwrap(), Health { status: 1 });
    let missing: Result<Label, _> = served.unary("/thanos.Rules/Rules", &Label::default());
    assert_eq!(missing.unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn a_request_for_everything_is_refused() {
    let db = tsdb();
    let served = leaf(&db, &labels([("region", "eu-west")]));
    let status = served.series(&asking(&[("region", 0, "eu-west")])).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "no matchers specified (excluding external labels)");
    assert_eq!(served.series(&asking(&[("region", 0, "other")])).unwrap(), (vec![], vec![]));
    let bad = served.series(&asking(&[("a", 2, "(")])).unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert_eq!(served.series(&asking(&[("a", 4, "")])).unwrap_err().code(), Code::InvalidArgument);
    // Our client gets around it: the label that tells stores apart is enough for it.
    let found = served.client().select(&all(vec![Matcher::equal("region", "eu-west")])).unwrap();
    assert!(found.series.is_empty() && found.warnings.is_empty(), "{:?}", found.warnings);
    let page = served.registry.gather();
    let handled = page.iter().find(|family| family.name == "grpc_server_handled_total").unwrap();
    assert!(handled.members.len() >= 3, "{handled:?}");
}

#[test]
fn without_replica_labels_the_order_is_that_of_the_labels_left() {
    let one = |pod, z| (labels([("pod", pod), ("z", z)]), vec![chunk(1, &[(1, 1.0)])]);
    let served =
        Served::new(Arc::new(shelf(vec![one("a", "2"), one("b", "1"), one("c", "2")])), anything());
    let mut request = asking(&[("pod", 1, "")]);
    request.without_replica_labels = vec!["pod".into(), "unknown".into()];
    for batch_size in [0, 2, 64] {
        request.response_batch_size = batch_size;
        let (series, _) = served.series(&request).unwrap();
        let z: Vec<&str> = series.iter().map(|one| &*one.labels[0].value).collect();
        assert_eq!(z, ["1", "2", "2"]);
    }
}

#[test]
fn series_travel_in_frames_of_the_size_asked_for() {
    let served = Served::new(Arc::new(replicas()), anything());
    let mut request = asking(&[("a", 1, "")]);
    assert_eq!(served.frames(&request).unwrap().len(), 5);
    request.response_batch_size = 2;
    let frames = served.frames(&request).unwrap();
    let sizes = frames.iter().map(|frame| match frame {
        Frame::Batch(batch) => batch.series.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [2, 2, 1]);
    let options = StoreServerOptions { frame_bytes: 1, ..StoreServerOptions::default() };
    let chunks: Vec<Chunk> = (0..3).map(|at| chunk(1, &[(at * 10, 1.0)])).collect();
    let tiny = shelf(vec![(labels([("a", "1")]), chunks)]);
    let served = Served::with(Arc::new(tiny), anything(), options);
    let frames = served.frames(&request).unwrap();
    assert_eq!(frames.len(), 3, "a long series takes several frames");
    let read = served.client().select(&all(vec![Matcher::equal("a", "1")])).unwrap();
    assert_eq!(read.series.len(), 1);
    let mut chunks = Vec::new();
    read.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
    assert_eq!(chunks.len(), 3);
}

#[test]
fn limits_count_label_sets() {
    let served = Served::new(Arc::new(replicas()), anything());
    let mut request = asking(&[("a", 1, "")]);
    request.limit = 2;
    assert_eq!(served.series(&request).unwrap().0.len(), 2);
    request.without_replica_labels = vec!["replica".into()];
    assert_eq!(served.series(&request).unwrap().0.len(), 4);
    request.skip_chunks = true;
    let (series, _) = served.series(&request).unwrap();
    assert_eq!(
        series.iter().map(labels_of).collect::<Vec<_>>(),
        [labels([("a", "1")]), labels([("a", "2")])]
    );
    let options = StoreServerOptions { series_max: 2, ..StoreServerOptions::default() };
    let served = Served::with(Arc::new(replicas()), anything(), options);
    let status = served.series(&asking(&[("a", 1, "")])).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let options = StoreServerOptions { chunks_max_bytes: 40, ..StoreServerOptions::default() };
    let served = Served::with(Arc::new(replicas()), anything(), options);
    let status = served.series(&asking(&[("a", 1, "")])).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[test]
fn chunks_travel_in_encodings_that_thanos_reads() {
    let mut column = Column::new();
    for at in 0..5_i64 {
        column.push_value(at, 1 + at / 3, Value::Float(at as f64));
    }
    for at in 5..9 {
        column.push_histogram(at, Histogram::stale(at < 7).as_ref());
        column.set_last_start(2);
    }
    let mut stored = Vec::new();
    encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |one| {
        let (min_time_ms, max_time_ms) = (one.min_time_ms, one.max_time_ms);
        stored.push(Chunk { min_time_ms, max_time_ms, encoding: one.encoding, data: one.data });
    })
    .unwrap();
    let encodings: Vec<u8> = stored.iter().map(|chunk| chunk.encoding).collect();
    assert!(encodings.iter().all(|encoding| *encoding >= Encoding::Xor2 as u8), "{encodings:?}");
    let served = Served::new(Arc::new(shelf(vec![(labels([("a", "1")]), stored)])), anything());
    let (series, warnings) = served.series(&asking(&[("a", 0, "1")])).unwrap();
    let kinds = series[0].chunks.iter().map(|chunk| chunk.raw.as_ref().unwrap().kind);
    let mut kinds: Vec<i32> = kinds.collect();
    kinds.dedup();
    kinds.sort_unstable();
    assert_eq!((kinds, warnings), (vec![0, 1, 2], vec![]));
    let found = served.client().select(&all(vec![Matcher::equal("a", "1")])).unwrap();
    let mut read = Column::new();
    found.series[0].read(TimeRange::ALL, &mut read).unwrap();
    assert_eq!(read.timestamps, column.timestamps);
    assert_eq!(read.floats[..5], column.floats[..5]);
    assert_eq!(read.histograms.len(), 4);
}

#[test]
fn downsampled_chunks_travel_as_the_aggregates_asked_for() {
    let stored = aggregates();
    let series = vec![(labels([("a", "1")]), vec![stored.clone()])];
    let served = Served::new(Arc::new(shelf(series)), anything());
    let mut request = asking(&[("a", 0, "1")]);
    request.aggregates = vec![1, 2];
    let (found, warnings) = served.series(&request).unwrap();
    let one = &found[0].chunks[0];
    assert!(one.raw.is_none() && one.count.is_some() && one.sum.is_some() && one.min.is_none());
    assert!(warnings.is_empty());
    // Nothing of what is there was asked for.
    request.aggregates = vec![0];
    let (found, warnings) = served.series(&request).unwrap();
    assert_eq!((found.len(), warnings.len()), (0, 1), "{warnings:?}");
    request.partial_response_strategy = STRATEGY_ABORT;
    assert_eq!(served.series(&request).unwrap_err().code(), Code::Aborted);

    let client = served.client();
    let cases: [(Option<&str>, [f64; 5]); 6] = [
        (None, [0.0, 1.0, 2.0, 3.0, 4.0]),
        (Some("sum_over_time"), [0.0, 10.0, 20.0, 30.0, 40.0]),
        (Some("min_over_time"), [-1.0, 0.0, 1.0, 2.0, 3.0]),
        (Some("max"), [1.0, 2.0, 3.0, 4.0, 5.0]),
        (Some("count_over_time"), [10.0; 5]),
        (Some("rate"), [101.0, 102.0, 103.0, 104.0, 105.0]),
    ];
    for (func, expected) in cases {
        let mut ask = all(vec![Matcher::equal("a", "1")]);
        ask.hints.func = func.map(Arc::from);
        ask.hints.range_ms = 600_000;
        ask.hints.max_resolution_ms = 300_000;
        let found = client.select(&ask).unwrap();
        let mut column = Column::new();
        found.series[0].read(TimeRange::ALL, &mut column).unwrap();
        // The counter begins with a raw sample before the first window.
        let values = &column.floats[column.len() - 5..];
        assert_eq!(values, expected, "{func:?}: {column:?}");
        assert_eq!(column.summary(column.len() - 1).resolution_ms, 300_000, "{func:?}");
        assert_eq!(found.series[0].resolution_ms(), 300_000, "{func:?}");
    }
}

#[test]
fn a_broken_series_is_a_warning_or_the_end() {
    let series = vec![
        (labels([("a", "1"), ("broken", "yes")]), vec![]),
        (labels([("a", "2")]), vec![chunk(1, &[(1, 1.0)])]),
        (labels([("a", "3")]), vec![Chunk { encoding: 77, ..chunk(1, &[(1, 1.0)]) }]),
    ];
    let warnings = vec!["a block is missing".to_owned()];
    let source = Arc::new(Shelf { warnings, ..shelf(series) });
    let served = Served::new(source, anything());
    let mut request = asking(&[("a", 1, "")]);
    let (found, warnings) = served.series(&request).unwrap();
    assert_eq!(found.iter().map(labels_of).collect::<Vec<_>>(), [labels([("a", "2")])]);
    assert_eq!(
        warnings,
        [
            "a block is missing",
            "series {a=\"1\", broken=\"yes\"}: corrupt data: segment 1 at 8",
            "series {a=\"3\"}: unknown chunk encoding 77",
        ]
    );
    request.partial_response_disabled = true;
    assert_eq!(served.series(&request).unwrap_err().code(), Code::Aborted);
    let ask = all(vec![Matcher::new("a", MatchOp::NotEqual, "").unwrap()]);
    let found = served.client().select(&ask).unwrap();
    assert_eq!((found.series.len(), found.warnings.len()), (1, 3));
    assert!(found.warnings[0].starts_with("store 127.0.0.1:"), "{:?}", found.warnings);
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let error = served.client_with(options).select(&ask).unwrap_err();
    assert!(error.to_string().ends_with("Aborted: a block is missing"), "{error}");
}

#[test]
fn a_slow_asker_slows_the_reading_down() {
    let one = |at: usize| {
        let noise: Vec<(i64, f64)> =
            (0..120).map(|time| (time, (at * 1000) as f64 + (time as f64).sin())).collect();
        let chunks = (0..100_i64).map(|_| chunk(1, &noise)).collect();
        (labels([("a", &*format!("{at:04}"))]), chunks)
    };
    let source = Arc::new(shelf((0..500).map(one).collect()));
    let reads = source.reads.clone();
    let served = Served::new(source, anything());
    let mut grpc = served.grpc();
    let body = Bytes::from(asking(&[("a", 1, "")]).encode_to_vec());
    THREADS.block_on(async {
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        let answer = grpc.server_streaming(Request::new(body), path, BytesCodec).await.unwrap();
        let mut stream = answer.into_inner();
        assert!(stream.message().await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = reads.load(Ordering::SeqCst);
        assert!(before < 100, "{before} of 500 series were read for one frame taken");
        let mut frames = 1;
        while stream.message().await.unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 500);
    });
    assert_eq!(reads.load(Ordering::SeqCst), 500);
}
