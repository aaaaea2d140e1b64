//! Saying what a test left out.

use std::io::Write;

/// Says on standard error why something was not tested. Past the harness, which keeps for itself what a test that
/// passes prints.
pub fn not_run(what: &str, reason: &str) {
    // Where nobody can be told, nobody reads it.
    let _ = writeln!(std::io::stderr(), "not tested: {what}: {reason}");
}
