//! `model.yaml`, as docs/model-folder.md describes it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ModelError;
use crate::tracker::lost::LostSettings;

/// The version of the layout that this crate reads.
const FORMAT: u32 = 1;

/// Everything the runtime must know of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// The model's name, equal to its folder's.
    pub name: String,
    /// How its outputs are decoded.
    pub family: Family,
    /// One line.
    pub description: String,
    /// The graphs.
    pub files: Files,
    /// How pixels become numbers.
    pub input: Input,
    /// The template side.
    pub template: Template,
    /// The search side.
    pub search: Search,
    /// What `track` gives.
    pub outputs: Outputs,
    /// Named sets of the loop's constants; `default` is always there.
    pub tracking: BTreeMap<String, Constants>,
    /// Thresholds of the target-lost logic.
    #[serde(default)]
    pub lost: LostSettings,
    /// What one frame costs.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: BTreeMap<String, serde_yaml::Value>,
}

/// How a network's outputs become boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A grid of scores and of distances to the four sides: E.T.Track, LightTrack.
    AnchorFree,
    /// A score map, offsets and sizes: SMAT, CompressTracker.
    CentreHead,
    /// The SiamFC++ manner: SparseTT.
    Siamfcpp,
}

impl std::fmt::Display for Family {
    /// As in `model.yaml`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AnchorFree => "anchor_free",
            Self::CentreHead => "centre_head",
            Self::Siamfcpp => "siamfcpp",
        })
    }
}

/// The ONNX files of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Run once per target; absent where one graph takes both images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<File>,
    /// Run once per frame.
    pub track: File,
}

/// A file of the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name inside the folder.
    pub path: String,
    /// Checksum, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Order of colour planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// `(value / scale - mean) / std` per channel, in `f32`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Order of the planes, of `mean` and of `std`.
    pub channels: Channels,
    /// 255 or 1.
    pub scale: f32,
    /// Subtracted per plane.
    pub mean: [f32; 3],
    /// Divided by per plane.
    pub std: [f32; 3],
}

/// Shape of the windows that a network gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowShape {
    /// A square around the target with its context, as the authors of E.T.Track cut it.
    #[default]
    Square,
    /// The target's own shape, so that every target is square in the network's input (family `anchor_free`), as
    /// FEAR (Borsuk et al., ECCV 2022) cuts it.
    Box,
}

impl WindowShape {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The template side of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Tensor name, `[1, 3, size, size]`.
    pub input: String,
    /// Pixels a side.
    pub size: usize,
    /// Shape of template and search windows.
    #[serde(default, skip_serializing_if = "WindowShape::is_usual")]
    pub window: WindowShape,
    /// Context on each side of the target: as a share of (width + height) / 2 around square windows, of its own width and
    /// height in windows of its shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<f64>,
    /// Side of the template window in units of the target's mean side (family `centre_head`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Outputs of the template graph and inputs of the track graph.
    #[serde(default)]
    pub outputs: Vec<String>,
}

/// The search side of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Tensor name, `[1, 3, size, size]`.
    pub input: String,
    /// Pixels a side: the usual size, then optionally that for small targets.
    pub sizes: Vec<usize>,
    /// The second size serves targets whose share of the image's area is below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_target_area: Option<f64>,
    /// Side that the template window has in search pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplar_size: Option<usize>,
    /// Side of the search window in units of the target's mean side (family `centre_head`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Search pixels per cell of the maps.
    pub stride: usize,
}

/// The maps that the track graph gives, `n` x `n` cells. Which there are depends on the family.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// `[1, 1, n, n]`; `[1, n * n, 1]` in the family `siamfcpp`.
    pub score: ScoreOutput,
    /// Family `anchor_free`: `[1, 4, n, n]`, distances left, top, right, bottom; family `siamfcpp`:
    /// `[1, n * n, 4]`, left, top, right, bottom. Search pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<MapOutput>,
    /// Family `centre_head`: `[1, 2, n, n]`, width and height as shares of the search region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<MapOutput>,
    /// Family `centre_head`: `[1, 2, n, n]`, where in its cell the centre lies, in cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<MapOutput>,
}

