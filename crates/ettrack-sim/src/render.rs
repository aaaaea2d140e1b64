//! Renders frames of the world, and measures the target's true box and visible part.

use image::RgbImage;

use super::body::{Body, Hit, Skin};
use super::camera::{Camera, add, scale};
use super::noise::{mix, value};
use super::texture::Rgb;
use super::world::World;
use ettrack::geometry::BoundingBox;

/// Camera and bodies at one instant of an exposure.
pub(super) struct Instant {
    pub camera: Camera,
    pub bodies: Vec<Body>,
}

/// Colour of haze and sky.
const HAZE: Rgb = [0.62, 0.68, 0.74];
/// Distance in metres at which haze covers 63 % of a colour.
const HAZE_DEPTH: f64 = 420.0;
/// Standard deviation of the sensor's noise, in levels of 0..=255.
const NOISE: f32 = 2.2;

/// Left, top, right and bottom (pixels, not clipped to the image) of a body; `None` if it is behind the camera.
fn extent(camera: &Camera, body: &Body) -> Option<[f64; 4]> {
    let mut edges = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    for corner in body.corners() {
        let (x, y) = camera.project(corner)?;
        edges = [
            edges[0].min(x),
            edges[1].min(y),
            edges[2].max(x),
            edges[3].max(y),
        ];
    }
    Some(edges)
}

/// Renders the mean of several instants (motion blur) with the sensor's noise from `noise_seed`.
pub(super) fn render(
    world: &World,
    instants: &[Instant],
    (width, height): (u32, u32),
    noise_seed: u64,
) -> RgbImage {
    let mut pixels = vec![0_u8; width as usize * height as usize * 3];
    let row_bytes = width as usize * 3;
    let rows = (height as usize).div_ceil(super::workers() * 4);
    // Many narrow strips, because some parts of the image take longer than others.
    let strips = std::sync::Mutex::new(pixels.chunks_mut(rows * row_bytes).enumerate());
    std::thread::scope(|scope| {
        for _ in 0..super::workers() {
            scope.spawn(|| {
                loop {
                    let next = strips
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .next();
                    let Some((strip, bytes)) = next else { break };
                    for (index, line) in bytes.chunks_mut(row_bytes).enumerate() {
                        let row = strip * rows + index;
                        render_row(world, instants, (width, height), row, noise_seed, line);
                    }
                }
            });
        }
    });
    // The buffer has exactly the image's size, so the fallback is never taken.
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

fn render_row(
    world: &World,
    instants: &[Instant],
    (width, height): (u32, u32),
    row: usize,
    noise_seed: u64,
    line: &mut [u8],
) {
    let mut sums = vec![[0.0_f32; 3]; width as usize];
    let y = row as f64 + 0.5;
    for instant in instants {
        let Instant { camera, bodies } = instant;
        let mut hits: Vec<Option<(usize, Hit)>> = vec![None; width as usize];
        for (index, body) in bodies.iter().enumerate() {
            let Some([left, top, right, bottom]) = extent(camera, body) else {
                continue;
            };
            if y < top || y > bottom {
                continue;
            }
            let first = left.floor().clamp(0.0, f64::from(width)) as usize;
            let last = right.ceil().clamp(0.0, f64::from(width)) as usize;
            for (column, slot) in hits.iter_mut().enumerate().take(last).skip(first) {
                let ray = camera.ray(column as f64 + 0.5, y);
                if let Some(hit) = body.hit(camera.position, ray)
                    && slot
                        .as_ref()
                        .is_none_or(|(_, other)| hit.depth < other.depth)
                {
                    *slot = Some((index, hit));
                }
            }
        }
        let cars: Vec<Body> = bodies
            .iter()
            .filter(|body| matches!(body.skin, Skin::CarBody(_)))
            .copied()
            .collect();
        for (column, sum) in sums.iter_mut().enumerate() {
            let ray = camera.ray(column as f64 + 0.5, y);
            let color = match &hits[column] {
                Some((index, hit)) => haze(bodies[*index].shade(hit), hit.depth),
                None if ray[2] < -1e-3 => {
                    let depth = -camera.position[2] / ray[2];
                    let point = add(camera.position, scale(ray, depth));
                    // A pixel covers more ground if the ray is flatter.
                    let footprint = depth / camera.focal / (-ray[2]).clamp(0.15, 1.0).sqrt();
                    haze(world.ground(point[0], point[1], footprint, &cars), depth)
                }
                None => HAZE,
            };
            for (total, part) in sum.iter_mut().zip(color) {
                *total += part;
            }
        }
    }
    let count = instants.len().max(1) as f32;
    let (cx, cy) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    for (column, (sum, bytes)) in sums.iter().zip(line.chunks_exact_mut(3)).enumerate() {
        let off = ((column as f64 - cx) / cx).powi(2) + ((y - cy) / cx).powi(2);
        let vignette = (1.0 - 0.16 * off) as f32;
        let cell = (row as u64 * u64::from(width) + column as u64) * 3;
        for (channel, (total, byte)) in sum.iter().zip(bytes).enumerate() {
            // Linear light to display values (gamma 2), then noise: a sum of four uniform numbers is close to a normal one.
            let light = (total / count * vignette).clamp(0.0, 1.0).sqrt() * 255.0;
            let bits = mix(noise_seed ^ mix(cell + channel as u64));
            let uniform: f32 = (0..4)
                .map(|i| (bits >> (16 * i) & 0xffff) as f32 / 65535.0 - 0.5)
                .sum();
            *byte = (light + uniform * 1.73 * NOISE).round().clamp(0.0, 255.0) as u8;
        }
    }
}

fn haze(color: Rgb, depth: f64) -> Rgb {
    let part = (1.0 - (-depth / HAZE_DEPTH).exp()) as f32;
    std::array::from_fn(|i| color[i] + (HAZE[i] - color[i]) * part)
}

/// The target's true box and visible part at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Truth {
    /// Box of its whole outline, hidden parts included, cut at the image's border; `None` if it is outside of the image.
    pub bounding_box: Option<BoundingBox>,
    /// Part of its outline that is in the image and not hidden, 0..=1.
    pub visible: f64,
}

