//! Takes values out of the tree, and says where it failed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::duration::parse_duration_ms;
use crate::model::Labels;

use super::error::ConfigError;
use super::tree::{Entry, Kind, Node};

/// The answer of every reader.
pub(super) type Read<T> = Result<T, ConfigError>;

/// How the words of a key are joined: as in `prometheus.yml`, or as in Helm values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Snake,
    Camel,
}

/// What a whole file's values need to be read.
pub(super) struct Surroundings<'a> {
    /// The folder that relative paths start from.
    pub(super) dir: &'a Path,
    /// Environment variables.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// A value and the way to it from the top of the file.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    line: usize,
    above: Option<&'a At<'a>>,
    step: Step<'a>,
    style: Style,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Top,
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        let below_top = self.above.is_some_and(|above| !matches!(above.step, Step::Top));
        match self.step {
            Step::Top => Ok(()),
            Step::Key(key) if below_top => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'a> At<'a> {
    pub(super) const fn top(node: &'a Node, style: Style) -> Self {
        Self { node, line: node.line, above: None, step: Step::Top, style }
    }

    /// The same value, with the keys below it in another style.
    pub(super) const fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    pub(super) fn is_camel(&self) -> bool {
        self.style == Style::Camel
    }

    pub(super) fn fail(&self, what: impl Into<String>) -> ConfigError {
        let line = Some(self.line);
        ConfigError { file: String::new(), line, key: self.to_string(), what: what.into() }
    }

    fn wanted(&self, what: &str) -> ConfigError {
        match &self.node.kind {
            Kind::Scalar { text, .. } => self.fail(format!("expected {what}, found {text:?}")),
            _ => self.fail(format!("expected {what}, found {}", self.node.noun())),
        }
    }

    /// The text of a scalar, quoted or not.
    pub(super) fn text(&self) -> Read<&'a str> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => Ok(text),
            _ => Err(self.wanted("a text")),
        }
    }

    pub(super) fn string(&self) -> Read<String> {
        self.text().map(str::to_owned)
    }

    /// The text of a scalar; null is the empty text.
    pub(super) fn text_or_empty(&self) -> Read<String> {
        if matches!(self.node.kind, Kind::Null) { Ok(String::new()) } else { self.string() }
    }

    /// A text that is not shown in messages.
    pub(super) fn secret(&self) -> Read<super::Secret> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => Ok(super::Secret::new(text.as_str())),
            _ => Err(self.fail(format!("expected a text, found {}", self.node.noun()))),
        }
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        // The words of YAML 1.1, as Go's reader takes them.
        match &self.node.kind {
            Kind::Scalar { text, quoted: false } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" => Ok(true),
                "false" | "no" | "off" | "n" => Ok(false),
                _ => Err(self.wanted("true or false")),
            },
            _ => Err(self.wanted("true or false")),
        }
    }

    pub(super) fn unsigned(&self) -> Read<u64> {
        match &self.node.kind {
            Kind::Scalar { text, quoted: false } => {
                text.replace('_', "").parse().map_err(|_| self.wanted("a whole number from 0 up"))
            }
            _ => Err(self.wanted("a whole number from 0 up")),
        }
    }

    pub(super) fn count(&self) -> Read<usize> {
        usize::try_from(self.unsigned()?).map_err(|_| self.wanted("a smaller number"))
    }

    /// A duration as Prometheus writes it, such as `1h30m`.
    pub(super) fn duration_ms(&self) -> Read<i64> {
        let wanted = || self.wanted("a duration such as 30s, 5m or 1h30m");
        parse_duration_ms(self.text().map_err(|_| wanted())?).map_err(|_| wanted())
    }

    /// A duration that is not 0.
    pub(super) fn positive_duration_ms(&self) -> Read<i64> {
        match self.duration_ms()? {
            0 => Err(self.fail("expected a duration above 0")),
            duration_ms => Ok(duration_ms),
        }
    }

    /// A size such as `512MB`; the units are powers of 1024, with or without the `i`.
    pub(super) fn size_bytes(&self) -> Read<u64> {
        let wanted = || self.wanted("a size such as 512MB or 2GiB");
        size_bytes(self.text().map_err(|_| wanted())?).ok_or_else(wanted)
    }

    /// A path, relative ones from the folder of the file.
    pub(super) fn path(&self, around: &Surroundings<'_>) -> Read<PathBuf> {
        Ok(around.dir.join(self.text()?))
    }

    /// An address that starts with `http://` or `https://` and names a host.
    pub(super) fn url(&self) -> Read<super::Address> {
        let text = self.text()?;
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') || text.contains(char::is_whitespace) {
            // The text is not shown: an address may carry a password.
            return Err(self.fail("expected an address such as http://host:port/path"));
        }
        Ok(super::Address::new(text))
    }

    /// Reads each item of a list; null is the empty list.
    pub(super) fn list<'s, T>(&'s self, mut read: impl FnMut(&At<'s>) -> Read<T>) -> Read<Vec<T>> {
        let items = match &self.node.kind {
            Kind::Null => return Ok(Vec::new()),
            Kind::List(items) => items,
            _ => return Err(self.wanted("a list")),
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let step = Step::Index(index);
            out.push(read(&At {
                node,
                line: node.line,
                above: Some(self),
                step,
                style: self.style,
            })?);
        }
        Ok(out)
    }

    /// Reads each value of a table whose keys are free; null is the empty table.
    pub(super) fn table<'s, T>(
        &'s self,
        mut read: impl FnMut(&str, &At<'s>) -> Read<T>,
    ) -> Read<Vec<(String, T)>> {
        let entries = match &self.node.kind {
            Kind::Null => return Ok(Vec::new()),
            Kind::Table(entries) => entries,
            _ => return Err(self.wanted("a table of keys")),
        };
        let mut out = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = read(&entry.key, &self.below(entry))?;
            out.push((entry.key.clone(), value));
        }
        Ok(out)
    }

    /// A table of label names and values.
    pub(super) fn labels(&self, value: &dyn Fn(&str) -> String) -> Read<Labels> {
        let pairs = self.table(|name, at| {
            if name.is_empty() {
                return Err(at.fail("a label name must not be empty"));
            }
            Ok(value(at.text()?))
        })?;
        Labels::from_pairs(pairs).map_err(|error| self.fail(error.to_string()))
    }

    fn below<'s>(&'s self, entry: &'s Entry) -> At<'s> {
        let step = Step::Key(&entry.key);
        At { node: &entry.value, line: entry.line, above: Some(self), step, style: self.style }
    }

    /// True for what leaves a key at its default: nothing, `false`, 0, and empty texts, lists and
    /// tables.
    pub(super) fn is_unset(&self) -> bool {
        match &self.node.kind {
            Kind::Null => true,
            Kind::Scalar { text, .. } => matches!(text.as_str(), "" | "false" | "0" | "0s"),
            Kind::List(items) => items.is_empty(),
            Kind::Table(entries) => entries.is_empty(),
        }
    }
}

