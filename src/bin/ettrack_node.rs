//! `ros2 run ettrack ettrack_node`: holds SIGINT, SIGTERM and SIGHUP back, and becomes the node, `ettrack_node_process`.
//!
//! The system loads the node's libraries, some hundred of them, before its first instruction, and until then a signal would
//! kill it. This program has no such libraries. What it holds back is still pending when the node takes signals.

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
        // Comes back only where it fails.
        Ok(here) => Command::new(here.with_file_name(NODE))
            .args(std::env::args_os().skip(1))
            .exec(),
        Err(error) => error,
    };
    eprintln!("error: cannot start {NODE} beside this program: {error}");
    ExitCode::FAILURE
}
