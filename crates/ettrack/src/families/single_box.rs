//! The tracking loop for networks that return one box instead of a score map: STARK-S (Yan et al., ICCV 2021), HiT (Kang et
//! al., ICCV 2023), AsymTrack (Zhu et al., AAAI 2025), MixFormerV2 (Cui et al., NeurIPS 2023) and others on STARK's
//! evaluation code.
//!
//! A second template image may be refreshed, see [`super::refresh`].

use super::pytracking::{self, Factors};
use super::refresh::{self, Refresh};
use super::{Constant, Engine, Key, Loop, SearchRegion, TemplateUpdate, activate, needed};
use crate::crop::{Padding, View};
use crate::follower::{Candidate, Evidence, Follower, Pose, Track};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::Activation;
use crate::model::network::WantedOutput;
use crate::model::{
    Constants, Manifest, ModelError, ModelFolder, Network, NetworkOptions, Refusal,
};

/// The family `single_box`.
pub(super) struct Family;

static KEYS: [Key; 9] = [
    Key::optional("template.refreshed_input"),
    Key::optional("template.refreshed_from"),
    Key::optional("template.outside_input"),
    Key::optional("template.refreshed_outside_input"),
    Key::optional("search.outside_input"),
    Key::needed("template.factor"),
    Key::needed("search.factor"),
    Key::optional("outputs.score"),
    Key::needed("outputs.boxes"),
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
        &refresh::CONSTANTS
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
        Ok(SingleBox {
            factors: Factors {
                template: needed(self, template.factor, "template.factor")?,
                search: needed(self, search.factor, "search.factor")?,
            },
            sigmoid: score.map(|score| score.activation == Activation::Sigmoid),
            refresh: Refresh::new(self, manifest, constants)?,
            size: 0.0,
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        })
    }
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
            most_growth: f64::INFINITY,
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
        if let Some(refresh) = &mut self.refresh {
            refresh.start();
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
        if let Some(refresh) = &mut self.refresh {
            refresh.follow(candidate.evidence.score);
        }
    }

    fn pose(&self) -> Pose {
        self.pose
    }

    fn place(&mut self, pose: Pose) {
        self.pose = pose;
    }

    fn template_update(&mut self, track: &Track) -> Option<TemplateUpdate> {
        let refresh = self.refresh.as_mut()?;
        let window = pytracking::window(&self.pose, self.factors.template);
        refresh.after_frame(track, window.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Factors, Family, Loop, Manifest, Refresh, SearchRegion, SingleBox, Track, pytracking,
    };
    use crate::follower::{StageTimings, TrackState};
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
        };
        state.initialize((320, 240), BoundingBox::new(100.0, 100.0, 40.0, 40.0));
        state
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
    fn the_score_of_the_followed_box_refreshes_the_second_template() {
        let manifest = include_str!("../../../../tests/data/refreshed_outside/model.yaml");
        let manifest = Manifest::parse(manifest, "model.yaml".as_ref()).expect("it is committed");
        let constants = manifest.constants("default").expect("it has one");
        let refresh = Refresh::new(&Family, &manifest, &constants).expect("it fits");
        let mut state = new_loop(refresh);
        let track = Track {
            bounding_box: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
            confidence: 1.0,
            state: TrackState::Tracking,
            timings: StageTimings::default(),
        };
        // Every second frame may refresh it, if its score is above 0.3. The sigmoid of -0.85 is 0.299.
        for (logit, width) in [(9.0, None), (-0.8, Some(0.3)), (9.0, None), (-0.9, None)] {
            let region = state.search(1.0);
            let shares = [0.5, 0.5, width.unwrap_or(0.2), 0.3];
            let candidate = state.decode_box(shares, Some(logit), &region);
            state.follow(&candidate.expect("a candidate"));
            let update = state.template_update(&track);
            assert_eq!(update.is_some(), width.is_some(), "{logit}");
            // The template's region is around the box of this frame.
            let view = pytracking::window(&state.pose, 2.0).into();
            assert!(update.is_none_or(|update| update.is_shown && update.cut == Some(view)));
        }
    }
}
