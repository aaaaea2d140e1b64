//! The ROS 2 node. `ettrack_node` starts it.
//!
//! Exit codes: 0 after SIGINT or SIGTERM; 1 if it cannot start or fails.

use std::process::ExitCode;

fn main() -> ExitCode {
    ettrack_node::ros::run_until_signal(ettrack_node::ros::run)
}
