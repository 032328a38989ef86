//! What the choice of decodings saves, as a page.

use std::fmt::Write as _;

use plotters::prelude::*;

use super::selective::{Curve, Cut};
use super::sprite_streams::SelectiveReport;
use crate::error::{Error, Result};
use crate::html::{escape, head, percent};
use crate::report::Facts;

fn name(curve: &Curve) -> String {
    let cut = if curve.cut == Cut::Adaptive { "adaptive" } else { "uniform" };
    format!("{cut}, {}", if curve.averaged { "mean of a part" } else { "middle of a part" })
}

/// The report as one HTML page that needs no other file.
///
/// # Errors
/// A chart that cannot be drawn.
pub fn selective_page(report: &SelectiveReport, facts: &Facts<'_>) -> Result<String> {
    let mut page = head("VL-JEPA: when to speak", "");
    page += "<header>\n<p class=\"brand\">VL-JEPA in Rust and WGSL</p>\n<h1>When to speak</h1>\n";
    let minutes = report.streams as f64 * report.seconds / 60.0;
    let _ = write!(
        page,
        "<p class=\"lead\">{} streams, {minutes:.0} minutes in all, {} scenes: {}. Each scene is matched to the sentence nearest in time; CIDEr-D says how well the \
         sentences tell the scenes, by how many of them there are. Of the references of a scene, half are in wordings of training, in which sentences are told.</p>\n<dl class=\"facts\">\n",
        report.streams,
        report.scenes,
        escape(facts.data)
    );
    let times = |saving: Option<f64>| saving.map_or("it is never reached".into(), |by| format!("{by:.2} × fewer"));
    for (name, value) in [
        ("Model", facts.model.to_owned()),
        ("Adapter", facts.adapter.to_owned()),
        ("Sentences for what uniform choice reaches at one a second", times(report.saving_at_1_hz)),
        ("For the best that it reaches", times(report.saving_at_best)),
    ] {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    page += "</dl>\n</header>\n<section>\n<h2>Sentences a second, and how well they tell</h2>\n";
    page +=
        &chart(&report.curves).map_err(|what| Error::from(vljepa_embed::Error::Invalid(format!("a chart: {what}"))))?;
    page += "\n<div class=\"scroll\"><table class=\"figures\">\n<thead><tr><th scope=\"col\">sentences a second</th>";
    report.curves.iter().for_each(|curve| page += &format!("<th scope=\"col\">{}</th>", name(curve)));
    page += "</tr></thead>\n<tbody>\n";
    let rates = report.curves.first().map_or(0, |curve| curve.points.len());
    for i in 0..rates {
        let hz = report.curves[0].points[i].hz;
        let _ = write!(page, "<tr><th scope=\"row\">{hz:.3}</th>");
        report.curves.iter().for_each(|curve| page += &format!("<td>{:.3}</td>", curve.points[i].cider_d));
        page += "</tr>\n";
    }
    page += "</tbody>\n</table></div>\n</section>\n<section>\n<h2>While the stream runs</h2>\n";
    let _ = writeln!(
        page,
        "<p>The trigger spoke {:.3} times a second with a CIDEr-D of {:.3}; {} of its moments come up to four seconds after the beginning of a scene, and {} of the scenes are \
         told so (of as many moments at even distances {} and {}). Cut afterwards into as many segments as there are scenes, {} of the borders are found within two seconds \
         (by segments of one length {}). The states of {} of the windows were encoded{}.</p>",
        report.trigger_hz,
        report.trigger_cider_d,
        percent(report.trigger[0]),
        percent(report.trigger[1]),
        percent(report.trigger_floor[0]),
        percent(report.trigger_floor[1]),
        percent(report.segments[0]),
        percent(report.segments[1]),
        percent(report.encoded),
        report.fidelity.map_or(String::new(), |mean| format!(
            "; of the others some were encoded too, and the cosine to the state that was kept is {mean:.4} on average"
        )),
    );
    let _ = write!(
        page,
        "</section>\n<footer>\n<p>Made by vljepa {}: <code>vljepa eval selective</code>.</p>\n</footer>\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    Ok(page)
}

/// CIDEr-D by the logarithm of the rate, as SVG.
fn chart(curves: &[Curve]) -> std::result::Result<String, String> {
    fn said(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let range = |of: &dyn Fn(&super::Point) -> f64| {
        points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (_, top)) = (range(&|p| p.hz.max(1e-4)), range(&|p| p.cider_d));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area();
        root.fill(&WHITE).map_err(said)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(54)
            .build_cartesian_2d((left * 0.9..right.max(left * 2.0) * 1.1).log_scale(), 0.0..top.max(1e-3) * 1.08)
            .map_err(said)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08))
            .x_desc("sentences a second")
            .y_desc("CIDEr-D")
            .x_label_formatter(&|v| format!("{v}"))
            .y_label_formatter(&|v| format!("{v:.2}"))
            .draw()
            .map_err(said)?;
        for (i, curve) in curves.iter().enumerate() {
            let color = Palette99::pick(i).to_rgba();
            let points: Vec<(f64, f64)> = curve.points.iter().map(|p| (p.hz.max(1e-4), p.cider_d)).collect();
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))
                .map_err(said)?
                .label(name(curve))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 12))
            .draw()
            .map_err(said)?;
        root.present().map_err(said)?;
    }
    let own = "<svg width=\"900\" height=\"420\" ";
    Ok(svg.replacen(own, "<svg style=\"width:100%;height:auto;border-radius:8px\" ", 1))
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;

    #[test]
    fn the_page_has_a_curve_and_a_column_for_each_choice() {
        let points = |k: f64| [0.01, 0.1, 1.0].map(|hz| Point { hz, cider_d: k * (1.0 + hz) }).to_vec();
        let curves = [(Cut::Adaptive, true, 0.5), (Cut::Uniform, true, 0.3)];
        let curves = curves.map(|(cut, averaged, k)| Curve { cut, averaged, points: points(k) }).to_vec();
        let report = SelectiveReport {
            suite: "selective",
            streams: 2,
            seconds: 60.0,
            scenes: 20,
            curves,
            saving_at_1_hz: Some(3.2),
            saving_at_best: None,
            segments: [0.5, 0.5],
            trigger: [0.7, 0.6],
            trigger_floor: [0.4, 0.4],
            trigger_hz: 0.2,
            trigger_cider_d: 0.4,
            encoded: 0.3,
            fidelity: Some(0.999),
        };
        let page = selective_page(&report, &Facts { data: "<d>", model: "m", adapter: "a" }).unwrap();
        assert!(page.contains("3.20 × fewer") && page.contains("it is never reached") && page.contains("&lt;d&gt;"));
        assert_eq!((page.matches("<polyline").count() >= 2, page.matches("<tr><th scope=\"row\">").count()), (true, 3));
        assert!(
            page.contains("adaptive, mean of a part") && page.contains("30.0\u{a0}%") && page.ends_with("</html>\n")
        );
    }
}
