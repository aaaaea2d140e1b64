//! Plots as separate files, for papers: SVG without the page, and its numbers as CSV.

use askama::Template;

use super::intervals::Intervals;
use super::plot::Plot;
use super::radar::Radar;

/// A plot as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Its title in small letters: the name of the file without its extension.
    pub name: String,
    /// A complete SVG file in the colours of the light page.
    pub svg: String,
    /// Its numbers, a row for each point or attribute, a column for each tracker.
    pub csv: String,
}

#[derive(Template)]
#[template(path = "plot.html")]
struct PlotPage<'a> {
    plot: &'a Plot,
}

#[derive(Template)]
#[template(path = "radar.html")]
struct RadarPage<'a> {
    radar: &'a Radar,
}

#[derive(Template)]
#[template(path = "intervals.html")]
struct IntervalsPage<'a> {
    intervals: &'a Intervals,
}

impl Figure {
    pub(super) fn of_plot(plot: &Plot) -> std::io::Result<Self> {
        let svg = PlotPage { plot }.render().map_err(std::io::Error::other)?;
        let csv = plot.csv.clone().unwrap_or_default();
        Ok(Self::new(plot.title, &svg, csv))
    }

    pub(super) fn of_radar(radar: &Radar) -> std::io::Result<Self> {
        let svg = RadarPage { radar }
            .render()
            .map_err(std::io::Error::other)?;
        Ok(Self::new(&radar.title, &svg, radar.csv.clone()))
    }

    pub(super) fn of_intervals(intervals: &Intervals) -> std::io::Result<Self> {
        let page = IntervalsPage { intervals };
        let svg = page.render().map_err(std::io::Error::other)?;
        Ok(Self::new(&intervals.title, &svg, intervals.csv.clone()))
    }

    fn new(title: &str, svg: &str, csv: String) -> Self {
        Self {
            name: file_name(title),
            svg: alone(svg),
            csv,
        }
    }
}

/// Makes a separate file of a plot of the page: with the style, without the numbers for the page's button.
fn alone(svg: &str) -> String {
    const NUMBERS: &str = " data-csv=\"";
    let (head, body) = svg.split_once('>').unwrap_or((svg, ""));
    let head = head.split(NUMBERS).next().unwrap_or(head);
    format!("{head}><style>{}</style>{body}\n", style())
}

/// Small letters and digits of a title, with dashes between the words.
fn file_name(title: &str) -> String {
    let title = title.to_lowercase();
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// The page's style for plots, with the light page's colours inserted, because programs that print read no variables.
fn style() -> String {
    let sheet = include_str!("../../templates/style.css");
    let is_of_plots = |line: &&str| {
        let is_colour =
            line.starts_with(".s") && line[2..].starts_with(|c: char| c.is_ascii_digit());
        is_colour || (line.starts_with("svg ") && !line.starts_with("svg {"))
    };
    let rules: Vec<_> = sheet.lines().filter(is_of_plots).collect();
    let mut style = rules.join(" ").replace("inherit", "sans-serif");
    let light = sheet.split('}').next().unwrap_or_default();
    for (name, value) in light
        .split(['{', ';'])
        .filter_map(|part| part.trim().split_once(':'))
    {
        if name.starts_with("--") {
            style = style.replace(&format!("var({name})"), value.trim());
        }
    }
    style
}
