//! The loop of E.T.Track (Blatter et al., "Efficient Visual Tracking with Exemplar Transformers", WACV 2023) and
//! LightTrack (Yan et al., CVPR 2021): a grid of scores, each with the distances to the box's four sides.
//!
//! Formulas, constants and roundings are those of the authors' code, in its precision: scores in `f32`, all else in
//! `f64`. Where that code would go on with a NaN, the cell is not chosen here.

use super::choice::{Choice, LEARNING_RATE, PENALTY_K, WINDOW_INFLUENCE, hann};
use super::classifier::Place;
use super::lookalikes::{CLASSIFIER_WEIGHT, LOOKALIKE_ABOVE, LOOKALIKE_GROWTH, Lookalikes};
use super::siamese::{self, Parameters};
use super::{Condition, Constant, Engine, Key, Loop, SearchRegion, activate};
use crate::crop::{Padding, SearchWindow, SubPixelWindow, View};
use crate::follower::{Candidate, Evidence, Follower, Pose, Track};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::WindowShape;
use crate::model::network::WantedOutput;
use crate::model::{
    Constants, Manifest, ModelError, ModelFolder, Network, NetworkOptions, Refusal,
};

/// The smallest side of a box in the authors' code, pixels.
const SMALLEST_SIDE: f64 = 10.0;

/// Which of the network's outputs the features are, if the manifest names them.
const FEATURES: usize = 2;

/// The family `anchor_free`.
pub(super) struct Family;

static KEYS: [Key; 6] = [
    Key::needed("template.context"),
    Key::optional("template.window"),
    Key::needed("search.exemplar_size"),
    Key::needed("outputs.score"),
    Key::needed("outputs.boxes"),
    Key::optional("outputs.features"),
];

static CONSTANTS: [Constant; 7] = [
    WINDOW_INFLUENCE,
    PENALTY_K,
    LEARNING_RATE,
    Constant::optional(
        "kept_shape",
        0.0..=1.0,
        Some(Condition {
            words: "`template.window: box`",
            holds: |manifest| manifest.template.window == WindowShape::Box,
        }),
        "the first box's share in the shape of search regions; 0 where not given",
    ),
    CLASSIFIER_WEIGHT,
    LOOKALIKE_ABOVE,
    LOOKALIKE_GROWTH,
];

impl super::Family for Family {
    fn name(&self) -> &'static str {
        "anchor_free"
    }

    fn trackers(&self) -> &'static str {
        "E.T.Track, LightTrack"
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

    /// The distances are those to the left, upper, right and lower side, search pixels.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal> {
        let side = map_side(manifest, search_size) as i64;
        let mut outputs = siamese::outputs(
            self,
            manifest,
            [vec![1, 1, side, side], vec![1, 4, side, side]],
        )?;
        if let Some(features) = &manifest.outputs.features {
            outputs.push(WantedOutput {
                name: &features.name,
                shape: vec![1, features.channels as i64, side, side],
            });
        }
        Ok(outputs)
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
            let side = map_side(manifest, size);
            let lookalikes = Lookalikes::of(manifest, constants, side);
            AnchorFree::new(parameters, size, side, lookalikes)
        })?;
        Ok(Box::new(engine))
    }
}

/// Half to even, as the authors' scripts round.
fn map_side(manifest: &Manifest, search_size: usize) -> usize {
    (search_size as f64 / manifest.search.stride as f64).round_ties_even() as usize
}

/// The loop at one search size.
#[derive(Debug)]
struct AnchorFree {
    parameters: Parameters,
    /// Search pixels a side.
    size: f64,
    /// Cells a side.
    side: usize,
    /// Cosine window, row-major.
    cosine: Vec<f64>,
    /// Scores of the last look, 0..=1.
    scores: Vec<f32>,
    /// Frame size, pixels.
    image: (f64, f64),
    /// Width over height of the first box.
    first_aspect: f64,
    /// Centre and size of the target; may reach out of the image.
    pose: Pose,
    /// What is done about similar objects, if the manifest asks for it.
    lookalikes: Option<Lookalikes>,
    /// From where the last look was made, and its search pixels per frame pixel along x and y.
    looked: (Pose, (f64, f64)),
}

