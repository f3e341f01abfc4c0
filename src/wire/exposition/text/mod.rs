//! Reading a page in the text format 0.0.4, without copying or allocating.
//!
//! [`Parser`] cuts a page into entries. A sample keeps its name and labels as the raw text that was
//! exposed: the key of a scraper's cache, so that labels are decoded once a series, by
//! [`series_labels`] or [`each_label`], and not once a scrape.

use std::borrow::Cow;
use std::fmt;

use crate::base::gonum::{FloatError, format_open_metrics, parse_float};
use crate::base::quote::{quote, quoted};
use crate::model::{LabelError, LabelsBuf, METRIC_NAME, MetricKind, ORDINARY_NAN_BITS};

use super::scan::{Fault, Kind, Part, Scan, Word};

/// One line of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry<'a> {
    /// A series and its value.
    Sample(RawSample<'a>),
    /// `# HELP`: a metric's name and the text, still escaped; see [`unescape_help`].
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
        /// Kind; `untyped` is [`MetricKind::Unknown`].
        kind: MetricKind,
    },
    /// Any other line that starts with `#`.
    Comment,
}

/// A sample as it stands on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawSample<'a> {
    /// Name and labels as exposed. Input of [`series_labels`].
    pub series: &'a str,
    /// The value; a NaN is the ordinary one, never the staleness marker.
    pub value: f64,
    /// Milliseconds since the epoch, if the page gives a time.
    pub timestamp_ms: Option<i64>,
    /// Kind given by the nearest `# TYPE` above, whatever name that had; as upstream.
    pub kind: MetricKind,
}

/// Why a page could not be read on; the text is Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageError(String);

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PageError {}

/// Iterates over the entries of a page; ends after the first error.
#[derive(Debug, Clone)]
pub struct Parser<'a> {
    scan: Scan<'a>,
    /// The page as text, if all of it is valid UTF-8: then no part needs a second check.
    text: Option<&'a str>,
    kind: MetricKind,
    /// Where the line starts; messages show it from there.
    line_start: usize,
    ended: bool,
}

impl<'a> Parser<'a> {
    /// Starts at the first line of `page`.
    #[must_use]
    pub fn new(page: &'a [u8]) -> Self {
        let text = std::str::from_utf8(page).ok();
        let scan = Scan { page, at: 0 };
        Self { scan, text, kind: MetricKind::Unknown, line_start: 0, ended: false }
    }

