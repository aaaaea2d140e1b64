//! Bodies on the ground (boxes and tree crowns), where rays hit them, and their colours.

use super::camera::{Vec3, add, dot, subtract, unit};
use super::noise::{fractal, value};
use super::texture::Rgb;

/// Direction to the sun, a unit vector.
pub(super) const SUN: Vec3 = [0.433, 0.278, 0.857];

/// Shape of a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Half sizes along its own axes.
    Box(Vec3),
    /// Radii.
    Crown(Vec3),
}

/// The kind of surface of a body, which gives its colours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Skin {
    /// Lower part of a car.
    CarBody(Paint),
    /// Cabin of a car.
    CarCabin(Paint),
    Building {
        walls: Rgb,
        roof: Rgb,
        seed: u64,
    },
    Concrete,
    Leaves {
        color: Rgb,
        seed: u64,
    },
}

/// A car's colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub main: Rgb,
    /// Colour of stripe and roof mark.
    pub second: Rgb,
    /// Roof mark: 0 none, 1 a bar, 2 a disc, 3 two bars.
    pub mark: u8,
}

/// A body and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub center: Vec3,
    /// Rotation about the vertical axis, radians.
    pub heading: f64,
    pub shape: Shape,
    pub skin: Skin,
    /// Whether it is the target or a part of it.
    pub is_target: bool,
}

/// The point where a ray hits a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Distance in lengths of the ray's direction.
    pub depth: f64,
    /// The point in the body's own axes, each -1..=1.
    local: Vec3,
    /// Normal of the surface, in the body's own axes.
    normal: Vec3,
}

impl Body {
    fn to_local(self, v: Vec3) -> Vec3 {
        let (sin, cos) = self.heading.sin_cos();
        [v[0] * cos + v[1] * sin, v[1] * cos - v[0] * sin, v[2]]
    }

    fn to_world(self, v: Vec3) -> Vec3 {
        let (sin, cos) = self.heading.sin_cos();
        [v[0] * cos - v[1] * sin, v[0] * sin + v[1] * cos, v[2]]
    }

    pub fn half(&self) -> Vec3 {
        match self.shape {
            Shape::Box(half) | Shape::Crown(half) => half,
        }
    }

    /// Corners of the box around it, in world coordinates.
    pub fn corners(&self) -> [Vec3; 8] {
        let half = self.half();
        std::array::from_fn(|index| {
            let sign = |bit: usize| if index >> bit & 1 == 1 { 1.0 } else { -1.0 };
            let corner = [sign(0) * half[0], sign(1) * half[1], sign(2) * half[2]];
            add(self.center, self.to_world(corner))
        })
    }

    /// First point where a ray from `origin` along `direction` hits the body; `None` if it misses.
    pub fn hit(&self, origin: Vec3, direction: Vec3) -> Option<Hit> {
        let from = self.to_local(subtract(origin, self.center));
        let along = self.to_local(direction);
        match self.shape {
            Shape::Box(half) => hit_box(from, along, half),
            Shape::Crown(radii) => {
                let hit = hit_ellipsoid(from, along, radii)?;
                // The edge of a crown has holes between the leaves.
                let Skin::Leaves { seed, .. } = self.skin else {
                    return Some(hit);
                };
                let facing = -dot(unit(along), hit.normal);
                let p = hit.local;
                let leaf = fractal(
                    seed,
                    3.0 * p[0] + 9.0 * p[2],
                    3.0 * p[1] - 5.0 * p[2],
                    3,
                    None,
                );
                (facing > 0.75 * leaf - 0.1).then_some(hit)
            }
        }
    }

    /// Colour at a hit, with sunlight.
    pub fn shade(&self, hit: &Hit) -> Rgb {
        let normal = self.to_world(hit.normal);
        let light = (0.42 + 0.72 * dot(normal, SUN).max(0.0)) as f32;
        let color = self.color(hit);
        color.map(|channel| channel * light)
    }

