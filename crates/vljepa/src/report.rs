//! Figures on a manifest as one HTML page without scripts and without requests.

use std::fmt::{Arguments, Write};

use vljepa_train::sources::manifest::{Classification, ManifestReport, Measured, Questions, Retrieval};

use crate::html::{escape, head, percent};

/// Texts that are listed with how often they were found.
const TEXTS: usize = 200;

/// What a page says beside the figures.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What was measured on: the manifest.
    pub data: &'a str,
    /// What was measured: the model.
    pub model: &'a str,
    /// Where it ran.
    pub adapter: &'a str,
}

/// The figures as one HTML page that needs no other file.
pub fn page(report: &ManifestReport, facts: &Facts<'_>) -> String {
    let mut page = Page { out: String::with_capacity(1 << 16), report };
    page.out += &head(&format!("VL-JEPA on {}", facts.data), "");
    page.head(facts);
    if let Some(found) = &report.classification {
        page.classification(found);
    }
    if let (Some(there), Some(back)) = (&report.visual_to_text, &report.text_to_visual) {
        page.retrieval(there, back);
    }
    if let Some(found) = &report.questions {
        page.questions(found);
    }
    page.foot();
    page.out += "</main>\n</body>\n</html>\n";
    page.out
}

struct Page<'a> {
    out: String,
    report: &'a ManifestReport,
}

