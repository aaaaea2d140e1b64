//! Measures whether a tracker reports its own failures, on sequences that are not changed. A failure means that the target
//! is in sight and the box is not on it.

use super::edit::Sight;
use super::measure::{Answers, area_under_roc, median, ratio};
use crate::metrics::overlap;
use ettrack::geometry::BoundingBox;

/// Overlap with the truth above which a box is on its target.
pub(super) const ON: f64 = 0.5;
/// Overlap below which a box is off its target. Between the two it is neither right nor wrong, and the frame does not count.
pub(super) const OFF: f64 = 0.1;

/// Counts over frames and failures.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct FailureScore {
    /// Frames with the box on the target (overlap above 0.5).
    pub on_frames: usize,
    /// Frames with the box off the target (overlap below 0.1), or without a target in sight.
    pub off_frames: usize,
    /// Frames with the box on the target on which LOST was reported: false alarms.
    pub lost_on: usize,
    /// Frames with the box off the target on which LOST was reported.
    pub lost_off: usize,
    /// How many times the box left the target.
    pub failures: usize,
    /// Frames from a failure to LOST, for those that were noticed before the box was back.
    pub loss_delays: Vec<usize>,
    /// Frames from a failure to TRACKING on the target, for failures that ended in this way.
    pub recovery_delays: Vec<usize>,
    /// Confidence on frames with the box on the target.
    #[serde(skip)]
    pub confidence_on: Vec<f64>,
    /// Confidence on frames with the box off the target.
    #[serde(skip)]
    pub confidence_off: Vec<f64>,
}

impl FailureScore {
    /// Compares answers with the true box and with whether the target is visible, one entry per frame. Where the target is
    /// not visible, every box is off it, also one that overlaps its true box: some benchmarks give the box of a covered
    /// target. The given first frame does not count.
    pub fn of(truth: &[Option<BoundingBox>], sight: &[Sight], answers: &Answers) -> Self {
        let mut score = Self::default();
        // Frame in which the box left the target, and whether LOST was reported since then.
        let mut failure: Option<(usize, bool)> = None;
        let frames = truth.iter().zip(sight).take(answers.boxes.len());
        for (frame, (truth, sight)) in frames.enumerate().skip(1) {
            let (lost, confidence) = (answers.lost[frame], answers.confidence[frame]);
            let overlap = truth
                .as_ref()
                .filter(|_| *sight != Sight::Absent)
                .map_or(0.0, |truth| overlap(&answers.boxes[frame], truth));
            if overlap > ON {
                score.on_frames += 1;
                score.lost_on += usize::from(lost);
                score.confidence_on.push(confidence);
                if let Some((start, _)) = failure
                    && !lost
                {
                    score.recovery_delays.push(frame - start);
                    failure = None;
                }
            } else if overlap < OFF {
                score.off_frames += 1;
                score.lost_off += usize::from(lost);
                score.confidence_off.push(confidence);
                if failure.is_none() {
                    score.failures += 1;
                    failure = Some((frame, false));
                }
            }
            if let Some((start, noticed)) = &mut failure
                && lost
                && !*noticed
            {
                score.loss_delays.push(frame - *start);
                *noticed = true;
            }
        }
        score
    }

