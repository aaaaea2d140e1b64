//! What every family's loop does with pixels and networks: cut the template, cut the search region, run, time it.
//! The arithmetic of a family is a [`Loop`].

use std::time::Instant;

use super::{Appearance, Family};
use crate::crop::{Cropper, Normalization, Padding, SearchWindow, View, outside};
use crate::follower::{Candidate, Follower, Inspection, Pose, SearchRequest, StageTimings, Track};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::Channels;
use crate::model::provider::Execution;
use crate::model::runtime::Runtime;
use crate::model::{ModelError, ModelFolder, Network, NetworkOptions};

/// A region to search, and its scale.
#[derive(Debug, Clone, Copy)]
pub struct SearchRegion {
    /// What is cut out of the frame.
    pub view: View,
    /// Search pixels per frame pixel, along x and y.
    pub scale: (f64, f64),
}

impl SearchRegion {
    /// The same `scale` along both axes.
    pub fn even(view: impl Into<View>, scale: f64) -> Self {
        Self {
            view: view.into(),
            scale: (scale, scale),
        }
    }
}

/// What happens to a template image after a frame.
///
/// A picture may be cut in one frame and shown to the network in a later one: it is kept until then. A new target's
/// kept picture is its first template.
#[derive(Debug, Clone, Copy)]
pub struct TemplateUpdate {
    /// Which template image: 0 is `template.input` of the manifest, 1 is `template.refreshed_input`.
    pub image: usize,
    /// What is cut out of the frame and kept.
    pub cut: Option<View>,
    /// Whether the network sees the kept picture from the next frame on. Kept in its place is the first template then.
    pub is_shown: bool,
}

impl TemplateUpdate {
    /// Cuts `view` out of the frame, for the network to see from the next frame on.
    pub fn at_once(image: usize, view: impl Into<View>) -> Self {
        Self {
            image,
            cut: Some(view.into()),
            is_shown: true,
        }
    }
}

/// The loop of a family at one search size, without pixels and network.
pub trait Loop: Send + std::fmt::Debug + 'static {
    /// What surrounds the image for the frames of a target first seen in `frame`.
    fn padding(frame: &Frame<'_>) -> Padding;

    /// Takes a new target in an image of `image` pixels and gives the template's region.
    fn initialize(&mut self, image: (u32, u32), target: BoundingBox) -> View;

    /// The target's place in a template image of `size` pixels per side that is cut around it now: left, top, right and
    /// bottom as shares of it, for networks that take this (`template.box_input`). Asked for after [`Self::initialize`] and
    /// after [`Self::template_update`].
    fn template_box(&self, _size: usize) -> [f32; 4] {
        [0.0, 0.0, 1.0, 1.0]
    }

    /// The region to search next, `scale` times as long and wide as the authors' one.
    fn search(&self, scale: f64) -> SearchRegion;

    /// Reads the outputs of the last run; `None` if they hold no usable number.
    fn decode(
        &mut self,
        network: &Network,
        region: &SearchRegion,
        prefer_center: bool,
    ) -> Option<Candidate>;

    /// Moves and resizes by the authors' rules.
    fn follow(&mut self, candidate: &Candidate);

    /// Centre and size.
    fn pose(&self) -> Pose;

    /// Goes to a pose.
    fn place(&mut self, pose: Pose);

    /// How many looks at a target's first frame the loop learns from; none in a family that does not learn.
    fn first_looks(&self) -> usize {
        0
    }

    /// The region of such a look. Asked for after [`Self::initialize`], for each index in turn.
    fn first_look(&self, _index: usize) -> SearchRegion {
        self.search(1.0)
    }

    /// Learns from the network's outputs for that region.
    fn learn_first(&mut self, _index: usize, _network: &Network) {}

    /// Learns from the last look after a frame that was reported as `track`; called once for each frame, before
    /// [`Self::template_update`].
    fn learn(&mut self, _track: &Track) {}

    /// A template image to replace after a frame that was reported as `track`; called once for each frame. A family with
    /// fixed templates has none.
    fn template_update(&mut self, _track: &Track) -> Option<TemplateUpdate> {
        None
    }

    /// The box to report for a pose.
    fn reported(pose: Pose) -> BoundingBox {
        pose.bounding_box()
    }

    /// That box as the authors write it into result files.
    fn as_authors_write(bounding_box: BoundingBox) -> BoundingBox {
        bounding_box
    }

    /// Scores 0..=1 of the last look, row-major; empty in a family without a score map.
    fn scores(&self) -> &[f32] {
        &[]
    }

    /// Cells along each side of the score map.
    fn map_side(&self) -> usize {
        0
    }

    /// Where the centre of the first cell lies along either axis, search pixels from the middle of the search region, and how
    /// far the next one is.
    fn map_place(&self) -> (f64, f64) {
        (0.0, 0.0)
    }
}

/// A picture for a template image, with what a network may take beside it.
#[derive(Debug)]
struct TemplatePicture {
    /// Three planes.
    image: Vec<f32>,
    /// The target's place in it: left, top, right and bottom as shares of its side.
    target: [f32; 4],
    /// Its cells outside the frame, row-major; empty for a network that does not take them.
    outside: Vec<f32>,
}

