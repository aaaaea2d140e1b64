//! The tracking loop for networks that return one box instead of a score map: STARK-S (Yan et al., ICCV 2021), HiT (Kang et
//! al., ICCV 2023), AsymTrack (Zhu et al., AAAI 2025), MixFormerV2 (Cui et al., NeurIPS 2023) and others on STARK's
//! evaluation code.
//!
//! MixFormer's rule refreshes a second template image: it is taken from the frame with the best score above `update_above` of
//! every `update_interval` frames. If no score is above `update_above`, the second template is the first template again.

use super::pytracking::{self, Factors};
use super::{
    Condition, Constant, Engine, Key, Loop, SearchRegion, TemplateUpdate, activate, needed,
};
use crate::crop::{Padding, View};
use crate::follower::{Candidate, Evidence, Follower, Pose, Track, TrackState};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::Activation;
use crate::model::network::WantedOutput;
use crate::model::{
    Constants, Manifest, ModelError, ModelFolder, Network, NetworkOptions, Refusal,
};

/// The family `single_box`.
pub(super) struct Family;

static KEYS: [Key; 7] = [
    Key::optional("template.refreshed_input"),
    Key::optional("template.outside_input"),
    Key::optional("search.outside_input"),
    Key::needed("template.factor"),
    Key::needed("search.factor"),
    Key::optional("outputs.score"),
    Key::needed("outputs.boxes"),
];

/// Outputs and inputs that a refreshed template needs.
const REFRESHED: Condition = Condition {
    words: "`template.refreshed_input` and `outputs.score`",
    holds: |manifest| {
        manifest.template.refreshed_input.is_some() && manifest.outputs.score.is_some()
    },
};

static CONSTANTS: [Constant; 3] = [
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
        Some(REFRESHED),
        "factor of the best score from frame to frame; 1 where not given",
    ),
];

impl super::Family for Family {
    fn name(&self) -> &'static str {
        "single_box"
    }

    fn trackers(&self) -> &'static str {
        "STARK-S, HiT, AsymTrack, MixFormerV2"
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn constants(&self) -> &'static [Constant] {
        &CONSTANTS
    }

    fn map_side(&self, _: &Manifest, _: usize) -> Option<usize> {
        None
    }

    /// Centre, width and height of the box as parts of the search region's side, and the score if there is one.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        _search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal> {
        let outputs = &manifest.outputs;
        let boxes = needed(self, outputs.boxes.as_ref(), "outputs.boxes")?;
        let boxes = WantedOutput {
            name: &boxes.name,
            shape: vec![1, 1, 4],
        };
        let score = outputs.score.iter().map(|score| WantedOutput {
            name: score.name.as_str(),
            shape: vec![1],
        });
        Ok(std::iter::once(boxes).chain(score).collect())
    }

    fn open(
        &self,
        model: &ModelFolder,
        constants: &Constants,
        options: &NetworkOptions,
    ) -> Result<Box<dyn Follower>, ModelError> {
        let read = || self.state(&model.manifest, constants);
        let state = read().map_err(|refusal| refusal.in_manifest(model.manifest_path()))?;
        let engine = Engine::open(self, model, options, |size| SingleBox {
            size: size as f64,
            ..state
        })?;
        Ok(Box::new(engine))
    }
}

impl Family {
    fn state(&self, manifest: &Manifest, constants: &Constants) -> Result<SingleBox, Refusal> {
        let (template, search) = (&manifest.template, &manifest.search);
        let score = manifest.outputs.score.as_ref();
        let refresh = match &template.refreshed_input {
            None => None,
            Some(_) => {
                needed(self, score, "outputs.score")?;
                let value =
                    |name: &str| needed(self, constants.get(name), &format!("tracking.*.{name}"));
                let interval = value("update_interval")?;
                if interval.fract() != 0.0 {
                    return Err(Refusal::new(
                        "tracking.*.update_interval",
                        interval.to_string(),
                        "a whole number",
                    ));
                }
                Some(Refresh {
                    interval: interval as u64,
                    above: value("update_above")?,
                    decay: constants.get("score_decay").unwrap_or(1.0),
                    frames: 0,
                    best: -1.0,
                })
            }
        };
        Ok(SingleBox {
            factors: Factors {
                template: needed(self, template.factor, "template.factor")?,
                search: needed(self, search.factor, "search.factor")?,
            },
            sigmoid: score.map(|score| score.activation == Activation::Sigmoid),
            refresh,
            size: 0.0,
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
            followed: None,
        })
    }
}