/// Counts the pixels of the target's whole outline, also outside of the image, and those of them that are visible.
pub(super) fn truth(instant: &Instant, (width, height): (u32, u32)) -> Truth {
    let gone = Truth {
        bounding_box: None,
        visible: 0.0,
    };
    let Instant { camera, bodies } = instant;
    let mut outline = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    for body in bodies.iter().filter(|body| body.is_target) {
        let Some([left, top, right, bottom]) = extent(camera, body) else {
            return gone;
        };
        outline = [
            outline[0].min(left),
            outline[1].min(top),
            outline[2].max(right),
            outline[3].max(bottom),
        ];
    }
    let (columns, rows) = (f64::from(width), f64::from(height));
    let [left, top] = [outline[0].max(0.0), outline[1].max(0.0)];
    let [right, bottom] = [outline[2].min(columns), outline[3].min(rows)];
    if right - left < 1.0 || bottom - top < 1.0 {
        return gone;
    }
    // Only bodies that overlap the target's outline in the image can hide it.
    let near: Vec<&Body> = bodies
        .iter()
        .filter(|body| {
            extent(camera, body).is_some_and(|[l, t, r, b]| {
                l < outline[2] && r > outline[0] && t < outline[3] && b > outline[1]
            })
        })
        .collect();
    let (mut whole, mut seen) = (0_u32, 0_u32);
    for y in (outline[1].floor() as i64)..(outline[3].ceil() as i64) {
        for x in (outline[0].floor() as i64)..(outline[2].ceil() as i64) {
            let ray = camera.ray(x as f64 + 0.5, y as f64 + 0.5);
            let (mut own, mut others) = (f64::INFINITY, f64::INFINITY);
            for body in &near {
                if let Some(hit) = body.hit(camera.position, ray) {
                    let nearest = if body.is_target {
                        &mut own
                    } else {
                        &mut others
                    };
                    *nearest = nearest.min(hit.depth);
                }
            }
            if own.is_finite() {
                whole += 1;
                let inside =
                    (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
                seen += u32::from(inside && own < others);
            }
        }
    }
    if whole == 0 {
        return gone;
    }
    Truth {
        bounding_box: Some(BoundingBox::new(left, top, right - left, bottom - top)),
        visible: f64::from(seen) / f64::from(whole),
    }
}

/// A smooth random motion over time, -1..=1.
pub(super) fn sway(seed: u64, time: f64) -> f64 {
    2.0 * value(seed, time, 0.5, None) - 1.0
}