/// The score map.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreOutput {
    /// Tensor name.
    pub name: String,
    /// What turns it into 0..=1.
    pub activation: Activation,
}

/// A map beside the score's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapOutput {
    /// Tensor name.
    pub name: String,
}

/// From a network's output to a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The output is a logit.
    Sigmoid,
    /// The output is the score.
    None,
}

/// Constants of a loop. Which are needed depends on the family.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Weight of the cosine window against the score, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_influence: Option<f64>,
    /// How hard changes of scale and aspect are punished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty_k: Option<f64>,
    /// How fast the size follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// The first box's share in the shape of search windows (`template.window: box`), 0..=1; 0 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_shape: Option<f64>,
}

impl Constants {
    /// These, with what `overrides` sets put in their place.
    #[must_use]
    pub fn with(self, overrides: &Self) -> Self {
        Self {
            window_influence: overrides.window_influence.or(self.window_influence),
            penalty_k: overrides.penalty_k.or(self.penalty_k),
            learning_rate: overrides.learning_rate.or(self.learning_rate),
            kept_shape: overrides.kept_shape.or(self.kept_shape),
        }
    }
}

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Learnt numbers.
    pub parameters: u64,
    /// Multiply-accumulates of the template graph.
    #[serde(default)]
    pub macs_template: u64,
    /// Multiply-accumulates per frame, at the usual search size.
    pub macs_track: u64,
}

