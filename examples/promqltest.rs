//! Temporary runner.
use promlite::promql::*;
use promlite::series::Queryable;
use promlite::testkit::{ModelStore, promqltest::*};
struct S(Engine);
impl Subject for S {
    fn instant(&self, s: &dyn Queryable, q: &str, t: i64) -> Result<Answer, EngineError> {
        self.0.instant(s, q, t, &RunOptions::default())
    }
    fn range(&self, s: &dyn Queryable, q: &str, a: i64, b: i64, c: i64) -> Result<Answer, EngineError> {
        self.0.range(s, q, a, b, c, &RunOptions::default())
    }
}
fn main() {
    let mut o = EngineOptions::default();
    o.max_samples = 10_000;
    o.delayed_name_removal = true;
    o.start_timestamps = true;
    o.parse = ParseOptions::all();
    o.shown_notes_max = usize::MAX;
    let s = S(Engine::new(o));
    let (mut ok, mut bad) = (0, 0);
    for f in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&f).unwrap();
        let mut store = ModelStore::new();
        let name = f.rsplit('/').next().unwrap().to_string();
        let r = run_script_on(&name, &text, &s, &mut store);
        ok += r.passed; bad += r.failed.len();
        println!("{r}");
    }
    println!("TOTAL {ok} passed, {bad} failed");
}
