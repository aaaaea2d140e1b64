//! The loop of OSTrack (Ye et al., ECCV 2022), which SMAT (Gopal and Amer, WACV 2024), CompressTracker (Hong et al., ICCV
//! 2025), LiteTrack, AVTrack, SGLATrack, SUTrack and VitTrack have too: a score map, and for each cell the offset of the box's
//! centre and its size.
//!
//! Precision and roundings are those of the authors' code: maps and decoded values in `f32`, state in `f64`.

use super::choice::{change, padded_side};
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

/// The family `centre_head`.
pub(super) struct Family;

static KEYS: [Key; 9] = [
    Key::optional("template.refreshed_input"),
    Key::optional("template.refreshed_from"),
    Key::optional("template.box_input"),
    Key::optional("template.refreshed_box_input"),
    Key::needed("template.factor"),
    Key::needed("search.factor"),
    Key::needed("outputs.score"),
    Key::needed("outputs.size"),
    Key::needed("outputs.offset"),
];

impl super::Family for Family {
    fn name(&self) -> &'static str {
        "centre_head"
    }

    fn trackers(&self) -> &'static str {
        "SMAT, CompressTracker, OSTrack, LiteTrack, AVTrack, SGLATrack, SUTrack, VitTrack"
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn constants(&self) -> &'static [Constant] {
        &refresh::CONSTANTS
    }

    fn map_side(&self, manifest: &Manifest, search_size: usize) -> Option<usize> {
        Some(map_side(manifest, search_size))
    }

    /// Sizes are shares of the search region, offsets are in cells.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal> {
        let outputs = &manifest.outputs;
        let score = needed(self, outputs.score.as_ref(), "outputs.score")?;
        let size = needed(self, outputs.size.as_ref(), "outputs.size")?;
        let offset = needed(self, outputs.offset.as_ref(), "outputs.offset")?;
        let side = map_side(manifest, search_size) as i64;
        let output = |name, planes| WantedOutput {
            name,
            shape: vec![1, planes, side, side],
        };
        Ok(vec![
            output(&score.name, 1),
            output(&size.name, 2),
            output(&offset.name, 2),
        ])
    }

    fn open(
        &self,
        model: &ModelFolder,
        constants: &Constants,
        options: &NetworkOptions,
    ) -> Result<Box<dyn Follower>, ModelError> {
        let manifest = &model.manifest;
        let refused = |refusal: Refusal| refusal.in_manifest(model.manifest_path());
        let (template, search) = (manifest.template.factor, manifest.search.factor);
        let factors = Factors {
            template: needed(self, template, "template.factor").map_err(refused)?,
            search: needed(self, search, "search.factor").map_err(refused)?,
        };
        let score = manifest.outputs.score.as_ref();
        let score = needed(self, score, "outputs.score").map_err(refused)?;
        let sigmoid = score.activation == Activation::Sigmoid;
        let refresh = Refresh::new(self, manifest, constants).map_err(refused)?;
        let engine = Engine::open(self, model, options, |size| CentreHead {
            refresh,
            ..CentreHead::new(factors, sigmoid, size, map_side(manifest, size))
        })?;
        Ok(Box::new(engine))
    }
}

/// Half to even, as the authors' scripts round.
fn map_side(manifest: &Manifest, search_size: usize) -> usize {
    (search_size as f64 / manifest.search.stride as f64).round_ties_even() as usize
}

/// The maps of one look.
#[derive(Debug, Clone, Copy)]
struct Maps<'a> {
    scores: &'a [f32],
    sizes: &'a [f32],
    offsets: &'a [f32],
}

/// The loop at one search size.
#[derive(Debug)]
struct CentreHead {
    factors: Factors,
    /// Whether scores come as logits.
    sigmoid: bool,
    refresh: Option<Refresh>,
    /// Search pixels a side.
    size: f64,
    /// Cells a side.
    side: usize,
    /// Hann window, row-major.
    hann: Vec<f32>,
    /// Scores of the last look, 0..=1.
    scores: Vec<f32>,
    /// Frame size, pixels.
    image: (f64, f64),
    pose: Pose,
}

