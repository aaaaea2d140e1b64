//! The message CAMERA_TRACKING_IMAGE_STATUS.

use mavlink::dialects::common::{
    CAMERA_TRACKING_IMAGE_STATUS_DATA, CameraTrackingMode, CameraTrackingStatusFlags,
    CameraTrackingTargetData, MavMessage,
};

use crate::camera::{Observation, TargetState};

/// Returns the status of the newest observation. If the target is not seen or no frame comes, the status is an error without a
/// position, because the box of a lost target is only where the tracker searches.
pub(crate) fn image_status(
    observation: Option<&Observation>,
    is_stalled: bool,
    is_rendered: bool,
) -> MavMessage {
    let none = CAMERA_TRACKING_IMAGE_STATUS_DATA {
        point_x: f32::NAN,
        point_y: f32::NAN,
        radius: f32::NAN,
        rec_top_x: f32::NAN,
        rec_top_y: f32::NAN,
        rec_bottom_x: f32::NAN,
        rec_bottom_y: f32::NAN,
        tracking_status: CameraTrackingStatusFlags::empty(),
        tracking_mode: CameraTrackingMode::CAMERA_TRACKING_MODE_NONE,
        target_data: CameraTrackingTargetData::empty(),
        camera_device_id: 0,
    };
    let state = observation.map_or(TargetState::Idle, |seen| seen.state);
    let place = observation.and_then(Observation::normalized);
    MavMessage::CAMERA_TRACKING_IMAGE_STATUS(match (state, place) {
        (TargetState::Idle, _) => none,
        (TargetState::Tracking, Some([left, top, right, bottom])) if !is_stalled => {
            let mut target_data = CameraTrackingTargetData::CAMERA_TRACKING_TARGET_DATA_IN_STATUS;
            if is_rendered {
                target_data |= CameraTrackingTargetData::CAMERA_TRACKING_TARGET_DATA_RENDERED;
            }
            CAMERA_TRACKING_IMAGE_STATUS_DATA {
                point_x: ((left + right) / 2.0) as f32,
                point_y: ((top + bottom) / 2.0) as f32,
                radius: ((right - left) / 2.0) as f32,
                rec_top_x: left as f32,
                rec_top_y: top as f32,
                rec_bottom_x: right as f32,
                rec_bottom_y: bottom as f32,
                tracking_status: CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE,
                tracking_mode: CameraTrackingMode::CAMERA_TRACKING_MODE_RECTANGLE,
                target_data,
                camera_device_id: 0,
            }
        }
        (TargetState::Tracking | TargetState::Lost, _) => CAMERA_TRACKING_IMAGE_STATUS_DATA {
            tracking_status: CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR,
            tracking_mode: CameraTrackingMode::CAMERA_TRACKING_MODE_RECTANGLE,
            ..none
        },
    })
}
