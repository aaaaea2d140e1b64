//! Shared by all subcommands: the log, standard output that may be closed early, exit codes.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use ettrack::error_chain;
use tracing_subscriber::EnvFilter;

/// Marks an error as the caller's: wrong arguments or input that cannot be used (exit code 2).
///
/// `Err(error).context(BadInput("…".into()))` or `anyhow::bail!(BadInput(format!(…)))`.
#[derive(Debug)]
pub struct BadInput(pub String);

impl BadInput {
    /// The input was bad for this reason; the message holds the causes of `error` too.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self(error_chain(error))
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// 2 if the chain of causes holds a [`BadInput`], else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<BadInput>().is_some()
        || error.chain().any(|cause| cause.is::<BadInput>())
    {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// Starts the log on standard error: warnings, and with each `-v` one level more.
pub fn start_log(verbose: u8) {
    let levels = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(levels));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}

/// The reader of standard output has closed it.
#[derive(Debug)]
struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("standard output was closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Standard output for data: buffered. A closed pipe is a `StdoutClosed` error, which
/// [`is_closed_stdout`] tells from other broken pipes.
///
/// Call `flush` at the end. Otherwise a full disk is not noticed.
pub fn stdout() -> impl Write {
    BufWriter::new(Stdout(io::stdout()))
}

struct Stdout(io::Stdout);

fn mark_closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::new(io::ErrorKind::BrokenPipe, StdoutClosed)
    } else {
        error
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_closed)
    }
}

/// Whether the error is only that the reader of standard output has closed it.
pub fn is_closed_stdout(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(|inner| inner.is::<StdoutClosed>())
    })
}
