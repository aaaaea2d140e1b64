//! Settings as the page shows them.

use serde::{Deserialize, Serialize};

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

/// One setting with all that is needed to show and change it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its name, as in a parameter file.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The value in force.
    pub value: Value,
    /// The value without a file.
    pub default: Value,
    /// The least and the greatest number, where it is one.
    pub range: Option<[f64; 2]>,
    /// A number outside the range that stands for "as the model says".
    pub none: Option<f64>,
    /// The values that it may have, where they are few.
    pub choices: Option<Vec<String>>,
}
