//! A MAVLink 2 camera component that tracks the target that the pilot draws.
//!
//! [`Camera`] is the protocol without input or output, a clock or a thread. It takes messages and the time, and returns messages
//! to send and requests ([`Wish`]) to the tracker. [`wire`] decodes and encodes messages. [`Service`] runs a camera on
//! [`Connection`]s (UDP, TCP, serial port) on threads of its own. The tracking thread gives it [`Observation`]s and never waits.
//! `docs/drones.md` describes the camera for ground stations and autopilots.

mod camera;
mod command;
mod connection;
mod counts;
mod gimbal;
mod information;
mod key;
mod rates;
mod serial;
mod service;
mod status;
pub mod wire;

pub use camera::{Actions, Camera, CameraOptions, Observation, Outcome, Route, TargetState, To};
pub use command::{Command, Place, PlaceError, Wish};
pub use connection::{Connection, ConnectionError};
pub use counts::Counts;
pub use gimbal::GimbalOptions;
pub use information::{Stream, StreamError};
pub use key::{Key, KeyError};
pub use service::{Handle, Service, ServiceError, ServiceOptions};

/// Numbers of messages and commands in the dialect `common`.
///
/// They are plain numbers and not enumerations of the crate `mavlink`, because a received message may hold any number, and the
/// camera also answers unknown commands.
pub mod numbers {
    /// HEARTBEAT.
    pub const HEARTBEAT: u32 = 0;
    /// COMMAND_INT.
    pub const COMMAND_INT: u32 = 75;
    /// COMMAND_LONG.
    pub const COMMAND_LONG: u32 = 76;
    /// CAMERA_INFORMATION.
    pub const CAMERA_INFORMATION: u32 = 259;
    /// CAMERA_SETTINGS.
    pub const CAMERA_SETTINGS: u32 = 260;
    /// STORAGE_INFORMATION.
    pub const STORAGE_INFORMATION: u32 = 261;
    /// CAMERA_CAPTURE_STATUS.
    pub const CAMERA_CAPTURE_STATUS: u32 = 262;
    /// VIDEO_STREAM_INFORMATION.
    pub const VIDEO_STREAM_INFORMATION: u32 = 269;
    /// VIDEO_STREAM_STATUS.
    pub const VIDEO_STREAM_STATUS: u32 = 270;
    /// CAMERA_TRACKING_IMAGE_STATUS.
    pub const CAMERA_TRACKING_IMAGE_STATUS: u32 = 275;
    /// GIMBAL_MANAGER_STATUS.
    pub const GIMBAL_MANAGER_STATUS: u32 = 281;

    /// MAV_CMD_GET_MESSAGE_INTERVAL.
    pub const GET_MESSAGE_INTERVAL: u16 = 510;
    /// MAV_CMD_SET_MESSAGE_INTERVAL.
    pub const SET_MESSAGE_INTERVAL: u16 = 511;
    /// MAV_CMD_REQUEST_MESSAGE.
    pub const REQUEST_MESSAGE: u16 = 512;
    /// MAV_CMD_REQUEST_CAMERA_INFORMATION.
    pub const REQUEST_CAMERA_INFORMATION: u16 = 521;
    /// MAV_CMD_REQUEST_CAMERA_SETTINGS.
    pub const REQUEST_CAMERA_SETTINGS: u16 = 522;
    /// MAV_CMD_REQUEST_STORAGE_INFORMATION.
    pub const REQUEST_STORAGE_INFORMATION: u16 = 525;
    /// MAV_CMD_REQUEST_CAMERA_CAPTURE_STATUS.
    pub const REQUEST_CAMERA_CAPTURE_STATUS: u16 = 527;
    /// MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE.
    pub const DO_GIMBAL_MANAGER_CONFIGURE: u16 = 1001;
    /// MAV_CMD_CAMERA_TRACK_POINT.
    pub const CAMERA_TRACK_POINT: u16 = 2004;
    /// MAV_CMD_CAMERA_TRACK_RECTANGLE.
    pub const CAMERA_TRACK_RECTANGLE: u16 = 2005;
    /// MAV_CMD_CAMERA_STOP_TRACKING.
    pub const CAMERA_STOP_TRACKING: u16 = 2010;
    /// MAV_CMD_REQUEST_VIDEO_STREAM_INFORMATION.
    pub const REQUEST_VIDEO_STREAM_INFORMATION: u16 = 2504;
    /// MAV_CMD_REQUEST_VIDEO_STREAM_STATUS.
    pub const REQUEST_VIDEO_STREAM_STATUS: u16 = 2505;
}
