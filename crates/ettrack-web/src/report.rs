//! Files to download: the boxes so far as CSV, and a report as one HTML file.

use std::fmt::Write;

use crate::session::{Row, Snapshot};
use crate::setting::{Setting, Value};
use crate::update::State;

/// Width and height of a plot, user units of SVG.
const PLOT: (f64, f64) = (900.0, 140.0);

/// Largest number of columns in a plot. A longer list is cut into this number of pieces, and each piece is drawn from its
/// smallest to its largest value.
const COLUMNS: usize = 450;

/// Writes the rows that have a target as CSV: the columns of `ettrack track`, then the stamp. Boxes are in pixels; (0, 0) is
/// the upper-left corner of the upper-left pixel.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut text = String::from("frame,x,y,w,h,confidence,state,stamp_ns\n");
    for row in rows {
        let Some([x, y, w, h]) = row.bounding_box else {
            continue;
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{x:.4},{y:.4},{w:.4},{h:.4},{:.4},{},{}",
            row.frame,
            row.confidence,
            row.state.word(),
            row.stamp
        );
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The number at the position `share` (0..=1) of a sorted list. 0 if the list is empty.
fn percentile(sorted: &[f32], share: f64) -> f32 {
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// Draws `values` as an SVG line plot, from 0 at the bottom to `top`. `lost` marks the frames in which the target was lost.
fn plot(title: &str, unit: &str, values: &[f32], lost: &[bool], top: f32) -> String {
    let (width, height) = PLOT;
    let piece = values.len().div_ceil(COLUMNS).max(1);
    let columns = values.len().div_ceil(piece).max(1) as f64;
    let x = |column: usize| (column as f64 + 0.5) / columns * width;
    let y = |value: f32| height - f64::from(value / top.max(1e-6)).clamp(0.0, 1.0) * height;
    let mut svg = format!(
        "<figure><figcaption>{title} <small>0 to {top:.3}{unit}</small></figcaption>\
         <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" preserveAspectRatio=\"none\">"
    );
    for (column, part) in lost.chunks(piece).enumerate() {
        if part.iter().any(|lost| *lost) {
            let _ = write!(
                svg,
                "<rect class=\"lost\" x=\"{:.2}\" y=\"0\" width=\"{:.2}\" height=\"{height}\"/>",
                x(column) - 0.5 / columns * width,
                width / columns
            );
        }
    }
    let mut path = String::new();
    for (column, part) in values.chunks(piece).enumerate() {
        let least = part.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for value in [greatest, least] {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.2} {:.2}", x(column), y(value));
        }
    }
    let _ = write!(svg, "<path d=\"{path}\"/></svg></figure>");
    svg
}

/// Writes the report: counts, plots and settings in one HTML file that needs no other file.
pub(crate) fn html(snapshot: &Snapshot, rows: &[Row], settings: &[Setting]) -> String {
    let with_target: Vec<&Row> = rows.iter().filter(|row| row.state != State::Idle).collect();
    let lost: Vec<bool> = with_target
        .iter()
        .map(|row| row.state == State::Lost)
        .collect();
    let confidences: Vec<f32> = with_target.iter().map(|row| row.confidence).collect();
    let times: Vec<f32> = with_target.iter().map(|row| row.ms).collect();
    let mut sorted: Vec<f32> = times.iter().copied().filter(|ms| *ms > 0.0).collect();
    sorted.sort_by(f32::total_cmp);
    let count = with_target.len();
    let lost_count = lost.iter().filter(|lost| **lost).count();
    let share = |part: usize| {
        if count == 0 {
            0.0
        } else {
            100.0 * part as f64 / count as f64
        }
    };
    let median_side = {
        let mut sides: Vec<f32> = with_target
            .iter()
            .filter_map(|row| row.bounding_box)
            .map(|[_, _, w, h]| (w * h).sqrt() as f32)
            .collect();
        sides.sort_by(f32::total_cmp);
        percentile(&sides, 0.5)
    };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>ettrack: {title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p>{software}, model {model}. {frames} frames answered, {count} with a target.</p><table>",
        title = escape(&snapshot.about.title),
        software = escape(&snapshot.about.software),
        model = escape(&snapshot.model),
        frames = rows.len(),
    );
    for (name, value) in [
        (
            "tracking",
            format!(
                "{} frames, {:.1} %",
                count - lost_count,
                share(count - lost_count)
            ),
        ),
        (
            "lost",
            format!("{lost_count} frames, {:.1} %", share(lost_count)),
        ),
        (
            "mean confidence",
            format!(
                "{:.3}",
                confidences.iter().map(|c| f64::from(*c)).sum::<f64>() / count.max(1) as f64
            ),
        ),
        (
            "median side of the target",
            format!("{median_side:.1} pixels"),
        ),
        (
            "time per frame",
            format!(
                "median {:.2} ms, p95 {:.2} ms, most {:.2} ms",
                percentile(&sorted, 0.5),
                percentile(&sorted, 0.95),
                percentile(&sorted, 1.0)
            ),
        ),
        (
            "frames",
            format!(
                "{} received, {} replaced by newer ones before they were tracked",
                snapshot.update.received, snapshot.update.dropped
            ),
        ),
    ] {
        let _ = write!(page, "<tr><th>{name}<td>{value}");
    }
    page.push_str("</table>");
    if count > 0 {
        page.push_str(&plot("Confidence", "", &confidences, &lost, 1.0));
        let top = sorted.last().copied().unwrap_or(1.0);
        page.push_str(&plot("Time per frame", " ms", &times, &lost, top));
        page.push_str("<p class=\"key\"><span></span> lost</p>");
    }
    page.push_str("<h2>Settings</h2><table>");
    for setting in settings {
        let value = match &setting.value {
            Value::Bool(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(value) => value.clone(),
        };
        let changed = if setting.value == setting.default {
            ""
        } else {
            " (changed)"
        };
        let _ = write!(
            page,
            "<tr><th>{}<td>{}{changed}",
            escape(&setting.name),
            escape(&value)
        );
    }
    page.push_str("</table></html>\n");
    page
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2rem auto;padding:0 1rem;color:#1b1d1f;background:#fff}\
table{border-collapse:collapse}th{text-align:left;font-weight:500;padding:.15rem 2rem .15rem 0}td{font-variant-numeric:tabular-nums}\
figure{margin:1.5rem 0}figcaption small{color:#666}svg{width:100%;height:140px;background:#f5f6f7}\
path{fill:none;stroke:#0b6e4f;stroke-width:1.5;vector-effect:non-scaling-stroke}.lost{fill:#f4c38b}\
.key span{display:inline-block;width:1em;height:1em;background:#f4c38b;vertical-align:-.15em}\
@media(prefers-color-scheme:dark){body{background:#16181a;color:#e4e6e8}svg{background:#202326}path{stroke:#5fd0a5}.lost,.key span{fill:#7a4d17;background:#7a4d17}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;

    fn row(frame: u64, state: State) -> Row {
        Row {
            frame,
            stamp: frame as i64 * 1000,
            bounding_box: (state != State::Idle).then_some([1.0, 2.0, 3.0, 4.0]),
            confidence: 0.5,
            state,
            ms: 2.0,
        }
    }

    #[test]
    fn csv_leaves_out_rows_without_a_target() {
        let text = csv(&[
            row(3, State::Idle),
            row(4, State::Tracking),
            row(5, State::Lost),
        ]);
        assert_eq!(
            text,
            "frame,x,y,w,h,confidence,state,stamp_ns\n\
             4,1.0000,2.0000,3.0000,4.0000,0.5000,tracking,4000\n\
             5,1.0000,2.0000,3.0000,4.0000,0.5000,lost,5000\n"
        );
    }

    #[test]
    fn the_report_counts_states_and_escapes_names() {
        let about = crate::About {
            title: "<script>.mp4".into(),
            ..crate::About::default()
        };
        let session = Session::new(about, |_| {});
        let rows: Vec<_> = (0..2000)
            .map(|frame| {
                row(
                    frame,
                    if frame < 500 {
                        State::Lost
                    } else {
                        State::Tracking
                    },
                )
            })
            .collect();
        let page = html(&session.snapshot(), &rows, &[]);
        assert!(page.contains("1500 frames, 75.0 %") && page.contains("500 frames, 25.0 %"));
        assert!(page.contains("&lt;script&gt;.mp4") && !page.contains("<script>"));
        assert!(!html(&session.snapshot(), &[], &[]).contains("NaN"));
    }
}