/// Reads a table whose keys are known, and refuses the others in the end.
pub(super) struct Fields<'a> {
    at: &'a At<'a>,
    entries: &'a [Entry],
    known: Vec<String>,
    /// Known too, but of no use to the reader of a message.
    refused: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Null is the empty table.
    pub(super) fn of(at: &'a At<'a>) -> Read<Self> {
        let entries = match &at.node.kind {
            Kind::Null => &[],
            Kind::Table(entries) => entries.as_slice(),
            _ => return Err(at.wanted("a table of keys")),
        };
        Ok(Self { at, entries, known: Vec::new(), refused: Vec::new() })
    }

    pub(super) const fn place(&self) -> &'a At<'a> {
        self.at
    }

    /// The value of a key, given in snake case, if it is there and not null.
    pub(super) fn get(&mut self, key: &str) -> Option<At<'a>> {
        let key = self.styled(key);
        self.exactly(key)
    }

    /// The value of a key for which an empty text or null has a meaning.
    pub(super) fn written(&mut self, key: &str) -> Option<At<'a>> {
        let key = self.styled(key);
        self.find(key)
    }

    fn find(&mut self, key: String) -> Option<At<'a>> {
        let found = self.entries.iter().find(|entry| entry.key == key);
        self.known.push(key);
        let at = self.at;
        found.map(|entry| at.below(entry))
    }

    fn styled(&self, key: &str) -> String {
        match self.at.style {
            Style::Snake => key.to_owned(),
            Style::Camel => camel(key),
        }
    }

    /// The value of a key as it stands.
    pub(super) fn exactly(&mut self, key: String) -> Option<At<'a>> {
        self.find(key).filter(|at| match &at.node.kind {
            Kind::Null => false,
            // In Helm values an empty text stands for a key that is not set.
            Kind::Scalar { text, .. } => !(text.is_empty() && at.is_camel()),
            _ => true,
        })
    }

    /// Reads the value of a key, or nothing.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&At<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.get(key).map(|at| read(&at)).transpose()
    }

    /// Reads the value of a key into a place that holds the default.
    pub(super) fn set<T>(
        &mut self,
        key: &str,
        place: &mut T,
        read: impl FnOnce(&At<'a>) -> Read<T>,
    ) -> Read<()> {
        if let Some(value) = self.read(key, read)? {
            *place = value;
        }
        Ok(())
    }

    /// Keys that Prometheus knows and that have no effect here yet: refused, unless they are unset
    /// in so many words.
    pub(super) fn not_supported_yet(&mut self, keys: &[&str]) -> Read<()> {
        for key in keys {
            let found = self.get(key);
            self.refused.extend(self.known.pop());
            if let Some(at) = found.filter(|at| !at.is_unset()) {
                return Err(at.fail("not supported yet"));
            }
        }
        Ok(())
    }

    /// Keys nobody asked for, as full paths.
    pub(super) fn rest(&self) -> Vec<At<'a>> {
        let at = self.at;
        let unknown = self.entries.iter().filter(|entry| !self.is_known(entry));
        unknown.map(|entry| at.below(entry)).collect()
    }

    fn is_known(&self, entry: &Entry) -> bool {
        self.known.contains(&entry.key) || self.refused.contains(&entry.key)
    }

    /// The known key that an unknown one was probably meant to be.
    pub(super) fn meant_by(&self, unknown: &At<'_>) -> Option<&str> {
        let Step::Key(key) = unknown.step else { return None };
        self.known.iter().map(String::as_str).find(|known| is_near(key, known))
    }

    /// Refuses keys that nobody asked for.
    pub(super) fn finish(mut self) -> Read<()> {
        let Some(unknown) = self.rest().into_iter().next() else { return Ok(()) };
        self.known.sort();
        let known = self.known.join(", ");
        Err(unknown.fail(match self.meant_by(&unknown) {
            Some(meant) => format!("unknown field, did you mean {meant}?"),
            None => format!("unknown field, expected one of {known}"),
        }))
    }
}

