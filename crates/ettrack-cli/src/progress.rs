//! The progress bar on standard error. It is hidden where that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar up to `total` frames, or a counter if the end is not known.
pub fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{wide_bar} {pos}/{len} frames, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {pos} frames in {elapsed}",
        ),
    };
    // A template that cannot be parsed only costs the text beside the bar.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
