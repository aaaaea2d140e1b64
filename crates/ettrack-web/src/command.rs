//! Reads the requests of viewers from the network. Limits and checks them before they are carried out.

use ettrack::geometry::BoundingBox;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::setting::Value;

/// Largest accepted coordinate or side, pixels. No picture is larger than 16384 pixels, but a box may reach out of the
/// picture.
const FARTHEST: f64 = 1e6;

/// Largest number of settings in one request.
const MOST_SETTINGS: usize = 64;

/// Position of the target in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// A box, pixels of the frame. (0, 0) is the upper-left corner of the upper-left pixel.
    Box(BoundingBox),
    /// A point on the target, pixels of the frame. A first box is grown around it.
    Point(f64, f64),
}

/// A viewer's command to the tracker or the source.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Follow this target from now on.
    Choose {
        /// Position of the target.
        place: Place,
        /// Stamp of the frame that was shown, nanoseconds. `None` for the newest frame.
        stamp: Option<i64>,
    },
    /// Stop following the target.
    Stop,
    /// Go back to the last box of the target in which it was tracked, or to the previous target.
    Undo,
    /// Pause a recorded source.
    Pause,
    /// Continue a paused source.
    Resume,
    /// Show one more frame of the source, then pause.
    Step,
    /// Restart the source from its beginning.
    Restart,
    /// Change settings, all or none.
    Set(Vec<(String, Value)>),
}

/// A command with the channel for its answer. If it is dropped without an answer, it counts as refused.
#[derive(Debug)]
pub struct Order {
    /// The command.
    pub command: Command,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
    /// Place in the queue. Dropping it frees the place.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Order {
    /// Sends the result to the viewer: what was done, or the reason for a refusal. Never waits.
    pub fn answer(self, outcome: Result<String, String>) {
        // Fails if the viewer has disconnected. The answer is not needed then.
        let _ = self.answer.send(outcome);
    }
}