/// State of the rule that refreshes the second template.
#[derive(Debug, Clone, Copy)]
struct Refresh {
    interval: u64,
    above: f64,
    decay: f64,
    /// Frames since the target was chosen.
    frames: u64,
    /// Best score since the last refresh. -1 if there is none.
    best: f64,
}

/// The loop at one search size.
#[derive(Debug, Clone, Copy)]
struct SingleBox {
    factors: Factors,
    /// Whether the score is a logit. `None` without a score.
    sigmoid: Option<bool>,
    refresh: Option<Refresh>,
    /// Side of the search region, search pixels.
    size: f64,
    /// Width and height of the frame, pixels.
    image: (f64, f64),
    pose: Pose,
    /// Score of the box that was followed in this frame.
    followed: Option<f32>,
}

impl SingleBox {
    fn decode_box(
        &self,
        shares: [f32; 4],
        score: Option<f32>,
        region: &SearchRegion,
    ) -> Option<Candidate> {
        let (scale, _) = region.scale;
        let pose = pytracking::placed(&self.pose, shares, self.size, scale);
        let score = match (score, self.sigmoid) {
            (Some(raw), Some(sigmoid)) => {
                let mut score = [0.0];
                activate(&[raw], sigmoid, &mut score);
                score[0]
            }
            // Without a score there is no evidence for or against the target.
            _ => 0.5,
        };
        // A single box always agrees with itself, and there is no score map for other evidence.
        let evidence = Evidence {
            score,
            agreement: 1.0,
            displacement: self.pose.displacement_of(&pose),
            ..Evidence::default()
        };
        let candidate = Candidate {
            pose,
            cell: None,
            rate: 1.0,
            evidence,
        };
        let numbers = [pose.center.0, pose.center.1, pose.width, pose.height];
        let is_usable = numbers.iter().all(|number| number.is_finite()) && !score.is_nan();
        is_usable.then_some(candidate)
    }
}

impl Loop for SingleBox {
    fn padding(_: &Frame<'_>) -> Padding {
        pytracking::padding()
    }

    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View {
        self.image = (f64::from(image.0), f64::from(image.1));
        self.pose = target.into();
        self.followed = None;
        if let Some(refresh) = &mut self.refresh {
            (refresh.frames, refresh.best) = (0, -1.0);
        }
        pytracking::window(&self.pose, self.factors.template).into()
    }

    fn search(&self, scale: f64) -> SearchRegion {
        let window = pytracking::window(&self.pose, self.factors.search * scale);
        SearchRegion::even(window, self.size / f64::from(window.side))
    }

    /// Decodes the network's box. The cosine window has no effect, because there is only one box.
    fn decode(&mut self, network: &Network, region: &SearchRegion, _: bool) -> Option<Candidate> {
        let [x, y, width, height] = *network.output(0) else {
            return None;
        };
        let score = self
            .sigmoid
            .and_then(|_| network.output(1).first().copied());
        self.decode_box([x, y, width, height], score, region)
    }

    /// Takes the candidate's box, with at least the margin inside the image.
    fn follow(&mut self, candidate: &Candidate) {
        self.pose = pytracking::clipped(candidate.pose.bounding_box(), self.image).into();
        self.followed = Some(candidate.evidence.score);
    }

    fn pose(&self) -> Pose {
        self.pose
    }

    fn place(&mut self, pose: Pose) {
        self.pose = pose;
    }

