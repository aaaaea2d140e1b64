//! Small line plots. `templates/plot.html` writes them as SVG, which takes its colours from the page.

use std::fmt::Write as _;

use super::class;

/// The axes of a plot.
pub(super) struct Axes {
    pub title: &'static str,
    pub x_label: &'static str,
    pub y_label: &'static str,
    pub x_range: (f64, f64),
    pub y_range: (f64, f64),
    /// Width and height of the plot, pixels.
    pub size: (f64, f64),
    /// A vertical line at the threshold that is reported.
    pub marker: Option<f64>,
    /// Whether the plot can also be used without the page. Then it has a legend, and its numbers as CSV.
    pub figure: bool,
}

/// A line of a plot.
pub(super) struct Series {
    /// Heading of its column in the CSV.
    pub name: String,
    /// Shown as a tooltip, and in the legend.
    pub label: String,
    /// CSS classes, `s0`, `s1` …
    pub class: String,
    /// Points (x, y) in the units of the axes.
    pub points: Vec<(f64, f64)>,
}

/// A plot as the template needs it: coordinates are text, in pixels from the upper-left corner.
pub(super) struct Plot {
    pub title: &'static str,
    pub width: String,
    pub height: String,
    pub left: String,
    pub right: String,
    pub top: String,
    pub bottom: String,
    pub x_ticks: Vec<Tick>,
    pub y_ticks: Vec<Tick>,
    pub marker: Option<String>,
    pub x_label: &'static str,
    pub x_label_at: (String, String),
    pub y_label: &'static str,
    pub y_label_at: String,
    /// The last one is drawn on top.
    pub lines: Vec<Line>,
    pub legend: Vec<LegendRow>,
    /// A row for each x, a column for each line.
    pub csv: Option<String>,
}

/// A row of a legend: a short line in the colour of `class`, and a text.
pub(super) struct LegendRow {
    pub class: String,
    pub y: String,
    pub text_y: String,
    pub label: String,
}

/// Rows below `top`, in the order of the lines' colours, and the height down to their end.
pub(super) fn legend<'a>(labels: impl Iterator<Item = &'a str>, top: f64) -> (Vec<LegendRow>, f64) {
    const ROW: f64 = 16.0;
    let row = |(index, label): (usize, &str)| {
        let y = top + ROW * index as f64 + 6.0;
        LegendRow {
            class: class(index),
            y: pixel(y),
            text_y: pixel(y + 4.0),
            label: label.to_owned(),
        }
    };
    let rows: Vec<_> = labels.enumerate().map(row).collect();
    let height = top + ROW * rows.len() as f64 + 4.0;
    (rows, height)
}

/// A text as a field of a CSV file.
pub(super) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A grid line and its label.
pub(super) struct Tick {
    pub at: String,
    pub label_x: String,
    pub label_y: String,
    pub label: String,
}

/// A line as the template needs it.
pub(super) struct Line {
    pub label: String,
    pub class: String,
    pub points: String,
}

const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// A step of 1, 2 or 5 times a power of ten that divides `span` into about five.
fn tick_step(span: f64) -> f64 {
    let rough = span / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough * 0.999)
        .unwrap_or(10.0);
    step * power
}

