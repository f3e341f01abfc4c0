//! From Go's dialect (RE2 with Perl classes) to that of `regex-syntax`.
//!
//! The two look alike and differ in what users cannot see: here `\d \s \w \b` know ASCII only,
//! `[a&&b]`, `[a--b]` and `[[a]` are plain sets, `\<` is a `<`, `{,5}` is text, `\Q..\E` quotes,
//! `\101` is octal, and `a**`, `a{1001}` and `(?x)` are refused, in the words of Go's parser.
//! Reading one dialect with the other's parser would get these wrong without a trace, so the
//! pattern is read here, once from left to right, and written down anew.
//!
//! Not taken over: a repetition right behind flags (`a(?i)*`, for Go the same as `a*`) and single
//! surrogates (`\x{d800}`, `\p{Cs}`) are refused.

use super::RegexError;

/// A pattern in the other dialect.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) text: String,
    /// Name of each capture group, from group 1 on.
    pub(super) group_names: Vec<Option<String>>,
}

/// Translates `pattern`.
pub(super) fn translate(pattern: &str) -> Result<Translated, RegexError> {
    let mut translator = Translator {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() + 16),
        group_names: Vec::new(),
        open: Vec::new(),
        previous: Previous::Nothing,
        repeats: 1,
        repeats_max: 1,
    };
    translator.run()?;
    Ok(Translated { text: translator.out, group_names: translator.group_names })
}

const REPEAT_MAX: u32 = 1000;
const DEPTH_MAX: usize = 1000;

/// What stands before the place where the translator is.
#[derive(Clone, Copy)]
enum Previous {
    /// Nothing that could be repeated.
    Nothing,
    /// Something that can be repeated.
    Piece,
    /// An operator of repetition that starts here; a second one is refused.
    Repeat(usize),
}

struct Translator<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
    group_names: Vec<Option<String>>,
    /// For each open group the `repeats_max` around it.
    open: Vec<u32>,
    previous: Previous,
    /// How often the last piece repeats its innermost part at most, counted repetitions only.
    repeats: u32,
    /// The largest `repeats` in the group so far.
    repeats_max: u32,
}

fn fault<T>(what: &str, part: &str) -> Result<T, RegexError> {
    Err(RegexError(format!("{what}: `{part}`")))
}

const BAD_RANGE: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_CAPTURE: &str = "invalid named capture";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const BAD_COUNT: &str = "invalid repeat count";