impl CentreHead {
    fn new(factors: Factors, sigmoid: bool, size: usize, side: usize) -> Self {
        // The window of pytracking: symmetric and without zeros.
        let hann = |i: usize| {
            let angle = 2.0 * std::f64::consts::PI * (i as f64 + 1.0) / (side as f64 + 1.0);
            (0.5 * (1.0 - angle.cos())) as f32
        };
        Self {
            factors,
            sigmoid,
            refresh: None,
            size: size as f64,
            side,
            hann: (0..side * side)
                .map(|cell| hann(cell / side) * hann(cell % side))
                .collect(),
            scores: vec![0.0; side * side],
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        }
    }

    /// Centre, width and height of a cell's box as shares of the search region.
    fn shares(&self, maps: &Maps<'_>, cell: usize) -> [f32; 4] {
        let cells = self.side * self.side;
        let side = self.side as f32;
        let (column, row) = ((cell % self.side) as f32, (cell / self.side) as f32);
        [
            (column + maps.offsets[cell]) / side,
            (row + maps.offsets[cells + cell]) / side,
            maps.sizes[cell],
            maps.sizes[cells + cell],
        ]
    }

    fn decode_maps(
        &mut self,
        maps: &Maps<'_>,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        activate(maps.scores, self.sigmoid, &mut self.scores);
        let mut best = None;
        let mut best_response = f32::NEG_INFINITY;
        for (cell, (&score, &hann)) in self.scores.iter().zip(&self.hann).enumerate() {
            let response = if prefer_center { hann * score } else { score };
            let usable = self
                .shares(maps, cell)
                .iter()
                .all(|share| share.is_finite());
            // False for a response that is NaN.
            if response > best_response && usable {
                (best, best_response) = (Some(cell), response);
            }
        }
        let cell = best?;
        let (scale, _) = region.scale;
        let pose = pytracking::placed(&self.pose, self.shares(maps, cell), self.size, scale);
        let Pose { width, height, .. } = pose;
        let (target_width, target_height) = (self.pose.width, self.pose.height);
        let cells_per_pixel = scale * self.side as f64 / self.size;
        let extent = (
            target_width * cells_per_pixel,
            target_height * cells_per_pixel,
        );
        let mut evidence = Evidence::of_peak(&self.scores, self.side, cell, extent, |cell| {
            let [x, y, width, height] = self.shares(maps, cell).map(f64::from);
            [
                x - 0.5 * width,
                y - 0.5 * height,
                x + 0.5 * width,
                y + 0.5 * height,
            ]
        });
        let size_change =
            change(padded_side(width, height) / padded_side(target_width, target_height));
        let aspect_change = change(target_width / target_height / (width / height));
        evidence.change = (size_change * aspect_change).ln() as f32;
        evidence.displacement = self.pose.displacement_of(&pose);
        Some(Candidate {
            pose,
            cell: Some(cell),
            rate: 1.0,
            evidence,
            most_growth: f64::INFINITY,
        })
    }
}

impl Loop for CentreHead {
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

    /// The box that the networks of LiteTrack and SUTrack take, computed in `f32`. Their authors put the centre at `(size - 1) / 2`,
    /// half a pixel left of and above the image's.
    fn template_box(&self, size: usize) -> [f32; 4] {
        let window = pytracking::window(&self.pose, self.factors.template);
        let size = size as f32;
        let scale = (f64::from(size) / f64::from(window.side)) as f32;
        let side = |length: f64| length as f32 * scale;
        let (width, height) = (side(self.pose.width), side(self.pose.height));
        let first = |length: f32| ((size - 1.0) / 2.0 - 0.5 * length) / size;
        let (left, top) = (first(width), first(height));
        [left, top, left + width / size, top + height / size]
    }

