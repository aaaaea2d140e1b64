//! `model.yaml`, as docs/model-folder.md describes it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::constants::Constants;
use super::lost::LostSettings;
use super::{ModelError, Refusal};

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
    /// The tracker family, which decodes the outputs: a name in [`crate::families::FAMILIES`].
    pub family: String,
    /// One line.
    pub description: String,
    /// The graphs.
    pub files: Files,
    /// How pixels become numbers.
    pub input: Input,
    /// The template side.
    pub template: TemplateSettings,
    /// The search side.
    pub search: SearchSettings,
    /// What `track` gives.
    pub outputs: Outputs,
    /// Named sets of the family's constants; `default` is always there.
    pub tracking: BTreeMap<String, Constants>,
    /// Thresholds of the target-lost logic.
    #[serde(default)]
    pub lost: LostSettings,
    /// What one frame costs.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// The number of layers with shorter numbers than single precision; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: BTreeMap<String, ProvenanceValue>,
}

/// A value of the section `provenance`, which the runtime keeps and does not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProvenanceValue {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
    /// Nothing: `null` or `~`.
    Nothing,
}

/// The ONNX files of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Run once per target; absent if one graph takes both images.
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

/// Shape of the template and search regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowShape {
    /// A square around the target with its context, as the authors of E.T.Track cut it.
    #[default]
    Square,
    /// The target's own shape, so that every target is square in the network's input, as FEAR (Borsuk et al., ECCV
    /// 2022) cuts it.
    Box,
}

impl WindowShape {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Which frames the second template image is cut from. Only scores above `update_above` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefreshedFrom {
    /// The frame with the best score of each interval. Without such a frame the image is the first template again. The rule
    /// of MixFormer (Cui et al., CVPR 2022).
    #[default]
    Best,
    /// The last frame of each interval. If its score does not count, the image stays. The rule of STARK (Yan et al., ICCV
    /// 2021) and SUTrack (Chen et al., AAAI 2025).
    Last,
}

impl RefreshedFrom {
    fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// The template side of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSettings {
    /// Tensor name, `[1, 3, size, size]`.
    pub input: String,
    /// Tensor name of a second template image of the same shape, which the family refreshes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_input: Option<String>,
    /// Which frames that second image is cut from; [`RefreshedFrom::Best`] if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_from: Option<RefreshedFrom>,
    /// Tensor name of the target's box in the template image, `[1, 4]`: left, top, right and bottom as shares of its
    /// side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub box_input: Option<String>,
    /// The same of the second template image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_box_input: Option<String>,
    /// Tensor name of the cells of the template image that lie outside the frame, `[1, n, n]` with `n` = `size` / stride. See
    /// [`crate::crop::outside()`] for the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_input: Option<String>,
    /// The same of the second template image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_outside_input: Option<String>,
    /// Pixels a side.
    pub size: usize,
    /// Shape of the template and search regions.
    #[serde(default, skip_serializing_if = "WindowShape::is_usual")]
    pub window: WindowShape,
    /// Context on each side of the target: in square regions as a share of (width + height) / 2, in regions of the
    /// target's shape as a share of its width and height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<f64>,
    /// Side of the template region in units of the target's mean side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Outputs of the template graph and inputs of the track graph.
    #[serde(default)]
    pub outputs: Vec<String>,
}

/// The search side of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// Tensor name, `[1, 3, size, size]`.
    pub input: String,
    /// Tensor name of the cells of the search image that lie outside the frame, `[1, n, n]` with `n` = size / stride. See
    /// [`crate::crop::outside()`] for the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_input: Option<String>,
    /// Pixels a side: the usual size, then optionally that for small targets.
    pub sizes: Vec<usize>,
    /// The second size serves targets whose share of the image's area is below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_target_area: Option<f64>,
    /// Side of the template region in search pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplar_size: Option<usize>,
    /// Side of the search region in units of the target's mean side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Search pixels per cell of the score map.
    pub stride: usize,
    /// Cells along each side of the score map, if they are not the search size over the stride.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<usize>,
}

