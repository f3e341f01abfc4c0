//! The words of a page: where names, quoted texts, values and timestamps begin and end.

use nom::bytes::complete::{take_till, take_while, take_while_m_n};
use nom::character::complete::{digit0, space0};
use nom::combinator::recognize;
use nom::{IResult, Parser as _};

/// What a word is; the message of an error names it as Prometheus does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invalid,
    Linebreak,
    MetricName,
    Quoted,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Kind {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Linebreak => "LINEBREAK",
            Self::MetricName => "MNAME",
            Self::Quoted => "QSTRING",
            Self::BraceOpen => "BOPEN",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
            Self::LabelValue => "LVALUE",
            Self::Comma => "COMMA",
            Self::Equal => "EQUAL",
            Self::Timestamp => "TIMESTAMP",
            Self::Value => "VALUE",
        }
    }
}

/// A word and its place. An invalid one ends before the byte that made it so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Word {
    /// Where its text stands: between the quotes, if it has them.
    pub(super) const fn inside(self) -> (usize, usize) {
        match self.kind {
            Kind::Quoted | Kind::LabelValue => (self.start + 1, self.end - 1),
            _ => (self.start, self.end),
        }
    }
}

/// What stands between the braces.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    MetricName(Word),
    Label(Word, Word),
}

/// What was wrong between the braces.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Expected(&'static str, Word),
    NameAlreadySet,
}

/// A place on a page. The page ends with a newline, whether it is written or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) page: &'a [u8],
    pub(super) at: usize,
}

type Taken<'a> = IResult<&'a [u8], &'a [u8], ()>;

fn label_name(input: &[u8]) -> Taken<'_> {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    recognize((take_while_m_n(1, 1, starts), take_while(continues))).parse(input)
}

fn metric_name(input: &[u8]) -> Taken<'_> {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    recognize((take_while_m_n(1, 1, starts), take_while(continues))).parse(input)
}

fn value(input: &[u8]) -> Taken<'_> {
    take_till(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'\n' | 0)).parse(input)
}

impl<'a> Scan<'a> {
    pub(super) fn rest(&self) -> &'a [u8] {
        self.page.get(self.at..).unwrap_or_default()
    }

    /// The byte here; the newline behind the page exists even if it is not written.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        match self.page.get(self.at) {
            Some(byte) => Some(*byte),
            None if self.at == self.page.len() => Some(b'\n'),
            None => None,
        }
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        self.at += length(space0(self.rest()));
    }

    /// To the next newline, or to the one behind the page.
    pub(super) fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    fn word(&mut self, kind: Kind, length: usize) -> Word {
        let start = self.at;
        self.at += length;
        let kind = if length == 0 { Kind::Invalid } else { kind };
        Word { kind, start, end: self.at }
    }

    /// The name behind `HELP` or `TYPE`.
    pub(super) fn described_name(&mut self) -> Word {
        match self.peek() {
            Some(b'"') => self.quoted(Kind::Quoted),
            _ => self.metric_name(),
        }
    }

    pub(super) fn metric_name(&mut self) -> Word {
        self.word(Kind::MetricName, length(metric_name(self.rest())))
    }

    /// A quoted text with escapes, which may go on over lines. One that does not close is invalid
    /// and ends where it can go no further.
    fn quoted(&mut self, kind: Kind) -> Word {
        let start = self.at;
        let allows_zero = kind == Kind::LabelValue;
        let rest = self.rest();
        let mut length = 1;
        loop {
            let tail = rest.get(length..).unwrap_or_default();
            let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0);
            length += tail.iter().position(stops).unwrap_or(tail.len());
            match (rest.get(length), rest.get(length + 1)) {
                (Some(b'"'), _) => {
                    self.at = start + length + 1;
                    return Word { kind, start, end: self.at };
                }
                (Some(b'\\'), Some(escaped)) if *escaped != b'\n' => length += 2,
                (Some(b'\\'), _) => {
                    self.at = start + length + 1;
                    break;
                }
                (Some(_), _) if allows_zero => length += 1,
                (Some(_), _) => {
                    self.at = start + length;
                    break;
                }
                (None, _) => {
                    // The newline behind the page belongs to the text that never closed.
                    self.at = self.page.len() + 1;
                    break;
                }
            }
        }
        Word { kind: Kind::Invalid, start, end: self.at }
    }

    /// The next word between braces.
    fn in_braces(&mut self) -> Word {
        self.skip_blanks();
        match self.peek() {
            Some(b'"') => self.quoted(Kind::Quoted),
            Some(b'}') => self.word(Kind::BraceClose, 1),
            Some(b'=') => self.word(Kind::Equal, 1),
            Some(b',') => self.word(Kind::Comma, 1),
            _ => self.word(Kind::LabelName, length(label_name(self.rest()))),
        }
    }

    fn label_value(&mut self) -> Word {
        self.skip_blanks();
        match self.peek() {
            Some(b'"') => self.quoted(Kind::LabelValue),
            _ => self.word(Kind::Invalid, 0),
        }
    }

    /// What stands behind an opening brace, to the closing one. A quoted text without `=` is the
    /// metric's name, which may be given once and only if `named` is false. Commas may be left out
    /// between labels and added behind the last, as upstream's parser of this format has it.
    pub(super) fn labels(
        &mut self,
        mut named: bool,
        mut each: impl FnMut(Part),
    ) -> Result<(), Fault> {
        let mut word = self.in_braces();
        loop {
            let name = match word.kind {
                Kind::BraceClose => return Ok(()),
                Kind::LabelName | Kind::Quoted => word,
                _ => return Err(Fault::Expected("expected label name", word)),
            };
            word = self.in_braces();
            if name.kind == Kind::Quoted && matches!(word.kind, Kind::Comma | Kind::BraceClose) {
                if named {
                    return Err(Fault::NameAlreadySet);
                }
                named = true;
                each(Part::MetricName(name));
                if word.kind == Kind::Comma {
                    word = self.in_braces();
                }
                continue;
            }
            if word.kind != Kind::Equal {
                return Err(Fault::Expected("expected equal", word));
            }
            let value = self.label_value();
            if value.kind != Kind::LabelValue {
                return Err(Fault::Expected("expected label value", value));
            }
            each(Part::Label(name, value));
            word = self.in_braces();
            if word.kind == Kind::Comma {
                word = self.in_braces();
            }
        }
    }

    /// The word where a value should stand, or an opening brace behind a metric's name.
    pub(super) fn value(&mut self) -> Word {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.word(Kind::BraceOpen, 1),
            _ => self.word(Kind::Value, length(value(self.rest()))),
        }
    }

    /// The word behind a value: a timestamp or the line's end.
    pub(super) fn timestamp(&mut self) -> Word {
        self.skip_blanks();
        match self.peek() {
            Some(b'\n') => self.word(Kind::Linebreak, 1),
            _ => self.word(Kind::Timestamp, length(digit0(self.rest()))),
        }
    }
}

#[inline]
fn length(taken: Taken<'_>) -> usize {
    taken.map_or(0, |(_, taken)| taken.len())
}
