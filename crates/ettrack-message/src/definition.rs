//! The `.msg` texts of the messages that this crate writes. Bags carry them as `ros2msg` schemas.

/// Type name as other definitions use it (`package/Name`), text, and the types of its fields.
struct Definition {
    name: &'static str,
    text: &'static str,
    uses: &'static [&'static str],
}

/// Each definition comes after those that it uses.
const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "builtin_interfaces/Time",
        text: "int32 sec\nuint32 nanosec\n",
        uses: &[],
    },
    Definition {
        name: "std_msgs/Header",
        text: "builtin_interfaces/Time stamp\nstring frame_id\n",
        uses: &["builtin_interfaces/Time"],
    },
    Definition {
        name: "geometry_msgs/Point",
        text: "float64 x\nfloat64 y\nfloat64 z\n",
        uses: &[],
    },
    Definition {
        name: "geometry_msgs/Quaternion",
        text: "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1\n",
        uses: &[],
    },
    Definition {
        name: "geometry_msgs/Pose",
        text: "Point position\nQuaternion orientation\n",
        uses: &["geometry_msgs/Point", "geometry_msgs/Quaternion"],
    },
    Definition {
        name: "geometry_msgs/PoseWithCovariance",
        text: "Pose pose\nfloat64[36] covariance\n",
        uses: &["geometry_msgs/Pose"],
    },
    Definition {
        name: "geometry_msgs/Vector3",
        text: "float64 x\nfloat64 y\nfloat64 z\n",
        uses: &[],
    },
    Definition {
        name: "geometry_msgs/PointStamped",
        text: "std_msgs/Header header\nPoint point\n",
        uses: &["std_msgs/Header", "geometry_msgs/Point"],
    },
    Definition {
        name: "geometry_msgs/PoseStamped",
        text: "std_msgs/Header header\nPose pose\n",
        uses: &["std_msgs/Header", "geometry_msgs/Pose"],
    },
    Definition {
        name: "ffmpeg_image_transport_msgs/FFMPEGPacket",
        text: include_str!("definitions/ffmpeg_image_transport_msgs/FFMPEGPacket.msg"),
        uses: &["std_msgs/Header"],
    },
    Definition {
        name: "foxglove_msgs/CompressedVideo",
        text: include_str!("definitions/foxglove_msgs/CompressedVideo.msg"),
        uses: &["builtin_interfaces/Time"],
    },
    Definition {
        name: "vision_msgs/Point2D",
        text: include_str!("definitions/vision_msgs/Point2D.msg"),
        uses: &[],
    },
    Definition {
        name: "vision_msgs/Pose2D",
        text: include_str!("definitions/vision_msgs/Pose2D.msg"),
        uses: &["vision_msgs/Point2D"],
    },
    Definition {
        name: "vision_msgs/BoundingBox2D",
        text: include_str!("definitions/vision_msgs/BoundingBox2D.msg"),
        uses: &["vision_msgs/Pose2D"],
    },
    Definition {
        name: "vision_msgs/ObjectHypothesis",
        text: include_str!("definitions/vision_msgs/ObjectHypothesis.msg"),
        uses: &[],
    },
    Definition {
        name: "vision_msgs/ObjectHypothesisWithPose",
        text: include_str!("definitions/vision_msgs/ObjectHypothesisWithPose.msg"),
        uses: &[
            "vision_msgs/ObjectHypothesis",
            "geometry_msgs/PoseWithCovariance",
        ],
    },
    Definition {
        name: "vision_msgs/Detection2D",
        text: include_str!("definitions/vision_msgs/Detection2D.msg"),
        uses: &[
            "std_msgs/Header",
            "vision_msgs/ObjectHypothesisWithPose",
            "vision_msgs/BoundingBox2D",
        ],
    },
    Definition {
        name: "vision_msgs/Detection2DArray",
        text: include_str!("definitions/vision_msgs/Detection2DArray.msg"),
        uses: &["std_msgs/Header", "vision_msgs/Detection2D"],
    },
    Definition {
        name: "sensor_msgs/Image",
        text: "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\n\
               uint32 step\nuint8[] data\n",
        uses: &["std_msgs/Header"],
    },
    Definition {
        name: "sensor_msgs/CompressedImage",
        text: "std_msgs/Header header\nstring format\nuint8[] data\n",
        uses: &["std_msgs/Header"],
    },
    Definition {
        name: "sensor_msgs/RegionOfInterest",
        text: "uint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify\n",
        uses: &[],
    },
    Definition {
        name: "sensor_msgs/CameraInfo",
        text: "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\nfloat64[] d\n\
               float64[9] k\nfloat64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y\n\
               RegionOfInterest roi\n",
        uses: &["std_msgs/Header", "sensor_msgs/RegionOfInterest"],
    },
    Definition {
        name: "diagnostic_msgs/KeyValue",
        text: "string key\nstring value\n",
        uses: &[],
    },
    Definition {
        name: "diagnostic_msgs/DiagnosticStatus",
        text: "byte OK=0\nbyte WARN=1\nbyte ERROR=2\nbyte STALE=3\nbyte level\nstring name\nstring message\n\
               string hardware_id\nKeyValue[] values\n",
        uses: &["diagnostic_msgs/KeyValue"],
    },
    Definition {
        name: "diagnostic_msgs/DiagnosticArray",
        text: "std_msgs/Header header\nDiagnosticStatus[] status\n",
        uses: &["std_msgs/Header", "diagnostic_msgs/DiagnosticStatus"],
    },
    Definition {
        name: "ettrack/TrackedTarget",
        text: include_str!("TrackedTarget.msg"),
        uses: &[
            "std_msgs/Header",
            "vision_msgs/BoundingBox2D",
            "geometry_msgs/Vector3",
        ],
    },
];

