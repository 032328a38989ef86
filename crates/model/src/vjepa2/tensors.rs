//! The tensors of V-JEPA 2 and 2.1 by name.

use super::config::{ConvStemConfig, Vjepa2Config};
use crate::spec::{Specs, TensorSpec, parameter_count};

impl Vjepa2Config {
    /// Tensors of the encoder under the names of `VJEPA2Model`, plus `encoder.embeddings.{stem,still_stem}.{i}.…` for stems. What
    /// V-JEPA 2.1 adds keeps the authors' names: `patch_embed_img`, `img_mod_embed` and `video_mod_embed` among the
    /// embeddings, `norms_block.{i}` in the place of `layernorm`.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let d = self.hidden_size;
        if let Some(stem) = &self.conv_stem {
            let together = stem.frames_together(self.tubelet_size);
            stem_layers(&mut s, "encoder.embeddings.stem", stem, self.in_chans * together);
            for t in 0..self.tubelet_size / together {
                s.add(format!("encoder.embeddings.patch_embeddings.proj.{t}.weight"), &[d, stem.width()]);
            }
            if let Some(still) = &self.still_stem {
                stem_layers(&mut s, "encoder.embeddings.still_stem", still, self.in_chans);
                s.add("encoder.embeddings.patch_embeddings.still.weight", &[d, still.width()]);
            }
        } else {
            let (patch, channels) = (self.patch_size, self.in_chans);
            s.add("encoder.embeddings.patch_embeddings.proj.weight", &[d, channels, self.tubelet_size, patch, patch]);
        }
        s.add("encoder.embeddings.patch_embeddings.proj.bias", &[d]);
        if let Some(frames) = self.img_temporal_dim_size {
            let (patch, channels) = (self.patch_size, self.in_chans);
            s.add("encoder.embeddings.patch_embed_img.proj.weight", &[d, channels, frames, patch, patch]);
            s.add("encoder.embeddings.patch_embed_img.proj.bias", &[d]);
        }
        if self.use_modality_embeddings {
            s.add("encoder.embeddings.img_mod_embed", &[1, 1, d]);
            s.add("encoder.embeddings.video_mod_embed", &[1, 1, d]);
        }
        for i in 0..self.num_hidden_layers {
            block(&mut s, &format!("encoder.layer.{i}"), d, self.mlp_size(), self.qkv_bias);
        }
        for (_, name) in self.level_norms("encoder") {
            s.layer_norm(&name, d);
        }
        s.0
    }

    /// Tensors of the masked-latent predictor that base checkpoints carry beside the encoder. V-JEPA 2.1's has
    /// `predictor.embeddings.{img_mod_embed,video_mod_embed}`, `predictor.proj_context`, and where it takes several
    /// levels `predictor.embeddings.predictor_embeddings.{0,2}`.
    pub fn predictor_tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let (d, p) = (self.hidden_size, self.pred_hidden_size);
        s.add("predictor.embeddings.mask_tokens", &[self.pred_num_mask_tokens, 1, 1, p]);
        let embeddings = "predictor.embeddings.predictor_embeddings";
        match self.n_output_distillation {
            1 => s.linear(embeddings, d, p, true),
            _ => {
                s.linear(&format!("{embeddings}.0"), self.predictor_input_size(), d, true);
                s.linear(&format!("{embeddings}.2"), d, p, true);
            }
        }
        if self.use_modality_embeddings {
            s.add("predictor.embeddings.img_mod_embed", &[1, 1, p]);
            s.add("predictor.embeddings.video_mod_embed", &[1, 1, p]);
        }
        for i in 0..self.pred_num_hidden_layers {
            block(&mut s, &format!("predictor.layer.{i}"), p, self.predictor_mlp_size(), self.qkv_bias);
        }
        s.layer_norm("predictor.layernorm", p);
        s.linear("predictor.proj", p, self.predictor_output_size(), true);
        if self.return_all_tokens {
            s.linear("predictor.proj_context", p, self.predictor_output_size(), true);
        }
        s.0
    }

    /// Tensors of an attentive probe of `labels` classes that classifier checkpoints carry beside the rest.
    pub fn probe_tensors(&self, labels: usize) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let d = self.hidden_size;
        s.add("pooler.query_tokens", &[1, 1, d]);
        let selfs = (0..self.num_pooler_layers).map(|i| (format!("self_attention_layers.{i}"), "self_attn", true));
        for (layer, attention, out_proj) in selfs.chain([("cross_attention_layer".into(), "cross_attn", false)]) {
            let name = format!("pooler.{layer}");
            for part in ["q_proj", "k_proj", "v_proj"].into_iter().chain(out_proj.then_some("out_proj")) {
                s.linear(&format!("{name}.{attention}.{part}"), d, d, true);
            }
            s.layer_norm(&format!("{name}.layer_norm1"), d);
            s.layer_norm(&format!("{name}.layer_norm2"), d);
            s.linear(&format!("{name}.mlp.fc1"), d, self.probe_mlp_size(), true);
            s.linear(&format!("{name}.mlp.fc2"), self.probe_mlp_size(), d, true);
        }
        s.linear("classifier", d, labels, true);
        s.0
    }

    /// Parameters of the encoder.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }
}

/// One pre-norm block of width `d`.
fn block(s: &mut Specs, name: &str, d: usize, mlp: usize, qkv_bias: bool) {
    s.layer_norm(&format!("{name}.norm1"), d);
    for part in ["query", "key", "value"] {
        s.linear(&format!("{name}.attention.{part}"), d, d, qkv_bias);
    }
    s.linear(&format!("{name}.attention.proj"), d, d, true);
    s.layer_norm(&format!("{name}.norm2"), d);
    s.linear(&format!("{name}.mlp.fc1"), d, mlp, true);
    s.linear(&format!("{name}.mlp.fc2"), mlp, d, true);
}

fn stem_layers(s: &mut Specs, name: &str, stem: &ConvStemConfig, mut input: usize) {
    let k = stem.kernel;
    for (i, &output) in stem.channels.iter().enumerate() {
        let name = format!("{name}.{i}");
        s.add(format!("{name}.conv.weight"), &[output, k, k, input]);
        s.add(format!("{name}.conv.bias"), &[output]);
        for j in 0..stem.residual.get(i).copied().unwrap_or(0) {
            s.layer_norm(&format!("{name}.residual.{j}.norm"), output);
            s.add(format!("{name}.residual.{j}.conv.weight"), &[output, k, k, output]);
            s.add(format!("{name}.residual.{j}.conv.bias"), &[output]);
        }
        s.layer_norm(&format!("{name}.norm"), output);
        input = output;
    }
}
