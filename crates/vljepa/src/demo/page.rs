//! The report as one HTML page without scripts and without requests.

use std::fmt::Write;

use vljepa_data::encode_jpeg;

use super::sheet::COLUMNS;
use super::{Demo, Named, Score, Search};
use crate::error::Result;
use crate::html::{base64, escape, head, percent};

/// Number of pictures of each pool that are shown with their labels.
const CARDS: usize = 24;

impl Demo {
    /// The report: one HTML page that needs no other file. `seconds` is the total time; `more` is HTML that is put into
    /// the footer after the version, such as next steps for the reader.
    ///
    /// # Errors
    /// Pictures that cannot be encoded as JPEG.
    pub fn page(&self, seconds: f64, more: &str) -> Result<String> {
        render(self, seconds, more)
    }
}

fn render(demo: &Demo, seconds: f64, more: &str) -> Result<String> {
    let jpeg = base64(&encode_jpeg(&demo.sheet, 88)?);
    let rows = demo.pictures.len().div_ceil(COLUMNS).max(1);
    let mut page = Page { out: String::with_capacity(jpeg.len() + (1 << 19)), demo, rows, more };
    let sheet = format!(
        "\n.p {{ background-image: url(data:image/jpeg;base64,{jpeg}); background-size: {}% {}%; }}\n",
        COLUMNS * 100,
        rows * 100
    );
    page.out += &head("VL-JEPA: drawings it has never seen", &sheet);
    page.head(seconds);
    page.scores();
    if let Some(clips) = &demo.clips {
        page.clips(clips)?;
    }
    page.cards();
    page.searches();
    page.wall();
    page.foot();
    page.out += "</main>\n</body>\n</html>\n";
    Ok(page.out)
}

/// A page that is being written.
pub(super) struct Page<'a> {
    pub(super) out: String,
    demo: &'a Demo,
    rows: usize,
    /// HTML for the footer.
    more: &'a str,
}

