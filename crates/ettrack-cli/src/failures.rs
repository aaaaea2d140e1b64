//! `ettrack presence --failures`: measures whether a tracker reports that it follows something else.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use ettrack_eval::dataset::Evaluation;
use ettrack_eval::presence::{EditedSequence, FailureScore, FeatureTable};
use ettrack_eval::suite;
use ettrack_files::PendingFile;

use crate::console::{BadInput, stdout};
use crate::presence::{PresenceArgs, finish, load, name_width, number};

/// Shares of false alarms at which the confidence is measured.
const FALSE_ALARMS: [f64; 2] = [0.01, 0.03];

/// A target, with all its runs together.
struct Row {
    name: String,
    score: FailureScore,
}

/// Runs this mode of the subcommand.
pub fn run(args: &PresenceArgs, suite: &Path, evaluation: Evaluation) -> anyhow::Result<()> {
    let suite = suite::read(suite).map_err(|error| BadInput::of(&error))?;
    // This is checked before the work starts.
    let features_file = args
        .features
        .as_deref()
        .map(PendingFile::create)
        .transpose()?;
    let runs = suite.benchmarks.iter().flat_map(|one| one.runs(evaluation));
    let (sequences, unread) = load(&runs.collect::<Vec<_>>());
    let made: Vec<_> = sequences
        .iter()
        .filter_map(EditedSequence::unedited)
        .collect();
    let mut features = FeatureTable::of_failures();
    let mut rows: Vec<Row> = Vec::new();
    let name = |one: &EditedSequence| one.name.clone();
    let failed = args.run_over(&made, &mut features, name, |sequence, answers| {
        let score = FailureScore::of(&sequence.truth, &sequence.sight, answers);
        let name = evaluation.sequence_of(&sequence.name);
        match rows.last_mut().filter(|row| row.name == name) {
            Some(row) => row.score = FailureScore::pooled([&row.score, &score]),
            None => rows.push(Row {
                name: name.to_owned(),
                score,
            }),
        }
    })?;
    finish(
        print(args.json, evaluation, &rows),
        features_file,
        &features,
    )?;
    if unread + failed > 0 {
        bail!("{} runs have no result", unread + failed);
    }
    Ok(())
}

fn print(json: bool, evaluation: Evaluation, rows: &[Row]) -> anyhow::Result<()> {
    let all = FailureScore::pooled(rows.iter().map(|row| &row.score));
    let mut out = stdout();
    if json {
        let targets: serde_json::Map<_, _> = rows
            .iter()
            .map(|row| (row.name.clone(), numbers(&row.score)))
            .collect();
        let all = serde_json::json!({
            "evaluation": evaluation.name(),
            "total": numbers(&all),
            "targets": targets,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        out.flush()?;
        return Ok(());
    }
    let width = name_width(rows.iter().map(|row| row.name.as_str()));
    writeln!(
        out,
        "{:width$}      on     off  roc_auc  called_at_1%  called_at_3%  lost_off  lost_on  loss_delay  noticed  \
         recovery_delay  found",
        "target"
    )?;
    for row in rows {
        writeln!(out, "{:width$}  {}", row.name, line(&row.score))?;
    }
    writeln!(out, "{:width$}  {}", "total", line(&all))?;
    out.flush()?;
    Ok(())
}

fn line(score: &FailureScore) -> String {
    let of_failures = |delays: &[usize]| format!("{}/{}", delays.len(), score.failures);
    format!(
        "{:>6}  {:>6}  {:>7}  {:>12}  {:>12}  {:>8}  {:>7}  {:>10}  {:>7}  {:>14}  {:>5}",
        score.on_frames,
        score.off_frames,
        number(score.roc_auc(), 3),
        number(score.called(FALSE_ALARMS[0]), 3),
        number(score.called(FALSE_ALARMS[1]), 3),
        number(score.recall(), 3),
        number(score.false_alarms(), 3),
        number(score.loss_delay(), 1),
        of_failures(&score.loss_delays),
        number(score.recovery_delay(), 1),
        of_failures(&score.recovery_delays),
    )
}

fn numbers(score: &FailureScore) -> serde_json::Value {
    serde_json::json!({
        "roc_auc": score.roc_auc(),
        "called_at_0.01": score.called(FALSE_ALARMS[0]),
        "called_at_0.03": score.called(FALSE_ALARMS[1]),
        "lost_off": score.recall(),
        "lost_on": score.false_alarms(),
        "median_loss_delay": score.loss_delay(),
        "median_recovery_delay": score.recovery_delay(),
        "counts": score,
    })
}
