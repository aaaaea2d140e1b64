//! The loop of SparseTT (Fu et al., IJCAI 2022), which is that of SiamFC++: boxes in search pixels, a penalty on changes
//! of size and aspect, a cosine window, crops between pixels.
//!
//! Coordinates are those of pixel centres, so the centre of a box `x..x + width` lies at `x + (width - 1) / 2`. Numbers
//! are `f32` where the authors' code has `f32`.

use super::choice::{Choice, LEARNING_RATE, PENALTY_K, WINDOW_INFLUENCE, hann};
use super::siamese::{self, Parameters};
use super::{Constant, Engine, Key, Loop, SearchRegion, activate};
use crate::crop::{Padding, SubPixelWindow, View};
use crate::follower::{Candidate, Evidence, Follower, Pose};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::network::WantedOutput;
use crate::model::{
    Constants, Manifest, ModelError, ModelFolder, Network, NetworkOptions, Refusal,
};

/// The smallest side of a box in the authors' code, pixels.
const SMALLEST_SIDE: f64 = 10.0;

/// The family `siamfcpp`.
pub(super) struct Family;

static KEYS: [Key; 4] = [
    Key::needed("template.context"),
    Key::needed("search.exemplar_size"),
    Key::needed("outputs.score"),
    Key::needed("outputs.boxes"),
];

static CONSTANTS: [Constant; 3] = [WINDOW_INFLUENCE, PENALTY_K, LEARNING_RATE];

impl super::Family for Family {
    fn name(&self) -> &'static str {
        "siamfcpp"
    }

    fn trackers(&self) -> &'static str {
        "SparseTT"
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

    /// The boxes are left, top, right and bottom, search pixels.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal> {
        let cells = (map_side(manifest, search_size) as i64).pow(2);
        siamese::outputs(self, manifest, [vec![1, cells, 1], vec![1, cells, 4]])
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
            SiamFcpp::new(parameters, size, map_side(manifest, size))
        })?;
        Ok(Box::new(engine))
    }
}

/// With cell centres on both edges of the search image, as SiamFC++ pads.
fn map_side(manifest: &Manifest, search_size: usize) -> usize {
    search_size.saturating_sub(1) / manifest.search.stride + 1
}

/// The loop at one search size.
#[derive(Debug)]
struct SiamFcpp {
    parameters: Parameters,
    /// Search pixels a side.
    size: usize,
    /// Cells a side.
    side: usize,
    /// Cosine window, row-major.
    cosine: Vec<f64>,
    /// Scores of the last look, 0..=1.
    scores: Vec<f32>,
    /// Frame size, pixels.
    image: (f64, f64),
    /// Centre in pixel indices, and size.
    pose: Pose,
}

/// Corners of a cell's box in search pixels.
fn corners(boxes: &[f32], cell: usize) -> [f32; 4] {
    let [left, top, right, bottom] = boxes[4 * cell..][..4] else {
        unreachable!("a slice of four")
    };
    [left, top, right, bottom]
}

/// Width and height of a box by its corners; both corner pixels belong to it.
fn extent([left, top, right, bottom]: [f32; 4]) -> (f64, f64) {
    (f64::from(right - left + 1.0), f64::from(bottom - top + 1.0))
}

impl SiamFcpp {
    fn new(parameters: Parameters, size: usize, side: usize) -> Self {
        Self {
            parameters,
            size,
            side,
            cosine: hann(side),
            scores: vec![0.0; side * side],
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        }
    }

