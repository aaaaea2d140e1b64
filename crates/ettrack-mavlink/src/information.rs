//! Messages that describe the camera. They contain as little as the protocol allows, because the camera neither takes photos nor
//! records.

use std::time::Duration;

use mavlink::dialects::common::{
    CAMERA_CAPTURE_STATUS_DATA, CAMERA_INFORMATION_DATA, CAMERA_SETTINGS_DATA, CameraCapFlags,
    CameraMode, HEARTBEAT_DATA, MavAutopilot, MavMessage, MavModeFlag, MavState, MavType,
    STORAGE_INFORMATION_DATA, StorageStatus, VIDEO_STREAM_INFORMATION_DATA,
    VIDEO_STREAM_STATUS_DATA, VideoStreamEncoding, VideoStreamStatusFlags, VideoStreamType,
};

/// Longest address of a video stream, bytes: the size of the field in the message.
const LONGEST_URI: usize = 160;

/// Number of the only video stream.
const STREAM: u8 = 1;

/// A video stream that the camera announces to ground stations.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    kind: VideoStreamType,
    /// The address. Only the port for RTP and MPEG-TS, which are sent to the ground station.
    uri: String,
    /// Pictures per second. 0 if the rate is not known.
    pub rate: f32,
    /// Bits per second. 0 if the bit rate is not known.
    pub bits: u32,
}

/// Why an address cannot be announced as a video stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Ground stations do not know this kind of stream.
    #[error(
        "{0:?} is no address of a video stream, expected rtsp://…, rtp://HOST:PORT, udp://HOST:PORT (MPEG-TS) or tcp://HOST:PORT"
    )]
    Kind(String),
    /// The address has no port.
    #[error("{0:?} has no port, expected for instance rtp://192.168.1.10:5600")]
    Port(String),
    /// The address is too long for the protocol.
    #[error("the address of the video stream has {0} bytes, expected at most {LONGEST_URI}")]
    Length(usize),
}

impl Stream {
    /// Creates the announcement of the stream at an address. For RTP and MPEG-TS it contains only the port.
    ///
    /// # Errors
    /// Returns a [`StreamError`] if ground stations do not know the kind of stream, the port is missing, or the address is too
    /// long.
    pub fn at(address: &str) -> Result<Self, StreamError> {
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| StreamError::Kind(address.to_owned()))?;
        let port = || {
            let place = rest.split(['/', '?']).next().unwrap_or_default();
            let port = place.rsplit_once(':').map(|(_, port)| port);
            port.filter(|port| port.parse::<u16>().is_ok())
                .map(str::to_owned)
                .ok_or_else(|| StreamError::Port(address.to_owned()))
        };
        let (kind, uri) = match scheme {
            "rtsp" => (
                VideoStreamType::VIDEO_STREAM_TYPE_RTSP,
                Ok(address.to_owned()),
            ),
            "rtp" => (VideoStreamType::VIDEO_STREAM_TYPE_RTPUDP, port()),
            "udp" => (VideoStreamType::VIDEO_STREAM_TYPE_MPEG_TS, port()),
            "tcp" => (
                VideoStreamType::VIDEO_STREAM_TYPE_TCP_MPEG,
                port().map(|_| address.to_owned()),
            ),
            _ => return Err(StreamError::Kind(address.to_owned())),
        };
        let uri = uri?;
        if uri.len() > LONGEST_URI {
            return Err(StreamError::Length(uri.len()));
        }
        Ok(Self {
            kind,
            uri,
            rate: 0.0,
            bits: 0,
        })
    }
}

/// The values from which the messages are made.
pub(crate) struct Facts<'a> {
    /// Time since the start.
    pub now: Duration,
    /// Width and height of the frames, pixels. Zeros before the first frame.
    pub size: (u32, u32),
    /// The video stream, if there is one.
    pub stream: Option<&'a Stream>,
    /// Horizontal field of view of the camera in degrees, if it is known.
    pub field_of_view: Option<f64>,
}

