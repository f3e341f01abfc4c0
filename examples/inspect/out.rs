//! What the commands say, to a reader who may have seen enough, as `head` has.

use std::fmt;
use std::io::{ErrorKind, Write as _};

/// As `println!`, but a reader that has gone is no failure: the work goes on without one.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::out::put(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// Writes to the standard output; ends the program if that fails, as what it said would be cut.
pub(crate) fn put(text: fmt::Arguments<'_>) {
    match std::io::stdout().write_fmt(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("standard output: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}
