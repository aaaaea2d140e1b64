//! The node's parameters: names, types, ranges, defaults and descriptions in one list.
//!
//! `config/tracker.yaml` shows the same defaults to users; a test holds it to this list.

use std::fmt;

use ettrack::{Precision, Provider};

use super::{Bounds, TrackerSettings};

/// Images per second of the fastest camera whose images are kept for the whole delay of a drone's video.
const FASTEST_VIDEO: f64 = 60.0;

/// Bytes that the images of a drone's video may take.
const VIDEO_BYTES: usize = 512_000_000;

/// The value of a parameter, in ROS's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `integer`.
    Integer(i64),
    /// `double`.
    Float(f64),
    /// `string`.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(formatter),
            Self::Integer(value) => value.fmt(formatter),
            // 4.0 and not 4, so that the text shows a floating-point number.
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Text(value) => write!(formatter, "{value:?}"),
        }
    }
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// All of its type.
    Any,
    /// Numbers from the first to the second, both included.
    Between(f64, f64),
    /// The first number, which stands for none given, or one from the second to the third, both included.
    NoneOr(f64, f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any"),
            Self::Between(low, high) => write!(formatter, "{low} to {high}"),
            Self::NoneOr(none, low, high) => write!(formatter, "{none}, or {low} to {high}"),
            Self::OneOf(words) => formatter.write_str(&words.join(" or ")),
        }
    }
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// With the next frame.
    Live,
    /// The new model is loaded in the background and then used from the next frame on.
    Model,
    /// Only when the node starts.
    Start,
}

/// All about one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: String,
    /// What values it takes.
    pub range: Range,
    /// When a change takes effect.
    pub change: Change,
    /// The value without a file.
    pub default: Value,
}

/// Why a parameter was refused. The old value stays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// There is no parameter with this name.
    #[error("there is no parameter {name:?}; known: {known}")]
    Unknown {
        /// The unknown name.
        name: String,
        /// All known names.
        known: String,
    },
    /// The value has another type.
    #[error("{name} is {got}, expected {expected}")]
    Type {
        /// The parameter.
        name: &'static str,
        /// The refused value.
        got: String,
        /// The expected type.
        expected: &'static str,
    },
    /// The value is out of range.
    #[error("{name} is {got}, expected {expected}")]
    Range {
        /// The parameter.
        name: &'static str,
        /// The refused value.
        got: String,
        /// The accepted range.
        expected: String,
    },
    /// A parameter that is only read when the node starts.
    #[error("{name} is read when the node starts; restart it with the new value")]
    StartOnly {
        /// The parameter.
        name: &'static str,
    },
    /// Refused by the tracker.
    #[error("{0}")]
    Tracker(String),
    /// A parameter file is not valid.
    #[error("parameter file: {0}")]
    File(String),
}

/// Converts a ROS value. Integers are accepted for floating-point parameters, because people write `search_scale: 4`.
pub(crate) trait FromValue: Sized {
    const TYPE: &'static str;
    fn from_value(value: &Value) -> Option<Self>;
    /// As a number, if it is one.
    fn number(&self) -> Option<f64> {
        None
    }
    /// As a word, if it is one.
    fn word(&self) -> Option<&str> {
        None
    }
}

impl FromValue for bool {
    const TYPE: &'static str = "true or false";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bool(value) = value {
            Some(*value)
        } else {
            None
        }
    }
}

impl FromValue for i64 {
    const TYPE: &'static str = "a whole number";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(value) = value {
            Some(*value)
        } else {
            None
        }
    }
    fn number(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

impl FromValue for f64 {
    const TYPE: &'static str = "a number";
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Float(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            Value::Bool(_) | Value::Text(_) => None,
        }
    }
    fn number(&self) -> Option<f64> {
        Some(*self)
    }
}

impl FromValue for String {
    const TYPE: &'static str = "text";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(value) = value {
            Some(value.clone())
        } else {
            None
        }
    }
    fn word(&self) -> Option<&str> {
        Some(self)
    }
}

macro_rules! into_value {
    ($($type:ty => $variant:ident),+) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )+};
}
into_value!(bool => Bool, i64 => Integer, f64 => Float, String => Text);

