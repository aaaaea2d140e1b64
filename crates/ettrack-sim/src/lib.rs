//! Renders the flight of a drone that follows a car, with the true box of the car in each frame. It is test input for
//! trackers that needs no download. The same options give the same pixels.
//!
//! During a flight the target is in the open, then meets a car of the same colours (at 25 % of the frames), is blurred by a
//! shaking camera (at about 38 %), is hidden under a bridge (at about 52 %), is outside of the picture (at about 70 %), and
//! meets a second similar car (at 80 %). Another similar car drives behind it all the time.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use ettrack_sim::{Simulation, SimulationOptions, write_folder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let flight = Simulation::new(SimulationOptions { seed: 7, frames: 60, ..SimulationOptions::default() })?;
//! let first = flight.frame(0);
//! println!("{}x{} pixels, target at {:?}", first.picture.width(), first.picture.height(), first.target);
//! // img/0001.jpg …, groundtruth_rect.txt and visibility.txt.
//! write_folder(&flight, "flight".as_ref(), |_frames_done| ControlFlow::Continue(()))?;
//! # Ok(())
//! # }
//! ```

mod body;
mod camera;
mod noise;
mod render;
mod texture;
mod world;
mod write;

use image::RgbImage;

use self::camera::{Camera, add, scale};
use self::render::{Instant, render, sway, truth};
use self::world::World;
use ettrack::geometry::BoundingBox;

pub use self::write::{
    IMAGE_TOPIC, ROI_TOPIC, SimulateError, TRUTH_TOPIC, check_free, write_bag, write_folder,
};

/// Visible part of the target's outline from which on the target counts as present.
const PRESENT: f64 = 0.1;
/// Exposure time as a part of the time between two frames.
const EXPOSURE: f64 = 0.5;
/// Most renderings that are averaged for the motion blur of one frame.
const MOST_INSTANTS: usize = 7;

/// Number of threads that render.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(8))
}

/// What to render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulationOptions {
    /// Seed of the place, the cars and the flight.
    pub seed: u64,
    /// Pixels per row, 64..=4096.
    pub width: u32,
    /// Rows, 64..=4096.
    pub height: u32,
    /// Frames, 2..=100000. The events above come at the same parts of a flight of any length; below about 150 frames they
    /// are short.
    pub frames: u32,
    /// Frames a second, 1..=240.
    pub rate: f64,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            width: 640,
            height: 480,
            frames: 300,
            rate: 30.0,
        }
    }
}

impl SimulationOptions {
    /// Refuses options outside of their ranges.
    fn check(&self) -> Result<(), SimulateError> {
        let wrong = |name, got: String, expected| {
            Err(SimulateError::Option {
                name,
                got,
                expected,
            })
        };
        if !(64..=4096).contains(&self.width) || !(64..=4096).contains(&self.height) {
            return wrong(
                "size",
                format!("{}x{}", self.width, self.height),
                "sides of 64..=4096",
            );
        }
        if !(2..=100_000).contains(&self.frames) {
            return wrong("frames", self.frames.to_string(), "2..=100000");
        }
        if !(1.0..=240.0).contains(&self.rate) {
            return wrong("rate", self.rate.to_string(), "1..=240");
        }
        Ok(())
    }
}

/// One frame of a flight.
#[derive(Debug, Clone)]
pub struct SimulatedFrame {
    /// The picture.
    pub picture: RgbImage,
    /// Box of the target's whole outline, hidden parts included, cut at the image's border, pixels; `None` if less than a
    /// tenth of it is visible.
    pub target: Option<BoundingBox>,
    /// Visible part of the target, 0..=1; 0 if the target does not count as present.
    pub visible: f64,
}

/// A flight that is rendered frame by frame.
#[derive(Debug)]
pub struct Simulation {
    options: SimulationOptions,
    world: World,
}

/// 0 outside of `from..to`, 1 in its middle, with smooth transitions.
fn bump(part: f64, from: f64, to: f64) -> f64 {
    if part <= from || part >= to {
        return 0.0;
    }
    let rise = ((part - from) / (to - from) * 4.0).min(1.0);
    let fall = ((to - part) / (to - from) * 4.0).min(1.0);
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    smooth(rise.min(fall))
}

impl Simulation {
    /// Builds the place, which takes about a second.
    ///
    /// # Errors
    /// [`SimulateError::Option`] if an option is outside of its range.
    pub fn new(options: SimulationOptions) -> Result<Self, SimulateError> {
        options.check()?;
        let seconds = f64::from(options.frames) / options.rate;
        Ok(Self {
            options,
            world: World::new(options.seed, seconds),
        })
    }

    /// The options of the flight.
    pub fn options(&self) -> &SimulationOptions {
        &self.options
    }