impl TemplatePicture {
    /// A picture of `size` pixels and `cells` cells a side.
    fn new(size: usize, cells: usize) -> Self {
        Self {
            image: vec![0.0; 3 * size.pow(2)],
            target: [0.0, 0.0, 1.0, 1.0],
            outside: vec![0.0; cells.pow(2)],
        }
    }

    /// Becomes `other`, without allocating.
    fn copy_from(&mut self, other: &Self) {
        self.image.copy_from_slice(&other.image);
        self.target = other.target;
        self.outside.copy_from_slice(&other.outside);
    }

    /// Makes it the network's template image `image`, from the next run of the template graph on.
    fn show(&self, network: &mut Network, image: usize) {
        network.fill_template(image, |tensor| tensor.copy_from_slice(&self.image));
        network.fill_template_box(image, self.target);
        network.fill_template_outside(image, |cells| cells.copy_from_slice(&self.outside));
    }
}

/// A network with the loops of its family, one per search size.
#[derive(Debug)]
pub struct Engine<L> {
    network: Network,
    normalization: Normalization,
    cropper: Cropper,
    appearance: Appearance,
    template_size: usize,
    /// Pixels from one cell to the next.
    stride: usize,
    /// The target's first template.
    first_template: TemplatePicture,
    /// A picture for a template image that the network does not see yet.
    kept_template: TemplatePicture,
    small_target_area: Option<f64>,
    loops: Vec<L>,
    /// Which of the search sizes this target uses.
    chosen: usize,
    padding: Padding,
    /// The region of the last look, or of the template before it.
    view: View,
    /// Search pixels per frame pixel in it, along x and y.
    scale: (f64, f64),
    /// What the last look showed.
    seen: Option<Candidate>,
    /// The target before the last look.
    before: Pose,
}

impl<L: Loop> Engine<L> {
    /// Opens the networks of `model` for `family`; `new_loop` makes the loop for a search size.
    ///
    /// # Errors
    /// As [`Network::open`], and [`ModelError::Value`] for an output that the manifest does not name.
    pub fn open(
        family: &dyn Family,
        model: &ModelFolder,
        options: &NetworkOptions,
        new_loop: impl Fn(usize) -> L,
    ) -> Result<Self, ModelError> {
        let manifest = &model.manifest;
        let input = &manifest.input;
        let template_cells = match &manifest.template.outside_input {
            Some(_) => manifest.template.size / manifest.search.stride,
            None => 0,
        };
        let network = Network::open(model, options, |size| {
            family
                .outputs(manifest, size)
                .map_err(|refusal| refusal.in_manifest(model.manifest_path()))
        })?;
        Ok(Self {
            network,
            normalization: Normalization::new(
                input.channels == Channels::Bgr,
                input.scale,
                input.mean,
                input.std,
            ),
            cropper: Cropper::new(),
            appearance: Appearance::new(),
            template_size: manifest.template.size,
            stride: manifest.search.stride,
            first_template: TemplatePicture::new(manifest.template.size, template_cells),
            kept_template: TemplatePicture::new(manifest.template.size, template_cells),
            small_target_area: manifest.search.small_target_area,
            loops: manifest.search.sizes.iter().map(|&s| new_loop(s)).collect(),
            chosen: 0,
            padding: Padding::new([0; 3]),
            view: View::Pixels(SearchWindow {
                x: 0,
                y: 0,
                side: 1,
            }),
            scale: (1.0, 1.0),
            seen: None,
            before: BoundingBox::new(0.0, 0.0, 1.0, 1.0).into(),
        })
    }

    /// Searches the first frame as often as the loop learns from it.
    fn learn_first_frame(&mut self, frame: &Frame<'_>) -> Result<(), ModelError> {
        for index in 0..self.loops[self.chosen].first_looks() {
            let region = self.loops[self.chosen].first_look(index);
            self.search(frame, region.view);
            self.network.infer()?;
            self.loops[self.chosen].learn_first(index, &self.network);
        }
        Ok(())
    }

    /// Cuts the network's search image out of the frame, and says which of its cells lie outside.
    fn search(&mut self, frame: &Frame<'_>, view: View) {
        let Self {
            network,
            cropper,
            normalization,
            padding,
            stride,
            ..
        } = self;
        let size = network.search_size();
        network.fill_search(|image| {
            cropper.crop_tensor(frame, view, padding, size, normalization, image);
        });
        network.fill_search_outside(|cells| outside(frame, view, padding, size, *stride, cells));
    }

    /// Cuts a picture of the template's size out of the frame, to be kept, with the target's place in it and its cells
    /// outside.
    fn cut_template(&mut self, frame: &Frame<'_>, view: View) {
        let Self {
            kept_template,
            cropper,
            normalization,
            padding,
            template_size,
            stride,
            loops,
            chosen,
            ..
        } = self;
        let (kept, size) = (kept_template, *template_size);
        cropper.crop_tensor(frame, view, padding, size, normalization, &mut kept.image);
        kept.target = loops[*chosen].template_box(size);
        if !kept.outside.is_empty() {
            outside(frame, view, padding, size, *stride, &mut kept.outside);
        }
    }
}

