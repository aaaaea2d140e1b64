//! The loop of E.T.Track (Blatter et al., "Efficient Visual Tracking with Exemplar Transformers", WACV 2023) and
//! LightTrack (Yan et al., CVPR 2021): a grid of scores, each with the distances to the box's four sides.
//!
//! Formulas, constants and roundings are those of the authors' code, in its precision: scores in `f32`, all else in
//! `f64`. Where that code would carry a NaN on, the cell is passed over here.

use std::time::Instant;

use super::evidence::Evidence;
use super::{Follower, Gaze, Inspection, Pose, Sighting, StageTimings, TrackError};
use crate::crop::{Cropper, Normalization, Padding, SearchWindow};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::{Activation, Channels, Constants};
use crate::model::network::WantedOutput;
use crate::model::runtime::Runtime;
use crate::model::{ModelError, ModelFolder, Network, NetworkOptions};

/// The authors never let a side fall below this, pixels.
const SMALLEST_SIDE: f64 = 10.0;

/// Places of the outputs in the network.
const SCORES: usize = 0;
const BOXES: usize = 1;

/// A network of the family with its loop.
#[derive(Debug)]
pub(crate) struct AnchorFree {
    network: Network,
    normalization: Normalization,
    cropper: Cropper,
    template_size: usize,
    search_sizes: Vec<usize>,
    small_target_area: Option<f64>,
    loops: Vec<Loop>,
    /// Which of the search sizes this target uses.
    chosen: usize,
    padding: Padding,
    window: SearchWindow,
    best: Option<usize>,
    evidence: Evidence,
}

impl AnchorFree {
    pub fn open(
        folder: &ModelFolder,
        constants: Constants,
        options: &NetworkOptions,
    ) -> Result<Self, ModelError> {
        let manifest = &folder.manifest;
        let missing = |key: &str| ModelError::Value {
            path: folder.manifest_path(),
            key: key.to_owned(),
            got: "missing".to_owned(),
            expected: "a number, for this family".to_owned(),
        };
        let parameters = Parameters {
            context: manifest
                .template
                .context
                .ok_or_else(|| missing("template.context"))?,
            exemplar: manifest
                .search
                .exemplar_size
                .ok_or_else(|| missing("search.exemplar_size"))? as f64,
            window_influence: constants
                .window_influence
                .ok_or_else(|| missing("tracking.*.window_influence"))?,
            penalty_k: constants
                .penalty_k
                .ok_or_else(|| missing("tracking.*.penalty_k"))?,
            learning_rate: constants
                .learning_rate
                .ok_or_else(|| missing("tracking.*.learning_rate"))?,
            sigmoid: manifest.outputs.score.activation == Activation::Sigmoid,
        };
        let outputs = [
            WantedOutput {
                name: &manifest.outputs.score.name,
                shape: |n| vec![1, 1, n, n],
            },
            WantedOutput {
                name: &manifest.outputs.boxes.name,
                shape: |n| vec![1, 4, n, n],
            },
        ];
        let network = Network::open(folder, &outputs, options)?;
        let input = &manifest.input;
        let loops = manifest
            .search
            .sizes
            .iter()
            .map(|&size| {
                Loop::new(
                    parameters,
                    size,
                    manifest.search.stride,
                    manifest.map_side(size),
                )
            })
            .collect();
        Ok(Self {
            network,
            normalization: Normalization::new(
                input.channels == Channels::Bgr,
                input.scale,
                input.mean,
                input.std,
            ),
            cropper: Cropper::new(),
            template_size: manifest.template.size,
            search_sizes: manifest.search.sizes.clone(),
            small_target_area: manifest.search.small_target_area,
            loops,
            chosen: 0,
            padding: Padding::new([0; 3]),
            window: SearchWindow {
                x: 0,
                y: 0,
                side: 1,
            },
            best: None,
            evidence: Evidence::default(),
        })
    }
}

