//! Numbers and durations.

use crate::base::quote::quoted;

use super::cursor::Cursor;
use super::is_alphanumeric;
use super::token::TokenKind;

impl Cursor<'_> {
    /// Reads a number or a duration. What is read need not be valid; the parser finds out.
    pub(super) fn number_or_duration(&mut self) -> Result<TokenKind, String> {
        if self.number() {
            return Ok(TokenKind::Number);
        }
        if self.duration_rest() {
            return Ok(TokenKind::Duration);
        }
        Err(format!("bad number or duration syntax: {}", quoted(self.pending())))
    }

    /// Reads digits, points, exponents and underscores; false if no number ends there. What was
    /// read is kept, as it may be the beginning of a duration.
    fn number(&mut self) -> bool {
        let mut hex = false;
        if self.accept(|c| c == '0') && self.accept(|c| matches!(c, 'x' | 'X')) {
            self.accept(|c| c == '_');
            hex = true;
        }
        let digit = move |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        self.accept(|c| c == '.');
        self.accept(digit);
        let (mut seen_point, mut seen_exponent) = (false, false);
        while let Some(c) = self.peek() {
            // Even in a hexadecimal number, an `e` that does not follow another digit of this loop
            // is upstream's exponent.
            let fine = match c {
                '.' if !seen_point => {
                    seen_point = true;
                    self.next();
                    !self.accept(|c| matches!(c, '_' | '.')) && !hex
                }
                'e' | 'E' if !seen_exponent => {
                    seen_exponent = true;
                    self.next();
                    self.accept(|c| matches!(c, '+' | '-'));
                    self.continues()
                }
                '_' => {
                    self.next();
                    self.continues()
                }
                '.' | 'e' | 'E' => {
                    self.next();
                    false
                }
                _ if digit(c) => {
                    self.skip_while(digit);
                    true
                }
                _ => break,
            };
            if !fine {
                return false;
            }
        }
        !self.pending().is_empty() && !self.peek_is(is_alphanumeric)
    }

    /// False, with the character read, if none follows that may stand behind an exponent's sign
    /// or an underscore.
    fn continues(&mut self) -> bool {
        !self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) && self.peek().is_some()
    }

    /// The unit behind the digits that were read, and further groups of digits and unit.
    fn duration_rest(&mut self) -> bool {
        if !self.accept(|c| "smhdwy".contains(c)) {
            return false;
        }
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.skip_while(|c| c.is_ascii_digit());
            if !self.accept(|c| "smhdw".contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        // The character that should not be there is part of the message.
        !self.accept(is_alphanumeric)
    }
}
