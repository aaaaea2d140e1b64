//! `report.html`: one file that needs no network, with plots, a table per sequence and sample frames.

mod plot;
mod samples;

use std::fmt::Write as _;
use std::path::Path;

use self::plot::{Axes, Series, escape, plot};
use super::dataset::{Dataset, Evaluation, Sequence};
use super::metrics::{
    Curves, DISTANCE_STEPS, OVERLAP_STEPS, Protocol, Scores, distance_threshold,
    normalized_threshold, overlap, overlap_threshold,
};
use super::score::{SequenceScore, TrackerScore};
use ettrack_files::{OutputError, write_file};
use ettrack_picture::{Color, WHITE};

/// Colours of the first trackers' boxes on samples; the same as their lines (light page).
const BOX_COLORS: [Color; 4] = [
    [60, 150, 255],
    [255, 120, 40],
    [60, 200, 90],
    [200, 90, 230],
];
/// Trackers beyond share the last line colour.
const LINE_COLORS: usize = 8;
/// Samples per sequence.
const SAMPLES: usize = 5;
/// Sequences with samples (the ones followed worst), to keep the file small.
const SEQUENCES_WITH_SAMPLES: usize = 40;

/// What the report shows.
pub struct Report<'a> {
    /// The benchmark.
    pub dataset: &'a Dataset,
    /// How it scores.
    pub protocol: &'a Protocol,
    /// From which starts the trackers ran.
    pub evaluation: Evaluation,
    /// The evaluated tracker first, then those it is compared with.
    pub trackers: &'a [TrackerScore],
    /// Sequences with frames and truth, for samples and timelines.
    pub sequences: &'a [Sequence],
    /// Sequences without a result, and why.
    pub failed: &'a [(String, String)],
    /// What made the boxes, shown at the end.
    pub settings: &'a serde_json::Value,
    /// Whether sample frames are put in.
    pub samples: bool,
}

/// Writes the page.
pub fn write_report(path: &Path, report: &Report<'_>) -> Result<(), OutputError> {
    write_file(path, report.html())
}

