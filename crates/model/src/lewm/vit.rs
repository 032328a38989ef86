//! The encoder of LeWM: transformers' `ViTModel` without its pooler, read out at its class token.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{self, Attention};
use vljepa_tensor::{Activation, Dtype, Tensor};

use super::config::LewmConfig;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear};
use crate::param::{Builder, Forward, Param};

/// Pictures to one vector each.
#[derive(Clone, Debug)]
pub(super) struct Vit {
    image_size: usize,
    patch_size: usize,
    cls_token: Param,
    position_embeddings: Param,
    projection_weight: Param,
    projection_bias: Param,
    layers: Vec<Layer>,
    layernorm: LayerNorm,
}

impl Vit {
    pub fn new(b: &mut Builder<'_>, c: &LewmConfig) -> Result<Self> {
        let d = c.hidden_size;
        let patch = "encoder.embeddings.patch_embeddings.projection";
        Ok(Self {
            image_size: c.image_size,
            patch_size: c.patch_size,
            cls_token: b.param("encoder.embeddings.cls_token", &[1, 1, d])?,
            position_embeddings: b.param("encoder.embeddings.position_embeddings", &[1, 1 + c.patches(), d])?,
            projection_weight: b.param(format!("{patch}.weight"), &[d, 3, c.patch_size, c.patch_size])?,
            projection_bias: b.param(format!("{patch}.bias"), &[d])?,
            layers: (0..c.num_hidden_layers).map(|i| Layer::new(b, i, c)).collect::<Result<_>>()?,
            layernorm: LayerNorm::new(b, "encoder.layernorm", d, c.layer_norm_eps)?,
        })
    }

    /// `[N, 3, side, side]` normalised pictures → `[N, D]`, the class token behind the last norm.
    pub fn forward(&self, f: &Forward, pictures: &Tensor) -> Result<Var> {
        let side = self.image_size;
        let count = match *pictures.shape() {
            [count, 3, height, width] if height == side && width == side => count,
            ref other => {
                let what = format!("{other:?} is not [N, 3, {side}, {side}]");
                return Err(ModelError::Tensor(vljepa_tensor::Error::Shape { op: "lewm", what }));
            }
        };
        let mut x = self.embed(f, pictures, count)?;
        if let Some((last, before)) = self.layers.split_last() {
            for layer in before {
                x = f.block(&x, layer, Layer::collect, |layer, f, x| layer.forward(f, x, x.shape()[1]))?;
            }
            // Of what the last layer makes, the class token alone is read.
            x = f.block(&x, last, Layer::collect, |layer, f, x| layer.forward(f, x, 1))?;
        }
        let width = x.shape()[2];
        let cls = autograd::slice(&x, 1, 0, 1)?.reshape(&[count, width])?;
        self.layernorm.forward(f, &cls)
    }

    /// `[N, 1 + patches, D]`, the class token first.
    fn embed(&self, f: &Forward, pictures: &Tensor, count: usize) -> Result<Var> {
        let (side, patch) = (self.image_size, self.patch_size);
        let clip = pictures.reshape(&[count, 1, 3, side, side])?;
        let patches = ops::tubelet_patches(&clip, 1, patch)?;
        let weight = f.var(&self.projection_weight);
        let d = weight.shape()[0];
        let weight = weight.reshape(&[d, 3 * patch * patch])?;
        let tokens = autograd::linear(&Var::constant(patches), &weight, Some(&f.var(&self.projection_bias)))?;
        let own = (side / patch) * (side / patch);
        let tokens = tokens.reshape(&[count, own, d])?;
        // The class token is added with its position: the same sum, without a copy of it for every picture.
        let device = pictures.device();
        let none = |rows: usize, lead: usize| -> Result<Var> {
            Ok(Var::constant(Tensor::zeros(device, &[lead, rows, d], Dtype::F32)?))
        };
        let cls = autograd::concat(&[&f.var(&self.cls_token), &none(own, 1)?], 1)?;
        let places = autograd::add(&f.var(&self.position_embeddings), &cls)?.reshape(&[1 + own, d])?;
        let tokens = autograd::concat(&[&none(1, count)?, &tokens], 1)?;
        Ok(autograd::add(&tokens, &places)?)
    }

    pub fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.cls_token, &self.position_embeddings, &self.projection_weight, &self.projection_bias]);
        self.layers.iter().for_each(|layer| layer.collect(out));
        self.layernorm.collect(out);
    }
}

/// A layer with the norm before attention and before the MLP.
#[derive(Clone, Debug)]
struct Layer {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    intermediate: Linear,
    mlp_output: Linear,
    layernorm_before: LayerNorm,
    layernorm_after: LayerNorm,
}

impl Layer {
    fn new(b: &mut Builder<'_>, i: usize, c: &LewmConfig) -> Result<Self> {
        let (d, name) = (c.hidden_size, format!("encoder.encoder.layer.{i}"));
        let mut square = |part: &str| Linear::new(b, &format!("{name}.attention.{part}"), d, d, true);
        let [query, key, value] = [square("attention.query")?, square("attention.key")?, square("attention.value")?];
        let output = square("output.dense")?;
        Ok(Self {
            heads: c.num_attention_heads,
            query,
            key,
            value,
            output,
            intermediate: Linear::new(b, &format!("{name}.intermediate.dense"), d, c.intermediate_size, true)?,
            mlp_output: Linear::new(b, &format!("{name}.output.dense"), c.intermediate_size, d, true)?,
            layernorm_before: LayerNorm::new(b, &format!("{name}.layernorm_before"), d, c.layer_norm_eps)?,
            layernorm_after: LayerNorm::new(b, &format!("{name}.layernorm_after"), d, c.layer_norm_eps)?,
        })
    }

    /// `[N, tokens, D]` → the first `keep` tokens `[N, keep, D]`.
    fn forward(&self, f: &Forward, x: &Var, keep: usize) -> Result<Var> {
        let h = self.layernorm_before.forward(f, x)?;
        let (kept, asks) = match keep == x.shape()[1] {
            true => (x.clone(), h.clone()),
            false => (autograd::slice(x, 1, 0, keep)?, autograd::slice(&h, 1, 0, keep)?),
        };
        let q = self.query.forward(f, &asks)?;
        let (k, v) = (self.key.forward(f, &h)?, self.value.forward(f, &h)?);
        let mixed = autograd::attention(&q, &k, &v, &Attention::new(self.heads))?;
        let x = autograd::add(&kept, &self.output.forward(f, &mixed)?)?;
        let h = self.intermediate.forward(f, &self.layernorm_after.forward(f, &x)?)?;
        let h = self.mlp_output.forward(f, &autograd::activate(&h, Activation::Gelu)?)?;
        Ok(autograd::add(&x, &h)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        let linears = [&self.query, &self.key, &self.value, &self.output, &self.intermediate, &self.mlp_output];
        linears.into_iter().for_each(|linear| linear.collect(out));
        self.layernorm_before.collect(out);
        self.layernorm_after.collect(out);
    }
}
