//! A camera loop of your own: grab a frame, track, act on the box.
//!
//! `cargo run --release -p ettrack --example own_camera_loop -- models/ettrack-nano`
//!
//! The camera here is simulated: a textured square moves over a background with noise. Replace `Camera` by yours. A
//! [`Frame`] borrows the camera's buffer in the camera's own encoding, so nothing is converted or copied.

use std::time::Instant;

use ettrack::{BoundingBox, Encoding, Frame, TrackState, Tracker, TrackerOptions};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "models/ettrack-nano".to_owned());
    let mut tracker = Tracker::open(&model, &TrackerOptions::default())?;
    let mut camera = Camera::default();
    let mut buffer = vec![0; (WIDTH * HEIGHT) as usize];

    // The user chooses the target in the first frame.
    let target = camera.grab(&mut buffer);
    let frame = Frame::packed(&buffer, WIDTH, HEIGHT, Encoding::Mono8)?;
    tracker.initialize(&frame, target)?;

    for number in 1..60 {
        let truth = camera.grab(&mut buffer);
        let frame = Frame::packed(&buffer, WIDTH, HEIGHT, Encoding::Mono8)?;
        let started = Instant::now();
        let track = tracker.update(&frame)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let found = track.bounding_box;
        match track.state {
            TrackState::Tracking => println!(
                "frame {number}: x {:.1}, y {:.1}, {:.1} x {:.1} pixels, confidence {:.2}, IoU {:.2}, {milliseconds:.1} ms",
                found.x,
                found.y,
                found.width,
                found.height,
                track.confidence,
                found.iou(&truth)
            ),
            // The box says where the search goes on, not where the target is.
            TrackState::Lost => println!("frame {number}: the target is not seen"),
        }
    }
    Ok(())
}

/// A square that moves in a circle.
#[derive(Default)]
struct Camera {
    frames: u32,
}

impl Camera {
    /// Writes the next picture into `buffer` and gives the square's box in it.
    fn grab(&mut self, buffer: &mut [u8]) -> BoundingBox {
        let angle = f64::from(self.frames) * 0.05;
        self.frames += 1;
        let (left, top) = (300.0 + 120.0 * angle.cos(), 200.0 + 90.0 * angle.sin());
        let (left, top, side) = (left as usize, top as usize, 48);
        let mut noise = self.frames;
        for (i, pixel) in buffer.iter_mut().enumerate() {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (i % WIDTH as usize, i / WIDTH as usize);
            let level = if (left..left + side).contains(&x) && (top..top + side).contains(&y) {
                // A checkerboard of 12 pixels.
                if ((x - left) / 12 + (y - top) / 12) % 2 == 0 {
                    230
                } else {
                    60
                }
            } else {
                90 + (x + y) as u32 % 40
            };
            *pixel = (level + (noise >> 28)) as u8;
        }
        BoundingBox::new(left as f64, top as f64, side as f64, side as f64)
    }
}
