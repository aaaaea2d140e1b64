//! `ros2 run ettrack ettrack_follower`: commands velocities that follow the tracked target.
//!
//! Exit codes: 0 after SIGINT or SIGTERM; 1 if it cannot start.

use std::process::ExitCode;

fn main() -> ExitCode {
    ettrack_node::ros::run_until_signal(ettrack_node::ros::follow)
}
