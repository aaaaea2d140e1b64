//! The loop of SMAT (Gopal and Amer, WACV 2024) and CompressTracker (Hong et al., ICCV 2025), that of OSTrack: a score
//! map, and for each cell the offset of the centre in it and the size of the box.
//!
//! Roundings are those of the authors' code: maps and what is decoded of them in `f32`, state in `f64`.

use super::choice::{change, padded_side};
use super::engine::{Engine, Loop, Search, activate, needed};
use super::evidence::Evidence;
use super::{Pose, Sighting};
use crate::crop::{Padding, SearchWindow, View};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::{Activation, Constants};
use crate::model::network::WantedOutput;
use crate::model::{ModelError, ModelFolder, Network, NetworkOptions};

/// Pixels of the image that a box keeps inside it, and its smallest side.
const MARGIN: f64 = 10.0;

/// Opens a model of the family.
///
/// # Errors
/// [`ModelError`], for a manifest without what the family needs too.
pub(super) fn open(
    folder: &ModelFolder,
    constants: Constants,
    options: &NetworkOptions,
) -> Result<Engine<CentreHead>, ModelError> {
    let manifest = &folder.manifest;
    let given = constants.named().into_iter();
    if let Some((name, Some(value))) = given.into_iter().find(|(_, value)| value.is_some()) {
        return Err(ModelError::Value {
            path: folder.manifest_path(),
            key: format!("tracking.*.{name}"),
            got: value.to_string(),
            expected: format!("nothing: the family {} has no constants", manifest.family),
        });
    }
    let factors = Factors {
        template: needed(folder, manifest.template.factor, "template.factor")?,
        search: needed(folder, manifest.search.factor, "search.factor")?,
    };
    let size = needed(folder, manifest.outputs.size.as_ref(), "outputs.size")?;
    let offset = needed(folder, manifest.outputs.offset.as_ref(), "outputs.offset")?;
    let outputs = [
        WantedOutput {
            name: &manifest.outputs.score.name,
            shape: |n| vec![1, 1, n, n],
        },
        WantedOutput {
            name: &size.name,
            shape: |n| vec![1, 2, n, n],
        },
        WantedOutput {
            name: &offset.name,
            shape: |n| vec![1, 2, n, n],
        },
    ];
    let sigmoid = manifest.outputs.score.activation == Activation::Sigmoid;
    Engine::open(folder, options, &outputs, |size| {
        CentreHead::new(factors, sigmoid, size, manifest.map_side(size))
    })
}

