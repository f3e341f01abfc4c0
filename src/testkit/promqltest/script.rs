//! The commands of a script.
//!
//! Lines are trimmed, comments count as empty lines, and an empty line ends a command.

use std::collections::BTreeMap;

use nom::bytes::complete::{tag, take_till1};
use nom::character::complete::{alpha1, space1};
use nom::combinator::{opt, rest};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use crate::base::duration::parse_duration_ms;
use crate::model::Labels;
use crate::model::regex::Regex;
use crate::promql::parse_number;

use super::series::{SeriesValue, metric_end, series};
use super::starts::offsets;

/// What is wrong with a script, and in which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// A command and the line that it starts in, from 1 on.
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) kind: CommandKind,
}

pub(super) enum CommandKind {
    /// Forget all series.
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to add, their samples `step_ms` apart from time 0 on.
pub(super) struct Load {
    pub(super) step_ms: i64,
    /// Native histograms are derived from classic ones.
    pub(super) with_nhcb: bool,
    pub(super) series: BTreeMap<Labels, LoadedSeries>,
}

pub(super) struct LoadedSeries {
    pub(super) values: Vec<SeriesValue>,
    /// Since when each value counts, in milliseconds from its time on; empty if that is not known
    /// of any.
    pub(super) starts: Vec<Option<i64>>,
}

/// A query and what it is expected to answer.
pub(super) struct Eval {
    pub(super) query: String,
    pub(super) is_range: bool,
    /// The instant of an instant query.
    pub(super) at_ms: i64,
    /// Where the first expected value stands.
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
    /// An instant query that is not to be asked as a range query.
    pub(super) instant_only: bool,
    pub(super) ordered: bool,
    pub(super) fail: Option<Expectation>,
    pub(super) warnings: Notes,
    pub(super) infos: Notes,
    pub(super) text: Option<String>,
    pub(super) value: Expected,
}

/// What is expected of the warnings or of the infos.
#[derive(Default)]
pub(super) struct Notes {
    /// Each must be there, and nothing else; without any, all is fine.
    pub(super) expected: Vec<Expectation>,
    /// At least one must be there.
    pub(super) some: bool,
    /// None may be there.
    pub(super) none: bool,
}

pub(super) enum Expectation {
    Any,
    Text(String),
    Pattern(Regex),
}

pub(super) enum Expected {
    Scalar(f64),
    /// By label set; with the place among the expected lines.
    Series(BTreeMap<Labels, (usize, Vec<SeriesValue>)>),
}

impl Expectation {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(wanted) => wanted == text,
            Self::Pattern(regex) => regex.is_match(text),
        }
    }
}

/// The lines of a script, trimmed, comments left out.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.split('\n').map(str::trim);
    lines.map(|line| if line.starts_with('#') { "" } else { line }).collect()
}

/// The lines that hold an evaluation, from 1 on: what can be told of a script that cannot be read.
pub(super) fn eval_lines(text: &str) -> Vec<usize> {
    let lines = lines(text).into_iter().enumerate();
    let evals = lines.filter(|(_, line)| first_word(line).starts_with("eval"));
    evals.map(|(index, _)| index + 1).collect()
}

fn first_word(line: &str) -> String {
    line.split([' ', '\t']).next().unwrap_or_default().to_lowercase()
}

/// Reads a script.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let mut reader = Reader { lines: lines(text), next: 0 };
    let mut commands = Vec::new();
    while let Some(first) = reader.take() {
        if first.is_empty() {
            continue;
        }
        let line = reader.next;
        let kind = match first_word(first).as_str() {
            "clear" => CommandKind::Clear,
            word if word.starts_with("load") => CommandKind::Load(reader.load(first)?),
            word if word.starts_with("eval") => CommandKind::Eval(Box::new(reader.eval(first)?)),
            _ => return Err(reader.error(format!("invalid command {first:?}"))),
        };
        commands.push(Command { line, kind });
    }
    Ok(commands)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    /// Index of the next line; number of the last one.
    next: usize,
}

type Read<T> = Result<T, ScriptError>;

