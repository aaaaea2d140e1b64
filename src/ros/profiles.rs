//! Settings files of the middlewares. A middleware ignores a missing file silently, so the node warns of it.

use std::path::Path;

/// The variables that name them: Fast DDS (until 2, from 3 on), Cyclone DDS, Zenoh.
const VARIABLES: [&str; 5] = [
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "CYCLONEDDS_URI",
    "ZENOH_SESSION_CONFIG_URI",
    "ZENOH_ROUTER_CONFIG_URI",
];

/// One warning for each variable of `environment` that names a missing file.
pub fn missing(environment: impl Fn(&str) -> Option<String>) -> Vec<String> {
    VARIABLES
        .iter()
        .filter_map(|&variable| Some((variable, environment(variable)?)))
        .filter_map(|(variable, value)| {
            let file = value.strip_prefix("file://").unwrap_or(&value);
            // Cyclone DDS also accepts the settings themselves in this variable.
            let is_file = !file.is_empty() && !file.trim_start().starts_with('<');
            (is_file && !Path::new(file).is_file()).then(|| {
                format!(
                    "{variable} names {file}, which is no file: the middleware goes on without these settings"
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn names_only_missing_files() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let of = |variable: &'static str, value: &str| {
            let value = value.to_owned();
            missing(move |asked| (asked == variable).then(|| value.clone()))
        };
        assert_eq!(of("CYCLONEDDS_URI", "<CycloneDDS/>"), [""; 0]);
        assert_eq!(of("CYCLONEDDS_URI", &format!("file://{here}")), [""; 0]);
        assert_eq!(of("FASTRTPS_DEFAULT_PROFILES_FILE", ""), [""; 0]);
        let lines = of("FASTRTPS_DEFAULT_PROFILES_FILE", "/nowhere.xml");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("/nowhere.xml"));
    }
}
