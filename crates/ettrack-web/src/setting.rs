//! Settings of the tracker in the form that the page shows.

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

/// One setting with all that the page needs to show and change it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Name, as in a parameter file.
    pub name: String,
    /// Description of its effect.
    pub description: String,
    /// The present value.
    pub value: Value,
    /// The value without a parameter file.
    pub default: Value,
    /// Whether it is a whole number. In JSON a value of 1.0 may look like one.
    pub whole: bool,
    /// Smallest and largest value, if it is a number.
    pub range: Option<[f64; 2]>,
    /// A number outside the range that means "the model's own value".
    pub none: Option<f64>,
    /// The allowed values, if they are a short list.
    pub choices: Option<Vec<String>>,
}