impl<'a> Reader<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next).copied()?;
        self.next += 1;
        Some(line)
    }

    /// The next line of a command.
    fn take_block(&mut self) -> Option<&'a str> {
        self.lines.get(self.next).filter(|line| !line.is_empty())?;
        self.take()
    }

    fn error(&self, message: impl Into<String>) -> ScriptError {
        ScriptError { line: self.next, message: message.into() }
    }

    fn duration(&self, text: &str) -> Read<i64> {
        parse_duration_ms(text).map_err(|error| self.error(error.to_string()))
    }

    fn load(&mut self, first: &str) -> Read<Load> {
        let (with_nhcb, step) = match first.split_once([' ', '\t']) {
            Some(("load", step)) => (false, step),
            Some(("load_with_nhcb", step)) => (true, step),
            _ => return Err(self.error("expected load[_with_nhcb] <step>")),
        };
        let step_ms = self.duration(step.trim())?;
        let mut all = BTreeMap::new();
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        while let Some(line) = self.take_block() {
            if let Some((metric, items)) = starts_line(line) {
                if starts.is_some() {
                    return Err(self.error("@st line has no following sample line"));
                }
                let (labels, _) = series(metric).map_err(|error| self.error(error))?;
                starts = Some((labels, offsets(items).map_err(|error| self.error(error))?));
                continue;
            }
            let (labels, values) = series(line).map_err(|error| self.error(error))?;
            let starts = match starts.take() {
                None => Vec::new(),
                Some((of, starts)) if of == labels && starts.len() == values.len() => starts,
                Some(_) => return Err(self.error("@st line does not fit the sample line")),
            };
            all.insert(labels, LoadedSeries { values, starts });
        }
        if starts.is_some() {
            return Err(self.error("@st line has no following sample line"));
        }
        Ok(Load { step_ms, with_nhcb, series: all })
    }

    fn eval(&mut self, first: &str) -> Read<Eval> {
        let mut eval = match head(first) {
            Ok((_, head)) => self.times(head)?,
            Err(_) => return Err(self.error("invalid evaluation command")),
        };
        let mut series_count = 0;
        while let Some(line) = self.take_block() {
            if eval.legacy_fail(line).map_err(|error| self.error(error))? {
                break;
            }
            if line == "expect" || line.starts_with("expect ") {
                self.expect(line, &mut eval)?;
            } else if let Some(value) = bare_number(line) {
                eval.value = Expected::Scalar(value);
                break;
            } else {
                series_count += 1;
                self.expected_series(line, series_count, &mut eval)?;
            }
        }
        Ok(eval)
    }

    fn times(&self, head: Head<'_>) -> Read<Eval> {
        let is_range = head.to.is_some();
        let start_ms = self.duration(head.from)?;
        let end_ms = head.to.map_or(Ok(start_ms), |to| self.duration(to))?;
        let step_ms = head.step.map_or(Ok(0), |step| self.duration(step))?;
        if end_ms < start_ms {
            return Err(self.error("the end is before the start"));
        }
        let legacy = |name: &str| head.kind == Some(name);
        if !matches!(head.kind, None | Some("fail" | "warn" | "info" | "ordered")) {
            return Err(self.error("invalid evaluation command"));
        }
        Ok(Eval {
            query: head.query.to_owned(),
            is_range,
            at_ms: start_ms,
            start_ms,
            end_ms,
            step_ms,
            instant_only: false,
            ordered: legacy("ordered"),
            fail: legacy("fail").then_some(Expectation::Any),
            warnings: Notes { some: legacy("warn"), ..Notes::default() },
            infos: Notes { some: legacy("info"), ..Notes::default() },
            text: None,
            value: Expected::Series(BTreeMap::new()),
        })
    }

    fn expected_series(&self, line: &str, place: usize, eval: &mut Eval) -> Read<()> {
        let (labels, values) = series(line).map_err(|error| self.error(error))?;
        if values.len() > 1 && !eval.is_range && !eval.instant_only {
            return Err(self.error("expecting multiple values in instant evaluation"));
        }
        match &mut eval.value {
            Expected::Series(all) => all.insert(labels, (place, values)),
            Expected::Scalar(_) => return Err(self.error("a number and series at once")),
        };
        Ok(())
    }

    fn expect(&self, line: &str, eval: &mut Eval) -> Read<()> {
        let what = line.strip_prefix("expect").unwrap_or_default().trim_start();
        if let Some(range) = what.strip_prefix("range vector") {
            let Ok((_, (start, end, step))) = range_times(range.trim_start()) else {
                return Err(self.error("invalid range vector definition"));
            };
            eval.start_ms = self.duration(start)?;
            eval.end_ms = self.duration(end)?;
            eval.step_ms = self.duration(step)?;
            eval.at_ms = eval.end_ms;
            eval.instant_only = true;
            return Ok(());
        }
        if let Some(text) = what.strip_prefix("string") {
            let text = unquoted(text.trim_start()).ok_or_else(|| {
                self.error("expected string literal not valid - a quoted string is required")
            })?;
            (eval.text, eval.instant_only) = (Some(text), true);
            return Ok(());
        }
        self.expect_kind(what, eval)
    }

    fn expect_kind(&self, what: &str, eval: &mut Eval) -> Read<()> {
        let (kind, how) = what.split_once([' ', '\t']).unwrap_or((what, ""));
        let expectation = match how.trim_start().split_once(':') {
            None if how.trim().is_empty() => Expectation::Any,
            Some(("msg", text)) => Expectation::Text(text.trim().to_owned()),
            Some(("regex", pattern)) => {
                pattern_of(pattern.trim()).map_err(|error| self.error(error))?
            }
            _ => return Err(self.error("invalid expect statement")),
        };
        match kind {
            "ordered" => eval.ordered = true,
            "fail" if eval.fail.is_none() => eval.fail = Some(expectation),
            "fail" => return Err(self.error("multiple expect fail lines are not allowed")),
            "warn" => eval.warnings.expected.push(expectation),
            "info" => eval.infos.expected.push(expectation),
            "no_warn" => eval.warnings.none = true,
            "no_info" => eval.infos.none = true,
            _ => return Err(self.error("invalid expect statement")),
        }
        let clash = |notes: &Notes| notes.none && !notes.expected.is_empty();
        if clash(&eval.warnings) || clash(&eval.infos) {
            return Err(self.error("annotations are expected and excluded at once"));
        }
        Ok(())
    }
}