/// `scrape_interval` as `scrapeInterval`.
fn camel(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for (index, word) in key.split('_').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if index > 0 => out.push(first.to_ascii_uppercase()),
            Some(first) => out.push(first),
            None => {}
        }
        out.push_str(letters.as_str());
    }
    out
}

/// True for keys that differ by spelling habits or by one slip of the finger.
fn is_near(written: &str, known: &str) -> bool {
    let plain = |key: &str| key.replace(['_', '-'], "").to_ascii_lowercase();
    let (written, known) = (plain(written), plain(known));
    let (longer, shorter) =
        if written.len() >= known.len() { (&written, &known) } else { (&known, &written) };
    let same_start = longer.bytes().zip(shorter.bytes()).take_while(|(a, b)| a == b).count();
    let ends = longer.bytes().rev().zip(shorter.bytes().rev());
    let same_end = ends.take_while(|(a, b)| a == b).count();
    longer.len() - shorter.len() <= 1
        && shorter.len() > 3
        && same_start + same_end + 1 >= longer.len()
}

fn size_bytes(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let prefix = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B'))?;
        let power = if prefix.is_empty() { 0 } else { 1 + "KMGTPE".find(prefix)? };
        if prefix.len() > 1 || (prefix.is_empty() && unit != "B") {
            return None;
        }
        sum += number.parse::<f64>().ok()? * 1024_f64.powi(i32::try_from(power).ok()?);
        rest = after;
    }
    // Prometheus keeps sizes in a signed 64-bit number.
    (!text.is_empty() && sum < 9.2e18).then_some(sum as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let good = [
            ("0", 0),
            ("1B", 1),
            ("15MB", 15 << 20),
            ("15MiB", 15 << 20),
            ("1.5KB", 1536),
            ("1GB512MB", (1 << 30) + (512 << 20)),
        ];
        for (text, bytes) in good {
            assert_eq!(size_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "5", "MB", "5mb", "5KMB", "-1MB", "5iB", "99999EB", "1.2.3KB"] {
            assert_eq!(size_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn one_slip_of_the_finger_is_near() {
        for (written, known) in [
            ("scrape_intervall", "scrape_interval"),
            ("scrapeInterval", "scrape_interval"),
            ("remote_writes", "remote_write"),
            ("remotewrite", "remoteWrite"),
            ("externallables", "external_labels"),
        ] {
            let expected = written != "externallables";
            assert_eq!(is_near(written, known), expected, "{written}");
        }
        assert!(!is_near("resources", "retention"));
    }

    #[test]
    fn keys_turn_to_camel_case() {
        assert_eq!(camel("max_samples_per_send"), "maxSamplesPerSend");
        assert_eq!(camel("url"), "url");
    }
}
