//! A plot of each measure: stores by colour, over the number of changesets, both axes logarithmic.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use crate::results::Results;

const COLOURS: [RGBColor; 5] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0x8a, 0x8a, 0x8a),
    RGBColor(0xd9, 0x7b, 0x0b),
    RGBColor(0xa0, 0x2c, 0x2c),
    RGBColor(0x2e, 0x7d, 0x32),
];

/// Points of a store.
struct Line<'r> {
    store: &'r str,
    points: Vec<(f64, f64)>,
}

/// Writes all plots, and gives their names.
pub(crate) fn all(results: &Results, out: &Path) -> Result<Vec<String>, String> {
    let mut stores: Vec<&str> = results.rows.iter().map(|row| row.store.as_str()).collect();
    stores.dedup();
    let mut names = Vec::new();
    for (measure, unit) in results.measures() {
        let lines: Vec<_> = stores.iter().map(|store| line(results, store, measure)).collect();
        // Of zeros there is no logarithm, and nothing to see.
        if lines.iter().all(|line| line.points.is_empty()) {
            continue;
        }
        let name: String =
            measure.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
        let name = format!("{}.svg", name.to_lowercase().replace("--", "-"));
        draw(&out.join(&name), &format!("{measure}, {unit}"), &lines)
            .map_err(|error| format!("{name} cannot be drawn: {error}"))?;
        names.push(name);
    }
    Ok(names)
}

fn line<'r>(results: &Results, store: &'r str, measure: &str) -> Line<'r> {
    let rows = results.rows.iter().filter(|row| row.store == store && row.measure == measure);
    let points = rows.map(|row| (row.changesets as f64, row.value));
    Line { store, points: points.filter(|(_, value)| *value > 0.0).collect() }
}

/// What has all of these in it, with room around.
fn around(values: impl Iterator<Item = f64>, room: f64) -> Range<f64> {
    let (least, most) = values
        .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    least / room..most * room
}

fn shown(value: &f64) -> String {
    match *value {
        over if over >= 1e6 => format!("{}M", over / 1e6),
        over if over >= 1e3 => format!("{}k", over / 1e3),
        under => format!("{under}"),
    }
}

fn draw(path: &Path, title: &str, lines: &[Line<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (720, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || lines.iter().flat_map(|line| &line.points);
    let across = around(points().map(|point| point.0), 1.3).log_scale();
    let up = around(points().map(|point| point.1), 2.0).log_scale();
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("changesets")
        .x_label_formatter(&shown)
        .y_label_formatter(&shown)
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        if line.points.is_empty() {
            continue;
        }
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(line.store)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        let dots = line.points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}