pub(super) fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let step = tick_step(to - from);
    let first = (from / step).ceil() as i64;
    let last = (to / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A coordinate with one decimal.
pub(super) fn pixel(value: f64) -> String {
    format!("{value:.1}")
}

impl Plot {
    /// Places the lines in the axes. The first one is drawn on top.
    pub fn new(axes: &Axes, series: &[Series]) -> Self {
        let (width, height) = axes.size;
        let right = width - RIGHT;
        let bottom = height - BOTTOM;
        let px = |x: f64| {
            LEFT + (x - axes.x_range.0) / (axes.x_range.1 - axes.x_range.0) * (right - LEFT)
        };
        let py = |y: f64| {
            let y = y.clamp(axes.y_range.0, axes.y_range.1);
            bottom - (y - axes.y_range.0) / (axes.y_range.1 - axes.y_range.0) * (bottom - TOP)
        };
        let y_ticks = ticks(axes.y_range).into_iter().map(|tick| Tick {
            at: pixel(py(tick)),
            label_x: pixel(LEFT - 6.0),
            label_y: pixel(py(tick) + 4.0),
            label: number(tick),
        });
        let x_ticks = ticks(axes.x_range).into_iter().map(|tick| Tick {
            at: pixel(px(tick)),
            label_x: pixel(px(tick)),
            label_y: pixel(bottom + 16.0),
            label: number(tick),
        });
        let lines = series.iter().rev().map(|one| {
            let mut points = String::new();
            for (x, y) in &one.points {
                // Writing to a string does not fail.
                let _ = write!(points, "{:.1},{:.1} ", px(*x), py(*y));
            }
            Line {
                label: one.label.clone(),
                class: one.class.clone(),
                points,
            }
        });
        let (legend, full_height) = if axes.figure && series.len() > 1 {
            legend(series.iter().map(|one| one.label.as_str()), height)
        } else {
            (Vec::new(), height)
        };
        Self {
            title: axes.title,
            width: width.to_string(),
            height: full_height.to_string(),
            left: LEFT.to_string(),
            right: right.to_string(),
            top: TOP.to_string(),
            bottom: bottom.to_string(),
            x_ticks: x_ticks.collect(),
            y_ticks: y_ticks.collect(),
            marker: axes.marker.map(|x| pixel(px(x))),
            x_label: axes.x_label,
            x_label_at: (pixel((LEFT + right) / 2.0), pixel(height - 6.0)),
            y_label: axes.y_label,
            y_label_at: pixel((TOP + bottom) / 2.0),
            lines: lines.collect(),
            legend,
            csv: axes.figure.then(|| table(axes.x_label, series)),
        }
    }
}

/// Lines with the same x as CSV.
fn table(x_label: &str, series: &[Series]) -> String {
    let mut text = csv_field(x_label);
    for one in series {
        text.push(',');
        text.push_str(&csv_field(&one.name));
    }
    text.push('\n');
    let places = series.first().map_or(&[][..], |first| &first.points);
    for (row, (x, _)) in places.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}", number(*x));
        for one in series {
            text.push(',');
            if let Some((_, y)) = one.points.get(row) {
                let _ = write!(text, "{y}");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::Template;

    #[derive(Template)]
    #[template(path = "plot.html")]
    struct OnePlot {
        plot: Plot,
    }

    #[test]
    fn ticks_are_round_numbers() {
        let all = |range| -> Vec<String> { ticks(range).into_iter().map(number).collect() };
        assert_eq!(all((0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(all((0.0, 50.0)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(all((0.0, 307.0)), ["0", "100", "200", "300"]);
    }

    #[test]
    fn escapes_labels_and_limits_values() {
        let axes = Axes {
            title: "a<b",
            x_label: "x",
            y_label: "y",
            x_range: (0.0, 1.0),
            y_range: (0.0, 1.0),
            size: (300.0, 200.0),
            marker: Some(0.5),
            figure: true,
        };
        let series = Series {
            name: "a, b".to_owned(),
            label: "\"<script>".to_owned(),
            class: "s0".to_owned(),
            points: vec![(0.0, 1.0), (1.0, f64::INFINITY)],
        };
        let page = OnePlot {
            plot: Plot::new(&axes, &[series]),
        };
        let svg = page.render().unwrap();
        assert!(
            svg.contains("a&#60;b") && svg.contains("&#34;&#60;script&#62;"),
            "{svg}"
        );
        assert!(!svg.contains("<script>") && !svg.contains(",inf "), "{svg}");
        assert!(svg.contains("points=\"46.0,30.0 288.0,30.0 \""), "{svg}");
        // In the page the numbers are an attribute.
        assert!(
            svg.contains("data-csv=\"x,&#34;a, b&#34;\n0,1\n1,inf\n\""),
            "{svg}"
        );
    }
}
