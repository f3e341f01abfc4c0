//! Progress, for whoever looks.

use std::cell::RefCell;

use crate::out::say;
use indicatif::ProgressBar;
use promlite::longterm::compact::{Progress, Watch};

/// One bar that shows what is being done right now.
pub(super) struct Bars {
    bar: ProgressBar,
    shown: RefCell<String>,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self { bar: crate::bytes_bar(), shown: RefCell::default() }
    }

    pub(super) fn show(&self, progress: Progress) {
        let (what, block, done, all) = match progress {
            Progress::Download { block, done_bytes, all_bytes } => {
                ("download", block, done_bytes, all_bytes)
            }
            Progress::Merge { block, done_series, all_series } => {
                ("merge (series)", block, done_series, all_series)
            }
            Progress::Downsample { block, done_series, all_series } => {
                ("downsample (series)", block, done_series, all_series)
            }
            Progress::Upload { block, done_bytes, all_bytes } => {
                ("upload", block, done_bytes, all_bytes)
            }
            _ => return,
        };
        let message = format!("{what} {block}");
        if *self.shown.borrow() != message {
            self.bar.reset();
            self.bar.set_message(message.clone());
            *self.shown.borrow_mut() = message;
        }
        self.bar.set_length(all);
        self.bar.set_position(done.min(all));
    }

    pub(super) fn print(&self, line: &str) {
        self.bar.suspend(|| say!("{line}"));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `work` with a bar.
pub(super) fn with_bars<T>(work: impl FnOnce(Watch<'_>, &Bars) -> T) -> T {
    let bars = Bars::new();
    let progress = |progress| bars.show(progress);
    let done = work(Watch { is_ending: &|| false, progress: &progress }, &bars);
    bars.clear();
    done
}
