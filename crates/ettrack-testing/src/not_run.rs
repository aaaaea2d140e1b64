//! Reports what a test did not check.

use std::io::Write;

/// Writes to standard error why something was not tested. It does not use `eprintln!`, because the test harness hides that output
/// of a test that passes.
pub fn not_run(what: &str, reason: &str) {
    // An error means that nobody reads standard error.
    let _ = writeln!(std::io::stderr(), "not tested: {what}: {reason}");
}