/// The outputs of the track graph. Which there are, and their shapes, depends on the family.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// Scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreOutput>,
    /// Boxes, or the distances from each cell to the box's sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<MapOutput>,
    /// Width and height of the box at each cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<MapOutput>,
    /// Where in its cell the box's centre lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<MapOutput>,
    /// Features of the search image, for a classifier that learns while the target is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureOutput>,
}

impl Outputs {
    /// The tensor names of the outputs there are, with their keys.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let maps = [
            ("outputs.boxes", &self.boxes),
            ("outputs.size", &self.size),
            ("outputs.offset", &self.offset),
        ];
        let score = self.score.iter();
        let features = self.features.iter();
        score
            .map(|score| ("outputs.score", score.name.as_str()))
            .chain(
                maps.into_iter()
                    .filter_map(|(key, map)| Some((key, map.as_ref()?.name.as_str()))),
            )
            .chain(features.map(|features| ("outputs.features", features.name.as_str())))
    }
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

/// An output beside the score.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapOutput {
    /// Tensor name.
    pub name: String,
}

/// Features of the search image, `[1, channels, n, n]` on the cells of the score map.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureOutput {
    /// Tensor name.
    pub name: String,
    /// Features per cell.
    pub channels: usize,
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

/// Layers whose weights and activations are whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// Bits of these numbers.
    pub bits: u32,
    /// Number of these layers: convolutions and matrix products of all graphs.
    pub layers: u32,
    /// Number of all such layers.
    pub of: u32,
}

impl Manifest {
    /// Reads a manifest and checks what holds for every family; `path` is for messages. What its own family needs is
    /// checked by [`crate::families::check`].
    ///
    /// # Errors
    /// [`ModelError::Manifest`] for text that is no manifest (with the place), [`ModelError::Value`] for a value
    /// that cannot be (with the key, the value and what is expected).
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let manifest: Self = serde_yaml::from_str(text).map_err(|error| ModelError::Manifest {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        let checked = manifest.check().and_then(|()| manifest.check_names());
        checked.map_err(|refusal| refusal.in_manifest(path.to_path_buf()))?;
        Ok(manifest)
    }

    /// The set of constants called `name`.
    ///
    /// # Errors
    /// A [`Refusal`] that lists the names there are.
    pub fn constants(&self, name: &str) -> Result<Constants, Refusal> {
        self.tracking.get(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.tracking.keys().map(String::as_str).collect();
            Refusal::new(
                "the chosen set of tracking constants",
                name,
                format!("one of {}", names.join(", ")),
            )
        })
    }

    /// The keys that only some families read, as far as they are there, with their values.
    pub fn family_keys(&self) -> Vec<(&'static str, String)> {
        let (template, search) = (&self.template, &self.search);
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let window = (!template.window.is_usual()).then(|| "box".to_owned());
        let keys = [
            ("template.refreshed_input", template.refreshed_input.clone()),
            (
                "template.refreshed_from",
                template.refreshed_from.map(|from| from.name().to_owned()),
            ),
            ("template.box_input", template.box_input.clone()),
            (
                "template.refreshed_box_input",
                template.refreshed_box_input.clone(),
            ),
            ("template.outside_input", template.outside_input.clone()),
            (
                "template.refreshed_outside_input",
                template.refreshed_outside_input.clone(),
            ),
            ("search.outside_input", search.outside_input.clone()),
            ("template.window", window),
            ("template.context", number(template.context)),
            ("template.factor", number(template.factor)),
            (
                "search.exemplar_size",
                search.exemplar_size.map(|side| side.to_string()),
            ),
            ("search.factor", number(search.factor)),
            ("search.cells", search.cells.map(|cells| cells.to_string())),
        ];
        let there = keys.into_iter();
        there
            .filter_map(|(key, value)| Some((key, value?)))
            .chain(
                self.outputs
                    .names()
                    .map(|(key, name)| (key, name.to_owned())),
            )
            .collect()
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let template = &self.template;
        if self.files.template.is_none() && !template.outputs.is_empty() {
            return Err(Refusal::new(
                "template.outputs",
                template.outputs.join(", "),
                "none without files.template, the graph that gives them",
            ));
        }
        let inputs = [
            Some(&template.input),
            template.refreshed_input.as_ref(),
            template.box_input.as_ref(),
            template.refreshed_box_input.as_ref(),
            template.outside_input.as_ref(),
            template.refreshed_outside_input.as_ref(),
            Some(&self.search.input),
            self.search.outside_input.as_ref(),
        ];
        distinct("*.input", inputs.into_iter().flatten().map(String::as_str))?;
        distinct(
            "template.outputs",
            template.outputs.iter().map(String::as_str),
        )?;
        distinct("outputs.*.name", self.outputs.names().map(|(_, name)| name))
    }