impl Page<'_> {
    pub(super) fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    /// Adds picture `i`; `alt` is its text alternative.
    fn picture(&mut self, i: usize, alt: &str) {
        let at = |place: usize, count: usize| 100.0 * place as f64 / (count.max(2) - 1) as f64;
        let (x, y) = (at(i % COLUMNS, COLUMNS), at(i / COLUMNS, self.rows));
        self.add(format_args!(
            "<span class=\"p\" role=\"img\" aria-label=\"{}\" title=\"{0}\" style=\"background-position:{x:.3}% {y:.3}%\"></span>",
            escape(alt)
        ));
    }

    fn head(&mut self, seconds: f64) {
        let demo = self.demo;
        self.out += "<header>\n<p class=\"brand\">VL-JEPA in Rust and WGSL</p>\n";
        self.out += "<h1>Named at first sight</h1>\n";
        self.out += "<p class=\"lead\">A small model learned what things look like from the drawings of some designers. Here it meets \
            the drawings of another designer for the first time, chooses a name for each among hundreds, and finds them by wordings \
            that were not in its training. Nothing on this page was picked by hand unless it says so; mistakes are shown \
            as mistakes.</p>\n<div class=\"big\">\n";
        for s in &demo.scores {
            self.add(format_args!(
                "<p><strong>{}</strong> of {} drawings got the right name first, among {} names: {}. By chance: {}.</p>\n",
                percent(s.r1),
                s.n,
                s.candidates,
                escape(s.title),
                percent(s.chance_r1)
            ));
        }
        self.out += "</div>\n<dl class=\"facts\">\n";
        let facts = [
            ("Adapter", demo.adapter.clone()),
            (
                "Model",
                format!(
                    "{}, {} parameters, {:.1} MB",
                    demo.model,
                    millions(demo.parameters),
                    demo.weight_bytes as f64 / 1e6
                ),
            ),
            ("It sees", format!("{0} × {0} pixels", demo.image_size)),
            ("Speed", format!("{:.0} pictures a second, {seconds:.0} s in all", demo.pictures_per_second())),
        ];
        for (name, value) in facts {
            self.add(format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value)));
        }
        self.out += "</dl>\n</header>\n";
    }

    fn scores(&mut self) {
        self.out += "<section aria-labelledby=\"scores\">\n<h2 id=\"scores\">How often it is right</h2>\n";
        self.out += "<p>Share of pictures whose right name is ranked first, and among the first five. Below it: a vision \
            transformer trained in PyTorch for 20 minutes on two processor cores, linear probes of DINOv2-S features and of raw pixels, and chance.</p>\n<div class=\"charts\">\n";
        for score in &self.demo.scores {
            self.chart(score);
        }
        self.out += "</div>\n<div class=\"scroll\"><table>\n<caption>Searches by held-out wording: share of texts whose picture comes first, and among \
            the first five</caption>\n<thead><tr><th scope=\"col\">Cell</th><th scope=\"col\">Texts</th><th scope=\"col\">Pictures</th>\
            <th scope=\"col\">First</th><th scope=\"col\">First five</th><th scope=\"col\">Chance</th></tr></thead>\n<tbody>\n";
        for s in &self.demo.scores {
            self.add(format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} / {}</td></tr>\n",
                escape(s.title),
                s.t2i_n,
                s.n,
                percent(s.t2i_r1),
                percent(s.t2i_r5),
                percent(s.chance_r1),
                percent(s.chance_r5)
            ));
        }
        self.out += "</tbody>\n</table></div>\n</section>\n";
    }

    fn chart(&mut self, s: &Score) {
        self.add(format_args!(
            "<table class=\"chart\">\n<caption>{}<small>{} pictures, {} names to choose from</small></caption>\n\
             <thead><tr><th scope=\"col\">Method</th><th scope=\"col\">First</th><th scope=\"col\">First five</th></tr></thead>\n<tbody>\n",
            escape(&capital(s.title)),
            s.n,
            s.candidates
        ));
        let mut rows = vec![("ours", "This model", s.r1, s.r5)];
        rows.extend(s.baselines.iter().rev().map(|b| ("", b.name, b.r1, b.r5)));
        rows.push(("", "Chance", s.chance_r1, s.chance_r5));
        for (class, name, r1, r5) in rows {
            self.add(format_args!("<tr class=\"{class}\"><th scope=\"row\">{}</th>", escape(name)));
            for value in [r1, r5] {
                self.add(format_args!(
                    "<td><span class=\"bar\" style=\"--v:{:.1}%\"></span><span class=\"n\">{}</span></td>",
                    100.0 * value,
                    percent(value)
                ));
            }
            self.out += "</tr>\n";
        }
        self.out += "</tbody>\n</table>\n";
    }

    fn cards(&mut self) {
        let demo = self.demo;
        for (seen, id, title, words) in [
            (
                true,
                "seen",
                "Known things, drawn by someone new",
                "The model knows these things from other designers' drawings.",
            ),
            (
                false,
                "unseen",
                "Things it has never seen drawn at all",
                "Training had no drawings of these things, by any designer, and not their names.",
            ),
        ] {
            let pool: Vec<(usize, &Named)> = demo.pictures.iter().enumerate().filter(|(_, p)| p.seen == seen).collect();
            let shown = pool.len().min(CARDS);
            self.add(format_args!(
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n<p>{words} The first {shown} of {} in the order of a hash, \
                 each with its five best names of {} and their scores.</p>\n<div class=\"cards\">\n",
                pool.len(),
                pool.len()
            ));
            for (i, picture) in pool.into_iter().take(CARDS) {
                self.card(i, picture);
            }
            self.out += "</div>\n</section>\n";
        }
    }

    fn card(&mut self, i: usize, named: &Named) {
        let class = match named.place {
            1 => "right",
            2..=5 => "near",
            _ => "wrong",
        };
        self.add(format_args!("<article class=\"card {class}\">\n"));
        self.picture(i, &format!("drawing of {}", named.truth));
        self.add(format_args!(
            "<div>\n<h3>{}</h3>\n<p class=\"verdict\">{}</p>\n<ol>\n",
            escape(&named.truth),
            verdict(named.place)
        ));
        for (label, score) in &named.labels {
            let (class, mark) =
                if *label == named.truth { (" class=\"hit\"", " <b aria-label=\"right\">✓</b>") } else { ("", "") };
            self.add(format_args!(
                "<li{class}><span class=\"label\">{}{mark}</span><span class=\"bar\" style=\"--v:{:.1}%\"></span><span class=\"n\">{}</span></li>\n",
                escape(label),
                100.0 * score,
                percent(*score)
            ));
        }
        self.out += "</ol>\n</div>\n</article>\n";
    }

    fn searches(&mut self) {
        let demo = self.demo;
        self.add(format_args!(
            "<section aria-labelledby=\"searches\">\n<h2 id=\"searches\">Found by other words</h2>\n<p>Each text comes from other dictionaries and was not a \
             training text. The search is among all {} drawings; the texts are the first of each pool in the order of a hash. A right drawing has a ring and a tick.</p>\n<div class=\"sheets\">\n",
            demo.pictures.len()
        ));
        for search in &demo.searches {
            self.search(search);
        }
        self.out += "</div>\n</section>\n<section aria-labelledby=\"free\">\n<h2 id=\"free\">Ask for anything</h2>\n<p>Texts made up for this page. There are no \
            recorded right answers: judge for yourself.</p>\n<div class=\"sheets\">\n";
        for search in &demo.free {
            self.search(search);
        }
        self.out += "</div>\n</section>\n";
    }

    fn search(&mut self, search: &Search) {
        self.add(format_args!("<figure class=\"search\">\n<figcaption><q>{}</q>", escape(&search.text)));
        if let Some((truth, place)) = &search.truth {
            let class = if *place == 1 {
                "right"
            } else if *place <= 5 {
                "near"
            } else {
                "wrong"
            };
            self.add(format_args!(
                "<small class=\"{class}\">for <b>{}</b>: {}</small>",
                escape(truth),
                ordinal(*place)
            ));
        }
        self.out += "</figcaption>\n<div class=\"strip\">\n";
        for (i, right) in &search.found {
            self.out += if *right { "<span class=\"hit\">" } else { "<span>" };
            let name = self.demo.pictures.get(*i).map_or("", |p| p.truth.as_str());
            self.picture(*i, &format!("{name}{}", if *right { " (right)" } else { "" }));
            self.out += if *right { "<b aria-hidden=\"true\">✓</b></span>\n" } else { "</span>\n" };
        }
        self.out += "</div>\n</figure>\n";
    }

    fn wall(&mut self) {
        let demo = self.demo;
        self.out += "<section aria-labelledby=\"wall\">\n<h2 id=\"wall\">The whole test</h2>\n<p>Every drawing of the test. Clear: the right name came first. Half \
            faded: it was among the first five. Faded: it was not. Point at a drawing to see its name and the model's.</p>\n";
        for (seen, title) in [(true, "known things"), (false, "unknown things")] {
            let right = demo.pictures.iter().filter(|p| p.seen == seen && p.place == 1).count();
            let all = demo.pictures.iter().filter(|p| p.seen == seen).count();
            self.add(format_args!("<h3>{}: {right} of {all} named right</h3>\n<div class=\"wall\">\n", capital(title)));
            for (i, named) in demo.pictures.iter().enumerate().filter(|(_, p)| p.seen == seen) {
                let class = match named.place {
                    1 => "",
                    2..=5 => " class=\"half\"",
                    _ => " class=\"gone\"",
                };
                self.add(format_args!("<span{class}>"));
                let called = named.labels.first().map_or("", |(label, _)| label.as_str());
                let words = match named.place {
                    1 => format!("{}: right", named.truth),
                    place => format!("{}: called {called}, right name {}", named.truth, ordinal(place)),
                };
                self.picture(i, &words);
                self.out += "</span>\n";
            }
            self.out += "</div>\n";
        }
        self.out += "</section>\n";
    }

    fn foot(&mut self) {
        let more = self.more;
        self.add(format_args!(
            "<footer>\n<p>Made by vljepa {}.{}</p>\n<p>Drawings: {}.</p>\n</footer>\n",
            env!("CARGO_PKG_VERSION"),
            more,
            escape(&self.demo.credit)
        ));
    }
}

fn verdict(place: usize) -> String {
    match place {
        1 => "✓ right".into(),
        _ => format!("✗ the right name is {}", ordinal(place)),
    }
}

pub(super) fn ordinal(place: usize) -> String {
    let ending = match (place % 10, place % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{place}{ending}")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn millions(count: u64) -> String {
    format!("{:.1} M", count as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words() {
        let words: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal).into();
        assert_eq!(words, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]);
    }
}
