//! A plot of trackers' means with their intervals, one row per tracker.

use std::fmt::Write as _;

use super::plot::{Tick, csv_field, number, pixel, ticks};
use crate::interval::Interval;

const WIDTH: f64 = 460.0;
const LEFT: f64 = 16.0;
const RIGHT: f64 = 444.0;
const TOP: f64 = 32.0;
/// Height of a tracker's row: its name and its interval below.
const ROW: f64 = 38.0;

/// A tracker's interval.
pub(super) struct Row {
    pub label: String,
    /// CSS class.
    pub class: String,
    pub interval: Interval,
}

/// A plot of intervals as the template needs it.
pub(super) struct Intervals {
    pub title: String,
    pub width: String,
    pub height: String,
    pub top: String,
    pub bottom: String,
    pub ticks: Vec<Tick>,
    pub bars: Vec<Bar>,
    pub csv: String,
}

/// A line from the interval's lower end to its upper end, and a mark at the mean.
pub(super) struct Bar {
    pub class: String,
    pub label: String,
    pub label_y: String,
    pub y: String,
    pub low: String,
    pub high: String,
    pub mean: String,
}

impl Intervals {
    /// Makes the plot from its rows, from top to bottom; `None` if there are none.
    pub fn new(title: String, rows: &[Row]) -> Option<Self> {
        let ends = rows.iter().map(|row| (row.interval.low, row.interval.high));
        let (low, high) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        // The axis has whole tenths around all intervals, so that trackers with near means can be distinguished.
        let (from, to) = ((low * 10.0).floor() / 10.0, (high * 10.0).ceil() / 10.0);
        let to = to.max(from + 0.1);
        let x = |value: f64| LEFT + (value - from) / (to - from) * (RIGHT - LEFT);
        let bottom = TOP + ROW * rows.len() as f64;
        let bar = |(index, row): (usize, &Row)| {
            let y = TOP + ROW * (index as f64 + 0.72);
            let Interval { mean, low, high } = row.interval;
            Bar {
                class: row.class.clone(),
                label: format!("{}: {mean:.3} [{low:.3}, {high:.3}]", row.label),
                label_y: pixel(y - 9.0),
                y: pixel(y),
                low: pixel(x(low)),
                high: pixel(x(high)),
                mean: pixel(x(mean)),
            }
        };
        let tick = |value: f64| Tick {
            at: pixel(x(value)),
            label_x: pixel(x(value)),
            label_y: pixel(bottom + 16.0),
            label: number(value),
        };
        let mut csv = "tracker,mean,low,high\n".to_owned();
        for Row {
            label, interval, ..
        } in rows
        {
            let Interval { mean, low, high } = interval;
            // Writing to a string does not fail.
            let _ = writeln!(csv, "{},{mean},{low},{high}", csv_field(label));
        }
        Some(Self {
            title,
            width: WIDTH.to_string(),
            height: (bottom + 24.0).to_string(),
            top: TOP.to_string(),
            bottom: bottom.to_string(),
            ticks: ticks((from, to)).into_iter().map(tick).collect(),
            bars: rows.iter().enumerate().map(bar).collect(),
            csv,
        })
    }
}