/// The reason why a request is not valid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The body is not the expected JSON.
    #[error("expected {expected}: {reason}")]
    Json {
        /// Expected body.
        expected: &'static str,
        /// The error in the body.
        reason: String,
    },
    /// The request has neither a box nor a point, or it has both.
    #[error("expected either \"box\": [x, y, width, height] or \"point\": [x, y], got {0}")]
    Place(&'static str),
    /// A number cannot be a coordinate.
    #[error("{name} is {got}, expected {expected}")]
    Number {
        /// Name of the number.
        name: &'static str,
        /// The number.
        got: f64,
        /// The accepted numbers.
        expected: &'static str,
    },
    /// The stamp is not valid.
    #[error(
        "stamp is {got:?}, expected the nanoseconds of a frame's \"stamp\" as text, such as \"1764412345000000000\""
    )]
    Stamp {
        /// The beginning of the text.
        got: String,
    },
    /// The request has too many settings, or none.
    #[error("got {0} settings, expected 1 to {MOST_SETTINGS}")]
    Settings(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetBody {
    #[serde(rename = "box")]
    bounding_box: Option<[f64; 4]>,
    point: Option<[f64; 2]>,
    stamp: Option<String>,
}

/// Reads the target from the body of `POST /target`.
///
/// # Errors
/// Returns a [`RequestError`] unless the body is a finite box of positive size or a finite point, with or without a stamp.
pub fn read_target(body: &[u8]) -> Result<Command, RequestError> {
    let json = |error: serde_json::Error| RequestError::Json {
        expected: "{\"box\": [x, y, width, height], \"stamp\": \"…\"} or {\"point\": [x, y], \"stamp\": \"…\"}",
        reason: error.to_string(),
    };
    let body: TargetBody = serde_json::from_slice(body).map_err(json)?;
    let place = match (body.bounding_box, body.point) {
        (Some([x, y, width, height]), None) => {
            coordinate("x", x)?;
            coordinate("y", y)?;
            side("width", width)?;
            side("height", height)?;
            Place::Box(BoundingBox::new(x, y, width, height))
        }
        (None, Some([x, y])) => Place::Point(coordinate("x", x)?, coordinate("y", y)?),
        (Some(_), Some(_)) => return Err(RequestError::Place("both")),
        (None, None) => return Err(RequestError::Place("neither")),
    };
    let stamp = body.stamp.map(|text| read_stamp(&text)).transpose()?;
    Ok(Command::Choose { place, stamp })
}

fn coordinate(name: &'static str, got: f64) -> Result<f64, RequestError> {
    if got.abs() <= FARTHEST {
        return Ok(got);
    }
    Err(RequestError::Number {
        name,
        got,
        expected: "a number from -1000000 to 1000000",
    })
}

fn side(name: &'static str, got: f64) -> Result<f64, RequestError> {
    if got > 0.0 && got <= FARTHEST {
        return Ok(got);
    }
    Err(RequestError::Number {
        name,
        got,
        expected: "a number above 0, at most 1000000",
    })
}

/// Reads nanoseconds from text. They are sent as text because JavaScript's numbers cannot hold them.
fn read_stamp(text: &str) -> Result<i64, RequestError> {
    text.parse()
        .ok()
        .filter(|stamp| *stamp >= 0)
        .ok_or_else(|| RequestError::Stamp {
            got: text.chars().take(40).collect(),
        })
}

/// Reads the settings from the body of `PATCH /settings`: an object of names and values. The owner of the settings checks
/// whether they exist and accept these values.
///
/// # Errors
/// Returns a [`RequestError`] unless the body is an object of 1 to 64 booleans, finite numbers and texts.
pub fn read_settings(body: &[u8]) -> Result<Command, RequestError> {
    let json = |error: serde_json::Error| RequestError::Json {
        expected: "an object such as {\"search_scale\": 2.0}",
        reason: error.to_string(),
    };
    let settings: std::collections::BTreeMap<String, Value> =
        serde_json::from_slice(body).map_err(json)?;
    if settings.is_empty() || settings.len() > MOST_SETTINGS {
        return Err(RequestError::Settings(settings.len()));
    }
    Ok(Command::Set(settings.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_boxes_and_points() {
        assert_eq!(
            read_target(br#"{"box": [1, 2.5, 30, 40], "stamp": "1764412345000000001"}"#),
            Ok(Command::Choose {
                place: Place::Box(BoundingBox::new(1.0, 2.5, 30.0, 40.0)),
                stamp: Some(1_764_412_345_000_000_001),
            })
        );
        assert_eq!(
            read_target(br#"{"point": [-3, 7]}"#),
            Ok(Command::Choose {
                place: Place::Point(-3.0, 7.0),
                stamp: None
            })
        );
    }

    #[test]
    fn refuses_a_target_that_is_not_valid_and_names_the_reason() {
        for (body, words) in [
            (r#"{}"#, "got neither"),
            (r#"{"box": [1,2,3,4], "point": [1,2]}"#, "got both"),
            (r#"{"box": [1,2,0,4]}"#, "width is 0"),
            (r#"{"box": [1,2,3,-4]}"#, "height is -4"),
            (r#"{"box": [1e300,2,3,4]}"#, "x is 1"),
            (r#"{"box": [1,2,3]}"#, "invalid length 3"),
            (r#"{"box": [NaN,2,3,4]}"#, "expected value"),
            (r#"{"box": [null,2,3,4]}"#, "invalid type: null"),
            (
                r#"{"point": [1,2], "stamp": "yesterday"}"#,
                "stamp is \"yesterday\"",
            ),
            (r#"{"point": [1,2], "stamp": "-5"}"#, "stamp is \"-5\""),
            (r#"{"point": [1,2], "stamp": 5}"#, "invalid type"),
            (r#"{"point": [1,2], "colour": 5}"#, "unknown field"),
            ("[[[[", "expected"),
            ("", "EOF"),
        ] {
            let error = read_target(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn reads_settings_with_their_types() {
        assert_eq!(
            read_settings(br#"{"b": true, "f": 2.0, "i": 3, "t": "x"}"#),
            Ok(Command::Set(vec![
                ("b".into(), Value::Bool(true)),
                ("f".into(), Value::Float(2.0)),
                ("i".into(), Value::Integer(3)),
                ("t".into(), Value::Text("x".into())),
            ]))
        );
        for body in [
            "{}",
            "[]",
            r#"{"a": null}"#,
            r#"{"a": [1]}"#,
            r#"{"a": 1e999}"#,
        ] {
            read_settings(body.as_bytes()).unwrap_err();
        }
    }
}
