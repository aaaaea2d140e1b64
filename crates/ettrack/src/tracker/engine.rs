//! What every family's loop does with pixels and networks: cut the template, cut the search region, run, time it.
//! The arithmetic of a family is a [`Loop`]; this is its hands and eyes.

use std::time::Instant;

use super::appearance::Appearance;
use super::{Follower, Gaze, Inspection, Pose, Sighting, StageTimings, TrackError};
use crate::crop::{Cropper, Normalization, Padding, SearchWindow, View};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::Channels;
use crate::model::network::WantedOutput;
use crate::model::runtime::Runtime;
use crate::model::{ModelError, ModelFolder, Network, NetworkOptions};

/// A region to search, and its scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub view: View,
    /// Search pixels per image pixel, along x and y.
    pub scale: (f64, f64),
}

impl Search {
    /// The same `scale` along both axes.
    pub fn even(view: impl Into<View>, scale: f64) -> Self {
        Self {
            view: view.into(),
            scale: (scale, scale),
        }
    }
}

/// The loop of a family at one search size, without pixels and network.
pub(super) trait Loop: Send + std::fmt::Debug {
    /// What surrounds the image for the frames of a target first seen in `frame`.
    fn padding(frame: &Frame<'_>) -> Padding;
    /// Takes a new target in an image of `image` pixels and gives the template's region.
    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View;
    /// Where to search next; `reach` widens the authors' region.
    fn search(&self, reach: f64) -> Search;
    /// Chooses among the cells of the last run's outputs.
    fn decode(&mut self, network: &Network, search: &Search, prefer_center: bool) -> Sighting;
    /// Moves and resizes by the authors' rules.
    fn follow(&mut self, sighting: &Sighting);
    /// Position and size.
    fn pose(&self) -> Pose;
    /// Goes there.
    fn place(&mut self, pose: Pose);
    /// The box to give out for a pose.
    fn reported(pose: Pose) -> BoundingBox;
    /// That box as the authors write it into result files.
    fn as_authors_write(bounding_box: BoundingBox) -> BoundingBox {
        bounding_box
    }
    /// Scores 0..=1 of the last look, row-major.
    fn scores(&self) -> &[f32];
    /// Cells a side.
    fn side(&self) -> usize;
}

/// A network with the loops of its family, one per search size.
#[derive(Debug)]
pub(super) struct Engine<L> {
    network: Network,
    normalization: Normalization,
    cropper: Cropper,
    appearance: Appearance,
    template_size: usize,
    small_target_area: Option<f64>,
    loops: Vec<L>,
    /// Which of the search sizes this target uses.
    chosen: usize,
    padding: Padding,
    view: View,
    /// What the last look showed.
    seen: Sighting,
}

impl<L: Loop> Engine<L> {
    /// Opens the networks of `folder`; `outputs` are the maps that `decode` reads, score and boxes first, and
    /// `new_loop` makes the loop for a search size.
    ///
    /// # Errors
    /// Those of [`Network::open`].
    pub fn open(
        folder: &ModelFolder,
        options: &NetworkOptions,
        outputs: &[WantedOutput<'_>],
        new_loop: impl Fn(usize) -> L,
    ) -> Result<Self, ModelError> {
        let manifest = &folder.manifest;
        let input = &manifest.input;
        Ok(Self {
            network: Network::open(folder, outputs, options)?,
            normalization: Normalization::new(
                input.channels == Channels::Bgr,
                input.scale,
                input.mean,
                input.std,
            ),
            cropper: Cropper::new(),
            appearance: Appearance::new(),
            template_size: manifest.template.size,
            small_target_area: manifest.search.small_target_area,
            loops: manifest.search.sizes.iter().map(|&s| new_loop(s)).collect(),
            chosen: 0,
            padding: Padding::new([0; 3]),
            view: View::Pixels(SearchWindow {
                x: 0,
                y: 0,
                side: 1,
            }),
            seen: Sighting::nothing(BoundingBox::new(0.0, 0.0, 1.0, 1.0).into()),
        })
    }
}

impl<L: Loop> Follower for Engine<L> {
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        let area = f64::from(frame.width()) * f64::from(frame.height());
        let is_small = self
            .small_target_area
            .is_some_and(|limit| target.area() / area < limit);
        self.chosen = usize::from(is_small && self.loops.len() > 1);
        self.network.select_size(self.chosen);
        self.padding = L::padding(frame);
        self.appearance.start(frame, &target.into());
        self.seen = Sighting::nothing(target.into());
        let view = self.loops[self.chosen].initialize((frame.width(), frame.height()), target);
        self.view = view;
        let Self {
            network,
            cropper,
            normalization,
            padding,
            template_size,
            ..
        } = self;
        network.set_template(|image| {
            cropper.crop_tensor(frame, view, padding, *template_size, normalization, image);
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
            appearance,
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
            cropper.crop_tensor(frame, search.view, padding, size, normalization, image);
        });
        let cropped = Instant::now();
        network.infer()?;
        let inferred = Instant::now();
        let mut sighting = state.decode(network, &search, gaze.prefer_center);
        if sighting.best.is_some() {
            sighting.evidence.appearance = appearance.resemblance(frame, &sighting.candidate);
        }
        timings.crop += cropped - started;
        timings.network += inferred - cropped;
        timings.decode += inferred.elapsed();
        self.view = search.view;
        self.seen = sighting;
        Ok(sighting)
    }

