//! A process that runs a node until it is told to end.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SIGHUP, SIGINT, SIGTERM, SigSet};

use super::NodeError;

/// Runs a node until SIGINT, SIGTERM or SIGHUP sets its flag. The exit code is then 0. It is 1 if the node cannot start or fails.
pub fn run_until_signal(run: impl FnOnce(&AtomicBool) -> Result<(), NodeError>) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    // r2r does not handle signals. Without this handler a signal would kill the process.
    if let Err(error) = ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed)) {
        eprintln!("error: signals cannot be handled: {error}");
        return ExitCode::FAILURE;
    }
    // `ettrack_node` has blocked these signals until here.
    let held_back: SigSet = [SIGINT, SIGTERM, SIGHUP].into_iter().collect();
    if let Err(error) = held_back.thread_unblock() {
        eprintln!("error: signals cannot be unblocked: {error}");
        return ExitCode::FAILURE;
    }
    match run(&stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the node had a log, it has already logged the error there.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