impl AnchorFree {
    fn new(
        parameters: Parameters,
        size: usize,
        side: usize,
        lookalikes: Option<Lookalikes>,
    ) -> Self {
        let pose = BoundingBox::new(0.0, 0.0, 1.0, 1.0).into();
        Self {
            parameters,
            size: size as f64,
            side,
            cosine: hann(side),
            scores: vec![0.0; side * side],
            image: (1.0, 1.0),
            first_aspect: 1.0,
            pose,
            lookalikes,
            looked: (pose, (1.0, 1.0)),
        }
    }

    /// Corners of a cell's box in search pixels.
    fn corners(&self, distances: &[f32], cell: usize) -> [f64; 4] {
        let cells = self.side * self.side;
        let place = |i: usize| {
            let (first, step) = self.map_place();
            i as f64 * step + first + (self.size / 2.0).floor()
        };
        let (x, y) = (place(cell % self.side), place(cell / self.side));
        let distance = |side: usize| f64::from(distances[side * cells + cell]);
        [
            x - distance(0),
            y - distance(1),
            x + distance(2),
            y + distance(3),
        ]
    }

    /// The region to search for a target at `pose`.
    fn search_around(&self, pose: Pose, widening: f64) -> SearchRegion {
        match self.parameters.window {
            WindowShape::Square => self.square_search(pose, widening),
            WindowShape::Box => self.box_search(pose, widening),
        }
    }

    /// The cells that a target at `pose` has in a look that was made from another pose.
    fn place_of(&self, pose: Pose, (from, (along_x, along_y)): (Pose, (f64, f64))) -> Place {
        let (first, step) = self.map_place();
        let cell = |distance: f64, along: f64| (distance * along - first) / step;
        Place {
            center: (
                cell(pose.center.0 - from.center.0, along_x),
                cell(pose.center.1 - from.center.1, along_y),
            ),
            size: (pose.width * along_x / step, pose.height * along_y / step),
        }
    }

    /// The authors' region, a square of whole pixels. Like theirs, the scale is that before rounding.
    fn square_search(&self, pose: Pose, widening: f64) -> SearchRegion {
        let exemplar = self.parameters.exemplar;
        let side = self.parameters.context_side(&pose);
        let scale = exemplar / side;
        let margin = (self.size - exemplar) / 2.0 / scale;
        let window = SearchWindow::centered(
            pose.center,
            ((side + 2.0 * margin) * widening).round() as u32,
        );
        SearchRegion::even(window, scale / widening)
    }

    /// A region of the target's shape, between pixels. Part of the first box's shape is kept (in the logarithm, at the
    /// same area). Otherwise an error of the shape would grow: the network sees every target as a square, so it cannot
    /// see that the region has the wrong shape.
    fn box_search(&self, pose: Pose, widening: f64) -> SearchRegion {
        let Pose { width, height, .. } = pose;
        let turned = (self.first_aspect * height / width).powf(self.parameters.kept_shape / 2.0);
        let shape = Pose {
            width: width * turned,
            height: height / turned,
            ..pose
        };
        let times = widening * self.size / self.parameters.exemplar;
        let (width, height) = self.parameters.box_window(&shape);
        let span = (width * times, height * times);
        SearchRegion {
            view: SubPixelWindow::covering(pose.center, span, self.size as usize).into(),
            scale: (self.size / span.0, self.size / span.1),
        }
    }

