//! Parameter values that a user gives: ROS 2 parameter files, and `-p` on the command line.
//!
//! The client library reads only the section `/**` and the section with the node's own name, and silently ignores all other
//! patterns. Here they are read as rclcpp reads them.

use std::path::Path;

use serde_yaml::Value as Yaml;

use super::arguments::ros_arguments;
use super::parameters::{ParameterError, ParameterSet, Value};

/// The parameter that every ROS 2 node has.
pub const USE_SIM_TIME: &str = "use_sim_time";

/// Sections of parameters in the order in which they were given, each for the nodes whose name its pattern matches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    sections: Vec<(String, Vec<(String, Yaml)>)>,
}

/// Results of applying [`Overrides`], in addition to the parameters themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// One warning for each unknown name. ROS 2 nodes ignore parameters of other nodes, but a misspelt name should be noticed.
    pub warnings: Vec<String>,
    /// Whether simulated time is wanted.
    pub use_sim_time: bool,
}

impl Overrides {
    /// Reads the text of a parameter file.
    ///
    /// # Errors
    /// [`ParameterError::File`] if the text is no parameter file.
    pub fn from_text(text: &str) -> Result<Self, ParameterError> {
        let mut overrides = Self::default();
        overrides.add_text(text).map_err(ParameterError::File)?;
        Ok(overrides)
    }

    /// From all `--params-file FILE` and `-p [NODE:]NAME:=VALUE` between `--ros-args` and `--`. As in rclcpp, a pattern keeps
    /// the place where it came first, and what has no `NODE` is for `/**`.
    ///
    /// # Errors
    /// [`ParameterError::File`] if a file cannot be read or is no parameter file, or if an argument has another form.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, ParameterError> {
        let mut overrides = Self::default();
        for (flag, argument) in ros_arguments(arguments) {
            let added = match flag.as_str() {
                "--params-file" => overrides.add_file(Path::new(&argument)),
                "-p" | "--param" => overrides.add_rule(&argument),
                _ => Ok(()),
            };
            added.map_err(ParameterError::File)?;
        }
        Ok(overrides)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), String> {
        std::fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| self.add_text(&text))
            .map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn add_text(&mut self, text: &str) -> Result<(), String> {
        let document: Yaml = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        if !document.is_mapping() {
            return Err("expected node names with `ros__parameters` below them".into());
        }
        self.add_nodes("", &document)
    }

    /// The nodes and namespaces below `name`, a namespace or a node.
    fn add_nodes(&mut self, name: &str, below: &Yaml) -> Result<(), String> {
        let Yaml::Mapping(entries) = below else {
            return Err(format!(
                "expected `ros__parameters` with values below {name:?}"
            ));
        };
        for (key, value) in entries {
            let Some(key) = key.as_str() else {
                return Err(format!("expected a node name, got {}", one_line(key)));
            };
            if key == "ros__parameters" && !name.is_empty() {
                let Yaml::Mapping(values) = value else {
                    return Err(format!(
                        "expected values below `ros__parameters` of {name:?}, got {}",
                        one_line(value)
                    ));
                };
                for (key, value) in values {
                    let key = key.as_str().map_or_else(|| one_line(key), str::to_owned);
                    self.add(name, key, value.clone());
                }
            } else {
                let separator = if name.is_empty() { "" } else { "/" };
                self.add_nodes(&format!("{name}{separator}{key}"), value)?;
            }
        }
        Ok(())
    }

    fn add_rule(&mut self, rule: &str) -> Result<(), String> {
        let parsed = rule.split_once(":=").and_then(|(name, value)| {
            let (node, name) = name.rsplit_once(':').unwrap_or(("/**", name));
            Some((node, name, serde_yaml::from_str(value).ok()?))
        });
        let Some((node, name, value)) = parsed else {
            return Err(format!("expected -p NAME:=VALUE, got {rule:?}"));
        };
        self.add(node, name.to_owned(), value);
        Ok(())
    }

    fn add(&mut self, pattern: &str, name: String, value: Yaml) {
        let known = self.sections.iter_mut().find(|(known, _)| known == pattern);
        match known {
            Some((_, values)) => values.push((name, value)),
            None => self
                .sections
                .push((pattern.to_owned(), vec![(name, value)])),
        }
    }

    /// Sets the parameters that are meant for the node `full_name` (`/robot/tracker`).
    ///
    /// # Errors
    /// If a value has another type or is out of range. Then no parameter has changed.
    pub fn apply(
        &self,
        parameters: &mut impl ParameterSet,
        full_name: &str,
    ) -> Result<Applied, ParameterError> {
        let mut accepted = parameters.clone();
        let mut applied = Applied::default();
        let sections = self.sections.iter();
        let meant = sections.filter(|(pattern, _)| matches_node(pattern, full_name));
        for (name, value) in meant.flat_map(|(_, values)| values) {
            if name == USE_SIM_TIME {
                applied.use_sim_time = as_bool(value).ok_or_else(|| {
                    let got = one_line(value);
                    ParameterError::File(format!("{name} is {got}, expected true or false"))
                })?;
                continue;
            }
            let known = accepted.get(name);
            let scalar = match known {
                Some(Value::Bool(_)) => as_bool(value).map(Value::Bool),
                _ => None,
            };
            match scalar
                .or_else(|| scalar_of(value))
                .map(|value| accepted.set(name, &value))
            {
                Some(Ok(_)) => {}
                Some(Err(error @ ParameterError::Unknown { .. })) => {
                    applied.warnings.push(error.to_string());
                }
                Some(Err(error)) => return Err(error),
                None if known.is_none() => {
                    applied
                        .warnings
                        .push(format!("there is no parameter {name:?}"));
                }
                None => {
                    return Err(ParameterError::File(format!(
                        "{name}: expected one value, got {}",
                        one_line(value)
                    )));
                }
            }
        }
        *parameters = accepted;
        Ok(applied)
    }
}

