//! What the camera tells of itself: as little as the protocol allows, because it neither takes photos nor records.

use std::time::Duration;

use mavlink::dialects::common::{
    CAMERA_CAPTURE_STATUS_DATA, CAMERA_INFORMATION_DATA, CAMERA_SETTINGS_DATA, CameraCapFlags,
    CameraMode, HEARTBEAT_DATA, MavAutopilot, MavMessage, MavModeFlag, MavState, MavType,
    STORAGE_INFORMATION_DATA, StorageStatus, VIDEO_STREAM_INFORMATION_DATA,
    VIDEO_STREAM_STATUS_DATA, VideoStreamEncoding, VideoStreamStatusFlags, VideoStreamType,
};

/// The longest address of a video stream, bytes: the field's size.
const LONGEST_URI: usize = 160;

/// The number of the only video stream.
const STREAM: u8 = 1;

/// A video stream that ground stations are told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    kind: VideoStreamType,
    /// An address, or a port where the stream is sent to the ground station.
    uri: String,
    /// Pictures a second, 0 where that is not known.
    pub rate: f32,
    /// Bits a second, 0 where that is not known.
    pub bits: u32,
}

/// Why an address is none of a video stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A kind of stream that ground stations do not know.
    #[error(
        "{0:?} is no address of a video stream, expected rtsp://…, rtp://HOST:PORT, udp://HOST:PORT (MPEG-TS) or tcp://HOST:PORT"
    )]
    Kind(String),
    /// Without a port.
    #[error("{0:?} has no port, expected for instance rtp://192.168.1.10:5600")]
    Port(String),
    /// Too long for the protocol.
    #[error("the address of the video stream has {0} bytes, expected at most {LONGEST_URI}")]
    Length(usize),
}

impl Stream {
    /// The stream at an address, as ground stations are told: those of RTP and MPEG-TS are told the port only.
    ///
    /// # Errors
    /// [`StreamError`] for other kinds of streams, and for what the protocol cannot hold.
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

/// What these messages are made of.
pub(crate) struct Facts<'a> {
    /// Since the start.
    pub now: Duration,
    /// Width and height of the frames, pixels; zeros before the first one.
    pub size: (u32, u32),
    /// The video stream, where there is one.
    pub stream: Option<&'a Stream>,
    /// The camera's horizontal field of view in degrees, where it is known.
    pub field_of_view: Option<f64>,
}

impl Facts<'_> {
    fn milliseconds(&self) -> u32 {
        // Wraps after 49 days, as the protocol's clocks do.
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

    /// CAMERA_INFORMATION.
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
            // No definition file: ground stations then know all there is from these messages.
            ..CAMERA_INFORMATION_DATA::default()
        })
    }

    /// CAMERA_SETTINGS.
    pub fn settings(&self) -> MavMessage {
        MavMessage::CAMERA_SETTINGS(CAMERA_SETTINGS_DATA {
            time_boot_ms: self.milliseconds(),
            mode_id: CameraMode::CAMERA_MODE_VIDEO,
            zoomLevel: f32::NAN,
            focusLevel: f32::NAN,
            camera_device_id: 0,
        })
    }

    /// STORAGE_INFORMATION: none.
    pub fn storage(&self) -> MavMessage {
        MavMessage::STORAGE_INFORMATION(STORAGE_INFORMATION_DATA {
            time_boot_ms: self.milliseconds(),
            status: StorageStatus::STORAGE_STATUS_NOT_SUPPORTED,
            ..STORAGE_INFORMATION_DATA::default()
        })
    }

    /// CAMERA_CAPTURE_STATUS: neither photos nor recordings.
    pub fn capture(&self) -> MavMessage {
        MavMessage::CAMERA_CAPTURE_STATUS(CAMERA_CAPTURE_STATUS_DATA {
            time_boot_ms: self.milliseconds(),
            ..CAMERA_CAPTURE_STATUS_DATA::default()
        })
    }

    /// VIDEO_STREAM_INFORMATION, where there is a stream.
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

    /// VIDEO_STREAM_STATUS, where there is a stream.
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

/// HEARTBEAT of a camera.
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

/// Major in the lowest byte, then minor and patch.
fn version() -> u32 {
    let number = |text: &str| text.parse::<u8>().unwrap_or(0);
    u32::from_le_bytes([
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
        0,
    ])
}

/// Text in a field of a fixed length, with zeros after it. What is longer is cut.
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
    fn a_stream_is_told_as_ground_stations_expect_it() {
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
