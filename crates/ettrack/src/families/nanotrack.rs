//! The tracking loop of NanoTrack (HonglinChu/SiamTrackers), which is that of SiamBAN in pysot. The network returns a grid of
//! scores, each with the distances to the box's four sides.
//!
//! It differs from the loop of `anchor_free` in details of the authors' code: the centre of a new target lies half a pixel
//! further up and left, search regions are rounded once, and the learning rate is applied once.

use super::choice::{Choice, LEARNING_RATE, PENALTY_K, WINDOW_INFLUENCE, hann};
use super::siamese::{self, Parameters};
use super::{Constant, Engine, Key, Loop, SearchRegion, activate};
use crate::crop::{Padding, SearchWindow, View};
use crate::follower::{Candidate, Evidence, Follower, Pose};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::network::WantedOutput;
use crate::model::{
    Constants, Manifest, ModelError, ModelFolder, Network, NetworkOptions, Refusal,
};

/// The smallest side of a box in the authors' code, pixels.
const SMALLEST_SIDE: f64 = 10.0;

/// The family `nanotrack`.
pub(super) struct Family;

static KEYS: [Key; 5] = [
    Key::needed("template.context"),
    Key::needed("search.exemplar_size"),
    Key::optional("search.cells"),
    Key::needed("outputs.score"),
    Key::needed("outputs.boxes"),
];

static CONSTANTS: [Constant; 3] = [WINDOW_INFLUENCE, PENALTY_K, LEARNING_RATE];

impl super::Family for Family {
    fn name(&self) -> &'static str {
        "nanotrack"
    }

    fn trackers(&self) -> &'static str {
        "NanoTrack"
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn constants(&self) -> &'static [Constant] {
        &CONSTANTS
    }

    fn map_side(&self, manifest: &Manifest, search_size: usize) -> Option<usize> {
        Some(map_side(manifest, search_size))
    }

    /// Distances to the left, upper, right and lower side, search pixels.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal> {
        let side = map_side(manifest, search_size) as i64;
        siamese::outputs(
            self,
            manifest,
            [vec![1, 1, side, side], vec![1, 4, side, side]],
        )
    }

    fn open(
        &self,
        model: &ModelFolder,
        constants: &Constants,
        options: &NetworkOptions,
    ) -> Result<Box<dyn Follower>, ModelError> {
        let manifest = &model.manifest;
        let parameters = Parameters::of(self, manifest, constants)
            .map_err(|refusal| refusal.in_manifest(model.manifest_path()))?;
        let engine = Engine::open(self, model, options, |size| {
            NanoTrack::new(parameters, size, map_side(manifest, size))
        })?;
        Ok(Box::new(engine))
    }
}

/// Returns the cells per side from the manifest, or else side over stride, rounded half to even as in the authors' scripts.
fn map_side(manifest: &Manifest, search_size: usize) -> usize {
    let search = &manifest.search;
    let usual = || (search_size as f64 / search.stride as f64).round_ties_even() as usize;
    search.cells.unwrap_or_else(usual)
}

/// The loop at one search size.
#[derive(Debug)]
struct NanoTrack {
    parameters: Parameters,
    /// Side of the search region, search pixels.
    size: f64,
    /// Number of cells per side of the score map.
    side: usize,
    /// Cosine window, row-major.
    cosine: Vec<f64>,
    /// Scores of the last search, 0..=1.
    scores: Vec<f32>,
    /// Width and height of the frame, pixels.
    image: (f64, f64),
    pose: Pose,
}

impl NanoTrack {
    fn new(parameters: Parameters, size: usize, side: usize) -> Self {
        Self {
            parameters,
            size: size as f64,
            side,
            cosine: hann(side),
            scores: vec![0.0; side * side],
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        }
    }

    /// Returns the square of `side` pixels around the target. Its corner is rounded half up, as in the authors' code.
    fn window(&self, side: f64) -> SearchWindow {
        let side = side.round_ties_even() as u32;
        let half = (f64::from(side) + 1.0) / 2.0;
        let corner = |center: f64| (center - half + 0.5).floor();
        let (x, y) = self.pose.center;
        SearchWindow::from_corner((corner(x), corner(y)), side)
    }

