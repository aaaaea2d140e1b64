//! Small line plots as SVG that takes its colours from the page.

use std::fmt::Write as _;

/// A line of a plot.
pub(super) struct Series<'a> {
    /// Shown when the pointer rests on it.
    pub label: String,
    /// A CSS class, `s0`, `s1` …
    pub class: String,
    /// Points (x, y) in the units of the axes.
    pub points: &'a [(f64, f64)],
}

/// Axes of a plot.
pub(super) struct Axes<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub x_range: (f64, f64),
    pub y_range: (f64, f64),
    /// Width and height of the whole, pixels.
    pub size: (f64, f64),
    /// A vertical line at the threshold that is reported.
    pub marker: Option<f64>,
}

const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// Text for HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into about five.
fn tick_step(span: f64) -> f64 {
    let rough = span / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough * 0.999)
        .unwrap_or(10.0);
    step * power
}

fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let step = tick_step(to - from);
    let first = (from / step).ceil() as i64;
    let last = (to / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The plot as one `<svg>` element.
pub(super) fn plot(axes: &Axes<'_>, series: &[Series<'_>]) -> String {
    let (width, height) = axes.size;
    let right = width - RIGHT;
    let bottom = height - BOTTOM;
    let px =
        |x: f64| LEFT + (x - axes.x_range.0) / (axes.x_range.1 - axes.x_range.0) * (right - LEFT);
    let py = |y: f64| {
        let y = y.clamp(axes.y_range.0, axes.y_range.1);
        bottom - (y - axes.y_range.0) / (axes.y_range.1 - axes.y_range.0) * (bottom - TOP)
    };
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}"><text class="title" x="{LEFT}" y="18">{}</text>"#,
        escape(axes.title),
        escape(axes.title)
    );
    for tick in ticks(axes.y_range) {
        let y = py(tick);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y + 4.0,
            number(tick)
        );
    }
    for tick in ticks(axes.x_range) {
        let x = px(tick);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 16.0,
            number(tick)
        );
    }
    if let Some(marker) = axes.marker {
        let x = px(marker);
        let _ = write!(
            svg,
            r#"<line class="marker" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/>"#
        );
    }
    let _ = write!(
        svg,
        r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="axis" transform="translate(12 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
        (LEFT + right) / 2.0,
        height - 6.0,
        escape(axes.x),
        (TOP + bottom) / 2.0,
        escape(axes.y)
    );
    // The first series is the one the report is about: drawn last, on top.
    for one in series.iter().rev() {
        let _ = write!(svg, r#"<polyline class="line {}" points=""#, one.class);
        for (x, y) in one.points {
            let _ = write!(svg, "{:.1},{:.1} ", px(*x), py(*y));
        }
        let _ = write!(svg, r#""><title>{}</title></polyline>"#, escape(&one.label));
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let all = |range| -> Vec<String> { ticks(range).into_iter().map(number).collect() };
        assert_eq!(all((0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(all((0.0, 50.0)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(all((0.0, 307.0)), ["0", "100", "200", "300"]);
    }

    #[test]
    fn names_cannot_break_the_page() {
        let axes = Axes {
            title: "a<b",
            x: "x",
            y: "y",
            x_range: (0.0, 1.0),
            y_range: (0.0, 1.0),
            size: (300.0, 200.0),
            marker: Some(0.5),
        };
        let points = [(0.0, 1.0), (1.0, f64::INFINITY)];
        let svg = plot(
            &axes,
            &[Series {
                label: "\"<script>".to_owned(),
                class: "s0".to_owned(),
                points: &points,
            }],
        );
        assert!(svg.contains("a&lt;b") && svg.contains("&quot;&lt;script&gt;"));
        assert!(!svg.contains("<script>") && !svg.contains("inf"));
    }
}
