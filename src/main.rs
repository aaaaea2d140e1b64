//! The ROS 2 node: `ros2 run ettrack ettrack_node`, or `ros2 launch ettrack tracker.launch.py`.
//!
//! Exit codes: 0 after SIGINT or SIGTERM; 1 where it cannot start or fails.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    // r2r catches no signals: without this they would end the process as killed.
    if let Err(error) = ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed)) {
        eprintln!("error: signals cannot be caught: {error}");
        return ExitCode::FAILURE;
    }
    match ettrack_node::ros::run(&stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The node has said so itself where it could speak.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