impl Follower for AnchorFree {
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        let area = f64::from(frame.width()) * f64::from(frame.height());
        let is_small = self
            .small_target_area
            .is_some_and(|limit| target.area() / area < limit);
        self.chosen = usize::from(is_small && self.search_sizes.len() > 1);
        self.network.select_size(self.chosen);
        self.padding = Padding::mean_of(frame);
        self.best = None;
        let state = &mut self.loops[self.chosen];
        let window = state.initialize((frame.width(), frame.height()), target);
        self.window = window;
        let Self {
            network,
            cropper,
            normalization,
            padding,
            template_size,
            ..
        } = self;
        network.set_template(|image| {
            cropper.crop_tensor(
                frame,
                &window,
                padding,
                *template_size,
                normalization,
                image,
            );
        })?;
        Ok(())
    }

    fn look(
        &mut self,
        frame: &Frame<'_>,
        gaze: &Gaze,
        timings: &mut StageTimings,
    ) -> Result<Sighting, TrackError> {
        let Self {
            network,
            cropper,
            normalization,
            padding,
            loops,
            chosen,
            ..
        } = self;
        let state = &mut loops[*chosen];
        let started = Instant::now();
        let search = state.search(gaze.reach);
        let size = network.search_size();
        network.fill_search(|image| {
            cropper.crop_tensor(frame, &search.window, padding, size, normalization, image);
        });
        let cropped = Instant::now();
        network.infer()?;
        let inferred = Instant::now();
        let sighting = state.decode(
            network.output(SCORES),
            network.output(BOXES),
            &search,
            gaze.prefer_center,
        );
        timings.crop = cropped - started;
        timings.network = inferred - cropped;
        timings.decode = inferred.elapsed();
        self.window = search.window;
        self.best = sighting.best;
        self.evidence = sighting.evidence;
        Ok(sighting)
    }

    fn follow(&mut self, sighting: &Sighting) {
        self.loops[self.chosen].follow(sighting);
    }

    fn place(&mut self, pose: Pose) {
        self.loops[self.chosen].pose = pose;
    }

    fn pose(&self) -> Pose {
        self.loops[self.chosen].pose
    }

    fn inspect(&self) -> Inspection<'_> {
        let state = &self.loops[self.chosen];
        Inspection {
            window: self.window,
            padding: self.padding,
            search_size: self.network.search_size(),
            raw_scores: self.network.output(SCORES),
            raw_boxes: self.network.output(BOXES),
            scores: &state.scores,
            map_side: state.side,
            best: self.best,
            evidence: self.evidence,
        }
    }

    fn runtime(&self) -> &Runtime {
        self.network.runtime()
    }
}

/// The loop's constants.
#[derive(Debug, Clone, Copy)]
struct Parameters {
    context: f64,
    /// Side of the template window in search pixels.
    exemplar: f64,
    window_influence: f64,
    penalty_k: f64,
    learning_rate: f64,
    /// Whether scores come as logits.
    sigmoid: bool,
}

/// The loop at one search size, without pixels and network.
#[derive(Debug)]
struct Loop {
    parameters: Parameters,
    /// Search pixels a side.
    size: f64,
    stride: f64,
    /// Cells a side.
    side: usize,
    /// Cosine window, row-major.
    cosine: Vec<f64>,
    /// Scores of the last look, 0..=1.
    scores: Vec<f32>,
    /// Frame size, pixels.
    image: (f64, f64),
    /// Centre and size of the target; unlike the box that is given out, it may reach out of the image.
    pose: Pose,
}

/// A window to search, and its scale.
#[derive(Debug, Clone, Copy)]
struct Search {
    window: SearchWindow,
    /// Search pixels per image pixel.
    scale: f64,
}

