//! The tables that `ettrack suite` prints.

use std::io::Write;

use ettrack_eval::interval::Interval;
use ettrack_eval::suite::{Difference, Mean};

use crate::console::stdout;

/// A row for each evaluation, benchmark and measure, a column for each tracker.
pub fn print_means(table: &[Mean], labels: &[String]) -> anyhow::Result<()> {
    let mut out = stdout();
    let plain =
        |Interval { mean, low, high }: &Interval| format!("{mean:.3} [{low:.3}, {high:.3}]");
    let width = |text: &str| text.chars().count().max(20);
    let names = table.iter().map(|line| line.benchmark.chars().count());
    let names = names.max().unwrap_or(0).max(9);
    write!(
        out,
        "evaluation  {:names$}  {:12}  targets",
        "benchmark", "measure"
    )?;
    for label in labels {
        write!(out, "  {label:0$}", width(label))?;
    }
    writeln!(out)?;
    let same = |a: &Mean, b: &Mean| {
        (&a.evaluation, &a.benchmark, &a.measure) == (&b.evaluation, &b.benchmark, &b.measure)
    };
    for row in table.chunk_by(same) {
        let Mean {
            evaluation,
            benchmark,
            measure,
            ..
        } = &row[0];
        let targets = row.iter().map(|line| line.targets).max().unwrap_or(0);
        write!(
            out,
            "{evaluation:10}  {benchmark:names$}  {measure:12}  {targets:>7}"
        )?;
        for label in labels {
            let line = row.iter().find(|line| line.tracker == *label);
            let text = line.map_or_else(|| "-".to_owned(), |line| plain(&line.interval));
            write!(out, "  {text:0$}", width(label))?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// A row for each evaluation, measure and pair of trackers.
pub fn print_differences(differences: &[Difference]) -> anyhow::Result<()> {
    let mut out = stdout();
    if !differences.is_empty() {
        writeln!(out)?;
        writeln!(
            out,
            "evaluation  measure       targets  difference, paired       won  trackers"
        )?;
    }
    for line in differences {
        let Interval { mean, low, high } = line.difference;
        let difference = format!("{mean:+.3} [{low:+.3}, {high:+.3}]");
        writeln!(
            out,
            "{:10}  {:12}  {:>7}  {difference:23}  {:>3}  {} less {}",
            line.evaluation, line.measure, line.targets, line.won, line.tracker, line.other
        )?;
    }
    out.flush()?;
    Ok(())
}
