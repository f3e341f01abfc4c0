//! Series as scripts write them: `metric{label="value"} 1 2x3 4+1x5 _ stale {{count:1}}`.

use std::sync::Arc;

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_until, take_while, take_while1};
use nom::character::complete::{char, digit1, multispace1, one_of};
use nom::combinator::{all_consuming, map, map_opt, opt, recognize, rest};
use nom::multi::separated_list0;
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

use crate::model::histogram::float::{FloatHistogram, Overlays};
use crate::model::histogram::{Histogram, Layout, ResetHint, Span};
use crate::model::{Labels, stale_nan};
use crate::promql::{parse_metric, parse_number};

/// A line that unfolds into more values is refused.
const VALUES_MAX: u64 = 1_000_000;

/// One position of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SeriesValue {
    /// No sample.
    Gap,
    /// A float sample.
    Float(f64),
    /// A histogram sample. Its hint is to be compared only if it was written.
    Histogram { one: Arc<Histogram>, has_hint: bool },
}

/// A histogram as it is written, `{{schema:1 count:2 buckets:[1 1]}}`.
#[derive(Debug, Clone, PartialEq, Default)]
struct Written {
    schema: i32,
    sum: f64,
    count: f64,
    zero_count: f64,
    zero_threshold: f64,
    custom_values: Vec<f64>,
    offset: i32,
    buckets: Vec<f64>,
    negative_offset: i32,
    negative_buckets: Vec<f64>,
    hint: Option<ResetHint>,
}

impl Written {
    fn histogram(&self) -> FloatHistogram {
        let side = |offset, buckets: &[f64]| match buckets.len() {
            0 => Vec::new(),
            count => vec![Span::new(offset, count as u32)],
        };
        let layout = Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive: side(self.offset, &self.buckets),
            negative: side(self.negative_offset, &self.negative_buckets),
            custom_bounds: self.custom_values.clone(),
        };
        FloatHistogram {
            layout: Arc::new(layout),
            hint: self.hint.unwrap_or_default(),
            is_loose: false,
            sum: self.sum,
            count: self.count,
            zero_count: self.zero_count,
            buckets: self.buckets.iter().chain(&self.negative_buckets).copied().collect(),
        }
    }
}

/// Reads a line of a `load` or of what an `eval` expects.
pub(super) fn series(line: &str) -> Result<(Labels, Vec<SeriesValue>), String> {
    let (metric, values) = line.split_at(metric_end(line));
    let labels = parse_metric(metric).map_err(|error| error.to_string())?;
    if !values.is_empty() && !values.starts_with([' ', '\t']) {
        return Err(format!("unexpected {values:?} behind the labels"));
    }
    Ok((labels, sequence(values)?))
}

/// Where the label set ends that a line starts with.
pub(super) fn metric_end(line: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let name_end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let behind = line.get(name_end..).unwrap_or_default();
    if !behind.starts_with('{') {
        return name_end;
    }
    let (mut quote, mut escaped) = (None, false);
    for (index, c) in behind.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) => {
                escaped = c == '\\' && open != '`';
                quote = quote.filter(|_| c != open);
            }
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return name_end + index + 1,
            None => {}
        }
    }
    line.len()
}

fn sequence(text: &str) -> Result<Vec<SeriesValue>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (behind, item) =
            item(rest).map_err(|_| format!("unexpected {rest:?} in series values"))?;
        if !behind.is_empty() && !behind.starts_with([' ', '\t']) {
            return Err(format!("unexpected {behind:?} in series values"));
        }
        if values.len() as u64 + item.length() > VALUES_MAX {
            return Err(format!("a series of more than {VALUES_MAX} values"));
        }
        item.unfold(&mut values)?;
        rest = behind.trim_start();
    }
    Ok(values)
}

enum Item {
    Gaps(u64),
    Floats { first: f64, step: f64, more: u64 },
    Histograms { first: Box<Written>, step: Option<(bool, Written)>, more: u64 },
}

impl Item {
    const fn length(&self) -> u64 {
        match self {
            Self::Gaps(count) => *count,
            Self::Floats { more, .. } | Self::Histograms { more, .. } => more.saturating_add(1),
        }
    }