const fn perl_class(letter: u8) -> Option<(&'static str, bool)> {
    match letter {
        b'd' => Some(("0-9", false)),
        b'D' => Some(("0-9", true)),
        b's' => Some(("\\t\\n\\f\\r ", false)),
        b'S' => Some(("\\t\\n\\f\\r ", true)),
        b'w' => Some(("0-9A-Za-z_", false)),
        b'W' => Some(("0-9A-Za-z_", true)),
        _ => None,
    }
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn from(&self, start: usize) -> &'a str {
        self.pattern.get(start..self.at).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.pattern.as_bytes().get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn piece(&mut self) {
        self.previous = Previous::Piece;
        self.repeats = 1;
    }

    fn literal(&mut self, c: char) {
        put_char(&mut self.out, c);
        self.piece();
    }

    fn run(&mut self) -> Result<(), RegexError> {
        while let Some(byte) = self.byte(0) {
            match byte {
                b'(' => self.open_group()?,
                b')' => self.close_group()?,
                b'|' => {
                    self.at += 1;
                    self.out.push('|');
                    self.previous = Previous::Nothing;
                }
                b'*' | b'+' | b'?' => {
                    let start = self.at;
                    self.at += 1;
                    self.repeat(start, 1)?;
                }
                b'{' => self.counted()?,
                b'[' => self.class()?,
                b'\\' => self.escape()?,
                b'.' | b'^' | b'$' => {
                    self.at += 1;
                    self.out.push(char::from(byte));
                    self.piece();
                }
                _ => {
                    if let Some(c) = self.next() {
                        self.literal(c);
                    }
                }
            }
        }
        if self.open.is_empty() { Ok(()) } else { fault("missing closing )", self.pattern) }
    }

    fn open_group(&mut self) -> Result<(), RegexError> {
        if self.byte(1) == Some(b'?') {
            if !self.perl_group()? {
                return Ok(());
            }
        } else {
            self.at += 1;
            self.out.push('(');
            self.group_names.push(None);
        }
        if self.open.len() >= DEPTH_MAX {
            return fault("expression nests too deeply", self.pattern);
        }
        self.open.push(self.repeats_max);
        self.repeats_max = 1;
        self.previous = Previous::Nothing;
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        let Some(around) = self.open.pop() else {
            return fault("unexpected )", self.pattern);
        };
        self.at += 1;
        self.out.push(')');
        self.previous = Previous::Piece;
        self.repeats = self.repeats_max;
        self.repeats_max = around.max(self.repeats);
        Ok(())
    }

    /// What begins with `(?`: a name, flags, or both flags and a group. True if a group opens.
    fn perl_group(&mut self) -> Result<bool, RegexError> {
        let rest = self.rest();
        let named = ["(?P<", "(?<"].into_iter().find(|opening| {
            // Too short to be named, it is read as flags, and refused as such.
            rest.starts_with(opening) && rest.len() > opening.len()
        });
        if let Some(opening) = named {
            let Some(end) = rest.find('>') else { return fault(BAD_CAPTURE, rest) };
            let name = rest.get(opening.len()..end).unwrap_or_default();
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) {
                return fault(BAD_CAPTURE, rest.get(..=end).unwrap_or_default());
            }
            self.at += end + 1;
            self.out.push('(');
            self.group_names.push(Some(name.to_owned()));
            return Ok(true);
        }
        self.flags()
    }

    fn flags(&mut self) -> Result<bool, RegexError> {
        let start = self.at;
        self.at += 2;
        let mut saw_flag = false;
        let mut negative = false;
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' => saw_flag = true,
                '-' if !negative => {
                    negative = true;
                    saw_flag = false;
                }
                ':' | ')' if saw_flag || !negative => {
                    let text = self.from(start);
                    // The empty `(?)` is nothing at all, and unknown to the other dialect.
                    if text != "(?)" {
                        self.out.push_str(text);
                    }
                    if c == ')' {
                        self.previous = Previous::Nothing;
                    }
                    return Ok(c == ':');
                }
                _ => return fault(BAD_PERL, self.from(start)),
            }
        }
        fault(BAD_PERL, self.from(start))
    }

    /// Writes the operator that stands between `start` and here.
    fn repeat(&mut self, start: usize, times: u32) -> Result<(), RegexError> {
        let operator = self.from(start);
        if self.byte(0) == Some(b'?') {
            self.at += 1;
        }
        match self.previous {
            Previous::Repeat(first) => {
                return fault("invalid nested repetition operator", self.from(first));
            }
            Previous::Nothing => {
                return fault("missing argument to repetition operator", self.from(start));
            }
            Previous::Piece => {}
        }
        self.repeats = self.repeats.saturating_mul(times.max(1));
        if times > 1 && self.repeats > REPEAT_MAX {
            return fault(BAD_COUNT, operator);
        }
        self.repeats_max = self.repeats_max.max(self.repeats);
        self.out.push_str(self.from(start));
        self.previous = Previous::Repeat(start);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}`; anything else in braces is text.
    fn counted(&mut self) -> Result<(), RegexError> {
        let start = self.at;
        let Some((least, most, length)) = read_count(self.rest()) else {
            self.at += 1;
            self.literal('{');
            return Ok(());
        };
        self.at += length;
        let upper = most.unwrap_or(least);
        if least > REPEAT_MAX || upper > REPEAT_MAX || upper < least {
            return fault(BAD_COUNT, self.from(start));
        }
        self.repeat(start, upper)
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let start = self.at;
        let letter = self.byte(1).unwrap_or_default();
        match letter {
            b'A' | b'z' => {
                self.at += 2;
                self.out.push_str(self.from(start));
            }
            b'b' | b'B' => {
                self.at += 2;
                self.out.extend(["(?-u:", self.from(start), ")"]);
            }
            b'Q' => {
                self.at += 2;
                let quoted = self.rest().split_once("\\E").map_or(self.rest(), |pair| pair.0);
                self.at = self.pattern.len().min(self.at + quoted.len() + 2);
                quoted.chars().for_each(|c| self.literal(c));
                return Ok(());
            }
            b'p' | b'P' => {
                let class = self.unicode_class()?;
                self.out.push_str(&class);
            }
            _ => match perl_class(letter) {
                Some((members, negated)) => {
                    self.at += 2;
                    self.out.extend([if negated { "[^" } else { "[" }, members, "]"]);
                }
                None => {
                    let c = self.escaped_char()?;
                    put_char(&mut self.out, c);
                }
            },
        }
        self.piece();
        Ok(())
    }

    /// An escape that stands for one char, in or out of a class.
    fn escaped_char(&mut self) -> Result<char, RegexError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.next() else {
            return fault("trailing backslash at end of expression", "");
        };
        let is_octal = |byte: Option<u8>| byte.is_some_and(|byte| matches!(byte, b'0'..=b'7'));
        let code = match c {
            '0'..='7' if c == '0' || is_octal(self.byte(0)) => {
                let more = (0..2).take_while(|ahead| is_octal(self.byte(*ahead))).count();
                self.at += more;
                u32::from_str_radix(self.from(start + 1), 8).ok()
            }
            'x' => self.hex(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        match code.and_then(char::from_u32) {
            Some(c) => Ok(c),
            None => fault(BAD_ESCAPE, self.from(start)),
        }
    }

    /// Behind `\x`: two digits, or any number of them in braces.
    fn hex(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        if self.byte(0) != Some(b'{') {
            for _ in 0..2 {
                value = value * 16 + self.next()?.to_digit(16)?;
            }
            return Some(value);
        }
        self.at += 1;
        let mut digits = 0;
        loop {
            match self.next()? {
                '}' => return (digits > 0).then_some(value),
                c => value = value * 16 + c.to_digit(16)?,
            }
            digits += 1;
            if value > u32::from(char::MAX) {
                return None;
            }
        }
    }

    /// `\pL`, `\p{Greek}`, `\p{^Lu}`, `\P{Lu}`: general categories and scripts, nothing else.
    fn unicode_class(&mut self) -> Result<String, RegexError> {
        let rest = self.rest();
        let mut negated = rest.starts_with("\\P");
        let (name, length) = if self.byte(2) == Some(b'{') {
            let Some(end) = rest.find('}') else { return fault(BAD_RANGE, rest) };
            (rest.get(3..end).unwrap_or_default(), end + 1)
        } else {
            let length = 2 + rest.chars().nth(2).map_or(0, char::len_utf8);
            (rest.get(2..length).unwrap_or_default(), length)
        };
        self.at += length;
        let bare = name.strip_prefix('^').unwrap_or(name);
        negated ^= bare.len() < name.len();
        let members = match bare {
            "Any" => "\\p{any}".to_owned(),
            // Go leaves unassigned code points out of the category.
            "C" => "\\p{Cc}\\p{Cf}\\p{Co}".to_owned(),
            "LC" => "\\p{Lu}\\p{Ll}\\p{Lt}".to_owned(),
            _ if bare.len() <= 2 => format!("\\p{{gc={bare}}}"),
            _ => format!("\\p{{sc={bare}}}"),
        };
        let class = format!("[{}{members}]", if negated { "^" } else { "" });
        let is_word = |word: &str| {
            let rest = word.strip_prefix(|c: char| c.is_ascii_uppercase());
            rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphabetic()))
        };
        let is_category = bare.len() != 2 || bare.ends_with(|c: char| c.is_ascii_lowercase());
        let spelled = bare.split('_').all(is_word) && (is_category || bare == "LC");
        if spelled && regex_syntax::parse(&class).is_ok() {
            Ok(class)
        } else {
            fault(BAD_RANGE, rest.get(..length).unwrap_or_default())
        }
    }

    fn class(&mut self) -> Result<(), RegexError> {
        let whole = self.rest();
        self.at += 1;
        self.out.push('[');
        if self.byte(0) == Some(b'^') {
            self.at += 1;
            self.out.push('^');
        }
        let first = self.at;
        while self.byte(0) != Some(b']') || self.at == first {
            match (self.byte(0), self.byte(1)) {
                (Some(b'['), Some(b':')) if self.posix_class()? => continue,
                (Some(b'\\'), Some(b'p' | b'P')) => {
                    let class = self.unicode_class()?;
                    self.out.push_str(&class);
                    continue;
                }
                (Some(b'\\'), Some(letter)) => {
                    if let Some((members, negated)) = perl_class(letter) {
                        self.at += 2;
                        self.out.extend([if negated { "[^" } else { "[" }, members, "]"]);
                        continue;
                    }
                }
                _ => {}
            }
            self.class_range(whole)?;
        }
        self.at += 1;
        self.out.push(']');
        self.piece();
        Ok(())
    }

    /// `[:alpha:]` within a class; false if it is none and the bracket is a plain char.
    fn posix_class(&mut self) -> Result<bool, RegexError> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let rest = self.rest();
        let Some(end) = rest.get(2..).and_then(|tail| tail.find(":]")) else { return Ok(false) };
        let class = rest.get(..end + 4).unwrap_or_default();
        let name = rest.get(2..end + 2).unwrap_or_default();
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return fault(BAD_RANGE, class);
        }
        self.at += class.len();
        self.out.push_str(class);
        Ok(true)
    }

    fn class_range(&mut self, whole: &str) -> Result<(), RegexError> {
        let start = self.at;
        let low = self.class_char(whole)?;
        put_class_char(&mut self.out, low);
        let closes = |byte: Option<u8>| matches!(byte, None | Some(b']'));
        if self.byte(0) == Some(b'-') && !closes(self.byte(1)) {
            self.at += 1;
            let high = self.class_char(whole)?;
            if high < low {
                return fault(BAD_RANGE, self.from(start));
            }
            self.out.push('-');
            put_class_char(&mut self.out, high);
        }
        Ok(())
    }

    fn class_char(&mut self, whole: &str) -> Result<char, RegexError> {
        if self.byte(0) == Some(b'\\') {
            return self.escaped_char();
        }
        self.next().map_or_else(|| fault("missing closing ]", whole), Ok)
    }
}

fn put_char(out: &mut String, c: char) {
    if regex_syntax::is_meta_character(c) {
        out.push('\\');
    }
    out.push(c);
}

/// In a class every sign of ASCII may be escaped, and some mean something if they are not.
fn put_class_char(out: &mut String, c: char) {
    if c.is_ascii_punctuation() && regex_syntax::is_escapeable_character(c) {
        out.push('\\');
    }
    out.push(c);
}

/// Reads `{least,most}`: its numbers and its length. A number too large is one above the limit.
fn read_count(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let end = text.find('}')?;
    let inside = text.get(1..end)?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let padded = digits.len() > 1 && digits.starts_with('0');
        (plain && !padded).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inside.split_once(',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((least, most, end + 1))
}
