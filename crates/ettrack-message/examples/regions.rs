//! Tracks a target through a folder of JPEG files twice: in whole pictures, and in the regions that the tracker asks for.
//! `cargo run --release -p ettrack-message --features ettrack-picture/libjpeg --example regions -- MODEL FOLDER X,Y,WIDTH,HEIGHT`
//!
//! Prints the number of frames, how many were decoded as a region alone, the median milliseconds of decoding both ways, and
//! the number of frames whose boxes, confidences or states differ.

use std::time::{Duration, Instant};

use ettrack::frame::ImageBuffer;
use ettrack::{BoundingBox, Tracker, TrackerOptions};
use ettrack_message::{CompressedImage, Header, ImageMessage, ToCdr, Transport};

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
        * 1e3
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, target] = &arguments[..] else {
        return Err("expected MODEL FOLDER X,Y,WIDTH,HEIGHT".into());
    };
    let numbers: Vec<f64> = target
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [x, y, width, height] = numbers[..] else {
        return Err("expected X,Y,WIDTH,HEIGHT".into());
    };
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jpg"));
    files.sort();
    let options = TrackerOptions::default().with_threads(1);
    let mut trackers = [
        Tracker::open(model, &options)?,
        Tracker::open(model, &options)?,
    ];
    let mut buffers = [(); 3].map(|()| ImageBuffer::empty());
    let mut times = [Vec::new(), Vec::new()];
    let (mut alone, mut differ) = (0, 0);
    for (n, file) in files.iter().enumerate() {
        let data = std::fs::read(file)?;
        let image = CompressedImage {
            header: Header::default(),
            format: "jpeg",
            data: &data,
        };
        let message = ImageMessage::Cdr {
            transport: Transport::Compressed,
            bytes: image.to_cdr(),
        };
        let [on_whole, by_region] = &mut trackers;
        let [whole, part, rest] = &mut buffers;
        let started = Instant::now();
        let (_, frame) = message.read(whole)?;
        let whole_time = started.elapsed();
        if n == 0 {
            let target = BoundingBox::new(x, y, width, height);
            on_whole.initialize(&frame, target)?;
            by_region.initialize(&frame, target)?;
            continue;
        }
        let expected = on_whole.update(&frame)?;
        let wanted = by_region.next_region();
        let started = Instant::now();
        let image = message.read_region(wanted.as_ref(), part, rest)?;
        let region_time = started.elapsed();
        let got = by_region.update(&image.frame())?;
        alone += usize::from(image.is_part());
        let same = got.bounding_box == expected.bounding_box
            && got.confidence.to_bits() == expected.confidence.to_bits()
            && got.state == expected.state;
        differ += usize::from(!same);
        times[0].push(whole_time);
        times[1].push(region_time);
    }
    let [whole, part] = times.map(median);
    println!(
        "{folder}: {} frames, {alone} decoded as a region alone, {whole:.3} and {part:.3} ms, {differ} differ",
        files.len().saturating_sub(1)
    );
    Ok(())
}