/// Parameters of one node, by their names.
pub trait ParameterSet: Clone + Default {
    /// All of them, in the order of the file that shows their defaults.
    fn descriptors() -> Vec<Descriptor>;

    /// The value of the parameter `name`.
    fn get(&self, name: &str) -> Option<Value>;

    /// Sets the parameter `name`, and says when that takes effect.
    ///
    /// # Errors
    /// If there is no parameter of that name, or the value has another type or is out of range. The old value stays.
    fn set(&mut self, name: &str, value: &Value) -> Result<Change, ParameterError>;
}

/// All parameters of the tracker node, in the order of `config/tracker.yaml`.
pub fn descriptors() -> Vec<Descriptor> {
    Parameters::descriptors()
}

/// Converts and checks a value.
pub(crate) fn accept<T: FromValue>(
    name: &'static str,
    range: Range,
    value: &Value,
) -> Result<T, ParameterError> {
    let converted = T::from_value(value).ok_or_else(|| ParameterError::Type {
        name,
        got: value.to_string(),
        expected: T::TYPE,
    })?;
    let fits = match range {
        Range::Any => true,
        // NaN is outside every range.
        Range::Between(low, high) => converted
            .number()
            .is_some_and(|number| (low..=high).contains(&number)),
        Range::NoneOr(none, low, high) => converted
            .number()
            .is_some_and(|number| number == none || (low..=high).contains(&number)),
        Range::OneOf(words) => converted.word().is_some_and(|word| words.contains(&word)),
    };
    if fits {
        Ok(converted)
    } else {
        Err(ParameterError::Range {
            name,
            got: value.to_string(),
            expected: range.to_string(),
        })
    }
}

/// Declares the struct, and the access to its fields by their names, from one list.
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+ $set:ident;
        $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $range:expr, $change:ident;)+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $set {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for $set {
            fn default() -> Self {
                Self { $($name: $default.into(),)+ }
            }
        }

        impl $crate::parameters::ParameterSet for $set {
            fn descriptors() -> Vec<Descriptor> {
                let defaults = Self::default();
                vec![$(Descriptor {
                    name: stringify!($name),
                    description: concat!($($doc),+).trim().to_owned(),
                    range: $range,
                    change: Change::$change,
                    default: defaults.$name.into(),
                }),+]
            }

            fn get(&self, name: &str) -> Option<Value> {
                match name {
                    $(stringify!($name) => Some(self.$name.clone().into()),)+
                    _ => None,
                }
            }

            fn set(&mut self, name: &str, value: &Value) -> Result<Change, ParameterError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = accept(stringify!($name), $range, value)?;
                        Ok(Change::$change)
                    })+
                    _ => Err(ParameterError::Unknown {
                        name: name.to_owned(),
                        known: [$(stringify!($name)),+].join(", "),
                    }),
                }
            }
        }
    };
}
pub(crate) use parameters;