    fn decode_maps(
        &mut self,
        scores: &[f32],
        boxes: &[f32],
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate> {
        let Parameters {
            penalty,
            sigmoid,
            stride,
            ..
        } = self.parameters;
        activate(scores, sigmoid, &mut self.scores);
        let (scale, _) = region.scale;
        let target = (self.pose.width * scale, self.pose.height * scale);
        let choice = penalty.choose(
            &self.scores,
            &self.cosine,
            target,
            |cell| extent(corners(boxes, cell)),
            prefer_center,
        );
        let Choice {
            cell,
            penalty: factor,
            change,
        } = choice?;
        let found = corners(boxes, cell);
        let [left, top, right, bottom] = found;
        let (width, height) = extent(found);
        let image = |value: f32| f64::from(value / scale as f32);
        let half = (self.size / 2) as f64 / scale;
        let (x, y) = self.pose.center;
        let pose = Pose {
            center: (
                image((left + right) / 2.0) + x - half,
                image((top + bottom) / 2.0) + y - half,
            ),
            width: image(width as f32),
            height: image(height as f32),
        };
        let cells = (target.0 / stride, target.1 / stride);
        let mut evidence = Evidence::of_peak(&self.scores, self.side, cell, cells, |cell| {
            corners(boxes, cell).map(f64::from)
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

impl Loop for SiamFcpp {
    fn padding(frame: &Frame<'_>) -> Padding {
        Padding::mean_of(frame)
    }

    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View {
        self.image = (f64::from(image.0), f64::from(image.1));
        let single = |value: f64| f64::from(value as f32);
        let center = |first: f64, length: f64| single(first + (length - 1.0) / 2.0);
        self.pose = Pose {
            center: (
                center(target.x, target.width),
                center(target.y, target.height),
            ),
            width: single(target.width),
            height: single(target.height),
        };
        let side = self.parameters.context_side(&self.pose).round_ties_even() as u32;
        SubPixelWindow::centered(self.pose.center, side).into()
    }

    fn search(&self, widening: f64) -> SearchRegion {
        let scale = self.parameters.exemplar / self.parameters.context_side(&self.pose) / widening;
        let side = (self.size as f64 / scale).round_ties_even() as u32;
        SearchRegion::even(SubPixelWindow::centered(self.pose.center, side), scale)
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
        let (width, height) = self.image;
        let smooth = |seen: f64, before: f64| before * (1.0 - rate) + seen * rate;
        // Not clamp(10, width): an image may be smaller than the smallest side.
        let side = |value: f64, most: f64| value.min(most).max(SMALLEST_SIDE);
        self.pose = Pose {
            center: (
                seen.center.0.min(width).max(0.0),
                seen.center.1.min(height).max(0.0),
            ),
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

    fn reported(pose: Pose) -> BoundingBox {
        let Pose {
            center: (x, y),
            width,
            height,
        } = pose;
        BoundingBox::new(
            x - (width - 1.0) / 2.0,
            y - (height - 1.0) / 2.0,
            width,
            height,
        )
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn map_side(&self) -> usize {
        self.side
    }

    /// Cell centres lie on both edges of the search image.
    fn map_place(&self) -> (f64, f64) {
        let stride = self.parameters.stride;
        (-0.5 * self.side.saturating_sub(1) as f64 * stride, stride)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::Penalty;
    use super::{Loop, Parameters, Pose, SiamFcpp};
    use crate::crop::View;
    use crate::geometry::BoundingBox;
    use crate::model::manifest::WindowShape;
    use ndarray::{Array1, Array2};
    use ndarray_npy::NpzReader;

    /// The authors' constants for GOT-10k.
    const PARAMETERS: Parameters = Parameters {
        window: WindowShape::Square,
        context: 0.5,
        template: 127,
        exemplar: 127.0,
        stride: 16.0,
        penalty: Penalty {
            window_influence: 0.21,
            penalty_k: 0.04,
            learning_rate: 0.95,
        },
        kept_shape: 0.0,
        sigmoid: false,
    };

    fn new_loop(target: BoundingBox) -> SiamFcpp {
        let mut state = SiamFcpp::new(PARAMETERS, 289, 19);
        state.initialize((320, 240), target);
        state
    }

    #[test]
    fn decoding_equals_the_authors_on_their_network_outputs() {
        let path = ettrack_testing::data("family/sparsett.npz");
        let file = std::fs::File::open(path).expect("the fixture is part of the repository");
        let mut npz = NpzReader::new(file).expect("an npz file");
        let target: Array1<f64> = npz.by_name("init").expect("box");
        let poses: Array2<f64> = npz.by_name("state_cxcywh").expect("poses");
        let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
        let cells: Array1<i64> = npz.by_name("argmax").expect("cells");
        let [scales, rates, scores] = ["scale_x", "lr", "score_raw"].map(|name| {
            npz.by_name::<ndarray::OwnedRepr<f64>, ndarray::Ix1>(name)
                .expect("numbers")
        });
        let mut state = new_loop(BoundingBox::new(target[0], target[1], target[2], target[3]));
        for (ours, theirs) in [
            (state.pose().center.0, poses[[0, 0]]),
            (state.pose().center.1, poses[[0, 1]]),
            (state.pose().width, poses[[0, 2]]),
        ] {
            assert_eq!(ours, theirs);
        }
        for frame in [1, 14, 29] {
            let score: Array2<f32> = one_row(&mut npz, &format!("score_{frame}"));
            let found: Array2<f32> = npz.by_name(&format!("box_{frame}")).expect("boxes");
            let before = poses.row(frame - 1);
            state.place(Pose {
                center: (before[0], before[1]),
                width: before[2],
                height: before[3],
            });
            let search = state.search(1.0);
            assert!((search.scale.0 - scales[frame]).abs() < 1e-12);
            let candidate = state
                .decode_maps(
                    score.as_slice().expect("standard layout"),
                    found.as_slice().expect("standard layout"),
                    &search,
                    true,
                )
                .expect("a candidate");
            assert_eq!(candidate.cell, usize::try_from(cells[frame]).ok());
            assert!(
                (candidate.rate - rates[frame]).abs() < 1e-6,
                "{frame}: rate"
            );
            assert!((f64::from(candidate.evidence.score) - scores[frame]).abs() < 1e-6);
            state.follow(&candidate);
            let found = SiamFcpp::reported(state.pose());
            for (ours, theirs) in [found.x, found.y, found.width, found.height]
                .iter()
                .zip(boxes.row(frame))
            {
                assert!((ours - theirs).abs() < 1e-4, "{frame}: {found} {theirs}");
            }
        }
    }

    fn one_row(npz: &mut NpzReader<std::fs::File>, name: &str) -> Array2<f32> {
        let numbers: Array1<f32> = npz.by_name(name).expect("numbers");
        numbers.insert_axis(ndarray::Axis(0))
    }

    #[test]
    fn a_wider_region_has_a_smaller_scale() {
        let state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 30.0));
        let (near, wide) = (state.search(1.0), state.search(2.0));
        assert!((near.scale.0 / wide.scale.0 - 2.0).abs() < 1e-12);
        let side = |view: View| match view {
            View::SubPixel(window) => f64::from(window.last.0 - window.first.0) + 1.0,
            View::Pixels(window) => panic!("{window:?} of whole pixels"),
        };
        assert!((side(wide.view) / side(near.view) - 2.0).abs() < 0.02);
    }

    #[test]
    fn boxes_without_area_and_nan_are_not_chosen() {
        let mut state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 30.0));
        let search = state.search(1.0);
        let candidate = state.decode_maps(&[f32::NAN; 361], &[1.0; 4 * 361], &search, true);
        assert_eq!(candidate, None);
        // The right edge is one pixel left of the left edge: the box is 0 pixels wide.
        let boxes: Vec<f32> = (0..4 * 361)
            .map(|i| if i % 4 < 2 { 1.0 } else { 0.0 })
            .collect();
        let candidate = state.decode_maps(&[0.5; 361], &boxes, &search, true);
        assert_eq!(candidate, None);
    }
}
