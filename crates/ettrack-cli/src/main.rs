//! The command line: it parses, calls the libraries and prints. One file per subcommand.

mod bars;
mod bench;
mod built_with;
mod console;
mod dataset_args;
mod engine_args;
mod eval;
mod eval_table;
mod failures;
mod interrupt;
mod mavlink;
mod models;
mod play;
mod presence;
mod progress;
mod replay;
mod roi;
mod runs;
mod score;
mod sequences;
mod serve;
mod simulate;
mod suite;
mod suite_table;
mod tap;
mod tensors;
mod track;
mod tracker_args;
mod trax;
mod vot_workspace;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use ettrack::error_chain;

/// Keep a camera on one chosen target, on the CPU, without ROS.
///
/// Data are written to standard output, messages to standard error.
///
/// Exit codes: 0 done; 1 failed while working; 2 wrong usage or bad input (arguments, files, models,
/// or boxes that cannot be used).
#[derive(Debug, Parser)]
#[command(version, long_version = built_with::description(), max_term_width = 100)]
struct Cli {
    /// Print more on standard error: -v steps and libraries found, -vv details, -vvv everything.
    /// The environment variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

/// One variant per subcommand, one file per variant.
#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Bench),
    Models(models::Models),
    Track(track::TrackArgs),
    Serve(Box<serve::ServeArgs>),
    Mavlink(Box<mavlink::MavlinkArgs>),
    Replay(replay::ReplayArgs),
    Eval(Box<eval::EvalArgs>),
    Suite(Box<suite::SuiteArgs>),
    Score(score::ScoreArgs),
    Sequences(sequences::SequencesArgs),
    Simulate(simulate::SimulateArgs),
    Tap(tap::TapArgs),
    Tensors(Box<tensors::TensorsArgs>),
    Trax(Box<trax::TraxArgs>),
    VotWorkspace(Box<vot_workspace::VotWorkspaceArgs>),
    Presence(Box<presence::PresenceArgs>),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Bench(command) => command.run(),
            Self::Models(command) => command.run(),
            Self::Track(args) => args.run(),
            Self::Serve(args) => args.run(),
            Self::Mavlink(args) => args.run(),
            Self::Tap(args) => args.run(),
            Self::Tensors(args) => args.run(),
            Self::Trax(args) => args.run(),
            Self::VotWorkspace(args) => args.run(),
            Self::Replay(args) => args.run(),
            Self::Eval(args) => args.run(),
            Self::Suite(args) => args.run(),
            Self::Score(args) => args.run(),
            Self::Sequences(args) => args.run(),
            Self::Simulate(args) => args.run(),
            Self::Presence(args) => args.run(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(suite::arguments(std::env::args_os()));
    console::start_log(cli.verbose);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        // `ettrack … | head` is not a failure: the reader has read what it wanted.
        Err(error) if console::is_closed_stdout(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            console::exit_code(&error)
        }
    }
}