parameters! {
    /// The tracker node's parameters.
    Parameters;
    /// Folder of the model, or its model.yaml: a path, or package://PACKAGE/PATH. A relative path is also looked up in
    /// the share folder of ettrack.
    model_path: String = "models/ettrack-nano", Range::Any, Model;
    /// Which of the model's sets of constants to use.
    constants: String = "default", Range::Any, Model;
    /// Threads within an operator of the network; 0 takes the number of processors, at most four.
    num_threads: i64 = 0, Range::Between(0.0, 64.0), Model;
    /// The ONNX Runtime library or its folder; empty: searched for.
    onnxruntime_library: String = "", Range::Any, Start;
    /// The provider that runs the network inside ONNX Runtime. The library must have it. Every library has cpu.
    provider: String = "cpu", Range::OneOf(Provider::NAMES), Model;
    /// How exactly the provider computes: exact with the numbers of the model; fast with half precision, bf16 or tf32,
    /// whichever provider and processor have.
    precision: String = "exact", Range::OneOf(Precision::NAMES), Model;
    /// Further options of the provider under its own names, KEY=VALUE separated by spaces, such as device_type=GPU.
    provider_options: String = "", Range::Any, Model;
    /// Side of the widest search region, in multiples of the authors' side. Above 1, a frame whose usual search region
    /// does not show the target is searched again in a region this much wider, in up to three runs of the network.
    /// 2 is for fast targets and cameras, or few frames a second.
    search_scale: f64 = 1.0, Range::Between(1.0, 8.0), Live;

    /// How images arrive: raw (sensor_msgs/Image), compressed (sensor_msgs/CompressedImage, topic + /compressed), or as
    /// video: ffmpeg (ffmpeg_image_transport_msgs/FFMPEGPacket, topic + /ffmpeg) or foxglove
    /// (foxglove_msgs/CompressedVideo, topic + /foxglove).
    image_transport: String = "raw", Range::OneOf(&["raw", "compressed", "ffmpeg", "foxglove"]), Start;
    /// Reliability of the image subscription; best_effort receives from every publisher.
    image_reliability: String = "best_effort", Range::OneOf(&["best_effort", "reliable"]), Start;
    /// Depth of the image subscription. The newest image is always tracked. A larger depth keeps images that come in a burst,
    /// for stamped detections.
    image_queue_depth: i64 = 5, Range::Between(1.0, 100.0), Start;
    /// Seconds without an image before a warning; 0: never.
    no_image_timeout: f64 = 3.0, Range::Between(0.0, 3600.0), Live;
    /// Bits that images of 16 bits use, mono16 and 16UC1; thermal cameras use 10, 12 or 14. 0: the levels of black and
    /// white adapt slowly to the images.
    mono16_bits: i64 = 0, Range::NoneOr(0.0, 8.0, 16.0), Live;
    /// Whether the images are rectified; directions are then computed from P of camera_info instead of K and D.
    image_rectified: bool = false, Range::Any, Live;

    /// Whether a target that is no longer seen is reported as LOST; false: exactly the authors' loop.
    lost_detection: bool = true, Range::Any, Live;
    /// A frame whose confidence is below this is reported as LOST, even before the search for the target begins; 0: never;
    /// -1: as the model says.
    report_threshold: f64 = -1.0, Range::NoneOr(-1.0, 0.0, 1.0), Live;
    /// A frame counts as without the target if its evidence, the confidence before smoothing, is below this; -1: as the model
    /// says.
    confidence_threshold: f64 = -1.0, Range::NoneOr(-1.0, 0.0, 1.0), Live;
    /// Evidence of one frame above which a lost target may be found; -1: as the model says.
    recovery_threshold: f64 = -1.0, Range::NoneOr(-1.0, 0.0, 1.0), Live;
    /// Frames in a row without the target after which it is searched for; 0: as the model says.
    lost_after_frames: i64 = 0, Range::Between(0.0, 1000.0), Live;
    /// Frames in a row with the target after which it is found; 0: as the model says.
    found_after_frames: i64 = 0, Range::Between(0.0, 1000.0), Live;
    /// Side of the widest search for a lost target relative to the usual one; 0: as the model says.
    widest_search: f64 = 0.0, Range::NoneOr(0.0, 1.0, 8.0), Live;

    /// Number of frames that are kept, so that a stamped detection finds its frame.
    history_frames: i64 = 30, Range::Between(1.0, 1000.0), Live;
    /// Megabytes that the kept frames may take; while the tracker is busy, as many more may wait to be kept.
    history_megabytes: i64 = 128, Range::Between(1.0, 16384.0), Live;

    /// Class name of the target in the hypothesis of the detections.
    class_id: String = "target", Range::Any, Live;
    /// Whether the image with the box is published on ~/overlay; it is drawn only while someone subscribes.
    publish_overlay: bool = true, Range::Any, Live;
    /// Address of the page for the browser, HOST:PORT; empty: no page. 127.0.0.1:8090 is for this machine only.
    /// 0.0.0.0:8090 is for its network, with a token that the log shows.
    web_address: String = "", Range::Any, Start;
    /// MAVLink connections of the node as a drone's camera, separated by spaces: udpin:0.0.0.0:14550, udpout:HOST:PORT,
    /// tcp:HOST:PORT or serial:DEVICE:SPEED; empty: no camera. Ground stations on them can draw the target.
    mavlink: String = "", Range::Any, Start;
    /// System id of the vehicle, which is also that of the camera.
    mavlink_system: i64 = 1, Range::Between(1.0, 255.0), Start;
    /// Component id of the camera: 100 for the first camera, 101 for the second one.
    mavlink_component: i64 = 100, Range::Between(1.0, 255.0), Start;
    /// Seconds from the answer for an image until the pilot sees the image. A target is taken from the image that the
    /// pilot saw. With MAVLink, the images of this time and of one second more are kept (up to 60 per second, at most
    /// 512 MB), also if history_frames and history_megabytes are smaller.
    mavlink_video_delay: f64 = 0.0, Range::Between(0.0, 10.0), Start;
    /// Address of the video stream that is announced to ground stations: rtsp://…, rtp://HOST:PORT, udp://HOST:PORT or
    /// tcp://HOST:PORT; empty: none.
    mavlink_video: String = "", Range::Any, Start;
    /// Highest rate about each axis at which a gimbal turns towards the target, rad/s; 0: no gimbal is turned. Needs
    /// camera_info.
    mavlink_gimbal_rate: f64 = 0.0, Range::Between(0.0, 10.0), Start;
    /// File with 64 hexadecimal digits, the key that signs MAVLink messages. Messages without its signature are ignored; empty:
    /// messages are not signed.
    mavlink_signing_key: String = "", Range::Any, Start;
    /// Seconds between diagnostics.
    diagnostics_period: f64 = 1.0, Range::Between(0.1, 60.0), Live;
}

