//! Tracker families: how the outputs of a network become boxes. docs/extending.md shows how to add one.
//!
//! A family is one file that implements [`Family`]. It is listed in [`FAMILIES`] and nowhere else; a manifest names it
//! by its key `family`.

mod anchor_free;
mod appearance;
mod centre_head;
mod choice;
mod classifier;
mod engine;
mod lookalikes;
mod nanotrack;
mod pytracking;
mod refresh;
mod siamese;
mod siamfcpp;
mod single_box;

use std::ops::RangeInclusive;

pub use appearance::Appearance;
pub use engine::{Engine, Loop, SearchRegion, TemplateUpdate, activate};

use crate::follower::Follower;
use crate::model::network::WantedOutput;
use crate::model::{Constants, Manifest, ModelError, ModelFolder, NetworkOptions, Refusal};

/// Every family that a manifest may name.
pub static FAMILIES: &[&dyn Family] = &[
    &anchor_free::Family,
    &centre_head::Family,
    &nanotrack::Family,
    &siamfcpp::Family,
    &single_box::Family,
];

/// A tracker family.
pub trait Family: Sync {
    /// Its name in `model.yaml`.
    fn name(&self) -> &'static str;

    /// The trackers that belong to it, for messages and documentation.
    fn trackers(&self) -> &'static str;

    /// The keys of a manifest that this family reads and others may not. Keys that are in every manifest are not listed.
    fn keys(&self) -> &'static [Key];

    /// Its constants.
    fn constants(&self) -> &'static [Constant];

    /// Cells along each side of the score map for a search image of `search_size` pixels a side; `None` for a family
    /// whose network gives boxes without a score map.
    fn map_side(&self, manifest: &Manifest, search_size: usize) -> Option<usize>;

    /// The outputs of the track graph that it reads, in the order in which it reads them, with their shapes for a search
    /// image of `search_size` pixels a side.
    ///
    /// # Errors
    /// [`Refusal`] if the manifest does not name one of them.
    fn outputs<'m>(
        &self,
        manifest: &'m Manifest,
        search_size: usize,
    ) -> Result<Vec<WantedOutput<'m>>, Refusal>;

    /// Opens a model whose manifest and constants were checked.
    ///
    /// # Errors
    /// [`ModelError`] if a file or a graph is not what the manifest says.
    fn open(
        &self,
        model: &ModelFolder,
        constants: &Constants,
        options: &NetworkOptions,
    ) -> Result<Box<dyn Follower>, ModelError>;
}

/// A key of a manifest that a family reads.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// With dots, such as `template.context`.
    pub name: &'static str,
    /// Whether the manifest must have it.
    pub is_needed: bool,
}

impl Key {
    /// A key that the manifest must have.
    pub const fn needed(name: &'static str) -> Self {
        Self {
            name,
            is_needed: true,
        }
    }

    /// A key that the manifest may have.
    pub const fn optional(name: &'static str) -> Self {
        Self {
            name,
            is_needed: false,
        }
    }
}

/// A number in a family's loop that a manifest sets under `tracking` and a user may override.
#[derive(Debug, Clone)]
pub struct Constant {
    /// Its name in the manifest.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// The accepted values.
    pub range: RangeInclusive<f64>,
    /// Whether each set of constants must have it.
    pub is_needed: bool,
    /// Where it acts, if not always.
    pub condition: Option<Condition>,
}

/// What a manifest must say for a constant to act.
#[derive(Debug, Clone, Copy)]
pub struct Condition {
    /// In words, such as `` `template.window: box` ``.
    pub words: &'static str,
    /// Whether a manifest says it.
    pub holds: fn(&Manifest) -> bool,
}

