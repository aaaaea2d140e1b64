//! The constants of a tracker family: numbers by name, in the order of their names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values of a family's constants by name. The accepted names and values are in the family's table
/// ([`crate::families::Family::constants`]).
///
/// ```
/// use ettrack::model::Constants;
///
/// let constants = Constants::from_iter([("penalty_k", 0.04)]);
/// assert_eq!(constants.get("penalty_k"), Some(0.04));
/// assert_eq!(constants.get("learning_rate"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Constants(BTreeMap<String, f64>);

impl Constants {
    /// The constant called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Sets the constant called `name`.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// All constants that are set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// These constants, replaced by those that `overrides` sets.
    #[must_use]
    pub fn with(mut self, overrides: &Self) -> Self {
        self.0.extend(overrides.0.clone());
        self
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Constants {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(constants: I) -> Self {
        let constants = constants.into_iter();
        Self(
            constants
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}