/// Sides of the windows in units of the target's mean side.
#[derive(Debug, Clone, Copy)]
struct Factors {
    template: f64,
    search: f64,
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
pub(super) struct CentreHead {
    factors: Factors,
    /// Whether scores come as logits.
    sigmoid: bool,
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
        // That of pytracking: symmetric and nowhere zero.
        let hann = |i: usize| {
            let angle = 2.0 * std::f64::consts::PI * (i as f64 + 1.0) / (side as f64 + 1.0);
            (0.5 * (1.0 - angle.cos())) as f32
        };
        Self {
            factors,
            sigmoid,
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

    /// The window whose side is `factor` times the target's mean side.
    fn window(&self, factor: f64) -> SearchWindow {
        let side = ((self.pose.width * self.pose.height).sqrt() * factor).ceil();
        let (x, y) = self.pose.center;
        SearchWindow::from_corner((x - 0.5 * side, y - 0.5 * side), side as u32)
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

    fn decode_maps(&mut self, maps: &Maps<'_>, search: &Search, prefer_center: bool) -> Sighting {
        activate(maps.scores, self.sigmoid, &mut self.scores);
        let mut best = None;
        let mut best_response = f32::NEG_INFINITY;
        for (cell, (&score, &hann)) in self.scores.iter().zip(&self.hann).enumerate() {
            let response = if prefer_center { hann * score } else { score };
            let usable = self
                .shares(maps, cell)
                .iter()
                .all(|share| share.is_finite());
            // A NaN is greater than nothing.
            if response > best_response && usable {
                (best, best_response) = (Some(cell), response);
            }
        }
        let Some(cell) = best else {
            return Sighting::nothing(self.pose);
        };
        let (scale, _) = search.scale;
        let [x, y, width, height] = self
            .shares(maps, cell)
            .map(|share| f64::from(share * self.size as f32 / scale as f32));
        let half = 0.5 * self.size / scale;
        let (center_x, center_y) = self.pose.center;
        let candidate = Pose {
            center: (x + (center_x - half), y + (center_y - half)),
            width,
            height,
        };
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
        evidence.displacement = self.pose.displacement_of(&candidate);
        Sighting {
            best: Some(cell),
            candidate,
            rate: 1.0,
            evidence,
        }
    }
}

impl Loop for CentreHead {
    /// Black, and the authors' crop sees one column and row less of the image at its far borders.
    fn padding(_: &Frame<'_>) -> Padding {
        Padding {
            color: [0; 3],
            drops_last: true,
        }
    }

    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View {
        self.image = (f64::from(image.0), f64::from(image.1));
        self.pose = target.into();
        self.window(self.factors.template).into()
    }

    fn search(&self, reach: f64) -> Search {
        let window = self.window(self.factors.search * reach);
        Search::even(window, self.size / f64::from(window.side))
    }

    fn decode(&mut self, network: &Network, search: &Search, prefer_center: bool) -> Sighting {
        let maps = Maps {
            scores: network.output(0),
            sizes: network.output(1),
            offsets: network.output(2),
        };
        self.decode_maps(&maps, search, prefer_center)
    }

    /// Takes the box as it was found, kept in the image by the margin.
    fn follow(&mut self, sighting: &Sighting) {
        let found = sighting.candidate.bounding_box();
        let clip = |first: f64, length: f64, most: f64| {
            let last = (first + length).max(MARGIN).min(most);
            let first = first.max(0.0).min(most - MARGIN);
            (first, (last - first).max(MARGIN))
        };
        let (x, width) = clip(found.x, found.width, self.image.0);
        let (y, height) = clip(found.y, found.height, self.image.1);
        self.pose = BoundingBox::new(x, y, width, height).into();
    }

    fn pose(&self) -> Pose {
        self.pose
    }

    fn place(&mut self, pose: Pose) {
        self.pose = pose;
    }

    fn reported(pose: Pose) -> BoundingBox {
        pose.bounding_box()
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn side(&self) -> usize {
        self.side
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Loop, Search};
    use super::{CentreHead, Factors, Maps};
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
                let sighting = state.decode_maps(&maps, &search, true);
                assert_eq!(sighting.best, usize::try_from(cells[frame]).ok());
                assert!((f64::from(sighting.evidence.score) - scores[frame]).abs() < 1e-6);
                state.follow(&sighting);
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

    /// Maps whose every cell holds the same size and no offset, with one peak.
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
            let sighting = state.decode_maps(&maps, &search, true);
            state.follow(&sighting);
            let found = CentreHead::reported(state.pose());
            assert!(found.x >= 0.0 && found.x <= 310.0 && found.right() <= 320.0 + 1e-9);
            assert!(found.width >= 10.0 && found.height >= 10.0, "{found}");
        }
    }

    #[test]
    fn a_wider_reach_finds_the_same_place() {
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
            found.push(state.decode_maps(&maps, &search, true).candidate);
        }
        assert!((found[0].center.0 - found[1].center.0).abs() < 1e-4);
        assert!((found[0].width - 40.0).abs() < 1e-3 && (found[1].width - 40.0).abs() < 1e-3);
    }

    #[test]
    fn numbers_that_are_none_are_passed_over() {
        let mut state = new_loop(BoundingBox::new(100.0, 100.0, 40.0, 40.0));
        let window = SearchWindow {
            x: 0,
            y: 0,
            side: 160,
        };
        let search = Search::even(window, 1.6);
        let nothing = vec![f32::NAN; 512];
        let maps = Maps {
            scores: &nothing[..256],
            sizes: &nothing,
            offsets: &nothing,
        };
        assert_eq!(state.decode_maps(&maps, &search, true).best, None);
        let (scores, mut sizes, offsets) = one_peak(40, 0.25);
        sizes[[0, 40 / 16, 40 % 16]] = f32::INFINITY;
        let maps = Maps {
            scores: scores.as_slice().expect("standard layout"),
            sizes: sizes.as_slice().expect("standard layout"),
            offsets: offsets.as_slice().expect("standard layout"),
        };
        let sighting = state.decode_maps(&maps, &search, true);
        assert!(sighting.best.is_some_and(|cell| cell != 40));
        state.follow(&sighting);
        assert!(CentreHead::reported(state.pose()).is_valid());
    }
}
