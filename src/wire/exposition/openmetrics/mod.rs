//! Reading a page in OpenMetrics 1.0, without copying or allocating.
//!
//! Stricter than [`super::text`]: one space between words, no empty lines, `# EOF` at the end.
//! Times are seconds. A sample's raw text is decoded by [`super::text::series_labels`], as the
//! two formats write names and labels alike.
//!
//! Useful for: scraping such pages, and filling a store from a file of them.
//! Not useful for: telling whether suffixes and families follow the standard, which is not
//! checked, as in Prometheus.

mod words;

use std::fmt;

use crate::base::gonum::{FloatError, parse_float};
use crate::base::quote::{quote, quoted};
use crate::model::{MetricKind, ORDINARY_NAN_BITS};

use super::text::RawSample;
use words::{Kind, Word, Words};

/// One line of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry<'a> {
    /// A series and its value.
    Sample(RawSample<'a>, Option<RawExemplar<'a>>),
    /// `# HELP`: a metric's name and the text, still escaped as label values are.
    Help {
        /// Name as written, without quotes around it.
        name: &'a str,
        /// Text as written.
        text: &'a str,
    },
    /// `# TYPE`: a metric's name and kind.
    Type {
        /// Name as written, without quotes around it.
        name: &'a str,
        /// The kind.
        kind: MetricKind,
    },
    /// `# UNIT`: a metric's name and unit, which is the name's end or empty.
    Unit {
        /// Name as written, without quotes around it.
        name: &'a str,
        /// The unit.
        unit: &'a str,
    },
}

/// An exemplar as it stands on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawExemplar<'a> {
    /// Its labels as exposed, in braces. [`super::text::each_label`] reads them.
    pub labels: &'a str,
    /// The value; a NaN is the ordinary one.
    pub value: f64,
    /// Milliseconds since the epoch, if the page gives a time.
    pub timestamp_ms: Option<i64>,
}

/// Why a page could not be read on, and where; the text is Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMetricsError {
    /// Number of the line, from 1.
    pub line: usize,
    what: String,
}

impl fmt::Display for OpenMetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for OpenMetricsError {}

/// Iterates over the entries of a page; ends after the first error.
#[derive(Debug, Clone)]
pub struct Parser<'a> {
    words: Words<'a>,
    kind: MetricKind,
    /// Where the line starts; messages show it from there.
    line_start: usize,
    ended: bool,
}

const NO_EOF: &str = "data does not end with # EOF";

impl<'a> Parser<'a> {
    /// Starts at the first line of `page`.
    #[must_use]
    pub const fn new(page: &'a [u8]) -> Self {
        let words = Words { page, at: 0 };
        Self { words, kind: MetricKind::Unknown, line_start: 0, ended: false }
    }

    /// How many bytes have been read.
    #[must_use]
    pub const fn position_bytes(&self) -> usize {
        self.words.at
    }

