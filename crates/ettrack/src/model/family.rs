//! Which keys of a manifest its family reads. A key that does nothing is refused, as an unknown one is: whoever wrote it
//! expects it to act.

use super::manifest::{Constants, Family, Manifest, MapOutput, WindowShape};

/// Key, what it is, what is expected.
type Refusal = (String, String, String);

impl Manifest {
    /// The constants that the family reads, with whether a set must hold them.
    fn constants_read(&self) -> &'static [(&'static str, bool)] {
        static CHOICE: [(&str, bool); 4] = [
            ("window_influence", true),
            ("penalty_k", true),
            ("learning_rate", true),
            ("kept_shape", false),
        ];
        match (self.family, self.template.window) {
            (Family::CentreHead, _) => &[],
            (Family::AnchorFree, WindowShape::Box) => &CHOICE,
            (Family::AnchorFree | Family::Siamfcpp, _) => &CHOICE[..3],
        }
    }

    /// Names of the constants that this model has, which [`Constants`] may replace.
    pub fn constant_names(&self) -> impl Iterator<Item = &'static str> {
        self.constants_read().iter().map(|(name, _)| *name)
    }

    /// Whether every key that is there acts and every key that is needed is there.
    pub(super) fn check_family(&self) -> Result<(), Refusal> {
        let family = self.family;
        let of_siamese = family != Family::CentreHead;
        let (template, search, outputs) = (&self.template, &self.search, &self.outputs);
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let name = |map: &Option<MapOutput>| map.as_ref().map(|map| map.name.clone());
        let side = search.exemplar_size.map(|side| side.to_string());
        for (key, value, is_read) in [
            ("template.context", number(template.context), of_siamese),
            ("search.exemplar_size", side, of_siamese),
            ("outputs.boxes", name(&outputs.boxes), of_siamese),
            ("template.factor", number(template.factor), !of_siamese),
            ("search.factor", number(search.factor), !of_siamese),
            ("outputs.size", name(&outputs.size), !of_siamese),
            ("outputs.offset", name(&outputs.offset), !of_siamese),
        ] {
            presence(key, value, is_read, is_read, family)?;
        }
        for (set, constants) in &self.tracking {
            for (name, value) in constants.named() {
                let read = self.constants_read().iter().find(|(read, _)| *read == name);
                let is_needed = read.is_some_and(|(_, is_needed)| *is_needed);
                let key = format!("tracking.{set}.{name}");
                presence(&key, number(value), read.is_some(), is_needed, family)?;
            }
        }
        if self.files.template.is_none() && !template.outputs.is_empty() {
            return Err((
                "template.outputs".to_owned(),
                template.outputs.join(", "),
                "none without files.template, the graph that gives them".to_owned(),
            ));
        }
        distinct("template.outputs", template.outputs.iter())?;
        let maps = [&outputs.boxes, &outputs.size, &outputs.offset];
        let maps = maps.into_iter().flatten().map(|map| &map.name);
        distinct("outputs.*.name", maps.chain([&outputs.score.name]))
    }
}

fn presence(
    key: &str,
    value: Option<String>,
    is_read: bool,
    is_needed: bool,
    family: Family,
) -> Result<(), Refusal> {
    match value {
        Some(value) if !is_read => {
            let condition = match key.ends_with(".kept_shape") && family == Family::AnchorFree {
                true => "without `template.window: box`".to_owned(),
                false => format!("in the family {family}"),
            };
            let expected = format!("nothing: {condition} it does nothing");
            Err((key.to_owned(), value, expected))
        }
        None if is_needed => {
            let expected = format!("given, for the family {family}");
            Err((key.to_owned(), "missing".to_owned(), expected))
        }
        _ => Ok(()),
    }
}

fn distinct<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err((
                key.to_owned(),
                format!("{name} twice"),
                "tensors of different names".to_owned(),
            ));
        }
    }
    Ok(())
}

impl Constants {
    /// All of them by their keys.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        let Self {
            window_influence,
            penalty_k,
            learning_rate,
            kept_shape,
        } = *self;
        [
            ("window_influence", window_influence),
            ("penalty_k", penalty_k),
            ("learning_rate", learning_rate),
            ("kept_shape", kept_shape),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::model::Manifest;

    const ANCHOR_FREE: &str = include_str!("../../../../tests/data/micro_model/model.yaml");

    /// The same model in another family's words.
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

    #[test]
    fn a_key_that_does_nothing_or_is_missing_is_refused_by_name() {
        let parse = |text: &str| Manifest::parse(text, Path::new("model.yaml"));
        let centre_head = centre_head();
        for text in [ANCHOR_FREE, &centre_head] {
            parse(text).unwrap();
        }
        for (text, from, to, words) in [
            (
                ANCHOR_FREE,
                "  context: 0.5",
                "  context: 0.5\n  factor: 2.0",
                "template.factor is 2, expected nothing: in the family anchor_free",
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
                "learning_rate: 0.616",
                "learning_rate: 0.616, kept_shape: 0.2",
                "tracking.default.kept_shape is 0.2, expected nothing: without `template.window: box`",
            ),
            (
                ANCHOR_FREE,
                "  template: {path: template.onnx",
                "  # {path: template.onnx",
                "template.outputs is template_features, expected none without files.template",
            ),
            (
                &centre_head,
                "  factor: 2.0",
                "  factor: 2.0\n  context: 0.5",
                "template.context is 0.5, expected nothing",
            ),
            (
                &centre_head,
                "default: {}",
                "default: {penalty_k: 0.1}",
                "tracking.default.penalty_k is 0.1, expected nothing",
            ),
            (
                &centre_head,
                "\n  offset: {name: o}",
                "",
                "outputs.offset is missing, expected given, for the family centre_head",
            ),
        ] {
            let text = changed(text, &[(from, to)]);
            let error = parse(&text).unwrap_err().to_string();
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
        assert_eq!(parse(&boxed).unwrap().constant_names().count(), 4);
    }
}
