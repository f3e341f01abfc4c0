//! Text into tokens.
//!
//! The same text means different things in different places, so the lexer has modes: between
//! braces every word is a label name, behind `[` a duration is expected. Its rules and the words
//! of its errors match upstream's `lex.go`, as clients see them.

mod cursor;
mod number;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub(crate) use text::unquote;
pub(crate) use token::{Keyword, Token, TokenKind};

use crate::base::quote::quoted_char;

use cursor::Cursor;

/// The tokens of a text; the last one is [`TokenKind::End`] or [`TokenKind::Failed`].
pub(crate) struct Lexed {
    /// The tokens without comments.
    pub(crate) tokens: Vec<Token>,
    /// What was wrong where the tokens end with [`TokenKind::Failed`].
    pub(crate) error: Option<String>,
}

/// Reads all tokens up to the first error.
pub(crate) fn lex(text: &str) -> Lexed {
    let mut lexer = Lexer::new(text);
    let error = loop {
        match lexer.step() {
            Ok(Step::More) => {}
            Ok(Step::End) => break None,
            Err(message) => break Some(message),
        }
    };
    let kind = if error.is_some() { TokenKind::Failed } else { TokenKind::End };
    lexer.emit(kind);
    Lexed { tokens: lexer.tokens, error }
}

enum Step {
    More,
    End,
}

type Stepped = Result<Step, String>;

#[derive(Clone, Copy)]
enum Mode {
    Statements,
    Braces,
    Duration,
}