    fn color(&self, hit: &Hit) -> Rgb {
        let [x, y, z] = hit.local;
        let top = hit.normal[2] > 0.5;
        let on_side = hit.normal[1].abs() > 0.5;
        let half = self.half();
        match self.skin {
            Skin::CarBody(paint) => car_body(&paint, (x, y, z), top, on_side, hit.normal[0], half),
            Skin::CarCabin(paint) => car_cabin(&paint, (x, y, z), top),
            Skin::Building { walls, roof, seed } => {
                if top {
                    let grain = value(seed, x * half[0] * 3.0, y * half[1] * 3.0, None) as f32;
                    let ridge = if y.abs() < 0.04 { 0.75 } else { 1.0 };
                    return roof.map(|c| c * (0.8 + 0.4 * grain) * ridge);
                }
                let across = if on_side { x * half[0] } else { y * half[1] };
                let up = z * half[2];
                let pane =
                    (across / 1.6).rem_euclid(1.0) > 0.45 && (up / 2.4).rem_euclid(1.0) > 0.5;
                if pane { [0.16, 0.2, 0.26] } else { walls }
            }
            Skin::Concrete => {
                let edge = x.abs() > 0.94 || y.abs() > 0.985;
                let grain = fractal(77, x * half[0] * 1.5, y * half[1] * 1.5, 4, None) as f32;
                let base = if edge { 0.42 } else { 0.56 };
                [base, base * 0.98, base * 0.94].map(|c| c * (0.75 + 0.5 * grain))
            }
            Skin::Leaves { color, seed } => {
                let grain = fractal(
                    seed,
                    5.0 * x + 3.0 * y + 2.0 * z,
                    4.0 * y - 3.0 * x + 5.0 * z,
                    4,
                    None,
                ) as f32;
                color.map(|c| c * (0.45 + 1.1 * grain))
            }
        }
    }
}

fn car_body(
    paint: &Paint,
    (x, y, z): (f64, f64, f64),
    top: bool,
    on_side: bool,
    front: f64,
    half: Vec3,
) -> Rgb {
    if top {
        // Edges of bonnet and boot, and a stripe along the car.
        let seam = (x - 0.42).abs() < 0.015 || (x + 0.62).abs() < 0.015;
        if seam {
            return paint.main.map(|c| c * 0.5);
        }
        return if y.abs() < 0.16 {
            paint.second
        } else {
            paint.main
        };
    }
    if on_side {
        // Wheels, the edge of a door, a darker lower edge.
        let wheel = |at: f64| ((x - at) * half[0]).hypot((z + 1.0) * half[2]) < 0.34;
        if wheel(0.62) || wheel(-0.62) {
            return [0.05, 0.05, 0.055];
        }
        let dark = if (x - 0.05).abs() < 0.012 || z < -0.75 {
            0.55
        } else {
            1.0
        };
        return paint.main.map(|c| c * dark);
    }
    let lamp = y.abs() > 0.6 && z > -0.1;
    match (lamp, front > 0.0) {
        (true, true) => [0.95, 0.95, 0.85],
        (true, false) => [0.75, 0.06, 0.05],
        _ => paint.main.map(|c| c * 0.8),
    }
}

fn car_cabin(paint: &Paint, (x, y, z): (f64, f64, f64), top: bool) -> Rgb {
    if !top {
        // Glass, with a bright frame below the roof.
        return if z > 0.75 {
            paint.main
        } else {
            [0.09, 0.11, 0.14]
        };
    }
    let marked = match paint.mark {
        1 => x.abs() < 0.2,
        2 => x.hypot(0.8 * y) < 0.45,
        3 => (x.abs() - 0.5).abs() < 0.16,
        _ => false,
    };
    if marked { paint.second } else { paint.main }
}

fn hit_box(from: Vec3, along: Vec3, half: Vec3) -> Option<Hit> {
    let (mut near, mut far, mut axis) = (f64::NEG_INFINITY, f64::INFINITY, 0);
    for i in 0..3 {
        // A parallel ray divides by zero, which gives infinities of the right sign, or no hit.
        let one = (-half[i] - from[i]) / along[i];
        let other = (half[i] - from[i]) / along[i];
        let (first, last) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        if first > near {
            (near, axis) = (first, i);
        }
        far = far.min(last);
    }
    if !(near > 0.0 && near <= far) {
        return None;
    }
    let mut normal = [0.0; 3];
    normal[axis] = -along[axis].signum();
    let local = std::array::from_fn(|i| (from[i] + along[i] * near) / half[i]);
    Some(Hit {
        depth: near,
        local,
        normal,
    })
}

fn hit_ellipsoid(from: Vec3, along: Vec3, radii: Vec3) -> Option<Hit> {
    let o: Vec3 = std::array::from_fn(|i| from[i] / radii[i]);
    let d: Vec3 = std::array::from_fn(|i| along[i] / radii[i]);
    let (a, b, c) = (dot(d, d), dot(o, d), dot(o, o) - 1.0);
    let root = b * b - a * c;
    if root < 0.0 {
        return None;
    }
    let depth = (-b - root.sqrt()) / a;
    if depth <= 0.0 {
        return None;
    }
    let local: Vec3 = std::array::from_fn(|i| o[i] + d[i] * depth);
    let normal = unit(std::array::from_fn(|i| local[i] / radii[i]));
    Some(Hit {
        depth,
        local,
        normal,
    })
}