/// The line between two definitions of a schema.
const SEPARATOR: &str =
    "================================================================================";

fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS
        .iter()
        .find(|definition| definition.name == name)
}

/// Names of all types that [`definition`] knows, as `package/msg/Name`.
pub fn type_names() -> impl Iterator<Item = String> {
    DEFINITIONS
        .iter()
        .map(|definition| definition.name.replacen('/', "/msg/", 1))
}

/// The text of `type_name` (`package/msg/Name`) followed by the texts of all types it uses, which is a `ros2msg` schema;
/// `None` for a type that this crate does not write.
pub fn definition(type_name: &str) -> Option<String> {
    let main = find(&type_name.replacen("/msg/", "/", 1))?;
    let mut text = main.text.to_owned();
    let mut names = Vec::new();
    collect(main, &mut names);
    for used in names.into_iter().filter_map(find) {
        text = format!("{text}{SEPARATOR}\nMSG: {}\n{}", used.name, used.text);
    }
    Some(text)
}

/// Appends the names of all types that `definition` uses, directly or not, each once.
fn collect(definition: &Definition, names: &mut Vec<&'static str>) {
    for &name in definition.uses {
        if !names.contains(&name) {
            names.push(name);
            if let Some(used) = find(name) {
                collect(used, names);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_used_type_is_defined() {
        for definition in DEFINITIONS {
            for name in definition.uses {
                assert!(find(name).is_some(), "{} uses {name}", definition.name);
            }
        }
    }

    #[test]
    fn a_definition_has_each_type_it_uses_once() {
        let text = definition("vision_msgs/msg/Detection2DArray").unwrap();
        let parts: Vec<_> = text
            .split(SEPARATOR)
            .skip(1)
            .map(|part| part.trim_start().lines().next().unwrap())
            .collect();
        assert_eq!(parts.len(), 12, "{parts:?}");
        assert_eq!(
            parts
                .iter()
                .filter(|part| **part == "MSG: std_msgs/Header")
                .count(),
            1
        );
        assert!(definition("std_msgs/msg/Nothing").is_none());
    }
}