pub(super) fn scalar_of(value: &Yaml) -> Option<Value> {
    match value {
        Yaml::Bool(value) => Some(Value::Bool(*value)),
        Yaml::String(value) => Some(Value::Text(value.clone())),
        Yaml::Number(number) => number
            .as_i64()
            .map(Value::Integer)
            .or_else(|| number.as_f64().map(Value::Float)),
        Yaml::Null | Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_) => None,
    }
}

/// True or false in the words of YAML 1.1, which ROS 2 reads.
fn as_bool(value: &Yaml) -> Option<bool> {
    match value {
        Yaml::Bool(value) => Some(*value),
        Yaml::String(word) => match word.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" => Some(true),
            "n" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A value in one line, for messages.
fn one_line(value: &Yaml) -> String {
    serde_yaml::to_string(value)
        .map(|text| text.trim().replace('\n', "; "))
        .unwrap_or_default()
}

/// Whether a node name of a parameter file, with `*` for one part and `**` for any, means the node `full_name`
/// (`/robot/tracker`). A bare name means the node of that name in the root namespace.
fn matches_node<'a>(pattern: &'a str, full_name: &'a str) -> bool {
    fn parts_match(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => {
                (0..=name.len()).any(|skipped| parts_match(rest, &name[skipped..]))
            }
            (Some((part, rest)), Some((first, others))) => {
                (*part == "*" || part == first) && parts_match(rest, others)
            }
            _ => false,
        }
    }
    let parts = |text: &'a str| {
        text.split('/')
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
    };
    parts_match(&parts(pattern), &parts(full_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    #[test]
    fn refuses_a_damaged_file_as_a_whole() {
        let mut parameters = Parameters::default();
        let text = "/**:\n  ros__parameters:\n    search_scale: 2\n    use_sim_time: true\n    colour: red\n    nested: {a: 1}\n/other:\n  ros__parameters:\n    search_scale: 3\n/robot/tracker:\n  ros__parameters:\n    num_threads: 2\n";
        let read = |parameters: &mut Parameters, text: &str, name: &str| {
            Overrides::from_text(text)?.apply(parameters, name)
        };
        let Applied {
            warnings,
            use_sim_time,
        } = read(&mut parameters, text, "/robot/tracker").unwrap();
        assert!(use_sim_time);
        assert_eq!((parameters.search_scale, parameters.num_threads), (2.0, 2));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0].contains("\"colour\"") && warnings[1].contains("\"nested\""),
            "{warnings:?}"
        );
        let before = parameters.clone();
        for bad in [
            "7",
            "a: [",
            "/**:\n  search_scale: 2",
            "/**:\n  ros__parameters:\n    search_scale: 1\n    num_threads: 900",
            "/**:\n  ros__parameters:\n    search_scale: [1, 2]",
        ] {
            read(&mut parameters, bad, "/tracker").unwrap_err();
            assert_eq!(parameters, before, "{bad}");
        }
    }

    #[test]
    fn finds_sections_as_rclcpp_does() {
        for (text, expected) in [
            ("/**/tracker: {ros__parameters: {search_scale: 2}}", 2.0),
            ("/robot/*: {ros__parameters: {search_scale: 2}}", 2.0),
            (
                "robot: {tracker: {ros__parameters: {search_scale: 2}}}",
                2.0,
            ),
            ("robot/tracker: {ros__parameters: {search_scale: 2}}", 2.0),
            ("tracker: {ros__parameters: {search_scale: 2}}", 1.0),
            ("robot: {other: {ros__parameters: {search_scale: 2}}}", 1.0),
        ] {
            let mut parameters = Parameters::default();
            let overrides = Overrides::from_text(text).unwrap();
            overrides.apply(&mut parameters, "/robot/tracker").unwrap();
            assert_eq!(parameters.search_scale, expected, "{text}");
        }
    }

    #[test]
    fn applies_files_and_rules_in_the_order_of_the_command_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "/**: {ros__parameters: {search_scale: 2, num_threads: 3, publish_overlay: off}}\n\
                    /robot/tracker: {ros__parameters: {num_threads: 4}}";
        std::fs::write(&file, text).unwrap();
        let path = file.path().to_str().unwrap();
        let read = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|&argument| argument.to_owned());
            let mut parameters = Parameters::default();
            let overrides = Overrides::from_arguments(arguments)?;
            let applied = overrides.apply(&mut parameters, "/robot/tracker")?;
            Ok::<_, ParameterError>((parameters, applied))
        };
        let (parameters, applied) = read(&[
            "node",
            "-p",
            "search_scale:=7",
            "--ros-args",
            "--params-file",
            path,
            "-p",
            "search_scale:=3.5",
            "--param",
            "other:search_scale:=5",
            "-p",
            "use_sim_time:=yes",
            "-p",
            "class_id:=car",
            "-p",
            "num_threads:=8",
        ])
        .unwrap();
        assert_eq!(applied.warnings, [""; 0]);
        assert!(applied.use_sim_time && !parameters.publish_overlay);
        assert_eq!(
            (parameters.search_scale, parameters.class_id.as_str()),
            (3.5, "car")
        );
        // The section of the node's own name comes after that of all nodes, to which such a rule belongs.
        assert_eq!(parameters.num_threads, 4);
        for (arguments, words) in [
            (["--params-file", "absent.yaml"], "absent.yaml"),
            (["-p", "search_scale"], "expected -p NAME:=VALUE"),
            (["-p", "search_scale:="], "expected one value, got null"),
            (["-p", "use_sim_time:=7"], "expected true or false"),
            (["-p", "search_scale:=wide"], "expected a number"),
        ] {
            let error = read(&["--ros-args", arguments[0], arguments[1]]).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn matches_node_names_as_ros_does() {
        for (pattern, expected) in [
            ("/**", true),
            ("/robot/tracker", true),
            ("robot/tracker", true),
            ("/*/tracker", true),
            ("/**/tracker", true),
            ("/robot/*", true),
            ("tracker", false),
            ("/robot", false),
            ("/*", false),
            ("/robot/tracker/more", false),
        ] {
            assert_eq!(
                matches_node(pattern, "/robot/tracker"),
                expected,
                "{pattern}"
            );
        }
    }
}
