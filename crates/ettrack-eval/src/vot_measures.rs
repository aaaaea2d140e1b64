//! Accuracy and robustness by the definitions of VOT's toolkit, on rectangles.
//!
//! The toolkit compares regions pixel by pixel. A rectangle is a set of pixels: its corner and size are rounded to whole
//! numbers (halves to the even one), and pixels outside of the image do not count. **Accuracy** of a one-pass run is the
//! mean overlap without the first frame. Sequences are weighted by their lengths.
//!
//! In the multi-start experiment of the years since 2020 a run has failed if the overlap is at most 0.1 for ten frames with
//! a target. **Robustness** is the part of all frames before failures, **accuracy** the mean overlap over these frames. The
//! first frame counts with overlap 0, like in the toolkit, which has no region for it.
//!
//! The truth here is a rectangle in every frame. If a data set has polygons or masks, the toolkit's numbers differ.

use ettrack::geometry::BoundingBox;

/// Overlap up to which a frame counts as lost.
const LOST: f64 = 0.1;
/// Lost frames in a row after which a run has failed.
const GRACE: usize = 10;

/// Accuracy and robustness, each 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct VotFigures {
    /// Mean overlap.
    pub accuracy: f64,
    /// Part of the frames before failures; `None` for one-pass runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robustness: Option<f64>,
}

/// Overlaps of one run, 0 for frames without a truth.
#[derive(Debug, Clone, PartialEq)]
pub struct VotRun {
    overlaps: Vec<f64>,
    present: Vec<bool>,
}

/// A rectangle of whole pixels: left, top, right, bottom, the last two included.
type Pixels = [i64; 4];

fn pixels(target: &BoundingBox) -> Pixels {
    let whole = |number: f64| number.round_ties_even() as i64;
    let (x, y) = (whole(target.x), whole(target.y));
    [
        x,
        y,
        x + whole(target.width) - 1,
        y + whole(target.height) - 1,
    ]
}

fn area([left, top, right, bottom]: Pixels) -> i64 {
    (right - left + 1).max(0) * (bottom - top + 1).max(0)
}

fn intersection(a: Pixels, b: Pixels) -> Pixels {
    [
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]
}

/// Overlap of two rectangles in an image of `width` x `height` pixels, pixel by pixel.
pub fn pixel_overlap(a: &BoundingBox, b: &BoundingBox, (width, height): (f64, f64)) -> f64 {
    let (a, b) = (pixels(a), pixels(b));
    let around = [
        a[0].min(b[0]),
        a[1].min(b[1]),
        a[2].max(b[2]),
        a[3].max(b[3]),
    ];
    if around[0] >= around[2] || around[1] >= around[3] {
        return 1.0; // Both are empty or one pixel.
    }
    let image = [0, 0, width as i64 - 1, height as i64 - 1];
    let seen = intersection(around, image);
    if seen[0] >= seen[2] || seen[1] >= seen[3] {
        return 0.0;
    }
    let (a, b) = (intersection(a, seen), intersection(b, seen));
    let common = area(intersection(a, b));
    let union = area(a) + area(b) - common;
    if union > 0 {
        common as f64 / union as f64
    } else {
        0.0
    }
}

impl VotRun {
    /// The overlaps of a tracker's boxes with the truth.
    pub fn new(boxes: &[BoundingBox], truth: &[Option<BoundingBox>], size: (f64, f64)) -> Self {
        let overlaps =
            truth
                .iter()
                .enumerate()
                .map(|(frame, truth)| match (boxes.get(frame), truth) {
                    (Some(guess), Some(truth)) => pixel_overlap(guess, truth, size),
                    _ => 0.0,
                });
        Self {
            overlaps: overlaps.collect(),
            present: truth.iter().map(Option::is_some).collect(),
        }
    }

    /// Mean overlap without the first frame; 0 if there is no other frame.
    fn accuracy(&self) -> f64 {
        let frames = self.overlaps.iter().zip(&self.present).skip(1);
        crate::metrics::mean(frames.filter(|(_, present)| **present).map(|(o, _)| *o))
    }

