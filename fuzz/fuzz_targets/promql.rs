//! Any text is a query or an error; what is printed of a query reads back as the same query, and
//! planning it does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promlite::promql::pretty::pretty;
use promlite::promql::{
    Engine, EngineOptions, ParseOptions, QueryTimes, RunOptions, parse_metric, parse_selector,
    parse_with,
};

fuzz_target!(|text: &str| {
    let _ = (parse_metric(text), parse_selector(text));
    let options = ParseOptions::all();
    let expr = match parse_with(text, &options) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(error.span.start <= text.len() && !error.message.is_empty(), "{error:?}");
            return;
        }
    };
    let printed = expr.to_string();
    for again in [&printed, &pretty(&expr)] {
        let read = parse_with(again, &options).unwrap_or_else(|error| panic!("{again}: {error}"));
        assert_eq!(read.to_string(), printed, "{text:?}");
    }
    let mut engine = EngineOptions::default();
    engine.parse = options;
    let times = QueryTimes::Range { start_ms: -7, end_ms: 120_000, step_ms: 7_000 };
    if let Ok(plan) = Engine::new(engine).explain(text, times, &RunOptions::default()) {
        assert!(!plan.to_string().is_empty() && !plan.to_json().is_empty());
    }
});
