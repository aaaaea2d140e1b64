//! The radar plot of attributes: a spoke for each attribute, a closed line for each tracker.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use super::class;
use super::plot::{LegendRow, csv_field, legend, pixel};
use crate::score::AttributeRow;

/// Radius of the outer ring, pixels.
const RADIUS: f64 = 130.0;
const CENTRE: (f64, f64) = (300.0, 185.0);
/// Wide enough for the longest names of attributes on both sides.
const WIDTH: f64 = 600.0;
const BOTTOM: f64 = 350.0;
/// With fewer spokes the lines enclose no area.
const LEAST_SPOKES: usize = 3;

/// A radar plot as the template needs it: coordinates are text, in pixels from the upper-left corner.
pub(super) struct Radar {
    pub title: String,
    pub width: String,
    pub height: String,
    /// Corners of the rings.
    pub rings: Vec<String>,
    /// Values of the rings, on the first spoke.
    pub ticks: Vec<Label>,
    pub spokes: Vec<Spoke>,
    /// The last one is drawn on top.
    pub shapes: Vec<Shape>,
    pub legend: Vec<LegendRow>,
    pub csv: String,
}

/// A text and its place.
pub(super) struct Label {
    pub x: String,
    pub y: String,
    pub text: String,
}

/// An axis from the centre, with its attribute.
pub(super) struct Spoke {
    pub from: (String, String),
    pub to: (String, String),
    pub anchor: &'static str,
    pub label: Label,
}

/// A tracker's line.
pub(super) struct Shape {
    pub label: String,
    pub class: String,
    pub points: String,
}

impl Radar {
    /// The success AUC of trackers by attribute. `None` for fewer than three attributes.
    pub fn new(
        title: String,
        trackers: &[(&str, &BTreeMap<String, AttributeRow>)],
    ) -> Option<Self> {
        let (_, first) = trackers.first()?;
        let names: Vec<&String> = first.keys().collect();
        if names.len() < LEAST_SPOKES {
            return None;
        }
        let values: Vec<Vec<Option<f64>>> = trackers
            .iter()
            .map(|(_, rows)| {
                let auc = |name: &&String| rows.get(*name).map(|row| row.scores.success_auc);
                names.iter().map(auc).collect()
            })
            .collect();
        let largest = values
            .iter()
            .flatten()
            .flatten()
            .copied()
            .fold(0.0, f64::max);
        // The outer ring is the next tenth above the largest value, so that the lines use the whole plot.
        let tenths = ((largest * 10.0).ceil() as usize).clamp(1, 10);
        let end = tenths as f64 / 10.0;
        let at = |spoke: usize, share: f64| {
            let angle = TAU * spoke as f64 / names.len() as f64;
            let (x, y) = (angle.sin(), -angle.cos());
            (CENTRE.0 + share * RADIUS * x, CENTRE.1 + share * RADIUS * y)
        };
        let corners = |share: &dyn Fn(usize) -> f64| {
            let mut text = String::new();
            for spoke in 0..names.len() {
                let (x, y) = at(spoke, share(spoke));
                // Writing to a string does not fail.
                let _ = write!(text, "{x:.1},{y:.1} ");
            }
            text
        };
        let step = tenths.div_ceil(5);
        let rings: Vec<usize> = (1..=tenths)
            .filter(|ring| (tenths - ring).is_multiple_of(step))
            .collect();
        let tick = |ring: &usize| {
            let (x, y) = at(0, *ring as f64 / tenths as f64);
            Label {
                x: pixel(x + 4.0),
                y: pixel(y + 11.0),
                text: format!("{:.1}", *ring as f64 / 10.0),
            }
        };
        let spoke = |(index, name): (usize, &&String)| {
            let (to, label) = (at(index, 1.0), at(index, 1.07));
            let anchor = match label.0 - CENTRE.0 {
                x if x > 8.0 => "start",
                x if x < -8.0 => "end",
                _ => "middle",
            };
            // Upper labels are moved up, lower ones down.
            let down = 4.0 + 5.0 * (label.1 - CENTRE.1) / RADIUS;
            Spoke {
                from: (pixel(CENTRE.0), pixel(CENTRE.1)),
                to: (pixel(to.0), pixel(to.1)),
                anchor,
                label: Label {
                    x: pixel(label.0),
                    y: pixel(label.1 + down),
                    text: format!("{name} ({})", first[*name].sequences),
                },
            }
        };
        let shapes = trackers.iter().zip(&values).enumerate().rev();
        let shapes = shapes.map(|(index, ((label, _), values))| Shape {
            label: (*label).to_owned(),
            class: class(index),
            // A tracker without a result for the attribute has its point in the centre.
            points: corners(&|spoke| values[spoke].unwrap_or(0.0).max(0.0) / end),
        });
        let labels: Vec<&str> = trackers.iter().map(|(label, _)| *label).collect();
        let (legend, height) = legend(labels.iter().copied(), BOTTOM);
        Some(Self {
            title,
            width: WIDTH.to_string(),
            height: height.to_string(),
            ticks: rings.iter().map(tick).collect(),
            rings: rings
                .iter()
                .map(|ring| corners(&|_| *ring as f64 / tenths as f64))
                .collect(),
            spokes: names.iter().enumerate().map(spoke).collect(),
            shapes: shapes.collect(),
            legend,
            csv: table(&labels, &names, first, &values),
        })
    }
}

