//! The rules by which trackers replace a second template image while they follow the target, for every family that has one.
//!
//! Every `update_interval` frames the image may be replaced by one from a frame whose score is above `update_above`.
//! `template.refreshed_from` says which frames give it: [`RefreshedFrom`].

use super::{Condition, Constant, Family, TemplateUpdate, needed};
use crate::crop::View;
use crate::follower::{Track, TrackState};
use crate::model::manifest::RefreshedFrom;
use crate::model::{Constants, Manifest, Refusal};

/// What the rules need: a second template image, and a score.
const REFRESHED: Condition = Condition {
    words: "`template.refreshed_input` and `outputs.score`",
    holds: is_refreshed,
};

/// What a best frame needs beyond that.
const FROM_BEST: Condition = Condition {
    words: "`template.refreshed_input`, `outputs.score` and `template.refreshed_from: best`",
    holds: |manifest| is_refreshed(manifest) && from(manifest) == RefreshedFrom::Best,
};

fn is_refreshed(manifest: &Manifest) -> bool {
    manifest.template.refreshed_input.is_some() && manifest.outputs.score.is_some()
}

fn from(manifest: &Manifest) -> RefreshedFrom {
    manifest.template.refreshed_from.unwrap_or_default()
}

/// The constants of a family with a second template image.
pub(super) static CONSTANTS: [Constant; 3] = [
    Constant::optional(
        "update_interval",
        1.0..=1e6,
        Some(REFRESHED),
        "frames from one second template to the next; whole numbers",
    ),
    Constant::optional(
        "update_above",
        0.0..=1.0,
        Some(REFRESHED),
        "score above which a frame may give the second template",
    ),
    Constant::optional(
        "score_decay",
        0.0..=1.0,
        Some(FROM_BEST),
        "factor of the best score from frame to frame; 1 where not given",
    ),
];

/// Whether this is one of [`CONSTANTS`].
pub(super) fn is_constant(constant: &Constant) -> bool {
    CONSTANTS.iter().any(|known| known.name == constant.name)
}

/// State of the rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refresh {
    from: RefreshedFrom,
    interval: u64,
    above: f64,
    decay: f64,
    /// Frames since the target was chosen.
    frames: u64,
    /// Best score since the last refresh. -1 if there is none.
    best: f64,
    /// Score of the box that was followed in this frame.
    followed: Option<f32>,
}

impl Refresh {
    /// The rule of a model; `None` without a second template image.
    ///
    /// # Errors
    /// [`Refusal`] for a constant that is missing or no whole number.
    pub fn new(
        family: &dyn Family,
        manifest: &Manifest,
        constants: &Constants,
    ) -> Result<Option<Self>, Refusal> {
        if manifest.template.refreshed_input.is_none() {
            return Ok(None);
        }
        needed(family, manifest.outputs.score.as_ref(), "outputs.score")?;
        let value = |name: &str| needed(family, constants.get(name), &format!("tracking.*.{name}"));
        let interval = value("update_interval")?;
        if interval.fract() != 0.0 {
            return Err(Refusal::new(
                "tracking.*.update_interval",
                interval.to_string(),
                "a whole number",
            ));
        }
        Ok(Some(Self {
            from: from(manifest),
            interval: interval as u64,
            above: value("update_above")?,
            decay: constants.get("score_decay").unwrap_or(1.0),
            frames: 0,
            best: -1.0,
            followed: None,
        }))
    }

    /// Begins with a new target.
    pub fn start(&mut self) {
        (self.frames, self.best, self.followed) = (0, -1.0, None);
    }

    /// Takes the score of the box that is followed in this frame, 0..=1.
    pub fn follow(&mut self, score: f32) {
        self.followed = Some(score);
    }

    /// What happens to the second template image after a frame that was reported as `track`, where `view` is the template's
    /// region around the target. Called once for each frame. No image is taken from a frame in which the target is lost.
    pub fn after_frame(&mut self, track: &Track, view: View) -> Option<TemplateUpdate> {
        self.frames += 1;
        self.best *= self.decay;
        let is_tracked = track.state == TrackState::Tracking;
        let score = self.followed.take().filter(|_| is_tracked).map(f64::from);
        let score = score.filter(|&score| score > self.above);
        let is_due = self.frames.is_multiple_of(self.interval);
        match self.from {
            RefreshedFrom::Best => self.keep_best(score, is_due, view),
            RefreshedFrom::Last => {
                (score.is_some() && is_due).then(|| TemplateUpdate::at_once(1, view))
            }
        }
    }