impl Constant {
    /// A constant that each set must have.
    pub const fn needed(
        name: &'static str,
        range: RangeInclusive<f64>,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            description,
            range,
            is_needed: true,
            condition: None,
        }
    }

    /// A constant that a set may have where `condition` holds.
    pub const fn optional(
        name: &'static str,
        range: RangeInclusive<f64>,
        condition: Option<Condition>,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            description,
            range,
            is_needed: false,
            condition,
        }
    }

    /// Whether it acts in models with this manifest.
    pub fn applies_to(&self, manifest: &Manifest) -> bool {
        self.condition
            .is_none_or(|condition| (condition.holds)(manifest))
    }

    /// The accepted values, such as `0..=1` or `0 or more`.
    pub fn expected(&self) -> String {
        let (least, most) = (self.range.start(), self.range.end());
        if *most == f64::MAX {
            format!("{least} or more")
        } else {
            format!("{least}..={most}")
        }
    }
}

/// The family that a model's manifest names.
///
/// # Errors
/// [`ModelError::Value`] with the list of families for an unknown one.
pub fn family_of(model: &ModelFolder) -> Result<&'static dyn Family, ModelError> {
    by_name(&model.manifest.family).map_err(|refusal| refusal.in_manifest(model.manifest_path()))
}

/// The family called `name`.
///
/// # Errors
/// [`Refusal`] with the list of families for an unknown one.
pub fn by_name(name: &str) -> Result<&'static dyn Family, Refusal> {
    FAMILIES
        .iter()
        .find(|family| family.name() == name)
        .copied()
        .ok_or_else(|| {
            let known: Vec<&str> = FAMILIES.iter().map(|family| family.name()).collect();
            Refusal::new("family", name, format!("one of {}", known.join(", ")))
        })
}

/// Checks a manifest against its family: a key that the family needs and that is missing, one that does nothing in this
/// family, a constant that is unknown or out of its range, a score map that is too small.
///
/// A key that does nothing is refused like an unknown one, because its author expects it to act.
///
/// # Errors
/// [`Refusal`] with the first key that does not fit.
pub fn check(family: &dyn Family, manifest: &Manifest) -> Result<(), Refusal> {
    let name = family.name();
    if manifest.family != name {
        return Err(Refusal::new("family", manifest.family.as_str(), name));
    }
    let there = manifest.family_keys();
    for (key, value) in &there {
        if !family.keys().iter().any(|known| known.name == *key) {
            let expected = format!("nothing: in the family {name} it does nothing");
            return Err(Refusal::new(*key, value.as_str(), expected));
        }
    }
    for key in family.keys().iter().filter(|key| key.is_needed) {
        if !there.iter().any(|(known, _)| *known == key.name) {
            return Err(missing(key.name, family));
        }
    }
    let sizes = manifest.search.sizes.len();
    if let Some(cells) = manifest.search.cells
        && sizes != 1
    {
        let got = format!("{cells} with {sizes} search sizes");
        return Err(Refusal::new("search.cells", got, "one search size"));
    }
    for size in &manifest.search.sizes {
        if family
            .map_side(manifest, *size)
            .is_some_and(|side| side < 2)
        {
            let stride = manifest.search.stride.to_string();
            return Err(Refusal::new(
                "search.stride",
                stride,
                "at least two cells a side",
            ));
        }
    }
    for (set, constants) in &manifest.tracking {
        check_constants(family, manifest, set, constants)?;
        // If the family refreshes its template by the common rule, each set needs the rule's constants.
        if family.constants().iter().any(refresh::is_constant) {
            refresh::Refresh::new(family, manifest, constants)?;
        }
    }
    Ok(())
}