/// `None` for a number that stands for "as the model says".
fn above<T: PartialOrd>(value: T, none: T) -> Option<T> {
    (value > none).then_some(value)
}

/// The parameters that choose the model and how it is opened, so that a change loads it again.
pub(crate) const MODEL_PARAMETERS: [&str; 6] = [
    "model_path",
    "constants",
    "num_threads",
    "provider",
    "precision",
    "provider_options",
];

impl Parameters {
    /// Whether `other` asks for the same model, opened in the same way.
    pub fn same_model(&self, other: &Self) -> bool {
        MODEL_PARAMETERS
            .iter()
            .all(|name| self.get(name) == other.get(name))
    }

    /// Asks for the model of `other`, opened in the same way.
    pub(crate) fn take_model_of(&mut self, other: &Self) {
        *self = Self {
            model_path: other.model_path.clone(),
            constants: other.constants.clone(),
            num_threads: other.num_threads,
            provider: other.provider.clone(),
            precision: other.precision.clone(),
            provider_options: other.provider_options.clone(),
            ..self.clone()
        };
    }

    /// How many frames are kept, and bytes of them.
    pub fn history_bounds(&self) -> Bounds {
        let count = |value: i64| usize::try_from(value).unwrap_or(1);
        let mut bounds = Bounds {
            images: count(self.history_frames),
            bytes: count(self.history_megabytes).saturating_mul(1_000_000),
        };
        if !self.mavlink.is_empty() {
            let images = (self.mavlink_video_delay + 1.0) * FASTEST_VIDEO;
            bounds.images = bounds.images.max(images as usize);
            bounds.bytes = bounds.bytes.max(VIDEO_BYTES);
        }
        bounds
    }

