//! The part of the report about clips.

use super::clips::{Answered, Clips};
use super::page::{Page, ordinal};
use crate::error::Result;
use crate::html::{escape, percent};
use crate::strip::element;

impl Page<'_> {
    /// Adds what a model makes of clips.
    pub(super) fn clips(&mut self, clips: &Clips) -> Result<()> {
        let right = |of: &[Answered]| of.iter().filter(|answered| answered.place == 1).count();
        self.add(format_args!(
            "<section aria-labelledby=\"clips\">\n<h2 id=\"clips\">What happens in a clip</h2>\n<p>The {} ({:.1} M parameters) takes questions. Here this designer's drawings move, and the \
             questions are in wordings that are held out from training. The first {} clips, each with the five best of 16 answers: {} right. Frames run from left to right.</p>\n<div class=\"sheets\">\n",
            escape(&clips.model),
            clips.parameters as f64 / 1e6,
            clips.actions.len(),
            right(&clips.actions)
        ));
        for answered in &clips.actions {
            self.answered(clips, answered)?;
        }
        self.add(format_args!(
            "</div>\n</section>\n<section aria-labelledby=\"asked\">\n<h2 id=\"asked\">Ask about a clip</h2>\n<p>One forward pass for each question; the answers are \
             compared as embeddings. A question of each kind, the first about a clip that has no other here: {} of {} right.</p>\n<div class=\"sheets\">\n",
            right(&clips.questions),
            clips.questions.len()
        ));
        for answered in &clips.questions {
            self.answered(clips, answered)?;
        }
        self.add(format_args!(
            "</div>\n</section>\n<section aria-labelledby=\"found\">\n<h2 id=\"found\">Find a clip by what happens</h2>\n<p>The captions of the first clips, \
             each among {} clips.</p>\n<div class=\"sheets\">\n",
            clips.clips
        ));
        for search in &clips.searches {
            let (truth, place) = search.truth;
            let class = if place == 1 { "right" } else { "wrong" };
            self.add(format_args!(
                "<figure class=\"search\">\n<figcaption><q>{}</q><small class=\"{class}\">its clip: {}</small></figcaption>\n",
                escape(&search.text),
                ordinal(place)
            ));
            for &clip in &search.found {
                let words = if clip == truth { "the clip of this caption" } else { "another clip" };
                self.strip(clips, clip, words, clip == truth)?;
            }
            self.out += "</figure>\n";
        }
        self.out += "</div>\n</section>\n";
        Ok(())
    }

    fn answered(&mut self, clips: &Clips, answered: &Answered) -> Result<()> {
        self.add(format_args!(
            "<figure class=\"search card-of-clip {}\">\n<figcaption><q>{}</q><small class=\"verdict\">{}</small></figcaption>\n",
            if answered.place == 1 { "right" } else { "wrong" },
            escape(&answered.question),
            match answered.place {
                1 => "✓ right".to_owned(),
                place => format!("✗ the right answer is {}", ordinal(place)),
            }
        ));
        self.strip(clips, answered.clip, &format!("clip: {} {}", answered.question, answered.truth), false)?;
        self.out += "<ol>\n";
        for (answer, score) in &answered.answers {
            let class = if *answer == answered.truth { " class=\"hit\"" } else { "" };
            self.add(format_args!(
                "<li{class}><span class=\"label\">{}</span><span class=\"n\">{}</span><span class=\"bar\" style=\"--v:{:.1}%\"></span></li>\n",
                escape(answer),
                percent(*score),
                100.0 * score
            ));
        }
        self.out += "</ol>\n</figure>\n";
        Ok(())
    }

    /// Adds the frames of a clip side by side.
    fn strip(&mut self, clips: &Clips, clip: usize, alt: &str, hit: bool) -> Result<()> {
        let Some(strip) = clips.strips.get(clip) else { return Ok(()) };
        self.out += &element(strip, if hit { " hit" } else { "" }, alt)?;
        Ok(())
    }
}