    fn bytes(&self, (start, end): (usize, usize)) -> &'a [u8] {
        self.words.page.get(start..end).unwrap_or_default()
    }

    fn text(&self, part: (usize, usize)) -> Result<&'a str, OpenMetricsError> {
        std::str::from_utf8(self.bytes(part)).map_err(|_| self.at_fault("invalid UTF-8"))
    }

    fn line(&mut self) -> Result<Option<Entry<'a>>, OpenMetricsError> {
        self.line_start = self.words.at;
        let word = self.words.line_start();
        match word.kind {
            Kind::EofWord if word.end == self.words.page.len() => Ok(None),
            Kind::EofWord => Err(self.error("unexpected data after # EOF".to_owned())),
            Kind::Eof => Err(self.error(NO_EOF.to_owned())),
            Kind::Help | Kind::Type | Kind::Unit => self.described(word.kind).map(Some),
            Kind::MetricName | Kind::BraceOpen => self.sample(word).map(Some),
            _ => Err(self.expected("expected a valid start token", word)),
        }
    }

    fn described(&mut self, of: Kind) -> Result<Entry<'a>, OpenMetricsError> {
        let name = self.words.described_name();
        if name.kind != Kind::MetricName {
            return Err(self.expected(&format!("expected metric name after {}", of.text()), name));
        }
        let is_quoted = self.bytes((name.start, name.end)).starts_with(b"\"");
        let quote_bytes = usize::from(is_quoted);
        let name = self.text((name.start + quote_bytes, name.end - quote_bytes))?;
        let Some(text) = self.words.described_text() else {
            return Err(self.error(format!("expected text in {}", of.text())));
        };
        let bytes = self.bytes(text);
        match of {
            Kind::Help => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Entry::Help { name, text }),
                Err(_) => {
                    let text = quoted(bytes);
                    Err(self.error(format!("help text {text} is not a valid utf8 string")))
                }
            },
            Kind::Type => {
                self.kind = metric_kind(bytes)
                    .ok_or_else(|| self.error(format!("invalid metric type {}", quoted(bytes))))?;
                Ok(Entry::Type { name, kind: self.kind })
            }
            _ => {
                let unit = self.text(text)?;
                let stem = name.strip_suffix(unit);
                if unit.is_empty() || stem.is_some_and(|stem| stem.ends_with('_')) {
                    return Ok(Entry::Unit { name, unit });
                }
                let (unit, name) = (quoted(unit), quoted(name));
                Err(self.error(format!("unit {unit} not a suffix of metric {name}")))
            }
        }
    }

    fn sample(&mut self, first: Word) -> Result<Entry<'a>, OpenMetricsError> {
        let mut named = first.kind == Kind::MetricName;
        let mut word = if named { self.words.value() } else { first };
        let mut end = first.end;
        if word.kind == Kind::BraceOpen {
            named = self.labels(Some(named))?;
            end = self.words.at;
            word = self.words.value();
        }
        if !named {
            return Err(self.at_fault("metric name not set"));
        }
        let value = self.value(word, "metric")?;
        let mut word = self.words.behind_value(false);
        let mut timestamp_ms = None;
        if word.kind == Kind::Timestamp {
            timestamp_ms = Some(self.timestamp(word, "timestamp")?);
            word = self.words.behind_value(false);
        }
        let exemplar = match word.kind {
            Kind::Linebreak => None,
            Kind::Comment => Some(self.exemplar(word)?),
            Kind::Eof => return Err(self.error(NO_EOF.to_owned())),
            _ => return Err(self.expected("expected next entry after timestamp", word)),
        };
        let series = self.text((first.start, end))?;
        let sample = RawSample { series, value, timestamp_ms, kind: self.kind };
        Ok(Entry::Sample(sample, exemplar))
    }

    fn exemplar(&mut self, opening: Word) -> Result<RawExemplar<'a>, OpenMetricsError> {
        self.labels(None)?;
        let labels = self.text((opening.end - 1, self.words.at))?;
        let word = self.words.value();
        let value = self.value(word, "exemplar labels")?;
        let mut word = self.words.behind_value(true);
        let mut timestamp_ms = None;
        if word.kind == Kind::Timestamp {
            timestamp_ms = Some(self.timestamp(word, "exemplar timestamp")?);
            word = self.words.behind_value(true);
        }
        match word.kind {
            Kind::Linebreak => Ok(RawExemplar { labels, value, timestamp_ms }),
            Kind::Eof => Err(self.error(NO_EOF.to_owned())),
            _ if timestamp_ms.is_some() => {
                Err(self.expected("expected next entry after exemplar timestamp", word))
            }
            _ => Err(self.expected("expected timestamp or comment", word)),
        }
    }

    /// Passes over what stands between the braces; true if the metric has a name by then. `named`
    /// says whether it had one before; for an exemplar, which has none, it is `None`.
    fn labels(&mut self, named: Option<bool>) -> Result<bool, OpenMetricsError> {
        let is_exemplar = named.is_none();
        let mut named = named.unwrap_or_default();
        let mut word = self.words.in_braces(is_exemplar);
        loop {
            match word.kind {
                Kind::BraceClose => return Ok(named),
                Kind::LabelName | Kind::Quoted => {}
                _ => return Err(self.expected("expected label name", word)),
            }
            let is_quoted = word.kind == Kind::Quoted;
            word = self.words.in_braces(is_exemplar);
            if is_quoted && matches!(word.kind, Kind::Comma | Kind::BraceClose) {
                if is_exemplar {
                    return Err(self.expected("expected label name", word));
                }
                if named {
                    return Err(self.at_fault("metric name already set"));
                }
                named = true;
                if word.kind == Kind::Comma {
                    word = self.words.in_braces(is_exemplar);
                }
                continue;
            }
            if word.kind != Kind::Equal {
                return Err(self.expected("expected equal", word));
            }
            let value = self.words.label_value();
            if value.kind != Kind::LabelValue {
                return Err(self.expected("expected label value", value));
            }
            let bytes = self.bytes((value.start, value.end));
            if std::str::from_utf8(bytes).is_err() {
                let value = quoted(bytes);
                return Err(self.error(format!("invalid UTF-8 label value: {value}")));
            }
            word = self.words.in_braces(is_exemplar);
            match word.kind {
                Kind::Comma => word = self.words.in_braces(is_exemplar),
                Kind::BraceClose => {}
                _ => return Err(self.expected("expected comma or brace close", word)),
            }
        }
    }

    fn value(&self, word: Word, after: &str) -> Result<f64, OpenMetricsError> {
        if word.kind != Kind::Value {
            return Err(self.expected(&format!("expected value after {after}"), word));
        }
        let value = self.float(word)?;
        Ok(if value.is_nan() { f64::from_bits(ORDINARY_NAN_BITS) } else { value })
    }

    fn float(&self, word: Word) -> Result<f64, OpenMetricsError> {
        let text = self.text((word.start + 1, word.end))?;
        parse_float(text).map_err(|error| self.bad_float(text, error))
    }

    #[cold]
    fn bad_float(&self, text: &str, error: FloatError) -> OpenMetricsError {
        if text.contains(['p', 'P', '_']) {
            return self.at_fault("unsupported character in float");
        }
        let text = quoted(text);
        self.at_fault(&format!("strconv.ParseFloat: parsing {text}: {error}"))
    }

    /// Milliseconds of a time in seconds; what is finer is cut off.
    fn timestamp(&self, word: Word, what: &str) -> Result<i64, OpenMetricsError> {
        let time_ms = self.float(word)? * 1000.0;
        // The bounds are those of i64, of which the upper is the next power of two as a float.
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&time_ms) {
            return Ok(time_ms as i64);
        }
        let text = String::from_utf8_lossy(self.bytes((word.start + 1, word.end)));
        Err(self.error(format!("invalid {what} {text}")))
    }

    #[cold]
    fn error(&self, what: String) -> OpenMetricsError {
        let before = self.bytes((0, self.line_start));
        OpenMetricsError { line: before.iter().filter(|byte| **byte == b'\n').count() + 1, what }
    }

    /// A message that names the word found instead, with the byte at which it broke off.
    #[cold]
    fn expected(&self, what: &str, got: Word) -> OpenMetricsError {
        let end = (got.end + 1).min(self.words.page.len());
        // At the end of the page there is only the word before to be shown.
        let start = if got.kind == Kind::Eof { self.line_start } else { got.start };
        let mut text = format!("{what}, got ");
        quote(&mut text, self.bytes((start, end)));
        text.push_str(&format!(" (\"{}\") while parsing: ", got.kind.text()));
        quote(&mut text, self.bytes((self.line_start, end)));
        self.error(text)
    }

    #[cold]
    fn at_fault(&self, what: &str) -> OpenMetricsError {
        let mut text = format!("{what} while parsing: ");
        quote(&mut text, self.bytes((self.line_start, self.words.at)));
        self.error(text)
    }
}

fn metric_kind(text: &[u8]) -> Option<MetricKind> {
    use MetricKind::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet, Unknown]
        .into_iter()
        .find(|kind| kind.text().as_bytes() == text)
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, OpenMetricsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.line().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

#[cfg(test)]
mod tests;
