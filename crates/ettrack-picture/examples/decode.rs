//! Times the two JPEG decoders, interleaved, and counts the values in which their pixels differ:
//! `cargo run --release -p ettrack-picture --features libjpeg --example decode -- [--rounds N] FILE.jpg ...`
//!
//! Prints, per file: size; CRC-32 of libjpeg-turbo's pixels; median milliseconds of libjpeg-turbo and of the crate `image`;
//! the share of values that differ and by how much at most; median milliseconds of libjpeg-turbo for squares in the middle of
//! the picture.

use std::io::Cursor;
use std::time::Instant;

use ettrack::frame::{ImageBuffer, Region};
use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

/// Sides of the squares, pixels.
const SQUARES: [u32; 4] = [256, 384, 512, 720];

/// Median milliseconds of decoding a square in the middle of a picture.
fn time_of_square(
    data: &[u8],
    (width, height): (u32, u32),
    side: u32,
    rounds: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut part = ImageBuffer::empty();
    let [left, top] = [width, height].map(|length| length.saturating_sub(side) / 2);
    let wanted = Region {
        left,
        top,
        right: left + side,
        bottom: top + side,
    };
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        ettrack_picture::decode_region_into(data, &wanted, &mut part)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1e3)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let mut rounds = 15;
    if files.first().is_some_and(|first| first == "--rounds") {
        rounds = files.get(1).ok_or("--rounds N")?.parse()?;
        files.drain(..2);
    }
    let simd = ettrack_picture::jpeg_has_simd();
    eprintln!("libjpeg-turbo uses SIMD instructions: {simd}");
    let squares = SQUARES.map(|side| format!("square_{side}_ms")).join(",");
    println!("file,width,height,crc32,libjpeg_ms,image_ms,differ,by_at_most,{squares}");
    let mut exact = ImageBuffer::empty();
    for file in files {
        let data = std::fs::read(&file)?;
        let mut other = Vec::new();
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let start = Instant::now();
            ettrack_picture::decode_into(&data, &mut exact)?;
            times[0].push(start.elapsed());
            let start = Instant::now();
            let decoder = JpegDecoder::new(Cursor::new(&data))?;
            other.resize(decoder.total_bytes() as usize, 0);
            decoder.read_image(&mut other)?;
            times[1].push(start.elapsed());
        }
        let [libjpeg, image] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e3
        });
        let distances = || std::iter::zip(&exact.data, &other).map(|(a, b)| a.abs_diff(*b));
        let differ = distances().filter(|distance| *distance > 0).count();
        let mut squares = String::new();
        for side in SQUARES {
            let time = time_of_square(&data, (exact.width, exact.height), side, rounds)?;
            squares += &format!(",{time:.3}");
        }
        println!(
            "{file},{},{},{:08x},{libjpeg:.3},{image:.3},{:.4},{}{squares}",
            exact.width,
            exact.height,
            crc32(&exact.data),
            differ as f64 / other.len() as f64,
            distances().max().unwrap_or(0)
        );
    }
    Ok(())
}

/// As `zlib.crc32` of Python computes it.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}