/// Checks the set of constants called `set` against its family's table.
///
/// # Errors
/// [`Refusal`] with the first constant that is unknown, does nothing, is out of its range or missing.
pub fn check_constants(
    family: &dyn Family,
    manifest: &Manifest,
    set: &str,
    constants: &Constants,
) -> Result<(), Refusal> {
    let key = |name: &str| format!("tracking.{set}.{name}");
    for (name, value) in constants.iter() {
        let refuse = |expected: String| Err(Refusal::new(key(name), value.to_string(), expected));
        let Some(constant) = family.constants().iter().find(|known| known.name == name) else {
            let known: Vec<&str> = family.constants().iter().map(|c| c.name).collect();
            let known = if known.is_empty() {
                "no constants".to_owned()
            } else {
                known.join(", ")
            };
            let name = family.name();
            return refuse(format!("nothing: the family {name} has {known}"));
        };
        if !constant.range.contains(&value) {
            return refuse(constant.expected());
        }
        if let Some(condition) = constant.condition
            && !constant.applies_to(manifest)
        {
            return refuse(format!(
                "nothing: without {} it does nothing",
                condition.words
            ));
        }
    }
    for constant in family.constants() {
        if constant.is_needed && constants.get(constant.name).is_none() {
            return Err(missing(&key(constant.name), family));
        }
    }
    Ok(())
}

/// The refusal of a manifest without `key`.
fn missing(key: &str, family: &dyn Family) -> Refusal {
    let expected = format!("given, for the family {}", family.name());
    Refusal::new(key, "missing", expected)
}