    /// Chooses among the cells by score, change of size and aspect, and distance from the window's centre.
    fn decode_maps(
        &mut self,
        scores: &[f32],
        distances: &[f32],
        features: Option<&[f32]>,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        let Parameters {
            penalty, sigmoid, ..
        } = self.parameters;
        activate(scores, sigmoid, &mut self.scores);
        self.looked = (self.pose, region.scale);
        // Taken out, so that the closure may read the rest.
        let mut lookalikes = self.lookalikes.take();
        let choice_scores = match (&mut lookalikes, features) {
            (Some(lookalikes), Some(features)) => lookalikes.lowered(features, &self.scores),
            _ => &self.scores,
        };
        let (along_x, along_y) = region.scale;
        let (target_width, target_height) = (self.pose.width * along_x, self.pose.height * along_y);
        let choice = penalty.choose(
            choice_scores,
            &self.cosine,
            (target_width, target_height),
            |cell| {
                let [left, top, right, bottom] = self.corners(distances, cell);
                (right - left, bottom - top)
            },
            prefer_center,
        );
        let most_growth = match (&mut lookalikes, &choice) {
            (Some(lookalikes), Some(choice)) => lookalikes.chosen(choice.cell),
            _ => f64::INFINITY,
        };
        self.lookalikes = lookalikes;
        let Choice {
            cell,
            penalty: factor,
            change,
        } = choice?;
        let [left, top, right, bottom] = self.corners(distances, cell);
        let half = (self.size / 2.0).floor();
        let (dx, dy) = (
            ((left + right) / 2.0 - half) / along_x,
            ((top + bottom) / 2.0 - half) / along_y,
        );
        let (x, y) = self.pose.center;
        let pose = Pose {
            center: (x + dx, y + dy),
            width: (right - left) / along_x,
            height: (bottom - top) / along_y,
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
        let rate = factor * f64::from(self.scores[cell]) * penalty.learning_rate;
        Some(Candidate {
            pose,
            cell: Some(cell),
            rate,
            evidence,
            most_growth,
        })
    }
}

impl Loop for AnchorFree {
    fn padding(frame: &Frame<'_>) -> Padding {
        Padding::mean_of(frame)
    }

    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View {
        self.image = (f64::from(image.0), f64::from(image.1));
        self.pose = target.into();
        self.first_aspect = target.width / target.height;
        if let Some(lookalikes) = &mut self.lookalikes {
            lookalikes.restart();
        }
        let parameters = &self.parameters;
        match parameters.window {
            WindowShape::Square => {
                let side = parameters.context_side(&self.pose).round_ties_even() as u32;
                SearchWindow::centered(target.center(), side).into()
            }
            WindowShape::Box => {
                let span = parameters.box_window(&self.pose);
                SubPixelWindow::covering(target.center(), span, parameters.template).into()
            }
        }
    }

    fn search(&self, scale: f64) -> SearchRegion {
        self.search_around(self.pose, scale)
    }

    fn first_looks(&self) -> usize {
        match self.lookalikes {
            Some(_) => Lookalikes::first_looks(),
            None => 0,
        }
    }

    fn first_look(&self, index: usize) -> SearchRegion {
        self.search_around(Lookalikes::first_look(self.pose, index), 1.0)
    }

    fn learn_first(&mut self, index: usize, network: &Network) {
        let from = Lookalikes::first_look(self.pose, index);
        let target = self.place_of(self.pose, (from, self.search_around(from, 1.0).scale));
        if let Some(lookalikes) = &mut self.lookalikes {
            lookalikes.learn_first(index, network.output(FEATURES), target);
        }
    }

    fn learn(&mut self, track: &Track) {
        // A wider look shows the target smaller than the classifier knows it.
        let (from, scale) = self.looked;
        if self.search_around(from, 1.0).scale != scale {
            return;
        }
        let target = self.place_of(self.pose, self.looked);
        if let Some(lookalikes) = &mut self.lookalikes {
            lookalikes.learn(track, target);
        }
    }

    fn decode(
        &mut self,
        network: &Network,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        let features = self.lookalikes.is_some().then(|| network.output(FEATURES));
        let (scores, distances) = (network.output(0), network.output(1));
        self.decode_maps(scores, distances, features, region, prefer_center)
    }

