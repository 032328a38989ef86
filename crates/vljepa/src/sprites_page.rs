//! Figures on Sprite World as one HTML page without scripts and without requests.

use std::fmt::Write as _;

use vljepa_data::sprite_world::SpriteWorld;
use vljepa_train::sources::sprite_world::{Answered, SpriteWorldReport};

use crate::error::Result;
use crate::html::{escape, head, percent};
use crate::report::Facts;
use crate::strip::{element, frames, side_by_side};

/// Side of a frame in pixels.
const SIDE: usize = 96;

/// The figures as one HTML page that needs no other file, with the clips of wrong answers. `world` is the one that was measured on.
///
/// # Errors
/// Pictures that cannot be encoded as JPEG.
pub fn page(report: &SpriteWorldReport, world: &SpriteWorld, facts: &Facts<'_>) -> Result<String> {
    let mut page = String::with_capacity(1 << 20);
    page += &head("VL-JEPA on Sprite World", "");
    page += "<header>\n<p class=\"brand\">VL-JEPA in Rust and WGSL</p>\n<h1>What happens in a clip</h1>\n";
    let _ = write!(
        page,
        "<p class=\"lead\">{} clips of seed {}: {}. Beside each figure stand the range of 95 % of its values over questions drawn anew, a guess, and what can be had \
         without a model: from the question alone, from coarse pixels of three frames, from how much changes between frames.</p>\n<dl class=\"facts\">\n",
        report.retrieval.n,
        report.seed,
        escape(facts.data)
    );
    for (name, value) in [("Model", facts.model), ("Adapter", facts.adapter)] {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
    }
    page += "</dl>\n</header>\n";
    questions(&mut page, report);
    choices(&mut page, report);
    failures(&mut page, report, world)?;
    let _ = write!(
        page,
        "<footer>\n<p>Made by vljepa {}: <code>vljepa eval sprite-world</code>.</p>\n</footer>\n",
        env!("CARGO_PKG_VERSION")
    );
    page += "</main>\n</body>\n</html>\n";
    Ok(page)
}

fn range(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| {
        format!("<span class=\"range\">{} to {}</span>", percent(low), percent(high))
    })
}

fn questions(page: &mut String, report: &SpriteWorldReport) {
    if report.cells.is_empty() {
        *page += "<section>\n<p>The model takes no questions: none were asked.</p>\n</section>\n";
        return;
    }
    *page += "<section aria-labelledby=\"questions\">\n<h2 id=\"questions\">Questions</h2>\n<p>The share of questions whose right answer is ranked first among the question's own \
              answers. Their wordings were not trained on.</p>\n<div class=\"scroll\"><table class=\"figures\">\n<thead><tr><th scope=\"col\">Kind</th><th scope=\"col\">Questions</th>\
              <th scope=\"col\" class=\"wide\">Right</th><th scope=\"col\">Guess</th><th scope=\"col\">Question alone</th><th scope=\"col\">Pixels</th><th scope=\"col\">Changes</th></tr></thead>\n<tbody>\n";
    for (kind, Answered { n, accuracy, interval, chance, text_only, pixels, differences }) in &report.cells {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{n}</td><td><span class=\"bar\" style=\"--v:{:.1}%\"></span>{} {}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&kind.replace('_', " ")),
            100.0 * accuracy,
            percent(*accuracy),
            range(*interval),
            percent(*chance),
            percent(*text_only),
            percent(*pixels),
            percent(*differences)
        );
    }
    *page += "</tbody>\n</table></div>\n</section>\n";
}

fn choices(page: &mut String, report: &SpriteWorldReport) {
    let (r, w, h) = (&report.retrieval, &report.world_prediction, &report.hard_negatives);
    *page += "<section aria-labelledby=\"choices\">\n<h2 id=\"choices\">Searches and choices</h2>\n<div class=\"scroll\"><table class=\"figures\">\n<thead><tr><th scope=\"col\">What</th>\
              <th scope=\"col\">Of</th><th scope=\"col\" class=\"wide\">Right</th><th scope=\"col\">Guess</th></tr></thead>\n<tbody>\n";
    let mut row = |name: &str, n: usize, value: f64, interval: Option<[f64; 2]>, chance: f64| {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{n}</td><td><span class=\"bar\" style=\"--v:{:.1}%\"></span>{} {}</td><td>{}</td></tr>",
            escape(name),
            100.0 * value,
            percent(value),
            range(interval),
            percent(chance)
        );
    };
    row("the clip of a caption, among all", r.n, r.t2v_r1, r.t2v_interval, r.chance);
    row("the caption of a clip, among all", r.n, r.v2t_r1, None, r.chance);
    row("the clip between two pictures, among four", w.n, w.accuracy, w.interval, w.chance);
    row("a false caption is farther than two true ones", h.all.n, h.all.accuracy, h.all.interval, h.all.chance);
    for (change, chosen) in &h.by_change {
        row(&format!("· false in its {}", change.key()), chosen.n, chosen.accuracy, chosen.interval, chosen.chance);
    }
    let told = &report.captioning;
    let _ = write!(
        page,
        "</tbody>\n</table></div>\n<p>The nearest of {} captions of other clips has a CIDEr-D of {:.2} of 10 against the clip's own, one drawn at random {:.2}.</p>\n</section>\n",
        told.candidates, told.cider_d, told.chance
    );
}

fn failures(page: &mut String, report: &SpriteWorldReport, world: &SpriteWorld) -> Result<()> {
    if report.failures.is_empty() {
        return Ok(());
    }
    *page += "<section aria-labelledby=\"wrong\">\n<h2 id=\"wrong\">Where it is wrong</h2>\n<p>The first wrong answers of each kind. Frames run from left to right.</p>\n<div class=\"sheets\">\n";
    for failure in &report.failures {
        let _ = write!(
            page,
            "<figure class=\"search wrong\">\n<figcaption><q>{}</q><small>{}</small></figcaption>\n",
            escape(&failure.question),
            escape(&failure.kind.replace('_', " "))
        );
        let strip = side_by_side(&frames(world, &failure.scene, SIDE)?)?;
        *page += &element(&strip, "", &format!("clip: {} {}", failure.question, failure.truth))?;
        let _ = write!(
            page,
            "<p><small class=\"wrong\">“{}”, and right is “{}”</small></p>\n</figure>\n",
            escape(&failure.said),
            escape(&failure.truth)
        );
    }
    *page += "</div>\n</section>\n";
    Ok(())
}