    fn unfold(self, values: &mut Vec<SeriesValue>) -> Result<(), String> {
        match self {
            Self::Gaps(count) => (0..count).for_each(|_| values.push(SeriesValue::Gap)),
            Self::Floats { first, step, more } => {
                let mut value = first;
                for _ in 0..=more {
                    values.push(SeriesValue::Float(value));
                    // A step of zero would turn the staleness marker into another NaN.
                    if step != 0.0 {
                        value += step;
                    }
                }
            }
            Self::Histograms { first, step, more } => {
                return unfold_histograms(&first, step.as_ref(), more, values);
            }
        }
        Ok(())
    }
}

/// Each histogram is the one before it with the step added or taken away.
fn unfold_histograms(
    first: &Written,
    step: Option<&(bool, Written)>,
    more: u64,
    values: &mut Vec<SeriesValue>,
) -> Result<(), String> {
    let mut now = first.histogram();
    let (subtract, has_hint) = match step {
        Some((subtract, step)) => (*subtract, step.hint.is_some()),
        None => (false, first.hint.is_some()),
    };
    let step = step.map(|(_, step)| step.histogram());
    let mut overlays = Overlays::default();
    let mut push = |now: &FloatHistogram| {
        let one = Arc::new(now.as_ref().to_histogram(None));
        values.push(SeriesValue::Histogram { one, has_hint });
    };
    push(&now);
    for _ in 0..more {
        if let Some(step) = &step {
            if now.layout.schema > step.layout.schema {
                return Err("error combining histograms: the step has a lower schema".into());
            }
            let step = step.as_ref();
            let done = match subtract {
                true => now.subtract(step, &mut overlays),
                false => now.add(step, &mut overlays),
            };
            done.map_err(|_| "error combining histograms: incompatible schemas")?;
            // A layout of their own for all, as scripts say nothing of empty buckets.
            now.is_loose = false;
        }
        push(&now);
    }
    Ok(())
}

fn item(input: &str) -> IResult<&str, Item> {
    alt((
        map(preceded(char('_'), opt(times)), |count| Item::Gaps(count.unwrap_or(1))),
        histograms,
        floats,
    ))
    .parse(input)
}

/// `x5`
fn times(input: &str) -> IResult<&str, u64> {
    preceded(char('x'), map_opt(digit1, |digits: &str| digits.parse().ok())).parse(input)
}

fn floats(input: &str) -> IResult<&str, Item> {
    let stale = map(tag("stale"), |_| stale_nan());
    let (input, first) = alt((stale, number)).parse(input)?;
    let (input, repeat) = opt(pair(opt(signed), times)).parse(input)?;
    let (step, more) = repeat.unwrap_or_default();
    Ok((input, Item::Floats { first, step: step.unwrap_or(0.0), more }))
}

fn number(input: &str) -> IResult<&str, f64> {
    alt((signed, unsigned)).parse(input)
}

fn signed(input: &str) -> IResult<&str, f64> {
    let (input, sign) = one_of("+-").parse(input)?;
    let (input, value) = unsigned(input)?;
    Ok((input, if sign == '-' { -value } else { value }))
}

fn unsigned(input: &str) -> IResult<&str, f64> {
    let word = alt((tag_no_case("inf"), tag_no_case("nan")));
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    let digits = take_while1(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
    let written = alt((word, recognize((digits, opt(exponent)))));
    map_opt(written, |text| parse_number(text).ok()).parse(input)
}

fn histograms(input: &str) -> IResult<&str, Item> {
    let (input, first) = histogram(input)?;
    let sign = alt((char('+'), char('-')));
    let (input, step) = opt(pair(sign, histogram)).parse(input)?;
    let (input, more) = match &step {
        Some(_) => map(times, Some).parse(input)?,
        None => opt(times).parse(input)?,
    };
    let step = step.map(|(sign, step)| (sign == '-', step));
    Ok((input, Item::Histograms { first: Box::new(first), step, more: more.unwrap_or(0) }))
}

fn histogram(input: &str) -> IResult<&str, Written> {
    let inner = delimited(tag("{{"), take_until("}}"), tag("}}"));
    map_opt(inner, |text: &str| all_consuming(pairs).parse(text.trim()).ok()?.1).parse(input)
}

/// The pairs of a histogram; nothing if one of them is wrong or is there twice.
fn pairs(input: &str) -> IResult<&str, Option<Written>> {
    let word = take_while1(|c: char| c.is_ascii_lowercase() || c == '_');
    let set = recognize(delimited(char('['), take_while(|c| c != ']'), char(']')));
    let value = alt((set, take_while1(|c: char| !c.is_whitespace())));
    let pair = pair(terminated(word, char(':')), value);
    let (input, pairs) = separated_list0(multispace1, pair).parse(input)?;
    let mut histogram = Written::default();
    let mut seen = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        if seen.contains(&key) || histogram.set(key, value).is_none() {
            return map(rest, |_| None).parse(input);
        }
        seen.push(key);
    }
    Ok((input, Some(histogram)))
}