    /// Returns the corners of a cell's box in search pixels, relative to the region's centre.
    fn corners(&self, distances: &[f32], cell: usize) -> [f64; 4] {
        let cells = self.side * self.side;
        let (first, step) = self.map_place();
        let place = |i: usize| first + i as f64 * step;
        let (x, y) = (place(cell % self.side), place(cell / self.side));
        let distance = |side: usize| f64::from(distances[side * cells + cell]);
        [
            x - distance(0),
            y - distance(1),
            x + distance(2),
            y + distance(3),
        ]
    }

    /// Chooses among the cells by score, change of size and aspect, and distance from the window's centre.
    fn decode_maps(
        &mut self,
        scores: &[f32],
        distances: &[f32],
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        let Parameters {
            penalty, sigmoid, ..
        } = self.parameters;
        activate(scores, sigmoid, &mut self.scores);
        let (scale, _) = region.scale;
        let (target_width, target_height) = (self.pose.width * scale, self.pose.height * scale);
        let choice = penalty.choose(
            &self.scores,
            &self.cosine,
            (target_width, target_height),
            |cell| {
                let [left, top, right, bottom] = self.corners(distances, cell);
                (right - left, bottom - top)
            },
            prefer_center,
        );
        let Choice {
            cell,
            penalty: factor,
            change,
        } = choice?;
        let [left, top, right, bottom] = self.corners(distances, cell);
        let (x, y) = self.pose.center;
        let pose = Pose {
            center: (
                x + (left + right) / 2.0 / scale,
                y + (top + bottom) / 2.0 / scale,
            ),
            width: (right - left) / scale,
            height: (bottom - top) / scale,
        };
        let extent = (
            target_width / self.parameters.stride,
            target_height / self.parameters.stride,
        );
        let mut evidence = Evidence::of_peak(&self.scores, self.side, cell, extent, |cell| {
            self.corners(distances, cell)
        });
        evidence.change = change.ln() as f32;
        evidence.displacement = self.pose.displacement_of(&pose);
        Some(Candidate {
            pose,
            cell: Some(cell),
            rate: factor * f64::from(self.scores[cell]) * penalty.learning_rate,
            evidence,
            most_growth: f64::INFINITY,
        })
    }
}

impl Loop for NanoTrack {
    fn padding(frame: &Frame<'_>) -> Padding {
        Padding::mean_of(frame)
    }

    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View {
        self.image = (f64::from(image.0), f64::from(image.1));
        let (x, y) = target.center();
        // pysot takes the centre of the pixel indices here, and the centre of the box in later frames.
        self.pose = Pose {
            center: (x - 0.5, y - 0.5),
            width: target.width,
            height: target.height,
        };
        self.window(self.parameters.context_side(&self.pose)).into()
    }

    fn search(&self, scale: f64) -> SearchRegion {
        let exemplar = self.parameters.exemplar;
        let side = self.parameters.context_side(&self.pose);
        let window = self.window(side * (self.size / exemplar) * scale);
        SearchRegion::even(window, exemplar / side / scale)
    }

    fn decode(
        &mut self,
        network: &Network,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        self.decode_maps(network.output(0), network.output(1), region, prefer_center)
    }

    /// Moves to the candidate and takes part of its size.
    fn follow(&mut self, candidate: &Candidate) {
        let Candidate {
            pose: seen, rate, ..
        } = *candidate;
        let smooth = |seen: f64, before: f64| before * (1.0 - rate) + seen * rate;
        let (x, y) = seen.center;
        let (width, height) = self.image;
        // Not clamp(10, width): an image may be smaller than the smallest side.
        let side = |value: f64, most: f64| value.min(most).max(SMALLEST_SIDE);
        self.pose = Pose {
            center: (x.min(width).max(0.0), y.min(height).max(0.0)),
            width: side(smooth(seen.width, self.pose.width), width),
            height: side(smooth(seen.height, self.pose.height), height),
        };
    }

    fn pose(&self) -> Pose {
        self.pose
    }

