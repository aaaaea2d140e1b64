//! What the heirs of Siamese trackers share, who look at a target with its context and choose one of a grid of boxes.

use super::Pose;
use super::choice::Penalty;
use super::engine::{Engine, Loop, needed};
use crate::model::manifest::{Activation, Constants, WindowShape};
use crate::model::network::WantedOutput;
use crate::model::{ModelError, ModelFolder, NetworkOptions};

/// The loop's constants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    /// Shape of template and search windows.
    pub window: WindowShape,
    /// Context around the target: as a share of width + height around square windows, of each side on both ends of it in
    /// windows of the target's shape.
    pub context: f64,
    /// Template pixels a side.
    pub template: usize,
    /// Side of the template window in search pixels.
    pub exemplar: f64,
    /// Search pixels per cell.
    pub stride: f64,
    pub penalty: Penalty,
    /// The first box's share in the shape of search windows, 0..=1.
    pub kept_shape: f64,
    /// Whether scores come as logits.
    pub sigmoid: bool,
}

/// Opens a model whose score and box outputs have `shapes`; `new_loop` makes the loop for search pixels and cells a
/// side.
///
/// # Errors
/// [`ModelError`], for a manifest without what the family needs too.
pub(super) fn open<L: Loop>(
    folder: &ModelFolder,
    constants: Constants,
    options: &NetworkOptions,
    shapes: [fn(i64) -> Vec<i64>; 2],
    new_loop: impl Fn(Parameters, usize, usize) -> L,
) -> Result<Engine<L>, ModelError> {
    let manifest = &folder.manifest;
    let (search, outputs) = (&manifest.search, &manifest.outputs);
    if let (Some(kept), WindowShape::Square) = (constants.kept_shape, manifest.template.window) {
        return Err(ModelError::Value {
            path: folder.manifest_path(),
            key: "tracking.*.kept_shape".to_owned(),
            got: kept.to_string(),
            expected: "none without `template.window: box`".to_owned(),
        });
    }
    let parameters = Parameters {
        window: manifest.template.window,
        template: manifest.template.size,
        context: needed(folder, manifest.template.context, "template.context")?,
        exemplar: needed(folder, search.exemplar_size, "search.exemplar_size")? as f64,
        stride: search.stride as f64,
        penalty: Penalty::of(folder, constants)?,
        kept_shape: constants.kept_shape.unwrap_or(0.0),
        sigmoid: outputs.score.activation == Activation::Sigmoid,
    };
    let boxes = needed(folder, outputs.boxes.as_ref(), "outputs.boxes")?;
    let [of_scores, of_boxes] = shapes;
    let wanted = [
        WantedOutput {
            name: &outputs.score.name,
            shape: of_scores,
        },
        WantedOutput {
            name: &boxes.name,
            shape: of_boxes,
        },
    ];
    Engine::open(folder, options, &wanted, |size| {
        new_loop(parameters, size, manifest.map_side(size))
    })
}

impl Parameters {
    /// Side of the square that holds the target with its context, pixels.
    pub fn context_side(&self, pose: &Pose) -> f64 {
        let Pose { width, height, .. } = *pose;
        let context = self.context * (width + height);
        ((width + context) * (height + context)).sqrt()
    }

    /// Width and height of the template window of the target's shape, pixels.
    pub fn box_window(&self, pose: &Pose) -> (f64, f64) {
        let times = 1.0 + 2.0 * self.context;
        (pose.width * times, pose.height * times)
    }
}