impl Facts<'_> {
    fn milliseconds(&self) -> u32 {
        // Starts again from 0 after 49 days, as the protocol's clocks do.
        self.now.as_millis() as u32
    }

    fn resolution(&self) -> (u16, u16) {
        let short = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        (short(self.size.0), short(self.size.1))
    }

    fn degrees(&self) -> u16 {
        self.field_of_view
            .map_or(0, |degrees| degrees.round().clamp(0.0, 360.0) as u16)
    }

    /// Returns CAMERA_INFORMATION.
    pub fn camera(&self) -> MavMessage {
        let mut flags = CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
            | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE;
        if self.stream.is_some() {
            flags |= CameraCapFlags::CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM;
        }
        let (resolution_h, resolution_v) = self.resolution();
        MavMessage::CAMERA_INFORMATION(CAMERA_INFORMATION_DATA {
            time_boot_ms: self.milliseconds(),
            firmware_version: version(),
            focal_length: f32::NAN,
            sensor_size_h: f32::NAN,
            sensor_size_v: f32::NAN,
            flags,
            resolution_h,
            resolution_v,
            vendor_name: text(b"ettrack"),
            model_name: text(b"single-object tracker"),
            // There is no definition file, so ground stations use only these messages.
            ..CAMERA_INFORMATION_DATA::default()
        })
    }

    /// Returns CAMERA_SETTINGS.
    pub fn settings(&self) -> MavMessage {
        MavMessage::CAMERA_SETTINGS(CAMERA_SETTINGS_DATA {
            time_boot_ms: self.milliseconds(),
            mode_id: CameraMode::CAMERA_MODE_VIDEO,
            zoomLevel: f32::NAN,
            focusLevel: f32::NAN,
            camera_device_id: 0,
        })
    }

    /// Returns STORAGE_INFORMATION. It says that there is no storage.
    pub fn storage(&self) -> MavMessage {
        MavMessage::STORAGE_INFORMATION(STORAGE_INFORMATION_DATA {
            time_boot_ms: self.milliseconds(),
            status: StorageStatus::STORAGE_STATUS_NOT_SUPPORTED,
            ..STORAGE_INFORMATION_DATA::default()
        })
    }

    /// Returns CAMERA_CAPTURE_STATUS. It says that the camera takes no photo and records no video.
    pub fn capture(&self) -> MavMessage {
        MavMessage::CAMERA_CAPTURE_STATUS(CAMERA_CAPTURE_STATUS_DATA {
            time_boot_ms: self.milliseconds(),
            ..CAMERA_CAPTURE_STATUS_DATA::default()
        })
    }

    /// Returns VIDEO_STREAM_INFORMATION, if there is a stream.
    pub fn stream_information(&self) -> Option<MavMessage> {
        let stream = self.stream?;
        let (resolution_h, resolution_v) = self.resolution();
        Some(MavMessage::VIDEO_STREAM_INFORMATION(
            VIDEO_STREAM_INFORMATION_DATA {
                framerate: stream.rate,
                bitrate: stream.bits,
                flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
                resolution_h,
                resolution_v,
                rotation: 0,
                hfov: self.degrees(),
                stream_id: STREAM,
                count: 1,
                mavtype: stream.kind,
                name: text(b"camera").into(),
                uri: text(stream.uri.as_bytes()).into(),
                encoding: VideoStreamEncoding::VIDEO_STREAM_ENCODING_H264,
                camera_device_id: 0,
            },
        ))
    }

    /// Returns VIDEO_STREAM_STATUS, if there is a stream.
    pub fn stream_status(&self) -> Option<MavMessage> {
        let stream = self.stream?;
        let (resolution_h, resolution_v) = self.resolution();
        Some(MavMessage::VIDEO_STREAM_STATUS(VIDEO_STREAM_STATUS_DATA {
            framerate: stream.rate,
            bitrate: stream.bits,
            flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
            resolution_h,
            resolution_v,
            rotation: 0,
            hfov: self.degrees(),
            stream_id: STREAM,
            camera_device_id: 0,
        }))
    }
}

/// Returns the HEARTBEAT of a camera.
pub(crate) fn heartbeat(state: MavState) -> MavMessage {
    MavMessage::HEARTBEAT(HEARTBEAT_DATA {
        custom_mode: 0,
        mavtype: MavType::MAV_TYPE_CAMERA,
        autopilot: MavAutopilot::MAV_AUTOPILOT_INVALID,
        base_mode: MavModeFlag::empty(),
        system_status: state,
        mavlink_version: 3,
    })
}

/// Returns the version of this crate: major in the lowest byte, then minor and patch.
fn version() -> u32 {
    let number = |text: &str| text.parse::<u8>().unwrap_or(0);
    u32::from_le_bytes([
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
        0,
    ])
}

/// Returns a text as a field of fixed length. Pads it with zeros or cuts it.
fn text<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    let mut field = [0; LENGTH];
    let length = bytes.len().min(LENGTH);
    field[..length].copy_from_slice(&bytes[..length]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_a_stream_as_ground_stations_expect_it() {
        use VideoStreamType::*;
        for (address, kind, uri) in [
            (
                "rtsp://10.0.0.2:8554/live",
                VIDEO_STREAM_TYPE_RTSP,
                "rtsp://10.0.0.2:8554/live",
            ),
            ("rtp://10.0.0.9:5600", VIDEO_STREAM_TYPE_RTPUDP, "5600"),
            (
                "udp://10.0.0.9:5601?pkt_size=1316",
                VIDEO_STREAM_TYPE_MPEG_TS,
                "5601",
            ),
            (
                "tcp://10.0.0.9:5602",
                VIDEO_STREAM_TYPE_TCP_MPEG,
                "tcp://10.0.0.9:5602",
            ),
        ] {
            let stream = Stream::at(address).unwrap();
            assert_eq!((stream.kind, stream.uri.as_str()), (kind, uri), "{address}");
        }
        assert!(matches!(
            Stream::at("rtp://10.0.0.9"),
            Err(StreamError::Port(_))
        ));
        assert!(matches!(Stream::at("clip.mp4"), Err(StreamError::Kind(_))));
        let long = format!("rtsp://{}", "a".repeat(154));
        assert_eq!(Stream::at(&long), Err(StreamError::Length(161)));
    }
}
