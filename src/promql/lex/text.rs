//! Texts in quotes.

use crate::base::quote::quoted_char;

use super::cursor::Cursor;

impl Cursor<'_> {
    /// Reads up to the closing quote; the opening one has been read.
    pub(super) fn quoted_rest(&mut self, quote: char) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => self.escape(quote)?,
                // Upstream takes the replacement character for a decoding error.
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None | Some('\n') => return Err("unterminated quoted string".into()),
                Some(c) if c == quote => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Reads up to the closing backtick; the opening one has been read.
    pub(super) fn raw_rest(&mut self) -> Result<(), String> {
        loop {
            match self.next() {
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None => return Err("unterminated raw string".into()),
                Some('`') => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), String> {
        const NOT_TERMINATED: &str = "escape sequence not terminated";
        let first = self.next().ok_or(NOT_TERMINATED)?;
        let (mut value, digits, base, max) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if first == quote => return Ok(()),
            '0'..='7' => (first.to_digit(8).unwrap_or(0), 2, 8, 0xff),
            'x' => (0, 2, 16, 0xff),
            'u' => (0, 4, 16, u32::from(char::MAX)),
            'U' => (0, 8, 16, u32::from(char::MAX)),
            _ => return Err(format!("unknown escape sequence {}", code_point(first))),
        };
        for _ in 0..digits {
            let c = self.next().ok_or(NOT_TERMINATED)?;
            let illegal = || format!("illegal character {} in escape sequence", code_point(c));
            let digit = c.to_digit(base).ok_or_else(illegal)?;
            // Eight hexadecimal digits just fit.
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".into());
        }
        Ok(())
    }
}

/// `U+0078 'x'`
fn code_point(c: char) -> String {
    let code = u32::from(c);
    let shown = quoted_char(c);
    // A character that cannot be shown is given by its number alone.
    if shown.starts_with("'\\") && !matches!(c, '\'' | '\\') {
        format!("U+{code:04X}")
    } else {
        format!("U+{code:04X} '{c}'")
    }
}

/// The bytes that a text with its quotes stands for; they may be no UTF-8, as `\xff` is one byte.
/// The lexer has checked the escapes; what it would not let pass is left out.
pub(crate) fn unquote(quoted: &str) -> Vec<u8> {
    let mut inner = quoted.chars();
    let opening = inner.next();
    inner.next_back();
    let inner = inner.as_str();
    if opening == Some('`') || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            unescape(&mut rest, &mut out);
        } else {
            push(&mut out, c);
        }
    }
    out
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn unescape(rest: &mut std::str::Chars<'_>, out: &mut Vec<u8>) {
    let Some(c) = rest.next() else { return };
    let mut value = |start: u32, digits: usize, base: u32| {
        let read = rest.by_ref().take(digits).filter_map(|c| c.to_digit(base));
        read.fold(start, |value, digit| value.wrapping_mul(base).wrapping_add(digit))
    };
    match c {
        'a' => out.push(0x07),
        'b' => out.push(0x08),
        'f' => out.push(0x0c),
        'n' => out.push(b'\n'),
        'r' => out.push(b'\r'),
        't' => out.push(b'\t'),
        'v' => out.push(0x0b),
        '0'..='7' => out.push(value(c.to_digit(8).unwrap_or(0), 2, 8) as u8),
        'x' => out.push(value(0, 2, 16) as u8),
        'u' => push(out, char::from_u32(value(0, 4, 16)).unwrap_or_default()),
        'U' => push(out, char::from_u32(value(0, 8, 16)).unwrap_or_default()),
        other => push(out, other),
    }
}