impl Page<'_> {
    fn add(&mut self, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn head(&mut self, facts: &Facts<'_>) {
        let report = self.report;
        self.out += "<header>\n<p class=\"brand\">VL-JEPA in Rust and WGSL</p>\n";
        self.add(format_args!("<h1>{}</h1>\n", escape(facts.data)));
        self.add(format_args!(
            "<p class=\"lead\">The {} rows of its split “{}”. Each figure stands beside what a random order gives, and what always \
             giving the most frequent text gives.</p>\n<div class=\"big\">\n",
            report.rows, report.split
        ));
        if let Some(found) = &report.classification {
            let what =
                format!("of {} pictures and clips got their right text first, among {} texts", found.rows, found.texts);
            self.big(&found.top1, &what);
        }
        if let Some(found) = &report.text_to_visual {
            let what = format!(
                "of {} texts found a picture or clip of theirs first, among {}",
                found.queries, found.candidates
            );
            self.big(&found.r1, &what);
        }
        if let Some(found) = &report.questions {
            self.big(&found.accuracy, &format!("of {} questions got the right answer", found.rows));
        }
        self.out += "</div>\n<dl class=\"facts\">\n";
        for (name, value) in [("Model", facts.model), ("Adapter", facts.adapter)] {
            self.add(format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value)));
        }
        self.out += "</dl>\n</header>\n";
    }

    fn big(&mut self, measured: &Measured, what: &str) {
        let range = range(measured, percent).map_or_else(String::new, |range| format!(" ({range})"));
        self.add(format_args!(
            "<p><strong>{}</strong> {}{}. By chance: {}.</p>\n",
            percent(measured.value),
            escape(what),
            escape(&range),
            percent(measured.chance)
        ));
    }

    fn section(&mut self, id: &str, title: &str, words: &str) {
        self.add(format_args!(
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n<p>{}</p>\n",
            escape(words)
        ));
    }

    /// A table with a bar for each figure, and below it those of its floors.
    fn chart(&mut self, caption: &str, figures: &[(&str, &Measured)]) {
        self.add(format_args!("<table class=\"chart\">\n<caption>{}</caption>\n<tbody>\n", escape(caption)));
        for (name, measured) in figures {
            let range = range(measured, percent).unwrap_or_default();
            self.bar("ours", name, measured.value, &range);
            if let Some(majority) = measured.majority {
                self.bar("", "most frequent", majority, "");
            }
            self.bar("", "chance", measured.chance, "");
        }
        self.out += "</tbody>\n</table>\n";
    }

    fn bar(&mut self, class: &str, name: &str, value: f64, range: &str) {
        self.add(format_args!(
            "<tr class=\"{class}\"><th scope=\"row\">{}</th><td><span class=\"bar\" style=\"--v:{:.1}%\"></span><span \
             class=\"n\">{}</span></td><td class=\"range\">{}</td></tr>\n",
            escape(name),
            100.0 * value,
            percent(value),
            escape(range)
        ));
    }

    fn classification(&mut self, found: &Classification) {
        let words = format!(
            "Which of the {} texts of this split a picture or clip shows. {} rows without a query were measured.",
            found.texts, found.rows
        );
        self.section("texts", "Which text it shows", &words);
        self.out += "<div class=\"charts\">\n";
        self.chart("The right text is first", &[("this model", &found.top1)]);
        self.chart("It is among the first five", &[("this model", &found.top5)]);
        self.out += "</div>\n";
        self.by_text(found);
        self.confusions(found);
        self.out += "</section>\n";
    }

    fn by_text(&mut self, found: &Classification) {
        let mut texts: Vec<_> = found.by_text.iter().filter(|text| text.rows > 0).collect();
        if texts.is_empty() {
            return;
        }
        let share = |right: f64, rows: usize| right / rows as f64;
        texts.sort_by(|a, b| share(a.right, a.rows).total_cmp(&share(b.right, b.rows)));
        let caption = match texts.len().checked_sub(TEXTS) {
            Some(more @ 1..) => {
                format!("How often each text was found: the {TEXTS} worst; {more} more were found oftener")
            }
            _ => "How often each text was found, the worst first".to_owned(),
        };
        self.add(format_args!(
            "<div class=\"scroll\"><table class=\"figures\">\n<caption>{caption}</caption>\n<thead><tr><th scope=\"col\">Text</th>\
             <th scope=\"col\">Rows</th><th scope=\"col\" class=\"wide\">Right</th><th></th></tr></thead>\n<tbody>\n"
        ));
        for text in texts.into_iter().take(TEXTS) {
            let value = share(text.right, text.rows);
            self.add(format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"wide\"><span class=\"bar\" style=\"--v:{:.1}%\"></span></td><td \
                 class=\"n\">{}</td></tr>\n",
                escape(&text.text),
                text.rows,
                100.0 * value,
                percent(value)
            ));
        }
        self.out += "</tbody>\n</table></div>\n";
    }

    fn confusions(&mut self, found: &Classification) {
        if found.confusions.is_empty() {
            return;
        }
        self.out += "<div class=\"scroll\"><table class=\"figures\">\n<caption>What was taken for what, the most frequent \
            first</caption>\n<thead><tr><th scope=\"col\">Right</th><th scope=\"col\">Given</th><th scope=\"col\">Rows</th></tr>\
            </thead>\n<tbody>\n";
        for pair in &found.confusions {
            self.add(format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>\n",
                escape(&pair.text),
                escape(&pair.taken_for),
                pair.rows
            ));
        }
        self.out += "</tbody>\n</table></div>\n";
    }

    fn retrieval(&mut self, there: &Retrieval, back: &Retrieval) {
        let words = "A text is searched among all pictures and clips, and a picture or clip among all texts: how often a right \
            one is first, among the first five and ten, and the middle of the right ones' ranks.";
        self.section("search", "Searches", words);
        self.out += "<div class=\"scroll\"><table class=\"figures\">\n<thead><tr><th scope=\"col\">Search</th><th \
            scope=\"col\">Among</th><th scope=\"col\">R@1</th><th scope=\"col\">R@5</th><th scope=\"col\">R@10</th><th \
            scope=\"col\">Median rank</th></tr></thead>\n<tbody>\n";
        for (name, among, found) in [("texts", "pictures and clips", back), ("pictures and clips", "texts", there)] {
            self.add(format_args!(
                "<tr><th scope=\"row\">{} {name}</th><td>{} {among}</td>",
                found.queries, found.candidates
            ));
            for measured in [&found.r1, &found.r5, &found.r10] {
                self.cell(measured, percent);
            }
            self.cell(&found.median_rank, |rank| format!("{rank:.1}"));
            self.out += "</tr>\n";
        }
        self.out += "</tbody>\n</table></div>\n</section>\n";
    }

    fn cell(&mut self, measured: &Measured, words: fn(f64) -> String) {
        let range = range(measured, words).map_or_else(String::new, |range| format!("{range}<br>"));
        self.add(format_args!(
            "<td><b class=\"n\">{}</b><br><span class=\"range\">{range}chance {}</span></td>",
            words(measured.value),
            words(measured.chance)
        ));
    }

    fn questions(&mut self, found: &Questions) {
        let words = format!(
            "{} rows with {} questions. Each answer is chosen among the answers that its question has in this split, or where that \
             is only one among all of them.",
            found.rows, found.questions
        );
        self.section("questions", "Answers", &words);
        self.out += "<div class=\"charts\">\n";
        self.chart("The right answer is first", &[("this model", &found.accuracy)]);
        self.out += "</div>\n</section>\n";
    }

    fn foot(&mut self) {
        let report = self.report;
        self.out += "<footer>\n";
        if report.unasked > 0 {
            self.add(format_args!(
                "<p>{} rows have a query, and this model takes none: they were not measured.</p>\n",
                report.unasked
            ));
        }
        if report.resamples > 0 {
            self.add(format_args!(
                "<p>Ranges hold 95 % of the values over {} draws of the rows with replacement, seed {}.</p>\n",
                report.resamples, report.seed
            ));
        }
        self.add(format_args!("<p>Made by vljepa {}.</p>\n</footer>\n", env!("CARGO_PKG_VERSION")));
    }
}

/// The interval in words.
fn range(measured: &Measured, words: fn(f64) -> String) -> Option<String> {
    measured.interval.map(|[low, high]| format!("{} to {}", words(low), words(high)))
}
