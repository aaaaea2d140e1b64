//! Resolves topic names as ROS 2 does. The client library does not tell the full name of an input's topic.
//! <https://design.ros2.org/articles/topic_and_service_names.html>

use super::arguments::ros_arguments;

/// Rules `from:=to` of a command line, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remaps {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Only for nodes of this name.
    node: Option<String>,
    from: String,
    to: String,
}

impl Remaps {
    /// The rules that follow `-r` or `--remap` between `--ros-args` and `--`. Those for the node's own name and
    /// namespace (`__node`, `__ns`, `__name`) are left to the client library.
    pub fn from_arguments(arguments: impl IntoIterator<Item = String>) -> Self {
        let rules = ros_arguments(arguments)
            .filter(|(flag, _)| flag == "-r" || flag == "--remap")
            .filter_map(|(_, rule)| Rule::parse(&rule))
            .collect();
        Self { rules }
    }

    /// The full name of topic `name` (relative, `~` or absolute) of the node `node` in `namespace` (`/`, `/robot`).
    pub fn resolve(&self, name: &str, namespace: &str, node: &str) -> String {
        let full = expand(name, namespace, node);
        self.rules
            .iter()
            .find(|rule| {
                rule.node.as_deref().is_none_or(|only| only == node)
                    && expand(&rule.from, namespace, node) == full
            })
            .map_or(full, |rule| expand(&rule.to, namespace, node))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(":=")?;
        let (node, from) = match from.split_once(':') {
            // The prefix rostopic:// limits a rule to topics.
            Some(("rostopic", name)) => (None, name.trim_start_matches("//")),
            Some((node, name)) => (Some(node.to_owned()), name),
            None => (None, from),
        };
        let to = to.strip_prefix("rostopic://").unwrap_or(to);
        (!from.starts_with("__") && !from.is_empty() && !to.is_empty()).then(|| Self {
            node,
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }
}

fn expand(name: &str, namespace: &str, node: &str) -> String {
    let namespace = namespace.trim_end_matches('/');
    if name.starts_with('/') {
        name.to_owned()
    } else if let Some(rest) = name.strip_prefix('~') {
        let rest = rest.trim_start_matches('/');
        let separator = if rest.is_empty() { "" } else { "/" };
        format!("{namespace}/{node}{separator}{rest}")
    } else {
        format!("{namespace}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaps(arguments: &[&str]) -> Remaps {
        Remaps::from_arguments(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn expands_names() {
        let none = Remaps::default();
        for (name, namespace, expected) in [
            ("image", "/", "/image"),
            ("image", "/robot", "/robot/image"),
            ("/camera/image", "/robot", "/camera/image"),
            ("~/overlay", "/robot", "/robot/tracker/overlay"),
            ("~", "/", "/tracker"),
        ] {
            assert_eq!(none.resolve(name, namespace, "tracker"), expected);
        }
    }

    #[test]
    fn reads_rules_where_ros_does_and_applies_the_first_match() {
        let rules = remaps(&[
            "node",
            "-r",
            "image:=/no",
            "--ros-args",
            "-r",
            "__ns:=/x",
            "-r",
            "other:image:=/other",
            "--remap",
            "image:=camera/image_raw",
            "-r",
            "/robot/image:=/late",
            "-r",
            "rostopic://initial_roi:=/roi",
            "--",
            "-r",
            "detections:=/no",
        ]);
        let name = |topic| rules.resolve(topic, "/robot", "tracker");
        assert_eq!(name("image"), "/robot/camera/image_raw");
        assert_eq!(name("initial_roi"), "/roi");
        assert_eq!(name("detections"), "/robot/detections");
        assert_eq!(rules.resolve("image", "/robot", "other"), "/other");
    }

    #[test]
    fn ignores_arguments_that_are_no_rules() {
        assert_eq!(
            remaps(&["--ros-args", "-r", "image", "-r", ":=", "-r"]),
            Remaps::default()
        );
    }
}