    /// Number of frames before the failure (all if there is none), and the sum of their overlaps.
    fn before_failure(&self) -> (usize, f64) {
        let overlap = |frame: usize| {
            if frame == 0 {
                0.0
            } else {
                self.overlaps[frame]
            }
        };
        let mut lost = 0;
        let mut frames = self.overlaps.len();
        for frame in 0..self.overlaps.len() {
            lost = if overlap(frame) <= LOST && self.present[frame] {
                lost + 1
            } else {
                0
            };
            if lost == GRACE {
                frames = frame + 1 - GRACE;
                break;
            }
        }
        (frames, (0..frames).map(overlap).sum())
    }

    fn frames(&self) -> usize {
        self.overlaps.len()
    }
}

/// Measures of one-pass runs of several sequences; `None` without frames.
pub fn one_pass(runs: &[&VotRun]) -> Option<VotFigures> {
    let frames: usize = runs.iter().map(|run| run.frames()).sum();
    let sum: f64 = runs
        .iter()
        .map(|run| run.accuracy() * run.frames() as f64)
        .sum();
    (frames > 0).then(|| VotFigures {
        accuracy: sum / frames as f64,
        robustness: None,
    })
}

/// Measures of runs from the anchors of several sequences, each with the number of frames of its sequence; `None` without
/// frames.
pub fn multi_start(sequences: &[(usize, Vec<&VotRun>)]) -> Option<VotFigures> {
    let (mut overlap, mut before_all, mut weighted, mut weights) = (0.0, 0.0, 0.0, 0.0);
    for (length, runs) in sequences {
        let total: usize = runs.iter().map(|run| run.frames()).sum();
        if total == 0 {
            continue;
        }
        let (mut before, length) = (0, *length as f64);
        for run in runs {
            let (frames, sum) = run.before_failure();
            before += frames;
            overlap += sum;
        }
        before_all += before as f64;
        weighted += before as f64 / total as f64 * length;
        weights += length;
    }
    (weights > 0.0).then(|| VotFigures {
        accuracy: if before_all > 0.0 {
            overlap / before_all
        } else {
            0.0
        },
        robustness: Some(weighted / weights),
    })
}

/// Long-term figures, each 0..=1, at the threshold of the confidence with the best F.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LongTermFigures {
    /// Mean overlap of the frames in which the tracker reports the target.
    pub precision: f64,
    /// Sum of these overlaps, divided by the number of frames with a target.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f_score: f64,
}

/// Number of thresholds of the confidence that are tried, including the two infinite ones.
const THRESHOLDS: usize = 100;

/// The long-term figures of some runs, each with the confidence of its frames; `None` without runs, or if the confidence is
/// not known. The given first frame counts with overlap and confidence 0, like in the toolkit.
pub fn long_term(runs: &[(&VotRun, &[f32])]) -> Option<LongTermFigures> {
    let known = |(run, confidence): &(&VotRun, &[f32])| run.frames() == confidence.len();
    if runs.is_empty() || !runs.iter().all(known) {
        return None;
    }
    let confidence = |confidence: &[f32], frame: usize| match frame {
        0 => 0.0,
        _ => f64::from(confidence[frame]),
    };
    let mut all: Vec<f64> = runs
        .iter()
        .flat_map(|(_, values)| (0..values.len()).map(move |frame| confidence(values, frame)))
        .collect();
    all.sort_by(|a, b| b.total_cmp(a));
    let at = |threshold: f64| {
        let (mut precision, mut recall) = (0.0, 0.0);
        for (run, values) in runs {
            let reported =
                (0..run.frames()).filter(|frame| confidence(values, *frame) >= threshold);
            let (count, sum) = reported.fold((0_usize, 0.0), |(count, sum), frame| {
                let overlap = if frame == 0 { 0.0 } else { run.overlaps[frame] };
                (count + 1, sum + overlap)
            });
            let visible = run.present.iter().filter(|present| **present).count();
            precision += if count == 0 { 1.0 } else { sum / count as f64 };
            recall += if visible == 0 {
                0.0
            } else {
                sum / visible as f64
            };
        }
        let (precision, recall) = (precision / runs.len() as f64, recall / runs.len() as f64);
        let sum = precision + recall;
        LongTermFigures {
            precision,
            recall,
            f_score: if sum > 0.0 {
                2.0 * precision * recall / sum
            } else {
                0.0
            },
        }
    };
    let figures = thresholds(&all).into_iter().map(at);
    // The first of equal ones.
    figures.reduce(|best, next| {
        if next.f_score > best.f_score {
            next
        } else {
            best
        }
    })
}