/// A value that the family needs, if the manifest has it.
///
/// # Errors
/// [`Refusal`] where it has not.
pub fn needed<T>(family: &dyn Family, value: Option<T>, key: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| missing(key, family))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FAMILIES, by_name, check};
    use crate::model::Manifest;

    const ANCHOR_FREE: &str = include_str!("../../../../tests/data/micro_model/model.yaml");

    /// The same model with the keys of another family.
    fn centre_head() -> String {
        changed(
            ANCHOR_FREE,
            &[
                ("family: anchor_free", "family: centre_head"),
                ("  context: 0.5", "  factor: 2.0"),
                ("  exemplar_size: 32", "  factor: 4.0"),
                (
                    "  boxes: {name: reg}",
                    "  size: {name: s}\n  offset: {name: o}",
                ),
                (
                    "{window_influence: 0.225, penalty_k: 0.007, learning_rate: 0.616}",
                    "{}",
                ),
            ],
        )
    }

    fn changed(text: &str, changes: &[(&str, &str)]) -> String {
        changes.iter().fold(text.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} in {text}");
            text.replacen(from, to, 1)
        })
    }

    fn checked(text: &str) -> Result<(), String> {
        let manifest =
            Manifest::parse(text, Path::new("model.yaml")).map_err(|error| error.to_string())?;
        by_name(&manifest.family)
            .and_then(|family| check(family, &manifest))
            .map_err(|refusal| refusal.in_manifest("model.yaml".into()).to_string())
    }

    #[test]
    fn every_family_has_a_name_of_its_own_and_documented_constants() {
        let documentation = include_str!("../../../../docs/model-folder.md");
        for family in FAMILIES {
            let name = family.name();
            let same = FAMILIES.iter().filter(|other| other.name() == name);
            assert_eq!(same.count(), 1, "{name}");
            assert!(documentation.contains(&format!("`{name}`")), "{name}");
            for constant in family.constants() {
                assert!(documentation.contains(&format!("`{}`", constant.name)));
                assert!(!constant.description.is_empty() && !constant.range.is_empty());
            }
        }
    }

    #[test]
    fn refuses_keys_that_do_nothing_or_are_missing_by_name() {
        let centre_head = centre_head();
        for text in [ANCHOR_FREE, &centre_head] {
            checked(text).unwrap();
        }
        for (text, from, to, words) in [
            (
                ANCHOR_FREE,
                "family: anchor_free",
                "family: anchor",
                "family is anchor, expected one of anchor_free, centre_head, nanotrack, siamfcpp, single_box",
            ),
            (
                ANCHOR_FREE,
                "  context: 0.5",
                "  context: 0.5\n  factor: 2.0",
                "template.factor is 2, expected nothing: in the family anchor_free",
            ),
            (
                ANCHOR_FREE,
                "  context: 0.5",
                "  context: 0.5\n  refreshed_input: second",
                "template.refreshed_input is second, expected nothing",
            ),
            (
                ANCHOR_FREE,
                "  context: 0.5\n",
                "",
                "template.context is missing, expected given, for the family anchor_free",
            ),
            (
                ANCHOR_FREE,
                "  boxes: {name: reg}",
                "  boxes: {name: reg}\n  size: {name: size}",
                "outputs.size is size, expected nothing",
            ),
            (
                ANCHOR_FREE,
                "  boxes: {name: reg}",
                "  boxes: {name: cls}",
                "outputs.*.name is cls twice",
            ),
            (
                ANCHOR_FREE,
                "[template_features]",
                "[template_features, template_features]",
                "template.outputs is template_features twice",
            ),
            (
                ANCHOR_FREE,
                "  default:",
                "  other: {window_influence: 0.2, penalty_k: 0.1}\n  default:",
                "tracking.other.learning_rate is missing",
            ),
            (
                ANCHOR_FREE,
                "penalty_k: 0.007",
                "penalty_k: -1",
                "tracking.default.penalty_k is -1, expected 0 or more",
            ),
            (
                ANCHOR_FREE,
                "penalty_k: 0.007",
                "penalty_k: 0.007, penalty: 1",
                "tracking.default.penalty is 1, expected nothing: the family anchor_free has window_influence,",
            ),
            (
                ANCHOR_FREE,
                "learning_rate: 0.616",
                "learning_rate: 0.616, kept_shape: 0.2",
                "tracking.default.kept_shape is 0.2, expected nothing: without `template.window: box`",
            ),
            (
                ANCHOR_FREE,
                "learning_rate: 0.616",
                "learning_rate: 0.616, lookalike_above: 0.25",
                "tracking.default.lookalike_above is 0.25, expected nothing: without `outputs.features`",
            ),
            (
                ANCHOR_FREE,
                "  boxes: {name: reg}",
                "  boxes: {name: reg}\n  features: {name: reg, channels: 48}",
                "outputs.*.name is reg twice",
            ),
            (
                ANCHOR_FREE,
                "  boxes: {name: reg}",
                "  boxes: {name: reg}\n  features: {name: features, channels: 1000}",
                "outputs.features.channels is 1000, expected 1..=256",
            ),
            (
                &centre_head,
                "  size: {name: s}",
                "  size: {name: s}\n  features: {name: features, channels: 48}",
                "outputs.features is features, expected nothing: in the family centre_head",
            ),
            (
                ANCHOR_FREE,
                "stride: 16",
                "stride: 64",
                "search.stride is 64, expected at least two cells a side",
            ),
            (
                ANCHOR_FREE,
                "  template: {path: template.onnx",
                "  # {path: template.onnx",
                "template.outputs is template_features, expected none without files.template",
            ),
            (
                ANCHOR_FREE,
                "  stride: 16",
                "  stride: 16\n  cells: 15",
                "search.cells is 15, expected nothing: in the family anchor_free",
            ),
            (
                &centre_head,
                "  factor: 2.0",
                "  factor: 2.0\n  context: 0.5",
                "template.context is 0.5, expected nothing",
            ),
            (
                &centre_head,
                "  factor: 2.0",
                "  factor: 2.0\n  window: box",
                "template.window is box, expected nothing: in the family centre_head",
            ),
            (
                &centre_head,
                "default: {}",
                "default: {penalty_k: 0.1}",
                "tracking.default.penalty_k is 0.1, expected nothing: the family centre_head has update_interval,",
            ),
            (
                &centre_head,
                "\n  offset: {name: o}",
                "",
                "outputs.offset is missing, expected given, for the family centre_head",
            ),
        ] {
            let error = checked(&changed(text, &[(from, to)])).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let boxed = changed(
            ANCHOR_FREE,
            &[
                ("  context: 0.5", "  context: 0.5\n  window: box"),
                (
                    "learning_rate: 0.616",
                    "learning_rate: 0.616, kept_shape: 0.2",
                ),
            ],
        );
        checked(&boxed).unwrap();
    }
}
