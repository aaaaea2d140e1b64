//! What a viewer asks for: read from what came over the network, bounded and checked before anybody acts on it.

use ettrack::geometry::BoundingBox;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::setting::Value;

/// The largest number accepted as a coordinate or side, pixels: no picture is larger than 16384 pixels, and a box may
/// reach out of it.
const FARTHEST: f64 = 1e6;

/// The most settings changed at once.
const MOST_SETTINGS: usize = 64;

/// Where the target is in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// In this box, pixels of the frame; (0, 0) is the upper-left corner of the upper-left pixel.
    Box(BoundingBox),
    /// Around this point, pixels of the frame; a first box is grown around it.
    Point(f64, f64),
}

/// What is asked of whoever tracks.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Follow this target from now on.
    Choose {
        /// Where it is.
        place: Place,
        /// The stamp of the frame that was shown, nanoseconds; `None` for the newest frame.
        stamp: Option<i64>,
    },
    /// Give the target up.
    Stop,
    /// Go back to the last good place of the target, or to the target before it.
    Undo,
    /// Hold a recorded source.
    Pause,
    /// Let it go on.
    Resume,
    /// Show one more frame of it.
    Step,
    /// Begin it anew.
    Restart,
    /// Change settings, all or none.
    Set(Vec<(String, Value)>),
}

/// A command on its way to whoever tracks, with the way back. Dropped without an answer, it counts as refused.
#[derive(Debug)]
pub struct Order {
    /// What is asked.
    pub command: Command,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
    /// Gives the place in the queue back.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Order {
    /// Says what was done, or why not. Never waits.
    pub fn answer(self, outcome: Result<String, String>) {
        // Who asked may have gone.
        let _ = self.answer.send(outcome);
    }
}

/// Why a request is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Not the JSON that was expected.
    #[error("expected {expected}: {reason}")]
    Json {
        /// What the body should be.
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A box or a point: one, and not both.
    #[error("expected either \"box\": [x, y, width, height] or \"point\": [x, y], got {0}")]
    Place(&'static str),
    /// A number that is no coordinate.
    #[error("{name} is {got}, expected {expected}")]
    Number {
        /// Which one.
        name: &'static str,
        /// What came.
        got: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A stamp that is none.
    #[error(
        "stamp is {got:?}, expected the nanoseconds of a frame's \"stamp\" as text, such as \"1764412345000000000\""
    )]
    Stamp {
        /// What came, cut.
        got: String,
    },
    /// Too many settings at once, or none.
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

/// The target in the body of `POST /target`.
///
/// # Errors
/// [`RequestError`] for anything but a finite box of positive size or a finite point, with the stamp of a frame or none.
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

/// Nanoseconds as text: JavaScript's numbers do not hold them.
fn read_stamp(text: &str) -> Result<i64, RequestError> {
    text.parse()
        .ok()
        .filter(|stamp| *stamp >= 0)
        .ok_or_else(|| RequestError::Stamp {
            got: text.chars().take(40).collect(),
        })
}

/// The settings in the body of `PATCH /settings`: an object of names and values. Whether there are such settings, and take
/// such values, who has them says.
///
/// # Errors
/// [`RequestError`] for anything but an object of 1 to 64 booleans, finite numbers and texts.
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
    fn boxes_and_points_are_read() {
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
    fn what_is_no_target_is_refused_with_what_is_wrong() {
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
    fn settings_are_read_as_they_are_written() {
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
