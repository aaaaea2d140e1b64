//! `ettrack tap`: how good the first box around a tapped point is.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use ettrack::frame::ImageBuffer;
use ettrack::geometry::BoundingBox;

use crate::console::stdout;
use crate::dataset_args::DatasetArgs;

/// Points of a target, as shares of its width and height from its centre: where people tap.
const POINTS: [(f64, f64); 5] = [
    (0.0, 0.0),
    (0.15, 0.0),
    (-0.15, 0.0),
    (0.0, 0.15),
    (0.0, -0.15),
];

/// Side of the square that the grown boxes are compared with, against the mean side of the image.
const SQUARE: f64 = 0.14;

/// Measure the first boxes that are grown around a tapped point, on the first frames of a benchmark.
///
/// Each target is tapped in five points: its centre, and a bit beside it. Printed are the mean overlap (IoU) with the true
/// box, the share of taps with an overlap of 0.5 or more, and the same of a square of the usual size around the point.
#[derive(Debug, Args)]
pub struct TapArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Print a line for each sequence, too.
    #[arg(long)]
    each: bool,
}

#[derive(Default)]
struct Overlaps(Vec<f64>);

impl Overlaps {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    fn good(&self) -> f64 {
        let good = self.0.iter().filter(|overlap| **overlap >= 0.5).count();
        good as f64 / self.0.len().max(1) as f64
    }
}

impl TapArgs {
    /// Measures and prints.
    pub fn run(self) -> anyhow::Result<()> {
        let mut out = stdout();
        let (mut grown, mut square) = (Overlaps::default(), Overlaps::default());
        let mut image = ImageBuffer::empty();
        for entry in self.dataset.entries()? {
            let sequence = entry.load()?;
            let Some(first) = sequence.frames.first() else {
                bail!("{}: no frames", sequence.name);
            };
            ettrack_picture::decode_into(&std::fs::read(first)?, &mut image)?;
            let frame = image.frame()?;
            let truth = sequence.first_box;
            let (x, y) = truth.center();
            let side = SQUARE * (f64::from(frame.width()) * f64::from(frame.height())).sqrt();
            let before = grown.0.len();
            for (right, down) in POINTS {
                let point = (x + right * truth.width, y + down * truth.height);
                let found = ettrack_picture::grow_box(&frame, point);
                grown.0.push(found.map_or(0.0, |found| found.iou(&truth)));
                square
                    .0
                    .push(BoundingBox::from_center(point, side, side).iou(&truth));
            }
            if self.each {
                let own = Overlaps(grown.0[before..].to_vec());
                writeln!(out, "{:<24} {:.3}", sequence.name, own.mean())?;
            }
        }
        for (name, overlaps) in [("grown box", &grown), ("square", &square)] {
            writeln!(
                out,
                "{name}: mean IoU {:.3}, {:.1} % of {} taps at 0.5 or more",
                overlaps.mean(),
                100.0 * overlaps.good(),
                overlaps.0.len()
            )?;
        }
        Ok(out.flush()?)
    }
}
