//! The measures of one-pass evaluation, as the benchmarks' toolkits define them.
//!
//! - **Overlap** of a frame: area of the intersection over area of the union of prediction and truth.
//! - **Centre error**: distance of the centres, pixels; **normalised**: x and y divided by the truth's width and
//!   height first (TrackingNet, ECCV 2018).
//! - **Success** at t: part of the frames with overlap > t, for t = 0, 0.05 … 1; `success_auc` is the mean of these 21
//!   numbers. **Precision** at t: part of the frames with centre error <= t, t = 0 … 50 px; normalised: t = 0 … 0.5.
//! - The first frame counts, with the truth as its prediction. GOT-10k does not count it.
//! - The result of a benchmark is the mean over its sequences. That of GOT-10k is taken over all frames of all sequences.
//!
//! Frames whose truth is not a box stay in the denominator, as in the toolkits. Their overlap is -1, their centre error is
//! infinite (UAV123: a hit), and their normalised error is a hit. LaSOT's frames without a visible target are infinite in
//! both. With [`Protocol::exclude_absent`] such frames are left out.

use crate::dataset::Sequence;
use ettrack::geometry::BoundingBox;

/// Number of thresholds of the success plot.
pub const OVERLAP_STEPS: usize = 21;
/// Number of thresholds of both precision plots.
pub const DISTANCE_STEPS: usize = 51;

/// The i-th overlap threshold.
pub fn overlap_threshold(i: usize) -> f64 {
    i as f64 * 0.05
}

/// The i-th centre-error threshold, pixels.
pub fn distance_threshold(i: usize) -> f64 {
    i as f64
}

/// The i-th normalised centre-error threshold.
pub fn normalized_threshold(i: usize) -> f64 {
    i as f64 / 100.0
}

/// Why boxes cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A predicted box is not finite or has a negative size.
    #[error(
        "predicted box of frame {frame} is x {x}, y {y}, width {width}, height {height}; expected finite numbers and no negative size"
    )]
    Prediction {
        /// 1-based frame.
        frame: usize,
        /// Its left edge.
        x: f64,
        /// Its upper edge.
        y: f64,
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
    /// There are fewer boxes than frames, and the benchmark does not fill them up.
    #[error("{got} predicted boxes for {expected} frames; this benchmark expects one per frame")]
    TooShort {
        /// Number of boxes.
        got: usize,
        /// Number of frames.
        expected: usize,
    },
    /// The benchmark does not publish the truth.
    #[error(
        "the truth of this sequence is not published; only the benchmark's server can score it"
    )]
    NoTruth,
    /// No frame can be scored.
    #[error("no frame of this sequence counts: the truth has no box")]
    NoFrames,
}

/// The rules of a benchmark's toolkit where they differ between benchmarks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Protocol {
    /// Whether frame 1, whose prediction is the truth, counts.
    pub count_first_frame: bool,
    /// Whether frames without a visible target are left out of numerator and denominator.
    pub exclude_absent: bool,
    /// Centre error in pixels of a frame whose truth is not a box: infinite, which is a miss, or -1, which is a hit.
    pub center_error_of_absent: f64,
    /// Whether frames whose target is marked as not visible are misses in both precisions (LaSOT).
    pub out_of_sight_is_a_miss: bool,
    /// Whether results with too few boxes are refused instead of padded with empty boxes (LaSOT).
    pub refuse_short: bool,
    /// Whether prediction and truth are cut at the image's border before they are compared (GOT-10k).
    pub clip_to_image: bool,
    /// Whether the result is taken over all frames instead of as a mean over sequences (GOT-10k).
    pub pool_frames: bool,
    /// Whether accuracy and robustness of VOT's toolkit are reported, too.
    pub vot: bool,
    /// Whether VOT's long-term precision, recall and F are reported, too.
    pub long_term: bool,
}

impl Protocol {
    /// The rules of OTB's toolkit, from which the other benchmarks differ in single points. A data set names its rules in
    /// [`Dataset::protocol`](crate::dataset::Dataset::protocol).
    pub const OTB: Self = Self {
        count_first_frame: true,
        exclude_absent: false,
        center_error_of_absent: f64::INFINITY,
        out_of_sight_is_a_miss: false,
        refuse_short: false,
        clip_to_image: false,
        pool_frames: false,
        vot: false,
        long_term: false,
    };
}