impl Loop {
    fn new(parameters: Parameters, size: usize, stride: usize, side: usize) -> Self {
        // numpy's symmetric Hann window.
        let hann = |i: usize| {
            0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / (side as f64 - 1.0)).cos()
        };
        let cosine = (0..side * side)
            .map(|cell| hann(cell / side) * hann(cell % side))
            .collect();
        Self {
            parameters,
            size: size as f64,
            stride: stride as f64,
            side,
            cosine,
            scores: vec![0.0; side * side],
            image: (1.0, 1.0),
            pose: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        }
    }

    /// Takes a new target and gives the template's window.
    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> SearchWindow {
        self.image = (f64::from(image.0), f64::from(image.1));
        self.pose = target.into();
        SearchWindow::centered(
            target.center(),
            self.context_side().round_ties_even() as u32,
        )
    }

    /// Side of the square that holds the target with its context, pixels.
    fn context_side(&self) -> f64 {
        let (width, height) = (self.pose.width, self.pose.height);
        let context = self.parameters.context * (width + height);
        ((width + context) * (height + context)).sqrt()
    }

    /// Where to search next; `reach` widens the authors' window.
    fn search(&self, reach: f64) -> Search {
        let exemplar = self.parameters.exemplar;
        let side = self.context_side();
        let scale = exemplar / side;
        let margin = (self.size - exemplar) / 2.0 / scale;
        let window = SearchWindow::centered(
            self.pose.center,
            ((side + 2.0 * margin) * reach).round() as u32,
        );
        Search {
            window,
            scale: scale / reach,
        }
    }

    /// Corners of a cell's box in search pixels.
    fn corners(&self, distances: &[f32], cell: usize) -> [f64; 4] {
        let cells = self.side * self.side;
        let place = |i: usize| {
            (i as f64 - (self.side / 2) as f64) * self.stride + (self.size / 2.0).floor()
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

    /// Chooses among the cells by score, change of size and aspect, and distance from the window's centre.
    fn decode(
        &mut self,
        scores: &[f32],
        distances: &[f32],
        search: &Search,
        prefer_center: bool,
    ) -> Sighting {
        let Parameters {
            penalty_k,
            learning_rate,
            sigmoid,
            ..
        } = self.parameters;
        let influence = if prefer_center {
            self.parameters.window_influence
        } else {
            0.0
        };
        for (kept, &score) in self.scores.iter_mut().zip(scores) {
            *kept = if sigmoid {
                1.0 / (1.0 + (-score).exp())
            } else {
                score
            };
        }
        let scale = search.scale;
        let (target_width, target_height) = (self.pose.width * scale, self.pose.height * scale);
        let target_side = padded_side(target_width, target_height);
        let target_aspect = target_width / target_height;
        let mut best = None;
        let mut best_score = f64::NEG_INFINITY;
        let mut best_change = 0.0;
        let mut best_penalty = 0.0;
        for cell in 0..self.scores.len() {
            let [left, top, right, bottom] = self.corners(distances, cell);
            let (width, height) = (right - left, bottom - top);
            let size_change = change(padded_side(width, height) / target_side);
            let aspect_change = change(target_aspect / (width / height));
            let changed = aspect_change * size_change;
            let penalty = (-(changed - 1.0) * penalty_k).exp();
            let score = penalty * f64::from(self.scores[cell]) * (1.0 - influence)
                + self.cosine[cell] * influence;
            // A NaN (0/0 of a box without area, or from the network) is greater than nothing.
            if score > best_score {
                (best, best_score, best_change, best_penalty) =
                    (Some(cell), score, changed, penalty);
            }
        }
        let Some(cell) = best else {
            return Sighting {
                best: None,
                candidate: self.pose,
                rate: 0.0,
                evidence: Evidence::default(),
            };
        };
        let [left, top, right, bottom] = self.corners(distances, cell);
        let half = (self.size / 2.0).floor();
        let (dx, dy) = (
            ((left + right) / 2.0 - half) / scale,
            ((top + bottom) / 2.0 - half) / scale,
        );
        let (x, y) = self.pose.center;
        let candidate = Pose {
            center: (x + dx, y + dy),
            width: (right - left) / scale,
            height: (bottom - top) / scale,
        };
        let extent = (target_width / self.stride, target_height / self.stride);
        let mut evidence = Evidence::of_peak(&self.scores, self.side, cell, extent, |cell| {
            self.corners(distances, cell)
        });
        evidence.change = best_change.ln() as f32;
        evidence.displacement = (dx.hypot(dy) / (self.pose.width * self.pose.height).sqrt()) as f32;
        let rate = best_penalty * f64::from(self.scores[cell]) * learning_rate;
        Sighting {
            best: Some(cell),
            candidate,
            rate,
            evidence,
        }
    }

    /// Moves to the candidate and takes part of its size. The rate enters twice, as in the authors' code.
    fn follow(&mut self, sighting: &Sighting) {
        let Sighting {
            candidate, rate, ..
        } = *sighting;
        let smooth = |seen: f64, before: f64| {
            let mixed = seen * rate + (1.0 - rate) * before;
            before * (1.0 - rate) + rate * mixed
        };
        let (x, y) = candidate.center;
        let (width, height) = self.image;
        // Not clamp(10, width): an image may be smaller than the smallest side.
        let side = |value: f64, most: f64| value.min(most).max(SMALLEST_SIDE);
        self.pose = Pose {
            center: (x.min(width).max(0.0), y.min(height).max(0.0)),
            width: side(smooth(candidate.width, self.pose.width), width),
            height: side(smooth(candidate.height, self.pose.height), height),
        };
    }
}

/// Side of the square with the area of the box and half its mean side around it.
fn padded_side(width: f64, height: f64) -> f64 {
    let padding = (width + height) * 0.5;
    ((width + padding) * (height + padding)).sqrt()
}

/// How far a ratio is from 1, either way.
fn change(ratio: f64) -> f64 {
    // Not max(): NaN has to stay.
    let inverse = 1.0 / ratio;
    if ratio < inverse { inverse } else { ratio }
}

#[cfg(test)]
mod tests {
    use super::{Loop, Parameters, Pose};
    use crate::geometry::BoundingBox;
    use ndarray::{Array1, Array2, Array4, Ix0, OwnedRepr};
    use ndarray_npy::NpzReader;

    type Npz = NpzReader<std::fs::File>;

    fn goldens() -> Npz {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/ettrack/tracker.npz"
        );
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
            context: 0.5,
            exemplar: 127.0,
            window_influence: 0.225,
            penalty_k: 0.007,
            learning_rate: 0.616,
            sigmoid: true,
        }
    }

    fn new_loop(size: usize) -> Loop {
        let mut state = Loop::new(parameters(), size, 16, size / 16);
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
    fn windows_equal_the_authors_on_every_frame() {
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
            assert_eq!(f64::from(template.side), sides[0]);
            for frame in 2..=boxes.nrows() {
                state.pose = pose_before(&positions, &boxes, frame);
                let search = state.search(1.0);
                let row = frame - 1;
                assert_eq!(
                    f64::from(search.window.side),
                    sides[row],
                    "{run}, frame {frame}"
                );
                assert!(
                    (search.scale - scales[row]).abs() < 1e-12,
                    "{run}, frame {frame}"
                );
                let expected = (
                    corners[[row, 0]] - padding[[row, 1]],
                    corners[[row, 1]] - padding[[row, 0]],
                );
                assert_eq!(
                    (search.window.x, search.window.y),
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
            let sighting = state.decode(
                scores.as_slice().expect("standard layout"),
                distances.as_slice().expect("standard layout"),
                &search,
                true,
            );
            let row = frame - 1;
            assert_eq!(
                sighting.best,
                usize::try_from(argmax[row]).ok(),
                "{run}, frame {frame}"
            );
            assert!(
                (f64::from(sighting.evidence.score) - sides[0][row]).abs() < 1e-6,
                "{run}, frame {frame}"
            );
            assert!(
                (sighting.rate - sides[1][row]).abs() < 1e-6,
                "{run}, frame {frame}"
            );
            let center = sighting.candidate.center;
            assert!(
                (center.0 - unclamped[[row, 0]]).abs() < 1e-9
                    && (center.1 - unclamped[[row, 1]]).abs() < 1e-9
            );
            state.follow(&sighting);
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
    fn a_wider_reach_finds_the_same_box_from_maps_in_the_same_place() {
        // The target fills 48 x 32 search pixels at the window's centre, seen at reach 1 and, from a target half as
        // large in the map, at reach 2.
        let mut state = new_loop(256);
        let cells = 16 * 16;
        let center = 8 * 16 + 8;
        let mut scores = vec![-9.0; cells];
        scores[center] = 5.0;
        let mut found = Vec::new();
        for reach in [1.0, 2.0] {
            let mut distances = vec![20.0 / reach as f32; 4 * cells];
            distances[center] = 30.0 / reach as f32;
            let search = state.search(reach);
            let sighting = state.decode(&scores, &distances, &search, true);
            assert_eq!(sighting.best, Some(center));
            found.push(sighting.candidate);
        }
        let [near, wide] = found[..] else {
            panic!("two looks")
        };
        assert!(
            (near.center.0 - wide.center.0).abs() < 1e-6 && (near.width - wide.width).abs() < 1e-6
        );
        let ratio =
            f64::from(state.search(2.0).window.side) / f64::from(state.search(1.0).window.side);
        assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn boxes_without_area_and_numbers_that_are_none_are_passed_over() {
        let mut state = new_loop(256);
        let cells = 16 * 16;
        let search = state.search(1.0);
        // No area anywhere: 0/0 in the aspect.
        let sighting = state.decode(&vec![3.0; cells], &vec![0.0; 4 * cells], &search, true);
        assert_eq!(sighting.best, None);
        assert_eq!(sighting.candidate, state.pose);
        // Nothing but NaN.
        let sighting = state.decode(
            &vec![f32::NAN; cells],
            &vec![20.0; 4 * cells],
            &search,
            true,
        );
        assert_eq!(sighting.best, None);
        // One good cell among bad ones.
        let mut scores = vec![f32::NAN; cells];
        scores[40] = 1.0;
        let sighting = state.decode(&scores, &vec![20.0; 4 * cells], &search, true);
        assert_eq!(sighting.best, Some(40));
        // A box without width: its penalty is 0, and what follows stays finite.
        let mut distances = vec![20.0; 4 * cells];
        distances[40] = -20.0;
        let sighting = state.decode(&scores, &distances, &search, true);
        state.follow(&sighting);
        let pose = state.pose.bounding_box();
        assert!(pose.is_valid() && sighting.rate == 0.0, "{pose}");
    }
}