impl Written {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let float = || all_consuming(number).parse(value).ok().map(|(_, value)| value);
        let integer = || value.parse::<i32>().ok();
        match key {
            "schema" => self.schema = integer()?,
            "sum" => self.sum = float()?,
            "count" => self.count = float()?,
            "z_bucket" => self.zero_count = float()?,
            "z_bucket_w" => self.zero_threshold = float()?,
            "custom_values" => self.custom_values = numbers(value)?,
            "offset" => self.offset = integer()?,
            "buckets" => self.buckets = numbers(value)?,
            "n_offset" => self.negative_offset = integer()?,
            "n_buckets" => self.negative_buckets = numbers(value)?,
            "counter_reset_hint" => {
                self.hint = Some(match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return None,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

/// `[1 2 3]`
fn numbers(text: &str) -> Option<Vec<f64>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    all_consuming(separated_list0(multispace1, number)).parse(inner).ok().map(|(_, list)| list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::Counts;
    use SeriesValue::{Float, Gap};

    fn values(text: &str) -> Vec<SeriesValue> {
        series(&format!("m {text}")).unwrap().1
    }

    #[test]
    fn values_unfold() {
        assert_eq!(values("1 2x2 _"), [Float(1.0), Float(2.0), Float(2.0), Float(2.0), Gap]);
        assert_eq!(values("_x3"), [Gap, Gap, Gap]);
        assert_eq!(values("1+2x2"), [Float(1.0), Float(3.0), Float(5.0)]);
        assert_eq!(values("-1-0.5x1 +Inf"), [Float(-1.0), Float(-1.5), Float(f64::INFINITY)]);
        assert_eq!(values("1e3-1e-1x1"), [Float(1000.0), Float(999.9)]);
        let [Float(stale)] = values("stale")[..] else { panic!() };
        assert!(crate::model::is_stale(stale));
    }

    #[test]
    fn labels_may_hold_anything_in_quotes() {
        let (labels, values) = series(r#"m{a="}\"{", "b c"='x'} 1"#).unwrap();
        assert_eq!(labels.to_string(), r#"{__name__="m", a="}\"{", "b c"="x"}"#);
        assert_eq!(values, [Float(1.0)]);
        assert_eq!(series(r#"{a="b"}"#).unwrap().1, []);
    }

    #[test]
    fn histograms_are_read_with_their_steps() {
        let text = "{{schema:0 sum:-0.5 count:4 buckets:[1 2 1] offset:-2}}-{{count:1}}x2 {{}}";
        let values = values(text);
        assert_eq!(values.len(), 4);
        let SeriesValue::Histogram { one, has_hint: false } = &values[2] else { panic!() };
        assert_eq!((one.layout.schema, one.sum), (0, -0.5));
        assert_eq!(one.layout.positive, [Span::new(-2, 3)]);
        let Counts::Float { count, buckets, .. } = &one.counts else { panic!() };
        assert_eq!((*count, &buckets[..]), (2.0, &[1.0, 2.0, 1.0][..]));
    }

    #[test]
    fn what_is_no_series_is_refused() {
        let cases = [
            "m 1y",
            "m 1x",
            "m {{count:1 count:2}}",
            "m {{what:1}}",
            "m 1 {a=\"b\"}",
            "m{a=} 1",
            "m x3",
            "m 0x",
            "m 1x9999999999",
            "m 1+1",
            "{{}}x",
        ];
        for line in cases {
            assert!(series(line).is_err(), "{line}");
        }
    }
}