/// Area of the intersection over area of the union, 0..=1; 0 if the union has no area.
pub fn overlap(a: &BoundingBox, b: &BoundingBox) -> f64 {
    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    let intersection = width.max(0.0) * height.max(0.0);
    let union = a.area() + b.area() - intersection;
    if union > 0.0 {
        (intersection / union).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Per counted frame: overlap, centre error in pixels, normalised centre error.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameErrors {
    /// Overlap, 0..=1; -1 if the truth is not a box.
    pub overlap: Vec<f64>,
    /// Pixels; infinite is a miss at any threshold, -1 a hit.
    pub center: Vec<f64>,
    /// In widths and heights of the truth; infinite is a miss at any threshold, -1 a hit.
    pub normalized: Vec<f64>,
    /// Whether the frame has a true box and a visible target.
    pub valid: Vec<bool>,
}

impl FrameErrors {
    /// All frames of several sequences.
    pub fn pooled<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut pool = Self::default();
        for part in parts {
            pool.overlap.extend(&part.overlap);
            pool.center.extend(&part.center);
            pool.normalized.extend(&part.normalized);
            pool.valid.extend(&part.valid);
        }
        pool
    }

    /// Whether the box was on the target at the end: the mean overlap over the last tenth of the frames with a true box and a
    /// visible target, at least one, is above 0.3. `None` without such a frame.
    pub fn is_held(&self) -> Option<bool> {
        let overlaps = self.overlap.iter().zip(&self.valid);
        let overlaps: Vec<f64> = overlaps
            .filter_map(|(&overlap, &valid)| valid.then_some(overlap))
            .collect();
        let end = &overlaps[overlaps.len() - overlaps.len().div_ceil(10)..];
        (!end.is_empty()).then(|| mean(end.iter().copied()) > 0.3)
    }
}

/// Compares predicted boxes with a sequence's truth. `image_size` (width, height) is needed if the protocol clips.
///
/// An empty predicted box counts as the box before it. Surplus boxes are ignored; missing ones count as empty, or are
/// refused if the protocol says so.
///
/// # Errors
/// [`MetricError`] if the boxes cannot be scored.
pub fn frame_errors(
    protocol: &Protocol,
    predicted: &[BoundingBox],
    sequence: &Sequence,
    image_size: Option<(f64, f64)>,
) -> Result<FrameErrors, MetricError> {
    let truth = sequence.truth.as_ref().ok_or(MetricError::NoTruth)?;
    let mut predicted = complete(protocol, predicted, truth)?;
    if let (Some(first), Some(Some(given))) = (predicted.first_mut(), truth.first()) {
        *first = *given;
    }
    let mut errors = FrameErrors::default();
    for (frame, (guess, given)) in predicted.iter().zip(truth).enumerate() {
        let in_sight = sequence
            .visible
            .as_ref()
            .is_none_or(|visible| visible.get(frame).copied().unwrap_or(true));
        let valid = in_sight && given.is_some();
        if (frame == 0 && !protocol.count_first_frame) || (protocol.exclude_absent && !valid) {
            continue;
        }
        let (overlap, center, normalized) = match given {
            Some(given) if valid => compare(protocol, guess, given, image_size),
            _ if !in_sight && protocol.out_of_sight_is_a_miss => {
                (-1.0, f64::INFINITY, f64::INFINITY)
            }
            _ => (-1.0, protocol.center_error_of_absent, -1.0),
        };
        errors.overlap.push(overlap);
        errors.center.push(center);
        errors.normalized.push(normalized);
        errors.valid.push(valid);
    }
    if errors.valid.contains(&true) {
        Ok(errors)
    } else {
        Err(MetricError::NoFrames)
    }
}

/// One finite box per frame.
fn complete(
    protocol: &Protocol,
    predicted: &[BoundingBox],
    truth: &[Option<BoundingBox>],
) -> Result<Vec<BoundingBox>, MetricError> {
    if protocol.refuse_short && predicted.len() < truth.len() {
        return Err(MetricError::TooShort {
            got: predicted.len(),
            expected: truth.len(),
        });
    }
    let mut boxes = Vec::with_capacity(truth.len());
    for (index, (guess, given)) in predicted.iter().zip(truth).enumerate() {
        let finite = [guess.x, guess.y, guess.width, guess.height]
            .iter()
            .all(|number| number.is_finite());
        if !finite || guess.width < 0.0 || guess.height < 0.0 {
            return Err(MetricError::Prediction {
                frame: index + 1,
                x: guess.x,
                y: guess.y,
                width: guess.width,
                height: guess.height,
            });
        }
        let empty = guess.width == 0.0 || guess.height == 0.0;
        match boxes.last() {
            Some(before) if empty && given.is_some() => boxes.push(*before),
            _ => boxes.push(*guess),
        }
    }
    boxes.resize(truth.len(), BoundingBox::new(0.0, 0.0, 0.0, 0.0));
    Ok(boxes)
}

fn compare(
    protocol: &Protocol,
    guess: &BoundingBox,
    given: &BoundingBox,
    image_size: Option<(f64, f64)>,
) -> (f64, f64, f64) {
    let overlap = match image_size {
        Some(size) if protocol.clip_to_image => overlap(&clip(guess, size), &clip(given, size)),
        _ => overlap(guess, given),
    };
    let (x, y) = guess.center();
    let (given_x, given_y) = given.center();
    let (dx, dy) = (x - given_x, y - given_y);
    (
        overlap,
        dx.hypot(dy),
        (dx / given.width).hypot(dy / given.height),
    )
}

/// Clips a box as GOT-10k's toolkit does: first the corner is moved into the image, then the size is limited. If a box leaves
/// the image on the upper or left side, its lower or right edge moves with the corner.
fn clip(given: &BoundingBox, (width, height): (f64, f64)) -> BoundingBox {
    let x = given.x.clamp(0.0, width);
    let y = given.y.clamp(0.0, height);
    BoundingBox::new(
        x,
        y,
        given.width.clamp(0.0, width - x),
        given.height.clamp(0.0, height - y),
    )
}

/// Success and precision at all thresholds, each 0..=1.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Curves {
    /// At [`overlap_threshold`].
    pub success: Vec<f64>,
    /// At [`distance_threshold`].
    pub precision: Vec<f64>,
    /// At [`normalized_threshold`].
    pub normalized_precision: Vec<f64>,
}

