//! The table that `ettrack eval` prints.

use std::io::Write;

use ettrack_eval::dataset::Evaluation;
use ettrack_eval::score::{Common, Summary, SummaryRow, TrackerScore};

use crate::console::stdout;

/// A row for each sequence of the first tracker, and one for each tracker's mean.
pub fn print_table(
    trackers: &[TrackerScore],
    common: Option<&Common>,
    evaluation: Evaluation,
) -> anyhow::Result<()> {
    let mut out = stdout();
    let rows = trackers[0].rows(evaluation);
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .chain(trackers.iter().map(|tracker| tracker.label.chars().count()))
        .chain(
            common
                .iter()
                .flat_map(|common| &common.trackers)
                .map(|one| one.label.chars().count()),
        )
        .chain([8])
        .max()
        .unwrap_or(8);
    writeln!(
        out,
        "{:width$}  frames  success_auc  precision_20  norm_precision_20  sr_50  sr_75     ao   held     fps",
        "sequence"
    )?;
    let row = |name: &str, row: &SummaryRow| {
        let scores = row.scores.map_or_else(
            || {
                format!(
                    "{:>11}  {:>12}  {:>17}  {:>5}  {:>5}  {:>5}",
                    "-", "-", "-", "-", "-", "-"
                )
            },
            |s| {
                format!(
                    "{:11.3}  {:12.3}  {:17.3}  {:5.3}  {:5.3}  {:5.3}",
                    s.success_auc,
                    s.precision_20,
                    s.normalized_precision_20,
                    s.sr_50,
                    s.sr_75,
                    s.ao
                )
            },
        );
        let or_none = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let (held, fps) = (or_none(row.held, 3), or_none(row.fps, 1));
        let frames = row.frames;
        format!("{name:width$}  {frames:6}  {scores}  {held:>5}  {fps:>6}")
    };
    for (name, one) in &rows {
        writeln!(out, "{}", row(name, one))?;
    }
    // Means over different sequences cannot be compared.
    let compared = match common {
        Some(common) => &common.trackers[..],
        None => &trackers[1..],
    };
    for tracker in trackers[..1].iter().chain(compared) {
        writeln!(out, "{}", row(&tracker.label, &tracker.mean(evaluation)))?;
    }
    out.flush()?;
    Ok(())
}

/// Figures that only some benchmarks have.
pub fn print_benchmark_figures(summary: &Summary) -> anyhow::Result<()> {
    let mut out = stdout();
    if let Some(vot) = &summary.vot {
        write!(out, "VOT's toolkit: accuracy {:.3}", vot.accuracy)?;
        match vot.robustness {
            Some(robustness) => writeln!(out, ", robustness {robustness:.3}")?,
            None => writeln!(out)?,
        }
    }
    if let Some(long) = &summary.long_term {
        writeln!(
            out,
            "long-term: precision {:.3}, recall {:.3}, F {:.3}",
            long.precision, long.recall, long.f_score
        )?;
    }
    let width = summary
        .attributes
        .keys()
        .map(String::len)
        .max()
        .unwrap_or(0);
    for (name, row) in &summary.attributes {
        writeln!(
            out,
            "{name:width$}  {:4} sequences  success_auc {:.3}  precision_20 {:.3}",
            row.sequences, row.scores.success_auc, row.scores.precision_20
        )?;
    }
    out.flush()?;
    Ok(())
}
