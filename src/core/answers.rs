//! Builds the messages that the node publishes for an image.

use super::{NodeCore, Output, state_of};
use crate::bearing::{bearing, image_size};
use crate::log::Level;
use ettrack_message::{
    BoundingBox2D, Detection2D, Detection2DArray, Header, Hypothesis, TargetState, TrackedTarget,
};

impl NodeCore {
    /// Draws the box into the newest answered image, once for each answer. Call it only when the overlay has subscribers, and after
    /// target and detections were published, so that they do not wait for the drawing.
    pub fn draw_overlay(&mut self, out: &mut Vec<Output>) {
        if !std::mem::take(&mut self.overlay_due) || !self.parameters.publish_overlay {
            return;
        }
        let answered = self.newest.as_ref().map(|(header, _)| header.stamp);
        let Some(message) = answered
            .and_then(|stamp| self.kept(stamp))
            .and_then(|position| self.history.get(position))
        else {
            return;
        };
        // The image was read when it was answered. This can fail only if another one with the same stamp has replaced it.
        let Ok((header, frame)) = message.read(&mut self.picture) else {
            return;
        };
        let mut picture = ettrack_picture::to_rgb_image(&self.levels.apply(frame));
        if let Some(target) = &self.target {
            ettrack_picture::draw_track(&mut picture, &target.last);
        }
        let (width, height) = picture.dimensions();
        out.push(Output::Overlay {
            header,
            width,
            height,
            data: picture.into_raw(),
        });
    }

    /// The state under the newest image's header, when it changes without an image.
    pub(super) fn publish_newest(&mut self, out: &mut Vec<Output>) {
        if let Some((header, size)) = self.newest.clone() {
            self.publish_state(&header, size, out);
        }
    }

    /// The direction of a point of an image of `size` pixels. `None` if the calibration is for images of another size.
    fn bearing(
        &mut self,
        point: (f64, f64),
        size: (u32, u32),
        out: &mut Vec<Output>,
    ) -> Option<[f64; 3]> {
        let camera = self.camera.as_ref()?;
        let calibrated = image_size(camera).unwrap_or(size);
        let said = std::mem::replace(&mut self.warned_of_calibration, calibrated != size);
        if calibrated == size {
            return bearing(camera, self.parameters.image_rectified, point);
        }
        if !said {
            let line = format!(
                "no bearing: expected camera_info for images of {}x{} pixels, got one for {}x{}",
                size.0, size.1, calibrated.0, calibrated.1
            );
            out.push(Output::Log(Level::Warn, line));
        }
        None
    }

    /// Whether bearings are published, and if not, the reason, as text for the diagnostics.
    pub(super) fn bearing_status(&self) -> &'static str {
        let Some(camera) = &self.camera else {
            return "none: no camera_info";
        };
        let Some((_, size)) = &self.newest else {
            return "none: no image";
        };
        let calibrated = image_size(camera).unwrap_or(*size);
        let middle = (f64::from(size.0) / 2.0, f64::from(size.1) / 2.0);
        if calibrated != *size {
            "none: camera_info is for images of another size"
        } else if bearing(camera, self.parameters.image_rectified, middle).is_none() {
            "none: camera_info is of no calibrated camera, or of an unknown distortion model"
        } else {
            "given"
        }
    }

    /// Publishes target and detections.
    pub(super) fn publish_state(
        &mut self,
        header: &Header,
        (width, height): (u32, u32),
        out: &mut Vec<Output>,
    ) {
        self.overlay_due = true;
        self.answers += 1;
        let header = header.clone();
        let center = self
            .target
            .as_ref()
            .map(|target| target.last.bounding_box.center());
        let bearing = center.and_then(|center| self.bearing(center, (width, height), out));
        let Some(target) = &self.target else {
            out.push(Output::Target(TrackedTarget {
                header: header.clone(),
                ..TrackedTarget::default()
            }));
            out.push(Output::Detections(Detection2DArray {
                header,
                detections: Vec::new(),
            }));
            return;
        };
        let center = target.last.bounding_box.center();
        let bbox = BoundingBox2D::from(target.last.bounding_box);
        let offset = |value: f64, size: u32| 2.0 * value / f64::from(size) - 1.0;
        let state = state_of(&target.last);
        out.push(Output::Target(TrackedTarget {
            header: header.clone(),
            target_id: target.id.clone(),
            state,
            bounding_box: bbox,
            confidence: target.last.confidence,
            offset_x: offset(center.0, width),
            offset_y: offset(center.1, height),
            bearing,
        }));
        // A lost target is not published as a detection.
        let detections = if state == TargetState::Tracking {
            let class_id = self.parameters.class_id.clone();
            let hypothesis = Hypothesis {
                class_id,
                score: f64::from(target.last.confidence),
            };
            let id = target.id.clone();
            vec![Detection2D {
                header: header.clone(),
                results: vec![hypothesis],
                bbox,
                id,
            }]
        } else {
            Vec::new()
        };
        out.push(Output::Detections(Detection2DArray { header, detections }));
    }
}