fn class(index: usize) -> String {
    format!("s{}", index.min(LINE_COLORS - 1))
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

impl Report<'_> {
    /// The page as text.
    pub fn html(&self) -> String {
        let mut page = String::new();
        let main = &self.trackers[0];
        let title = format!("{} on {}", main.label, self.dataset);
        // Writing to a string does not fail, here and below.
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>{}</title><style>{}</style></head><body><main>",
            escape(&title),
            include_str!("style.css")
        );
        let frames: usize = main.sequences.iter().map(|one| one.frames).sum();
        let _ = write!(
            page,
            "<h1>{}</h1><p class=\"sub\">{}, {} {}, {frames} frames</p>",
            escape(&title),
            self.evaluation.title(),
            main.sequences.len(),
            self.evaluation.unit()
        );
        self.failures(&mut page);
        self.cards(&mut page);
        self.plots(&mut page);
        if self.trackers.len() > 1 {
            self.comparison(&mut page);
        }
        self.table(&mut page);
        self.details(&mut page);
        self.notes(&mut page);
        let _ = writeln!(
            page,
            "</main><script>{}</script></body></html>",
            include_str!("sort.js")
        );
        page
    }

    fn failures(&self, page: &mut String) {
        if self.failed.is_empty() {
            return;
        }
        let _ = write!(
            page,
            "<h2>{} without a result: {}</h2><div class=\"scroll\"><table class=\"failed\"><tbody>",
            capitalized(self.evaluation.unit()),
            self.failed.len()
        );
        for (name, reason) in self.failed {
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{}</td></tr>",
                escape(name),
                escape(reason)
            );
        }
        page.push_str(
            "</tbody></table></div><p class=\"note\">The numbers below are without them.</p>",
        );
    }

    fn cards(&self, page: &mut String) {
        let main = &self.trackers[0];
        page.push_str("<div class=\"cards\">");
        let mut card = |value: String, name: &str| {
            let _ = write!(
                page,
                "<div class=\"card\"><b>{value}</b><span>{name}</span></div>"
            );
        };
        if let Some((scores, _)) = &main.total {
            card(three(scores.success_auc), "success AUC");
            card(three(scores.precision_20), "precision, 20 px");
            card(
                three(scores.normalized_precision_20),
                "normalised precision, 0.2",
            );
            card(three(scores.sr_50), "OP50 / SR 0.5");
            card(three(scores.sr_75), "OP75 / SR 0.75");
            card(three(scores.ao), "average overlap");
        }
        if let Some(fps) = main.fps() {
            card(format!("{fps:.0}"), "frames per second");
        }
        page.push_str("</div>");
    }

    fn plots(&self, page: &mut String) {
        let Some((_, curves)) = &self.trackers[0].total else {
            page.push_str(
                "<p class=\"note\">The truth of these sequences is not published: the archive beside this page is for \
                 the benchmark's server.</p>",
            );
            return;
        };
        debug_assert_eq!(curves.success.len(), OVERLAP_STEPS);
        page.push_str("<div class=\"plots\">");
        let axes = |title, x, y, end, marker| Axes {
            title,
            x,
            y,
            x_range: (0.0, end),
            y_range: (0.0, 1.0),
            size: (360.0, 290.0),
            marker,
        };
        self.curve(
            page,
            &axes("Success", "overlap threshold", "part of frames", 1.0, None),
            |curves| &curves.success,
            OVERLAP_STEPS,
            overlap_threshold,
            |scores| scores.success_auc,
        );
        self.curve(
            page,
            &axes(
                "Precision",
                "centre error threshold, pixels",
                "part of frames",
                50.0,
                Some(20.0),
            ),
            |curves| &curves.precision,
            DISTANCE_STEPS,
            distance_threshold,
            |scores| scores.precision_20,
        );
        self.curve(
            page,
            &axes(
                "Normalised precision",
                "centre error threshold, target sizes",
                "part of frames",
                0.5,
                Some(0.2),
            ),
            |curves| &curves.normalized_precision,
            DISTANCE_STEPS,
            normalized_threshold,
            |scores| scores.normalized_precision_20,
        );
        page.push_str("</div>");
    }

    fn curve(
        &self,
        page: &mut String,
        axes: &Axes<'_>,
        values: fn(&Curves) -> &Vec<f64>,
        steps: usize,
        threshold: fn(usize) -> f64,
        score: fn(&Scores) -> f64,
    ) {
        let points: Vec<Vec<(f64, f64)>> = self
            .trackers
            .iter()
            .map(|tracker| match &tracker.total {
                Some((_, curves)) => (0..steps)
                    .map(|i| (threshold(i), values(curves)[i]))
                    .collect(),
                None => Vec::new(),
            })
            .collect();
        let series: Vec<_> = self
            .trackers
            .iter()
            .zip(&points)
            .enumerate()
            .filter_map(|(index, (tracker, points))| {
                let (scores, _) = tracker.total.as_ref()?;
                Some(Series {
                    label: format!("{}: {:.3}", tracker.label, score(scores)),
                    class: class(index),
                    points,
                })
            })
            .collect();
        let _ = write!(page, "<div class=\"card\">{}</div>", plot(axes, &series));
    }

    fn comparison(&self, page: &mut String) {
        let _ = write!(
            page,
            "<h2>Trackers</h2><div class=\"scroll\"><table class=\"sortable\"><thead><tr><th>tracker</th><th>{}</th>\
             <th>success AUC</th><th>precision 20 px</th><th>norm. precision 0.2</th><th>OP50</th><th>OP75</th><th>AO</th>\
             </tr></thead><tbody>",
            self.evaluation.unit()
        );
        for (index, tracker) in self.trackers.iter().enumerate() {
            let Some((scores, _)) = &tracker.total else {
                continue;
            };
            let _ = write!(
                page,
                "<tr><td><span class=\"swatch\" style=\"background:var(--{})\"></span>{}</td><td>{}</td>",
                class(index),
                escape(&tracker.label),
                tracker.sequences.len()
            );
            numbers(page, scores);
            page.push_str("</tr>");
        }
        page.push_str("</tbody></table></div>");
    }

    fn table(&self, page: &mut String) {
        let main = &self.trackers[0];
        let unit = self.evaluation.unit();
        let _ = write!(
            page,
            "<h2>{}</h2><div class=\"scroll\"><table class=\"sortable\"><thead><tr><th>{}</th><th>frames</th>",
            capitalized(unit),
            unit.trim_end_matches('s')
        );
        page.push_str("<th>success AUC</th><th>precision 20 px</th><th>norm. precision 0.2</th><th>OP50</th><th>OP75</th><th>AO</th><th>fps</th>");
        for tracker in &self.trackers[1..] {
            let _ = write!(page, "<th>AUC {}</th>", escape(&tracker.label));
        }
        page.push_str("</tr></thead><tbody>");
        for one in &main.sequences {
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{}</td>",
                escape(&one.name),
                one.frames
            );
            match &one.scored {
                Some((scores, _)) => numbers(page, scores),
                None => page.push_str(&"<td data-v=\"-1\">–</td>".repeat(6)),
            }
            match one.fps {
                Some(fps) => {
                    let _ = write!(page, "<td>{fps:.0}</td>");
                }
                None => page.push_str("<td data-v=\"-1\">–</td>"),
            }
            for other in &self.trackers[1..] {
                match other
                    .sequence(&one.name)
                    .and_then(|other| other.scored.as_ref())
                {
                    Some((scores, _)) => {
                        let _ = write!(page, "<td>{:.3}</td>", scores.success_auc);
                    }
                    None => page.push_str("<td data-v=\"-1\">–</td>"),
                }
            }
            page.push_str("</tr>");
        }
        page.push_str("</tbody>");
        if let Some((scores, _)) = &main.total {
            let frames: usize = main.sequences.iter().map(|one| one.frames).sum();
            let _ = write!(
                page,
                "<tfoot><tr class=\"mean\"><td>{}</td><td>{frames}</td>",
                if self.protocol.pool_frames {
                    "all frames"
                } else {
                    "mean"
                }
            );
            numbers(page, scores);
            let fps = main.fps().map_or("–".to_owned(), |fps| format!("{fps:.0}"));
            let _ = write!(page, "<td>{fps}</td>");
            for tracker in &self.trackers[1..] {
                let auc = tracker
                    .total
                    .as_ref()
                    .map_or("–".to_owned(), |(scores, _)| three(scores.success_auc));
                let _ = write!(page, "<td>{auc}</td>");
            }
            page.push_str("</tr></tfoot>");
        }
        page.push_str("</table></div>");
    }

    fn details(&self, page: &mut String) {
        let main = &self.trackers[0];
        page.push_str("<h2>Frame by frame</h2><p class=\"note\">");
        page.push_str(
            "Overlap with the truth in colour, confidence thin. On the frames: truth in white",
        );
        for (tracker, color) in self.trackers.iter().zip(BOX_COLORS) {
            let _ = write!(
                page,
                ", <span class=\"swatch\" style=\"background:rgb({},{},{});margin:0 4px\"></span>{}",
                color[0],
                color[1],
                color[2],
                escape(&tracker.label)
            );
        }
        page.push_str(".</p>");
        let mut order: Vec<_> = main.sequences.iter().collect();
        let auc = |one: &SequenceScore| {
            one.scored
                .as_ref()
                .map_or(2.0, |(scores, _)| scores.success_auc)
        };
        order.sort_by(|a, b| auc(a).total_cmp(&auc(b)));
        for (rank, one) in order.into_iter().enumerate() {
            let Some(sequence) = self.sequences.iter().find(|other| other.name == one.name) else {
                continue;
            };
            let open = if rank < 3 { " open" } else { "" };
            let score = one.scored.as_ref().map_or(String::new(), |(scores, _)| {
                format!("AUC {:.3}", scores.success_auc)
            });
            let _ = write!(
                page,
                "<details{open}><summary>{}<span>{score}</span></summary><div class=\"inside\">",
                escape(&one.name)
            );
            self.timeline(page, one, sequence);
            if self.samples && rank < SEQUENCES_WITH_SAMPLES {
                self.sample_frames(page, one, sequence);
            }
            page.push_str("</div></details>");
        }
    }

    /// Overlap of every tracker and the first one's confidence, over the frames.
    fn timeline(&self, page: &mut String, one: &SequenceScore, sequence: &Sequence) {
        let last = (sequence.frames.len().max(2) - 1) as f64;
        let mut lines = Vec::new();
        if let Some(truth) = &sequence.truth {
            for (index, tracker) in self.trackers.iter().enumerate() {
                let Some(score) = tracker.sequence(&one.name) else {
                    continue;
                };
                let points: Vec<_> = score
                    .boxes
                    .iter()
                    .zip(truth)
                    .enumerate()
                    .map(|(frame, (guess, truth))| {
                        let value = truth.as_ref().map_or(0.0, |truth| overlap(guess, truth));
                        (frame as f64, if frame == 0 { 1.0 } else { value })
                    })
                    .collect();
                lines.push((
                    format!("overlap of {}", tracker.label),
                    class(index),
                    points,
                ));
            }
        }
        if !one.confidence.is_empty() {
            let points = (0_u32..)
                .zip(&one.confidence)
                .map(|(frame, value)| (f64::from(frame), f64::from(*value)))
                .collect();
            lines.push(("confidence".to_owned(), "thin s7".to_owned(), points));
        }
        let series: Vec<_> = lines
            .iter()
            .map(|(label, class, points)| Series {
                label: label.clone(),
                class: class.clone(),
                points,
            })
            .collect();
        let axes = Axes {
            title: "",
            x: "frame",
            y: "overlap",
            x_range: (0.0, last),
            y_range: (0.0, 1.0),
            size: (1040.0, 190.0),
            marker: None,
        };
        page.push_str(&plot(&axes, &series));
    }

    fn sample_frames(&self, page: &mut String, one: &SequenceScore, sequence: &Sequence) {
        let count = sequence.frames.len();
        page.push_str("<div class=\"frames\">");
        for part in 1..=SAMPLES {
            let frame = ((count - 1) * part / SAMPLES).min(count - 1);
            let truth = sequence
                .truth
                .as_ref()
                .and_then(|truth| truth.get(frame).copied().flatten());
            let mut boxes = Vec::new();
            // The compared ones first, so that the evaluated one lies on top, and the truth below all.
            boxes.extend(truth.map(|truth| (truth, WHITE)));
            let colors = self.trackers.iter().zip(BOX_COLORS);
            for (tracker, color) in colors.collect::<Vec<_>>().into_iter().rev() {
                let guess = tracker
                    .sequence(&one.name)
                    .and_then(|score| score.boxes.get(frame));
                boxes.extend(guess.map(|guess| (*guess, color)));
            }
            let Some(focus) = truth.or_else(|| one.boxes.get(frame).copied()) else {
                continue;
            };
            let Some(data) = samples::sample(&sequence.frames[frame], &focus, &boxes) else {
                continue;
            };
            let mut caption = format!("frame {}", frame + 1);
            if let (Some(truth), Some(guess)) = (&truth, one.boxes.get(frame)) {
                let _ = write!(caption, ", overlap {:.2}", overlap(guess, truth));
            } else if sequence.truth.is_some() {
                caption.push_str(", target absent");
            }
            if let Some(confidence) = one.confidence.get(frame) {
                let _ = write!(caption, ", confidence {confidence:.2}");
            }
            let _ = write!(
                page,
                "<figure><img loading=\"lazy\" alt=\"{} {caption}\" src=\"{data}\"><figcaption>{caption}</figcaption></figure>",
                escape(&one.name)
            );
        }
        page.push_str("</div>");
    }

    fn notes(&self, page: &mut String) {
        let protocol = self.protocol;
        page.push_str("<h2>How this was measured</h2><p class=\"note\">");
        page.push_str(
            "The tracker gets the first box and is never helped again. Success at t is the part of the frames whose overlap \
             (intersection over union) is above t, its AUC the mean over t = 0, 0.05 … 1. Precision is the part of the frames \
             whose centre error is at most 20 pixels; normalised precision divides the error by the truth's width and height \
             and takes 0.2. ",
        );
        page.push_str(if protocol.count_first_frame {
            "The first frame counts. "
        } else {
            "The first frame does not count. "
        });
        page.push_str(if protocol.exclude_absent {
            "Frames without a visible target are left out. "
        } else {
            "Frames without a valid box in the truth stay in the denominator, as in the benchmark's toolkit. "
        });
        let unit = self.evaluation.unit();
        page.push_str(if protocol.pool_frames {
            "The benchmark's number is taken over all frames. "
        } else if self.evaluation == Evaluation::OnePass {
            "The benchmark's number is the mean over the sequences. "
        } else {
            "A sequence's numbers are of all frames of its runs, the benchmark's is the mean over the sequences. "
        });
        let _ = write!(
            page,
            "Frames per second count the tracker alone, without reading images, and are no measure of speed when several \
             {unit} ran at a time or the machine was busy.</p>"
        );
        let settings = serde_json::to_string_pretty(self.settings).unwrap_or_default();
        let _ = write!(page, "<pre>{}</pre>", escape(&settings));
    }
}

/// Six cells of numbers, the first with a bar.
fn numbers(page: &mut String, scores: &Scores) {
    let _ = write!(
        page,
        "<td data-v=\"{0:.6}\"><span class=\"bar\"><i style=\"width:{1:.0}%\"></i></span>{0:.3}</td>",
        scores.success_auc,
        scores.success_auc * 100.0
    );
    for value in [
        scores.precision_20,
        scores.normalized_precision_20,
        scores.sr_50,
        scores.sr_75,
        scores.ao,
    ] {
        let _ = write!(page, "<td>{value:.3}</td>");
    }
}
