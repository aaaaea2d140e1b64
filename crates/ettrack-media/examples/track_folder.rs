//! Tracks a target through a folder of pictures (or a video, a camera, a bag) and prints its box in each frame.
//!
//! ```sh
//! cargo run --release -p ettrack-media --example track_folder -- models/ettrack-nano flight/img 310,120,64,96
//! ```
//!
//! ONNX Runtime must be installed; see docs/onnxruntime.md.

use std::error::Error;

use ettrack::frame::ImageBuffer;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{SingleObjectTracker, Tracker, TrackerOptions};
use ettrack_media::source;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, target] = arguments.as_slice() else {
        return Err("usage: track_folder MODEL FOLDER X,Y,WIDTH,HEIGHT".into());
    };
    let mut tracker = Tracker::open(model, &TrackerOptions::default())?;
    let mut frames = source::open(folder, None)?;
    let mut image = ImageBuffer::empty();

    // The first frame holds the target.
    frames.next_into(&mut image)?.ok_or("no frames")?;
    tracker.initialize(&image.frame()?, parse_box(target)?)?;
    // `image` is reused: no memory is allocated per frame.
    while let Some(info) = frames.next_into(&mut image)? {
        let track = tracker.update(&image.frame()?)?;
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = track.bounding_box;
        println!(
            "{}: {x:.1},{y:.1},{width:.1},{height:.1} {:.2} {:?}",
            info.name, track.confidence, track.state
        );
    }
    Ok(())
}

fn parse_box(text: &str) -> Result<BoundingBox, Box<dyn Error>> {
    let numbers: Vec<f64> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [x, y, width, height] => Ok(BoundingBox::new(*x, *y, *width, *height)),
        _ => Err(format!("expected X,Y,WIDTH,HEIGHT, got {text:?}").into()),
    }
}
