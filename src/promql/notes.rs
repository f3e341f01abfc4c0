//! What the reader of an answer should know beyond the answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::ast::Span;
use super::parse::line_and_column;
use super::print::number::{date_time, general, rounded};

/// At most this many warnings, and as many infos, are shown.
pub const SHOWN_MAX: usize = 10;

/// How much a note should worry its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The answer is probably not what was meant.
    Warning,
    /// The answer is right, its data or the query is strange.
    Info,
}

/// A remark of the evaluator about a part of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// How much it should worry.
    pub severity: Severity,
    /// The part of the query that it is about.
    pub span: Span,
    /// The remark, without `PromQL warning: ` and without its place. Notes with the same text are
    /// one note.
    pub text: Cow<'static, str>,
    /// What is added up when the same note is made again.
    pub detail: Detail,
}

/// What is added up when the same note is made again.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// How often it was made; shown from two on.
    Occurrences(u64),
    /// Where the buckets of classic histograms decreased.
    Monotonicity {
        /// Lowest and highest bound of a repaired bucket.
        buckets: (f64, f64),
        /// The greatest repair.
        max_difference: f64,
        /// How many histograms were repaired.
        sample_count: u64,
        /// First and last time of a repair, in milliseconds.
        times_ms: (i64, i64),
    },
}

impl Note {
    /// A warning about the part `span` of the query.
    #[must_use]
    pub fn warning(span: Span, text: impl Into<Cow<'static, str>>) -> Self {
        Self { severity: Severity::Warning, span, text: text.into(), detail: Detail::None }
    }

    /// An info about the part `span` of the query.
    #[must_use]
    pub fn info(span: Span, text: impl Into<Cow<'static, str>>) -> Self {
        Self { severity: Severity::Info, span, text: text.into(), detail: Detail::None }
    }

    /// The note as clients see it, with its line and column in `query`.
    #[must_use]
    pub fn render(&self, query: &str) -> String {
        let kind = match self.severity {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let mut out = format!("PromQL {kind}: {}", self.text);
        self.detail.render(&mut out);
        let place = line_and_column(query, self.span.start);
        let place = place.map_or_else(|| "invalid position".into(), |(l, c)| format!("{l}:{c}"));
        out.push_str(" (");
        out.push_str(&place);
        out.push(')');
        out
    }
}

impl Detail {
    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Occurrences(count), Self::Occurrences(more)) => *count += more,
            (
                Self::Monotonicity { buckets, max_difference, sample_count, times_ms },
                Self::Monotonicity {
                    buckets: other_buckets,
                    max_difference: other_difference,
                    sample_count: more,
                    times_ms: other_times,
                },
            ) => {
                buckets.0 = buckets.0.min(other_buckets.0);
                buckets.1 = buckets.1.max(other_buckets.1);
                *max_difference = max_difference.max(*other_difference);
                *sample_count += more;
                times_ms.0 = times_ms.0.min(other_times.0);
                times_ms.1 = times_ms.1.max(other_times.1);
            }
            _ => {}
        }
    }

    fn render(&self, out: &mut String) {
        match self {
            Self::None | Self::Occurrences(0 | 1) => {}
            Self::Occurrences(count) => {
                let _ = write!(out, " ({count} occurrences)");
            }
            Self::Monotonicity { buckets, max_difference, sample_count, times_ms } => {
                let _ = write!(
                    out,
                    ", from buckets {} to {}, with a max diff of {}, over {sample_count} samples \
                     from {} to {}",
                    general(buckets.0),
                    general(buckets.1),
                    rounded(*max_difference, 2),
                    date_time(times_ms.0),
                    date_time(times_ms.1),
                );
            }
        }
    }
}

/// The notes of one query, each text once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notes(Vec<Note>);

impl Notes {
    /// No notes.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// True if there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The notes in the order in which they were made first.
    #[must_use]
    pub fn as_slice(&self) -> &[Note] {
        &self.0
    }

    /// Adds a note. One with the same text is there only once, at the place of the last.
    pub fn add(&mut self, note: Note) {
        let same = |known: &&mut Note| known.severity == note.severity && known.text == note.text;
        match self.0.iter_mut().find(same) {
            Some(known) => {
                known.detail.add(&note.detail);
                known.span = note.span;
            }
            None => self.0.push(note),
        }
    }

    /// As [`Notes::add`] of an information, whose text is copied only if it is new.
    pub(crate) fn add_info(&mut self, span: Span, text: &str) {
        let same = |known: &&mut Note| known.severity == Severity::Info && known.text == text;
        match self.0.iter_mut().find(same) {
            Some(known) => known.span = span,
            None => self.0.push(Note::info(span, text.to_owned())),
        }
    }

    /// Adds all notes of `others`.
    pub fn merge(&mut self, others: Self) {
        others.0.into_iter().for_each(|note| self.add(note));
    }

    /// Warnings and infos as clients see them: at most `shown_max` of each (by default
    /// [`SHOWN_MAX`]), then how many more there are.
    #[must_use]
    pub fn render(&self, query: &str, shown_max: usize) -> (Vec<String>, Vec<String>) {
        let texts = |severity: Severity, name: &str| {
            let mut notes = self.0.iter().filter(|note| note.severity == severity);
            let shown = notes.by_ref().take(shown_max);
            let mut texts: Vec<String> = shown.map(|note| note.render(query)).collect();
            let omitted = notes.count();
            if omitted > 0 {
                texts.push(format!("{omitted} more {name} annotations omitted"));
            }
            texts
        };
        (texts(Severity::Warning, "warning"), texts(Severity::Info, "info"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Span = Span { start: 7, end: 9 };

    #[test]
    fn the_same_text_is_one_note_at_its_last_place() {
        let mut notes = Notes::new();
        notes.add(Note::warning(Span::default(), "strange"));
        notes.add(Note::info(Span::default(), "strange"));
        notes.add(Note::warning(HERE, "strange"));
        let (warnings, infos) = notes.render("a +\n b + c", SHOWN_MAX);
        assert_eq!(warnings, ["PromQL warning: strange (2:4)"]);
        assert_eq!(infos, ["PromQL info: strange (1:1)"]);
    }

    #[test]
    fn what_is_made_again_is_added_up() {
        let mut notes = Notes::new();
        for at_ms in [60_000, 0] {
            let detail = Detail::Monotonicity {
                buckets: (0.5, at_ms as f64),
                max_difference: 1.0 / 3.0,
                sample_count: 1,
                times_ms: (at_ms, at_ms),
            };
            notes.add(Note { detail, ..Note::info(HERE, "repaired") });
            notes.add(Note { detail: Detail::Occurrences(1), ..Note::warning(HERE, "overlap") });
        }
        let (warnings, infos) = notes.render("0123456789", SHOWN_MAX);
        assert_eq!(warnings, ["PromQL warning: overlap (2 occurrences) (1:8)"]);
        let want = "PromQL info: repaired, from buckets 0.5 to 60000, with a max diff of 0.33, \
                    over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:8)";
        assert_eq!(infos, [want]);
    }

    #[test]
    fn more_than_ten_are_counted_only() {
        let mut notes = Notes::new();
        (0..12).for_each(|n| notes.add(Note::info(HERE, format!("note {n}"))));
        let (warnings, infos) = notes.render("0123456789", SHOWN_MAX);
        assert!(warnings.is_empty());
        assert_eq!((infos.len(), infos[10].as_str()), (11, "2 more info annotations omitted"));
    }
}