    fn check(&self) -> Result<(), Refusal> {
        let ensure = |fits: bool,
                      key: &'static str,
                      got: String,
                      expected: &'static str|
         -> Result<(), Refusal> {
            if fits {
                Ok(())
            } else {
                Err(Refusal::new(key, got, expected))
            }
        };
        ensure(
            self.format == FORMAT,
            "format",
            self.format.to_string(),
            "1",
        )?;
        for file in self.files.template.iter().chain([&self.files.track]) {
            // A model folder is copied as a whole, so its files lie in it.
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
        if let Some(Quantization { bits, layers, of }) = self.quantization {
            ensure(bits == 8, "quantization.bits", bits.to_string(), "8")?;
            ensure(
                (1..=of).contains(&layers),
                "quantization.layers",
                layers.to_string(),
                "1 or more, and at most quantization.of",
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
        // The limit keeps a typing error from using up the memory.
        let sides = 8..=2048;
        ensure(
            sides.contains(&self.template.size),
            "template.size",
            self.template.size.to_string(),
            "8..=2048",
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
        // A cell begins at every multiple of the stride.
        let outside = [
            (
                "template.size",
                &self.template.outside_input,
                &[self.template.size][..],
            ),
            ("search.sizes", &search.outside_input, &search.sizes[..]),
        ];
        for (key, input, sizes) in outside {
            ensure(
                input.is_none() || sizes.iter().all(|size| size.is_multiple_of(stride)),
                key,
                format!("{sizes:?} at a stride of {stride}"),
                "multiples of search.stride, for the input of cells outside the frame",
            )?;
        }
        let template = &self.template;
        ensure(
            template.refreshed_from.is_none() || template.refreshed_input.is_some(),
            "template.refreshed_from",
            "without template.refreshed_input".to_owned(),
            "a model with a second template image",
        )?;
        // What a network takes of one template image it takes of the other.
        for (key, first, second, expected) in [
            (
                "template.refreshed_box_input",
                &template.box_input,
                &template.refreshed_box_input,
                "a name with template.box_input and template.refreshed_input, else none",
            ),
            (
                "template.refreshed_outside_input",
                &template.outside_input,
                &template.refreshed_outside_input,
                "a name with template.outside_input and template.refreshed_input, else none",
            ),
        ] {
            ensure(
                second.is_some() == (first.is_some() && template.refreshed_input.is_some()),
                key,
                second.clone().unwrap_or_else(|| "missing".to_owned()),
                expected,
            )?;
        }
        if let Some(cells) = search.cells {
            ensure(
                (2..=512).contains(&cells),
                "search.cells",
                cells.to_string(),
                "2..=512",
            )?;
        }
        if let Some(features) = &self.outputs.features {
            // The limit bounds the time of the classifier, which grows with the square of the number.
            ensure(
                (1..=256).contains(&features.channels),
                "outputs.features.channels",
                features.channels.to_string(),
                "1..=256",
            )?;
        }
        ensure(
            self.tracking.contains_key("default"),
            "tracking",
            "without `default`".to_owned(),
            "a set `default`",
        )?;
        self.lost
            .check()
            .map_err(|(key, got, expected)| Refusal::new(key, got, expected))
    }
}

fn distinct<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Refusal::new(
                key,
                format!("{name} twice"),
                "tensors of different names",
            ));
        }
    }
    Ok(())
}
