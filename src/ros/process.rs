//! A process that runs a node until it gets a signal to end.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SIGHUP, SIGINT, SIGTERM, SigSet};

use ettrack::error_chain;

use super::NodeError;
use super::log::Log;
use crate::Level;

/// How a node that had a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to end.
    Asked,
    /// It failed. The log says why.
    Failed,
}

impl Ended {
    /// Writes a failure to the log, with its causes.
    pub(super) fn logged(outcome: Result<(), NodeError>, log: &Log) -> Self {
        match outcome {
            Ok(()) => Self::Asked,
            Err(error) => {
                log.say(Level::Error, &error_chain(&error));
                Self::Failed
            }
        }
    }
}

/// Runs a node until SIGINT, SIGTERM or SIGHUP sets its flag. The exit code is then 0. It is 1 if the node cannot start or fails.
///
/// A failure is reported once: by the node's log if it has one, else on standard error.
pub fn run_until_signal(run: impl FnOnce(&AtomicBool) -> Result<Ended, NodeError>) -> ExitCode {
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
        Ok(Ended::Asked) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}
