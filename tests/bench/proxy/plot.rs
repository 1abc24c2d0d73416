//! The plot: what each subject costs and how much it carries, against `HAProxy`, one group of bars for each workload.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::job::float;
use super::report::{Report, Row};

const COLOURS: [RGBColor; 6] = [
    RGBColor(140, 140, 140),
    RGBColor(214, 124, 40),
    RGBColor(30, 100, 180),
    RGBColor(90, 150, 215),
    RGBColor(155, 195, 235),
    RGBColor(170, 60, 60),
];
const SUBJECTS: [&str; 6] = [
    "direct",
    "haproxy",
    "gimbal",
    "gimbal, 1 filter",
    "gimbal, 3 filters",
    "java proxy",
];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes an SVG.
pub(crate) fn draw(report: &Report, caption: &str, path: &Path) {
    let mut workloads: Vec<&str> = report.rows.iter().map(|row| row.workload.as_str()).collect();
    workloads.dedup();
    let root = SVGBackend::new(path, (1_100, 880)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let (body, foot) = root.split_vertically(840);
    foot.draw(&Text::new(caption.to_owned(), (12, 12), ("sans-serif", 12)))
        .unwrap();
    let panels = body.split_evenly((2, 1));
    let cost = |row: &Row| row.proxy;
    panel(
        &panels[0],
        report,
        &workloads,
        "processor time of the proxy for each command, us (log)",
        &cost,
    );
    let speed = |row: &Row| Some(row.per_second);
    panel(
        &panels[1],
        report,
        &workloads,
        "commands a second, one core for the proxy (log)",
        &speed,
    );
    root.present().unwrap();
}

fn panel(
    area: &Panel<'_>,
    report: &Report,
    workloads: &[&str],
    title: &str,
    figure: &dyn Fn(&Row) -> Option<f64>,
) {
    let found = || {
        report
            .rows
            .iter()
            .filter_map(figure)
            .filter(|figure| figure.is_finite())
    };
    let least = found().fold(f64::INFINITY, f64::min) / 2.0;
    let most = found().fold(0.0, f64::max) * 2.0;
    if most <= least {
        return;
    }
    let groups = float(workloads.len() as u64);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..groups, (least..most).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()
        .unwrap();
    name_groups(area, workloads);
    for ((bar, subject), colour) in (0_u32..).zip(SUBJECTS).zip(COLOURS) {
        let bars = (0_u32..).zip(workloads).filter_map(|(group, workload)| {
            let row = report
                .rows
                .iter()
                .find(|row| row.subject == subject && row.workload == *workload && row.void.is_none())?;
            let left = f64::from(group) + 0.08 + 0.14 * f64::from(bar);
            Some(Rectangle::new(
                [(left, least), (left + 0.13, figure(row)?)],
                colour.filled(),
            ))
        });
        chart
            .draw_series(bars)
            .unwrap()
            .label(subject)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .position(SeriesLabelPosition::UpperRight)
        .draw()
        .unwrap();
}

/// The workloads' names under their bars.
fn name_groups(area: &Panel<'_>, workloads: &[&str]) {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (i32::try_from(width).unwrap() - 86, i32::try_from(height).unwrap());
    let step = width / i32::try_from(workloads.len()).unwrap();
    for (group, workload) in (0_i32..).zip(workloads) {
        let place = (80 + group * step, height - 28);
        area.draw(&Text::new((*workload).to_owned(), place, ("sans-serif", 12)))
            .unwrap();
    }
}