impl Curves {
    /// The curves of some frames.
    pub fn of(errors: &FrameErrors) -> Self {
        let part = |hits: usize| hits as f64 / errors.overlap.len().max(1) as f64;
        let above = |t: f64| part(errors.overlap.iter().filter(|o| **o > t).count());
        let within = |values: &[f64], t: f64| part(values.iter().filter(|e| **e <= t).count());
        Self {
            success: (0..OVERLAP_STEPS)
                .map(|i| above(overlap_threshold(i)))
                .collect(),
            precision: (0..DISTANCE_STEPS)
                .map(|i| within(&errors.center, distance_threshold(i)))
                .collect(),
            normalized_precision: (0..DISTANCE_STEPS)
                .map(|i| within(&errors.normalized, normalized_threshold(i)))
                .collect(),
        }
    }

    /// The mean of several curves; `None` for an empty list.
    pub fn mean(curves: &[&Self]) -> Option<Self> {
        let pick = |choose: fn(&Self) -> &Vec<f64>| -> Option<Vec<f64>> {
            let length = choose(curves.first()?).len();
            Some(
                (0..length)
                    .map(|i| mean(curves.iter().map(|one| choose(one)[i])))
                    .collect(),
            )
        };
        Some(Self {
            success: pick(|one| &one.success)?,
            precision: pick(|one| &one.precision)?,
            normalized_precision: pick(|one| &one.normalized_precision)?,
        })
    }
}

/// The measures that are reported, each 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scores {
    /// Area under the success curve: the mean of its 21 values.
    pub success_auc: f64,
    /// Part of the frames with a centre error of at most 20 pixels.
    pub precision_20: f64,
    /// Part of the frames with a normalised centre error of at most 0.2.
    pub normalized_precision_20: f64,
    /// Part of the frames with overlap above 0.5 (also called OP50).
    pub sr_50: f64,
    /// Part of the frames with overlap above 0.75 (also called OP75).
    pub sr_75: f64,
    /// Average overlap of the frames with a visible target.
    pub ao: f64,
}

impl Scores {
    /// For tests: all measures have this value.
    #[cfg(test)]
    pub(crate) fn all_equal(value: f64) -> Self {
        Self {
            success_auc: value,
            precision_20: value,
            normalized_precision_20: value,
            sr_50: value,
            sr_75: value,
            ao: value,
        }
    }

    /// The measures of the frames of one sequence, or of several.
    pub fn of(errors: &FrameErrors) -> Self {
        let curves = Curves::of(errors);
        let valid = errors
            .overlap
            .iter()
            .zip(&errors.valid)
            .filter(|(_, valid)| **valid);
        Self {
            success_auc: mean(curves.success.iter().copied()),
            precision_20: curves.precision[20],
            normalized_precision_20: curves.normalized_precision[20],
            sr_50: curves.success[10],
            sr_75: curves.success[15],
            ao: mean(valid.map(|(overlap, _)| *overlap)),
        }
    }

