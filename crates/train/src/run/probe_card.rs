//! The model card of a trained classifier.

use vljepa_data::Crops;

use crate::card::{fenced, licence_or, plain, table};
use crate::places::REPORT;
use crate::probe::{Figures, ProbeKind, ProbeReport, ProbeTrainer};
use crate::schedule::duration;
use crate::start::ProbeStart;

/// Classes that are listed by name.
const LISTED: usize = 200;

/// Segments, as a number of clips.
fn segments(count: usize) -> String {
    if count == 1 { "one clip of each video".into() } else { format!("{count} clips of each video") }
}

/// What a card is about.
pub(super) struct ProbeCard<'a> {
    pub start: &'a ProbeStart,
    pub trainer: &'a ProbeTrainer,
    pub report: &'a ProbeReport,
    /// Seconds of training, earlier parts of the run included.
    pub seconds: f64,
    /// Name of the device that took the last step.
    pub device: Option<&'a str>,
}

impl ProbeCard<'_> {
    /// Markdown; `licence` is the line of an earlier card.
    pub fn text(&self, licence: Option<&str>) -> String {
        let run = &self.start.run;
        let name = run.output.file_name().map_or_else(|| "Classifier".into(), |name| name.to_string_lossy());
        let probe = match run.probe.kind {
            ProbeKind::Attentive => "an attentive probe",
            ProbeKind::Linear => "a linear probe (written as a pooler that attends to all tokens alike)",
        };
        let labels = &self.report.labels;
        let listed: Vec<String> = labels.iter().take(LISTED).map(|label| plain(label)).collect();
        let more = if labels.len() > LISTED { format!(" and {} more", labels.len() - LISTED) } else { String::new() };
        format!(
            "# {}\n\nA V-JEPA 2 classifier of {} classes: {probe} on a frozen encoder, in the layout of \
             `VJEPA2ForVideoClassification`. Made by vljepa-train {}.\n\n{}\n\nClasses: {}{more}.\n\n## Training\n\n{}\nThe \
             configuration as it was written, but for absolute paths of its settings, which are cut to their last parts:\
             \n\n{}\n\n## Figures\n\n{}\n## Use\n\n{}",
            plain(&name),
            labels.len(),
            env!("CARGO_PKG_VERSION"),
            licence_or(licence, "those of the encoder and of the clips bind too"),
            listed.join(", "),
            self.training(),
            fenced(&self.start.file.public_text()),
            self.figures(),
            self.usage(),
        )
    }

    fn training(&self) -> String {
        let (run, head, viewing) = (&self.start.run, &self.report.head, &self.start.viewing);
        let encoder = run.model.x_encoder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut time = duration(self.seconds);
        if let Some(device) = self.device {
            time += &format!(", at the end on {device}");
        }
        let crops =
            if viewing.crops == Crops::Three { "three squares of each frame" } else { "the centre of each frame" };
        let rows = [
            ("Encoder", format!("`{encoder}`, not trained, sha256 {}", self.start.encoder.hash())),
            ("Clips", format!("{} of a manifest, whose owner knows the licences", self.report.trained_on)),
            ("Views", format!("{} frames, {}, {crops}", viewing.frames, segments(viewing.segments))),
            (
                "Heads",
                format!(
                    "{} of {} parameters; the best has learning rate {} and weight decay {}, after {} of {} steps",
                    self.trainer.heads(),
                    self.trainer.parameters(),
                    head.learning_rate,
                    head.weight_decay,
                    head.step.unwrap_or_default(),
                    self.trainer.steps()
                ),
            ),
            ("Seed", run.seed.to_string()),
            ("Time", time),
        ];
        table("| training | |\n|---|---|\n", &rows)
    }

    fn figures(&self) -> String {
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let row = |(name, f): (&str, &Figures)| {
            let [low, high] = f.top1_interval;
            format!(
                "| {name} | {} | {} ({} – {}) | {} (\"{}\") | {} |\n",
                f.n,
                percent(f.top1),
                percent(low),
                percent(high),
                percent(f.majority.top1),
                plain(&f.majority.label),
                percent(f.chance)
            )
        };
        let parts = [("validation", &self.report.validation), ("test", &self.report.test)];
        let rows: String = parts.iter().filter_map(|(name, f)| Some((*name, f.as_ref()?))).map(row).collect();
        if rows.is_empty() {
            return "None: the manifest has no validation or test rows.\n".into();
        }
        format!(
            "Top-1 in per cent with its 95 % interval (Wilson's), beside what naming the most frequent class of the training \
             clips gives, and naming any. Each clip counts once, by the mean of the probabilities over its views. Head and step \
             were chosen by the validation clips, so that those figures are better than on other clips; the test clips chose \
             nothing. The table of confusions is in `{REPORT}` of the run.\n\n| clips | n | top-1 | most frequent class | chance |\n\
             |---|---|---|---|---|\n{rows}"
        )
    }

    fn usage(&self) -> String {
        let viewing = &self.start.viewing;
        let mut text = format!(
            "A clip is {} frames, spread evenly from the first to the last, unless something else is said.\n",
            viewing.frames
        );
        if viewing.segments > 1 {
            text += &format!(
                "It was trained and measured on {} such clips of each video, one after the other; one clip of the whole video \
                 is {} times as fast.\n",
                viewing.segments, viewing.segments
            );
        }
        if viewing.crops == Crops::Three {
            text +=
                "It was measured on three squares of each frame; programs that look at the centre alone see less.\n";
        }
        text
    }
}
