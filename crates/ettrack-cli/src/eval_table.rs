//! The table that `ettrack eval` prints.

use std::io::Write;

use ettrack_eval::dataset::Evaluation;
use ettrack_eval::metrics::Scores;
use ettrack_eval::score::{Common, Summary, TrackerScore};

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
        "{:width$}  frames  success_auc  precision_20  norm_precision_20  sr_50  sr_75     ao     fps",
        "sequence"
    )?;
    let row = |name: &str, frames: usize, scores: Option<&Scores>, fps: Option<f64>| {
        let scores = scores.map_or_else(
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
        let fps = fps.map_or_else(|| "-".to_owned(), |fps| format!("{fps:.1}"));
        format!("{name:width$}  {frames:6}  {scores}  {fps:>6}")
    };
    for (name, one) in &rows {
        let scores = one.scores.as_ref();
        writeln!(out, "{}", row(name, one.frames, scores, one.fps))?;
    }
    // Means over different sequences cannot be compared.
    let compared = match common {
        Some(common) => &common.trackers[..],
        None => &trackers[1..],
    };
    for tracker in trackers[..1].iter().chain(compared) {
        let frames = tracker.sequences.iter().map(|one| one.frames).sum();
        let scores = tracker.total.as_ref().map(|(scores, _)| scores);
        writeln!(
            out,
            "{}",
            row(&tracker.label, frames, scores, tracker.fps())
        )?;
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