struct Lexer<'a> {
    cursor: Cursor<'a>,
    mode: Mode,
    paren_depth: usize,
    bracket_open: bool,
    got_colon: bool,
    /// Stays set after the bracket is closed.
    got_duration: bool,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            cursor: Cursor::new(text),
            mode: Mode::Statements,
            paren_depth: 0,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            tokens: Vec::with_capacity(text.len() / 4 + 2),
        }
    }

    fn emit(&mut self, kind: TokenKind) {
        self.tokens.push(Token { kind, span: self.cursor.take() });
    }

    fn more(&mut self, kind: TokenKind) -> Stepped {
        self.emit(kind);
        Ok(Step::More)
    }

    fn step(&mut self) -> Stepped {
        match self.mode {
            Mode::Statements => self.statement(),
            Mode::Braces => self.inside_braces(),
            Mode::Duration => self.duration(),
        }
    }

    fn statement(&mut self) -> Stepped {
        if self.cursor.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.cursor.next() else { return self.end() };
        match c {
            ' ' | '\t' | '\n' | '\r' => self.spaces(),
            '"' | '\'' => self.quoted(c),
            '`' => self.raw(),
            '0'..='9' => self.number(),
            '.' if self.cursor.peek_is(|c| c.is_ascii_digit()) => self.number(),
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(c),
            '(' | ')' => self.paren(c),
            '{' => {
                self.mode = Mode::Braces;
                self.more(TokenKind::LeftBrace)
            }
            '[' => self.open_bracket(),
            ']' if !self.bracket_open => {
                Err(format!("unexpected right bracket {}", quoted_char(c)))
            }
            ']' => {
                self.bracket_open = false;
                self.more(TokenKind::RightBracket)
            }
            _ => self.operator(c),
        }
    }

    fn end(&self) -> Stepped {
        if self.paren_depth != 0 {
            return Err("unclosed left parenthesis".into());
        }
        if self.bracket_open {
            return Err("unclosed left bracket".into());
        }
        Ok(Step::End)
    }

    fn spaces(&mut self) -> Stepped {
        self.cursor.skip_while(is_space);
        self.cursor.take();
        Ok(Step::More)
    }

    fn comment(&mut self) -> Stepped {
        self.cursor.skip_while(|c| c != '\n' && c != '\r');
        self.cursor.take();
        Ok(Step::More)
    }

    fn quoted(&mut self, quote: char) -> Stepped {
        self.cursor.quoted_rest(quote)?;
        self.more(TokenKind::String)
    }

    fn raw(&mut self) -> Stepped {
        self.cursor.raw_rest()?;
        self.more(TokenKind::String)
    }

    fn number(&mut self) -> Stepped {
        self.mode = Mode::Statements;
        self.cursor.rewind();
        let kind = self.cursor.number_or_duration()?;
        self.more(kind)
    }

    fn word(&mut self, first: char) -> Stepped {
        if !self.bracket_open {
            self.cursor.skip_while(|c| is_alphanumeric(c) || c == ':');
            let kind = token::classify(self.cursor.pending(), self.cursor.rest());
            return self.more(kind);
        }
        if first == ':' {
            if self.got_colon {
                return Err(format!("unexpected colon {}", quoted_char(first)));
            }
            self.got_colon = true;
            return self.more(TokenKind::Colon);
        }
        match self.duration_word(first) {
            Some(kind) => self.more(kind),
            None => Err(format!("unexpected character: {}, expected ':'", quoted_char(first))),
        }
    }

    /// One of the four words that may stand in a duration; the first character has been read.
    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !"srmSRM".contains(first) {
            return None;
        }
        self.cursor.skip_while(is_alpha);
        token::duration_word(self.cursor.pending())
    }

    fn paren(&mut self, c: char) -> Stepped {
        if c == '(' {
            self.paren_depth += 1;
            return self.more(TokenKind::LeftParen);
        }
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                self.more(TokenKind::RightParen)
            }
            None => {
                // The error stands behind the parenthesis, as upstream's does.
                self.cursor.take();
                Err(format!("unexpected right parenthesis {}", quoted_char(c)))
            }
        }
    }

    fn open_bracket(&mut self) -> Stepped {
        if self.bracket_open {
            return Err(format!("unexpected left bracket {}", quoted_char('[')));
        }
        self.got_colon = false;
        self.bracket_open = true;
        self.mode = Mode::Duration;
        self.emit(TokenKind::LeftBracket);
        self.spaces()
    }

    fn operator(&mut self, first: char) -> Stepped {
        let kind = match (first, self.cursor.peek()) {
            ('=', Some('=')) => self.two(TokenKind::EQ),
            ('=', Some('~')) => return Err("unexpected character after '=': '~'".into()),
            ('=', _) => TokenKind::Equal,
            ('!', Some('=')) => self.two(TokenKind::NE),
            ('!', other) => {
                self.cursor.next();
                let other = quoted_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Err(format!("unexpected character after '!': {other}"));
            }
            ('<', Some('=')) => self.two(TokenKind::LE),
            ('<', Some('/')) => self.two(TokenKind::TRIM_UPPER),
            ('<', _) => TokenKind::LT,
            ('>', Some('=')) => self.two(TokenKind::GE),
            ('>', Some('/')) => self.two(TokenKind::TRIM_LOWER),
            ('>', _) => TokenKind::GT,
            ('@', _) => TokenKind::At,
            (',', _) => TokenKind::Comma,
            _ => match token::arithmetic(first) {
                Some(kind) => kind,
                None => return Err(format!("unexpected character: {}", quoted_char(first))),
            },
        };
        self.more(kind)
    }

    fn two(&mut self, kind: TokenKind) -> TokenKind {
        self.cursor.next();
        kind
    }

    fn inside_braces(&mut self) -> Stepped {
        if self.cursor.peek() == Some('#') {
            return self.comment();
        }
        let Some(c) = self.cursor.next() else {
            return Err("unexpected end of input inside braces".into());
        };
        match c {
            ' ' | '\t' | '\n' | '\r' => self.spaces(),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.cursor.skip_while(is_alphanumeric);
                self.more(TokenKind::Identifier)
            }
            ',' => self.more(TokenKind::Comma),
            '"' | '\'' => self.quoted(c),
            '`' => self.raw(),
            '=' if self.cursor.peek() == Some('~') => {
                let kind = self.two(TokenKind::EqualRegex);
                self.more(kind)
            }
            '=' => self.more(TokenKind::Equal),
            '!' => match self.cursor.next() {
                Some('~') => self.more(TokenKind::NotRegex),
                Some('=') => self.more(TokenKind::NE),
                other => {
                    let other = quoted_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                    Err(format!("unexpected character after '!' inside braces: {other}"))
                }
            },
            '{' => Err(format!("unexpected left brace {}", quoted_char(c))),
            '}' => {
                self.mode = Mode::Statements;
                self.more(TokenKind::RightBrace)
            }
            _ => Err(format!("unexpected character inside braces: {}", quoted_char(c))),
        }
    }

    /// Behind `[`, up to the first number; from there on the rules of statements hold.
    fn duration(&mut self) -> Stepped {
        let Some(c) = self.cursor.next() else {
            return Err("unexpected end of input in duration expression".into());
        };
        match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.mode = Mode::Statements;
                self.more(TokenKind::RightBracket)
            }
            ':' => self.early_colon(),
            '(' | ')' => self.paren(c),
            ' ' | '\t' | '\n' | '\r' => self.spaces(),
            ',' => self.more(TokenKind::Comma),
            '0'..='9' => self.first_number(),
            '.' if self.cursor.peek_is(|c| c.is_ascii_digit()) => self.first_number(),
            _ => {
                let word = token::arithmetic(c).or_else(|| self.duration_word(c));
                match word {
                    Some(kind) => self.more(kind),
                    None => Err(format!(
                        "unexpected character in duration expression: {}",
                        quoted_char(c)
                    )),
                }
            }
        }
    }

    fn early_colon(&mut self) -> Stepped {
        if self.got_duration && !self.got_colon {
            self.got_colon = true;
            return self.more(TokenKind::Colon);
        }
        self.cursor.take();
        Err(if self.got_duration {
            "unexpected repeated colon in duration expression".into()
        } else {
            "unexpected colon before duration in duration expression".into()
        })
    }

    fn first_number(&mut self) -> Stepped {
        self.got_duration = true;
        self.number()
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

const fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

const fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}