impl Eval {
    /// True for `expected_fail_message …` and `expected_fail_regexp …` below an `eval_fail`.
    fn legacy_fail(&mut self, line: &str) -> Result<bool, String> {
        if self.fail.is_none() {
            return Ok(false);
        }
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            self.fail = Some(Expectation::Text(text.trim().to_owned()));
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            self.fail = Some(pattern_of(pattern.trim())?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// A pattern that may match anywhere in a text.
fn pattern_of(pattern: &str) -> Result<Expectation, String> {
    let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
    Regex::anchored(&anywhere).map(Expectation::Pattern).map_err(|error| error.to_string())
}

/// `eval instant at 5m query` and `eval range from 0 to 5m step 1m query`.
struct Head<'a> {
    kind: Option<&'a str>,
    from: &'a str,
    to: Option<&'a str>,
    step: Option<&'a str>,
    query: &'a str,
}

fn word(input: &str) -> IResult<&str, &str> {
    take_till1(|c| c == ' ' || c == '\t').parse(input)
}

/// A word behind the keyword `name`, with the spaces behind both.
fn named<'a>(
    name: &'static str,
) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    preceded((tag(name), space1), terminated(word, space1))
}

fn range_times(input: &str) -> IResult<&str, (&str, &str, &str)> {
    (named("from"), named("to"), preceded((tag("step"), space1), word)).parse(input)
}

fn head(input: &str) -> IResult<&str, Head<'_>> {
    let (input, _) = tag("eval").parse(input)?;
    let (input, kind) = opt(preceded(tag("_"), alpha1)).parse(input)?;
    let (input, mode) = preceded(space1, terminated(alpha1, space1)).parse(input)?;
    if mode == "instant" {
        let (query, from) = named("at").parse(input)?;
        return Ok(("", Head { kind, from, to: None, step: None, query }));
    }
    if mode != "range" {
        return nom::combinator::fail().parse(input);
    }
    let times = terminated(range_times, space1);
    let (rest, ((from, to, step), query)) = (times, rest).parse(input)?;
    Ok((rest, Head { kind, from, to: Some(to), step: Some(step), query }))
}

/// The metric and the items of `metric{label="value"}@st 0s -1m …`.
fn starts_line(line: &str) -> Option<(&str, &str)> {
    let (metric, behind) = line.split_at(metric_end(line));
    let items = behind.strip_prefix("@st")?;
    items.starts_with([' ', '\t']).then_some((metric, items))
}

/// A line that holds nothing but a number.
fn bare_number(line: &str) -> Option<f64> {
    let (sign, digits) = match line.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, line.strip_prefix('+').unwrap_or(line)),
    };
    parse_number(digits).ok().map(|value| sign * value)
}

/// A text in double quotes or backticks, as Go reads it.
fn unquoted(text: &str) -> Option<String> {
    match crate::promql::parse(text).ok()?.kind {
        crate::promql::ast::ExprKind::String(inner) if !text.starts_with('\'') => {
            String::from_utf8(inner.to_vec()).ok()
        }
        _ => None,
    }
}
