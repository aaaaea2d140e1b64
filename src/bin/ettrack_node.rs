//! `ros2 run ettrack ettrack_node`: blocks SIGINT, SIGTERM and SIGHUP, then replaces itself by the node, `ettrack_node_process`.
//!
//! The system loads about a hundred libraries of the node before the node's first instruction. A signal during that time would
//! kill it. This program has no such libraries, so it can block signals at once. They stay pending until the node handles them.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SIGHUP, SIGINT, SIGTERM, SigSet};

/// The node, in the folder of this program.
const NODE: &str = "ettrack_node_process";

fn main() -> ExitCode {
    let held_back: SigSet = [SIGINT, SIGTERM, SIGHUP].into_iter().collect();
    if let Err(error) = held_back.thread_block() {
        eprintln!("error: signals cannot be held back: {error}");
        return ExitCode::FAILURE;
    }
    let error = match std::env::current_exe() {
        // exec returns only on failure.
        Ok(here) => Command::new(here.with_file_name(NODE))
            .args(std::env::args_os().skip(1))
            .exec(),
        Err(error) => error,
    };
    eprintln!("error: cannot start {NODE} beside this program: {error}");
    ExitCode::FAILURE
}
