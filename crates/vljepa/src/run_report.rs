//! The curves of a VL-JEPA's training as one HTML page without scripts and without requests, from its log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde_json::Value;
use vljepa_embed::files::{read_text, write_atomically};
use vljepa_train::run::numbers;

use crate::error::{Error, Result};
use crate::html::{escape, head, percent};

/// The log in a run's folder.
const LOG: &str = "metrics.jsonl";
/// The page in a run's folder.
pub const PAGE: &str = "report.html";
/// Largest log that is read, in bytes.
const MAX_LOG: u64 = 1 << 30;
/// Points of a curve that are drawn; more are averaged.
const POINTS: usize = 400;

/// What the log says: numbers by the path of their keys, with the steps that had been taken.
type Series = BTreeMap<String, Vec<(f64, f64)>>;

/// Writes [`PAGE`] into the folder of a run, and gives its path.
///
/// # Errors
/// A log that is not there or holds no step, and errors of writing.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let (log, page) = (folder.join(LOG), folder.join(PAGE));
    let text = read_text(&log, MAX_LOG)?;
    let html = html(&log.display().to_string(), &text)?;
    write_atomically(&page, html.as_bytes())?;
    Ok(page)
}

/// The page of a log; `name` is how it is called in messages.
///
/// # Errors
/// A log that holds no step.
pub fn html(name: &str, log: &str) -> Result<String> {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let series = series(&lines);
    let Some(loss) = series.get("loss") else {
        return Err(vljepa_embed::Error::content(name, "holds no step of a run").into());
    };
    let mut page = String::with_capacity(1 << 17);
    page += &head("A training run", "");
    let steps = loss.last().map_or(0.0, |(step, _)| *step);
    let seconds = series.get("seconds").and_then(|all| all.last()).map_or(0.0, |(_, seconds)| *seconds);
    let _ = write!(
        page,
        "<header>\n<p class=\"brand\">VL-JEPA in Rust and WGSL</p>\n<h1>A training run</h1>\n<p class=\"lead\">{steps} steps in {:.1} minutes, {}.</p>\n</header>\n",
        seconds / 60.0,
        if lines.iter().any(|line| line["final"] == true) { "finished" } else { "under way" }
    );
    let named = |wanted: &[(&'static str, &'static str)]| -> Vec<(&str, &[(f64, f64)])> {
        wanted.iter().filter_map(|(key, title)| Some((*title, series.get(*key)?.as_slice()))).collect()
    };
    let cells = cells(&series);
    let cells: Vec<_> = cells.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect();
    let charts = [
        ("Loss", vec![("loss", loss.as_slice())]),
        ("Right first, by validation", cells),
        ("Norm of the gradients", named(&[("grad_norm", "norm")])),
        ("Factor of the learning rates", named(&[("lr_factor", "factor")])),
        ("1/τ", named(&[("scale", "1/τ")])),
        (
            "Effective rank of the embeddings",
            named(&[
                ("embeddings/prediction/effective_rank", "predictions"),
                ("embeddings/target/effective_rank", "targets"),
            ]),
        ),
        (
            "Standard deviation of the embeddings",
            named(&[("embeddings/prediction/std", "predictions"), ("embeddings/target/std", "targets")]),
        ),
        (
            "Uniformity of the embeddings",
            named(&[("embeddings/prediction/uniformity", "predictions"), ("embeddings/target/uniformity", "targets")]),
        ),
        ("Squared distance of prediction and target", named(&[("embeddings/alignment", "distance")])),
        ("Pictures a second", named(&[("pictures_per_second", "rate")])),
    ];
    page += "<section aria-labelledby=\"curves\">\n<h2 id=\"curves\">Curves</h2>\n<div class=\"charts\">\n";
    for (title, curves) in charts.iter().filter(|(_, curves)| !curves.is_empty()) {
        let _ = write!(
            page,
            "<figure class=\"search\">\n<figcaption><b>{title}</b></figcaption>\n{}\n</figure>\n",
            chart(curves)?
        );
    }
    page += "</div>\n</section>\n";
    table(&mut page, &lines);
    let _ = write!(
        page,
        "<footer>\n<p>Made by vljepa {} from {}.</p>\n</footer>\n",
        env!("CARGO_PKG_VERSION"),
        escape(name)
    );
    page += "</main>\n</body>\n</html>\n";
    Ok(page)
}

fn series(lines: &[Value]) -> Series {
    let mut out = Series::new();
    for line in lines.iter().filter(|line| line["final"] != true) {
        let Some(step) = line["step"].as_u64() else { continue };
        for (path, number) in numbers(line) {
            out.entry(path).or_default().push(((step + 1) as f64, number));
        }
    }
    out
}