    #[inline]
    fn text(&self, (start, end): (usize, usize)) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(start..end),
            None => std::str::from_utf8(self.scan.page.get(start..end)?).ok(),
        }
    }

    fn line(&mut self) -> Result<Option<Entry<'a>>, PageError> {
        loop {
            self.line_start = self.scan.at;
            self.scan.skip_blanks();
            match self.scan.peek() {
                None | Some(0) => return Ok(None),
                Some(b'\n') => self.scan.at += 1,
                Some(b'#') => return self.comment().map(Some),
                Some(_) => return self.sample().map(Some),
            }
        }
    }

    fn sample(&mut self) -> Result<Entry<'a>, PageError> {
        let start = self.scan.at;
        let mut named = self.scan.peek() != Some(b'{');
        if named {
            let name = self.scan.metric_name();
            if name.kind == Kind::Invalid {
                return Err(self.expected("expected a valid start token", name));
            }
        }
        let mut end = self.scan.at;
        let mut word = self.scan.value();
        if word.kind == Kind::BraceOpen {
            named = self.labels(named)?;
            end = self.scan.at;
            word = self.scan.value();
        }
        if !named {
            return Err(self.at_fault("metric name not set"));
        }
        if word.kind != Kind::Value {
            return Err(self.expected("expected value after metric", word));
        }
        let value = self.value(word)?;
        let timestamp_ms = self.timestamp()?;
        let Some(series) = self.text((start, end)) else {
            return Err(self.at_fault("invalid UTF-8 in series"));
        };
        Ok(Entry::Sample(RawSample { series, value, timestamp_ms, kind: self.kind }))
    }

    /// Passes over what stands between the braces; true if the metric has a name by then.
    fn labels(&mut self, mut named: bool) -> Result<bool, PageError> {
        let mut scan = self.scan;
        let mut broken = None;
        let passed = scan.labels(named, |part| match part {
            Part::MetricName(_) => named = true,
            Part::Label(_, value) if self.text.is_none() && broken.is_none() => {
                let bytes = self.scan.page.get(value.start..value.end).unwrap_or_default();
                broken = std::str::from_utf8(bytes).is_err().then_some(bytes);
            }
            Part::Label(..) => {}
        });
        self.scan = scan;
        if let Some(bytes) = broken {
            let mut text = String::from("invalid UTF-8 label value: ");
            quote(&mut text, bytes);
            return Err(PageError(text));
        }
        match passed {
            Ok(()) => Ok(named),
            Err(Fault::Expected(what, word)) => Err(self.expected(what, word)),
            Err(Fault::NameAlreadySet) => Err(self.at_fault("metric name already set")),
        }
    }

    fn value(&self, word: Word) -> Result<f64, PageError> {
        let Some(text) = self.text((word.start, word.end)) else {
            return Err(self.at_fault("invalid UTF-8 in value"));
        };
        match parse_float(text) {
            Ok(value) if value.is_nan() => Ok(f64::from_bits(ORDINARY_NAN_BITS)),
            Ok(value) => Ok(value),
            Err(error) => Err(self.bad_float(text, error)),
        }
    }

    #[cold]
    fn bad_float(&self, text: &str, error: FloatError) -> PageError {
        if text.contains(['p', 'P', '_']) {
            return self.at_fault("unsupported character in float");
        }
        let mut what = String::from("strconv.ParseFloat: parsing ");
        quote(&mut what, text.as_bytes());
        self.at_fault(&format!("{what}: {error}"))
    }

    fn timestamp(&mut self) -> Result<Option<i64>, PageError> {
        let word = self.scan.timestamp();
        if word.kind == Kind::Linebreak {
            return Ok(None);
        }
        if word.kind != Kind::Timestamp {
            return Err(self.expected("expected timestamp or new record", word));
        }
        let digits = self.text((word.start, word.end)).unwrap_or_default();
        let Ok(timestamp_ms) = digits.parse() else {
            let what = format!("strconv.ParseInt: parsing \"{digits}\": value out of range");
            return Err(self.at_fault(&what));
        };
        let next = self.scan.timestamp();
        if next.kind == Kind::Linebreak {
            Ok(Some(timestamp_ms))
        } else {
            Err(self.expected("expected next entry after timestamp", next))
        }
    }

    fn comment(&mut self) -> Result<Entry<'a>, PageError> {
        let mark = self.scan.at;
        self.scan.at += 1;
        self.scan.skip_blanks();
        let word = self.scan.rest().first_chunk::<5>();
        let is_help = match word {
            _ if self.scan.at == mark + 1 => None,
            Some([b'H', b'E', b'L', b'P', b' ' | b'\t']) => Some(true),
            Some([b'T', b'Y', b'P', b'E', b' ' | b'\t']) => Some(false),
            _ => None,
        };
        let Some(is_help) = is_help else {
            self.scan.skip_line();
            self.scan.at += 1;
            return Ok(Entry::Comment);
        };
        self.scan.at += 4;
        self.scan.skip_blanks();
        let name = self.scan.described_name();
        if name.kind == Kind::Invalid {
            let after = if is_help { "HELP" } else { "TYPE" };
            return Err(self.expected(&format!("expected metric name after {after}"), name));
        }
        let start = self.scan.at;
        self.scan.skip_line();
        // One blank stands between the name and the text; what is more belongs to the text.
        let text = (self.scan.at.min(start + 1), self.scan.at);
        self.scan.at += 1;
        self.described(is_help, name, text)
    }

    fn described(
        &mut self,
        is_help: bool,
        name: Word,
        text: (usize, usize),
    ) -> Result<Entry<'a>, PageError> {
        let Some(name) = self.text(name.inside()) else {
            return Err(self.at_fault("invalid UTF-8 in metric name"));
        };
        let bytes = self.scan.page.get(text.0..text.1).unwrap_or_default();
        if is_help {
            return match self.text(text) {
                Some(text) => Ok(Entry::Help { name, text }),
                None => {
                    let text = quoted(bytes);
                    Err(PageError(format!("help text {text} is not a valid utf8 string")))
                }
            };
        }
        self.kind = match bytes {
            b"counter" => MetricKind::Counter,
            b"gauge" => MetricKind::Gauge,
            b"histogram" => MetricKind::Histogram,
            b"summary" => MetricKind::Summary,
            b"untyped" => MetricKind::Unknown,
            _ => return Err(PageError(format!("invalid metric type {}", quoted(bytes)))),
        };
        Ok(Entry::Type { name, kind: self.kind })
    }

    /// A message that names the word found instead, with the byte at which it broke off.
    #[cold]
    fn expected(&self, what: &str, got: Word) -> PageError {
        let end = (got.end + 1).min(self.scan.page.len() + 1);
        let mut text = format!("{what}, got ");
        self.quote(&mut text, got.start, end);
        text.push_str(&format!(" (\"{}\") while parsing: ", got.kind.text()));
        self.quote(&mut text, self.line_start, end);
        PageError(text)
    }

    #[cold]
    fn at_fault(&self, what: &str) -> PageError {
        let mut text = format!("{what} while parsing: ");
        self.quote(&mut text, self.line_start, self.scan.at);
        PageError(text)
    }

    /// Quotes a part of the page, where the newline behind it counts as written.
    fn quote(&self, out: &mut String, start: usize, end: usize) {
        let page = self.scan.page;
        let mut bytes = page.get(start..end.min(page.len())).unwrap_or_default().to_vec();
        if end > page.len() {
            bytes.push(b'\n');
        }
        quote(out, &bytes);
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, PageError>;

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

/// Decodes the raw text of a sample into a label set, the metric's name among it. `kind` is the
/// sample's: values of `le` (histograms) and `quantile` (summaries) get their one canonical form.
///
/// # Errors
/// A label name that stands there twice.
pub fn series_labels(
    series: &str,
    kind: MetricKind,
    into: &mut LabelsBuf,
) -> Result<(), LabelError> {
    into.clear();
    each_label(series, kind, |name, value| into.push(name, value));
    into.finish().map(|_| ())
}

/// Like [`series_labels`], one label after the other as exposed: the metric's name first, empty
/// values and repeated names too. A text that no [`Parser`] gave yields what can be understood.
pub fn each_label(series: &str, kind: MetricKind, mut each: impl FnMut(&str, &str)) {
    let mut scan = Scan { page: series.as_bytes(), at: 0 };
    let text = |word: Word| {
        let (start, end) = word.inside();
        series.get(start..end).unwrap_or_default()
    };
    let named = scan.peek() != Some(b'{');
    if named {
        let name = scan.metric_name();
        each(METRIC_NAME, text(name));
    }
    if scan.value().kind != Kind::BraceOpen {
        return;
    }
    // The parser has passed over these braces before, so a fault cannot be new.
    let _ = scan.labels(named, |part| match part {
        Part::MetricName(name) => each(METRIC_NAME, &unescape_label(text(name))),
        Part::Label(name, value) => {
            let name = unescape_label(text(name));
            let value = unescape_label(text(value));
            match canonical_float(kind, &name, &value) {
                Some(canonical) => each(&name, &canonical),
                None => each(&name, &value),
            }
        }
    });
}

fn canonical_float(kind: MetricKind, name: &str, value: &str) -> Option<String> {
    match (kind, name) {
        (MetricKind::Histogram, "le") | (MetricKind::Summary, "quantile") => {
            let mut text = String::new();
            format_open_metrics(&mut text, parse_float(value).ok()?);
            Some(text)
        }
        _ => None,
    }
}

fn unescape_label(text: &str) -> Cow<'_, str> {
    unescape(text, |escaped| matches!(escaped, '"' | '\\' | 'n'))
}

/// The text of a `# HELP` line as its author wrote it.
#[must_use]
pub fn unescape_help(text: &str) -> Cow<'_, str> {
    unescape(text, |escaped| matches!(escaped, '\\' | 'n'))
}

/// Takes away backslashes before the chars that may be escaped; all others stay.
fn unescape(text: &str, may_be_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.next_if(|next| c == '\\' && may_be_escaped(*next)) {
            Some('n') => out.push('\n'),
            Some(escaped) => out.push(escaped),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
