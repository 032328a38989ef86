//! What the values of a configuration must be, whatever the source of samples.

use super::check::Rules;
use super::{DecoderInput, LossKind, ObjectiveKind, TrainConfig, VicregConfig};

impl TrainConfig {
    /// The first rule that the values break: the key and the sentence.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let mut rules = Rules(None);
        rules.range("steps", self.steps as f64, 1.0, 1e9);
        rules.range("batch", self.batch as f64, 1.0, 1e6);
        rules.range("accumulate", self.accumulate as f64, 1.0, self.batch as f64);
        rules.need("accumulate", self.batch.is_multiple_of(self.accumulate.max(1)), || {
            format!("`batch` ({}) is not a multiple of `accumulate` ({})", self.batch, self.accumulate)
        });
        let sources = (&self.model.config, &self.model.folder);
        rules.need("model", matches!(sources, (Some(_), None) | (None, Some(_))), || {
            "`model` needs exactly one of `config` (random weights) and `folder` (trained ones)".into()
        });
        rules.need("model.x_encoder", self.model.x_encoder.is_none() || self.model.config.is_some(), || {
            "`model.x_encoder` stands in the place of the one in `model.config`; with `model.folder` leave it out"
                .into()
        });
        rules.need("model.features", self.model.features.is_none() || self.model.x_encoder.is_some(), || {
            "`model.features` keeps what a frozen encoder makes; name one as `model.x_encoder`, or leave it out".into()
        });
        rules.need("model.still_stem", self.model.still_stem.is_none() || self.model.config.is_some(), || {
            "`model.still_stem` is where a model from `model.config` starts from; `model.folder` has a stem: leave one of them out".into()
        });
        let sized = self.data.image_size.is_some() || !self.data.phases.is_empty();
        rules.need("data.image_size", self.model.x_encoder.is_none() || !sized, || {
            "`data.image_size` and `data.phases` do not go with `model.x_encoder`, which is run once for each row; leave them out".into()
        });
        rules.need("model", self.model.folder.is_some() || self.model.y_encoder.is_some(), || {
            "`model.y_encoder` is missing: a model from `model.config` has no text encoder and no tokenizer".into()
        });
        let d = &self.data;
        for (key, size) in d.sizes() {
            rules.range(&key, f64::from(size), 8.0, 4096.0);
        }
        for (i, phase) in d.phases.iter().enumerate() {
            rules.range(&format!("data.phases.{i}.from"), phase.from, 0.0, 1.0);
        }
        rules.need("data.phases", d.phases.windows(2).all(|w| w[0].from < w[1].from), || {
            "`data.phases` are not in the order of `from`".into()
        });
        rules.range("data.query_dropout", d.query_dropout, 0.0, 0.9);
        rules.range("data.prefetch", d.prefetch as f64, 0.0, 64.0);
        let o = &self.objective;
        rules.need("objective.texts", !o.texts.is_empty(), || "`objective.texts` is empty".into());
        rules.need("objective.train_y_encoder", !(o.train_y_encoder && o.kind == ObjectiveKind::Bank), || {
            "`objective.kind` \"bank\" needs a frozen Y-Encoder: set `train_y_encoder = false` or `kind = \"batch\"`".into()
        });
        rules.range("objective.soft_labels", f64::from(o.soft_labels), 0.0, 1.0);
        rules.need("objective.soft_labels", o.soft_labels == 0.0 || o.kind == ObjectiveKind::Bank, || {
            "`objective.soft_labels` needs `kind = \"bank\"`".into()
        });
        rules.range("objective.soft_scale", f64::from(o.soft_scale), 0.0, 1e3);
        let regresses = o.loss != LossKind::Infonce;
        rules.need("objective.loss", !regresses || o.kind == ObjectiveKind::Batch, || {
            "`objective.loss` without negatives needs `kind = \"batch\"`".into()
        });
        let trained = o.train_y_encoder || o.y_head.train;
        let spread =
            (o.loss == LossKind::Vicreg && o.vicreg.variance > 0.0) || o.sigreg.is_some_and(|s| s.weight > 0.0);
        rules.need("objective.loss", !regresses || !trained || spread, || {
            "`objective.loss` without negatives needs targets that are not trained, which would all become one: set \
             `train_y_encoder = false` and `y_head.train = false`, add `[objective.sigreg]` with a weight, or take `loss = \"infonce\"`, or `\"vicreg\"` with a `variance`"
                .into()
        });
        if let Some(sigreg) = o.sigreg {
            rules.range("objective.sigreg.weight", f64::from(sigreg.weight), 0.0, 1e4);
            rules.range("objective.sigreg.directions", sigreg.directions as f64, 1.0, 65_536.0);
            rules.need("objective.sigreg", o.kind == ObjectiveKind::Batch, || {
                "`objective.sigreg` needs `kind = \"batch\"`".into()
            });
        }
        let parts =
            [("invariance", o.vicreg.invariance), ("variance", o.vicreg.variance), ("covariance", o.vicreg.covariance)];
        for (key, weight) in parts {
            rules.range(&format!("objective.vicreg.{key}"), f64::from(weight), 0.0, 1e4);
        }
        rules.need("objective.vicreg", o.vicreg == VicregConfig::default() || o.loss == LossKind::Vicreg, || {
            "`objective.vicreg` is read by `loss = \"vicreg\"` alone".into()
        });
        let shares = [("objective.wrong", o.wrong, 1.0), ("objective.own", o.own, 100.0)];
        for (key, share, most) in shares {
            rules.range(key, f64::from(share), 0.0, most);
            rules.need(key, !regresses || share == 0.0, || {
                format!("`{key}` needs `loss = \"infonce\"`, the others know no negatives")
            });
            rules.need(key, share == 0.0 || o.kind == ObjectiveKind::Batch, || {
                format!("`{key}` needs `kind = \"batch\"`")
            });
        }
        rules.need("objective.cached", !o.cached || o.kind == ObjectiveKind::Batch, || {
            "`objective.cached` needs `kind = \"batch\"`; a bank's candidates are always all".into()
        });
        rules.range("objective.y_head.strength", o.y_head.strength, 0.0, 2.0);
        rules.range("objective.y_head.tags", o.y_head.tags, 0.0, 1.0);
        rules.range("objective.y_head.ridge", o.y_head.ridge, 1e-6, 1e6);
        rules.need("objective.y_head.tags", o.y_head.tags == 0.0 || o.y_head.whiten, || {
            "`objective.y_head.tags` needs `whiten = true`".into()
        });
        if let Some(fit) = &self.head_fit {
            rules.range("head_fit.share", fit.share, 1e-3, 1.0);
            rules.range("head_fit.ridge", fit.ridge, 1e-9, 1e6);
            rules.need("head_fit", !o.y_head.train && !o.train_y_encoder, || {
                "`head_fit` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        if let Some(decoder) = &self.decoder {
            rules.range("decoder.noise", f64::from(decoder.noise), 0.0, 100.0);
            let texts = decoder.from == DecoderInput::Texts;
            rules.need("decoder", !texts || self.model.folder.is_some(), || {
                "`decoder` reads the embeddings of a trained model: name its folder as `model.folder`, or set `from = \"predictions\"`".into()
            });
            let alone = self.head_fit.is_none() && self.memory.is_none() && !o.train_y_encoder && !o.cached;
            rules.need("decoder", alone, || {
                "`decoder` trains by the cross-entropy of texts alone; leave out `head_fit`, `memory`, `objective.train_y_encoder` and `objective.cached`".into()
            });
        }
        if let Some(memory) = &self.memory {
            rules.need("memory.rows", memory.rows == 0, || "`memory.rows` follows from the data, leave it out".into());
            rules.range("memory.scale", memory.scale, 1e-3, 1e4);
            rules.range("memory.share", memory.share, 1e-3, 1.0);
            if let Some(text) = memory.text {
                rules.range("memory.text.scale", text.scale, 1e-3, 1e4);
                rules.range("memory.text.share", text.share, 1e-3, 1.0);
            }
            rules.range("memory.inv_temperature", memory.inv_temperature.unwrap_or(1.0), 1e-3, 1e4);
            rules.need("memory", !o.y_head.train && !o.train_y_encoder, || {
                "`memory` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        rules.optimizer(&self.optimizer);
        rules.schedule(&self.schedule);
        if let Some(ema) = self.ema {
            rules.range("ema.horizon", ema.horizon, 0.0, 1.0);
        }
        rules.range("evaluate.batch", self.evaluate.batch as f64, 1.0, 1e6);
        rules.need("checkpoint.best", !self.checkpoint.best || self.evaluate.every > 0, || {
            "`checkpoint.best` needs evaluations during the run; set `evaluate.every`".into()
        });
        rules.need("evaluate.patience", self.evaluate.patience == 0 || self.evaluate.every > 0, || {
            "`evaluate.patience` needs evaluations during the run; set `evaluate.every`".into()
        });
        rules.range("checkpoint.keep", self.checkpoint.keep as f64, 2.0, 1e6);
        rules.0
    }
}