impl Manifest {
    /// Reads and checks a manifest; `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] for text that is no manifest (with the place), [`ModelError::Value`] for a value
    /// that cannot be (with the key, the value and what is expected).
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let manifest: Self = serde_yaml::from_str(text).map_err(|error| ModelError::Manifest {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        manifest
            .check()
            .map_err(|(key, got, expected)| ModelError::Value {
                path: path.to_path_buf(),
                key: key.to_owned(),
                got,
                expected: expected.to_owned(),
            })?;
        manifest
            .check_family()
            .map_err(|(key, got, expected)| ModelError::Value {
                path: path.to_path_buf(),
                key,
                got,
                expected,
            })?;
        Ok(manifest)
    }

    /// The set of constants called `name`.
    ///
    /// # Errors
    /// [`ModelError::Value`], which lists the names there are.
    pub fn constants(&self, name: &str, path: &Path) -> Result<Constants, ModelError> {
        self.tracking
            .get(name)
            .copied()
            .ok_or_else(|| ModelError::Value {
                path: path.to_path_buf(),
                key: "the chosen set of tracking constants".to_owned(),
                got: name.to_owned(),
                expected: format!(
                    "one of {}",
                    self.tracking.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            })
    }

    /// Cells along each side of the maps, for a search size.
    pub fn map_side(&self, search_size: usize) -> usize {
        match self.family {
            // Cell centres on both edges of the image, as SiamFC++ pads.
            Family::Siamfcpp => search_size.saturating_sub(1) / self.search.stride + 1,
            // Half to even, as the authors' scripts round.
            Family::AnchorFree | Family::CentreHead => {
                (search_size as f64 / self.search.stride as f64).round_ties_even() as usize
            }
        }
    }

    fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        type Refusal = (&'static str, String, &'static str);
        let ensure = |fits: bool,
                      key: &'static str,
                      got: String,
                      expected: &'static str|
         -> Result<(), Refusal> {
            if fits {
                Ok(())
            } else {
                Err((key, got, expected))
            }
        };
        ensure(
            self.format == FORMAT,
            "format",
            self.format.to_string(),
            "1",
        )?;
        for file in self.files.template.iter().chain([&self.files.track]) {
            // A file elsewhere would not travel with the folder.
            let inside =
                !file.path.is_empty() && !file.path.contains(['/', '\\']) && file.path != "..";
            ensure(
                inside,
                "files.*.path",
                format!("{:?}", file.path),
                "the name of a file in the folder",
            )?;
            let hexadecimal = file.sha256.len() == 64
                && file
                    .sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            ensure(
                hexadecimal,
                "files.*.sha256",
                format!("{:?}", file.sha256),
                "64 lower-case hexadecimal digits",
            )?;
        }
        let scale = self.input.scale;
        ensure(
            scale.is_finite() && scale > 0.0,
            "input.scale",
            scale.to_string(),
            "a positive number",
        )?;
        ensure(
            self.input.mean.iter().all(|v| v.is_finite()),
            "input.mean",
            format!("{:?}", self.input.mean),
            "three numbers",
        )?;
        ensure(
            self.input.std.iter().all(|v| v.is_finite() && *v > 0.0),
            "input.std",
            format!("{:?}", self.input.std),
            "three positive numbers",
        )?;
        // The bound keeps a typing error from taking all memory.
        let sides = 8..=2048;
        ensure(
            sides.contains(&self.template.size),
            "template.size",
            self.template.size.to_string(),
            "8..=2048",
        )?;
        ensure(
            self.template.window.is_usual() || self.family == Family::AnchorFree,
            "template.window",
            "box".to_owned(),
            "square, for any family but anchor_free",
        )?;
        if let Some(context) = self.template.context {
            ensure(
                (0.0..=4.0).contains(&context),
                "template.context",
                context.to_string(),
                "0..=4",
            )?;
        }
        for (key, factor) in [
            ("template.factor", self.template.factor),
            ("search.factor", self.search.factor),
        ] {
            if let Some(factor) = factor {
                ensure(
                    (1.0..=16.0).contains(&factor),
                    key,
                    factor.to_string(),
                    "1..=16",
                )?;
            }
        }
        ensure(
            self.files.template.is_none() || !self.template.outputs.is_empty(),
            "template.outputs",
            "empty".to_owned(),
            "the outputs of the template graph",
        )?;
        let search = &self.search;
        ensure(
            matches!(search.sizes.len(), 1 | 2)
                && search.sizes.iter().all(|size| sides.contains(size)),
            "search.sizes",
            format!("{:?}", search.sizes),
            "one or two sizes of 8..=2048",
        )?;
        ensure(
            search.small_target_area.is_some() == (search.sizes.len() == 2),
            "search.small_target_area",
            format!("{:?}", search.small_target_area),
            "a share of the image's area with two search sizes, absent with one",
        )?;
        if let Some(area) = search.small_target_area {
            ensure(
                (0.0..=1.0).contains(&area),
                "search.small_target_area",
                area.to_string(),
                "0..=1",
            )?;
        }
        if let Some(exemplar) = search.exemplar_size {
            ensure(
                sides.contains(&exemplar),
                "search.exemplar_size",
                exemplar.to_string(),
                "8..=2048",
            )?;
        }
        let stride = search.stride;
        ensure(
            (1..=64).contains(&stride),
            "search.stride",
            stride.to_string(),
            "1..=64",
        )?;
        for size in &search.sizes {
            ensure(
                self.map_side(*size) >= 2,
                "search.stride",
                stride.to_string(),
                "at least two cells a side",
            )?;
        }
        ensure(
            self.tracking.contains_key("default"),
            "tracking",
            "without `default`".to_owned(),
            "a set `default`",
        )?;
        for constants in self.tracking.values() {
            let Constants {
                window_influence,
                penalty_k,
                learning_rate,
                kept_shape,
            } = constants;
            let share = |value: Option<f64>| value.is_none_or(|v| (0.0..=1.0).contains(&v));
            ensure(
                share(*window_influence),
                "tracking.*.window_influence",
                format!("{window_influence:?}"),
                "0..=1",
            )?;
            ensure(
                share(*learning_rate),
                "tracking.*.learning_rate",
                format!("{learning_rate:?}"),
                "0..=1",
            )?;
            ensure(
                penalty_k.is_none_or(|k| k.is_finite() && k >= 0.0),
                "tracking.*.penalty_k",
                format!("{penalty_k:?}"),
                "0 or more",
            )?;
            ensure(
                share(*kept_shape),
                "tracking.*.kept_shape",
                format!("{kept_shape:?}"),
                "0..=1",
            )?;
        }
        self.lost.check()
    }
}