    /// Applies MixFormer's rule. No template is taken from a frame in which the target is lost.
    fn template_update(&mut self, track: &Track) -> Option<TemplateUpdate> {
        let score = self.followed.take();
        let view = pytracking::window(&self.pose, self.factors.template).into();
        let refresh = self.refresh.as_mut()?;
        refresh.frames += 1;
        refresh.best *= refresh.decay;
        let score = score
            .filter(|_| track.state == TrackState::Tracking)
            .map(f64::from);
        let best = score.filter(|&score| score > refresh.above && score > refresh.best);
        if let Some(score) = best {
            refresh.best = score;
        }
        let is_shown = refresh.frames.is_multiple_of(refresh.interval);
        if is_shown {
            refresh.best = -1.0;
        }
        (best.is_some() || is_shown).then_some(TemplateUpdate {
            image: 1,
            cut: best.map(|_| view),
            is_shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Factors, Loop, Refresh, SearchRegion, SingleBox, Track, TrackState};
    use crate::follower::StageTimings;
    use crate::geometry::BoundingBox;

    fn new_loop(refresh: Option<Refresh>) -> SingleBox {
        let mut state = SingleBox {
            factors: Factors {
                template: 2.0,
                search: 4.5,
            },
            sigmoid: Some(true),
            refresh,
            size: 224.0,
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
            followed: None,
        };
        state.initialize((320, 240), BoundingBox::new(100.0, 100.0, 40.0, 40.0));
        state
    }

    fn track(state: TrackState) -> Track {
        Track {
            bounding_box: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
            confidence: 1.0,
            state,
            timings: StageTimings::default(),
        }
    }

    /// Handles a frame whose box has this score as a logit. Returns whether the picture is kept and whether one is shown.
    fn frame(state: &mut SingleBox, logit: f32, reported: TrackState) -> (bool, bool) {
        let region = state.search(1.0);
        let candidate = state
            .decode_box([0.5, 0.5, 0.22, 0.22], Some(logit), &region)
            .expect("a candidate");
        state.follow(&candidate);
        let update = state.template_update(&track(reported));
        update.map_or((false, false), |update| {
            assert_eq!(update.image, 1);
            (update.cut.is_some(), update.is_shown)
        })
    }

    #[test]
    fn converts_parts_of_the_region_to_a_box_in_the_image() {
        let state = new_loop(None);
        let region = state.search(1.0);
        assert_eq!(region.view.enclosing().side, 180);
        let SearchRegion { scale, .. } = region;
        assert!((scale.0 - 224.0 / 180.0).abs() < 1e-12);
        let candidate = state
            .decode_box([0.5, 0.25, 0.5, 0.1], Some(0.0), &region)
            .expect("a candidate");
        let found = candidate.pose.bounding_box();
        // The box is half of 180 pixels wide and lies a quarter of 180 pixels further up.
        for (ours, expected) in [
            (found.x, 75.0),
            (found.y, 66.0),
            (found.width, 90.0),
            (found.height, 18.0),
        ] {
            assert!((ours - expected).abs() < 1e-4, "{found}");
        }
        assert_eq!(candidate.evidence.score, 0.5);
        let without = state.decode_box([f32::NAN, 0.5, 0.5, 0.5], Some(0.0), &region);
        assert!(without.is_none());
        let without = state.decode_box([0.5; 4], Some(f32::NAN), &region);
        assert!(without.is_none());
    }

    #[test]
    fn takes_the_second_template_from_the_best_frame_of_an_interval() {
        let refresh = Refresh {
            interval: 4,
            above: 0.5,
            decay: 1.0,
            frames: 0,
            best: -1.0,
        };
        let mut state = new_loop(Some(refresh));
        let mut next = |logit| frame(&mut state, logit, TrackState::Tracking);
        // The first score is kept, the second is worse, the third is better. The fourth frame shows the kept picture.
        assert_eq!(next(1.0), (true, false));
        assert_eq!(next(0.5), (false, false));
        assert_eq!(next(2.0), (true, false));
        assert_eq!(next(-3.0), (false, true));
        // The next interval begins without a best score. Scores that are not above 0.5 are not kept.
        assert_eq!(next(-0.1), (false, false));
        assert_eq!(next(0.1), (true, false));
        assert_eq!(next(0.0), (false, false));
        assert_eq!(next(0.2), (true, true));
    }

    #[test]
    fn decays_the_best_score_and_takes_no_template_of_a_lost_target() {
        let refresh = Refresh {
            interval: 100,
            above: 0.5,
            decay: 0.9,
            frames: 0,
            best: -1.0,
        };
        let mut state = new_loop(Some(refresh));
        assert_eq!(frame(&mut state, 2.0, TrackState::Lost), (false, false));
        assert_eq!(frame(&mut state, 2.0, TrackState::Tracking), (true, false));
        // 0.881 decays to 0.793 and 0.713, and 0.731 is above 0.713.
        assert_eq!(frame(&mut state, 1.0, TrackState::Tracking), (false, false));
        assert_eq!(frame(&mut state, 1.0, TrackState::Tracking), (true, false));
        // In this frame no box was followed.
        assert!(
            state
                .template_update(&track(TrackState::Tracking))
                .is_none()
        );
    }
}
