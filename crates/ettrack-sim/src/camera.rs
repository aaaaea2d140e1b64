//! A pinhole camera. World coordinates are in metres, z points up.

/// A point or direction, metres.
pub(super) type Vec3 = [f64; 3];

pub(super) fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn subtract(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn scale(a: Vec3, factor: f64) -> Vec3 {
    [a[0] * factor, a[1] * factor, a[2] * factor]
}

pub(super) fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn unit(a: Vec3) -> Vec3 {
    scale(a, 1.0 / dot(a, a).sqrt().max(1e-12))
}

fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Position, direction and image of a camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct Camera {
    pub position: Vec3,
    forward: Vec3,
    right: Vec3,
    down: Vec3,
    /// Focal length, pixels.
    pub focal: f64,
    center: (f64, f64),
}

impl Camera {
    /// A camera at `position` that looks at `target` and is then turned by the small angles `yaw` and `pitch` (radians). Its
    /// image has `size` pixels and spans `angle` radians horizontally.
    pub fn looking_at(
        position: Vec3,
        target: Vec3,
        (yaw, pitch): (f64, f64),
        size: (u32, u32),
        angle: f64,
    ) -> Self {
        let straight = unit(subtract(target, position));
        let right = unit(cross(straight, [0.0, 0.0, 1.0]));
        let down = cross(straight, right);
        let forward = unit(add(
            straight,
            add(scale(right, yaw.tan()), scale(down, pitch.tan())),
        ));
        let right = unit(cross(forward, [0.0, 0.0, 1.0]));
        let down = cross(forward, right);
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        Self {
            position,
            forward,
            right,
            down,
            focal: 0.5 * width / (0.5 * angle).tan(),
            center: (0.5 * width, 0.5 * height),
        }
    }

    /// Direction through an image point (pixels). One length of it is 1 m of depth.
    pub fn ray(&self, x: f64, y: f64) -> Vec3 {
        let across = scale(self.right, (x - self.center.0) / self.focal);
        let along = scale(self.down, (y - self.center.1) / self.focal);
        add(self.forward, add(across, along))
    }

    /// Image point (pixels) of a world point; `None` if it is behind the camera.
    pub fn project(&self, point: Vec3) -> Option<(f64, f64)> {
        let offset = subtract(point, self.position);
        let depth = dot(offset, self.forward);
        (depth > 0.1).then(|| {
            (
                self.center.0 + self.focal * dot(offset, self.right) / depth,
                self.center.1 + self.focal * dot(offset, self.down) / depth,
            )
        })
    }

    /// Direction to the right of the camera, horizontal.
    pub fn sideways(&self) -> Vec3 {
        self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_and_projections_agree() {
        let camera = Camera::looking_at(
            [3.0, -5.0, 20.0],
            [10.0, 8.0, 0.0],
            (0.02, -0.01),
            (640, 480),
            1.0,
        );
        let ray = camera.ray(100.5, 333.25);
        let (x, y) = camera
            .project(add(camera.position, scale(ray, 17.0)))
            .unwrap();
        assert!((x - 100.5).abs() < 1e-9 && (y - 333.25).abs() < 1e-9);
        assert!(camera.project([3.0, -5.0, 60.0]).is_none() || camera.ray(320.0, 240.0)[2] < 0.0);
        // A higher point in the world is higher in the image.
        let low = camera.project([10.0, 8.0, 0.0]).unwrap();
        let high = camera.project([10.0, 8.0, 2.0]).unwrap();
        assert!(high.1 < low.1);
    }
}