    fn place(&mut self, pose: Pose) {
        self.pose = pose;
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn map_side(&self) -> usize {
        self.side
    }

    /// Returns the place of the map. With an even number of cells, it lies half a cell left of and above the middle, as in the
    /// authors' code.
    fn map_place(&self) -> (f64, f64) {
        let stride = self.parameters.stride;
        (-((self.side / 2) as f64) * stride, stride)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::Penalty;
    use super::super::siamese::Parameters;
    use super::{Loop, NanoTrack, Pose, View};
    use crate::geometry::BoundingBox;
    use crate::model::manifest::WindowShape;

    fn new_loop(side: usize) -> NanoTrack {
        let parameters = Parameters {
            window: WindowShape::Square,
            context: 0.5,
            template: 127,
            exemplar: 127.0,
            stride: 16.0,
            penalty: Penalty {
                window_influence: 0.455,
                penalty_k: 0.138,
                learning_rate: 0.348,
            },
            kept_shape: 0.0,
            sigmoid: true,
        };
        NanoTrack::new(parameters, 255, side)
    }

    #[test]
    fn rounds_regions_as_the_authors_do() {
        // Context side sqrt(75 x 65) = 69.82 pixels. Centre (119.5, 94.5).
        let mut state = new_loop(16);
        let template = state.initialize((320, 240), BoundingBox::new(100.0, 80.0, 40.0, 30.0));
        let View::Pixels(window) = template else {
            panic!("{template:?} between pixels")
        };
        // 119.5 - 35.5 + 0.5 is 84.5, and 94.5 - 35.5 + 0.5 is 59.5: rounded down.
        assert_eq!((window.x, window.y, window.side), (84, 59, 70));
        let search = state.search(1.0);
        // 69.82 x 255 / 127 = 140.19.
        assert_eq!(search.view.enclosing().side, 140);
        assert!((search.scale.0 - 127.0 / (75.0_f64 * 65.0).sqrt()).abs() < 1e-12);
        let wide = state.search(2.0);
        assert_eq!(wide.view.enclosing().side, 280);
        assert!((wide.scale.0 * 2.0 - search.scale.0).abs() < 1e-12);
    }

    #[test]
    fn measures_a_box_from_the_regions_centre_and_applies_its_size_once() {
        // The ninth of 16 cells lies at the centre, and the eighth of 15 cells.
        for (side, middle) in [(16, 8), (15, 7)] {
            let cells = side * side;
            let mut state = new_loop(side);
            state.initialize((320, 240), BoundingBox::new(100.0, 80.0, 40.0, 30.0));
            let search = state.search(1.0);
            let (scale, _) = search.scale;
            let cell = (middle + 1) * side + middle - 1;
            let mut scores = vec![-9.0; cells];
            scores[cell] = 9.0;
            let mut distances = vec![1.0; 4 * cells];
            for (of_side, distance) in [20.0, 15.0, 20.0, 15.0].iter().enumerate() {
                distances[of_side * cells + cell] = distance * scale as f32;
            }
            let candidate = state
                .decode_maps(&scores, &distances, &search, true)
                .expect("a candidate");
            assert_eq!(candidate.cell, Some(cell));
            let (x, y) = candidate.pose.center;
            let step = 16.0 / scale;
            assert!((x - (119.5 - step)).abs() < 1e-4 && (y - (94.5 + step)).abs() < 1e-4);
            assert!((candidate.pose.width - 40.0).abs() < 1e-4);
            // The size has not changed, so there is no penalty, and the rate is the score times the constant.
            let score = 1.0 / (1.0 + (-9.0_f64).exp());
            assert!((candidate.rate - 0.348 * score).abs() < 1e-4);
            let mut wider = candidate;
            wider.pose.width = 60.0;
            wider.rate = 0.25;
            state.follow(&wider);
            assert!((state.pose().width - 45.0).abs() < 1e-9);
        }
    }

    #[test]
    fn keeps_boxes_in_the_image_and_at_least_ten_pixels_large() {
        let mut state = new_loop(16);
        state.initialize((320, 240), BoundingBox::new(300.0, 220.0, 12.0, 12.0));
        let search = state.search(1.0);
        let mut candidate = state
            .decode_maps(&[0.0; 256], &[8.0; 1024], &search, true)
            .expect("a candidate");
        candidate.pose = Pose {
            center: (400.0, -7.0),
            width: 2.0,
            height: 900.0,
        };
        candidate.rate = 1.0;
        state.follow(&candidate);
        let pose = state.pose();
        assert_eq!(pose.center, (320.0, 0.0));
        assert_eq!((pose.width, pose.height), (10.0, 240.0));
    }

    #[test]
    fn returns_no_candidate_for_nan_scores_or_boxes_without_area() {
        let mut state = new_loop(16);
        state.initialize((320, 240), BoundingBox::new(100.0, 80.0, 40.0, 30.0));
        let search = state.search(1.0);
        let nothing = state.decode_maps(&[f32::NAN; 256], &[8.0; 1024], &search, true);
        assert!(nothing.is_none());
        let without_area = state.decode_maps(&[1.0; 256], &[0.0; 1024], &search, true);
        assert!(without_area.is_none());
    }
}