/// Thresholds that divide the values, which are in falling order, into groups of equal size.
fn thresholds(falling: &[f64]) -> Vec<f64> {
    let inner = THRESHOLDS - 2;
    let mut chosen = vec![f64::INFINITY];
    if falling.len() > inner {
        let first = (falling.len() / inner) as f64;
        let step = (falling.len() as f64 - 2.0 * first) / (inner - 1) as f64;
        let index = |place: usize| (first + place as f64 * step).round_ties_even() as usize;
        chosen.extend((0..inner).map(|place| falling[index(place).min(falling.len() - 1)]));
    } else {
        chosen.extend(falling);
    }
    chosen.push(f64::NEG_INFINITY);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (f64, f64) = (100.0, 80.0);

    fn bb(x: f64, y: f64, width: f64, height: f64) -> BoundingBox {
        BoundingBox::new(x, y, width, height)
    }

    #[test]
    fn pixels_are_rounded_and_cut_at_the_image() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        assert_eq!(pixel_overlap(&target, &bb(10.4, 9.6, 10.5, 9.5), SIZE), 1.0);
        assert_eq!(
            pixel_overlap(&target, &bb(15.0, 10.0, 10.0, 10.0), SIZE),
            50.0 / 150.0
        );
        // Ten columns are outside of the image, and do not count.
        let at_edge = bb(90.0, 0.0, 20.0, 10.0);
        assert_eq!(
            pixel_overlap(&at_edge, &bb(90.0, 0.0, 10.0, 10.0), SIZE),
            1.0
        );
        assert_eq!(
            pixel_overlap(&bb(200.0, 0.0, 5.0, 5.0), &bb(201.0, 0.0, 5.0, 5.0), SIZE),
            0.0
        );
        assert_eq!(pixel_overlap(&target, &bb(50.0, 50.0, 5.0, 5.0), SIZE), 0.0);
        assert_eq!(pixel_overlap(&target, &bb(12.0, 12.0, 0.0, 5.0), SIZE), 0.0);
    }

    #[test]
    fn confidence_that_tells_absence_makes_the_long_term_score_better() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let truth: Vec<_> = (0..200)
            .map(|frame| (frame < 100).then_some(target))
            .collect();
        let run = VotRun::new(&[target; 200], &truth, SIZE);
        let honest: Vec<f32> = (0..200)
            .map(|frame| if frame < 100 { 0.9 } else { 0.1 })
            .collect();
        let figures = long_term(&[(&run, &honest)]).unwrap();
        // All but the first frame, which is given.
        assert_eq!((figures.precision, figures.recall), (1.0, 0.99));
        let blind = long_term(&[(&run, &[0.9; 200])]).unwrap();
        assert!((blind.precision - 99.0 / 199.0).abs() < 1e-12, "{blind:?}");
        assert!(
            long_term(&[(&run, &[])]).is_none(),
            "the confidence is not known"
        );
        assert_eq!(thresholds(&[0.5; 500]).len(), THRESHOLDS);
    }

    #[test]
    fn a_run_fails_at_the_first_of_ten_lost_frames() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let away = bb(60.0, 10.0, 10.0, 10.0);
        let truth = vec![Some(target); 30];
        let mut boxes = vec![target; 30];
        boxes[5..14].fill(away);
        let run = VotRun::new(&boxes, &truth, SIZE);
        assert_eq!(
            run.before_failure(),
            (30, 30.0 - 1.0 - 9.0),
            "nine frames are forgiven"
        );
        boxes[20..].fill(away);
        let run = VotRun::new(&boxes, &truth, SIZE);
        assert_eq!(run.before_failure(), (20, 10.0));
        let figures = multi_start(&[(30, vec![&run])]).unwrap();
        assert_eq!(figures.robustness, Some(20.0 / 30.0));
        assert_eq!(figures.accuracy, 0.5);
        assert_eq!(one_pass(&[&run]).unwrap().accuracy, 10.0 / 29.0);
        assert!(multi_start(&[]).is_none() && one_pass(&[]).is_none());
    }
}
