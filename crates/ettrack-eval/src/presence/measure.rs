//! Measures of the state LOST and of the confidence.

use super::edit::{EditedSequence, Sight};
use crate::metrics::overlap;
use ettrack::geometry::BoundingBox;

/// Overlap with the truth from which on a tracker is on its target.
const ON_TARGET: f64 = 0.3;

/// The answers of a tracker, one entry per frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Boxes.
    pub boxes: Vec<BoundingBox>,
    /// Confidence, 0..=1.
    pub confidence: Vec<f64>,
    /// Whether the state was LOST.
    pub lost: Vec<bool>,
}

impl Answers {
    /// Adds the answer for the next frame.
    pub fn push(&mut self, bounding_box: BoundingBox, confidence: f32, lost: bool) {
        self.boxes.push(bounding_box);
        self.confidence.push(f64::from(confidence));
        self.lost.push(lost);
    }
}

/// Counts of frames and disappearances. Frames with a partly covered target do not count.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct PresenceScore {
    /// Frames with a visible target.
    pub present_frames: usize,
    /// Frames without a visible target.
    pub absent_frames: usize,
    /// Frames without the target in which the state was LOST.
    pub lost_when_absent: usize,
    /// Frames with the target in which the state was LOST.
    pub lost_when_present: usize,
    /// Of these, frames in which the box was not on the target, so that LOST was right about the tracker.
    pub lost_when_off_target: usize,
    /// Frames with the target in which the state was TRACKING, but the box was not on the target (overlap below 0.3).
    pub tracking_off_target: usize,
    /// Number of disappearances.
    pub disappearances: usize,
    /// Frames from each disappearance that was noticed to the state LOST.
    pub loss_delays: Vec<usize>,
    /// Number of times the target came back.
    pub returns: usize,
    /// Frames from each return to the state TRACKING on the target, if that came before the next disappearance.
    pub recovery_delays: Vec<usize>,
    /// Confidence in frames with the target.
    #[serde(skip)]
    pub confidence_present: Vec<f64>,
    /// Confidence in frames without the target.
    #[serde(skip)]
    pub confidence_absent: Vec<f64>,
}

pub(super) fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

pub(super) fn median(values: &[usize]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle] as f64),
        _ => Some((sorted[middle - 1] + sorted[middle]) as f64 / 2.0),
    }
}

impl PresenceScore {
    /// Part of the LOST frames in which the target was absent; `None` if the state was never LOST.
    pub fn precision(&self) -> Option<f64> {
        ratio(
            self.lost_when_absent,
            self.lost_when_absent + self.lost_when_present,
        )
    }

    /// As [`Self::precision`], but LOST is also right if the box was not on the visible target.
    pub fn honest_precision(&self) -> Option<f64> {
        ratio(
            self.lost_when_absent + self.lost_when_off_target,
            self.lost_when_absent + self.lost_when_present,
        )
    }

    /// Part of the frames without the target in which the state was LOST.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.lost_when_absent, self.absent_frames)
    }

    /// Median of the frames from a disappearance to LOST.
    pub fn loss_delay(&self) -> Option<f64> {
        median(&self.loss_delays)
    }

    /// Median of the frames from a return to TRACKING on the target.
    pub fn recovery_delay(&self) -> Option<f64> {
        median(&self.recovery_delays)
    }

    /// Probability that a frame with the target has a higher confidence than a frame without it.
    pub fn roc_auc(&self) -> Option<f64> {
        area_under_roc(&self.confidence_present, &self.confidence_absent)
    }
}