impl<L: Loop> Follower for Engine<L> {
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), ModelError> {
        let area = f64::from(frame.width()) * f64::from(frame.height());
        let is_small = self
            .small_target_area
            .is_some_and(|limit| target.area() / area < limit);
        self.chosen = usize::from(is_small && self.loops.len() > 1);
        self.network.select_size(self.chosen);
        self.padding = L::padding(frame);
        self.appearance.start(frame, &target.into());
        (self.seen, self.before) = (None, target.into());
        self.view = self.loops[self.chosen].initialize((frame.width(), frame.height()), target);
        self.cut_template(frame, self.view);
        self.first_template.copy_from(&self.kept_template);
        // A template that is refreshed later begins as the first one.
        for image in 0..self.network.template_images() {
            self.first_template.show(&mut self.network, image);
        }
        self.network.run_template()?;
        self.learn_first_frame(frame)
    }

    fn look(
        &mut self,
        frame: &Frame<'_>,
        request: &SearchRequest,
        timings: &mut StageTimings,
    ) -> Result<Option<Candidate>, ModelError> {
        let started = Instant::now();
        let before = self.pose();
        let region = self.loops[self.chosen].search(request.scale);
        self.search(frame, region.view);
        let cropped = Instant::now();
        self.network.infer()?;
        timings.crop += cropped - started;
        timings.network += cropped.elapsed();
        let mut candidate =
            self.loops[self.chosen].decode(&self.network, &region, request.prefer_center);
        if let Some(candidate) = &mut candidate {
            candidate.evidence.appearance = self.appearance.similarity(frame, &candidate.pose);
        }
        (self.view, self.scale) = (region.view, region.scale);
        (self.seen, self.before) = (candidate, before);
        Ok(candidate)
    }

    fn view(&self, request: &SearchRequest) -> Option<View> {
        Some(self.loops[self.chosen].search(request.scale).view)
    }

    fn follow(&mut self, candidate: &Candidate) {
        self.loops[self.chosen].follow(candidate);
    }

    fn place(&mut self, pose: Pose) {
        self.loops[self.chosen].place(pose);
    }

    fn pose(&self) -> Pose {
        self.loops[self.chosen].pose()
    }

    fn end_frame(&mut self, frame: &Frame<'_>, track: &Track) -> Result<(), ModelError> {
        self.loops[self.chosen].learn(track);
        let Some(update) = self.loops[self.chosen].template_update(track) else {
            return Ok(());
        };
        if let Some(view) = update.cut {
            self.cut_template(frame, view);
        }
        if !update.is_shown {
            return Ok(());
        }
        self.kept_template.show(&mut self.network, update.image);
        self.kept_template.copy_from(&self.first_template);
        self.network.run_template()
    }

    fn reported(&self, pose: Pose) -> BoundingBox {
        L::reported(pose)
    }

    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        L::as_authors_write(bounding_box)
    }

    fn inspect(&self) -> Inspection<'_> {
        let state = &self.loops[self.chosen];
        let (first, step) = state.map_place();
        // As the boxes that are reported: some families count from the centre of the first pixel.
        let (x, y) = L::reported(self.before).center();
        let candidate = self.seen.as_ref().map_or(self.before, |seen| seen.pose);
        let (along_x, along_y) = self.scale;
        Inspection::new(
            self.view,
            self.padding,
            self.network.search_size(),
            self.network.outputs(),
            self.seen.as_ref(),
            L::reported(candidate),
        )
        .with_images(
            self.network.search_image(),
            [0, 1].map(|image| self.network.template_image(image)),
        )
        .with_scores(state.scores(), state.map_side())
        .with_cells(
            (x + first / along_x, y + first / along_y),
            (step / along_x, step / along_y),
        )
    }

    fn runtime(&self) -> &Runtime {
        self.network.runtime()
    }

    fn execution(&self) -> &Execution {
        self.network.execution()
    }
}

/// A network's scores as 0..=1: logits where `sigmoid`. Other scores are limited to that range, so that sums and
/// squares of scores stay finite. NaN stays NaN; a cell with it is never chosen.
pub fn activate(raw: &[f32], sigmoid: bool, scores: &mut [f32]) {
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
    fn scores_are_limited_to_0_and_1_and_nan_stays_nan() {
        let raw = [0.25, -3.0, 1e30, f32::INFINITY, f32::NAN];
        let mut scores = [9.0; 5];
        activate(&raw, false, &mut scores);
        assert_eq!(scores[..4], [0.25, 0.0, 1.0, 1.0]);
        assert!(scores[4].is_nan());
        activate(&[0.0, -1e30, 1e30], true, &mut scores[..3]);
        assert_eq!(scores[..3], [0.5, 0.0, 1.0]);
    }
}