    fn follow(&mut self, sighting: &Sighting) {
        self.loops[self.chosen].follow(sighting);
    }

    fn place(&mut self, pose: Pose) {
        self.loops[self.chosen].place(pose);
    }

    fn pose(&self) -> Pose {
        self.loops[self.chosen].pose()
    }

    fn reported(&self, pose: Pose) -> BoundingBox {
        L::reported(pose)
    }

    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        L::as_authors_write(bounding_box)
    }

    fn inspect(&self) -> Inspection<'_> {
        let state = &self.loops[self.chosen];
        Inspection {
            window: self.view.enclosing(),
            view: self.view,
            padding: self.padding,
            search_size: self.network.search_size(),
            raw_scores: self.network.output(0),
            raw_boxes: self.network.output(1),
            scores: state.scores(),
            map_side: state.side(),
            best: self.seen.best,
            candidate: self.seen.candidate.bounding_box(),
            evidence: self.seen.evidence,
        }
    }

    fn runtime(&self) -> &Runtime {
        self.network.runtime()
    }
}

/// What a family needs of its manifest under `key`.
///
/// # Errors
/// [`ModelError::Value`] where it is not given.
pub(super) fn needed<T>(
    folder: &ModelFolder,
    value: Option<T>,
    key: &str,
) -> Result<T, ModelError> {
    value.ok_or_else(|| ModelError::Value {
        path: folder.manifest_path(),
        key: key.to_owned(),
        got: "missing".to_owned(),
        expected: format!("given, for the family {}", folder.manifest.family),
    })
}

/// A network's scores as 0..=1: logits where `sigmoid`. What lies outside all the same is drawn in, so that sums and
/// squares of scores stay numbers; NaN stays NaN, which no cell is chosen by.
pub(super) fn activate(raw: &[f32], sigmoid: bool, scores: &mut [f32]) {
    for (score, &raw) in scores.iter_mut().zip(raw) {
        *score = if sigmoid {
            1.0 / (1.0 + (-raw).exp())
        } else {
            raw.clamp(0.0, 1.0)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::activate;

    #[test]
    fn scores_are_shares_whatever_the_network_gives() {
        let raw = [0.25, -3.0, 1e30, f32::INFINITY, f32::NAN];
        let mut scores = [9.0; 5];
        activate(&raw, false, &mut scores);
        assert_eq!(scores[..4], [0.25, 0.0, 1.0, 1.0]);
        assert!(scores[4].is_nan());
        activate(&[0.0, -1e30, 1e30], true, &mut scores[..3]);
        assert_eq!(scores[..3], [0.5, 0.0, 1.0]);
    }
}
