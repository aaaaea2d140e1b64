//! Ctrl-C ends a run early. `track` and the evaluations keep what was tracked; what must be whole is not written.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first SIGINT or SIGTERM sets a flag, and the second one ends the process.
pub fn watch() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot watch for Ctrl-C")
}

/// The opposite of [`came`], for callers that ask whether to go on.
pub fn go_on() -> ControlFlow<()> {
    if came() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether a signal has come.
pub fn came() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