/// Area under the ROC curve (the Mann-Whitney statistic; equal values count half); `None` if one list is empty.
pub fn area_under_roc(positive: &[f64], negative: &[f64]) -> Option<f64> {
    if positive.is_empty() || negative.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> = positive
        .iter()
        .map(|value| (*value, true))
        .chain(negative.iter().map(|value| (*value, false)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sum of the ranks of positive values. Equal values share their mean rank.
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < all.len() {
        let same = all[start..]
            .iter()
            .take_while(|one| one.0 == all[start].0)
            .count();
        // NaN is not equal to itself.
        let same = same.max(1);
        let mean_rank = start as f64 + (same as f64 + 1.0) / 2.0;
        let positives = all[start..start + same].iter().filter(|one| one.1).count();
        rank_sum += mean_rank * positives as f64;
        start += same;
    }
    let (p, n) = (positive.len() as f64, negative.len() as f64);
    Some((rank_sum - p * (p + 1.0) / 2.0) / (p * n))
}

/// Compares a tracker's answers with the visibility of the target. The first frame does not count, because its box is given.
pub fn judge(sequence: &EditedSequence, answers: &Answers) -> PresenceScore {
    let mut score = PresenceScore::default();
    let sight = &sequence.sight;
    let on_target = |frame: usize| {
        sequence.truth[frame]
            .as_ref()
            .is_some_and(|truth| overlap(&answers.boxes[frame], truth) >= ON_TARGET)
    };
    let count = sight.len().min(answers.lost.len());
    for (frame, sight) in sight.iter().enumerate().take(count).skip(1) {
        let (lost, confidence) = (answers.lost[frame], answers.confidence[frame]);
        match sight {
            Sight::Partly => {}
            Sight::Absent => {
                score.absent_frames += 1;
                score.lost_when_absent += usize::from(lost);
                score.confidence_absent.push(confidence);
            }
            Sight::Present => {
                score.present_frames += 1;
                score.confidence_present.push(confidence);
                match (lost, on_target(frame)) {
                    (true, on) => {
                        score.lost_when_present += 1;
                        score.lost_when_off_target += usize::from(!on);
                    }
                    (false, false) => score.tracking_off_target += 1,
                    (false, true) => {}
                }
            }
        }
    }
    for start in 1..count {
        if sight[start] == Sight::Absent && sight[start - 1] != Sight::Absent {
            score.disappearances += 1;
            let span = (start..count).take_while(|frame| sight[*frame] == Sight::Absent);
            let noticed = span.clone().position(|frame| answers.lost[frame]);
            score.loss_delays.extend(noticed);
        }
        if sight[start] == Sight::Present
            && let Some(before) = (1..start)
                .rev()
                .find(|frame| sight[*frame] != Sight::Partly)
            && sight[before] == Sight::Absent
            && sight[start - 1] != Sight::Present
        {
            score.returns += 1;
            let span = (start..count).take_while(|frame| sight[*frame] != Sight::Absent);
            let found = span
                .clone()
                .position(|frame| !answers.lost[frame] && on_target(frame));
            score.recovery_delays.extend(found);
        }
    }
    score
}

/// The sum over several sequences.
pub fn pool<'a>(scores: impl IntoIterator<Item = &'a PresenceScore>) -> PresenceScore {
    let mut all = PresenceScore::default();
    for one in scores {
        all.present_frames += one.present_frames;
        all.absent_frames += one.absent_frames;
        all.lost_when_absent += one.lost_when_absent;
        all.lost_when_present += one.lost_when_present;
        all.lost_when_off_target += one.lost_when_off_target;
        all.tracking_off_target += one.tracking_off_target;
        all.disappearances += one.disappearances;
        all.loss_delays.extend(&one.loss_delays);
        all.returns += one.returns;
        all.recovery_delays.extend(&one.recovery_delays);
        all.confidence_present.extend(&one.confidence_present);
        all.confidence_absent.extend(&one.confidence_absent);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Sequence;
    use crate::presence::Edit;

    #[test]
    fn area_under_roc_equals_hand_computed_values() {
        assert_eq!(area_under_roc(&[0.9, 0.8], &[0.1, 0.2]), Some(1.0));
        assert_eq!(area_under_roc(&[0.1], &[0.9]), Some(0.0));
        assert_eq!(area_under_roc(&[0.5, 0.5], &[0.5]), Some(0.5));
        // 0.4 > 0.3, 0.8 > 0.3 and 0.8 > 0.6: three of four pairs.
        assert_eq!(area_under_roc(&[0.4, 0.8], &[0.3, 0.6]), Some(0.75));
        assert_eq!(area_under_roc(&[], &[0.3]), None);
    }

    #[test]
    fn states_and_delays_equal_hand_computed_values() {
        let target = BoundingBox::new(10.0, 10.0, 10.0, 10.0);
        let sequence = Sequence {
            name: "s".to_owned(),
            frames: vec!["x.jpg".into(); 12],
            first_box: target,
            truth: Some(vec![Some(target); 12]),
            // Not visible in frames 3..=6.
            visible: Some((0..12).map(|frame| !(3..7).contains(&frame)).collect()),
            length: 12,
        };
        let edited = EditedSequence::new(&sequence, Edit::None, &[]).unwrap();
        let mut answers = Answers::default();
        let away = BoundingBox::new(90.0, 10.0, 10.0, 10.0);
        for frame in 0..12 {
            // LOST from 5 to 8; back on the target at 9, off it once at 11.
            let lost = (5..=8).contains(&frame);
            let place = if frame == 8 || frame == 11 {
                away
            } else {
                target
            };
            answers.push(place, if frame < 4 { 0.9 } else { 0.2 }, lost);
        }
        let score = judge(&edited, &answers);
        assert_eq!((score.present_frames, score.absent_frames), (7, 4));
        assert_eq!((score.lost_when_absent, score.lost_when_present), (2, 2));
        assert_eq!(
            (score.lost_when_off_target, score.tracking_off_target),
            (1, 1)
        );
        assert_eq!(score.precision(), Some(0.5));
        assert_eq!(score.honest_precision(), Some(0.75));
        assert_eq!(score.recall(), Some(0.5));
        assert_eq!((score.disappearances, score.loss_delay()), (1, Some(2.0)));
        assert_eq!((score.returns, score.recovery_delay()), (1, Some(2.0)));
        let both = pool([&score, &score]);
        assert_eq!((both.absent_frames, both.returns), (8, 2));
        assert_eq!(both.precision(), Some(0.5));
    }

    #[test]
    fn measures_of_no_frames_are_none() {
        let score = PresenceScore::default();
        assert_eq!(score.precision(), None);
        assert_eq!(score.recall(), None);
        assert_eq!(score.roc_auc(), None);
    }
}
