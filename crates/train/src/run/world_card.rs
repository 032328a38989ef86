//! The model card of a trained world model.

use crate::card::{fenced, licence_or, plain, table};
use crate::schedule::duration;
use crate::start::WorldStart;
use crate::world::{WorldFigures, WorldTrainer};

/// What a card is about.
pub(super) struct WorldCard<'a> {
    pub start: &'a WorldStart,
    pub trainer: &'a WorldTrainer,
    pub figures: &'a WorldFigures,
    /// Seconds of training, earlier parts of the run included.
    pub seconds: f64,
    /// Name of the device that took the last step.
    pub device: Option<&'a str>,
}

impl WorldCard<'_> {
    /// Markdown; `licence` is the line of an earlier card.
    pub fn text(&self, licence: Option<&str>) -> String {
        let (run, config, data) = (&self.start.run, self.trainer.model().config(), self.trainer.data());
        let name = run.output.file_name().map_or_else(|| "World model".into(), |name| name.to_string_lossy());
        let mut time = duration(self.seconds);
        if let Some(device) = self.device {
            time += &format!(", at the end on {device}");
        }
        let rows = [
            (
                "Environment",
                format!("{}, {} windows of {} frames", data.world().name(), data.train.len(), data.frames()),
            ),
            ("Pictures", format!("{0} × {0}, patches of {1}", config.image_size, config.patch_size)),
            ("Parameters", format!("{:.2} M", self.trainer.parameters() as f64 / 1e6)),
            ("Steps", format!("{} of {} windows", run.steps, run.batch)),
            ("Time", time),
        ];
        let f = self.figures;
        let number = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{v:.4}"));
        let reached = [
            ("Model", format!("{:.4}", f.prediction)),
            ("The frame before", format!("{:.4}", f.copy_last)),
            ("The line through the two before", number(f.linear)),
        ];
        format!(
            "# {}\n\nA LeWM (LeWorldModel, arXiv 2603.19312): it foretells the latent of the picture that follows from the latents of the \
             last {} and an action block of {} steps. Made by vljepa-train {}.\n\n{}\n\n## Training\n\n{}\nThe configuration as it was \
             written, but for absolute paths of its settings, which are cut to their last parts:\n\n{}\n\n## Figures\n\nMean squared \
             difference from the latent that came, on {} windows of episodes that were not trained on:\n\n{}\nMean variance of a latent's \
             component {:.2}; mean cosine of two changes that follow each other {}.\n",
            plain(&name),
            config.history,
            config.frameskip,
            env!("CARGO_PKG_VERSION"),
            licence_or(licence, "the episodes are made by the environment, which is part of this project"),
            table("| what | |\n|---|---|\n", &rows),
            fenced(&self.start.file.public_text()),
            f.windows,
            table("| foretold by | off by |\n|---|---|\n", &reached),
            f.variance,
            number(f.straightness),
        )
    }
}