    /// The mean over sequences; `None` for an empty list.
    pub fn mean(scores: &[Self]) -> Option<Self> {
        let of = |choose: fn(&Self) -> f64| mean(scores.iter().map(choose));
        (!scores.is_empty()).then(|| Self {
            success_auc: of(|one| one.success_auc),
            precision_20: of(|one| one.precision_20),
            normalized_precision_20: of(|one| one.normalized_precision_20),
            sr_50: of(|one| one.sr_50),
            sr_75: of(|one| one.sr_75),
            ao: of(|one| one.ao),
        })
    }
}

/// The mean; 0 for no values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// The result of a benchmark from those of its sequences, by its protocol; `None` for an empty list.
pub fn total(protocol: &Protocol, sequences: &[&FrameErrors]) -> Option<(Scores, Curves)> {
    if sequences.is_empty() {
        return None;
    }
    if protocol.pool_frames {
        let pool = FrameErrors::pooled(sequences.iter().copied());
        return Some((Scores::of(&pool), Curves::of(&pool)));
    }
    let scores: Vec<_> = sequences.iter().map(|errors| Scores::of(errors)).collect();
    let curves: Vec<_> = sequences.iter().map(|errors| Curves::of(errors)).collect();
    let curves: Vec<_> = curves.iter().collect();
    Some((Scores::mean(&scores)?, Curves::mean(&curves)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bb(x: f64, y: f64, width: f64, height: f64) -> BoundingBox {
        BoundingBox::new(x, y, width, height)
    }

    fn sequence(truth: Vec<Option<BoundingBox>>) -> Sequence {
        Sequence {
            name: "s".to_owned(),
            frames: Vec::new(),
            first_box: bb(0.0, 0.0, 1.0, 1.0),
            truth: Some(truth),
            visible: None,
            length: 0,
        }
    }

    fn protocol_of(name: &str) -> Protocol {
        crate::dataset::Dataset::find(name).unwrap().protocol
    }

    #[test]
    fn overlap_equals_hand_computed_values() {
        let a = bb(0.0, 0.0, 10.0, 10.0);
        assert_eq!(overlap(&a, &a), 1.0);
        assert_eq!(overlap(&a, &bb(5.0, 0.0, 10.0, 10.0)), 50.0 / 150.0);
        assert_eq!(overlap(&a, &bb(10.0, 0.0, 10.0, 10.0)), 0.0);
        assert_eq!(overlap(&a, &bb(2.0, 2.0, 5.0, 5.0)), 0.25);
        assert_eq!(
            overlap(&bb(0.0, 0.0, 0.0, 0.0), &bb(0.0, 0.0, 0.0, 0.0)),
            0.0
        );
    }

    #[test]
    fn scores_equal_hand_computed_values() {
        let target = bb(100.0, 100.0, 40.0, 20.0);
        let sequence = sequence(vec![Some(target); 4]);
        let predicted = [
            // The first frame: replaced by the truth, overlap 1, no error.
            bb(0.0, 0.0, 1.0, 1.0),
            // Shifted by half a width: overlap 1/3, error 20 px (counts), normalised 0.5.
            bb(120.0, 100.0, 40.0, 20.0),
            // Shifted down by 4: overlap 16/24 = 2/3, error 4, normalised 0.2 (counts).
            bb(100.0, 104.0, 40.0, 20.0),
            // Far away.
            bb(500.0, 500.0, 40.0, 20.0),
        ];
        let errors = frame_errors(&Protocol::OTB, &predicted, &sequence, None).unwrap();
        let scores = Scores::of(&errors);
        assert_eq!(scores.precision_20, 0.75);
        assert_eq!(scores.normalized_precision_20, 0.5);
        assert_eq!(scores.sr_50, 0.5);
        assert_eq!(scores.sr_75, 0.25);
        assert!((scores.ao - (1.0 + 1.0 / 3.0 + 2.0 / 3.0) / 4.0).abs() < 1e-15);
        // Overlap 1 is above 20 thresholds (not above 1), 1/3 above 0 … 0.3 (7), 2/3 above 0 … 0.65 (14).
        assert!((scores.success_auc - (20.0 + 7.0 + 14.0) / 4.0 / 21.0).abs() < 1e-15);
    }

    #[test]
    fn thresholds_equal_those_of_the_toolkits() {
        assert_eq!(overlap_threshold(20), 1.0);
        assert_eq!(overlap_threshold(10), 0.5);
        assert_eq!(overlap_threshold(15), 0.75);
        assert_eq!(normalized_threshold(20), 0.2);
    }

    #[test]
    fn absent_targets_count_as_each_protocol_says() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let with_gap = sequence(vec![Some(target), None, Some(target), Some(target)]);
        let predicted = [target; 4];
        let scores = |protocol: &Protocol| {
            Scores::of(&frame_errors(protocol, &predicted, &with_gap, None).unwrap())
        };
        let otb = scores(&Protocol::OTB);
        assert_eq!((otb.sr_50, otb.precision_20), (0.75, 0.75));
        assert_eq!(otb.normalized_precision_20, 1.0);
        assert_eq!(otb.ao, 1.0);
        let uav = scores(&protocol_of("uav123"));
        assert_eq!((uav.sr_50, uav.precision_20), (0.75, 1.0));
        let without = scores(&Protocol {
            exclude_absent: true,
            ..Protocol::OTB
        });
        assert_eq!((without.sr_50, without.precision_20), (1.0, 1.0));

        let mut lasot = sequence(vec![Some(target); 4]);
        lasot.visible = Some(vec![true, true, false, true]);
        let errors = frame_errors(&protocol_of("lasot"), &predicted, &lasot, None).unwrap();
        let lasot = Scores::of(&errors);
        assert_eq!((lasot.sr_50, lasot.precision_20), (0.75, 0.75));
        assert_eq!(lasot.normalized_precision_20, 0.75);
    }

    #[test]
    fn got10k_ignores_the_first_frame_and_clips_boxes() {
        let mut given = sequence(vec![
            Some(bb(0.0, 0.0, 10.0, 10.0)),
            Some(bb(90.0, 0.0, 20.0, 10.0)),
            Some(bb(0.0, 0.0, 10.0, 10.0)),
        ]);
        given.visible = Some(vec![true, true, false]);
        let predicted = [
            bb(0.0, 0.0, 9.0, 9.0),
            bb(90.0, 0.0, 10.0, 10.0),
            bb(0.0, 0.0, 1.0, 1.0),
        ];
        let protocol = protocol_of("got10k");
        let errors = frame_errors(&protocol, &predicted, &given, Some((100.0, 100.0))).unwrap();
        assert_eq!(errors.overlap, [1.0]);
    }

    #[test]
    fn fills_short_results_and_cuts_long_ones() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let given = sequence(vec![Some(target); 4]);
        let protocol = Protocol::OTB;
        let sr = |predicted: &[BoundingBox]| {
            Scores::of(&frame_errors(&protocol, predicted, &given, None).unwrap()).sr_50
        };
        assert_eq!(sr(&[target; 2]), 0.5);
        assert_eq!(sr(&[target; 9]), 1.0);
        assert_eq!(sr(&[]), 0.25);
        // An empty box counts as the one before.
        assert_eq!(sr(&[target, target, bb(0.0, 0.0, 0.0, 5.0), target]), 1.0);
        let lasot = protocol_of("lasot");
        assert_eq!(
            frame_errors(&lasot, &[target; 2], &given, None),
            Err(MetricError::TooShort {
                got: 2,
                expected: 4
            })
        );
    }

    #[test]
    fn refuses_boxes_that_are_not_finite_or_negative() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let given = sequence(vec![Some(target); 2]);
        for bad in [bb(f64::NAN, 1.0, 1.0, 1.0), bb(1.0, 1.0, -1.0, 1.0)] {
            let error = frame_errors(&Protocol::OTB, &[target, bad], &given, None);
            assert!(matches!(
                error,
                Err(MetricError::Prediction { frame: 2, .. })
            ));
        }
        let nothing = sequence(vec![None, None]);
        assert_eq!(
            frame_errors(&Protocol::OTB, &[target; 2], &nothing, None),
            Err(MetricError::NoFrames)
        );
    }

    #[test]
    fn got10k_pools_frames_and_others_average_over_sequences() {
        let target = bb(10.0, 10.0, 10.0, 10.0);
        let away = bb(50.0, 10.0, 10.0, 10.0);
        let protocol = Protocol::OTB;
        let good = frame_errors(
            &protocol,
            &[target; 2],
            &sequence(vec![Some(target); 2]),
            None,
        )
        .unwrap();
        let mut boxes = [away; 8];
        boxes[0] = target;
        let bad = frame_errors(&protocol, &boxes, &sequence(vec![Some(target); 8]), None).unwrap();
        let (mean, _) = total(&protocol, &[&good, &bad]).unwrap();
        assert_eq!(mean.sr_50, (1.0 + 0.125) / 2.0);
        let pooled = Protocol {
            pool_frames: true,
            ..protocol
        };
        let (pool, curves) = total(&pooled, &[&good, &bad]).unwrap();
        assert_eq!(pool.sr_50, 0.3);
        assert_eq!(curves.success[10], 0.3);
    }
}