    /// Keeps the picture of the best `score` of an interval, and shows it when it `is_due`.
    fn keep_best(
        &mut self,
        score: Option<f64>,
        is_due: bool,
        view: View,
    ) -> Option<TemplateUpdate> {
        let best = score.filter(|&score| score > self.best);
        if let Some(score) = best {
            self.best = score;
        }
        if is_due {
            self.best = -1.0;
        }
        (best.is_some() || is_due).then_some(TemplateUpdate {
            image: 1,
            cut: best.map(|_| view),
            is_shown: is_due,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Refresh, RefreshedFrom, Track, TrackState};
    use crate::crop::SearchWindow;
    use crate::follower::StageTimings;
    use crate::geometry::BoundingBox;

    fn rule(from: RefreshedFrom, interval: u64, decay: f64) -> Refresh {
        Refresh {
            from,
            interval,
            above: 0.5,
            decay,
            frames: 0,
            best: -1.0,
            followed: None,
        }
    }

    fn end_frame(rule: &mut Refresh, reported: TrackState) -> (bool, bool) {
        let track = Track {
            bounding_box: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
            confidence: 1.0,
            state: reported,
            timings: StageTimings::default(),
        };
        let window = SearchWindow {
            x: 0,
            y: 0,
            side: 8,
        };
        let update = rule.after_frame(&track, window.into());
        update.map_or((false, false), |update| {
            assert_eq!(update.image, 1);
            (update.cut.is_some(), update.is_shown)
        })
    }

    /// Ends a frame whose box has this score. Returns whether a picture is cut and whether one is shown.
    fn frame(rule: &mut Refresh, score: f32) -> (bool, bool) {
        rule.follow(score);
        end_frame(rule, TrackState::Tracking)
    }

    #[test]
    fn takes_the_second_template_from_the_best_frame_of_an_interval() {
        let mut rule = rule(RefreshedFrom::Best, 4, 1.0);
        let mut next = |score| frame(&mut rule, score);
        // The first score is kept, the second is worse, the third is better. The fourth frame shows the kept picture.
        assert_eq!(next(0.73), (true, false));
        assert_eq!(next(0.62), (false, false));
        assert_eq!(next(0.88), (true, false));
        assert_eq!(next(0.05), (false, true));
        // The next interval begins without a best score. Scores that are not above 0.5 are not kept.
        assert_eq!(next(0.47), (false, false));
        assert_eq!(next(0.52), (true, false));
        assert_eq!(next(0.5), (false, false));
        assert_eq!(next(0.55), (true, true));
    }

    #[test]
    fn decays_the_best_score_and_takes_no_template_of_a_lost_target() {
        let mut rule = rule(RefreshedFrom::Best, 100, 0.9);
        rule.follow(0.88);
        assert_eq!(end_frame(&mut rule, TrackState::Lost), (false, false));
        assert_eq!(frame(&mut rule, 0.88), (true, false));
        // 0.88 decays to 0.792 and 0.713, and 0.73 is above 0.713.
        assert_eq!(frame(&mut rule, 0.73), (false, false));
        assert_eq!(frame(&mut rule, 0.73), (true, false));
        // In this frame no box was followed.
        assert_eq!(end_frame(&mut rule, TrackState::Tracking), (false, false));
    }

    #[test]
    fn takes_the_second_template_from_the_last_frame_of_an_interval() {
        let mut rule = rule(RefreshedFrom::Last, 2, 1.0);
        // Better scores in other frames do not count.
        for (score, is_shown) in [(0.9, false), (0.51, true), (0.9, false), (0.5, false)] {
            assert_eq!(frame(&mut rule, score), (is_shown, is_shown), "{score}");
        }
        // Nor does a frame in which the target is lost, or in which no box was followed.
        frame(&mut rule, 0.9);
        rule.follow(0.9);
        assert_eq!(end_frame(&mut rule, TrackState::Lost), (false, false));
        frame(&mut rule, 0.9);
        assert_eq!(end_frame(&mut rule, TrackState::Tracking), (false, false));
        // Frames are counted from the target's first one on.
        frame(&mut rule, 0.9);
        rule.start();
        assert_eq!(frame(&mut rule, 0.9), (false, false));
        assert_eq!(frame(&mut rule, 0.9), (true, true));
    }
}