    fn search(&self, scale: f64) -> SearchRegion {
        let window = pytracking::window(&self.pose, self.factors.search * scale);
        SearchRegion::even(window, self.size / f64::from(window.side))
    }

    fn decode(
        &mut self,
        network: &Network,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        let maps = Maps {
            scores: network.output(0),
            sizes: network.output(1),
            offsets: network.output(2),
        };
        self.decode_maps(&maps, region, prefer_center)
    }

    /// Takes the candidate's box, with at least the margin inside the image.
    fn follow(&mut self, candidate: &Candidate) {
        self.pose = pytracking::clipped(candidate.pose.bounding_box(), self.image).into();
        if let Some(refresh) = &mut self.refresh {
            // SUTrack's authors take the score that the window has lowered.
            let hann = candidate.cell.map_or(1.0, |cell| self.hann[cell]);
            refresh.follow(hann * candidate.evidence.score);
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

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn map_side(&self) -> usize {
        self.side
    }

    /// The cells share the search image evenly.
    fn map_place(&self) -> (f64, f64) {
        let step = self.size / self.side.max(1) as f64;
        (0.5 * (step - self.size), step)
    }
}

#[cfg(test)]
mod tests {
    use super::{CentreHead, Factors, Loop, Maps, SearchRegion};
    use crate::crop::{SearchWindow, View};
    use crate::geometry::BoundingBox;
    use ndarray::{Array1, Array2, Array3};
    use ndarray_npy::NpzReader;

    const FACTORS: Factors = Factors {
        template: 2.0,
        search: 4.0,
    };

    fn side_of(view: View) -> u32 {
        view.enclosing().side
    }

    fn new_loop(target: BoundingBox) -> CentreHead {
        let mut state = CentreHead::new(FACTORS, false, 256, 16);
        state.initialize((320, 240), target);
        state
    }

    #[test]
    fn decoding_equals_the_authors_on_their_network_outputs() {
        for name in ["smat", "compresstracker"] {
            let path = ettrack_testing::data(&format!("family/{name}.npz"));
            let file = std::fs::File::open(path).expect("the fixture is part of the repository");
            let mut npz = NpzReader::new(file).expect("an npz file");
            let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
            let cells: Array1<i64> = npz.by_name("argmax").expect("cells");
            let scores: Array1<f64> = npz.by_name("score_raw").expect("scores");
            for frame in [1, 14, 29] {
                let [score, size, offset] = ["score", "size", "offset"].map(|map| {
                    npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::Ix3>(&format!("{map}_{frame}"))
                        .expect("a map")
                });
                let maps = Maps {
                    scores: score.as_slice().expect("standard layout"),
                    sizes: size.as_slice().expect("standard layout"),
                    offsets: offset.as_slice().expect("standard layout"),
                };
                let before = boxes.row(frame - 1);
                let mut state =
                    new_loop(BoundingBox::new(before[0], before[1], before[2], before[3]));
                let search = state.search(1.0);
                let candidate = state
                    .decode_maps(&maps, &search, true)
                    .expect("a candidate");
                assert_eq!(candidate.cell, usize::try_from(cells[frame]).ok());
                assert!((f64::from(candidate.evidence.score) - scores[frame]).abs() < 1e-6);
                state.follow(&candidate);
                let found = CentreHead::reported(state.pose());
                for (ours, theirs) in [found.x, found.y, found.width, found.height]
                    .iter()
                    .zip(boxes.row(frame))
                {
                    assert!((ours - theirs).abs() < 1e-9, "{name} {frame}: {found}");
                }
            }
        }
    }

    /// Maps with the same size and no offset in every cell, and one peak.
    fn one_peak(cell: usize, share: f32) -> (Array3<f32>, Array3<f32>, Array3<f32>) {
        let mut scores = Array3::from_elem((1, 16, 16), 0.01);
        scores[[0, cell / 16, cell % 16]] = 0.9;
        (
            scores,
            Array3::from_elem((2, 16, 16), share),
            Array3::zeros((2, 16, 16)),
        )
    }

    #[test]
    fn gives_the_targets_box_in_the_template_as_litetrack_does() {
        let state = new_loop(BoundingBox::new(165.0, 124.0, 43.0, 35.0));
        // What LiteTrack's own code gives its network for this target.
        let theirs = [0.220_452_72, 0.271_734_78, 0.771_734_8, 0.720_452_7];
        for (ours, theirs) in state.template_box(128).iter().zip(theirs) {
            assert!((ours - theirs).abs() < 1e-6, "{ours} against {theirs}");
        }
    }

    #[test]
    fn boxes_stay_in_the_image_by_the_margin() {
        let mut state = new_loop(BoundingBox::new(300.0, 2.0, 30.0, 20.0));
        let (scores, sizes, offsets) = one_peak(0xff, 0.9);
        let maps = Maps {
            scores: scores.as_slice().expect("standard layout"),
            sizes: sizes.as_slice().expect("standard layout"),
            offsets: offsets.as_slice().expect("standard layout"),
        };
        for _ in 0..5 {
            let search = state.search(1.0);
            let candidate = state
                .decode_maps(&maps, &search, true)
                .expect("a candidate");
            state.follow(&candidate);
            let found = CentreHead::reported(state.pose());
            assert!(found.x >= 0.0 && found.x <= 310.0 && found.right() <= 320.0 + 1e-9);
            assert!(found.width >= 10.0 && found.height >= 10.0, "{found}");
        }
    }

    #[test]
    fn a_wider_region_gives_the_same_box_for_the_same_target() {
        let state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 40.0));
        let (near, wide) = (state.search(1.0), state.search(2.0));
        assert_eq!(side_of(near.view) * 2, side_of(wide.view));
        let mut found = Vec::new();
        for (search, share) in [(near, 0.25), (wide, 0.125)] {
            let mut state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 40.0));
            let (scores, sizes, offsets) = one_peak(8 * 16 + 8, share);
            let maps = Maps {
                scores: scores.as_slice().expect("standard layout"),
                sizes: sizes.as_slice().expect("standard layout"),
                offsets: offsets.as_slice().expect("standard layout"),
            };
            let candidate = state.decode_maps(&maps, &search, true);
            found.push(candidate.expect("a candidate").pose);
        }
        assert!((found[0].center.0 - found[1].center.0).abs() < 1e-4);
        assert!((found[0].width - 40.0).abs() < 1e-3 && (found[1].width - 40.0).abs() < 1e-3);
    }

    #[test]
    fn cells_with_nan_or_infinity_are_not_chosen() {
        let mut state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 40.0));
        let window = SearchWindow {
            x: 0,
            y: 0,
            side: 160,
        };
        let search = SearchRegion::even(window, 1.6);
        let nothing = vec![f32::NAN; 512];
        let maps = Maps {
            scores: &nothing[..256],
            sizes: &nothing,
            offsets: &nothing,
        };
        assert_eq!(state.decode_maps(&maps, &search, true), None);
        let (scores, mut sizes, offsets) = one_peak(40, 0.25);
        sizes[[0, 40 / 16, 40 % 16]] = f32::INFINITY;
        let maps = Maps {
            scores: scores.as_slice().expect("standard layout"),
            sizes: sizes.as_slice().expect("standard layout"),
            offsets: offsets.as_slice().expect("standard layout"),
        };
        let candidate = state
            .decode_maps(&maps, &search, true)
            .expect("a candidate");
        assert!(candidate.cell.is_some_and(|cell| cell != 40));
        state.follow(&candidate);
        assert!(CentreHead::reported(state.pose()).is_valid());
    }
}
