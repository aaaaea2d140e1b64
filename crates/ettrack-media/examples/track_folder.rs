//! Tracks a target through a folder of pictures and prints its box in each.
//!
//! `cargo run --release -p ettrack-media --example track_folder -- PICTURES X,Y,WIDTH,HEIGHT [MODEL]`

use std::path::Path;

use ettrack::frame::ImageBuffer;
use ettrack::{BoundingBox, Tracker, TrackerOptions};
use ettrack_media::source::{FolderSource, FrameSource};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pictures, target, model) = match arguments.as_slice() {
        [pictures, target] => (pictures, target, "models/ettrack-nano"),
        [pictures, target, model] => (pictures, target, model.as_str()),
        _ => return Err("expected PICTURES X,Y,WIDTH,HEIGHT [MODEL]".into()),
    };
    let numbers: Vec<f64> = target
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("target {target}: {error}"))?;
    let [x, y, width, height] = numbers[..] else {
        return Err(format!("target {target}: expected four numbers").into());
    };

    let mut tracker = Tracker::open(model, &TrackerOptions::default())?;
    let mut source = FolderSource::open(Path::new(pictures))?;
    // The pixels of each picture; its memory is reused.
    let mut image = ImageBuffer::empty();
    while let Some(info) = source.next_into(&mut image)? {
        let frame = image.frame()?;
        if info.index == 0 {
            tracker.initialize(&frame, BoundingBox::new(x, y, width, height))?;
            continue;
        }
        let track = tracker.update(&frame)?;
        println!(
            "{}: {} {:?}, confidence {:.2}",
            info.name, track.bounding_box, track.state, track.confidence
        );
    }
    Ok(())
}