    /// All frames and failures of several runs together.
    pub fn pooled<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for one in scores {
            all.on_frames += one.on_frames;
            all.off_frames += one.off_frames;
            all.lost_on += one.lost_on;
            all.lost_off += one.lost_off;
            all.failures += one.failures;
            all.loss_delays.extend(&one.loss_delays);
            all.recovery_delays.extend(&one.recovery_delays);
            all.confidence_on.extend(&one.confidence_on);
            all.confidence_off.extend(&one.confidence_off);
        }
        all
    }

    /// Chance that a frame with the box on the target has more confidence than one with the box off it.
    pub fn roc_auc(&self) -> Option<f64> {
        area_under_roc(&self.confidence_on, &self.confidence_off)
    }

    /// Part of the frames with the box off the target whose confidence is below a threshold. At most `false_alarms` (a share,
    /// 0..=1) of the frames with the box on the target are below this threshold.
    pub fn called(&self, false_alarms: f64) -> Option<f64> {
        let mut on = self.confidence_on.clone();
        on.sort_by(f64::total_cmp);
        let allowed = (false_alarms * on.len() as f64) as usize;
        let threshold = *on.get(allowed)?;
        let below = self.confidence_off.iter().filter(|c| **c < threshold);
        ratio(below.count(), self.confidence_off.len())
    }

    /// Part of the frames with the box off the target on which LOST was reported.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.lost_off, self.off_frames)
    }

    /// Part of the frames with the box on the target on which LOST was reported.
    pub fn false_alarms(&self) -> Option<f64> {
        ratio(self.lost_on, self.on_frames)
    }

    /// Median frames from a failure to LOST, of the noticed failures.
    pub fn loss_delay(&self) -> Option<f64> {
        median(&self.loss_delays)
    }

    /// Median frames from a failure to TRACKING on the target, of the failures that ended in this way.
    pub fn recovery_delay(&self) -> Option<f64> {
        median(&self.recovery_delays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: BoundingBox = BoundingBox {
        x: 10.0,
        y: 10.0,
        width: 10.0,
        height: 10.0,
    };

    fn moved(dx: f64) -> BoundingBox {
        BoundingBox {
            x: TARGET.x + dx,
            ..TARGET
        }
    }

    #[test]
    fn failures_and_delays_by_hand() {
        let mut answers = Answers::default();
        // On the target, half on it (does not count), off it for five frames, LOST from the third of them to the first
        // frame back on it, then off it to the end without LOST.
        for (dx, confidence, lost) in [
            (0.0, 1.0, false),
            (0.0, 0.9, false),
            (5.0, 0.6, false),
            (50.0, 0.7, false),
            (50.0, 0.5, false),
            (50.0, 0.3, true),
            (50.0, 0.2, true),
            (50.0, 0.1, true),
            (0.0, 0.4, true),
            (0.0, 0.8, false),
            (50.0, 0.85, false),
            (50.0, 0.1, false),
        ] {
            answers.push(moved(dx), confidence, lost);
        }
        let score = FailureScore::of(&[Some(TARGET); 12], &[Sight::Present; 12], &answers);
        assert_eq!((score.on_frames, score.off_frames), (3, 7));
        assert_eq!((score.lost_on, score.lost_off), (1, 3));
        assert_eq!(score.failures, 2);
        assert_eq!(score.loss_delays, [2]);
        assert_eq!(score.recovery_delays, [6]);
        assert_eq!(score.recall(), Some(3.0 / 7.0));
        assert_eq!(score.false_alarms(), Some(1.0 / 3.0));
        // Without a false alarm, frames below 0.4 are called; with one of the three, frames below 0.8.
        assert_eq!(score.called(0.0), Some(4.0 / 7.0));
        assert_eq!(score.called(0.34), Some(6.0 / 7.0));
        // 0.9 is above all seven, 0.8 above six, 0.4 above four.
        let area = score.roc_auc().expect("both sides are there");
        assert!((area - 17.0 / 21.0).abs() < 1e-6, "{area}");
        let twice = FailureScore::pooled([&score, &score]);
        assert_eq!((twice.failures, twice.off_frames), (4, 14));
        assert!((twice.roc_auc().expect("both") - area).abs() < 1e-12);
    }

    #[test]
    fn a_box_beside_a_target_out_of_sight_is_off() {
        let mut answers = Answers::default();
        (0..3).for_each(|_| answers.push(TARGET, 0.5, false));
        let sight = [Sight::Present, Sight::Absent, Sight::Absent];
        for truth in [[Some(TARGET), None, None], [Some(TARGET); 3]] {
            let score = FailureScore::of(&truth, &sight, &answers);
            assert_eq!(
                (score.on_frames, score.off_frames, score.failures),
                (0, 2, 1)
            );
            assert_eq!((score.roc_auc(), score.called(0.03)), (None, None));
        }
    }
}