    /// The settings of the tracker among the parameters.
    pub fn tracker_settings(&self) -> TrackerSettings {
        let frames = |count: i64| above(count, 0).and_then(|count| u32::try_from(count).ok());
        let threshold = |value: f64| (value >= 0.0).then_some(value);
        TrackerSettings {
            search_scale: self.search_scale,
            lost_detection: self.lost_detection,
            confidence_threshold: threshold(self.confidence_threshold),
            report_threshold: threshold(self.report_threshold),
            recovery_threshold: threshold(self.recovery_threshold),
            lost_after_frames: frames(self.lost_after_frames),
            found_after_frames: frames(self.found_after_frames),
            widest_search: above(self.widest_search, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value as Yaml;

    use super::*;
    use crate::overrides::{Applied, Overrides, scalar_of};

    #[test]
    fn images_are_kept_for_the_delay_of_a_drones_video() {
        let mut parameters = Parameters::default();
        let usual = parameters.history_bounds();
        parameters.mavlink_video_delay = 4.0;
        assert_eq!(parameters.history_bounds(), usual, "there is no drone");
        parameters.mavlink = "udpin:0.0.0.0:14550".into();
        let kept = parameters.history_bounds();
        assert_eq!((kept.images, kept.bytes), (300, 512_000_000));
        (parameters.history_frames, parameters.history_megabytes) = (900, 2000);
        let kept = parameters.history_bounds();
        assert_eq!((kept.images, kept.bytes), (900, 2_000_000_000));
    }

    #[test]
    fn the_files_of_defaults_hold_exactly_the_defaults() {
        holds_the_defaults::<Parameters>(include_str!("../config/tracker.yaml"));
        holds_the_defaults::<crate::follow::Settings>(include_str!("../config/follower.yaml"));
    }

    fn holds_the_defaults<P: ParameterSet + std::fmt::Debug + PartialEq>(text: &str) {
        let document: Yaml = serde_yaml::from_str(text).unwrap();
        let Yaml::Mapping(values) = &document["/**"]["ros__parameters"] else {
            panic!("no parameters")
        };
        let shown: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.as_str().unwrap().to_owned(), scalar_of(value).unwrap()))
            .collect();
        let known: Vec<_> = P::descriptors()
            .into_iter()
            .map(|known| (known.name.to_owned(), known.default))
            .collect();
        assert_eq!(
            shown, known,
            "the same names in the same order with the same values and types"
        );
        // Each with its description and range above it.
        let words = text.replace("\n    # ", " ");
        for known in P::descriptors() {
            assert!(
                words.contains(&known.description),
                "{}: {}",
                known.name,
                known.description
            );
            if known.range != Range::Any {
                let range = format!("[{}]", known.range);
                assert!(
                    words.contains(&format!("{} {range}", known.description)),
                    "{}: {range}",
                    known.name
                );
            }
        }
        let mut parameters = P::default();
        let overrides = Overrides::from_text(text).unwrap();
        let applied = overrides.apply(&mut parameters, "/node");
        assert_eq!(applied, Ok(Applied::default()));
        assert_eq!(parameters, P::default());
    }

    #[test]
    fn defaults_are_in_their_own_ranges() {
        let mut parameters = Parameters::default();
        for known in descriptors() {
            assert_eq!(
                parameters.set(known.name, &known.default),
                Ok(known.change),
                "{}",
                known.name
            );
        }
        assert_eq!(parameters, Parameters::default());
    }

    #[test]
    fn values_are_checked_and_the_old_one_stays() {
        let mut parameters = Parameters::default();
        assert_eq!(
            parameters.set("search_scale", &Value::Integer(4)),
            Ok(Change::Live)
        );
        assert_eq!(parameters.search_scale, 4.0);
        for (name, value, words) in [
            (
                "search_scale",
                Value::Float(0.1),
                "search_scale is 0.1, expected 1 to 8",
            ),
            (
                "search_scale",
                Value::Float(f64::NAN),
                "search_scale is NaN, expected 1 to 8",
            ),
            (
                "search_scale",
                Value::Text("4".into()),
                "search_scale is \"4\", expected a number",
            ),
            (
                "widest_search",
                Value::Float(0.5),
                "widest_search is 0.5, expected 0, or 1 to 8",
            ),
            (
                "confidence_threshold",
                Value::Float(-0.5),
                "confidence_threshold is -0.5, expected -1, or 0 to 1",
            ),
            (
                "num_threads",
                Value::Float(2.0),
                "num_threads is 2.0, expected a whole number",
            ),
            (
                "image_transport",
                Value::Text("theora".into()),
                "expected raw or compressed",
            ),
            (
                "publish_overlay",
                Value::Integer(1),
                "expected true or false",
            ),
            (
                "serch_scale",
                Value::Integer(1),
                "no parameter \"serch_scale\"; known: model_path",
            ),
        ] {
            let error = parameters.set(name, &value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(parameters.get("search_scale"), Some(Value::Float(4.0)));
    }
}