/// A row for each attribute: its name, its number of sequences, the success AUC of each tracker.
fn table(
    labels: &[&str],
    names: &[&String],
    first: &BTreeMap<String, AttributeRow>,
    values: &[Vec<Option<f64>>],
) -> String {
    let mut text = "attribute,sequences".to_owned();
    labels
        .iter()
        .for_each(|label| text.extend([",", &csv_field(label)]));
    text.push('\n');
    for (row, name) in names.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{},{}", csv_field(name), first[*name].sequences);
        for tracker in values {
            text.push(',');
            if let Some(value) = tracker[row] {
                let _ = write!(text, "{value}");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Scores;

    fn rows(figures: &[(&str, f64)]) -> BTreeMap<String, AttributeRow> {
        let row = |auc| AttributeRow {
            sequences: 7,
            scores: Scores {
                success_auc: auc,
                precision_20: 0.0,
                normalized_precision_20: 0.0,
                sr_50: 0.0,
                sr_75: 0.0,
                ao: 0.0,
            },
        };
        let named = figures
            .iter()
            .map(|(name, auc)| ((*name).to_owned(), row(*auc)));
        named.collect()
    }

    #[test]
    fn a_radar_has_a_spoke_for_each_attribute_and_a_line_for_each_tracker() {
        let mine = rows(&[
            ("blur", 0.4),
            ("fast", 0.62),
            ("hidden", 0.2),
            ("turned", 0.62),
        ]);
        let theirs = rows(&[("blur", 0.5), ("fast", 0.31), ("hidden", 0.1)]);
        let trackers = [("mine", &mine), ("the \"other\", old", &theirs)];
        let radar = Radar::new("Attributes".to_owned(), &trackers).expect("four spokes");
        assert_eq!(radar.spokes.len(), 4);
        assert_eq!(radar.spokes[0].label.text, "blur (7)");
        // The outer ring is 0.7. The first spoke goes up, the second to the right.
        assert_eq!(radar.ticks.last().expect("rings").text, "0.7");
        let on_top = &radar.shapes[1];
        assert_eq!(on_top.label, "mine");
        let right = format!("{:.1},185.0", 300.0 + 130.0 * 0.62 / 0.7);
        assert!(on_top.points.contains(&right), "{}", on_top.points);
        let up = format!("300.0,{:.1} ", 185.0 - 130.0 * 0.4 / 0.7);
        assert!(on_top.points.starts_with(&up), "{}", on_top.points);
        assert!(radar.shapes[0].points.trim_end().ends_with("300.0,185.0"));
        assert_eq!(
            radar.csv.lines().next(),
            Some("attribute,sequences,mine,\"the \"\"other\"\", old\"")
        );
        assert_eq!(radar.csv.lines().last(), Some("turned,7,0.62,"));
        assert_eq!(radar.legend.len(), 2);
    }

    #[test]
    fn two_attributes_make_no_radar() {
        let two = rows(&[("blur", 0.4), ("fast", 0.6)]);
        assert!(Radar::new(String::new(), &[("mine", &two)]).is_none());
        assert!(Radar::new(String::new(), &[]).is_none());
    }
}
