//! Random queries, of the part of PromQL that old versions have.

/// Numbers that look random (splitmix64), the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Writes queries. What is computed is never compared for equality, rounded or ranked, since its
/// last digit may differ.
pub(super) struct Writer<'a> {
    pub(super) random: &'a mut Random,
    pub(super) is_modern: bool,
    pub(super) end_ms: i64,
    pub(super) in_subquery: bool,
}

const METRICS: [&str; 4] = ["requests_total", "restarts_total", "level", "rare"];
const MATCHERS: [&str; 9] = [
    "",
    "",
    "",
    r#"{job="j0"}"#,
    r#"{job!="j0",instance=~"i[01]"}"#,
    r#"{instance=~"i1|i2"}"#,
    r#"{instance!~"i.*2"}"#,
    r#"{missing=""}"#,
    r#"{job=~".+",instance!=""}"#,
];

impl Writer<'_> {
    pub(super) fn query(&mut self) -> String {
        let depth = 1 + self.random.below(3);
        match self.random.below(20) {
            0 => self.scalar(depth),
            1 => format!("sort_desc({})", self.vector(depth)),
            _ => self.vector(depth),
        }
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.random.below(of) == 0
    }

    /// Seconds that are no multiple of the distance of samples.
    fn length(&mut self) -> String {
        format!("{}s", 3 + self.random.below(110))
    }

    fn modifiers(&mut self) -> String {
        let mut text = String::new();
        if self.one_in(5) {
            let offset = self.length();
            text.push_str(&format!(" offset {}{offset}", self.random.pick(&["", "", "-"])));
        }
        if self.one_in(8) {
            let seconds = self.end_ms / 1000 - self.random.below(600) as i64;
            let at = format!("{seconds}.007");
            let at = self.random.pick(&["start()", "end()", &at]).to_owned();
            text.push_str(&format!(" @ {at}"));
        }
        text
    }

    fn metric(&mut self) -> String {
        let (metric, matchers) = (self.random.pick(&METRICS), self.random.pick(&MATCHERS));
        format!("{metric}{matchers}")
    }

    fn selector(&mut self) -> String {
        format!("{}{}", self.metric(), self.modifiers())
    }

    /// A counter whose rate all versions compute alike: how far a line is drawn towards zero has
    /// changed.
    fn counter(&mut self) -> String {
        let metrics: &[&str] = if self.is_modern { &METRICS } else { &METRICS[..1] };
        let (metric, matchers) = (self.random.pick(metrics), self.random.pick(&MATCHERS));
        format!("{metric}{matchers}")
    }

    fn over_time(&mut self) -> String {
        let (length, modifiers) = (self.length(), self.modifiers());
        if self.one_in(2) {
            let function = self.random.pick(&["rate", "increase", "rate"]);
            return format!("{function}({}[{length}]{modifiers})", self.counter());
        }
        let window = format!("{}[{length}]{modifiers}", self.metric());
        match self.random.below(8) {
            0 => format!("quantile_over_time(0.{}, {window})", self.random.below(10)),
            // Before 3.0, a pinned one was taken for the same at all steps.
            1 if self.is_modern || !window.contains('@') => {
                format!("predict_linear({window}, {})", self.random.below(300))
            }
            _ => {
                let function = self.random.pick(&[
                    "irate",
                    "idelta",
                    "delta",
                    "deriv",
                    "resets",
                    "changes",
                    "sum_over_time",
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "absent_over_time",
                ]);
                format!("{function}({window})")
            }
        }
    }

    /// Functions of what was not computed before.
    fn of_samples(&mut self) -> String {
        let (selector, count) = (self.selector(), 1 + self.random.below(4));
        match self.random.below(9) {
            0 => format!("topk({count}, {selector})"),
            1 => format!("bottomk by (job) ({count}, {selector})"),
            // Of a pinned one that is also moved, Prometheus finds the time at another instant.
            2 => format!("timestamp({})", self.metric()),
            3 => format!("{}({selector} / 4)", self.random.pick(&["floor", "ceil", "round"])),
            4 => format!("count_values(\"value\", floor({selector} / 256))"),
            5 => format!("{selector} % 7"),
            6 => format!("hour({selector} * 512)"),
            7 => format!("{selector} == {selector}"),
            _ => format!("round({selector}, 8)"),
        }
    }

    fn aggregation(&mut self, depth: u64) -> String {
        let by = self.random.pick(&[
            "",
            " by (job)",
            " by (instance)",
            " by (job, instance)",
            " without (instance)",
            " without (job)",
            " by (missing)",
        ]);
        let inner = self.vector(depth - 1);
        if self.one_in(6) {
            return format!("quantile{by} (0.{}, {inner})", self.random.below(10));
        }
        // Before 3.0, the deviation of no number was zero.
        let operators = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
        let op = operators[self.random.below(if self.is_modern { 8 } else { 6 }) as usize];
        format!("{op}{by} ({inner})")
    }

    fn joined(&mut self, depth: u64) -> String {
        let (left, right) = (self.vector(depth - 1), self.vector(depth - 1));
        let op = self.operator();
        match self.random.below(5) {
            0 => format!("({left}) {op} ({right})"),
            1 => format!("sum by (job) ({left}) {op} sum by (job) ({right})"),
            2 => format!(
                "avg by (job, instance) ({left}) {op} on (job) group_left () max by (job) ({right})"
            ),
            3 => format!(
                "min by (instance) ({left}) {op} ignoring (job) group_right () \
                 count by (job, instance) ({right})"
            ),
            _ => {
                let op = self.random.pick(&["and", "or", "unless"]);
                let on = self.random.pick(&["", " on (job)", " ignoring (instance)", " on ()"]);
                format!("({left}) {op}{on} ({right})")
            }
        }
    }

    /// Before 3.0, the deviation of infinite values was zero.
    fn operator(&mut self) -> &'static str {
        let operators = ["+", "-", "*", "/"];
        operators[self.random.below(if self.is_modern { 4 } else { 3 }) as usize]
    }

    fn subquery(&mut self, depth: u64) -> String {
        // The windows of one inside of another end at its points.
        if self.in_subquery && !self.is_modern {
            return self.vector(0);
        }
        let outer = std::mem::replace(&mut self.in_subquery, true);
        let inner = self.vector(depth - 1);
        self.in_subquery = outer;
        let function = self.random.pick(&[
            "min_over_time",
            "max_over_time",
            "avg_over_time",
            "sum_over_time",
            "count_over_time",
            "last_over_time",
        ]);
        let (range, step) = (20 + self.random.below(60), 5 + self.random.below(20));
        format!("{function}(({inner})[{range}s:{step}s]{})", self.modifiers())
    }

    fn scalar(&mut self, depth: u64) -> String {
        match self.random.below(6) {
            0 if depth > 1 => format!("scalar(sum({}))", self.vector(depth - 1)),
            1 => "time()".into(),
            2 => "pi()".into(),
            3 => format!("({} - {})", self.random.below(90), self.random.below(90)),
            _ => format!("{}.37", self.random.below(700)),
        }
    }

    fn histogram(&mut self) -> String {
        let (quantile, length) = (self.random.below(100), self.length());
        let by = self.random.pick(&["le", "le, job", "le, instance"]);
        format!("histogram_quantile(0.{quantile:02}, sum by ({by}) (rate(h_bucket[{length}])))")
    }

    fn changed(&mut self, depth: u64) -> String {
        let (inner, scalar) = (self.vector(depth - 1), self.scalar(1));
        match self.random.below(12) {
            0 => format!("-({inner})"),
            1 => format!("({inner}) {} {scalar}", self.operator()),
            2 => format!("{scalar} {} ({inner})", self.random.pick(&["+", "-", "*"])),
            3 => format!("({inner}) {} {scalar}", self.random.pick(&[">", "<", ">=", "<="])),
            4 => format!("{scalar} {} bool ({inner})", self.random.pick(&[">", "<"])),
            5 => {
                let function = self.random.pick(&["abs", "sqrt", "exp", "ln", "sgn", "rad"]);
                format!("{function}(({inner}) / 16)")
            }
            6 => format!("clamp(({inner}), -50.5, {scalar})"),
            7 => format!("clamp_min(({inner}), {scalar})"),
            8 => format!(r#"label_replace(({inner}), "new", "$1x", "instance", "i(.)")"#),
            9 => format!(r#"label_join(({inner}), "both", "-", "job", "instance")"#),
            10 => format!("absent(({inner}))"),
            _ => format!("vector({scalar})"),
        }
    }

    fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return match self.random.below(5) {
                0 => self.selector(),
                1 => self.of_samples(),
                2 => self.histogram(),
                _ => self.over_time(),
            };
        }
        match self.random.below(10) {
            0 => self.vector(0),
            1..=3 => self.aggregation(depth),
            4..=5 => self.joined(depth),
            6..=7 => self.subquery(depth),
            _ => self.changed(depth),
        }
    }
}