/// The share of each validation cell that is right first.
fn cells(series: &Series) -> Vec<(String, Vec<(f64, f64)>)> {
    let of = |(key, points): (&String, &Vec<(f64, f64)>)| {
        let cell = key.strip_prefix("validation/")?.strip_suffix("/r1")?;
        Some((cell.to_owned(), points.clone()))
    };
    series.iter().filter_map(of).collect()
}

/// At most [`POINTS`] means of neighbours.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / n, part.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Curves over steps as SVG.
fn chart(curves: &[(&str, &[(f64, f64)])]) -> Result<String> {
    let mut svg = String::new();
    draw(curves, &mut svg).map_err(|what| Error::from(vljepa_embed::Error::Invalid(format!("a chart: {what}"))))?;
    // A part of the page, which scales with it.
    let svg = svg.replacen(
        "<svg width=\"560\" height=\"300\" ",
        "<svg style=\"width:100%;height:auto;border-radius:8px\" ",
        1,
    );
    Ok(svg)
}

fn draw(curves: &[(&str, &[(f64, f64)])], svg: &mut String) -> std::result::Result<(), String> {
    fn said(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) =
            all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        // One value has no width of its own.
        let margin = if high > low { 0.03 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
        (low - margin, high + margin)
    };
    let ((left, right), (bottom, top)) = (range(|p| p.0), range(|p| p.1));
    let root = SVGBackend::with_string(svg, (560, 300)).into_drawing_area();
    root.fill(&WHITE).map_err(said)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(34)
        .y_label_area_size(54)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(said)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.08))
        .x_desc("steps")
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|v| format!("{v:.0}"))
        .y_label_formatter(&|v| short(*v))
        .draw()
        .map_err(said)?;
    for (i, (name, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(i).to_rgba();
        let points = thinned(points);
        if points.len() == 1 {
            chart.draw_series(points.iter().map(|&p| Circle::new(p, 3, color.filled()))).map_err(said)?;
        }
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))
            .map_err(said)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 11))
            .draw()
            .map_err(said)?;
    }
    root.present().map_err(said)
}

/// A number for an axis.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        v if v >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.0e}"),
    }
}

/// The last evaluation, beside what a guess gives.
fn table(page: &mut String, lines: &[Value]) {
    let Some(cells) = lines.iter().rev().find_map(|line| line["validation"].as_object()) else { return };
    let share = |value: &Value| value.as_f64().map_or_else(|| "–".into(), percent);
    let rows: Vec<String> = (cells.iter())
        .filter(|(_, cell)| cell["r1"].is_number())
        .map(|(key, cell)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(key),
                cell["n"],
                cell["candidates"],
                share(&cell["r1"]),
                share(&cell["chance_r1"])
            )
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    *page += "<section aria-labelledby=\"last\">\n<h2 id=\"last\">The last evaluation</h2>\n<p>On validation data, which training does not see.</p>\n\
              <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Cell</th><th scope=\"col\">Samples</th><th scope=\"col\">Candidates</th>\
              <th scope=\"col\">Right first</th><th scope=\"col\">Chance</th></tr></thead>\n<tbody>\n";
    rows.iter().for_each(|row| *page += row);
    *page += "</tbody>\n</table></div>\n</section>\n";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(steps: u64) -> String {
        let mut log = String::new();
        for step in 0..steps {
            log += &format!(
                "{}\n",
                json!({"step": step, "loss": 5.0 / (step + 1) as f64, "grad_norm": 1.0, "seconds": 60.0})
            );
        }
        log
    }

    #[test]
    fn a_page_has_a_curve_for_what_the_log_holds() {
        let validation = json!({"step": 1, "validation": {"<count>": {"n": 8, "candidates": 4, "r1": 0.5, "chance_r1": 0.25}, "b": {"n": 0, "r1": null}}});
        let page = html("run/metrics.jsonl", &format!("{}{validation}\n", log(2000))).unwrap();
        assert_eq!(page.matches("<svg ").count(), 3, "loss, norm, validation");
        assert!(page.contains("2000 steps in 1.0 minutes, under way"), "{page}");
        assert!(page.contains("&lt;count&gt;") && !page.contains("<count>") && page.contains("50.0\u{a0}%"), "{page}");
        assert!(!page.contains("<script") && !page.contains("src="));
        // Two thousand points are thinned.
        assert!(page.len() < 100_000, "{}", page.len());
        let done = html("x", &format!("{}{}\n", log(1), json!({"step": 0, "final": true, "validation": {}}))).unwrap();
        assert!(done.contains("finished"));
    }

    #[test]
    fn a_log_without_steps_is_named() {
        let error = html("run/metrics.jsonl", "{}\nnonsense\n").unwrap_err().to_string();
        assert!(error.contains("run/metrics.jsonl") && error.contains("no step"), "{error}");
    }
}