    /// Moves to the candidate and takes part of its size. The rate enters twice, as in the authors' code.
    fn follow(&mut self, candidate: &Candidate) {
        let Candidate {
            pose: seen,
            rate,
            most_growth,
            ..
        } = *candidate;
        let smooth = |seen: f64, before: f64| {
            let mixed = seen * rate + (1.0 - rate) * before;
            before * (1.0 - rate) + rate * mixed
        };
        let (x, y) = seen.center;
        let (width, height) = self.image;
        // Not clamp(10, width): an image may be smaller than the smallest side.
        let side = |value: f64, most: f64| value.min(most).max(SMALLEST_SIDE);
        let pose = Pose {
            center: (x.min(width).max(0.0), y.min(height).max(0.0)),
            width: side(smooth(seen.width, self.pose.width), width),
            height: side(smooth(seen.height, self.pose.height), height),
        };
        self.pose = pose.grown_at_most(&self.pose, most_growth);
    }

    fn pose(&self) -> Pose {
        self.pose
    }

    fn place(&mut self, pose: Pose) {
        self.pose = pose;
    }

    /// With negative corners set to zero and the size unchanged: a box over the left or upper edge moves into the image.
    fn as_authors_write(bounding_box: BoundingBox) -> BoundingBox {
        BoundingBox {
            x: bounding_box.x.max(0.0),
            y: bounding_box.y.max(0.0),
            ..bounding_box
        }
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn map_side(&self) -> usize {
        self.side
    }

    /// Half a cell left of and above the middle if there is an even number of cells, as in the authors' code.
    fn map_place(&self) -> (f64, f64) {
        let stride = self.parameters.stride;
        (-((self.side / 2) as f64) * stride, stride)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::Penalty;
    use super::{AnchorFree, Loop, Parameters, Pose, View, WindowShape};
    use crate::crop::SearchWindow;
    use crate::geometry::BoundingBox;
    use ndarray::{Array1, Array2, Array4, Ix0, OwnedRepr};
    use ndarray_npy::NpzReader;

    type Npz = NpzReader<std::fs::File>;

    fn goldens() -> Npz {
        let path = ettrack_testing::data("ettrack/tracker.npz");
        NpzReader::new(std::fs::File::open(path).expect("the fixture is part of the repository"))
            .expect("an npz file")
    }

    fn scalar(npz: &mut Npz, name: &str) -> i64 {
        npz.by_name::<OwnedRepr<i64>, Ix0>(name)
            .expect(name)
            .into_scalar()
    }

    fn vector(npz: &mut Npz, name: &str) -> Vec<f64> {
        npz.by_name::<OwnedRepr<f64>, ndarray::Ix1>(name)
            .expect(name)
            .to_vec()
    }

    /// The authors' constants.
    fn parameters() -> Parameters {
        Parameters {
            window: WindowShape::Square,
            context: 0.5,
            template: 127,
            exemplar: 127.0,
            stride: 16.0,
            penalty: Penalty {
                window_influence: 0.225,
                penalty_k: 0.007,
                learning_rate: 0.616,
            },
            kept_shape: 0.0,
            sigmoid: true,
        }
    }

    fn pixels(view: View) -> SearchWindow {
        match view {
            View::Pixels(window) => window,
            View::SubPixel(window) => panic!("{window:?} between pixels"),
        }
    }

    fn new_loop(size: usize) -> AnchorFree {
        let mut state = AnchorFree::new(parameters(), size, size / 16, None);
        state.initialize((320, 240), BoundingBox::new(100.0, 80.0, 40.0, 30.0));
        state
    }

    /// Position and size before frame `k` (1-based), as the authors' tracker had them.
    fn pose_before(positions: &Array2<f64>, boxes: &Array2<f64>, k: usize) -> Pose {
        Pose {
            center: (positions[[k - 1, 0]], positions[[k - 1, 1]]),
            width: boxes[[k - 2, 2]],
            height: boxes[[k - 2, 3]],
        }
    }

    #[test]
    fn search_regions_equal_the_authors_on_every_frame() {
        let mut npz = goldens();
        for run in ["seq_a", "seq_b"] {
            let size = scalar(&mut npz, &format!("{run}_instance_size")) as usize;
            let positions: Array2<f64> =
                npz.by_name(&format!("{run}_crop_pos")).expect("positions");
            let boxes: Array2<f64> = npz.by_name(&format!("{run}_bbox")).expect("boxes");
            let sides = vector(&mut npz, &format!("{run}_crop_side"));
            let scales = vector(&mut npz, &format!("{run}_scale_z"));
            // Corners in an image that was padded above and to the left.
            let corners: Array2<i64> = npz
                .by_name(&format!("{run}_crop_xyxy_padded"))
                .expect("corners");
            let padding: Array2<i64> = npz
                .by_name(&format!("{run}_crop_pad_top_left"))
                .expect("padding");
            let mut state = new_loop(size);
            let init: Array1<f64> = npz.by_name(&format!("{run}_init_bbox")).expect("box");
            let template = state.initialize(
                (320, 240),
                BoundingBox::new(init[0], init[1], init[2], init[3]),
            );
            assert_eq!(f64::from(pixels(template).side), sides[0]);
            for frame in 2..=boxes.nrows() {
                state.pose = pose_before(&positions, &boxes, frame);
                let search = state.search(1.0);
                let row = frame - 1;
                assert_eq!(
                    f64::from(pixels(search.view).side),
                    sides[row],
                    "{run}, frame {frame}"
                );
                assert!(
                    (search.scale.0 - scales[row]).abs() < 1e-12,
                    "{run}, frame {frame}"
                );
                let expected = (
                    corners[[row, 0]] - padding[[row, 1]],
                    corners[[row, 1]] - padding[[row, 0]],
                );
                assert_eq!(
                    (pixels(search.view).x, pixels(search.view).y),
                    expected,
                    "{run}, frame {frame}"
                );
            }
        }
    }

    #[test]
    fn decoding_equals_the_authors_on_their_network_outputs() {
        let mut npz = goldens();
        for (run, frame) in [("seq_a", 2), ("seq_a", 15), ("seq_a", 30), ("seq_b", 2)] {
            let scores: Array4<f32> = npz.by_name(&format!("{run}_cls_f{frame}")).expect("scores");
            let distances: Array4<f32> = npz
                .by_name(&format!("{run}_reg_f{frame}"))
                .expect("distances");
            let positions: Array2<f64> =
                npz.by_name(&format!("{run}_crop_pos")).expect("positions");
            let boxes: Array2<f64> = npz.by_name(&format!("{run}_bbox")).expect("boxes");
            let argmax: Array1<i64> = npz.by_name(&format!("{run}_argmax")).expect("cells");
            let sides = [
                vector(&mut npz, &format!("{run}_score")),
                vector(&mut npz, &format!("{run}_lr")),
            ];
            let unclamped: Array2<f64> = npz
                .by_name(&format!("{run}_pos_unclamped"))
                .expect("positions");

            let mut state = new_loop(scores.dim().3 * 16);
            state.pose = pose_before(&positions, &boxes, frame);
            let search = state.search(1.0);
            let candidate = state
                .decode_maps(
                    scores.as_slice().expect("standard layout"),
                    distances.as_slice().expect("standard layout"),
                    None,
                    &search,
                    true,
                )
                .expect("a candidate");
            let row = frame - 1;
            assert_eq!(
                candidate.cell,
                usize::try_from(argmax[row]).ok(),
                "{run}, frame {frame}"
            );
            assert!(
                (f64::from(candidate.evidence.score) - sides[0][row]).abs() < 1e-6,
                "{run}, frame {frame}"
            );
            assert!(
                (candidate.rate - sides[1][row]).abs() < 1e-6,
                "{run}, frame {frame}"
            );
            let center = candidate.pose.center;
            assert!(
                (center.0 - unclamped[[row, 0]]).abs() < 1e-9
                    && (center.1 - unclamped[[row, 1]]).abs() < 1e-9
            );
            state.follow(&candidate);
            let found = state.pose.bounding_box();
            let expected = boxes.row(row);
            for (ours, theirs) in [
                found.x.max(0.0),
                found.y.max(0.0),
                found.width,
                found.height,
            ]
            .iter()
            .zip(expected)
            {
                assert!(
                    (ours - theirs).abs() < 1e-5,
                    "{run}, frame {frame}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_box_that_is_even_around_its_cell_has_the_cells_centre() {
        let mut state = new_loop(256);
        let cells = 16 * 16;
        let (first, step) = state.map_place();
        let search = state.search(1.0);
        let (x, y) = state.pose.center;
        for (column, row) in [(0, 0), (8, 8), (11, 6), (15, 15)] {
            let mut scores = vec![-9.0; cells];
            scores[row * 16 + column] = 5.0;
            let candidate = state
                .decode_maps(&scores, &vec![20.0; 4 * cells], None, &search, false)
                .expect("a candidate");
            assert_eq!(candidate.cell, Some(row * 16 + column));
            let place = |cell: usize| first + cell as f64 * step;
            let expected = (
                x + place(column) / search.scale.0,
                y + place(row) / search.scale.1,
            );
            let center = candidate.pose.center;
            assert!((center.0 - expected.0).abs() < 1e-9 && (center.1 - expected.1).abs() < 1e-9);
        }
    }

    #[test]
    fn a_wider_region_gives_the_same_box_for_the_same_target() {
        // The target is at the region's centre. In a region twice as wide its box is half as large in search pixels.
        let mut state = new_loop(256);
        let cells = 16 * 16;
        let center = 8 * 16 + 8;
        let mut scores = vec![-9.0; cells];
        scores[center] = 5.0;
        let mut found = Vec::new();
        for scale in [1.0, 2.0] {
            let mut distances = vec![20.0 / scale as f32; 4 * cells];
            distances[center] = 30.0 / scale as f32;
            let search = state.search(scale);
            let candidate = state
                .decode_maps(&scores, &distances, None, &search, true)
                .expect("a candidate");
            assert_eq!(candidate.cell, Some(center));
            found.push(candidate.pose);
        }
        let [near, wide] = found[..] else {
            panic!("two looks")
        };
        assert!(
            (near.center.0 - wide.center.0).abs() < 1e-6 && (near.width - wide.width).abs() < 1e-6
        );
        let ratio = f64::from(pixels(state.search(2.0).view).side)
            / f64::from(pixels(state.search(1.0).view).side);
        assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn regions_of_the_targets_shape_show_it_as_a_square() {
        let shaped = Parameters {
            window: WindowShape::Box,
            context: 0.75,
            ..parameters()
        };
        let target = BoundingBox::new(100.0, 40.0, 20.0, 120.0);
        let mut state = AnchorFree::new(shaped, 256, 16, None);
        let template = state.initialize((640, 480), target);
        // 2.5 times 20 x 120 around (110, 100), in 127 pixels a side; pixel indices are half a pixel less.
        let View::SubPixel(window) = template else {
            panic!("{template:?} on whole pixels")
        };
        let half = 126.0 / 127.0 / 2.0;
        for (end, expected) in [
            (window.first, (-50.0 * half, -300.0 * half)),
            (window.last, (50.0 * half, 300.0 * half)),
        ] {
            assert!((f64::from(end.0) - (109.5 + expected.0)).abs() < 1e-4);
            assert!((f64::from(end.1) - (99.5 + expected.1)).abs() < 1e-4);
        }
        // 2.5 sides of the target are 127 search pixels, as in the template.
        let side = 127.0 / 2.5;
        for scale in [1.0, 1.5] {
            let search = state.search(scale);
            let (along_x, along_y) = search.scale;
            assert!((along_x - side / 20.0 / scale).abs() < 1e-9);
            assert!((along_y - side / 120.0 / scale).abs() < 1e-9);
            // A box as large as the target, a cell to the right of it and two below.
            let cell = 10 * 16 + 9;
            let mut scores = vec![-9.0; 256];
            scores[cell] = 5.0;
            let mut distances = vec![1.0; 4 * 256];
            for of_side in distances.chunks_exact_mut(256) {
                of_side[cell] = (side / scale / 2.0) as f32;
            }
            let Pose {
                center,
                width,
                height,
            } = state
                .decode_maps(&scores, &distances, None, &search, true)
                .expect("a candidate")
                .pose;
            let expected = [110.0 + 16.0 / along_x, 100.0 + 32.0 / along_y, 20.0, 120.0];
            for (ours, expected) in [center.0, center.1, width, height].iter().zip(expected) {
                assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
            }
        }
    }

    #[test]
    fn a_kept_shape_pulls_regions_towards_the_first_box_and_leaves_boxes_unchanged() {
        let first = BoundingBox::new(100.0, 40.0, 20.0, 80.0);
        let grown = Pose {
            center: (200.0, 100.0),
            width: 60.0,
            height: 60.0,
        };
        for (kept_shape, width, height) in [
            (0.0, 60.0, 60.0),
            (0.5, 60.0 / 2.0_f64.sqrt(), 60.0 * 2.0_f64.sqrt()),
            (1.0, 30.0, 120.0),
        ] {
            let shaped = Parameters {
                window: WindowShape::Box,
                context: 0.75,
                kept_shape,
                ..parameters()
            };
            let mut state = AnchorFree::new(shaped, 256, 16, None);
            state.initialize((640, 480), first);
            state.place(grown);
            let search = state.search(1.0);
            let scale = |side: f64| 127.0 / 2.5 / side;
            assert!((search.scale.0 / scale(width) - 1.0).abs() < 1e-9);
            assert!((search.scale.1 / scale(height) - 1.0).abs() < 1e-9);
            // A box of the target's size in this window is one of that size in the frame.
            let mut scores = vec![-9.0; 256];
            scores[8 * 16 + 8] = 5.0;
            let mut distances = vec![30.0 * search.scale.0 as f32; 4 * 256];
            for of_side in [1, 3] {
                distances[of_side * 256..][..256].fill(30.0 * search.scale.1 as f32);
            }
            let found = state
                .decode_maps(&scores, &distances, None, &search, true)
                .expect("a candidate")
                .pose;
            assert!((found.width - 60.0).abs() < 1e-4 && (found.height - 60.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_target_over_an_edge_keeps_its_box_and_is_written_as_the_authors_write_it() {
        let mut state = new_loop(256);
        let center = (5.0, 120.0);
        state.place(Pose {
            center,
            width: 100.0,
            height: 60.0,
        });
        let found = AnchorFree::reported(state.pose());
        assert_eq!(found, BoundingBox::new(-45.0, 90.0, 100.0, 60.0));
        assert_eq!(found.center(), center);
        let written = AnchorFree::as_authors_write(found);
        assert_eq!(written, BoundingBox::new(0.0, 90.0, 100.0, 60.0));
    }

    #[test]
    fn boxes_without_area_and_nan_are_not_chosen() {
        let mut state = new_loop(256);
        let cells = 16 * 16;
        let search = state.search(1.0);
        // No box has an area: 0/0 in the aspect.
        let candidate = state.decode_maps(
            &vec![3.0; cells],
            &vec![0.0; 4 * cells],
            None,
            &search,
            true,
        );
        assert_eq!(candidate, None);
        // Nothing but NaN.
        let candidate = state.decode_maps(
            &vec![f32::NAN; cells],
            &vec![20.0; 4 * cells],
            None,
            &search,
            true,
        );
        assert_eq!(candidate, None);
        // One good cell among bad ones.
        let mut scores = vec![f32::NAN; cells];
        scores[40] = 1.0;
        let candidate = state.decode_maps(&scores, &vec![20.0; 4 * cells], None, &search, true);
        assert_eq!(candidate.and_then(|candidate| candidate.cell), Some(40));
        // A box without width: its penalty is 0, and what follows stays finite.
        let mut distances = vec![20.0; 4 * cells];
        distances[40] = -20.0;
        let candidate = state
            .decode_maps(&scores, &distances, None, &search, true)
            .expect("a candidate");
        state.follow(&candidate);
        let pose = state.pose.bounding_box();
        assert!(pose.is_valid() && candidate.rate == 0.0, "{pose}");
    }
}