    fn camera(&self, time: f64) -> Camera {
        let SimulationOptions {
            seed,
            width,
            height,
            frames,
            rate,
        } = self.options;
        let part = time * rate / f64::from(frames);
        // The drone follows with a delay.
        let (target, heading) = self.world.target(time - 0.35);
        let around = heading + std::f64::consts::PI + 0.9 * sway(seed ^ 11, time * 0.11);
        let distance = 19.0 + 5.0 * sway(seed ^ 12, time * 0.17);
        let height_above = 21.0 + 4.0 * sway(seed ^ 13, time * 0.13);
        let position = [
            target[0] + distance * around.cos() + 0.8 * sway(seed ^ 14, time * 0.7),
            target[1] + distance * around.sin() + 0.8 * sway(seed ^ 15, time * 0.7),
            height_above,
        ];
        let mut aim = target;
        aim[0] += 3.0 * sway(seed ^ 16, time * 0.4);
        aim[1] += 3.0 * sway(seed ^ 17, time * 0.4);
        let plain = Camera::looking_at(position, aim, (0.0, 0.0), (width, height), 1.0);
        let away = 26.0 * bump(part, 0.64, 0.76);
        let aim = add(aim, scale(plain.sideways(), away));
        let shake = bump(part, 0.34, 0.42);
        let yaw = 0.022 * shake * (time * 33.0).sin() + 0.002 * sway(seed ^ 18, time * 3.0);
        let pitch = 0.016 * shake * (time * 41.0).sin() + 0.002 * sway(seed ^ 19, time * 3.0);
        Camera::looking_at(position, aim, (yaw, pitch), (width, height), 1.0)
    }

    fn instant(&self, time: f64) -> Instant {
        Instant {
            camera: self.camera(time),
            bodies: self.world.bodies(time),
        }
    }

    /// Renders frame `index` (0-based). The true box is that of the middle of the exposure.
    pub fn frame(&self, index: u32) -> SimulatedFrame {
        let size = (self.options.width, self.options.height);
        let middle = f64::from(index) / self.options.rate;
        let exposure = EXPOSURE / self.options.rate;
        let at =
            |i: usize, count: usize| middle + exposure * ((i as f64 + 0.5) / count as f64 - 0.5);
        // One rendering per pixel that the target moves during the exposure.
        let (place, _) = self.world.target(middle);
        let crossed = |from: f64, to: f64| {
            let start = self.camera(from).project(place)?;
            let end = self.camera(to).project(place)?;
            Some((start.0 - end.0).hypot(start.1 - end.1))
        };
        let motion = crossed(at(0, 2), at(1, 2)).unwrap_or(0.0) * 2.0;
        let count = (motion.round() as usize).clamp(1, MOST_INSTANTS);
        let instants: Vec<_> = (0..count).map(|i| self.instant(at(i, count))).collect();
        let noise_seed = noise::mix(self.options.seed ^ (u64::from(index) << 20));
        let picture = render(&self.world, &instants, size, noise_seed);
        let truth = truth(&self.instant(middle), size);
        let present = truth.visible >= PRESENT;
        SimulatedFrame {
            picture,
            target: truth.bounding_box.filter(|_| present),
            visible: if present { truth.visible } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(frames: u32) -> Simulation {
        Simulation::new(SimulationOptions {
            width: 160,
            height: 120,
            frames,
            ..SimulationOptions::default()
        })
        .unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_pixels_and_another_seed_gives_others() {
        let (one, two) = (small(100), small(100));
        let other = Simulation::new(SimulationOptions {
            seed: 2,
            ..*one.options()
        })
        .unwrap();
        for index in [0, 38] {
            assert_eq!(one.frame(index).picture, two.frame(index).picture);
            assert_eq!(one.frame(index).target, two.frame(index).target);
            assert_ne!(one.frame(index).picture, other.frame(index).picture);
        }
    }

    #[test]
    fn each_seed_starts_with_a_visible_target_and_hides_it_twice() {
        for seed in 1..=3 {
            let flight = Simulation::new(SimulationOptions {
                seed,
                width: 96,
                height: 72,
                ..SimulationOptions::default()
            })
            .unwrap();
            let size = (96, 72);
            let visible: Vec<f64> = (0..300)
                .step_by(3)
                .map(|index| truth(&flight.instant(f64::from(index) / 30.0), size).visible)
                .collect();
            assert!(visible[0] > 0.9, "seed {seed}: {}", visible[0]);
            let hidden = visible[48..60].iter().any(|part| *part < PRESENT);
            let away = visible[64..76].iter().any(|part| *part < PRESENT);
            let back = visible[80..].iter().filter(|part| **part > 0.5).count();
            assert!(hidden && away && back > 15, "seed {seed}: {visible:.2?}");
            let present = visible.iter().filter(|part| **part >= PRESENT).count();
            assert!((70..97).contains(&present), "seed {seed}: {present}");
        }
    }

    #[test]
    fn the_true_box_is_inside_the_image_and_moves_smoothly() {
        let flight = small(200);
        let mut before: Option<BoundingBox> = None;
        for index in 0..40 {
            let frame = truth(&flight.instant(f64::from(index) / 30.0), (160, 120));
            let target = frame.bounding_box.unwrap();
            assert!(target.x >= 0.0 && target.y >= 0.0);
            assert!(target.x + target.width <= 160.0 && target.y + target.height <= 120.0);
            if let Some(before) = before {
                assert!((target.x - before.x).abs() < 6.0, "{before:?} {target:?}");
            }
            before = Some(target);
        }
    }

    #[test]
    fn refuses_options_out_of_range() {
        for options in [
            SimulationOptions {
                width: 0,
                ..SimulationOptions::default()
            },
            SimulationOptions {
                frames: 1,
                ..SimulationOptions::default()
            },
            SimulationOptions {
                rate: f64::NAN,
                ..SimulationOptions::default()
            },
        ] {
            assert!(Simulation::new(options).is_err(), "{options:?}");
        }
    }
}
