//! What trackers derived from SiamFC share: they look at a target with its context and choose one box of a grid.

use super::choice::Penalty;
use super::{Family, needed};
use crate::follower::Pose;
use crate::model::manifest::{Activation, WindowShape};
use crate::model::network::WantedOutput;
use crate::model::{Constants, Manifest, Refusal};

/// The loop's constants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    /// Shape of the template and search regions.
    pub window: WindowShape,
    /// Context around the target: in square regions as a share of width + height, in regions of the target's shape as a
    /// share of each side, on both ends of it.
    pub context: f64,
    /// Template pixels a side.
    pub template: usize,
    /// Side of the template region in search pixels.
    pub exemplar: f64,
    /// Search pixels per cell.
    pub stride: f64,
    pub penalty: Penalty,
    /// The first box's share in the shape of search regions, 0..=1.
    pub kept_shape: f64,
    /// Whether scores come as logits.
    pub sigmoid: bool,
}

/// The score and box outputs with these shapes.
///
/// # Errors
/// [`Refusal`] if the manifest does not name one of them.
pub(super) fn outputs<'m>(
    family: &dyn Family,
    manifest: &'m Manifest,
    [of_scores, of_boxes]: [Vec<i64>; 2],
) -> Result<Vec<WantedOutput<'m>>, Refusal> {
    let outputs = &manifest.outputs;
    let score = needed(family, outputs.score.as_ref(), "outputs.score")?;
    let boxes = needed(family, outputs.boxes.as_ref(), "outputs.boxes")?;
    Ok(vec![
        WantedOutput {
            name: &score.name,
            shape: of_scores,
        },
        WantedOutput {
            name: &boxes.name,
            shape: of_boxes,
        },
    ])
}

impl Parameters {
    /// What a model of `family` says.
    ///
    /// # Errors
    /// [`Refusal`] where something is missing.
    pub fn of(
        family: &dyn Family,
        manifest: &Manifest,
        constants: &Constants,
    ) -> Result<Self, Refusal> {
        let (template, search) = (&manifest.template, &manifest.search);
        let score = needed(family, manifest.outputs.score.as_ref(), "outputs.score")?;
        let exemplar = needed(family, search.exemplar_size, "search.exemplar_size")?;
        Ok(Self {
            window: template.window,
            template: template.size,
            context: needed(family, template.context, "template.context")?,
            exemplar: exemplar as f64,
            stride: search.stride as f64,
            penalty: Penalty::of(family, constants)?,
            kept_shape: constants.get("kept_shape").unwrap_or(0.0),
            sigmoid: score.activation == Activation::Sigmoid,
        })
    }

    /// Side of the square that holds the target with its context, pixels.
    pub fn context_side(&self, pose: &Pose) -> f64 {
        let Pose { width, height, .. } = *pose;
        let context = self.context * (width + height);
        ((width + context) * (height + context)).sqrt()
    }

    /// Width and height of a template region of the target's shape, pixels.
    pub fn box_window(&self, pose: &Pose) -> (f64, f64) {
        let times = 1.0 + 2.0 * self.context;
        (pose.width * times, pose.height * times)
    }
}
