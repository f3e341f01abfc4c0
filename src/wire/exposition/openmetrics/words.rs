//! The words of a page: one space stands between them, and nothing else may.

/// What a word is; the message of an error names it as Prometheus does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invalid,
    Eof,
    EofWord,
    Linebreak,
    Help,
    Type,
    Unit,
    MetricName,
    Quoted,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Comment,
    Timestamp,
    Value,
}

impl Kind {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Eof => "EOF",
            Self::EofWord => "EOFWORD",
            Self::Linebreak => "LINEBREAK",
            Self::Help => "HELP",
            Self::Type => "TYPE",
            Self::Unit => "UNIT",
            Self::MetricName => "MNAME",
            Self::Quoted => "QSTRING",
            Self::BraceOpen => "BOPEN",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
            Self::LabelValue => "LVALUE",
            Self::Comma => "COMMA",
            Self::Equal => "EQUAL",
            Self::Comment => "COMMENT",
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

/// A place on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) page: &'a [u8],
    pub(super) at: usize,
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

impl<'a> Words<'a> {
    fn rest(&self) -> &'a [u8] {
        self.page.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.page.get(self.at).copied()
    }

    fn word(&mut self, kind: Kind, length: usize) -> Word {
        let start = self.at;
        self.at += length;
        Word { kind, start, end: self.at }
    }

    /// Nothing that may stand here, `length` bytes of which began well.
    fn invalid(&mut self, length: usize) -> Word {
        let at_end = self.at >= self.page.len();
        self.word(if at_end { Kind::Eof } else { Kind::Invalid }, length)
    }

    /// The first word of a line.
    pub(super) fn line_start(&mut self) -> Word {
        match self.peek() {
            Some(b'{') => self.word(Kind::BraceOpen, 1),
            Some(b'#') => self.meta(),
            _ => self.metric_name(),
        }
    }

    fn meta(&mut self) -> Word {
        let Some(word) = self.rest().strip_prefix(b"# ") else { return self.invalid(1) };
        let kinds = [(&b"HELP "[..], Kind::Help), (b"TYPE ", Kind::Type), (b"UNIT ", Kind::Unit)];
        for (text, kind) in kinds {
            if word.starts_with(text) {
                return self.word(kind, 2 + text.len());
            }
        }
        if word.starts_with(b"EOF") {
            let has_newline = word.get(3) == Some(&b'\n');
            return self.word(Kind::EofWord, 5 + usize::from(has_newline));
        }
        self.invalid(2)
    }

    fn metric_name(&mut self) -> Word {
        let rest = self.rest();
        let starts = |byte: &u8| is_name_start(*byte) || *byte == b':';
        if !rest.first().is_some_and(starts) {
            return self.invalid(0);
        }
        let goes_on = |byte: &u8| starts(byte) || byte.is_ascii_digit();
        let length = rest.iter().position(|byte| !goes_on(byte)).unwrap_or(rest.len());
        self.word(Kind::MetricName, length)
    }

    /// The name behind `HELP`, `TYPE` or `UNIT`, quoted or not.
    pub(super) fn described_name(&mut self) -> Word {
        match self.peek() {
            Some(b'"') => self.quoted(Kind::MetricName, true),
            _ => self.metric_name(),
        }
    }

    /// What stands between a described name and the end of its line, without the space before it.
    pub(super) fn described_text(&mut self) -> Option<(usize, usize)> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let start = self.at + 1;
        let has_space = rest.first() == Some(&b' ');
        let end = self.at + length;
        self.at = end + 1;
        has_space.then_some((start, end))
    }

    /// A quoted text with escapes. One that does not close is invalid.
    fn quoted(&mut self, kind: Kind, over_lines: bool) -> Word {
        let rest = self.rest();
        let mut length = 1;
        loop {
            let tail = rest.get(length..).unwrap_or_default();
            let stops = |byte: &u8| matches!(byte, b'"' | b'\\') || (*byte == b'\n' && !over_lines);
            length += tail.iter().position(stops).unwrap_or(tail.len());
            match (rest.get(length), rest.get(length + 1)) {
                (Some(b'"'), _) => return self.word(kind, length + 1),
                (Some(b'\\'), Some(escaped)) if *escaped != b'\n' => length += 2,
                (Some(b'\\'), _) => return self.word(Kind::Invalid, length + 1),
                _ => return self.word(Kind::Invalid, length),
            }
        }
    }

    /// The next word between braces; only outside of exemplars a quoted text may span lines.
    pub(super) fn in_braces(&mut self, is_exemplar: bool) -> Word {
        match self.peek() {
            Some(b'"') => self.quoted(Kind::Quoted, !is_exemplar),
            Some(b'}') => self.word(Kind::BraceClose, 1),
            Some(b'=') => self.word(Kind::Equal, 1),
            Some(b',') => self.word(Kind::Comma, 1),
            Some(byte) if is_name_start(byte) => {
                let rest = self.rest();
                let goes_on = |byte: &u8| is_name_start(*byte) || byte.is_ascii_digit();
                let length = rest.iter().position(|byte| !goes_on(byte)).unwrap_or(rest.len());
                self.word(Kind::LabelName, length)
            }
            _ => self.invalid(0),
        }
    }

    pub(super) fn label_value(&mut self) -> Word {
        match self.peek() {
            Some(b'"') => self.quoted(Kind::LabelValue, false),
            _ => self.invalid(0),
        }
    }

    /// A space and what stands behind it, to the next space or the line's end.
    fn spaced(&mut self, kind: Kind) -> Word {
        let rest = self.rest();
        let Some(text) = rest.strip_prefix(b" ") else { return self.invalid(0) };
        let length = text.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        match length.unwrap_or(text.len()) {
            0 => self.invalid(1),
            length => self.word(kind, 1 + length),
        }
    }

    /// The word behind a metric's name, or behind the labels of an exemplar.
    pub(super) fn value(&mut self) -> Word {
        match self.peek() {
            Some(b'{') => self.word(Kind::BraceOpen, 1),
            _ => self.spaced(Kind::Value),
        }
    }

    /// The word behind a value: a timestamp, an exemplar or the line's end.
    pub(super) fn behind_value(&mut self, is_exemplar: bool) -> Word {
        match self.peek() {
            Some(b'\n') => self.word(Kind::Linebreak, 1),
            _ if !is_exemplar && self.rest().starts_with(b" # {") => self.word(Kind::Comment, 4),
            _ => self.spaced(Kind::Timestamp),
        }
    }
}
